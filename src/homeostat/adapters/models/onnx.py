"""ONNX models: ``model.onnx``, ``meta.json`` with the encoding; run by ONNX Runtime."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from homeostat.adapters.models.artifact import (
    META,
    EncodedPredictor,
    check_width,
    needing,
    read_file,
    save_encoding,
)
from homeostat.adapters.models.encoding import Encoding
from homeostat.domain.errors import ArtifactError

if TYPE_CHECKING:
    import onnxruntime

FILE = "model.onnx"
NUMPY = {"tensor(float)": np.float32, "tensor(double)": np.float64}
MAPS = frozenset({"seq(map(int64,tensor(float)))", "seq(map(string,tensor(float)))"})


class OnnxPredictor(EncodedPredictor):
    """A session of ONNX Runtime with its encoding; one thread a call: calls share the cores.

    The model takes one tensor of floats or doubles, shape (rows, features). Of its outputs the last
    one that is a tensor of floats or doubles counts (converters put the probabilities after the
    class), or a list of maps from class to probability (ZipMap), which come sorted by class; else
    the first one.
    """

    def __init__(self, session: onnxruntime.InferenceSession, encoding: Encoding) -> None:
        super().__init__(encoding)
        self._session = session
        (given,) = session.get_inputs()
        self._name, self._type = given.name, NUMPY[given.type]
        outputs = session.get_outputs()
        numbers = [item.name for item in outputs if item.type in NUMPY or item.type in MAPS]
        self._outputs = numbers[-1:] or [outputs[0].name]

    def predict_matrix(self, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the scores of encoded rows."""
        (found,) = self._session.run(self._outputs, {self._name: matrix.astype(self._type)})
        if isinstance(found, list):  # maps from class to probability, in the order of the classes
            found = [list(row.values()) for row in found]
        scores = np.asarray(found, dtype=np.float64)
        # A model of one output a row gives a column, (n, 1).
        return scores[:, 0] if scores.ndim == 2 and scores.shape[1] == 1 else scores


def load_onnx(path: Path) -> OnnxPredictor:
    """Load an artifact folder.

    Raises
    ------
    ArtifactError
        If a file is absent or corrupt, the files do not fit together, or ONNX Runtime is not
        installed.
    """
    with needing(path, "ONNX Runtime", "onnx"):
        import onnxruntime  # noqa: PLC0415 - an extra: only those who serve such models need it
    encoding = Encoding.load(path / META)
    file = path / FILE
    content = read_file(file)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors: they are raised too
    try:
        session = onnxruntime.InferenceSession(content, options, ["CPUExecutionProvider"])
    except Exception as error:  # its errors share no base but this one
        raise ArtifactError(f"{file}: not an ONNX model: {error}") from error
    _check(path, session, encoding)
    return OnnxPredictor(session, encoding)


def _check(path: Path, session: onnxruntime.InferenceSession, encoding: Encoding) -> None:
    inputs = session.get_inputs()
    if len(inputs) != 1 or inputs[0].type not in NUMPY or len(inputs[0].shape) != 2:
        told = ", ".join(f"{item.name}: {item.type}{item.shape}" for item in inputs)
        raise ArtifactError(
            f"{path}: model.onnx must take one tensor of floats or doubles of shape "
            f"(rows, features), not {told}"
        )
    rows, width = inputs[0].shape
    if isinstance(rows, int):
        raise ArtifactError(f"{path}: model.onnx takes {rows} rows only, not any number")
    if isinstance(width, int):
        check_width(path, FILE, width, encoding)


def save_onnx(
    model: Path,
    folder: Path,
    features: Sequence[str],
    categories: Mapping[str, Sequence[str]] | None = None,
) -> None:
    """Make an artifact folder of flavour ``onnx`` from an ONNX file.

    Parameters
    ----------
    model : Path
        The ONNX file.
    folder : Path
        Is made if need be.
    features : sequence of str
        Columns in training order.
    categories : mapping of str to sequence of str, optional
        For each categorical column its values in the order of their codes.
    """
    save_encoding(folder, features, categories)
    shutil.copyfile(model, folder / FILE)

"""ONNX models: ``model.onnx``, ``meta.json`` with the encoding; run by ONNX Runtime."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from homeostat.adapters.models.encoding import Encoding
from homeostat.domain.errors import ArtifactError

if TYPE_CHECKING:
    import onnxruntime

NUMPY = {"tensor(float)": np.float32, "tensor(double)": np.float64}
MAPS = frozenset({"seq(map(int64,tensor(float)))", "seq(map(string,tensor(float)))"})


class OnnxPredictor:
    """A session of ONNX Runtime with its encoding; one thread a call: calls share the cores.

    The model takes one tensor of floats or doubles, shape (rows, features). Of its outputs the last
    one that is a tensor of floats or doubles counts (converters put the probabilities after the
    class), or a list of maps from class to probability (ZipMap), which come sorted by class; else
    the first one.
    """

    def __init__(self, session: onnxruntime.InferenceSession, encoding: Encoding) -> None:
        self._session, self._encoding = session, encoding
        (given,) = session.get_inputs()
        self._name, self._type = given.name, NUMPY[given.type]
        outputs = session.get_outputs()
        numbers = [item.name for item in outputs if item.type in NUMPY or item.type in MAPS]
        self._outputs = numbers[-1:] or [outputs[0].name]

    @property
    def features(self) -> tuple[str, ...]:
        """Columns that it reads."""
        return self._encoding.features

    @property
    def encoding(self) -> Encoding:
        """How rows become numbers."""
        return self._encoding

    def predict(self, table: pa.Table) -> NDArray[np.float64]:
        """Return one score a row, or shape (n, classes)."""
        return self.predict_matrix(self._encoding.matrix(table))

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
    try:
        import onnxruntime  # noqa: PLC0415 - an extra: only those who serve such models need it
    except ImportError as error:
        raise ArtifactError(
            f"{path}: ONNX Runtime is not installed; pip install 'homeostat[onnx]'"
        ) from error
    encoding = Encoding.load(path / "meta.json")
    file = path / "model.onnx"
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors: they are raised too
    try:
        content = file.read_bytes()
        session = onnxruntime.InferenceSession(content, options, ["CPUExecutionProvider"])
    except OSError as error:
        raise ArtifactError(f"{file}: cannot be read: {error}") from error
    except Exception as error:  # its errors share no base but this one
        raise ArtifactError(f"{file}: not an ONNX model: {error}") from error
    _check(path, session, len(encoding.features))
    return OnnxPredictor(session, encoding)


def _check(path: Path, session: onnxruntime.InferenceSession, features: int) -> None:
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
    if isinstance(width, int) and width != features:
        raise ArtifactError(
            f"{path}: model.onnx takes {width} features, meta.json names {features}"
        )


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
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(model, folder / "model.onnx")
    known = {name: tuple(values) for name, values in (categories or {}).items()}
    Encoding(tuple(features), known).save(folder / "meta.json")

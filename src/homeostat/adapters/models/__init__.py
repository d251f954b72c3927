"""Runtimes that load model artifacts and score columns with them."""

from homeostat.adapters.models.boosted import save_lightgbm
from homeostat.adapters.models.encoding import Encoding, Row, RowReader, fit_encoding
from homeostat.adapters.models.linear import Term, save_linear, save_softmax
from homeostat.adapters.models.loading import FLAVOURS, load_predictor
from homeostat.adapters.models.onnx import save_onnx
from homeostat.adapters.models.predictor import Load, MatrixPredictor, Predictor
from homeostat.adapters.models.scorer import RegistryScorer

__all__ = [
    "FLAVOURS",
    "Encoding",
    "Load",
    "MatrixPredictor",
    "Predictor",
    "RegistryScorer",
    "Row",
    "RowReader",
    "Term",
    "fit_encoding",
    "load_predictor",
    "save_lightgbm",
    "save_linear",
    "save_onnx",
    "save_softmax",
]

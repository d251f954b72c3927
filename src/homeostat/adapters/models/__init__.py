"""Runtimes that load model artifacts and score columns with them."""

from homeostat.adapters.models.boosted import save_lightgbm
from homeostat.adapters.models.elsewhere import ELSEWHERE, save_elsewhere
from homeostat.adapters.models.encoding import Encoding, Row, RowReader, fit_encoding
from homeostat.adapters.models.linear import Term, save_linear, save_softmax
from homeostat.adapters.models.loading import FLAVOURS, Loader, load_predictor
from homeostat.adapters.models.onnx import save_onnx
from homeostat.adapters.models.predictor import (
    AwaitedPredictor,
    Load,
    MatrixPredictor,
    Predictor,
    SpreadPredictor,
)
from homeostat.adapters.models.remote import save_remote
from homeostat.adapters.models.scorer import RegistryScorer
from homeostat.adapters.models.sklearn import save_joblib, save_skops
from homeostat.adapters.models.xgboost import save_xgboost

__all__ = [
    "ELSEWHERE",
    "FLAVOURS",
    "AwaitedPredictor",
    "Encoding",
    "Load",
    "Loader",
    "MatrixPredictor",
    "Predictor",
    "RegistryScorer",
    "Row",
    "RowReader",
    "SpreadPredictor",
    "Term",
    "fit_encoding",
    "load_predictor",
    "save_elsewhere",
    "save_joblib",
    "save_lightgbm",
    "save_linear",
    "save_onnx",
    "save_remote",
    "save_skops",
    "save_softmax",
    "save_xgboost",
]

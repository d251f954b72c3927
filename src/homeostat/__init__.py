"""Homeostat keeps machine-learning models in production healthy.

The names below are loaded when first used, so that ``import homeostat`` stays light.
"""

from __future__ import annotations

TYPE_CHECKING = False  # importing typing would be most of what importing this costs
if TYPE_CHECKING:
    from homeostat.detectors.comparison.config import ComparisonConfig
    from homeostat.detectors.review.queue import ReviewQueue
    from homeostat.domain.comparison import ColumnComparison, Comparison
    from homeostat.domain.errors import HomeostatError, UserError
    from homeostat.domain.estimation import Estimation
    from homeostat.domain.evaluation import Evaluation
    from homeostat.domain.explanation import Explanation
    from homeostat.domain.model import ColumnKind
    from homeostat.domain.predictions import PredictionSpec
    from homeostat.domain.verdict import Status
    from homeostat.entrypoints.breaker import Breaker
    from homeostat.entrypoints.compare import Report, compare
    from homeostat.entrypoints.connect import Connection, connect
    from homeostat.entrypoints.connect_frames import Frame
    from homeostat.entrypoints.counterfactual import Counterfactual, counterfactual
    from homeostat.entrypoints.diagnose import diagnose
    from homeostat.entrypoints.estimate import estimate
    from homeostat.entrypoints.evaluate import evaluate
    from homeostat.entrypoints.guarded import BreakerMiddleware
    from homeostat.entrypoints.importance import ImportanceReport, importance
    from homeostat.entrypoints.labels import early_rates
    from homeostat.entrypoints.profiling import Profile, load_profile, profile
    from homeostat.entrypoints.proxy import ProxyReport, proxy
    from homeostat.entrypoints.review import review_queue
    from homeostat.entrypoints.value import ValueReport, value
    from homeostat_client import AsyncClient, Client, HomeostatMiddleware, log

__version__ = "0.1.0"

_HOMES = {
    "Breaker": "entrypoints.breaker",
    "BreakerMiddleware": "entrypoints.guarded",
    "ColumnComparison": "domain.comparison",
    "ColumnKind": "domain.model",
    "Connection": "entrypoints.connect",
    "Frame": "entrypoints.connect_frames",
    "connect": "entrypoints.connect",
    "Comparison": "domain.comparison",
    "ComparisonConfig": "detectors.comparison.config",
    "Counterfactual": "entrypoints.counterfactual",
    "Evaluation": "domain.evaluation",
    "Estimation": "domain.estimation",
    "Explanation": "domain.explanation",
    "HomeostatError": "domain.errors",
    "ImportanceReport": "entrypoints.importance",
    "PredictionSpec": "domain.predictions",
    "Profile": "entrypoints.profiling",
    "ProxyReport": "entrypoints.proxy",
    "Report": "entrypoints.compare",
    "ReviewQueue": "detectors.review.queue",
    "Status": "domain.verdict",
    "UserError": "domain.errors",
    "ValueReport": "entrypoints.value",
    "compare": "entrypoints.compare",
    "counterfactual": "entrypoints.counterfactual",
    "evaluate": "entrypoints.evaluate",
    "early_rates": "entrypoints.labels",
    "importance": "entrypoints.importance",
    "estimate": "entrypoints.estimate",
    "diagnose": "entrypoints.diagnose",
    "load_profile": "entrypoints.profiling",
    "profile": "entrypoints.profiling",
    "proxy": "entrypoints.proxy",
    "review_queue": "entrypoints.review",
    "value": "entrypoints.value",
}

# Of the distribution homeostat-client, which goes alone where a model is served.
_CLIENT = frozenset({"AsyncClient", "Client", "HomeostatMiddleware", "log"})

__all__ = [
    "AsyncClient",
    "Breaker",
    "BreakerMiddleware",
    "Client",
    "ColumnComparison",
    "ColumnKind",
    "Comparison",
    "ComparisonConfig",
    "Connection",
    "Counterfactual",
    "Estimation",
    "Evaluation",
    "Explanation",
    "Frame",
    "HomeostatError",
    "HomeostatMiddleware",
    "ImportanceReport",
    "PredictionSpec",
    "Profile",
    "ProxyReport",
    "Report",
    "ReviewQueue",
    "Status",
    "UserError",
    "ValueReport",
    "__version__",
    "compare",
    "connect",
    "counterfactual",
    "diagnose",
    "early_rates",
    "estimate",
    "evaluate",
    "importance",
    "load_profile",
    "log",
    "profile",
    "proxy",
    "review_queue",
    "value",
]


def __getattr__(name: str) -> object:
    from importlib import import_module  # noqa: PLC0415 - as above

    if name in _CLIENT:
        found: object = getattr(import_module("homeostat_client"), name)
        globals()[name] = found
        return found
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

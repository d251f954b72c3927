"""Logs predictions and labels to Homeostat without ever blocking the process that serves.

The names below are loaded when first used, so that ``import homeostat_client`` costs nothing.
"""

from __future__ import annotations

TYPE_CHECKING = False  # importing typing would be most of what importing this costs
if TYPE_CHECKING:
    from homeostat_client import log
    from homeostat_client.client import AsyncClient, Client
    from homeostat_client.counters import Counters
    from homeostat_client.lifecycle import close_at_sigterm
    from homeostat_client.middleware import HomeostatMiddleware, Row
    from homeostat_client.recorder import Call

__version__ = "0.1.0"

_HOMES = {
    "AsyncClient": "client",
    "Call": "recorder",
    "Client": "client",
    "Counters": "counters",
    "HomeostatMiddleware": "middleware",
    "Row": "middleware",
    "close_at_sigterm": "lifecycle",
}

__all__ = [
    "AsyncClient",
    "Call",
    "Client",
    "Counters",
    "HomeostatMiddleware",
    "Row",
    "__version__",
    "close_at_sigterm",
    "log",
]


def __getattr__(name: str) -> object:
    from importlib import import_module  # noqa: PLC0415 - as above

    if name == "log":
        return import_module("homeostat_client.log")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

"""Data plane: answers prediction requests, whatever happens to models or control plane."""

from homeostat.entrypoints.gateway.app import app
from homeostat.entrypoints.gateway.batch import InputError
from homeostat.entrypoints.gateway.gateway import Gateway
from homeostat.entrypoints.gateway.routes import ServedModel
from homeostat.entrypoints.gateway.table import RouteTable
from homeostat.entrypoints.gateway.writer import LogWriter

__all__ = ["Gateway", "InputError", "LogWriter", "RouteTable", "ServedModel", "app"]

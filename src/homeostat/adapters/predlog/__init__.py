"""The prediction log on files."""

from homeostat.adapters.predlog.log import FilePredictionLog

__all__ = ["FilePredictionLog"]

"""homeostat.yaml: its parts, how it is read, and its JSON Schema."""

from homeostat.entrypoints.settings.deployment import Settings, secret
from homeostat.entrypoints.settings.load import load, problems
from homeostat.entrypoints.settings.model import Model
from homeostat.entrypoints.settings.receivers import Console, Webhook
from homeostat.entrypoints.settings.schema import json_schema

__all__ = ["Console", "Model", "Settings", "Webhook", "json_schema", "load", "problems", "secret"]

"""Model registries."""

from homeostat.adapters.registry.local import LocalRegistry

__all__ = ["LocalRegistry"]

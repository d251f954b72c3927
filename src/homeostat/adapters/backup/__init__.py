"""A deployment's records, log and models in one folder or file, taken while it runs."""

from homeostat.adapters.backup.backup import Backup, back_up, restore

__all__ = ["Backup", "back_up", "restore"]

"""Profiles to and from whylogs files; needs the extra ``whylogs``."""

from homeostat.adapters.whylogs.files import export_whylogs, import_whylogs

__all__ = ["export_whylogs", "import_whylogs"]

"""Profiles in files."""

from homeostat.adapters.profiles.files import load_profile, save_profile

__all__ = ["load_profile", "save_profile"]

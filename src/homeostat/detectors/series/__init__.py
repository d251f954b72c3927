"""Thresholds on any series of figures: limits that the owner sets, and bands that history sets."""

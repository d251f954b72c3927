"""Profiles computed where the data is, by engines that spread over many machines."""

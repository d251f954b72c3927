"""Rows per window."""

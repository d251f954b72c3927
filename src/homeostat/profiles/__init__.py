"""Mergeable summaries of columns and windows, their file format, and comparison from profiles."""

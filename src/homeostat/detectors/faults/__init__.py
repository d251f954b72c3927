"""Faults of data recognised by comparing the rows of two tables."""

"""Data faults."""

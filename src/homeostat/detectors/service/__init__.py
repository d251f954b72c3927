"""Availability and latency."""

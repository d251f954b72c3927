"""Drift of inputs and of scores."""

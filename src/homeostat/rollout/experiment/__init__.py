"""Experiments: which of several versions does better for the business, and is safe to ship."""

"""Frozen values that every part shares."""

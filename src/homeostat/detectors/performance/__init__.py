"""Realized performance."""

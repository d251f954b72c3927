"""Trainers: where candidates are made."""

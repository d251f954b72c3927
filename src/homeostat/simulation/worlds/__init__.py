"""Worlds drawn from a seed: traffic, faults and people around the real engine, and their score."""

"""Pure functions on arrays: tests, distances, intervals, metrics, sequential inference."""

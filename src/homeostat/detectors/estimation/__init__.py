"""Performance without labels."""

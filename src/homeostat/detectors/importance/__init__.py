"""Which columns a model lives on, and whether that changes."""

"""Charts, and documents made of the same values: values in, specifications and text out."""

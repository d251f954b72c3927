"""Two profiles compared: what changed, whether it is real and whether it matters."""

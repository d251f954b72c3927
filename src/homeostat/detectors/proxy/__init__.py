"""Early signals that are tied to labels which come later."""

"""The loop that keeps models healthy, and what it needs from the world."""

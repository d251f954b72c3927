"""How a version becomes champion, and how it is taken back."""

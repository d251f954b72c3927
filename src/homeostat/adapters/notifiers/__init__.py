"""Ways to tell people about incidents."""

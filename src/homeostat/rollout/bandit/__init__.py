"""Bandits: traffic follows what works, with the chances of every choice on record."""

"""Event by event: a frozen state, ``update`` with one value, ``update_many`` with an array."""

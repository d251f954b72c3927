"""Breakers that several processes share."""

from homeostat.adapters.breakers.redis import RedisBreakers

__all__ = ["RedisBreakers"]

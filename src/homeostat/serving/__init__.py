"""Decisions of the data plane, without sockets: breaker, traffic split, fallback tiers."""

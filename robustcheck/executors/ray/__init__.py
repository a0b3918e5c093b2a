"""Shards computed by workers of Ray."""

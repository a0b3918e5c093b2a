"""Executors: who computes the shards of an evaluation."""

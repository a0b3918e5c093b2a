"""The record store: blocks of records on disk, and their maintenance."""

"""State dicts in files: read without running code, matched to a network."""

"""Report formats: a module for each."""

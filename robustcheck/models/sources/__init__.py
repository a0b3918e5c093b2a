"""A module for each place that models come from."""

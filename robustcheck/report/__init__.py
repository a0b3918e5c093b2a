"""A finished run as text for people and machines."""

"""Attacks of other libraries as views, where the libraries are installed: a file for each."""

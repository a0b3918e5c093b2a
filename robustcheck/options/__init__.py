"""Options: one table from which the parser, the settings and the help derive."""

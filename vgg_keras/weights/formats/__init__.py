"""One file for each format of weights on disk."""

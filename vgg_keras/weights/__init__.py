"""Nets on disk: one file per format."""

"""Sections 3.2 and 4: a net and images in, posteriors and errors out."""

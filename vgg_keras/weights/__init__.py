"""Weights of any source into a net: verified, read, converted, and copied layer by layer."""

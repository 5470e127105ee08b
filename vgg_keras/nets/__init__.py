"""Section 2 of the paper: the nets. Imports keras only, so any Keras backend runs them."""

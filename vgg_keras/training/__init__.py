"""Section 3.1's training: from a plan of stages to the kept net's weights."""

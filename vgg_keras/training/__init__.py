"""Section 3.1: the optimisation, its rules, its loop, and what a run leaves behind."""

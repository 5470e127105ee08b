"""Speed as ratios taken in one run on one machine: this package, its peers and the machine's measured limits."""

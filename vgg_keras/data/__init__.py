"""Section 3.1's images: where they come from, what is done to one of them, and how they stream."""

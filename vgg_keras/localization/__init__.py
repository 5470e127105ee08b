"""Appendix A: boxes of objects, by nets whose last layer gives boxes."""

"""What a trained net is used for on other images: appendix B's descriptors, perceptual distance, activation maps."""

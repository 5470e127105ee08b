"""Section 3.1's images: sources, the scan, augmentation, and the datasets of batches."""

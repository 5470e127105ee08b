"""Stamps of images: numbers that change when an image's file does, by which the scan knows what it has inspected."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

_PART = 2**16  # texts that are hashed at once, so that no second list of all is in memory
_ODD = np.uint64(0x9E3779B97F4A7C15)  # spreads the bits of a number that is multiplied by it


def stamps(texts: Sequence[str], *numbers: np.ndarray) -> np.ndarray:
    """A number of 64 bits for each text and the numbers of its place, (images,) uint64.

    Args:
        texts: such as the files' paths.
        numbers: (images,) int64 each, such as sizes and times.
    """
    found = np.zeros(len(texts), np.uint64)
    for start in range(0, len(texts), _PART):
        part = [text.encode(errors="surrogateescape") for text in texts[start : start + _PART]]
        found[start : start + _PART] = tf.strings.to_hash_bucket_fast(part, 2**63 - 1).numpy()
    for column in numbers:
        found ^= np.asarray(column, np.int64).view(np.uint64)
        found *= _ODD
        found ^= found >> np.uint64(32)
    return found

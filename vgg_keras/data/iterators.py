"""Frees tf.data's iterators at the end of a process, where one whose threads call Python would never end.

When Python shuts down, it ends a thread that calls Python in the middle of its work, and the iterator waits for that thread for
ever. So iterators that still exist, in a user's script or in the frames of an error, are freed before.
"""

import atexit
import gc

_KINDS = ("OwnedIterator", "OwnedMultiDeviceIterator")  # TensorFlow's, on one device and on several


@atexit.register
def free_all() -> None:
    """Empties every iterator: its threads end, and it gives no more elements."""
    for iterator in [one for one in gc.get_objects() if type(one).__name__ in _KINDS]:
        vars(iterator).clear()

"""Labels in memory that are names: written and ordered as those of files."""

import numpy as np
import pytest

from vgg_keras.data.array_labels import numbered


@pytest.mark.parametrize(
    ("labels", "classes", "numbers"),
    [
        (np.array([10, 2, 9], object), tuple(map(str, range(11))), [10, 2, 9]),  # as of a pandas column
        (["10", "2", "9"], ("2", "9", "10"), [2, 0, 1]),  # as in a list
        (["10", "2", "b"], ("10", "2", "b"), [0, 1, 2]),
        ([b"\xe9", b"b\n", "da\u0308ne".encode()], ("\\xe9", "b\\n", "d\u00e4ne"), [0, 1, 2]),
    ],
)
def test_names_of_classes_are_written_and_ordered_as_those_of_files(labels, classes, numbers):
    found, names = numbered(np.asarray(labels), (), complete=True)
    assert names == classes and found.tolist() == numbers

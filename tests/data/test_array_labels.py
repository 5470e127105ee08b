"""Labels in memory that are names: written and ordered as those of files."""

import numpy as np
import pytest

import vgg_keras
from vgg_keras.data.array_labels import class_names, numbered


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


@pytest.mark.parametrize(
    ("labels", "received"),
    [
        (np.array([0, 1, -1]), "image 2 with -1"),
        (np.array([[0], [-1]]), "image 1 with -1"),
        (np.array([0, -1], object), "image 1 with -1"),
        (np.array([0, 0.5, 1]), r"image 1 with 0\.5"),
        (np.array([0, 1, np.nan]), "image 2 with nan"),
        (np.array([np.inf, 0]), "image 0 with inf"),
        (np.array([0, -1]).astype(np.uint32), "image 1 with 4294967295"),
        (np.array([0, -1]).astype(np.uint64), "image 1 with 18446744073709551615"),
        (np.array([0, 2**70], object), f"image 1 with {2**70}"),
        (np.array([[0, 1], [1, 2]]), "image 1 with 2 for class 1"),
        (np.array([[0, 1], [np.nan, 1]]), "image 1 with nan for class 0"),
        (np.array(["cat", ""]), "image 1 with an empty one"),
        (np.array([b"", b"cat"]), "image 0 with an empty one"),
    ],
)
def test_a_label_that_is_none_names_its_image(labels, received):
    with pytest.raises(vgg_keras.UserError, match=rf"Received: {received}\."):
        numbered(labels, (), complete=True)


@pytest.mark.parametrize("name", [None, float("nan"), "", b"", ["cat", "dog"]])
def test_a_class_has_a_name(name):
    with pytest.raises(vgg_keras.UserError, match=r"classes must be a list of names\. Received: .* among them\."):
        class_names(["cat", name])
    assert class_names(["cat", 7, np.int64(8), np.str_("dog")]) == ("cat", "7", "8", "dog")

"""The data's classes must be the net's: the number, the names and their order; ImageNet's ids are equal to its names."""

from pathlib import Path

import pytest

from vgg_keras.config import Architecture, Config
from vgg_keras.errors import UserError
from vgg_keras.weights.classes import imagenet_classes, places_of_some, require_classes
from vgg_keras.weights.formats.run_folder import LoadedModel

IDS, NAMES = imagenet_classes()


def net(classes, outputs):
    return LoadedModel(None, Config(architecture=Architecture("A", num_classes=outputs)), classes, Path("runs/A"), "12")


@pytest.mark.parametrize(
    ("classes", "outputs", "data"),
    [
        (("cat", "dog"), 2, ("cat", "dog")),
        ((), 3, ("a", "b", "c")),  # a file that names no classes takes the data's
        (NAMES, 1000, NAMES),
        (NAMES, 1000, IDS),
    ],
)
def test_the_same_classes_pass(classes, outputs, data):
    require_classes(net(classes, outputs), data, "photos")


@pytest.mark.parametrize(
    ("classes", "outputs", "data", "message"),
    [
        (("cat", "dog"), 2, ("cat", "owl"), r"photos, whose class 1 is 'owl', the net's 'dog'\.$"),
        (("cat", "dog"), 2, ("dog", "cat"), r"photos, whose class 0 is 'dog', the net's 'cat'\.$"),
        (("cat", "dog"), 2, ("cat",), r"whose class 1 is missing, the net's 'dog'\. It has 1 classes, the net 2\.$"),
        (("cat", "dog"), 2, ("cat", "dog", "owl"), r"class 2 is 'owl', the net's missing\. It has 3 classes"),
        ((), 2, ("a", "b", "c"), r"photos with 3 classes, the net has 2\.$"),
        (NAMES, 1000, IDS[::-1], r"whose class 0 is 'n15075141', the net's 'tench'\.$"),
    ],
)
def test_other_classes_are_refused_and_the_first_difference_is_named(classes, outputs, data, message):
    with pytest.raises(UserError, match=r"^--data must hold the classes .* Received: .*" + message):
        require_classes(net(classes, outputs), data, "photos")


@pytest.mark.parametrize(
    ("net", "data", "places"),
    [
        ("abcd", "db", [3, 1]),
        ("abcd", "dcba", [3, 2, 1, 0]),
        (NAMES, (IDS[7], IDS[3]), [7, 3]),  # as Imagenette's folders
        (NAMES, (NAMES[7], NAMES[3]), [7, 3]),
        ("abcd", "abcd", None),
        (NAMES, IDS, None),
        ("abcd", "ax", None),
        ("", "ab", None),
    ],
)
def test_the_places_of_some_of_a_nets_classes_are_found_by_their_names(net, data, places):
    assert places_of_some(tuple(net), tuple(data)) == places

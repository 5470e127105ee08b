"""The data set that `--data` names.

Each kind of source has one module with one function from `Data` to `Source`, whose splits read an image by its number:

    digits.py    scikit-learn's digits
    folders.py   class folders
    lists.py     a CSV list of images and labels
    tfds.py      a set of TensorFlow Datasets

Another kind is a module like them, a line in `_opener` and one in `naming.require_source`, which checks the name before
TensorFlow starts. What reads files makes its splits by `image_files.split_of_files`, as folders and lists do.
"""

import dataclasses
from collections.abc import Callable, Collection

from vgg_keras.config import Data
from vgg_keras.data import folders, lists, tfds
from vgg_keras.data.digits import open_digits
from vgg_keras.data.naming import require_source
from vgg_keras.data.splits import Source, Split
from vgg_keras.paths import user_path

# What needs only the files or the labels of one split, by what opens the whole set.
_TESTS = {
    folders.open_folder: folders.open_test,
    lists.open_list: lists.open_test,
    tfds.open_builder: tfds.open_test,
}
# The same of what a set has for its test. Nothing is held out there: classes may have too few images for that.
_OWN_TESTS = {folders.open_folder: folders.open_own_test, lists.open_list: lists.open_own_test}


def open_source(data: Data, stated: Collection[str] = ()) -> Source:
    """The set that `data.source` names.

    Args:
        data: of the configuration.
        stated: the paths of the fields that a user states, which have an effect on the set.

    Raises:
        UserError: no such folder or set; an empty one; classes that differ between its splits; a stated field without effect.
    """
    source = _opener(data)(data)
    source.require_used(stated)
    return source


def _opener(data: Data) -> Callable[[Data], Source]:
    if data.source == "digits":
        return open_digits
    require_source(data.source, data.data_dir)
    if user_path(data.source).is_dir():
        tfds.require_no_prepared_set(user_path(data.source))
        return folders.open_folder
    if user_path(data.source).is_file():
        return lists.open_list
    return tfds.open_builder


def open_own_test(data: Data) -> Split | None:
    """The images of a set's own test, or of its own validation where it has no test; None where it has neither.

    Raises:
        UserError: as in `open_source`.
    """
    # with a validation that is held out, `test` is the set's own
    data, opener = dataclasses.replace(data, validation="held_out"), _opener(data)
    own_test = _OWN_TESTS.get(opener)
    return own_test(data) if own_test else opener(data).test


def open_test(data: Data, name: str | None) -> tuple[str, tuple[str, ...], str, Split]:
    """The images that an evaluation names: the set's description, its classes, the split's name, and the split.

    Args:
        name: `val`, `train`, `test` or `all`; None: the split of the final evaluation.

    Raises:
        UserError: as in `open_source`, or no such split.
    """
    opener = _opener(data)
    if test := _TESTS.get(opener):
        return test(data, name)
    source = opener(data)
    name = name or source.final_split
    return source.description, source.classes, name, source.split(name)

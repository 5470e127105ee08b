"""Splits that are selected, joined and held out."""

import numpy as np
import pytest

from tests.conftest import write_images
from tests.data.scans import scanned_photos
from vgg_keras.data.splits import Split, divided, held_out
from vgg_keras.errors import UserError


def test_splits_without_a_rotated_image_have_no_orientations(tmp_path):
    """So that nothing is added to the graph of a step."""
    for name in ("cat", "dog"):
        write_images(tmp_path / "photos" / name, [(40, 60)] * 5)
    assert scanned_photos(tmp_path).train.orientations is None
    plain = Split(4, lambda image: (image, image), str)
    rotated = Split(3, lambda image: (image, image), str, orientations=np.array([1, 6, 3], np.int32))
    assert plain.followed_by(plain).orientations is None
    assert plain.followed_by(rotated).orientations.tolist() == [1, 1, 1, 1, 1, 6, 3]
    assert rotated.followed_by(plain).select([1, 3, 2]).orientations.tolist() == [6, 1, 3]


def test_held_out_has_the_given_share_evenly_spaced():
    for share, expected in ((0.2, 20), (0.25, 25), (0.4, 40), (0.5, 50), (1 / 3, 33)):
        held = held_out(100, share)
        assert held.sum() == expected
        assert np.diff(np.flatnonzero(held)).max() <= np.ceil(1 / share)
    assert np.flatnonzero(held_out(10, 0.2)).tolist() == [4, 9]


def test_a_set_with_too_few_images_to_hold_one_out_is_refused():
    split = Split(4, lambda image: (image, image), str)
    train, val = divided(split, 0.25, "photos")
    assert [train.name(image) for image in range(train.size)] == ["0", "1", "2"] and val.name(0) == "3"
    with pytest.raises(UserError, match=r"needs 5 images .*\(data\.holdout=0\.2\)\. Received: photos with 4\. Name a"):
        divided(split, 0.2, "photos")

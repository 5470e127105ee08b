"""What a fusion of saved rows refuses, of whatever kind they are."""

import dataclasses

import numpy as np
import pytest

from tests.evaluation.many import few
from vgg_keras.data.splits import Split
from vgg_keras.errors import UserError
from vgg_keras.evaluation import fusion
from vgg_keras.evaluation.posteriors import Posteriors


def test_a_file_counts_once_by_whatever_path(tmp_path):
    files = [tmp_path / name for name in ("a.npz", "b.npz")]
    for path in files:
        path.touch()
    fusion.require_several(files, Posteriors)
    (tmp_path / "link.npz").symlink_to(files[0])
    for given in (
        [],
        files[:1],
        [files[0], files[0]],
        [*files, tmp_path / "link.npz"],
        [files[0], tmp_path / "." / "a.npz"],
    ):
        with pytest.raises(UserError, match=r"--fuse takes two different files of posteriors or more.* Received: "):
            fusion.require_several(given, Posteriors)


def test_the_folder_holds_nothing_of_a_single_net(tmp_path):
    (tmp_path / "posteriors.npz").touch()
    (tmp_path / "report.html").touch()
    fusion.require_folder(tmp_path, lambda path: path.name == "posteriors.npz")
    (tmp_path / "dense_Q256.npz").touch()
    with pytest.raises(
        UserError, match=r"holds nothing else\. Received: --out=.*, with dense_Q256\.npz of a single net"
    ):
        fusion.require_folder(tmp_path, lambda path: path.name == "posteriors.npz")


def test_the_reports_images_are_those_of_the_rows(random):
    """By their names, and by their bytes where both are known."""
    made = few(random)
    split = Split(7, None, lambda image: f"train/ü {image}.jpg", fingerprints=np.arange(7))
    fusion.require_images_of(made, split)
    fusion.require_images_of(made, dataclasses.replace(split, fingerprints=None))
    rule = "--data and --split must name the images that the posteriors are of. Received: others: "
    for other, words in (
        (
            dataclasses.replace(split, fingerprints=np.arange(7) // 6 * 9 + np.arange(7) % 6),
            "'train/ü 6.jpg' is another file",
        ),
        (
            dataclasses.replace(split, size=6, fingerprints=np.arange(6)),
            "image 6 is 'train/ü 6.jpg' in the first and none",
        ),
        (dataclasses.replace(split, name=str), "image 0 is 'train/ü 0.jpg' in the first and '0' in the other"),
    ):
        with pytest.raises(UserError) as caught:
            fusion.require_images_of(made, other)
        assert str(caught.value).startswith(rule + words)

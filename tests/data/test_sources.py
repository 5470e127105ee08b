"""A name that is no source is refused, and the nearest one is named."""

import pytest

from tests.conftest import write_images
from vgg_keras.config import Data
from vgg_keras.data.folders import open_unlabelled
from vgg_keras.data.sources import open_source, open_test
from vgg_keras.errors import UserError


def test_a_missing_folder_and_an_unknown_set_are_named(tmp_path):
    with pytest.raises(UserError, match=r"Received: '/no/such/folder', which is no folder"):
        open_source(Data(source="/no/such/folder"))
    (tmp_path / "photo.jpg").write_bytes(b"")
    with pytest.raises(UserError, match=r"photo\.jpg', which is a file"):
        open_source(Data(source=str(tmp_path / "photo.jpg")))
    with pytest.raises(UserError, match=r"Received: 'my/photos', which is none\. There is no folder of that name"):
        open_source(Data(source="my/photos", data_dir=str(tmp_path)))
    with pytest.raises(UserError, match=r"Received: 'digit', which is none\. Did you mean 'digits'"):
        open_source(Data(source="digit", data_dir=str(tmp_path)))
    with pytest.raises(UserError, match=r"Did you mean 'cifar10'"):
        open_source(Data(source="cifar_10", data_dir=str(tmp_path)))


def test_digits_are_the_embedded_ones_beside_a_folder_of_that_name_too(tmp_path, monkeypatch):
    """In a training, in an evaluation and for descriptors."""
    for name in ("cat", "dog"):
        write_images(tmp_path / "digits" / name, [(8, 8)] * 5)
    monkeypatch.chdir(tmp_path)
    data = Data(source="digits")
    assert open_source(data).val.size == open_test(data, None)[3].size == 359
    write_images(tmp_path / "plain", [(8, 8)])
    (tmp_path / "digits").rename(tmp_path / "classes")
    (tmp_path / "plain").rename(tmp_path / "digits")
    assert open_unlabelled(data) is None and open_unlabelled(Data(source="./digits"))[3].size == 1

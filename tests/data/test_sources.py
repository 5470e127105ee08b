"""A name that is no source is refused, and the nearest one is named."""

import pytest

from vgg_keras.config import Data
from vgg_keras.data.sources import open_source
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

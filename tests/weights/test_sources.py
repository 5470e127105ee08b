"""A source of weights is judged before it is opened."""

import os

import pytest

from vgg_keras.errors import UserError
from vgg_keras.weights.sources import digest_of, require_source


def test_what_is_no_regular_file_is_refused_unread(tmp_path):
    os.mkfifo(tmp_path / "fifo.pth")
    (tmp_path / "zero.h5").symlink_to("/dev/zero")
    for name in ("fifo.pth", "zero.h5"):
        for judge in (require_source, lambda path: digest_of(path, "D")):
            with pytest.raises(UserError, match=rf"Weights come from a file or a run's folder\. Received: .*{name}"):
                judge(tmp_path / name)

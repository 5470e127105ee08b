"""A source is read as what it says, what is assumed of it is printed, and a damaged file is refused in one line."""

import hashlib
import os
import shutil
import signal
import time

import keras
import pytest
import scipy.io

from tests.weights import sources
from tests.weights.sources import BGR_MEAN, convolutions_and_fc, save_torch, small, torch_vgg
from vgg_keras import stop
from vgg_keras.errors import StoppedError, UserError
from vgg_keras.files import sha256
from vgg_keras.weights.load import load_net
from vgg_keras.weights.read import read
from vgg_keras.weights.source_weights import CAFFE
from vgg_keras.weights.verify import PINNED


def test_what_is_assumed_of_a_files_images_is_printed(tmp_path, capsys, monkeypatch):
    net = torch_vgg("A", width=1 / 16, crop=32)
    save_torch(net, tmp_path / "vgg.pth")
    save_torch(net, tmp_path / "vgg.safetensors")
    (tmp_path / "vgg.caffemodel").write_bytes(sources.caffemodel(convolutions_and_fc(net)))
    scipy.io.savemat(tmp_path / "vgg.mat", sources.matconvnet(convolutions_and_fc(net), BGR_MEAN[::-1]), oned_as="row")
    for name, words in (
        ("vgg.pth", "read as torchvision's, RGB in 0-1, normalised by the mean 0.485, 0.456, 0.406 and the deviation"),
        ("vgg.safetensors", "read as torchvision's, RGB in 0-1"),
        (
            "vgg.caffemodel",
            "read as the authors', BGR minus the mean 103.939, 116.779, 123.68; the file does not say so",
        ),
        ("vgg.mat", ""),
    ):
        torch_file = name.endswith((".pth", ".safetensors"))
        load_net(tmp_path / name, stated={"crop": 32} if torch_file else None)
        printed = capsys.readouterr().err
        assert printed.count("\n") == bool(words) + torch_file and words in printed
        head = (
            "ReLU behind its hidden FC layers, one label per image (soft-max; sigmoids are stated by --set=architecture"
        )
        assert (head in printed) == torch_file
    load_net(tmp_path / "vgg.pth", stated={"crop": 32, "multi_label": True})
    assert "one label" not in capsys.readouterr().err
    # a public name implies it
    path = tmp_path / "VGG_ILSVRC_16_layers.caffemodel"
    shutil.copy(tmp_path / "vgg.caffemodel", path)
    monkeypatch.setitem(PINNED, path.name, ("sha256", sha256(path)))
    load_net(path)
    assert capsys.readouterr().err == ""


@pytest.mark.slow
def test_imagenet_is_the_file_that_keras_downloads_and_verifies(tmp_path, applications_h5, monkeypatch):
    from keras.src.applications import vgg16

    path = tmp_path / "vgg16_weights_tf_dim_ordering_tf_kernels.h5"
    path.symlink_to(applications_h5)
    downloads = []

    def get_file(name, url, cache_subdir, file_hash):
        downloads.append((name, url, file_hash))
        return str(path)

    monkeypatch.setattr(keras.utils, "get_file", get_file)
    # the file that Keras downloads has this hash; another under its name is refused before it is parsed
    with pytest.raises(UserError, match=r"is a public file, with md5 64373286793e3c8b2b4e3219cbf3544b\. Received: "):
        read("imagenet")
    assert downloads == [(path.name, vgg16.WEIGHTS_PATH, "64373286793e3c8b2b4e3219cbf3544b")]
    monkeypatch.setitem(PINNED, path.name, ("md5", hashlib.md5(path.read_bytes()).hexdigest()))
    weights, found = read("imagenet")
    assert found == sha256(path) and weights.preprocessing == CAFFE and weights.assumed == ""
    with pytest.raises(UserError, match=r"'imagenet' has weights of D and E, the authors' two\. Received: A\."):
        read("imagenet", "A")


def test_a_stop_ends_the_download_where_it_is(monkeypatch):
    """Half a gigabyte takes minutes, and longer where the connection stalls."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    monkeypatch.setattr(stop, "_requested", False)

    def get_file(*_, **__):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(5)
        raise OSError("the whole file is there")

    monkeypatch.setattr(keras.utils, "get_file", get_file)
    stop.listen()
    try:
        with pytest.raises(StoppedError):
            read("imagenet")
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def test_a_cut_file_of_every_format_is_refused_by_its_name(tmp_path, refused):
    net, model = torch_vgg("A", width=1 / 16, crop=32), small()
    save_torch(net, tmp_path / "vgg.pth")
    save_torch(net, tmp_path / "vgg.safetensors")
    model.save_weights(tmp_path / "net.weights.h5")
    model.save(tmp_path / "net.keras")
    (tmp_path / "vgg.caffemodel").write_bytes(sources.caffemodel(convolutions_and_fc(net)))
    for path in sorted(tmp_path.iterdir()):
        content = path.read_bytes()
        for cut in (b"", content[: len(content) // 2], b"<html>" + content[:100]):
            path.write_bytes(cut)
            refused(path, rf"{path.name}")


def test_another_sha256_is_refused(tmp_path, refused):
    path = save_torch(torch_vgg("A", width=1 / 16, crop=32), tmp_path / "vgg.pth")
    refused(path, r"must have the expected sha256, 12ab", sha256="12ab")

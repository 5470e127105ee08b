"""MatConvNet's `.mat` files: the loaded net's logits of photographs are those of the net that they hold, with its classes."""

import numpy as np
import pytest
import scipy.io

from tests.weights.sources import (
    BGR_MEAN,
    as_caffe,
    convolutions_and_fc,
    difference,
    logits,
    matconvnet,
    ours,
    torch_vgg,
)
from vgg_keras.weights.classes import imagenet_classes, require_classes
from vgg_keras.weights.formats import matconvnet as matconvnet_file
from vgg_keras.weights.load import load_net


@pytest.mark.parametrize("form", ["weights", "filters"])
def test_logits_are_those_of_matconvnet(tmp_path, photos, form):
    net = torch_vgg("D", width=1 / 16, crop=64)
    saved = matconvnet(convolutions_and_fc(net), BGR_MEAN[::-1], form)
    scipy.io.savemat(tmp_path / "vgg.mat", saved, oned_as="row")
    loaded = load_net(tmp_path / "vgg.mat")
    assert difference(f".mat with {form}", ours(loaded.model, photos), logits(net, as_caffe(photos))) <= 1e-4
    assert loaded.classes == tuple(f"class {number}" for number in range(7))


def test_imagenets_classes_have_the_names_of_their_ids(tmp_path):
    ids, names = imagenet_classes()
    net = torch_vgg("A", width=1 / 16, crop=32, classes=1000)
    saved = matconvnet(convolutions_and_fc(net), BGR_MEAN[::-1])
    saved["meta"]["classes"] = {
        "name": np.array([ids], object),
        "description": np.array([[f"{n}, x" for n in names]], object),
    }
    scipy.io.savemat(tmp_path / "vgg.mat", saved, oned_as="row")
    loaded = load_net(tmp_path / "vgg.mat")
    assert loaded.classes == names
    require_classes(loaded, ids, "imagenet2012")


def test_a_mean_image_becomes_one_mean_and_a_line_says_so(tmp_path):
    saved = matconvnet(convolutions_and_fc(torch_vgg("A", width=1 / 16, crop=32)), BGR_MEAN[::-1])
    for image, changed in ((np.full((4, 4, 1), 0.0), False), (np.arange(16.0).reshape(4, 4, 1) - 7.5, True)):
        saved["meta"]["normalization"]["averageImage"] = BGR_MEAN[::-1] + image
        scipy.io.savemat(tmp_path / "vgg.mat", saved, oned_as="row")
        source = matconvnet_file.read(tmp_path / "vgg.mat")
        assert np.allclose(source.preprocessing.mean, BGR_MEAN[::-1])
        assert source.notes == (("its mean image becomes one mean for each channel",) if changed else ())


def test_a_damaged_file_is_refused(tmp_path, refused):
    (tmp_path / "vgg.mat").write_bytes(b"MATLAB 5.0 MAT-file" + bytes(200))
    refused(tmp_path / "vgg.mat", r"vgg\.mat")

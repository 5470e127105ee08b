"""The authors' `.caffemodel` files: the loaded net's logits of photographs are those of the net that they hold."""

import struct

import numpy as np
import pytest

from tests.weights import sources
from tests.weights.sources import as_caffe, difference, ours
from vgg_keras.config import Architecture
from vgg_keras.errors import UserError
from vgg_keras.weights.convert import convert
from vgg_keras.weights.formats import caffe
from vgg_keras.weights.load import load_net
from vgg_keras.weights.source_weights import CAFFE


@pytest.mark.parametrize("form", ["layers of 2014", "layer"])
def test_logits_are_the_authors_nets(tmp_path, photos, form):
    net = sources.torch_vgg("E" if form == "layer" else "D", width=1 / 16, crop=64)
    path = tmp_path / "VGG_ILSVRC.caffemodel"
    path.write_bytes(sources.caffemodel(sources.convolutions_and_fc(net), first_form=form != "layer"))
    expected = sources.logits(net, as_caffe(photos))
    assert difference(f"caffemodel, {form}", ours(load_net(path).model, photos), expected) <= 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("form", ["layers of 2014", "layer"])
def test_a_files_own_preprocessing_is_used(tmp_path, random, form, capsys):
    images = random.uniform(0, 255, (4, 32, 32, 3)).astype(np.float32)
    net, first = sources.torch_vgg("A", width=1 / 16, crop=32), form != "layer"
    whole = sources.caffemodel(sources.convolutions_and_fc(net), first_form=first)

    def data(**fields):
        """A layer that reads images."""
        floats = [(1, value) for value in fields.get("scale", ())] + [
            (5, value) for value in fields.get("mean_value", ())
        ]
        stated = b"".join(sources.field(4, name.encode()) for name in fields.get("mean_file", ()))
        stated += b"".join(sources.varint(number << 3 | 5) + struct.pack("<f", value) for number, value in floats)
        stated += sources.field(2, 1) + sources.field(3, 224)  # mirror, crop_size
        return sources.field(2 if first else 100, sources.field(36 if first else 100, stated))

    path = tmp_path / "net.caffemodel"
    for fields, expected in (
        ({"mean_value": (104.0, 117.0, 123.0)}, images[..., ::-1] - np.float32([104, 117, 123])),
        ({"mean_value": (127.5,), "scale": (1 / 128,)}, (images[..., ::-1] - 127.5) / 128),
        ({"scale": (1 / 256,)}, images[..., ::-1] / 256),  # Caffe subtracts no mean then
        ({"mean_file": ("mean.binaryproto",), "scale": (1 / 128,)}, as_caffe(images) / 128),
        ({}, as_caffe(images)),
    ):
        path.write_bytes(data(**fields) + whole)
        found = ours(load_net(path).model, images)
        assert difference(str(fields), found, sources.logits(net, expected)) <= 1e-4
        assert ("the file does not say so" in capsys.readouterr().err) == (not fields or "mean_file" in fields)
    path.write_bytes(data(mean_value=(1.0, 2.0, 3.0)) + data(mean_value=(4.0, 2.0, 3.0)) + whole)
    with pytest.raises(
        UserError, match=r"one mean, of one or three values, and one scale\. Received: .*net\.caffemodel"
    ):
        load_net(path)


def test_the_last_layer_may_have_been_named_anew(tmp_path):
    """As Caffe fine-tunes: a layer of another name begins with random weights."""
    net = sources.convolutions_and_fc(sources.torch_vgg("A", width=1 / 16, crop=32))
    renamed = {name.replace("fc8", "fc8_flickr"): arrays for name, arrays in net.items()}
    (tmp_path / "net.caffemodel").write_bytes(sources.caffemodel(renamed))
    architecture = Architecture("A", num_classes=7, crop=32, width=1 / 16, mean=CAFFE.mean)
    converted = convert(caffe.read(tmp_path / "net.caffemodel"), architecture)
    assert np.array_equal(converted["predictions"][0], net["fc8"][0].T)
    more = renamed | {"fc9": net["fc8"]}  # which of the two is the last is not known
    (tmp_path / "net.caffemodel").write_bytes(sources.caffemodel(more))
    with pytest.raises(UserError, match="missing: fc8; left over: fc8_flickr, fc9"):
        convert(caffe.read(tmp_path / "net.caffemodel"), architecture)


def test_a_blob_of_another_size_than_its_shape_says_is_refused(tmp_path, refused):
    blob = sources.caffemodel({"conv1_1": [np.zeros((2, 3, 3, 3), np.float32)]})
    path = tmp_path / "lies.caffemodel"
    path.write_bytes(blob.replace(sources.field(1, 2) + sources.field(2, 3), sources.field(1, 9) + sources.field(2, 3)))
    refused(path, r"as its shape says\. Received: .*lies\.caffemodel, whose conv1_1 has 216 bytes for \(9, 3, 3, 3\)")

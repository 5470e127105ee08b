"""Weights without their model, by shapes and order: the net's own `predict` on RGB pictures is the truth."""

import h5py
import numpy as np
import pytest
from keras import layers as kl

from tests.weights.formats import thin_nets
from tests.weights.formats.fine_tuned import NETS, equal, filled, images_of
from tests.weights.sources import as_caffe
from vgg_keras.errors import UserError
from vgg_keras.weights.load import load_net

ALONE = [
    "the tutorial's",
    "global average",
    "pooling=max",
    "a head in a model",
    "the whole net",
]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ALONE)
def test_weights_alone_are_ordered_by_their_shapes(tmp_path, kind, capsys):
    """Rescaling's numbers are not in the file, nor is a crop behind a pooling: they are stated."""
    model = filled(NETS[kind]())
    model.save_weights(tmp_path / "net.weights.h5")
    images = images_of(model)
    stated = {"crop": images.shape[1]}
    taken = images
    if kind == "a head in a model":
        with pytest.raises(UserError, match=r"Give a model, or --set=architecture\.mean=R,G,B"):
            load_net(tmp_path / "net.weights.h5")
        stated |= {"mean": (120.0, 110.0, 100.0), "std": tuple(np.sqrt([3000.0, 4000.0, 5000.0]))}
    else:
        taken = as_caffe(images) if kind == "the whole net" else images
    loaded = load_net(tmp_path / "net.weights.h5", stated=stated)
    assert equal(f"{kind}, weights", loaded, model, images, taken)
    assert ("read as Keras Applications'" in capsys.readouterr().err) == ("mean" not in stated)
    if kind in ("global average", "pooling=max"):
        with pytest.raises(UserError, match=r"does not hold the crop\. .* Name it: --set=architecture\.crop=224"):
            load_net(tmp_path / "net.weights.h5")


def test_weights_alone_of_a_net_with_a_layer_of_its_own_are_refused(tmp_path):
    """The file has the layer's name and not what it does."""
    from keras.src.legacy.saving import legacy_h5_format

    for layer, message in (
        (
            kl.Rescaling(1 / 255),
            r"gives weights only, not what its net does to images first\. .*Rescaling\(1/255\) is mean=0",
        ),
        (kl.UnitNormalization(), r"with the layer unit_normalization.*, whose .*Save the whole model"),
    ):
        with h5py.File(tmp_path / "weights.h5", "w") as file:
            legacy_h5_format.save_weights_to_hdf5_group(
                file, thin_nets.functional([layer, *thin_nets.convolutions(), *thin_nets.head()])
            )
        with pytest.raises(UserError, match=message):
            load_net(tmp_path / "weights.h5")

"""A model that Keras saved whole: its own `predict` on RGB pictures is the truth, and another order of layers is refused."""

import keras
import pytest
from keras import layers as kl

from tests.weights.formats import fine_tuned
from tests.weights.formats.fine_tuned import NETS, filled, images_of
from tests.weights.formats.thin_nets import convolutions, equal, fields, functional, head, other, scaled, sequential
from tests.weights.sources import as_caffe
from vgg_keras.weights.load import load_net


@pytest.mark.slow
def test_nets_of_every_form_are_read(tmp_path, images):
    forms = {
        "batch norm": [kl.Rescaling(1 / 255), *convolutions(batch_norm=True), *head()],
        "leaky": [kl.Rescaling(1 / 255), *convolutions(activation="leaky_relu"), *head(activation="leaky_relu")],
        "names of its own": [kl.Rescaling(1 / 255), *convolutions(named=False), *head()],
        "soft-max": [kl.Rescaling(1 / 255), *convolutions(), *head(end="softmax")],
        "soft-max behind": [kl.Rescaling(1 / 255), *convolutions(), *head(), kl.Softmax()],
        "one in another": [kl.Rescaling(1 / 255), sequential(convolutions()), *head()],
        "deeper": [functional([kl.Rescaling(1 / 127.5, -1), functional(convolutions(batch_norm=True))]), *head()],
        "pooled": [
            kl.Rescaling(1 / 255),
            *convolutions(),
            kl.GlobalAveragePooling2D(),
            kl.Dense(5, name="predictions"),
        ],
    }
    for place, (form, layers) in enumerate(forms.items()):
        model = scaled((functional, sequential)[place % 2](layers))
        for ending in ("h5", "keras"):
            model.save(tmp_path / f"net.{ending}")
            loaded = load_net(tmp_path / f"net.{ending}")
            assert equal(loaded, model, images, shifted="soft" in form), form
        assert loaded.config.architecture.head == ("gap" if form == "pooled" else "fc")


REFUSED = {
    "no activation": (fields("block2_conv1", activation="linear"), "block2_pool behind block2_conv1, not activation"),
    "activations that differ": (fields("fc1", activation="leaky_relu"), "layers of one kind that differ"),
    "a soft-max within": (fields("fc1", activation="softmax"), "a soft-max at fc1, before the end"),
    "another pool": (other("block1_pool", class_name="AveragePooling2D"), "AveragePooling2D"),
    "a resizing first": (other("scale", class_name="Resizing"), "Resizing"),
    "batch norm first": (other("scale", class_name="BatchNormalization"), "scale, batch norm before the first conv"),
    "without its pool": (other("block5_pool", class_name="Dropout"), r"block5_pool|missing"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_layers_in_another_order_are_refused(refused_when, kind):
    refused_when(*REFUSED[kind])


# ---- fine-tuned nets of Keras Applications


H5 = ("the tutorial's", "a head in a model", "batch norm behind the activation", "arithmetic")  # saved so too


@pytest.mark.slow
@pytest.mark.parametrize("kind", NETS)
def test_what_people_save_is_loaded(tmp_path, kind, capsys):
    keras.utils.set_random_seed(1)
    model = filled(NETS[kind]())
    model.compile("adam", "categorical_crossentropy")
    endings = ("keras", "h5") if kind in H5 else ("keras",)
    for ending in endings:
        model.save(tmp_path / f"net.{ending}")
    images = images_of(model)
    for ending in endings:
        capsys.readouterr()
        loaded = load_net(tmp_path / f"net.{ending}")
        assumed = "read as Keras Applications', BGR" in capsys.readouterr().err
        assert assumed == (kind in ("on its output", "the whole net"))
        assert fine_tuned.equal(f"{kind}, {ending}", loaded, model, images, as_caffe(images) if assumed else images)
        assert loaded.config.architecture.crop == images.shape[1]
        assert loaded.config.architecture.multi_label == (kind == "several labels")

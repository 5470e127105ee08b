"""What the tests of weights share: small photographs, Keras Applications' VGG16, and what a refusal must leave unchanged."""

import h5py
import keras
import numpy as np
import pytest

import vgg_keras
from tests.weights.sources import TORCHVISION_MEAN, small
from vgg_keras.data.decoding import decode
from vgg_keras.data.rescaling import center_crop
from vgg_keras.errors import UserError


@pytest.fixture(scope="session")
def photos(photographs):
    """Three photographs' centre crops, (3, 64, 64, 3) uint8 RGB: two positions a side at fc1, so that its order matters."""
    crops = [center_crop(decode(path.read_bytes()), 80, 64, "bilinear") for path in photographs[:3]]
    return np.round(np.stack(crops)).clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="session")
def applications():
    """VGG16 of Keras Applications at crop 64 for eleven classes, with random weights and biases."""
    keras.utils.set_random_seed(1)
    net = keras.applications.VGG16(weights=None, input_shape=(64, 64, 3), classes=11, classifier_activation=None)
    for layer in net.layers:
        if layer.weights:
            kernel, bias = layer.get_weights()
            layer.set_weights([kernel, np.random.default_rng(0).normal(0, 0.5, bias.shape)])
    return net


@pytest.fixture(scope="session")
def applications_h5(applications, tmp_path_factory):
    """Its weights as the files that Keras Applications downloads."""
    from keras.src.legacy.saving import legacy_h5_format

    path = tmp_path_factory.mktemp("applications") / "weights.h5"
    with h5py.File(path, "w") as file:
        legacy_h5_format.save_weights_to_hdf5_group(file, applications)
    return path


@pytest.fixture(scope="session")
def applications_notop_h5(applications, tmp_path_factory):
    """The same without the FC layers."""
    from keras.src.legacy.saving import legacy_h5_format

    path = tmp_path_factory.mktemp("applications") / "notop.h5"
    with h5py.File(path, "w") as file:
        legacy_h5_format.save_weights_to_hdf5_group(
            file, keras.Model(applications.input, applications.get_layer("block5_pool").output)
        )
    return path


@pytest.fixture(scope="session")
def torchvision_target():
    """A model that takes the weights of `sources.torch_vgg("A", width=1 / 16, crop=32)`."""
    return small(num_classes=7, mean=TORCHVISION_MEAN)


@pytest.fixture
def refused(torchvision_target):
    """Asserts that a source is refused with a message in one line, and that the net keeps its weights."""

    def check(source, message, model=None, **arguments):
        model = model or torchvision_target
        before = [array.copy() for array in model.get_weights()]
        with pytest.raises(UserError, match=message) as caught:
            vgg_keras.load_weights(model, source, **arguments)
        assert "\n" not in str(caught.value)
        assert all(np.array_equal(*pair) for pair in zip(before, model.get_weights(), strict=True))

    return check

"""What the tests of formats share: pictures, and a whole Keras model that is refused once its description is changed."""

import keras
import numpy as np
import pytest
from keras import layers as kl

from tests.weights.formats.thin_nets import convolutions, head, stored
from vgg_keras.errors import UserError
from vgg_keras.weights.load import load_net


@pytest.fixture
def images(random):
    return random.integers(0, 256, (4, 32, 32, 3)).astype(np.float32)


@pytest.fixture(scope="session")
def whole(tmp_path_factory):
    """A whole model that begins with a division, as .h5."""
    image = keras.Input((32, 32, 3), name="image")
    x = kl.Rescaling(1 / 255, name="scale")(image)
    for layer in [*convolutions(), *head()]:
        x = layer(x)
    path = tmp_path_factory.mktemp("whole") / "net.h5"
    keras.Model(image, x).save(path)
    return path


@pytest.fixture
def refused_when(tmp_path, whole):
    """Asserts that the whole model is refused in one line once a function has changed its configuration."""

    def check(change, message):
        path = tmp_path / "net.h5"
        path.write_bytes(whole.read_bytes())
        stored(path, change)
        with pytest.raises(UserError, match=rf"Received: .*net\.h5.*{message}") as caught:
            load_net(path)
        assert "\n" not in str(caught.value) and len(str(caught.value)) < 600

    return check

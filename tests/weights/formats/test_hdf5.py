"""Arrays in HDF5 files: of fewer bits, and files that reach out of themselves or swell in memory."""

import h5py
import keras
import numpy as np
import pytest
from keras import layers as kl

from tests.weights.formats.fine_tuned import applications, filled, on_output
from tests.weights.formats.thin_nets import convolutions, functional, head
from tests.weights.sources import small
from vgg_keras.errors import UserError
from vgg_keras.weights.formats import hdf5
from vgg_keras.weights.load import load_net


@pytest.mark.slow
@pytest.mark.parametrize(("dtype", "ending"), [("float16", "keras"), ("bfloat16", "keras"), ("bfloat16", "h5")])
def test_weights_of_fewer_bits_are_read(tmp_path, dtype, ending):
    """Keras itself does not read its bf16 in an `.h5`."""
    keras.config.set_dtype_policy(dtype)
    try:
        base = applications(side=32, thin=32)
        small = on_output(base, kl.Flatten(), kl.Dense(8, "relu"), kl.Dense(3))
        filled(small).save(tmp_path / f"net.{ending}")
    finally:
        keras.config.set_dtype_policy("float32")
    loaded = load_net(tmp_path / f"net.{ending}").model
    pairs = zip(
        [layer for layer in small._flatten_layers() if layer.weights and not isinstance(layer, keras.Model)],
        [layer for layer in loaded._flatten_layers() if layer.weights and not isinstance(layer, keras.Model)],
        strict=True,
    )
    for theirs, own in list(pairs)[1:]:  # the first one's channels are turned
        for before, after in zip(theirs.get_weights(), own.get_weights(), strict=True):
            assert np.array_equal(np.asarray(before, np.float32), after)


def test_integers_are_refused_by_their_place_and_kind(tmp_path):
    for name in ("net.keras", "net.h5"):
        model = functional([*convolutions(), *head()])
        model.quantize("int8", filters=["fc2"])
        model.save(tmp_path / name)
        with pytest.raises(
            UserError, match=rf"Received: .*{name}, whose /.*(dense_1|fc2)/.* is of int8\. Save the model"
        ):
            load_net(tmp_path / name)


def test_the_count_of_a_normalization_is_not_read(tmp_path):
    """Of weights alone: Keras 3's by its place, Keras 2's by its name."""
    normalization = kl.Normalization(name="of_images")
    normalization.adapt(np.arange(2 * 32 * 32 * 3, dtype=np.float32).reshape(2, 32, 32, 3))
    functional([normalization, *convolutions(), *head()]).save_weights(tmp_path / "net.weights.h5")
    mean = load_net(tmp_path / "net.weights.h5", stated={"crop": 32}).config.architecture.mean
    assert np.allclose(mean, normalization.mean.numpy().ravel())
    with h5py.File(tmp_path / "weights.h5", "w") as file:
        group = file.create_group("of_images")
        group["mean:0"], group["variance:0"], group["count:0"] = np.ones(3), np.ones(3), np.int64(7)
        group.attrs["weight_names"] = ["mean:0", "variance:0", "count:0"]
        file.attrs["layer_names"] = ["of_images"]
        assert len(hdf5.keras_2_weights(file, None, tmp_path)["of_images"]) == 2


def test_files_that_reach_out_of_themselves_are_refused(tmp_path, refused):
    outside, target = tmp_path / "outside.h5", small()
    with h5py.File(outside, "w") as file:
        file["secret"] = np.zeros((3, 3, 3, 4), np.float32)
    for kind in ("link", "soft", "storage"):
        path = tmp_path / f"{kind}.weights.h5"
        target.save_weights(path)
        with h5py.File(path, "a") as file:
            del file["layers/conv2d/vars/0"]
            if kind == "link":
                file["layers/conv2d/vars/0"] = h5py.ExternalLink(str(outside), "secret")
            elif kind == "soft":
                file["layers/conv2d/vars/0"] = h5py.SoftLink("/layers/conv2d_1/vars/0")
            else:
                file["layers/conv2d/vars"].create_dataset("0", (3, 3, 3, 4), "f4", external=[(str(outside), 0, 432)])
        refused(path, r"holds them itself\. Received: .*vars/0.* (is a link elsewhere|lies in another file)", target)


def test_an_array_that_swells_in_memory_is_refused_unread(tmp_path, refused):
    path, target = tmp_path / "net.weights.h5", small()
    target.save_weights(path)
    with h5py.File(path, "a") as file:
        del file["layers/conv2d/vars/0"]
        file["layers/conv2d/vars"].create_dataset("0", (10**6, 10**6), "f4")  # no byte of it is there
    refused(path, r"must hold a net's weights\. Received: .*4,000,000,000,000 bytes once read", target)

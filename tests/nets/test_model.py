"""A net knows its `Architecture`, through every way in which Keras copies or stores a model; other models know none."""

import copy
import os
import pickle
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

import vgg_keras
from vgg_keras.config import Architecture
from vgg_keras.errors import UserError
from vgg_keras.nets.builder import build
from vgg_keras.nets.dense import to_fully_convolutional
from vgg_keras.nets.feature_maps import feature_maps
from vgg_keras.nets.model import VGG, FullyConvolutional, architecture_of

# Fields that the layers do not show are among them: dropout of a net without FC layers, initial values.
ARCHITECTURE = Architecture(
    "A-LRN",
    num_classes=3,
    width=0.07,
    crop=32,
    mean=(1.0, 2.5, 3.0),
    std=(1.0, 1.0, 2.0),
    head="gap",
    dropout=0.25,
    activation="leaky_relu",
    negative_slope=0.1,
    initializer="he",
    fc_initializer="gaussian",
)


@pytest.fixture(scope="module")
def net():
    made = build(ARCHITECTURE, seed=1)
    made.get_layer("block1_conv1").trainable = False
    return made


@pytest.fixture(scope="module")
def dense(net):
    return to_fully_convolutional(net)


def stored(model, path):
    model.save(path)
    return keras.saving.load_model(path)


COPIES = {
    "keras file": lambda model, folder: stored(model, folder / "net.keras"),
    "from_config": lambda model, _: type(model).from_config(model.get_config()),
    "json": lambda model, _: keras.models.model_from_json(model.to_json()),
    "deepcopy": lambda model, _: copy.deepcopy(model),
    "pickle": lambda model, _: pickle.loads(pickle.dumps(model)),
}


def test_a_built_net_has_every_field_of_its_architecture(net, dense):
    assert type(net) is VGG and type(dense) is FullyConvolutional
    assert net.architecture == dense.architecture == architecture_of(net) == ARCHITECTURE
    assert build("A", width=1 / 16, crop=32).architecture.num_classes == 1000  # what is not given is resolved


@pytest.mark.slow
@pytest.mark.parametrize("way", COPIES)
@pytest.mark.parametrize("kind", ["net", "dense"])
def test_a_copy_has_the_architecture(request, tmp_path, kind, way):
    model = request.getfixturevalue(kind)
    made = COPIES[way](model, tmp_path)
    assert type(made) is type(model) and made.architecture == ARCHITECTURE
    assert not made.get_layer("block1_conv1").trainable and made.get_layer("block2_conv1").trainable
    made.set_weights(model.get_weights())
    image = np.full((1, 32, 32, 3), 200.0, np.float32)
    assert np.array_equal(made.predict(image, verbose=0), model.predict(image, verbose=0))


@pytest.mark.slow
@pytest.mark.parametrize(
    "imports",
    [
        pytest.param("import keras, vgg_keras", marks=pytest.mark.full),
        "import vgg_keras, keras",
        "import vgg_keras; vgg_keras.UserError; from vgg_keras.config import Config; vgg_keras.build; import keras",
    ],
)
def test_a_new_process_opens_what_was_saved_once_the_package_is_imported(net, dense, tmp_path, imports):
    """In a process of its own: Keras finds the classes of a file only if they are imported."""
    net.save(tmp_path / "net.keras")
    net.save(tmp_path / "net.h5")
    dense.save(tmp_path / "dense.keras")
    feature_maps(net, "pool1").save(tmp_path / "maps.keras")
    image = keras.Input((32, 32, 3))
    compiled = keras.Model(image, keras.layers.Conv2D(3, 1)(image))
    compiled.compile(vgg_keras.SGDW(5e-5), vgg_keras.PerceptualDistance(net, layers="relu1_1"))
    compiled.save(tmp_path / "compiled.keras")
    code = (
        f"{imports}\n"
        "opened = [keras.saving.load_model(f'{name}.keras') for name in ('net', 'dense', 'maps', 'compiled')]\n"
        "opened.append(keras.saving.load_model('net.h5', custom_objects={'VGG': vgg_keras.VGG}))\n"
        "print(*[type(one).__name__ for one in opened], type(opened[3].optimizer) is vgg_keras.SGDW)"
    )
    words, root = [sys.executable, "-c", code], Path(vgg_keras.__file__).parents[1]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.stdout == "VGG FullyConvolutional FeatureMaps Functional VGG True\n", done.stderr


@pytest.mark.parametrize("head", ["fc", "gap"])
def test_images_of_another_size_are_refused_in_a_line_also_when_predict_is_traced(head):
    model, images = build("A", num_classes=3, crop=32, width=1 / 64, head=head), np.zeros((2, 64, 64, 3), np.uint8)
    for _ in range(2):  # before it is traced, and after
        for wrong in (images, images[0, :32, :32], images[:, :32], images[0, 0]):
            with pytest.raises(
                UserError, match=rf"of 32 x 32 pixels\. Received: {' x '.join(map(str, wrong.shape))}\. One"
            ):
                model.predict(wrong, verbose=0)
        assert model.predict(images[:, :32, :32], verbose=0).shape == (2, 3)
    assert model.predict(keras.ops.convert_to_tensor(images[:1, :32, :32]), verbose=0).shape == (1, 3)
    if head == "gap":  # a clone may take others
        clone = keras.models.clone_model(model, input_tensors=keras.Input((None, 64, 3), name="image"))
        assert clone.predict(images[:, :40], verbose=0).shape == (2, 3)


def test_fit_and_evaluate_refuse_images_of_another_size_also_when_they_are_traced():
    model = build("A", num_classes=3, crop=32, width=1 / 64, head="gap")
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True), jit_compile=False)
    large, labels = np.zeros((2, 64, 64, 3), np.float32), np.zeros(2, np.int32)
    images, weights = large[:, :32, :32], model.get_weights()
    one_by_one = tf.data.Dataset.from_tensor_slices((images, labels))
    batches = tf.data.Dataset.from_tensor_slices((large, labels)).batch(2)
    for _ in range(2):  # before they are traced, and after
        for method in (model.evaluate, model.fit):
            for wrong, shape in (((large, labels), "2 x 64 x 64 x 3"), ([batches], "any x 64 x 64 x 3")):
                with pytest.raises(
                    UserError, match=rf"^{method.__name__}\(\) takes .* 32 x 32 pixels. Received: {shape}"
                ):
                    method(*wrong, verbose=0)
            with pytest.raises(UserError, match=r"Received: 32 x 32 x 3\. .* has batches by \.batch\(32\)"):
                method(one_by_one, verbose=0)
        with pytest.raises(UserError, match=r"^fit\(\) takes .*Received: 2 x 64 x 64 x 3"):
            model.fit(images, labels, validation_data=(large, labels), verbose=0)
        assert all(map(np.array_equal, model.get_weights(), weights))
        model.evaluate(images, labels, verbose=0)
        model.fit(one_by_one.batch(2), validation_data=(images, labels), shuffle=False, verbose=0)
        weights = model.get_weights()


def test_images_of_other_channels_are_refused_in_a_line_also_when_predict_is_traced(net, dense):
    images, maps = np.full((2, 32, 32, 3), 200, np.uint8), feature_maps(net, "pool1")
    for model in (net, dense, maps):
        expected = model.predict(images[:1], verbose=0)
        model.predict(images, verbose=0)
        with pytest.raises(UserError, match=r"^This net takes .* of 3 channels. Received: 2 x 32 x 32 x 4\.$"):
            model.predict(np.zeros((2, 32, 32, 4), np.uint8), verbose=0)
        grey = model.predict(images[:1, ..., :1], verbose=0)  # as RGB of equal values
        for one, other in zip(keras.tree.flatten(grey), keras.tree.flatten(expected), strict=True):
            assert np.allclose(one, other, rtol=1e-4, atol=1e-4)
    in_grey = build("A", num_classes=3, crop=32, width=1 / 64, channels=1, mean=(127.0,))
    assert in_grey.predict(images[..., 0], verbose=0).shape == (2, 3)  # Keras adds the channels' axis


@pytest.mark.slow
def test_one_image_and_small_grey_images_are_refused_in_a_line_by_nets_of_any_size():
    """Keras's message held the image's values."""
    model = build("A", num_classes=3, crop=40, width=1 / 32, channels=1)
    dense, maps = to_fully_convolutional(model), feature_maps(model, "fc1")
    image = np.zeros((64, 64), np.float32)
    for call in (dense.predict, maps, maps.predict):
        with pytest.raises(UserError, match=r"takes batches of images .* Received: 64 x 64\. One image is"):
            call(image)
    dense.predict(image[None], verbose=0)  # a batch of grey images without the axis of one channel
    with pytest.raises(UserError, match=r"at least 40x40 pixels\. Received: 32x64"):
        dense.predict(np.zeros((1, 32, 64), np.float32))


@pytest.mark.slow
def test_a_clone_of_keras_computes_the_same_and_does_not_know_its_architecture(net, tmp_path):
    clone = keras.models.clone_model(net)
    clone.set_weights(net.get_weights())
    image = np.full((1, 32, 32, 3), 200.0, np.float32)
    assert np.array_equal(clone.predict(image, verbose=0), net.predict(image, verbose=0))
    for one in (clone, stored(clone, tmp_path / "clone.keras")):
        with pytest.raises(UserError, match=r"Received: 'vgg_a_lrn', such a copy\. Copy with type\(net\)\.from_config"):
            architecture_of(one)


def test_models_made_of_a_nets_layers_know_no_architecture(net, dense):
    cut = keras.Model(net.input, net.get_layer("block5_pool").output, name="cut")
    wrapped = keras.Model(net.input, keras.layers.Softmax()(net.output), name="wrapped")
    for other in (cut, wrapped, keras.Sequential([net], name="sequence"), dense):
        assert type(other) is not VGG and (other is dense or not hasattr(other, "architecture"))
        with pytest.raises(
            UserError, match=f"Received: '{other.name}' of type {type(other).__name__}.* give the net itself.*load_net"
        ):
            architecture_of(other)

"""A fine-tuned net of Keras Applications, as people write and save one: its own `predict` on RGB pictures is the truth."""

import keras
import numpy as np
import pytest
from keras import layers as kl

from tests.weights.sources import as_caffe, difference, ours
from vgg_keras.errors import UserError
from vgg_keras.nets.architectures import hidden_fc
from vgg_keras.weights.load import load_net

SIDE = 70  # a last map of 2x2 and some pixels that no window of it takes
RANDOM = np.random.default_rng(3)


def applications(name="VGG16", side=SIDE, thin=16, **arguments):
    """Keras Applications' own net with fewer channels."""
    arguments = {"include_top": False, "input_shape": (side, side, 3), **arguments}
    config = getattr(keras.applications, name)(weights=None, **arguments).get_config()
    for layer in config["layers"]:
        layer.pop("build_config", None)  # the shapes of the wider net
        for field in ("filters", "units"):
            if field in layer["config"] and layer["config"]["name"] != "predictions":
                layer["config"][field] //= thin
    return keras.Model.from_config(config)


def filled(model):
    """Random weights that keep signals alive, batch norm's averages too."""
    for layer in model._flatten_layers():
        if isinstance(layer, kl.Conv2D | kl.Dense):
            weights = layer.get_weights()
            spread = np.sqrt(2 / np.prod(weights[0].shape[:-1]))
            layer.set_weights(
                [RANDOM.normal(0, spread, weights[0].shape), *(RANDOM.normal(0, 0.3, w.shape) for w in weights[1:])]
            )
        elif isinstance(layer, kl.BatchNormalization):
            layer.set_weights([RANDOM.uniform(0.5, 1.5, weight.shape) for weight in layer.get_weights()])
    return model


def functional(*layers, side=SIDE, training=None):
    image = x = keras.Input((side, side, 3))
    for layer in layers:
        x = layer(x, training=False) if isinstance(layer, keras.Model) and training is False else layer(x)
    return keras.Model(image, x)


def sequential(*layers, side=SIDE):
    return keras.Sequential([keras.Input((side, side, 3)), *layers])


def on_output(base, *layers):
    x = base.output
    for layer in layers:
        x = layer(x)
    return keras.Model(base.input, x)


caffe = keras.applications.vgg16.preprocess_input


def bgr_by_hand(x):
    return kl.Concatenate()([x[..., 2:3], x[..., 1:2], x[..., 0:1]]) - np.float32([103.939, 116.779, 123.68])


def frozen():
    base = applications()
    base.trainable = False
    return base


def augmentation():
    return keras.Sequential(
        [kl.RandomFlip("horizontal"), kl.RandomRotation(0.2), kl.RandomZoom(0.1)], name="augmentation"
    )


# the model, and whether its images are made as Keras Applications' before it
NETS = {
    "the tutorial's": lambda: functional(
        augmentation(),
        caffe,
        applications(),
        kl.Flatten(),
        kl.Dense(256, "relu"),
        kl.Dropout(0.5),
        kl.Dense(5, "softmax"),
    ),
    "global average": lambda: functional(
        caffe, frozen(), kl.GlobalAveragePooling2D(), kl.Dropout(0.2), kl.Dense(5), training=False
    ),
    "global maximum, VGG19": lambda: sequential(
        kl.Rescaling(1 / 127.5, offset=-1), applications("VGG19"), kl.GlobalMaxPooling2D(), kl.Dense(5, "softmax")
    ),
    "on its output": lambda: on_output(
        applications(),
        kl.Flatten(),
        kl.Dense(100, "relu"),
        kl.Dense(50, "relu"),
        kl.Dense(25, "relu"),
        kl.Dense(5),
        kl.Activation("softmax"),
    ),
    "pooling=max": lambda: sequential(caffe_layer(), applications(pooling="max"), kl.Dense(3)),
    "batch norm before the activation": lambda: functional(
        caffe,
        applications(),
        kl.GlobalAveragePooling2D(),
        kl.Dense(32, use_bias=False),
        kl.BatchNormalization(),
        kl.ReLU(),
        kl.Dense(4),
    ),
    "batch norm behind the activation": lambda: functional(
        keras.applications.mobilenet.preprocess_input,
        applications(),
        kl.BatchNormalization(),
        kl.Flatten(),
        kl.BatchNormalization(scale=False),
        kl.Dense(64, "relu"),
        kl.BatchNormalization(epsilon=1e-5),
        kl.Dropout(0.3),
        kl.Dense(4, "softmax"),
    ),
    "arithmetic": lambda: functional(bgr_by_hand, applications(), kl.GlobalMaxPooling2D(), kl.Dense(4)),
    "one sigmoid": lambda: functional(
        caffe, applications(), kl.Flatten(), kl.Dense(16, "relu"), kl.Dense(1, "sigmoid")
    ),
    "several labels": lambda: functional(caffe, applications(), kl.Flatten(), kl.Dense(4), kl.Activation("sigmoid")),
    "average pooling": lambda: functional(
        caffe,
        applications(),
        kl.AveragePooling2D(2, strides=1),
        kl.Flatten(),
        kl.Dense(16, "relu"),
        kl.Dense(2, "softmax"),
    ),
    "average pooling of a part": lambda: functional(
        caffe, applications(side=110), kl.AveragePooling2D(2), kl.Flatten(), kl.Dense(2, "softmax"), side=110
    ),
    "a head in a model": lambda: sequential(
        kl.Normalization(mean=[120.0, 110.0, 100.0], variance=[3000.0, 4000.0, 5000.0]),
        applications(),
        keras.Sequential([kl.Flatten(), kl.Dense(32, "relu"), kl.Dense(6, "softmax")]),
    ),
    "FC layers as convolutions": lambda: functional(
        caffe,
        applications(),
        kl.Conv2D(32, 2, activation="relu"),
        kl.Conv2D(16, 1, activation="relu"),
        kl.Flatten(),
        kl.Dense(3),
    ),
    "of any size": lambda: sequential(
        kl.Resizing(SIDE, SIDE),
        kl.Rescaling(1 / 255),
        applications(),
        kl.Flatten(),
        kl.Dense(3, "softmax"),
        side=None,
    ),
    "the whole net": lambda: applications(include_top=True, classes=7, side=64),
}


def caffe_layer():
    image = keras.Input((SIDE, SIDE, 3))
    return keras.Model(image, caffe(image))


def images_of(model):
    side = model.input_shape[1] or SIDE
    return RANDOM.integers(0, 256, (4, side, side, 3)).astype(np.float32)


def without_probabilities(model):
    """The same model, whose end is logits from now on."""
    for layer in model._flatten_layers():
        if getattr(layer, "activation", None) in (keras.activations.softmax, keras.activations.sigmoid):
            layer.activation = keras.activations.linear
    return model


def equal(name, loaded, model, images, taken):
    """Whether our logits are the model's; those of one sigmoid are 0 and its own."""
    found, expected = ours(loaded.model, images), ours(without_probabilities(model), taken)
    if expected.shape[1] == 1:
        expected = np.concatenate([np.zeros_like(expected), expected], axis=1)
    return difference(name, found, expected) <= 1e-5


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
        assert equal(f"{kind}, {ending}", loaded, model, images, as_caffe(images) if assumed else images)
        assert loaded.config.architecture.crop == images.shape[1]
        assert loaded.config.architecture.multi_label == (kind == "several labels")


# ---- weights alone


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


@pytest.mark.slow
def test_images_that_a_file_does_not_describe_are_stated(tmp_path, capsys):
    """As behind ImageDataGenerator(rescale=1/255), of which a file of the net says nothing."""
    model = filled(on_output(applications(), kl.Flatten(), kl.Dense(5)))
    model.save(tmp_path / "net.keras")
    images = images_of(model)
    loaded = load_net(tmp_path / "net.keras", stated={"mean": (0.0, 0.0, 0.0), "std": (255.0, 255.0, 255.0)})
    assert equal("stated", loaded, model, images, images / np.float32(255))
    assert "read as" not in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_weights_of_fewer_bits_are_read(tmp_path, dtype):
    keras.config.set_dtype_policy(dtype)
    try:
        base = applications(side=32, thin=32)
        small = on_output(base, kl.Flatten(), kl.Dense(8, "relu"), kl.Dense(3))
        filled(small).save(tmp_path / "net.keras")
    finally:
        keras.config.set_dtype_policy("float32")
    loaded = load_net(tmp_path / "net.keras").model
    pairs = zip(
        [layer for layer in small._flatten_layers() if layer.weights and not isinstance(layer, keras.Model)],
        [layer for layer in loaded._flatten_layers() if layer.weights and not isinstance(layer, keras.Model)],
        strict=True,
    )
    for theirs, own in list(pairs)[1:]:  # the first one's channels are turned
        for before, after in zip(theirs.get_weights(), own.get_weights(), strict=True):
            assert np.array_equal(np.asarray(before, np.float32), after)


# ---- heads that ours cannot be


def branched():
    base = applications()
    pooled = kl.Concatenate()([kl.GlobalAveragePooling2D()(base.output), kl.GlobalMaxPooling2D()(base.output)])
    return keras.Model(base.input, kl.Dense(4)(pooled))


OTHERS = {
    "the activation tanh at hidden": lambda: functional(
        caffe, applications(), kl.Flatten(), kl.Dense(16, "tanh", name="hidden"), kl.Dense(4)
    ),
    "LayerNormalization": lambda: functional(
        caffe, applications(), kl.GlobalAveragePooling2D(), kl.LayerNormalization(), kl.Dense(4)
    ),
    "mixed, a convolution behind block5_pool": lambda: functional(
        caffe,
        applications(),
        kl.Conv2D(16, 3, padding="same", activation="relu", name="mixed"),
        kl.Flatten(),
        kl.Dense(4),
    ),
    "the operation Concatenate": branched,
    "dropout called with training=True": lambda: on_output(
        applications(), kl.Flatten(), lambda x: kl.Dropout(0.5, name="dropout")(x, training=True), kl.Dense(4)
    ),
    "a head behind block5_conv3, not behind block5_pool": lambda: keras.Model(
        (base := applications()).input, kl.Dense(4)(kl.GlobalAveragePooling2D()(base.get_layer("block5_conv3").output))
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("what", OTHERS)
def test_of_another_head_the_convolutions_can_be_used(tmp_path, what):
    keras.utils.clear_session(free_memory=False)
    model = filled(OTHERS[what]())
    model.save(tmp_path / "net.keras")
    with pytest.raises(
        UserError, match=rf"Received: .*net\.keras, another, with .*{what}.*train --weights trains a new head"
    ):
        load_net(tmp_path / "net.keras")
    loaded = load_net(tmp_path / "net.keras", convolutions=True).model
    own = {layer.name: layer for layer in model._flatten_layers()}
    assert not hidden_fc(loaded.architecture)
    for name in ("block1_conv2", "block3_conv1", "block5_conv3"):
        assert np.array_equal(loaded.get_layer(name).kernel, own[name].kernel)

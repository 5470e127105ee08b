"""Fine-tuned nets of Keras Applications, as people write them, and how one compares with ours."""

import keras
import numpy as np
from keras import layers as kl

from tests.weights.sources import difference, ours

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
    "activations as layers and as operations": lambda: functional(
        kl.Identity(),
        caffe,
        applications(),
        kl.Identity(),
        kl.Flatten(),
        kl.Dense(20, activation=kl.ReLU()),
        kl.Dense(16),
        keras.ops.relu,
        kl.Dense(3, activation=keras.activations.softmax),
    ),
    "a Lambda of preprocess_input, augmented": lambda: sequential(
        kl.RandAugment((0, 255)), kl.AugMix((0, 255)), kl.Solarization(), kl.Lambda(caffe), applications(), *gap_and_3()
    ),
    "the whole net": lambda: applications(include_top=True, classes=7, side=64),
}


def gap_and_3():
    return kl.GlobalAveragePooling2D(), kl.Dense(3)


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

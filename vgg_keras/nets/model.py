"""Nets that know their `Architecture`: the classes of the models that `build` and `to_fully_convolutional` make."""

import functools
from collections.abc import Sequence
from typing import Any

import keras

from vgg_keras.config import Architecture
from vgg_keras.errors import UserError
from vgg_keras.nets import keras_layers  # noqa: F401, whose layers a saved net names: Keras finds them once they are imported
from vgg_keras.plain_values import from_dict, to_dict

FLOAT16 = "mixed_float16"


class _Net(keras.Model):
    """A functional model with its `Architecture`, which a `.keras` file, `from_config` and `copy.deepcopy` keep.

    A model that `keras.Model(net.input, ...)` makes of a net's layers is a plain Keras model and knows none.
    """

    # Keras handles a subclass as a functional model (get_config, from_config, clone_model) if its arguments begin like this.
    def __init__(self, inputs, outputs, name=None, *, architecture: Architecture | dict | None = None, **kwargs):
        super().__init__(inputs, outputs, name=name, **kwargs)
        self._architecture = from_dict(Architecture, architecture) if isinstance(architecture, dict) else architecture
        # `compile` scales the loss by the model's own policy, which is Keras's global one whatever those of the layers are
        if any(layer.dtype_policy.name == FLOAT16 for layer in self.layers):
            self.dtype_policy = FLOAT16

    @property
    def architecture(self) -> Architecture:
        """What the net is, its number of classes and its mean included.

        Raises:
            UserError: the net is a copy by `keras.models.clone_model`, which copies layers alone.
        """
        if self._architecture is None:
            raise UserError(
                f"keras.models.clone_model copies layers, not a net's Architecture. Received: {self.name!r}, such a copy. "
                "Copy with type(net).from_config(net.get_config()) instead."
            )
        return self._architecture

    def get_config(self) -> dict[str, Any]:
        known = self._architecture and to_dict(self._architecture)
        return {**super().get_config(), "architecture": known}

    @functools.wraps(keras.Model.fit)
    def fit(self, x=None, *args, **kwargs):
        self._require_images("fit", x)
        self._require_images("fit", kwargs.get("validation_data"))
        return super().fit(x, *args, **kwargs)

    @functools.wraps(keras.Model.evaluate)
    def evaluate(self, x=None, *args, **kwargs):
        self._require_images("evaluate", x)
        return super().evaluate(x, *args, **kwargs)

    @functools.wraps(keras.Model.predict)
    def predict(self, x, *args, **kwargs):
        self._require_images("predict", x)
        return super().predict(x, *args, **kwargs)

    def _require_images(self, method: str, x: Any) -> None:
        """Refuses images that the net does not take, as far as their shape is known: Keras does so only until it is traced."""
        raise NotImplementedError


@keras.saving.register_keras_serializable(package="vgg_keras")
class VGG(_Net):
    """A net of Table 1: images (batch, crop, crop, channels) in 0-255, 3 channels being RGB, to logits (batch, num_classes).

    Keras's old `.h5` format names a model by its class alone: `load_model` needs custom_objects={"VGG": vgg_keras.VGG} there.
    The bare name is not registered, since Keras would then prefer it to a user's own class of that name.

    `fit`, `evaluate` and `predict` refuse arrays and data sets of images of another size. Once Keras has traced them for any
    size, a net with FC layers would end in a traceback of TensorFlow, and one without them would run on. On JAX an error
    within `fit` or `evaluate` takes the net's weights along.
    """

    def _require_images(self, method: str, x: Any) -> None:
        shape = shape_of(x)
        if shape is None:
            return
        height, width, channels = self.input_shape[1:]
        if not (_is_batch(shape, channels) and _agree(shape[1:3], (height, width))):
            raise UserError(
                f"{method}() takes batches of images of {height} x {width} pixels. Received: {_text(shape)}. One image is a "
                "batch as image[np.newaxis], a tf.data.Dataset of images has batches by .batch(32); vgg_keras.predict_images "
                "takes any size, and so does the dense net."
            )
        require_channels(self, shape)


@keras.saving.register_keras_serializable(package="vgg_keras")
class FullyConvolutional(_Net):
    """The same net as convolutions alone (3.2): images of any size from the crop's on to a class score map.

    `fit`, `evaluate` and `predict` refuse too small images, also once Keras has traced them for any size.
    """

    def _require_images(self, method: str, x: Any) -> None:
        require_any_size(self, x)


def require_any_size(model: keras.Model, x: Any) -> None:
    """Refuses what is no batch of images for a net with a layer `AtLeast`: one image, too small ones, other channels.

    Raises:
        UserError: it is none.
    """
    shape = shape_of(x)
    if shape is None:
        return
    if not _is_batch(shape, model.input_shape[-1]):
        raise UserError(
            f"This net takes batches of images (batch, height, width, channels). Received: {_text(shape)}. One image is a "
            "batch as image[np.newaxis]; a tf.data.Dataset of images has batches by .batch(1)."
        )
    model.get_layer("at_least").check(*shape[1:3])
    require_channels(model, shape)


def shape_of(x: Any) -> Sequence[int | None] | None:
    """The shape of images: an array, a tensor, the first of a tuple of them, or what a `tf.data.Dataset` of them yields.

    None where it is not known, as of a generator.
    """
    x = getattr(x, "element_spec", x)
    shape = getattr(x[0] if isinstance(x, tuple) and x else x, "shape", None)
    return None if getattr(shape, "rank", 0) is None else shape  # TensorFlow's unknown shape


def _is_batch(shape: Sequence[int | None], channels: int) -> bool:
    return len(shape) == 4 or (len(shape) == 3 and channels == 1)  # Keras adds the axis of one channel


def require_channels(model: keras.Model, shape: Sequence[int | None]) -> None:
    """Refuses images (batch, height, width, channels) of other channels than a net's.

    One channel is that of grey images, which the mean subtraction of a net in RGB makes three equal ones.

    Raises:
        UserError: they have others.
    """
    channels = model.input_shape[-1]
    if len(shape) == 4 and shape[-1] not in (None, 1, channels):
        raise UserError(
            f"This net takes images (batch, height, width, channels) of {channels} channels. Received: {_text(shape)}."
        )


def _agree(given: Sequence[int | None], own: Sequence[int | None]) -> bool:
    """Whether images have a net's sides, as far as they are known; those of a clone for any size are None."""
    return all(None in (one, side) or one == side for one, side in zip(given, own, strict=True))


def _text(shape: Sequence[int | None]) -> str:
    return " x ".join("any" if size is None else str(size) for size in shape)


def require_unquantized(model: keras.Model) -> None:
    """Refuses a net whose FC layers `quantize` has changed: their kernels are no longer those of convolutions.

    Raises:
        UserError: it is such a net.
    """
    for layer in model.layers:
        if layer.quantization_mode is not None:
            raise UserError(
                "A dense net and maps are made of a net as it was before quantize. "
                f"Received: {model.name!r}, whose {layer.name} is {layer.dtype_policy.name}. Make them first."
            )


def architecture_of(model: keras.Model) -> Architecture:
    """The `Architecture` of a model of `build`.

    Raises:
        UserError: it is no such model.
    """
    if not isinstance(model, VGG):
        raise UserError(
            "A net of vgg_keras.build is needed. "
            f"Received: {getattr(model, 'name', str(model)[:40])!r} of type {type(model).__name__}. "
            "What keras.Model makes of a net's layers is another model: give the net itself. Or read the model from its file, "
            "Keras Applications' too: model.save('net.keras'), then vgg_keras.load_net('net.keras')."
        )
    return model.architecture

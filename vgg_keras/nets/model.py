"""Nets that know their `Architecture`: the classes of the models that `build` and `to_fully_convolutional` make."""

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


@keras.saving.register_keras_serializable(package="vgg_keras")
class VGG(_Net):
    """A net of Table 1: images (batch, crop, crop, channels) in 0-255, 3 channels being RGB, to logits (batch, num_classes).

    Keras's old `.h5` format names a model by its class alone: `load_model` needs custom_objects={"VGG": vgg_keras.VGG} there.
    The bare name is not registered, since Keras would then prefer it to a user's own class of that name.

    `predict` refuses images of another size. Once Keras has traced it for any size, a net with FC layers would end in a
    traceback of TensorFlow, and one without them would run on.
    """

    def predict(self, x, *args, **kwargs):
        shape, sides = getattr(x, "shape", None), self.input_shape[1:3]
        if shape is not None and not (len(shape) == 4 and _agree(shape[1:3], sides)):
            height, width = sides
            raise UserError(
                f"predict() takes a batch of images of {height} x {width} pixels. Received: {' x '.join(map(str, shape))}. One "
                "image is a batch as image[np.newaxis]; vgg_keras.predict_images takes any size, and so does the dense net."
            )
        return super().predict(x, *args, **kwargs)


def _agree(given: Sequence[int], own: Sequence[int | None]) -> bool:
    """Whether images have a net's sides; those of a clone for any size are None."""
    return all(side in (None, one) for one, side in zip(given, own, strict=True))


@keras.saving.register_keras_serializable(package="vgg_keras")
class FullyConvolutional(_Net):
    """The same net as convolutions alone (3.2): images of any size from the crop's on to a class score map.

    `predict` refuses too small images, also once Keras has traced it for any size.
    """

    def predict(self, x, *args, **kwargs):
        shape = getattr(x, "shape", None)
        if shape is not None and len(shape) == 4:
            self.get_layer("at_least").check(*shape[1:3])
        return super().predict(x, *args, **kwargs)


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
            "What keras.Model makes of a net's layers is another model: give the net itself."
        )
    return model.architecture

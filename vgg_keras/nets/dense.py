"""3.2's dense net: FC layers become convolutions, so the net runs over a whole image of any size from the crop's on."""

import keras

from vgg_keras.errors import UserError
from vgg_keras.nets.keras_layers import Conv2D
from vgg_keras.nets.model import FullyConvolutional, architecture_of, require_unquantized


@keras.saving.register_keras_serializable(package="vgg_keras")
class AtLeast(keras.layers.Layer):
    """Passes images on and refuses those smaller than `side` pixels, where the sizes are known when it is called.

    `subject` is what takes the images, as the message names it.
    """

    def __init__(self, side: int, subject: str = "The dense net", **kwargs):
        kwargs.setdefault("dtype", "float32")
        super().__init__(**kwargs)
        self.side, self.subject = side, subject

    def call(self, images):
        self.check(*images.shape[1:3])
        return images

    def check(self, height: int | None, width: int | None) -> None:
        """Raises a `UserError` where a size is known and too small."""
        if any(isinstance(size, int) and size < self.side for size in (height, width)):
            raise UserError(
                f"{self.subject} takes images of at least {self.side}x{self.side} pixels. Received: {height}x{width} "
                f"(height x width). Rescale the smaller side to {self.side} or more."
            )

    def get_config(self):
        return {**super().get_config(), "side": self.side, "subject": self.subject}


def to_fully_convolutional(model: keras.Model) -> FullyConvolutional:
    """The same net as convolutions alone (3.2): images in, a class score map out.

    The first FC layer becomes a convolution over the whole last map (7x7 at crop 224), the others 1x1. Global average or
    maximum pooling becomes a pooling of the same window with stride 1. Weights are copied, and frozen layers stay frozen.
    `convolutions_and_head` gives the same net in two halves, which is faster for many images of many sizes.

    Args:
        model: of `vgg_keras.build`, of any head, trained or not, or such a model opened from a `.keras` file.

    Returns:
        A model of (batch, height, width, channels) images in 0-255, height and width from the crop's side on, to
        (batch, height // 32 - crop // 32 + 1, ..., num_classes) logits, float32. At the crop's size its 1x1 map equals
        the model's logits.

    Raises:
        UserError: another model, a quantised one, or one that ends in probabilities.
    """
    architecture = architecture_of(model)
    require_unquantized(model)
    if model.layers[-1].name == "probabilities":
        raise UserError(
            "Scores are averaged over the image before the soft-max or the sigmoids (3.2), so the dense net starts from logits. "
            "Received: a model that ends in probabilities. Build it without classifier_activation."
        )
    image = keras.Input((None, None, architecture.channels), dtype="float32", name="image")
    x = AtLeast(architecture.crop, name="at_least")(image)
    window = architecture.crop // 32  # of the first FC layer or of the pooling; 1 behind it
    for layer in model.layers[1:]:  # the first is the input
        if isinstance(layer, keras.layers.Flatten):
            continue
        if isinstance(layer, keras.layers.GlobalMaxPooling2D):
            stated = {"data_format": "channels_last", "dtype": layer.dtype_policy, "name": layer.name}
            x, window = keras.layers.MaxPooling2D(window, strides=1, **stated)(x), 1
        elif isinstance(layer, keras.layers.GlobalAveragePooling2D):
            # in float32, as in `build`: TensorFlow sums bf16 in bf16, where a mean of 7x7 is off by 2 % and one of 20x20 by 60 %
            stated = {"data_format": "channels_last", "dtype": "float32", "name": layer.name}
            x, window = keras.layers.AveragePooling2D(window, strides=1, **stated)(x), 1
        elif isinstance(layer, keras.layers.Dense):
            stated = {"data_format": "channels_last", "dtype": layer.dtype_policy, "name": layer.name}
            convolution = Conv2D(layer.units, window, trainable=layer.trainable, **stated)
            x, window = convolution(x), 1
            # by name: with `enable_lora` the kernel is the sum of several weights
            kernel, bias = (keras.ops.convert_to_numpy(one) for one in (layer.kernel, layer.bias))
            # Flatten runs over rows, columns, channels: (25088, 4096) -> (7, 7, 512, 4096)
            convolution.set_weights([kernel.reshape(convolution.kernel.shape), bias])
        else:  # acts on each position in the same manner
            copy = type(layer).from_config(layer.get_config())
            x = copy(x)
            copy.set_weights(layer.get_weights())
    return FullyConvolutional(image, x, name=f"{model.name}_dense", architecture=architecture)


def convolutions_and_head(model: keras.Model) -> tuple[keras.Model, keras.Model]:
    """`to_fully_convolutional` in two halves, for many images of many sizes: convolutions over images, the head over windows.

    Last maps of images of different sizes go through the head in one batch. The FC layers hold 9 in 10 of the net's weights;
    in this way they are read once for many images. Both halves are the model's own layers; nothing is copied.

    Args:
        model: of `vgg_keras.build`.

    Returns:
        A model of images (batch, height, width, channels) to their last map (batch, height // 32, width // 32, units). And
        one of windows (batch, k, k, units) to logits (batch, num_classes); k is crop // 32. Over the map's windows in
        rows and columns these logits are `to_fully_convolutional(model)`'s score map.
    """
    pool = model.get_layer("block5_pool")
    image = keras.Input((None, None, model.input_shape[-1]), dtype="float32", name="image")
    last_map = image
    for layer in model.layers[1 : model.layers.index(pool) + 1]:
        last_map = layer(last_map)
    return keras.Model(image, last_map, name="convolutions"), keras.Model(pool.output, model.output, name="fc")

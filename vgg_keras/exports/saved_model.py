"""A SavedModel of image files to classes: decoding, rescaling, the dense test of 3.2 and the names are inside."""

from collections.abc import Callable, Sequence
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from vgg_keras.config import Config, Data
from vgg_keras.data.decoding import decode, upright
from vgg_keras.data.headers import orientation, refusal
from vgg_keras.data.rescaling import rescale, rescaled_size
from vgg_keras.exports.tiles import TiledNet, in_turn
from vgg_keras.nets.feature_maps import descriptor_layer
from vgg_keras.nets.model import architecture_of
from vgg_keras.paths import plain_folder
from vgg_keras.weights.formats.run_folder import LoadedModel


class Served(tf.Module):
    """The functions that a SavedModel offers as its signatures.

    All have an evaluation's limits. A file of more than `data.max_pixels`, and an image of more than `evaluation.max_pixels`
    at Q, are refused with the rule and the size. Pixels of at most `evaluation.batch` crops go through the net at once,
    however large an image or a batch is. A batch of no images gives no rows.
    """

    def __init__(self, model: keras.Model, config: Config, classes: tuple[str, ...]):
        """
        Args:
            model: of `vgg_keras.build`, in float32, with logits.
            config: its values of Q and `flip`, `batch` and `max_pixels` of `evaluation` are followed, of `data` the
                interpolation, `exif_orientation` and `max_pixels`, and of `export` the layer of the features.
            classes: names in the order of the logits.
        """
        super().__init__(name="vgg")
        self.weights = [variable.value for variable in model.weights]  # `tf.Module` does not track Keras's variables
        layer = config.export.features
        layer = layer and descriptor_layer(architecture_of(model), layer)
        self._net = TiledNet(model, config.evaluation, layer)
        self._sides, self._rules, self._data = config.test_scales, config.evaluation, config.data
        architecture = architecture_of(model)
        self._classes, self._channels = tf.constant(classes), architecture.channels
        self._posterior = tf.sigmoid if architecture.multi_label else tf.nn.softmax
        images_of_net = [tf.TensorSpec([None, None, None, self._channels], tf.uint8, name="images")]
        self.serving_default = tf.function(self._serving_default, images_of_net)
        self.features = tf.function(self._features, images_of_net)

    def _serving_default(self, images):
        """A batch of images of one size, uint8, to probabilities (n, classes), index and name of the most probable class."""
        return self._answer(self._posteriors(images))

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="encoded")])
    def encoded(self, encoded):
        """A batch of JPEG, PNG, BMP, GIF or WebP files of any sizes, as bytes, to the same; an error at one that is refused."""

        def one(numbered):
            place, file = numbered
            name = name_in_batch(place)
            return self._posteriors(decoded(file, name, self._data, self._channels)[tf.newaxis], name)[0]

        row = tf.TensorSpec([len(self._classes)], tf.float32)
        numbered = tf.range(tf.size(encoded)), encoded
        return self._answer(tf.map_fn(one, numbered, parallel_iterations=1, fn_output_signature=row))

    def _features(self, images):
        """A batch of images of one size, uint8, to the map (n, rows, columns, channels) of `export.features`.

        At the first Q, without mirror images: appendix B averages over positions, views and scales as it needs.
        """
        side = self._sides[0]
        images, height, width = checked(images, side, self._rules.max_pixels)
        found = self._in_groups(images, side, 1, self._net.feature_map, self._net.features)
        rows, columns = self._net.feature_positions(height, width)
        return {"features": tf.reshape(found, [tf.shape(images)[0], rows, columns, self._net.features])}

    def _posteriors(self, images, name=""):
        """3.2, in this order: mean of the scores over positions, soft-max, mean over mirror images and values of Q.

        Of a multi-label net a sigmoid of each class replaces the soft-max.
        """
        flip = self._rules.flip

        def posteriors(rescaled):
            views = tf.concat([rescaled, rescaled[:, :, ::-1]], axis=0) if flip else rescaled
            found = self._posterior(self._net.mean_logits(self._net.last_map(views)))
            found = tf.reshape(found, [1 + flip, -1, len(self._classes)])
            return tf.cast(tf.reduce_mean(found, axis=0), tf.float32)

        of_sides = []
        for side in self._sides:
            small_enough, _, _ = checked(images, side, self._rules.max_pixels, name)
            of_sides.append(self._in_groups(small_enough, side, 1 + flip, posteriors, len(self._classes)))
        return tf.add_n(of_sides) / len(of_sides)

    def _in_groups(self, images, side, views, function, columns):
        """The results of a function on the rescaled images, (n or more, columns), a few images at once."""
        count, height, width, _ = tf.unstack(tf.shape(images))
        size = rescaled_size(tf.maximum(height, 1), tf.maximum(width, 1), side)
        at_once = self._net.at_once(*size, views)
        pixels = tf.TensorSpec([None, None, self._channels], tf.float32)

        def add(place, found):
            rescaled = tf.map_fn(
                lambda image: rescale(image, side, self._data.interpolation),
                images[place * at_once : (place + 1) * at_once],
                parallel_iterations=1,
                fn_output_signature=pixels,
            )
            return place + 1, found.write(place, function(rescaled))

        return in_turn(add, -(-count // at_once), [None, columns])

    def _answer(self, posteriors):
        best = tf.argmax(posteriors, axis=1, output_type=tf.int32)
        return {"probabilities": posteriors, "class_index": best, "class_name": tf.gather(self._classes, best)}


def name_in_batch(place: tf.Tensor) -> tf.Tensor:
    """What the message of an error calls a file of the signature `encoded`."""
    return tf.strings.join(["encoded[", tf.strings.as_string(place), "]: "])


def decoded(file: tf.Tensor, name: tf.Tensor, data: Data, channels: int) -> tf.Tensor:
    """A file as pixels (height, width, channels) uint8, upright where `data.exif_orientation` holds.

    An error if it is refused: `name` begins its message.
    """
    pixels = decode(_unless(refusal(file, data.max_pixels), name, file), channels)
    return upright(pixels, orientation(file)) if data.exif_orientation else pixels


def checked(
    images: tf.Tensor, side: int, max_pixels: int, name: tf.Tensor | str = ""
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Images of one size, and their height and width at Q, int32; of no images these are of no meaning.

    An error if they have no pixels, or more than `max_pixels` at Q: `name` begins its message.
    """
    count, height, width, _ = tf.unstack(tf.shape(images))
    reason = tf.where(count > 0, _too_large(height, width, side, max_pixels), "")
    images = _unless(reason, name, images)
    known = tf.maximum(tf.shape(images)[1:3], 1)  # of no images even these may be 0
    height, width = (tf.cast(size, tf.int32) for size in rescaled_size(known[0], known[1], side))
    return images, height, width


def _too_large(height, width, side, max_pixels):
    """Why an image must not be rescaled to Q, a string scalar; empty if it may be."""
    # in float64: the sizes of a strip of one pixel by millions overflow int32
    sizes = [tf.cast(size, tf.float64) for size in (height, width)]
    factor = side / tf.maximum(tf.minimum(*sizes), 1)
    then = [tf.round(size * factor) for size in sizes]
    words = [tf.strings.as_string(tf.cast(size, tf.int64)) for size in (*then[::-1], width, height)]
    received = [words[0], " x ", words[1], " pixels then (width x height), ", words[2], " x ", words[3], " as given."]
    rule = f"An image rescaled to Q={side} must have evaluation.max_pixels={max_pixels} or fewer. Received: "
    empty = tf.minimum(height, width) < 1
    too_large = tf.where(then[0] * then[1] > max_pixels, tf.strings.join([rule, *received]), "")
    return tf.where(empty, "An image must have pixels. Received: a side of 0.", too_large)


def _unless(reason, name, value):
    """The value, or an error if there is a reason for one, before anything is computed from the value."""
    with tf.control_dependencies([tf.debugging.Assert(reason == "", [tf.strings.join([name, reason])])]):
        return tf.identity(value)


def write(run: LoadedModel, config: Config, folder: Path) -> None:
    """Writes the SavedModel of a net in float32 into a folder, new or empty."""
    save(Served(run.model, config, run.classes), ("serving_default", "encoded", "features"), folder)


def save(served: tf.Module, functions: Sequence[str], folder: Path) -> None:
    """Writes a module as a SavedModel whose signatures are its functions of these names."""
    signatures = {name: getattr(served, name).get_concrete_function() for name in functions}
    folder.mkdir(exist_ok=True)
    with plain_folder(folder) as name:
        tf.saved_model.save(served, name, signatures=signatures)


def opened(folder: Path) -> Callable[[bytes], np.ndarray]:
    """A function of one encoded image to the SavedModel's probabilities (classes,)."""
    encoded = opened_encoded(folder)
    return lambda file: encoded(file)["probabilities"].numpy()[0]


def opened_encoded(folder: Path) -> Callable[[bytes], dict[str, tf.Tensor]]:
    """A function of one encoded image to what a SavedModel's signature `encoded` gives for a batch of it, by name."""
    with plain_folder(folder) as name:
        loaded = tf.saved_model.load(name)

    def run(file):  # holds `loaded`, whose functions hold their variables weakly
        return loaded.signatures["encoded"](encoded=tf.constant([file]))

    return run

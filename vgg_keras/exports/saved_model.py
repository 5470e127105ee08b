"""A SavedModel that takes photographs as they are: decoding, rescaling, the dense test of 3.2 and the names are inside."""

from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from vgg_keras.config import Config
from vgg_keras.data.headers import orientation, refusal
from vgg_keras.data.preprocessing import decode, rescale, upright
from vgg_keras.files import plain_folder
from vgg_keras.nets.dense import to_fully_convolutional
from vgg_keras.weights.run import Run


class Served(tf.Module):
    """The functions that a SavedModel offers as its signatures."""

    def __init__(self, model: keras.Model, config: Config, classes: tuple[str, ...]):
        """
        Args:
            model: of `vgg_keras.build`, in float32, with logits.
            config: its values of Q and `evaluation.flip` are followed, and of `data` the interpolation, `exif_orientation` and
                `max_pixels`.
            classes: names in the order of the logits.
        """
        super().__init__(name="vgg")
        net = to_fully_convolutional(model)
        features = keras.Model(net.input, net.get_layer("predictions").input, name="features")
        # functions, which are not tracked: Keras keeps its variables to itself, and a model would be saved a second time
        self._scores = lambda view: net(view, training=False)
        self._map = lambda view: features(view, training=False)
        self.weights = [variable.value for variable in net.weights]
        self._sides, self._flip = config.test_scales, config.evaluation.flip
        self._data = config.data
        self._classes = tf.constant(classes)

    @tf.function(input_signature=[tf.TensorSpec([None, None, None, 3], tf.uint8, name="images")])
    def serving_default(self, images):
        """A batch of RGB images of one size, uint8, to probabilities (n, classes), class index and name."""
        return self._answer(self._posteriors(images))

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="encoded")])
    def encoded(self, encoded):
        """A batch of JPEG, PNG, BMP, GIF or WebP files of any sizes, as bytes, to the same; an error at one that is refused."""

        def one(file):
            reason = refusal(file, self._data.max_pixels)
            with tf.control_dependencies([tf.debugging.Assert(reason == "", [reason])]):
                pixels = decode(tf.identity(file))
            pixels = upright(pixels, orientation(file)) if self._data.exif_orientation else pixels
            return self._posteriors(pixels[tf.newaxis])[0]

        rows = tf.TensorSpec([len(self._classes)], tf.float32)
        return self._answer(tf.map_fn(one, encoded, fn_output_signature=rows))

    @tf.function(input_signature=[tf.TensorSpec([None, None, None, 3], tf.uint8, name="images")])
    def features(self, images):
        """A batch of RGB images of one size, uint8, to the map (n, rows, columns, channels) before the last layer.

        At the first Q, without mirror images: appendix B averages over positions, views and scales as it needs.
        """
        return {"features": self._map(self._rescaled(images, self._sides[0]))}

    def _rescaled(self, images, side):
        pixels = tf.TensorSpec([None, None, 3], tf.float32)
        return tf.map_fn(
            lambda image: rescale(image, side, self._data.interpolation), images, fn_output_signature=pixels
        )

    def _posteriors(self, images):
        """3.2, in this order: mean of the scores over positions, soft-max, mean over mirror images and values of Q."""
        posteriors = []
        for side in self._sides:
            rescaled = self._rescaled(images, side)
            for view in (rescaled, rescaled[:, :, ::-1]) if self._flip else (rescaled,):
                scores = tf.reduce_mean(self._scores(view), axis=[1, 2])
                posteriors.append(tf.nn.softmax(scores))
        return tf.add_n(posteriors) / len(posteriors)

    def _answer(self, posteriors):
        best = tf.argmax(posteriors, axis=1, output_type=tf.int32)
        return {"probabilities": posteriors, "class_index": best, "class_name": tf.gather(self._classes, best)}


def write(run: Run, config: Config, folder: Path) -> None:
    """Writes the SavedModel of a net in float32 into a folder that is new."""
    served = Served(run.model, config, run.classes)
    signatures = {
        name: getattr(served, name).get_concrete_function() for name in ("serving_default", "encoded", "features")
    }
    with plain_folder(folder.parent) as parent:
        tf.saved_model.save(served, f"{parent}/{folder.name}", signatures=signatures)


def opened(folder: Path) -> Callable[[bytes], np.ndarray]:
    """A function of one encoded image to the SavedModel's probabilities (classes,)."""
    with plain_folder(folder) as name:
        loaded = tf.saved_model.load(name)

    def ask(file):  # holds `loaded`, whose functions hold their variables weakly
        return loaded.signatures["encoded"](encoded=tf.constant([file]))["probabilities"].numpy()[0]

    return ask

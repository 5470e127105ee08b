"""A SavedModel that takes photographs as they are: decoding, rescaling, the dense test of 3.2 and the names are inside."""

from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from vgg_keras.config import Config
from vgg_keras.data.headers import orientation, refusal
from vgg_keras.data.preprocessing import decode, rescale, upright
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
        self._net = to_fully_convolutional(model)
        before = self._net.get_layer("predictions").input
        self._features = keras.Model(self._net.input, before, name="features")
        self._scales, self._flip = config.test_scales, config.evaluation.flip
        self._data = config.data
        self._classes = tf.constant(classes)
        # Keras keeps its variables to itself: tracked here, they are saved
        self.weights = [variable.value for variable in self._net.weights]

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
        return {"features": self._features(self._rescaled(images, self._scales[0]), training=False)}

    def _rescaled(self, images, side):
        pixels = tf.TensorSpec([None, None, 3], tf.float32)
        return tf.map_fn(
            lambda image: rescale(image, side, self._data.interpolation), images, fn_output_signature=pixels
        )

    def _posteriors(self, images):
        """3.2, in this order: mean of the scores over positions, soft-max, mean over mirror images and values of Q."""
        posteriors = []
        for side in self._scales:
            rescaled = self._rescaled(images, side)
            for view in (rescaled, rescaled[:, :, ::-1]) if self._flip else (rescaled,):
                scores = tf.reduce_mean(self._net(view, training=False), axis=[1, 2])
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
    tf.saved_model.save(served, str(folder), signatures=signatures)


def probabilities(folder: Path, files: list[bytes]) -> np.ndarray:
    """What the SavedModel in `folder` says of encoded images, (n, classes), one at a time."""
    loaded = tf.saved_model.load(str(folder))  # kept: its functions hold their variables weakly
    asked = loaded.signatures["encoded"]
    return np.concatenate([asked(encoded=tf.constant([file]))["probabilities"].numpy() for file in files])

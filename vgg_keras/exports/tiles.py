"""The dense net of 3.2 as TensorFlow operations in parts, so that its memory grows neither with an image nor with a batch.

The parts are those of `evaluation.protocols.Dense`, which runs Python between them. A SavedModel holds only operations.
"""

from collections.abc import Callable

import keras
import tensorflow as tf

from vgg_keras.config import Evaluation
from vgg_keras.evaluation.whole_images import STRIDE, WINDOWS, halo
from vgg_keras.nets.dense import convolutions_and_head
from vgg_keras.nets.feature_maps import feature_maps, strides
from vgg_keras.nets.model import architecture_of


class TiledNet:
    """A net in two halves: convolutions over tiles of images, FC layers over batches of windows of the last map.

    Attributes:
        features: the number of channels of the feature map.
    """

    def __init__(self, model: keras.Model, rules: Evaluation, layer: str = ""):
        """
        Args:
            model: of `vgg_keras.build`, in float32, with logits.
            rules: its `batch` is read, the number of crops whose pixels are in one pass at most.
            layer: whose map the feature map is, as `descriptor_layer` returns it; empty: the one before the last layer.
        """
        architecture = architecture_of(model)
        convolutions, fc = convolutions_and_head(model)
        # functions, which a `tf.Module` does not track: it would save the models beside their variables
        self._convolutions = lambda images: convolutions(images, training=False)
        self._logits = lambda windows: fc(windows, training=False)
        self._of_images, self._of_windows = None, None  # what gives the feature map: one of the two
        if layer.startswith("block"):
            maps = feature_maps(model, layer)
            self._of_images = lambda images: maps(images, training=False)[layer]
            self._stride, self.features = strides(architecture)[layer], maps.output[layer].shape[-1]
        else:
            last = model.get_layer(f"{layer}_relu").output if layer else model.get_layer("predictions").input
            hidden = keras.Model(model.get_layer("block5_pool").output, last, name="features")
            self._of_windows = lambda windows: hidden(windows, training=False)
            self.features = hidden.output_shape[-1]
        self._window, self._channels = fc.input_shape[1], fc.input_shape[3]
        self._classes = fc.output_shape[-1]
        self._batch, self._pixels = rules.batch, rules.batch * architecture.crop**2
        self._halo = halo(architecture)

    def at_once(self, height: tf.Tensor, width: tf.Tensor, views: int) -> tf.Tensor:
        """How many images of a size, each in so many views, go through the convolutions together, int32."""
        pixels = tf.cast(height, tf.int64) * tf.cast(width, tf.int64) * views
        return tf.cast(tf.clip_by_value(self._pixels // tf.maximum(pixels, 1), 1, self._batch), tf.int32)

    def positions(self, height: tf.Tensor, width: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Rows and columns of the class score map of an image."""
        return height // STRIDE - self._window + 1, width // STRIDE - self._window + 1

    def feature_positions(self, height: tf.Tensor, width: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Rows and columns of the feature map of an image."""
        if self._of_images:
            return height // self._stride, width // self._stride
        return self.positions(height, width)

    def feature_map(self, images: tf.Tensor) -> tf.Tensor:
        """The values of the feature map at every position, (n * rows * columns, features), n above 0."""
        if self._of_images:
            found = self._map_of(images, self._of_images, self._stride, self.features)
            return tf.reshape(found, [-1, self.features])
        return self._over_windows(images, self._of_windows, self.features)

    def output_map(self, images: tf.Tensor) -> tf.Tensor:
        """The outputs of the last layer at every position, (n * rows * columns, outputs), n above 0."""
        return self._over_windows(images, self._logits, self._classes)

    def _over_windows(self, images: tf.Tensor, function: Callable, columns: int) -> tf.Tensor:
        """What a function makes of every window of the last maps, (n * rows * columns, columns)."""
        maps = self.last_map(images)

        def add(place, found):
            return place + 1, found.write(place, function(self._windows(maps, place)[0]))

        batches = -(-tf.shape(maps)[0] * self._positions_in_a_map(maps) // WINDOWS)
        return in_turn(add, batches, [None, columns])

    def last_map(self, images: tf.Tensor) -> tf.Tensor:
        """The last map (n, height // 32, width // 32, channels) of images (n, height, width, of the net), n above 0."""
        return self._map_of(images, self._convolutions, STRIDE, self._channels)

    def _map_of(self, images: tf.Tensor, function: Callable, stride: int, channels: int) -> tf.Tensor:
        """The map that a function makes of images, at a stride that divides that of the last map.

        Images with more pixels than `batch` crops are cut along their longer side into tiles that overlap by what a position
        sees, so the map is the same.
        """
        count, height, width, _ = tf.unstack(tf.shape(images))
        vertical = height > width
        cut, kept = tf.where(vertical, height, width), tf.where(vertical, width, height)
        length, pixels = cut // STRIDE, self._pixels // count
        tile = tf.maximum(1, pixels // kept // STRIDE - 2 * self._halo)
        fits = tf.cast(height, tf.int64) * tf.cast(width, tf.int64) <= tf.cast(pixels, tf.int64)
        tile = tf.where(fits, length, tile)
        cut_axis_first = tf.where(vertical, [1, 0, 2, 3], [2, 0, 1, 3])

        times, inputs = STRIDE // stride, images.shape[-1]

        def add(place, maps):
            first = place * tile
            last = tf.minimum(first + tile, length)
            before = tf.maximum(0, first - self._halo)
            # the last position sees the pixels behind it, which make no position
            end = tf.where(last + self._halo >= length, cut, (last + self._halo) * STRIDE)
            start, size = before * STRIDE, end - before * STRIDE
            begin = tf.where(vertical, tf.stack([0, start, 0, 0]), tf.stack([0, 0, start, 0]))
            extent = tf.where(vertical, tf.stack([count, size, width, inputs]), tf.stack([count, height, size, inputs]))
            pixels = tf.ensure_shape(tf.slice(images, begin, extent), [None, None, None, inputs])
            of_tile = tf.transpose(function(pixels), cut_axis_first)
            behind = tf.where(last == length, tf.shape(of_tile)[0], (last - before) * times)
            return place + 1, maps.write(place, of_tile[(first - before) * times : behind])

        maps = in_turn(add, -(-length // tile), [None, None, None, channels])
        return tf.ensure_shape(
            tf.transpose(maps, tf.math.invert_permutation(cut_axis_first)), [None, None, None, channels]
        )

    def mean_logits(self, maps: tf.Tensor) -> tf.Tensor:
        """The mean of the class score map of each last map, (n, classes) float64."""
        count, per_map = tf.shape(maps)[0], self._positions_in_a_map(maps)

        def add(place, sums):
            windows, owners = self._windows(maps, place)
            logits = tf.cast(self._logits(windows), tf.float64)
            return place + 1, sums + tf.math.unsorted_segment_sum(logits, owners, count)

        batches = -(-count * per_map // WINDOWS)
        sums = tf.zeros([count, self._classes], tf.float64)
        _, sums = tf.while_loop(lambda place, sums: place < batches, add, (0, sums), parallel_iterations=1)
        return sums / tf.cast(per_map, tf.float64)

    def _positions_in_a_map(self, maps: tf.Tensor) -> tf.Tensor:
        _, rows, columns, _ = tf.unstack(tf.shape(maps))
        return (rows - self._window + 1) * (columns - self._window + 1)

    def _windows(self, maps: tf.Tensor, batch: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """A batch of at most WINDOWS windows of the maps, (m, k, k, channels), and the place of each one's map, (m,)."""
        count, rows, columns, _ = tf.unstack(tf.shape(maps))
        across, per_map = columns - self._window + 1, self._positions_in_a_map(maps)
        position = tf.range(batch * WINDOWS, tf.minimum((batch + 1) * WINDOWS, count * per_map))
        owner, position = position // per_map, position % per_map
        inside = tf.range(self._window)
        row = (owner * rows + position // across)[:, tf.newaxis] + inside  # of all maps, one below the other: (m, k)
        column = (position % across)[:, tf.newaxis] + inside
        places = row[:, :, tf.newaxis] * columns + column[:, tf.newaxis]
        windows = tf.gather(tf.reshape(maps, [-1, self._channels]), places)
        return tf.ensure_shape(windows, [None, self._window, self._window, self._channels]), owner


def in_turn(add, times: tf.Tensor, shape: list[int | None]) -> tf.Tensor:
    """The concatenation of what `add(place, array)` writes to a `tf.TensorArray`, one place after another.

    Args:
        add: returns the next place and the array.
        times: the number of places; 0 gives an empty tensor if all of `shape` but its first number is known.
        shape: of what is written at a place.
    """
    array = tf.TensorArray(tf.float32, size=times, infer_shape=False, element_shape=shape)
    _, array = tf.while_loop(lambda place, _: place < times, add, (0, array), parallel_iterations=1)
    return array.concat()

"""3.2's protocols at one scale Q: a net and images in, the posterior of each image out.

A protocol is made once for a net and called for each scale; its functions are traced once for images of every size. The
mean over scales, over protocols and over nets is `posteriors.mean`'s.
"""

import math
from collections.abc import Iterator, Sequence

import keras
import numpy as np
import tensorflow as tf
from scipy.special import expit, softmax

from vgg_keras import stop
from vgg_keras.config import Architecture, Data, Evaluation
from vgg_keras.data import pipeline
from vgg_keras.data.splits import Split
from vgg_keras.errors import UserError
from vgg_keras.evaluation.whole_images import WINDOWS, Windows, halo, tiles
from vgg_keras.nets.dense import convolutions_and_head
from vgg_keras.progress import progress

BYTES_A_PIXEL = 48  # of an image in the dense test: itself, rescaled and with its mirror image, float32

# Images that are finished: their ids (n,) int64, labels (n,) int32 or multi-label (n, classes) int8, and posteriors (n, classes)
# float64.
Finished = tuple[np.ndarray, np.ndarray, np.ndarray]


def require_tensorflow() -> None:
    """Refuses what is made of TensorFlow operations around a net of another backend.

    Raises:
        UserError: Keras runs on another backend than TensorFlow.
    """
    if (backend := keras.config.backend()) != "tensorflow":
        raise UserError(
            "Tests, predictions, descriptors and activation maps run on Keras's tensorflow backend. "
            f"Received: {backend}, of KERAS_BACKEND or keras.json. Set KERAS_BACKEND=tensorflow."
        )


class Dense:
    """The net as convolutions over the whole image, its FC layers over windows of the last map.

    In this order: mean of the class score map over positions, soft-max, mean over the image and its mirror image.
    """

    def __init__(self, model: keras.Model, architecture: Architecture, rules: Evaluation):
        """
        Args:
            model: of `vgg_keras.build`, with logits.
            architecture: the model's, with `num_classes` known.
            rules: its `flip`, `batch` and `max_pixels` are read.

        Raises:
            UserError: of `require_tensorflow`.
        """
        require_tensorflow()
        convolutions, fc = convolutions_and_head(model)
        self._rules, self._crop, self._multi_label = rules, architecture.crop, architecture.multi_label
        self._halo, self._windows = halo(architecture), Windows(fc)
        images = tf.TensorSpec([None, None, None, architecture.channels], tf.float32)
        self.last_map = tf.function(
            lambda x: convolutions(x, training=False), [images], jit_compile=False, autograph=False
        )
        self.logits = self._windows.outputs

    def __call__(self, split: Split, data: Data, side: int) -> Iterator[Finished]:
        """Every image of the split once, at Q = `side`; of `data` the interpolation is read."""
        waiting, positions = [], 0
        for images, labels, ids in pipeline.whole_images(split, data, self._rules, self._crop, side):
            views = [images, images[:, :, ::-1]] if self._rules.flip else [images]
            maps = self.map_of(tf.concat(views, axis=0))
            waiting += zip(ids.numpy(), labels.numpy(), zip(*np.split(maps, len(views)), strict=True), strict=True)
            positions += len(maps) * math.prod(self._windows.positions(maps[0]))
            if positions >= WINDOWS:
                yield self._finish(waiting)
                waiting, positions = [], 0
        if waiting:
            yield self._finish(waiting)

    def map_of(self, images: tf.Tensor) -> np.ndarray:
        """The last map (n, height // 32, width // 32, units) of images (n, height, width, channels).

        Images with more pixels than `batch` crops, which are one image and its mirror image, go through the net in tiles.
        """
        parts = []
        for tile in tiles(images, self._rules.batch * self._crop**2, self._halo):
            found = self.last_map(tile.images).numpy()
            end = found.shape[tile.axis] if tile.end is None else tile.end
            parts.append(np.take(found, np.arange(tile.first, end), axis=tile.axis))
        return np.concatenate(parts, axis=tile.axis) if len(parts) > 1 else parts[0]

    def score_map(self, image: tf.Tensor) -> np.ndarray:
        """The class score map (rows, columns, classes) of one image (height, width, channels)."""
        (last_map,) = self.map_of(image[tf.newaxis])
        return self.outputs_of(last_map)

    def outputs_of(self, last_map: np.ndarray) -> np.ndarray:
        """The outputs (rows, columns, outputs) at every window of one image's last map (height, width, channels)."""
        outputs = [self.logits(windows).numpy() for windows in self._windows.of(last_map)]
        return np.concatenate(outputs).reshape(*self._windows.positions(last_map), -1)

    def _finish(self, waiting: Sequence[tuple[int, int, tuple[np.ndarray, ...]]]) -> Finished:
        ids, labels, maps = zip(*waiting, strict=True)
        mean = self._mean_logits([last_map for views in maps for last_map in views])
        posteriors = (
            posterior_of(mean, self._multi_label).reshape(len(ids), len(maps[0]), -1).mean(axis=1)
        )  # over the views
        return np.array(ids), np.array(labels), posteriors

    def _mean_logits(self, maps: Sequence[np.ndarray]) -> np.ndarray:
        """The mean of the class score map of each last map, (maps, classes); windows of several maps go together."""
        sums, counts = np.zeros((len(maps), self._windows.columns)), np.zeros((len(maps), 1))
        for owners, logits in self._windows.over(maps):
            np.add.at(sums, owners, logits.astype(np.float64))
            np.add.at(counts, owners, 1)
        return sums / counts


class Crops:
    """A regular grid of crops with their mirror images, their posteriors averaged; a grid of 1 is the centre crop."""

    def __init__(self, model: keras.Model, architecture: Architecture, rules: Evaluation, grid: int):
        """
        Args:
            model: of `vgg_keras.build`, with logits.
            architecture: the model's.
            rules: its `flip`, `batch` and `max_pixels` are read.
            grid: crops along each side.

        Raises:
            UserError: of `require_tensorflow`.
        """
        require_tensorflow()
        self._rules, self._crop, self._grid = rules, architecture.crop, grid
        self._multi_label = architecture.multi_label
        crops = tf.TensorSpec([None, self._crop, self._crop, architecture.channels], tf.float32)
        self.logits = tf.function(lambda x: model(x, training=False), [crops], jit_compile=False, autograph=False)

    def __call__(self, split: Split, data: Data, side: int) -> Iterator[Finished]:
        """Every image of the split once, at Q = `side`; of `data` the interpolation is read."""
        unfinished = {}  # image: number of crops, sum of their posteriors
        for crops, labels, ids, counts in pipeline.crops(split, data, self._rules, self._crop, side, self._grid):
            views = [crops, crops[:, :, ::-1]] if self._rules.flip else [crops]
            logits = [self.logits(view).numpy() for view in views]
            posteriors = np.mean([posterior_of(one, self._multi_label) for one in logits], axis=0)
            ids, labels, counts, finished = ids.numpy(), labels.numpy(), counts.numpy(), []
            for image in np.unique(ids):
                rows = np.flatnonzero(ids == image)
                count, total = unfinished.pop(image, (0, 0.0))
                count, total = count + counts[rows].sum(), total + counts[rows] @ posteriors[rows]
                if count < self._grid**2:
                    unfinished[image] = count, total
                else:
                    finished.append((image, labels[rows[0]], total / count))
            if finished:
                yield tuple(np.array(column) for column in zip(*finished, strict=True))


def parts(protocol: str) -> tuple[str, ...]:
    """The protocols whose mean one is: `both` of two."""
    return ("dense", "multi_crop") if protocol == "both" else (protocol,)


def of(part: str, model: keras.Model, architecture: Architecture, rules: Evaluation) -> Dense | Crops:
    """The protocol of a name: `dense`, `multi_crop` or `center`, which is a grid of one crop."""
    if part == "dense":
        return Dense(model, architecture, rules)
    return Crops(model, architecture, rules, 1 if part == "center" else rules.grid)


def require_few_pixels(
    split: Split, rules: Evaluation, scales: Sequence[int], remedy: str = "Or leave the image out."
) -> None:
    """Refuses images that a pass would refuse, before any work.

    Args:
        split: scanned, so that the sizes of its images are known.
        rules: the test's; its `max_pixels` is the limit.
        scales: the values of Q.
        remedy: for the message, beside raising the limit.

    Raises:
        UserError: an image is larger than the limit at one of them; the largest is named.
    """
    if split.sizes is None:
        return
    side = max(scales)
    stored = split.sizes.astype(np.float64)  # (images, 2): at Q a panorama has more pixels than 32 bits count
    pixels = np.rint(stored * (side / stored.min(axis=1, keepdims=True))).prod(axis=1)
    image, too_large = int(pixels.argmax()), int((pixels > rules.max_pixels).sum())
    if not too_large:
        return
    shown = stored[image]  # height and width
    if split.orientations is not None and split.orientations[image] > 4:  # on its side
        shown = shown[::-1]
    height, width = np.rint(shown * (side / shown.min()))
    others = f", and {too_large - 1:,} more" if too_large > 1 else ""
    raise UserError(
        f"An image rescaled to Q={side} must have evaluation.max_pixels={rules.max_pixels:,} or fewer. "
        f"Received: {split.path(image)}, {height:.0f} x {width:.0f} pixels then. Raise the limit: "
        f"--set=evaluation.max_pixels={pixels[image]:.0f} takes about {BYTES_A_PIXEL * pixels[image] / 1e9:.2g} GB of "
        f"memory. {remedy} The file has {shown[0]:.0f} x {shown[1]:.0f} pixels{others}."
    )


def mean_posteriors(
    passes: Sequence[tuple[Dense | Crops, int]], split: Split, data: Data, classes: int, title: str
) -> np.ndarray:
    """The mean over protocols and values of Q, (images, classes) float64, in the order of the split.

    In memory, for few images; `passes.run` saves the posteriors of a set as they come.

    Args:
        passes: protocols, each with a value of Q.
        split, data: the protocols' arguments.
        classes: how many.
        title: of the progress bar.
    """
    posteriors = np.zeros((split.size, classes))
    with progress(title=title, total=split.size * len(passes)) as bar:
        for protocol, side in passes:
            for images, _, found in protocol(split, data, side):
                posteriors[images] += found / len(passes)
                bar.update(len(images))
                stop.raise_if_requested()
    return posteriors


def posterior_of(logits: np.ndarray, multi_label: bool) -> np.ndarray:
    """The soft-max over the last axis, or of a multi-label net each sigmoid, in float64."""
    logits = logits.astype(np.float64)
    return expit(logits) if multi_label else softmax(logits, axis=-1)

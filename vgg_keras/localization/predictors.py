"""Appendix A's two tests at one scale Q: a net of boxes and images in, a row of boxes for each image out.

Center is Table 8's: the box of the true class on the centre crop. Dense is Table 9's: the boxes at every window of the image,
with the scores of a classification net at the same windows.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from vgg_keras.config import Architecture, Config, Data, Evaluation
from vgg_keras.data import pipeline
from vgg_keras.data.splits import Split
from vgg_keras.errors import UserError
from vgg_keras.evaluation import protocols
from vgg_keras.evaluation.protocols import Finished, posterior_of
from vgg_keras.evaluation.whole_images import STRIDE
from vgg_keras.localization.boxes import Geometry, geometry, in_crop
from vgg_keras.localization.predicted_boxes import Layout, Row, Slot
from vgg_keras.weights.classes import difference_of_classes


class Center:
    """The centre crop; with mirror images the mean of the two boxes. There is no classifier."""

    def __init__(self, net: Any, config: Config, layout: Layout):
        """
        Args:
            net: a `LoadedModel` of boxes.
            config: its `evaluation` is followed.
            layout: of the rows.
        """
        self._architecture, self._rules, self._layout = net.config.architecture, config.evaluation, layout
        self._crops = protocols.Crops(net.model, self._architecture, self._rules, 1)

    def __call__(self, split: Split, data: Data, side: int) -> Iterator[Finished]:
        """Every image of the split once, at Q = `side`."""
        crop = self._architecture.crop
        for crops, labels, ids, _ in pipeline.crops(split, data, self._rules, crop, side, 1):
            rows = []
            for image, label, found in zip(ids.numpy(), labels.numpy(), self.boxes_of(crops), strict=True):
                boxes = self.in_image(found, geometry(split, image, side))
                slot = Slot(int(label), boxes[label if len(boxes) > 1 else 0][np.newaxis], np.ones(1))
                rows.append(self._layout.packed(Row(split.boxes.of(image), np.zeros(self._layout.classes), slot, [])))
            yield ids.numpy(), labels.numpy(), np.stack(rows)

    def boxes_of(self, crops: tf.Tensor) -> np.ndarray:
        """The boxes (n, boxes, 4) of crops, by their edges as shares of the crop."""
        boxes = in_crop(self._crops.logits(crops).numpy(), self._architecture)
        if not self._rules.flip:
            return boxes
        found = in_crop(self._crops.logits(crops[:, :, ::-1]).numpy(), self._architecture)
        mirrored = np.stack([1 - found[..., 2], found[..., 1], 1 - found[..., 0], found[..., 3]], axis=-1)
        return (boxes + mirrored) / 2

    def in_image(self, boxes: np.ndarray, place: Geometry) -> np.ndarray:
        """Boxes (..., 4) of the centre crop in pixels of the image."""
        crop = self._architecture.crop
        top, left = ((size - crop) // 2 for size in place.rescaled)
        return place.of_crop(boxes, np.array(top), np.array(left), crop)


class Crops:
    """The net on each window of an image by itself, with zeros beyond it as in training; used as `protocols.Dense`."""

    def __init__(self, model: keras.Model, architecture: Architecture, rules: Evaluation):
        """
        Args:
            model, architecture: a net.
            rules: its `batch` is read.
        """
        self._logits = protocols.Crops(model, architecture, rules, 1).logits
        self._crop, self._batch = architecture.crop, rules.batch

    def map_of(self, images: tf.Tensor) -> np.ndarray:
        """The images (n, height, width, channels) themselves: the windows share no map."""
        return images.numpy()

    def outputs_of(self, image: np.ndarray) -> np.ndarray:
        """The outputs (rows, columns, outputs) at every window of an image (height, width, channels)."""
        # (rows, columns, channels, crop, crop), without a copy; only windows that lie in the image
        windows = np.lib.stride_tricks.sliding_window_view(image, (self._crop, self._crop), axis=(0, 1))[
            ::STRIDE, ::STRIDE
        ]
        rows, columns = windows.shape[:2]
        outputs = []
        for first in range(0, rows * columns, self._batch):
            places = range(first, min(first + self._batch, rows * columns))
            crops = np.stack([windows[divmod(place, columns)].transpose(1, 2, 0) for place in places])
            outputs.append(self._logits(crops).numpy())
        return np.concatenate(outputs).reshape(rows, columns, -1)


class Dense:
    """Every window of the whole image and, with `evaluation.flip`, of its mirror image."""

    def __init__(self, net: Any, classifier: Any | None, config: Config):
        """
        Args:
            net: a `LoadedModel` of boxes.
            classifier: a `LoadedModel` whose scores go with the boxes, of `require_classifier`; None: each box has a score of 1.
            config: its `evaluation` and `localization.windows` are followed.
        """
        self._architecture, self._rules = net.config.architecture, config.evaluation
        windows = {"map": protocols.Dense, "crops": Crops}[config.localization.windows]
        self._boxes = windows(net.model, self._architecture, self._rules)
        self._multi_label = bool(classifier) and classifier.config.architecture.multi_label
        self._scores = classifier and windows(classifier.model, classifier.config.architecture, self._rules)

    def found_in(
        self, images: tf.Tensor, places: list[Geometry]
    ) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray | None]]:
        """The boxes of images (n, height, width, channels) of one size, rescaled to Q, one image after another.

        Args:
            images: as the net gets them.
            places: of each, whose boxes are in pixels of the image as it was before.

        Returns:
            For each image the boxes (positions, boxes, 4), those of the mirror image behind its own; the class scores there
            (positions, classes), probabilities; and the image's posteriors (classes,). The last two are 1 and None without a
            classifier.
        """
        flip, count = self._rules.flip, len(places)
        views = tf.concat([images, images[:, :, ::-1]], axis=0) if flip else images
        maps = self._boxes.map_of(views)
        of_scores = self._scores and self._scores.map_of(views)
        for image, place in enumerate(places):
            boxes, scores, means = [], [], []
            for view in (image, image + count)[: 1 + flip]:
                found = self._of_map(maps[view], place)
                boxes.append(place.mirrored(found) if view >= count else found)
                if self._scores:
                    logits = self._scores.outputs_of(of_scores[view])
                    scores.append(posterior_of(logits.reshape(-1, logits.shape[-1]), self._multi_label))
                    # 3.2: the mean of the scores over positions, then the soft-max, then the mean over mirror images
                    means.append(posterior_of(logits.astype(np.float64).mean(axis=(0, 1)), self._multi_label))
                else:
                    scores.append(np.ones((len(found), 1)))
            yield np.concatenate(boxes), np.concatenate(scores), np.mean(means, axis=0) if means else None

    def _of_map(self, last_map: np.ndarray, place: Geometry) -> np.ndarray:
        """The boxes (positions, boxes, 4) at the windows of a last map, in the image.

        The window of position (row, column) begins at the pixel (32 row, 32 column) of the image at Q: five poolings.
        """
        outputs = self._boxes.outputs_of(last_map)
        rows, columns = np.indices(outputs.shape[:2]).reshape(2, -1, 1) * STRIDE
        found = in_crop(outputs.reshape(-1, outputs.shape[-1]), self._architecture)
        return place.of_crop(found, rows, columns, self._architecture.crop)

    def __call__(self, split: Split, data: Data, side: int, layout: Layout) -> Iterator[Finished]:
        """Every image of the split once, at Q = `side`, as rows of a layout."""
        crop = self._architecture.crop
        for images, labels, ids in pipeline.whole_images(split, data, self._rules, crop, side):
            labels, ids = labels.numpy(), ids.numpy()
            places = [geometry(split, image, side) for image in ids]
            rows = []
            for image, label, (boxes, scores, posteriors) in zip(
                ids, labels, self.found_in(images, places), strict=True
            ):
                (true,) = self.slots(boxes, scores, [int(label)])
                best = self.slots(boxes, scores, self.best_classes(scores, layout.slots - 1))
                known = np.zeros(layout.classes) if posteriors is None else posteriors
                rows.append(layout.packed(Row(split.boxes.of(image), known, true, best)))
            yield ids, labels, np.stack(rows)

    def best_classes(self, scores: np.ndarray, count: int) -> list[int]:
        """The labels of the classes with the highest scores anywhere on the map, the highest first; [] without a classifier."""
        return np.argsort(-scores.max(axis=0), kind="stable")[:count].tolist() if self._scores else []

    def slots(self, boxes: np.ndarray, scores: np.ndarray, labels: Sequence[int]) -> list[Slot]:
        """The boxes and scores, of `found_in`, of some classes."""
        return [
            Slot(one, boxes[:, one if boxes.shape[1] > 1 else 0], scores[:, one if self._scores else 0])
            for one in labels
        ]


def positions(place: Geometry, crop: int, flip: bool) -> int:
    """How many windows an image has at most, its mirror image's included: all, but those that reach beyond it."""
    rows, columns = (size // STRIDE - crop // STRIDE + 1 for size in place.rescaled)
    return rows * columns * (1 + flip)


def require_classifier(net: Any, classifier: Any, classes: Sequence[str]) -> None:
    """Refuses a classifier that gives no scores for a net's boxes.

    Args:
        net, classifier: each a `LoadedModel`.
        classes: of the images, which are the net's; empty: not known, so that of a box for each class their number alone counts.

    Raises:
        UserError: it gives boxes itself, has other classes, images of other channels, or another crop, whose windows are others.
    """
    ours, theirs = net.config.architecture, classifier.config.architecture
    rule = (
        f"--classifier is a classification net of the box net's classes, crop and channels. Received: {classifier.path}"
    )
    if theirs.boxes != "none":
        raise UserError(f"{rule}, a net of boxes.")
    if classes and (found := difference_of_classes(classifier.classes, theirs.num_classes, classes)):
        raise UserError(f"{rule} for {net.path}{found}")
    if not classes and ours.boxes == "pcr" and ours.num_classes != theirs.num_classes:
        raise UserError(f"{rule}, which has {theirs.num_classes:,} classes, the box net {ours.num_classes:,}.")
    if ours.channels != theirs.channels:
        raise UserError(f"{rule}, whose images have channels={theirs.channels}, not {ours.channels}.")
    if ours.crop != theirs.crop:
        raise UserError(f"{rule}, whose crop is {theirs.crop}, not {ours.crop}: its windows are others.")

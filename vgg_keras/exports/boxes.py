"""Exports of nets of boxes (appendix A): what their numbers mean, and a SavedModel of image files to boxes in their pixels.

A TFLite or an ONNX file takes crops and gives the net's own numbers. A SavedModel takes whole images and gives the boxes on the
centre crop, and at every window. Merging them is `vgg_keras.localization.merging`, NumPy alone.
"""

import time
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from vgg_keras.config import Architecture, Config
from vgg_keras.data import pipeline
from vgg_keras.data.headers import KINDS
from vgg_keras.data.rescaling import center_crop, center_window, rescale
from vgg_keras.data.splits import Split
from vgg_keras.evaluation.whole_images import STRIDE
from vgg_keras.exports import saved_model
from vgg_keras.exports.tiles import TiledNet, in_turn
from vgg_keras.localization.boxes import geometry, in_crop, iou
from vgg_keras.localization.predicted_boxes import Layout
from vgg_keras.localization.predictors import Center
from vgg_keras.overrides import override
from vgg_keras.weights.formats.run_folder import LoadedModel

TAKES = (
    f"serving_default, box_map: images (n, height, width, {{channels}}) uint8{{colours}}; encoded: (n,) {KINDS} files"
)
_UNITS = {"crop": "shares of the crop's side", "pixels": "pixels of the crop"}


def gives(architecture: Architecture, form: str) -> str:
    """What the files of a format give, for a person."""
    which = "one box" if architecture.boxes == "scr" else "a box for each class of labels.txt"
    if form == "saved_model":
        return (
            f"boxes (n, boxes, 4) of {which}: xmin, ymin, xmax, ymax in pixels of the image; sizes (n, 2): its height and width; "
            "box_map: boxes (n, rows, columns, boxes, 4) at every window"
        )
    unit = _UNITS[architecture.box_unit]
    return f"(n, {architecture.outputs}) float32, centre x, y, width, height of {which}, {unit}"


class BoxOutputs:
    """Numbers of boxes, for a comparison; labels are (n, 5), the class and its true box as the numbers are.

    `of_crop`: they are a net's, centre x, y, width and height in its unit; else edges as shares of the image. A box is right
    above `config.localization.iou`.
    """

    def __init__(self, config: Config, of_crop: bool = True):
        self._architecture, self._of_crop, self._right_above = config.architecture, of_crop, config.localization.iou
        pixels = of_crop and config.architecture.box_unit == "pixels"
        self.unit = float(config.architecture.crop) if pixels else 1.0

    def answers(self, found: np.ndarray, net: np.ndarray, labels: np.ndarray) -> tuple[float, float, float]:
        """The share of images whose boxes meet by more than half on average, and the box errors of both in percent."""
        ours, theirs = self._edges(found), self._edges(net)
        equal = np.abs(ours - theirs).max(axis=-1) < 1e-3  # empty boxes have no intersection
        same = np.where(equal, 1.0, iou(ours, theirs)).mean(axis=1) > 0.5
        return float(np.mean(same)), self._error(ours, labels), self._error(theirs, labels)

    def _error(self, boxes: np.ndarray, labels: np.ndarray) -> float:
        """The share of images whose class's box is wrong, in percent."""
        places = labels[:, 0].astype(int) if boxes.shape[1] > 1 else np.zeros(len(labels), int)
        return 100 * float(np.mean(iou(boxes[np.arange(len(boxes)), places], labels[:, 1:]) <= self._right_above))

    def _edges(self, numbers: np.ndarray) -> np.ndarray:
        if self._of_crop:
            return in_crop(numbers, self._architecture)
        return numbers.reshape(len(numbers), -1, 4)


def targets(split: Split, config: Config) -> np.ndarray:
    """The class of each image and the edges of its largest box as shares of the centre crop at S, (n, 5)."""
    crop, rows = config.architecture.crop, []
    for image, box in enumerate(split.boxes.largest().astype(np.float64)):
        place = geometry(split, image, config.middle_scale)
        top, left = ((size - crop) // 2 for size in place.rescaled)
        stretch = np.array([place.rescaled[1] / place.width, place.rescaled[0] / place.height] * 2)
        rows.append([split.labels[image], *((box * stretch - [left, top, left, top]) / crop)])
    return np.array(rows)


# ---- the SavedModel


class ServedBoxes(tf.Module):
    """The functions that a SavedModel of boxes offers as its signatures, at the first Q of the test.

    All have an evaluation's limits, as those of `saved_model.Served`. A batch of no images gives no boxes.
    """

    def __init__(self, model: keras.Model, config: Config):
        """
        Args:
            model: of `vgg_keras.build`, in float32, with boxes.
            config: of `evaluation` the first Q, `batch` and `max_pixels`, of `data` the interpolation, `exif_orientation` and
                `max_pixels`.
        """
        super().__init__(name="vgg_boxes")
        self.weights = [variable.value for variable in model.weights]  # `tf.Module` does not track Keras's variables
        self._architecture = model.architecture
        self._on_crops = lambda crops: model(crops, training=False)
        self._net = TiledNet(model, config.evaluation)
        self._side, self._most, self._data = config.test_scales[0], config.evaluation.max_pixels, config.data
        images = [tf.TensorSpec([None, None, None, self._architecture.channels], tf.uint8, name="images")]
        self.serving_default = tf.function(self._serving_default, images)
        self.box_map = tf.function(self._box_map, images)

    def _serving_default(self, images):
        """A batch of images of one size, uint8, to the boxes (n, boxes, 4) on their centre crops, and their sizes."""
        images, _, _ = saved_model.checked(images, self._side, self._most)
        spec = tf.TensorSpec([self._architecture.outputs // 4, 4], tf.float32)
        boxes = tf.map_fn(self._on_centre, images, parallel_iterations=1, fn_output_signature=spec)
        sizes = tf.tile(tf.shape(images)[tf.newaxis, 1:3], [tf.shape(images)[0], 1])
        return {"boxes": boxes, "sizes": sizes}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="encoded")])
    def encoded(self, encoded):
        """A batch of image files of any sizes, as bytes, to the same; an error at one that is refused."""

        def one(numbered):
            place, file = numbered
            name = saved_model.name_in_batch(place)
            pixels = saved_model.decoded(file, name, self._data, self._architecture.channels)
            images, _, _ = saved_model.checked(pixels[tf.newaxis], self._side, self._most, name)
            return self._on_centre(images[0]), tf.shape(pixels)[:2]

        spec = tf.TensorSpec([self._architecture.outputs // 4, 4], tf.float32), tf.TensorSpec([2], tf.int32)
        numbered = tf.range(tf.size(encoded)), encoded
        boxes, sizes = tf.map_fn(one, numbered, parallel_iterations=1, fn_output_signature=spec)
        return {"boxes": boxes, "sizes": sizes}

    def _box_map(self, images):
        """A batch of images of one size, uint8, to the boxes (n, rows, columns, boxes, 4) at every window."""
        images, height, width = saved_model.checked(images, self._side, self._most)
        count, size = tf.shape(images)[0], tf.shape(images)[1:3]
        rows, columns = self._net.positions(height, width)

        def add(place, found):
            rescaled = rescale(images[place], self._side, self._data.interpolation)
            return place + 1, found.write(place, self._net.output_map(rescaled[tf.newaxis]))

        outputs = in_turn(add, count, [None, self._architecture.outputs])
        outputs = tf.reshape(outputs, [count, rows, columns, self._architecture.outputs // 4, 4])
        tops, lefts = tf.meshgrid(STRIDE * tf.range(rows), STRIDE * tf.range(columns), indexing="ij")
        corners = tf.cast(tf.stack([tops, lefts], axis=-1), tf.float32)[tf.newaxis, :, :, tf.newaxis]
        stretch = tf.cast(tf.stack([height, width]), tf.float32) / tf.cast(size, tf.float32)
        return {"boxes": self._in_image(outputs, corners, stretch)}

    def _on_centre(self, pixels):
        """The boxes (boxes, 4) on the centre crop of an image (height, width, channels), in its pixels."""
        crop = self._architecture.crop
        window = center_crop(pixels, self._side, crop, self._data.interpolation)
        outputs = tf.reshape(self._on_crops(window[tf.newaxis]), [-1, 4])
        stretch, corner = center_window(tf.shape(pixels)[0], tf.shape(pixels)[1], self._side, crop)
        return self._in_image(outputs, corner, stretch)

    def _in_image(self, outputs, corner, stretch):
        """Numbers (..., 4) of boxes in crops as edges in the image; corners (top, left) of the crops in the rescaled image."""
        crop = float(self._architecture.crop)
        numbers = outputs * (crop if self._architecture.box_unit == "crop" else 1.0)
        centre, size = numbers[..., :2] + corner[..., ::-1], tf.maximum(numbers[..., 2:], 0.0)
        edges = tf.concat([centre - size / 2, centre + size / 2], axis=-1)
        return edges / tf.tile(stretch[::-1], [2])


def write_saved_model(net: LoadedModel, config: Config, folder: Path) -> None:
    """Writes the SavedModel of a net of boxes in float32 into a folder, new or empty."""
    saved_model.save(ServedBoxes(net.model, config), ("serving_default", "encoded", "box_map"), folder)


def opened_saved_model(folder: Path) -> Callable[[bytes], np.ndarray]:
    """A function of one encoded image to the SavedModel's boxes as shares of the image, (boxes * 4,)."""
    encoded = saved_model.opened_encoded(folder)

    def run(file):
        found = encoded(file)
        height, width = found["sizes"].numpy()[0]
        return (found["boxes"].numpy()[0] / [width, height, width, height]).ravel()

    return run


def of_centre_crops(net: LoadedModel, config: Config, split: Split) -> tuple[np.ndarray, np.ndarray, float]:
    """What `evaluate`'s test of the centre crop finds: boxes as shares of the images, (n, boxes * 4); the true ones; seconds."""
    config = override(config, {"evaluation.flip": False, "evaluation.protocol": "center"})
    center = Center(net, config, Layout(1, len(split.classes), 1, 1))
    side, crop, rows = config.test_scales[0], net.config.architecture.crop, {}
    center.boxes_of(tf.zeros([1, crop, crop, net.config.architecture.channels]))  # not timed, because it traces
    began = time.perf_counter()
    for crops, _, ids, _ in pipeline.crops(split, config.data, config.evaluation, crop, side, 1):
        for image, boxes in zip(ids.numpy(), center.boxes_of(crops), strict=True):
            place = geometry(split, int(image), side)
            rows[int(image)] = center.in_image(boxes, place) / [place.width, place.height, place.width, place.height]
    seconds = (time.perf_counter() - began) / split.size
    truth = []
    for image, box in enumerate(split.boxes.largest().astype(np.float64)):
        place = geometry(split, image, side)
        truth.append([split.labels[image], *(box / [place.width, place.height, place.width, place.height])])
    return np.stack([rows[image].ravel() for image in range(split.size)]), np.array(truth), seconds

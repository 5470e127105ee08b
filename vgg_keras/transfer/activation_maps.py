"""Where in a photograph a net sees a class: Grad-CAM, Grad-CAM++ and the class score map, as arrays and as pictures."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from vgg_keras import stop
from vgg_keras.config import Config
from vgg_keras.data import pipeline
from vgg_keras.data.image_files import of_files
from vgg_keras.data.multi_label import label_text
from vgg_keras.data.rescaling import rescale
from vgg_keras.data.scan import inspected
from vgg_keras.data.splits import Split
from vgg_keras.errors import UserError, nearest
from vgg_keras.evaluation import heatmap, photographs, posteriors, prediction, protocols
from vgg_keras.evaluation.measures import HALF
from vgg_keras.evaluation.report_mistakes import surest_mistakes
from vgg_keras.evaluation.whole_images import STRIDE
from vgg_keras.files import sweep
from vgg_keras.nets.architectures import costs
from vgg_keras.nets.architectures import layers as layers_of
from vgg_keras.nets.feature_maps import around, named_layers
from vgg_keras.paths import below
from vgg_keras.progress import progress
from vgg_keras.runs import POSTERIORS
from vgg_keras.weights.classes import require_scores
from vgg_keras.weights.formats.run_folder import LoadedModel
from vgg_keras.weights.open_model import open_model

METHODS = ("gradcam", "gradcam++", "scores")


@dataclass(frozen=True, eq=False)
class ActivationMap:
    """Where a net sees a class in a photograph.

    Attributes:
        path: of the photograph; `image 0` and so on for an array or a picture of Pillow.
        class_name: the class.
        probability: of the class, by the dense net at one scale without the mirror image.
        values: (rows, columns) float32 of the layer's positions. Of gradcam and gradcam++ in 0-1, 1 being the largest of this
            map; of scores the probability of the class at each position.
        size: height and width of the photograph in pixels.
        centres: the places of the rows and of the columns in the photograph, in pixels.
        reach: how far from its centre a position's value is used, down and across, in pixels.
    """

    path: str
    class_name: str
    probability: float
    values: np.ndarray
    size: tuple[int, int]
    centres: tuple[np.ndarray, np.ndarray]
    reach: tuple[float, float]

    def over_image(self) -> np.ndarray:
        """The values over the photograph's pixels, (height, width) float32, linearly between positions.

        NaN where no position reaches: at the edges, with scores.
        """
        return heatmap.interpolated(self.values, self.centres, self.size, self.reach).astype(np.float32)


def class_activation_map(
    net: Any,
    images: Any,
    classes: Any = None,
    method: str = "gradcam",
    layer: str | None = None,
    side: int | None = None,
) -> list[ActivationMap]:
    """Where a net sees a class in photographs.

    `gradcam`: a layer's channels, each weighted by the mean gradient of the class's score, summed, negative values set to 0
    (Selvaraju et al. 2017). `gradcam++`: weighted as in Chattopadhyay et al. 2018. `scores`: the dense net's own score map of
    the class, as probabilities. The score is the mean of the class score map, before the soft-max. Runs on TensorFlow.

    Args:
        net: a run's folder or another source of `vgg_keras.load_net`, what that returns, or a model of `vgg_keras.build`.
        images: photographs as `vgg_keras.predict_images` takes them: a path, an array, a picture of Pillow, or several.
        classes: a class for all photographs, or a list with one for each: a name, or a number in the order of the logits.
            None: the most probable one of each photograph.
        method: "gradcam", "gradcam++" or "scores".
        layer: a convolution or pooling, as `vgg_keras.feature_maps` names it. None: the last convolution.
        side: Q, the smaller side to which a photograph is rescaled, the net's crop or more. None: the largest scale of the
            net's test.

    Returns:
        One map for each photograph, in order.

    Raises:
        UserError: no such net, photograph, class, method or layer, or Keras runs on another backend than TensorFlow.

    Example:
        (seen,) = vgg_keras.class_activation_map("runs/E", "photo.jpg")
        plt.imshow(seen.over_image())
    """
    protocols.require_tensorflow()
    net = open_model(net)
    require_scores(net, "A class activation map")
    names = prediction.names_of(net, ())
    see = _map_function(net, method, layer)
    side = _side(net, side)
    found, scanned = photographs.opened(images, net.config.data, net.config.architecture.channels)
    wanted = _wanted(classes, names, len(found))
    maps = {}
    for places, split in scanned:
        protocols.require_few_pixels(split, net.config.evaluation, (side,))
        for image, place in enumerate(places):
            pixels, _ = pipeline.picture(split, image)
            picture = rescale(pixels, side, net.config.data.interpolation)
            maps[place] = see(picture, wanted[place], found[place].name, tuple(pixels.shape[:2]))
            stop.raise_if_requested()
    return [maps[place] for place in range(len(found))]


def draw_mistakes(net: LoadedModel, config: Config, split: Split, out: Path, folder: Path) -> list[Path]:
    """Draws the mistakes of an evaluation's report with Grad-CAM of the class predicted, or missed by a multi-label net.

    Args:
        net, config: evaluated.
        split: its images.
        out: the folder of the evaluation.
        folder: of the pictures.
    """
    wanted: dict[int, int | None] = {}
    for image, number in surest_mistakes(posteriors.load(out / POSTERIORS), HALF):
        wanted.setdefault(image, number)  # the surest of an image that has several, as of a multi-label net
    names = {image: split.name(image) for image in wanted}
    return _draw(net, config, split, wanted, names, folder, labelled=True)


def draw_predictions(
    net: LoadedModel, config: Config, predictions: Sequence[prediction.Prediction], folder: Path
) -> list[Path]:
    """Draws photographs in files with Grad-CAM of the most probable class."""
    split, _ = inspected(of_files([one.path for one in predictions]), config.data, config.architecture.channels)
    classes = prediction.names_of(net, ())
    names = [Path(one.path).name for one in predictions]
    several = len(set(names)) < len(names)  # photographs of one name, of different folders
    named = {place: f"{place}_{name}" if several else name for place, name in enumerate(names)}
    # where a multi-label net answers none, the most probable one
    least = HALF if net.config.architecture.multi_label else 0.0
    wanted = {
        place: classes.index(one.classes[0]) if one.classes and one.probabilities[0] >= least else None
        for place, one in enumerate(predictions)
    }
    return _draw(net, config, split, wanted, named, folder, labelled=False)


def _draw(
    net: LoadedModel,
    config: Config,
    split: Split,
    wanted: Mapping[int, int | None],
    names: Mapping[int, str],
    folder: Path,
    labelled: bool,
) -> list[Path]:
    """Writes `folder/NAME.png` for each image: itself, and beside it its Grad-CAM at the largest test scale.

    Args:
        wanted: the class of each image, by the image's place in the split.
        names: of the pictures.
        labelled: whether the split's labels are classes of the net; then the title names the actual one.
    """
    see, side, classes = _map_function(net, "gradcam", None), max(config.test_scales), prediction.names_of(net, ())
    folder.mkdir(parents=True, exist_ok=True)
    sweep(folder)
    paths = []
    for image, number in progress(wanted.items(), f"activation maps, Q={side}"):
        pixels, label = pipeline.picture(split, image)
        picture = rescale(pixels, side, config.data.interpolation)
        seen = see(picture, number, names[image], tuple(picture.shape[:2]))
        verdict = _verdict(seen, number, label if labelled else None, classes)
        title = f"{verdict}: {seen.class_name} ({seen.probability:.0%} at Q={side}, no mirror image)"
        title += f", actual: {label_text(label, classes)}" if labelled else ""
        paths.append(below(folder, f"{names[image]}.png"))
        meaning = f"Grad-CAM of {seen.class_name}"
        heatmap.draw_overlay(picture.numpy() / 255, seen.over_image(), title, meaning, paths[-1])
        stop.raise_if_requested()
    return paths


def _verdict(seen: ActivationMap, wanted: int | None, label: int | np.ndarray | None, classes: Sequence[str]) -> str:
    """Whether the net predicts the class of a map: a mistake of a multi-label net may be a class that it misses.

    Args:
        seen: the map.
        wanted: the class as `_draw` was given it; None: a multi-label net answers none.
        label: of the image, whose prediction is wrong; None where it is not known.
        classes: of the net.
    """
    missed = isinstance(label, np.ndarray) and label.ndim == 1 and label[classes.index(seen.class_name)] > 0
    return "not predicted" if missed or wanted is None else "predicted"


def _map_function(net: LoadedModel, method: str, layer: str | None) -> Callable[..., ActivationMap]:
    """A function of (a photograph at Q, a class or None, its path, its size before) to its map."""
    if method not in METHODS:
        raise UserError(
            f"method must be one of {', '.join(METHODS)}. Received: {method!r}. {nearest(str(method), METHODS)}"
        )
    architecture, multi_label = net.config.architecture, net.config.architecture.multi_label
    names = prediction.names_of(net, ())
    if method == "scores":
        if layer is not None:
            raise UserError(
                f"method='scores' is the map of the logits. Received: layer={layer!r} with it. Leave it out."
            )
        score_map = protocols.Dense(net.model, architecture, net.config.evaluation).score_map
        stride, first = STRIDE, architecture.crop // STRIDE * STRIDE / 2
    else:
        layer = layer or [one.name for one in layers_of(architecture) if one.kind == "conv"][-1]
        before, behind = around(net.model, layer)
        read = named_layers(architecture)[layer].name
        stride = next(cost.stride for cost in costs(architecture) if cost.layer.name == read)
        first = stride / 2

    def see(picture, wanted, path, size):
        if method == "scores":
            scores = score_map(picture)
            posterior = protocols.posterior_of(scores.mean(axis=(0, 1)), multi_label)
            chosen = int(posterior.argmax()) if wanted is None else wanted
            values = protocols.posterior_of(scores, multi_label)[:, :, chosen]
        else:
            maps, gradient, logits, chosen = _gradient(before, behind, picture, wanted)
            posterior = protocols.posterior_of(logits, multi_label)
            values = _weighted(maps, gradient, method)
        scale = [now / then for now, then in zip(size, picture.shape[:2], strict=True)]
        centres = tuple(s * (first + stride * np.arange(count)) for s, count in zip(scale, values.shape, strict=True))
        # a window's centre reaches half a step around it; a position of a map, at the edges, all beyond it
        reach = tuple(s * stride / 2 if method == "scores" else np.inf for s in scale)
        return ActivationMap(
            path,
            names[chosen],
            float(posterior[chosen]),
            values.astype(np.float32),
            tuple(map(int, size)),
            centres,
            reach,
        )

    return see


def _gradient(before, behind, picture: tf.Tensor, wanted: int | None):
    """A layer's map of a picture, the gradient of the class's score by it, the mean logits, and the class."""
    maps = before(picture[tf.newaxis], training=False)
    with tf.GradientTape() as tape:
        tape.watch(maps)
        scores = tf.reduce_mean(behind(maps, training=False), axis=(0, 1, 2))  # (classes,)
        chosen = int(tf.argmax(scores)) if wanted is None else wanted
        score = scores[chosen]
    gradient = tape.gradient(score, maps)
    maps, gradient = (tf.cast(one[0], tf.float32).numpy().astype(np.float64) for one in (maps, gradient))
    return maps, gradient, scores.numpy(), chosen


def _weighted(maps: np.ndarray, gradient: np.ndarray, method: str) -> np.ndarray:
    """The sum of channels (rows, columns, channels) by their weights, in 0-1."""
    if method == "gradcam":
        weights = gradient.mean(axis=(0, 1))
    else:
        # the paper's g^2 / (2 g^2 + sum(A) g^3) relu(g), which is 0 unless g > 0, with g^2 divided out
        positive = np.maximum(gradient, 0)
        total = np.maximum(maps.sum(axis=(0, 1)), 0)  # of leaky ReLU it may be negative
        weights = (positive / (2 + total * positive)).sum(axis=(0, 1))
    values = np.maximum(maps @ weights, 0)
    return values / values.max() if values.max() > 0 else values


def _side(net: LoadedModel, side: int | None) -> int:
    if side is None:
        return max(net.config.test_scales)
    crop = net.config.architecture.crop
    if isinstance(side, bool) or not isinstance(side, int | np.integer) or side < crop:
        raise UserError(f"side must be a whole number, the net's crop of {crop} or more. Received: {side!r}.")
    return int(side)


def _wanted(classes: Any, names: Sequence[str], count: int) -> Sequence[int | None]:
    """The number of the class of each of `count` photographs; None: its most probable one."""
    if classes is None:
        return [None] * count
    numbers = prediction.numbers_of(classes, names)
    if np.ndim(classes) == 0:
        return numbers * count
    if len(numbers) != count:
        raise UserError(f"classes are one for all photographs, or one for each of {count}. Received: {len(numbers)}.")
    return numbers

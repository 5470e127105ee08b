"""Predictions for photographs without labels: the names of the most probable classes, by the test of 3.2."""

import math
import numbers
import os
import types
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from vgg_keras.config import Config, Data, Evaluation
from vgg_keras.data.class_names import require_list
from vgg_keras.data.errors import readable_images
from vgg_keras.data.image_files import of_files
from vgg_keras.data.pipeline import picture
from vgg_keras.data.scan import inspected
from vgg_keras.data.splits import Split
from vgg_keras.errors import UserError, described, nearest
from vgg_keras.evaluation import plots, protocols
from vgg_keras.evaluation.measures import HALF
from vgg_keras.evaluation.photographs import listed, opened
from vgg_keras.paths import printable
from vgg_keras.weights.classes import require_scores
from vgg_keras.weights.formats.run_folder import LoadedModel
from vgg_keras.weights.open_model import open_model

MOST_DRAWN = 250  # photographs in one picture, each 242 pixels high: Matplotlib draws 65,535 pixels at most
TOP = 5  # classes of each photograph
POSTERIORS_BYTES = 2**28  # of the posteriors that are in memory at once, float64


@dataclass(frozen=True)
class Prediction:
    """The most probable classes of one photograph, the first one first, with their probabilities.

    Of a multi-label net these are the classes of probability 1/2 or more, which may be none.
    """

    path: str
    classes: tuple[str, ...]
    probabilities: tuple[float, ...]


def predict_images(
    net: LoadedModel | keras.Model | str | os.PathLike,
    images: Any,
    *,
    config: Config | None = None,
    classes: Sequence[str] = (),
    top: int | None = None,
) -> list[Prediction]:
    """The most probable classes of photographs, by the dense test with mirror images or as `config.evaluation` says.

    Args:
        net: a run's folder or another source of `vgg_keras.load_net`, what that returns, or a model of `vgg_keras.build`.
        images: one or several of these, several in a list or any other iterable:
            a path of a JPEG, PNG, BMP, GIF or WebP file;
            a path of a folder, whose image files are taken in the order of their names;
            an array (height, width, channels) of uint8, RGB for a net of 3 channels; a batch of n images with n in front;
            a Pillow image with 8 bits a channel.
        config: its `evaluation` is used, and of `data` the interpolation, `exif_orientation` and `max_pixels`; None: the
            run's, or the paper's for a model.
        classes: names in the order of the logits; by default the run's, or numbers.
        top: how many classes of each; None: 5, and of a multi-label net those of probability 1/2 or more.

    Returns:
        One prediction for each photograph, in order; the path of an array or of a Pillow image is `image 0` and so on.

    Raises:
        UserError: no such net, a path that does not exist, or files that are no images: all are named and nothing is
            predicted.

    Example:
        vgg_keras.predict_images("runs/E", "photo.jpg")[0].classes
    """
    require_top(top)
    net = open_model(net)
    require_scores(net, "A prediction")
    config, names = config_of(net, config), names_of(net, classes)
    found, scanned = opened(images, config.data, net.config.architecture.channels)
    for _, split in scanned:
        protocols.require_few_pixels(split, config.evaluation, config.test_scales)

    passes = [
        (_protocol(part, net, config.evaluation), side)
        for part in protocols.parts(config.evaluation.protocol)
        for side in config.test_scales
    ]
    predictions = {}
    for places, split in scanned:
        for part, posteriors in _posteriors(passes, split, config.data, len(names)):
            multi_label = net.config.architecture.multi_label
            best = np.argsort(-posteriors, axis=1, kind="stable")[:, : top or (len(names) if multi_label else TOP)]
            for image, row, order in zip(part, posteriors, best, strict=True):
                place = places[image]
                order = order[row[order] >= HALF] if multi_label and top is None else order
                best_names = tuple(names[one] for one in order)
                predictions[place] = Prediction(found[place].name, best_names, tuple(row[order].tolist()))
    return [predictions[place] for place in range(len(found))]


def _posteriors(passes, split: Split, data: Data, classes: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Places in the split and their posteriors, in parts: those of many photographs and classes would fill the memory."""
    parts = max(1, math.ceil(8 * split.size * classes / POSTERIORS_BYTES))
    for part in np.array_split(np.arange(split.size), parts):
        chosen = split.select(part)
        with readable_images(chosen):
            yield part, protocols.mean_posteriors(passes, chosen, data, classes, "predicting")


def require_drawable(paths: Sequence[str | Path]) -> None:
    """Refuses more photographs than `draw` has room for.

    Raises:
        UserError: there are more, or a path does not exist.
    """
    if (count := len(listed(paths, upright=False))) > MOST_DRAWN:
        raise UserError(f"--out draws {MOST_DRAWN} photographs or fewer. Received: {count:,}. --json lists any number.")


def draw(predictions: Sequence[Prediction], data: Data, path: Path) -> None:
    """Draws each photograph, as the net was shown it, with its classes as bars beside it."""
    split, _ = inspected(of_files([prediction.path for prediction in predictions]), data)
    size = (8, 2.2 * len(predictions) + 0.3)
    figure, axes = plots.pyplot().subplots(
        len(predictions), 2, figsize=size, layout="constrained", squeeze=False, width_ratios=(1, 1.4)
    )
    for image, (prediction, (left, right)) in enumerate(zip(predictions, axes, strict=True)):
        pixels, _ = picture(split, image)
        left.imshow(pixels.numpy()[:: max(1, pixels.shape[0] // 500), :: max(1, pixels.shape[1] // 500)])
        left.set_axis_off()
        left.set_title(printable(Path(prediction.path).name), fontsize=8, parse_math=False)
        places = range(len(prediction.classes))
        bars = right.barh(places, prediction.probabilities, color="tab:blue")
        right.bar_label(bars, [f"{share:.1%}" for share in prediction.probabilities], padding=3, fontsize=8)
        right.set_yticks(places, prediction.classes, fontsize=8, parse_math=False)
        right.set_xlim(0, 1.15)
        right.invert_yaxis()
        right.xaxis.set_visible(False)
        right.spines[["top", "right", "bottom"]].set_visible(False)
    plots.save(figure, path)


def table(predictions: Sequence[Prediction]) -> list[list[str]]:
    """The predictions as cells of text: a row for each photograph, its classes in columns."""
    columns = max(1, *(len(prediction.classes) for prediction in predictions))
    rows = [["", *(f"{place + 1}." for place in range(columns))]]
    for one in predictions:
        cells = [f"{name} {share:.1%}" for name, share in zip(one.classes, one.probabilities, strict=True)] or ["none"]
        rows.append([printable(one.path), *cells, *[""] * (columns - len(cells))])
    return rows


def require_top(top: Any) -> None:
    """Refuses a number of classes that is none; None is the default."""
    if top is not None and (isinstance(top, bool) or not isinstance(top, numbers.Integral) or top < 1):
        raise UserError(f"top must be a whole number, 1 or more. Received: {top!r}.")


def require_config(config: Any) -> None:
    """Refuses what is no configuration."""
    if not isinstance(config, Config):
        raise UserError(f"config must be a vgg_keras.config.Config. Received: {described(config)}.")


def config_of(net: LoadedModel, config: Config | None) -> Config:
    """The configuration of the evaluation: `config`, or the net's own.

    Raises:
        UserError: something else, or Q below the net's crop.
    """
    config = net.config if config is None else config
    require_config(config)
    crop = net.config.architecture.crop
    if min(config.test_scales) < crop:
        raise UserError(
            f"A test's Q must be the net's crop of {crop} or more. Received: a config with {config.test_scales}."
        )
    return config


def names_of(net: LoadedModel, classes: Sequence[str]) -> tuple[str, ...]:
    """The names of a net's classes: `classes`, else its own, else numbers."""
    count = net.config.architecture.num_classes
    if not (isinstance(classes, str) and len(classes) == count):  # as "0123456789" of digits
        require_list(classes)
    classes = tuple(map(str, classes)) or net.classes or tuple(map(str, range(count)))
    if len(classes) != count:
        raise UserError(f"Each of the net's {count} classes has a name. Received: {len(classes)} names.")
    return classes


def numbers_of(classes: Any, names: Sequence[str]) -> list[int]:
    """The numbers of classes that are given by their names or numbers, one or several; none of None.

    Raises:
        UserError: one is no class of the net.
    """
    if classes is None:
        return []
    one = isinstance(classes, str) or (not isinstance(classes, list | tuple) and np.ndim(classes) == 0)
    return [_number_of(each, names) for each in ([classes] if one else classes)]


def _number_of(one: Any, names: Sequence[str]) -> int:
    if isinstance(one, str) and one in names:
        return list(names).index(one)
    if isinstance(one, int | np.integer) and not isinstance(one, bool) and 0 <= one < len(names):
        return int(one)
    hint = nearest(one, names) if isinstance(one, str) and len(names) <= 1000 else f"0 to {len(names) - 1}."
    raise UserError(f"A class is a name of the net's, or its number. Received: {one!r}. {hint}")


def _protocol(part: str, net: LoadedModel, rules: Evaluation) -> Any:
    """`protocols.of`, made once for each model: a notebook predicts image by image, and tracing takes longer than that."""
    architecture = net.config.architecture
    return kept(net.model, (part, architecture, rules), lambda: protocols.of(part, net.model, architecture, rules))


def kept(model: keras.Model, key: Any, make: Callable[[], Any]) -> Any:
    """What `make` makes of a model's own layers, once, kept as long as the model."""
    # in an object of a type that Keras does not track or save with the model
    made = vars(model).setdefault("_kept_by_vgg_keras", types.SimpleNamespace(values={})).values
    if key not in made:
        made[key] = make()
    return made[key]

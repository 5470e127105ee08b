"""Boxes in photographs without labels: a net's at every window, merged, rated by a classifier; in numbers and as a picture."""

import dataclasses
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from vgg_keras import stop
from vgg_keras.config import Config
from vgg_keras.data import pipeline
from vgg_keras.data.errors import readable_images
from vgg_keras.data.image_files import of_files
from vgg_keras.data.scan import inspected
from vgg_keras.data.splits import Split
from vgg_keras.errors import UserError
from vgg_keras.evaluation import plots, protocols
from vgg_keras.evaluation.photographs import opened
from vgg_keras.evaluation.prediction import config_of, kept, names_of, numbers_of, require_top
from vgg_keras.localization.boxes import geometry
from vgg_keras.localization.judgement import Answer, answers, best_box
from vgg_keras.localization.predicted_boxes import Row, union
from vgg_keras.localization.predictors import Dense, require_classifier
from vgg_keras.paths import printable
from vgg_keras.progress import progress
from vgg_keras.weights.formats.run_folder import LoadedModel
from vgg_keras.weights.open_model import open_model

COLORS = ("#e6194b", "#3cb44b", "#4363d8", "#f58231", "#911eb4")


@dataclass(frozen=True)
class LocatedObject:
    """A box in a photograph.

    Attributes:
        class_name: empty of a net with one box for all classes and without a classifier.
        box: xmin, ymin, xmax, ymax in pixels of the photograph, upright; it may reach beyond it.
        probability: of the class in the whole photograph; None without a classifier.
        score: the sum of the class scores of the boxes that were merged; without a classifier their number.
    """

    class_name: str
    box: tuple[float, float, float, float]
    probability: float | None
    score: float


@dataclass(frozen=True)
class Localization:
    """The boxes of a photograph: the most probable class first, or classes in the order in which they are named."""

    path: str
    objects: tuple[LocatedObject, ...]


def localize_images(
    net: LoadedModel | keras.Model | str | os.PathLike,
    images: Any,
    *,
    classifier: LoadedModel | keras.Model | str | os.PathLike | None = None,
    classes: str | int | Sequence[str | int] | None = None,
    config: Config | None = None,
    top: int | None = None,
) -> list[Localization]:
    """The boxes of a net in photographs, by the dense test of appendix A.

    Args:
        net: a box run's folder, what `vgg_keras.load_net` returns, or a model of `vgg_keras.build` with boxes.
        images: as of `vgg_keras.predict_images`: paths, folders, arrays, Pillow images.
        classifier: a classification net of the same crop and channels, whose most probable classes get a box each. Its
            classes are those of a net with a box for each class; beside one box for all classes they are any.
        classes: that get a box, by their names or numbers, instead of the most probable ones. A net with a box for each class
            needs these or a classifier.
        config: its `evaluation`, `localization` and `data` are used; None: the run's. Every window of the image is used,
            whatever `evaluation.protocol` says.
        top: how many classes at most; None: `localization.answers` of `config`, or all that are named.

    Returns:
        One for each photograph, in order.

    Raises:
        UserError: a net without boxes, a classifier that does not go with it, an unknown class, a number or a configuration
            that is none, or files that are no images.

    Example:
        vgg_keras.localize_images("runs/boxes", "photo.jpg", classifier="runs/D/S256")[0].objects[0].box
    """
    require_top(top)
    net = open_model(net)
    if not net.config.predicts_boxes:
        raise UserError(
            f"A net with boxes is needed, of --config=localisation. Received: {net.path}, which gives classes."
        )
    classifier = None if classifier is None else open_model(classifier)
    if classifier:
        # one box for all classes is a box of any class
        require_classifier(net, classifier, net.classes if net.config.architecture.boxes == "pcr" else ())
    config = _with_answers(config_of(net, config), top)
    names, wanted = _wanted(net, classifier, classes)
    found, scanned = opened(images, config.data, net.config.architecture.channels)
    for _, split in scanned:
        protocols.require_few_pixels(split, config.evaluation, config.test_scales)
    dense = _dense(net, classifier, config)
    localized = {}
    for places, split in scanned:
        with readable_images(split):
            for image, row in enumerate(_rows(dense, split, config, net.config.architecture.crop, wanted)):
                of_named = [best_box(slot, row, config.localization) for slot in row.slots] if wanted else None
                best = answers(row, config.localization) if of_named is None else of_named
                objects = tuple(_object(one, names, bool(classifier)) for one in best[:top])
                localized[places[image]] = Localization(found[places[image]].name, objects)
                stop.raise_if_requested()  # the merging of many boxes takes a while too
    return [localized[place] for place in range(len(found))]


def _with_answers(config: Config, top: int | None) -> Config:
    """The configuration with so many answers, and the boxes of so many classes at each Q, as the most probable classes need."""
    if top is None:
        return config
    rules = dataclasses.replace(
        config.localization, answers=top, best_classes=max(top, config.localization.best_classes)
    )
    return dataclasses.replace(config, localization=rules)


def _dense(net: LoadedModel, classifier: LoadedModel | None, config: Config) -> Dense:
    """Made once for a net and a classifier: a notebook goes photograph by photograph, and tracing takes longer than that."""
    model = classifier.model if classifier else None
    key = "boxes", id(model), config.evaluation, config.localization.windows
    # the classifier is kept too, so that no other model gets its id
    return kept(net.model, key, lambda: (model, Dense(net, classifier, config)))[1]


def _wanted(net: LoadedModel, classifier: LoadedModel | None, classes: Any) -> tuple[Sequence[str], list[int]]:
    """The names of all classes, and the numbers of those that get a box; none: the classifier's most probable ones."""
    architecture = net.config.architecture
    names = names_of(classifier or net, ())
    wanted = list(dict.fromkeys(numbers_of(classes, names)))
    if not wanted and not classifier:
        if architecture.boxes == "pcr":
            raise UserError(
                "A net with a box for each class needs --classifier=RUN, or --classes=NAME,NAME. Received: neither, for "
                f"{net.path}."
            )
        return ("",), [0]
    return names, wanted


def _rows(dense: Dense, split: Split, config: Config, crop: int, wanted: Sequence[int]) -> list[Row]:
    """What the nets say of each photograph, the union over the values of Q."""
    rows: list[list[Row]] = [[] for _ in range(split.size)]
    with progress(title="localizing", total=split.size * len(config.test_scales)) as bar:
        for side in config.test_scales:
            for images, _, ids in pipeline.whole_images(split, config.data, config.evaluation, crop, side):
                places = [geometry(split, int(image), side) for image in ids.numpy()]
                for image, (boxes, scores, posteriors) in zip(ids.numpy(), dense.found_in(images, places), strict=True):
                    known = np.zeros(max(wanted, default=0) + 1) if posteriors is None else posteriors
                    best = wanted or dense.best_classes(scores, config.localization.best_classes)
                    rows[image].append(Row(np.zeros((0, 4)), known, None, dense.slots(boxes, scores, best)))
                bar.update(len(places))
                stop.raise_if_requested()
    return [union(of_image) for of_image in rows]


def _object(answer: Answer, names: Sequence[str], rated: bool) -> LocatedObject:
    xmin, ymin, xmax, ymax = map(float, answer.box)
    return LocatedObject(
        names[answer.label], (xmin, ymin, xmax, ymax), answer.posterior if rated else None, answer.score
    )


def draw(localized: Sequence[Localization], config: Config, path: Path) -> None:
    """Draws each photograph with its boxes, the first one thick, and the names of their classes."""
    from matplotlib.patches import Rectangle

    split, _ = inspected(of_files([one.path for one in localized]), config.data)
    columns = min(3, len(localized))
    rows = -(-len(localized) // columns)
    figure, axes = plots.pyplot().subplots(
        rows, columns, figsize=(4 * columns, 3.6 * rows), layout="constrained", squeeze=False
    )
    for image, (one, place) in enumerate(zip(localized, axes.flat, strict=False)):
        pixels = pipeline.picture(split, image)[0].numpy()
        step = max(1, min(pixels.shape[:2]) // 500)
        extent = (0, pixels.shape[1], pixels.shape[0], 0)
        place.imshow(pixels[::step, ::step], extent=extent)
        for number, found in enumerate(one.objects):
            xmin, ymin, xmax, ymax = found.box
            color, width = COLORS[number % len(COLORS)], 3 if number == 0 else 1.2
            place.add_patch(Rectangle((xmin, ymin), xmax - xmin, ymax - ymin, fill=False, color=color, linewidth=width))
            text = " ".join(filter(None, (found.class_name, _percent(found.probability))))
            corner = float(np.clip(xmin, 0, extent[1])), float(np.clip(ymin, 0, extent[2]))
            place.text(*corner, text, color="white", fontsize=7, va="top", parse_math=False, backgroundcolor=color)
        place.set_xlim(extent[:2])
        place.set_ylim(extent[2:])
        place.set_title(printable(Path(one.path).name), fontsize=8, parse_math=False)
    for place in axes.flat:
        place.set_axis_off()
    plots.save(figure, path)


def _percent(probability: float | None) -> str:
    return "" if probability is None else f"{probability:.0%}"

"""The folder of an evaluation of box nets: a file of boxes for each Q, their union, the result and the report."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vgg_keras import provenance
from vgg_keras.config import Config, Localization, label_of_test_scales, label_of_training_scale
from vgg_keras.data.splits import Split, shown_sizes
from vgg_keras.errors import UserError
from vgg_keras.evaluation import fusion, image_rows, metrics, passes, protocols
from vgg_keras.evaluation.error_table import PROTOCOLS
from vgg_keras.evaluation.image_rows import other_images, other_labels
from vgg_keras.evaluation.images import Images
from vgg_keras.files import sweep, write_json
from vgg_keras.localization import paper, predictors, report
from vgg_keras.localization.boxes import geometry
from vgg_keras.localization.judgement import Judgement, judge, nearest_iou
from vgg_keras.localization.predicted_boxes import Layout, LocalizingNet, PredictedBoxes, Row, load, union
from vgg_keras.plain_values import to_dict
from vgg_keras.runs import BOXES, RESULT, read_config
from vgg_keras.weights.formats.run_folder import LoadedModel


@dataclasses.dataclass(frozen=True)
class TableRow:
    """A row of the report's table: the nets, how they were evaluated, and the errors in percent."""

    net: str
    boxes: str
    trained: str
    training_scale: str
    protocol: str
    scales: str
    images: int
    box_error: float
    box_interval: tuple[float, float]  # Wilson's, 95 %
    mean_iou: float
    top1_error: float | None  # None: without a classifier
    top5_error: float | None
    trivial_error: float | None  # of the training set's mean box; None: it is not known
    paper: paper.Cell | str


def evaluate(
    net: LoadedModel,
    config: Config,
    images: Images,
    precision: str,
    folder: Path,
    classifier: LoadedModel | None = None,
) -> dict[str, Any]:
    """Evaluates a net of boxes as `config.evaluation` and `config.localization` say, and writes the result into `folder`.

    What the folder holds already of the same net, images and settings is not computed again.

    Args:
        net: built in `precision`.
        config: the net's, with the `data`, `evaluation` and `localization` of this evaluation.
        images: what it is evaluated on, with boxes.
        precision: the Keras dtype policy.
        folder: locked.
        classifier: whose scores go with the boxes of the dense test; None: the box of the true class alone is judged.

    Returns:
        What `evaluation.json` holds.

    Raises:
        MismatchError: `folder` holds another evaluation.
        UserError: of `passes.run`, or a classifier that does not go with the net.
        StoppedError: by a signal, with everything saved.
    """
    sweep(folder)
    if classifier:
        _require_possible(net, config, images.split, classifier)
    protocols.require_few_pixels(images.split, config.evaluation, config.test_scales)
    parts, judged = [], []
    for side in config.test_scales:
        layout = _layout(net, config, images.split, side, classifier)
        described = _described(net, config, images, precision, side, layout, classifier)
        found, judgement = _pass(net, classifier, config, images.split, side, layout, described, folder)
        parts.append(found)
        judged.append(judgement)
    groups = [[part] for part in parts] + ([parts] if len(parts) > 1 else [])
    settings = {
        **to_dict(parts[0].nets[0]),
        "scales": list(config.test_scales),
        "localization": to_dict(config.localization),
    }
    settings |= {"classifier": str(classifier.path) if classifier else None}
    return _write(folder, groups, settings, config.localization, images.split, judged)


def parts_of(paths: Sequence[Path]) -> list[PredictedBoxes]:
    """Saved boxes that can be joined.

    Args:
        paths: of two `.npz` files or more.

    Raises:
        UserError: fewer, one that is not finished, or of other images, labels or boxes, or of another test, than the first.
    """
    fusion.require_several(paths, PredictedBoxes)
    parts = [load(path) for path in paths]
    first = parts[0]
    for part, path in zip(parts, paths, strict=True):
        if not part.done.all():
            raise UserError(f"Boxes must be finished. Received: {path}. Run its evaluation again: it resumes.")
        found = other_images(first, part) or other_labels(first, part) or _other_test(first.nets[0], part.nets[0])
        if found:
            raise UserError(
                f"Boxes are joined over the same images, classes and test. Received: {paths[0]} and {path}, where {found}."
            )
    return parts


def _other_test(net: LocalizingNet, other: LocalizingNet) -> str | None:
    """The first difference between two tests whose boxes cannot be joined, as text; None where there is none."""
    if net.protocol != other.protocol:
        return f"the protocol is {net.protocol} in the first and {other.protocol} in the other"
    if net.windows != other.windows:
        return f"localization.windows is '{net.windows}' in the first and '{other.windows}' in the other"
    if bool(net.classifier_sha256) != bool(other.classifier_sha256):
        return "one has the scores of a classifier and the other has none"
    if net.exif_orientation != other.exif_orientation:
        return "data.exif_orientation differs"
    return None if net.boxes_sha256 == other.boxes_sha256 else "the true boxes differ"


def fuse(
    parts: Sequence[PredictedBoxes], paths: Sequence[Path], rules: Localization, folder: Path, split: Split | None
) -> dict[str, Any]:
    """Writes the union of saved boxes of several nets, merged (Table 9), into `folder`; no net is run.

    Args:
        parts: of `parts_of`.
        paths: where they lie.
        rules: of the merging.
        folder: locked.
        split: the images, for the report's pictures; None: it has none.

    Raises:
        UserError: a split of other images, or a folder that holds something else.
    """
    sweep(folder)
    fusion.require_folder(folder, lambda path: False)  # a union writes no boxes
    if split is not None:
        fusion.require_images_of(parts[0], split)
    settings = {"protocol": "union", "parts": list(map(str, paths)), "nets": [to_dict(part.nets[0]) for part in parts]}
    settings |= {name: parts[0].nets[0].__dict__[name] for name in ("data", "split", "bad_images")}
    settings |= {"localization": to_dict(rules)}
    return _write(folder, [*([part] for part in parts), parts], settings, rules, split)


def rows_of(parts: Sequence[PredictedBoxes]) -> list[Row]:
    """The union of these boxes, image by image."""
    return [union([part.row(image) for part in parts]) for image in range(len(parts[0].labels))]


# ---- a pass


def _require_possible(net: LoadedModel, config: Config, split: Split, classifier: LoadedModel) -> None:
    if config.evaluation.protocol != "dense":
        raise UserError(
            "--classifier belongs to --protocol=dense: the centre crop's box is that of the true class (A). "
            f"Received: {classifier.path} with evaluation.protocol={config.evaluation.protocol}."
        )
    predictors.require_classifier(net, classifier, split.classes)


def _layout(net: LoadedModel, config: Config, split: Split, side: int, classifier: LoadedModel | None) -> Layout:
    boxes = 1
    if config.evaluation.protocol == "dense":
        crop, flip = net.config.architecture.crop, config.evaluation.flip
        boxes = max(predictors.positions(geometry(split, image, side), crop, flip) for image in range(split.size))
    classes = len(split.classes)
    slots = 1 + (min(config.localization.best_classes, classes) if classifier else 0)
    return Layout(truth=int(split.boxes.counts.max()), classes=classes, slots=slots, boxes=boxes)


def _described(
    net, config: Config, images: Images, precision: str, side: int, layout: Layout, classifier
) -> LocalizingNet:
    stored = (read_config(net.path) if net.path.is_dir() else None) or {}
    statistics = stored.get("data", {}).get("statistics", {})
    return LocalizingNet.of(
        *(net, config, images, precision, (side,)),
        training_scale=net.config.data.scale,  # a run states it, another source of weights does not
        protocol=config.evaluation.protocol,
        windows=config.localization.windows if config.evaluation.protocol == "dense" else "",
        best_classes=layout.slots - 1,
        layout=dataclasses.astuple(layout),
        trained_layers=net.config.training.layers if stored else "",  # likewise
        classifier_sha256=classifier.weights_sha256 if classifier else "",
        several_left_out=config.data.several_boxes == "left_out",
        boxes_sha256=images.split.boxes.sha256,
        mean_box=tuple(statistics.get("mean_box", ())),
    )


def _pass(
    net, classifier, config: Config, split: Split, side: int, layout: Layout, described, folder: Path
) -> tuple[PredictedBoxes, Judgement]:
    """The boxes at one Q, computed as far as they are not saved yet, and what they are worth."""
    protocol, rules = config.evaluation.protocol, config.localization
    path = folder / f"{protocol}_Q{side}.npz"
    known = passes.begin(path, image_rows.unknown(PredictedBoxes, split, split.classes, layout.columns, described))
    if protocol == "dense":
        dense = predictors.Dense(net, classifier, config)

        def predict(split, data, side):
            return dense(split, data, side, layout)
    else:
        predict = predictors.Center(net, config, layout)
    title = f"{PROTOCOLS[protocol]}, Q={side}"
    found = passes.run(predict, known, path, split, config.data, side, title)
    judged = judge(rows_of([found]), found.labels, rules)
    print(
        f"{title}: box error {judged.box_error:.2f} %, mean IoU {judged.ious.mean():.3f}, {split.size:,} images",
        flush=True,
    )
    return found, judged


# ---- the result


def _write(
    folder: Path,
    groups: Sequence[list[PredictedBoxes]],
    settings: dict[str, Any],
    rules: Localization,
    split: Split | None,
    known: Sequence[Judgement] = (),
) -> dict[str, Any]:
    """Writes the last group's boxes, a report of all groups and, when all else is written, the result.

    The first groups are judged already where `known` is given.
    """
    table = []
    for place, parts in enumerate(groups):
        rows = rows_of(parts)
        judged = known[place] if place < len(known) else judge(rows, parts[0].labels, rules)
        table.append(_table_row(parts, rows, judged, rules, split))
    final, last = groups[-1][0], table[-1]  # `rows` and `judged` are the last group's too
    result = {
        **settings,
        "images": last.images,
        "images_sha256": final.images_sha256,
        # the names that a result of classes has: of a box net the top-1 error is that of the true class's box
        "top1_error": last.box_error,
        "top5_error": last.top5_error,
        "box_error": last.box_error,
        "box_interval_95": list(last.box_interval),
        "mean_iou": last.mean_iou,
        "top1_localisation_error": last.top1_error,
        "trivial_box_error": last.trivial_error,
        "paper": None if isinstance(last.paper, str) else dataclasses.asdict(last.paper),
        "seconds": round(sum(part.seconds for part in groups[-1]), 2),
        "rows": [dataclasses.asdict(row) for row in table],
        "command": provenance.command(),
    }
    if len(groups[-1]) == 1:
        image_rows.save(final, folder / BOXES)
    else:  # what an earlier evaluation at one Q left there is not the union's
        (folder / BOXES).unlink(missing_ok=True)
    report.write(folder, table, rows, judged, final, result, split)
    write_json(folder / RESULT, result)
    return result


def _table_row(
    parts: Sequence[PredictedBoxes], rows: Sequence[Row], judged: Judgement, rules: Localization, split: Split | None
) -> TableRow:
    nets = [part.nets[0] for part in parts]

    def together(words):
        return " + ".join(dict.fromkeys(words))

    return TableRow(
        net=together(f"{net.architecture.name} ({net.model})" for net in nets),
        boxes=together(net.architecture.boxes.upper() for net in nets),
        trained=together(net.trained_layers or "not known" for net in nets),
        training_scale=together(label_of_training_scale(net.training_scale) or "not known" for net in nets),
        protocol=together(_test(net) for net in nets),
        scales=together(label_of_test_scales(net.scales) for net in nets),
        images=len(rows),
        box_error=judged.box_error,
        box_interval=metrics.interval(judged.box_error, len(rows)),
        mean_iou=float(judged.ious.mean()),
        top1_error=judged.top1_error,
        top5_error=judged.top5_error,
        trivial_error=_trivial_error(nets[0].mean_box, rows, rules, split),
        paper=paper.cell(nets, len(rows), rules),
    )


def _test(net: LocalizingNet) -> str:
    """A net's test in words."""
    windows = ", each window by itself" if net.windows == "crops" else ""
    return PROTOCOLS[net.protocol] + windows + (", flip" if net.flip else "")


def _trivial_error(
    mean_box: Sequence[float], rows: Sequence[Row], rules: Localization, split: Split | None
) -> float | None:
    """The error in percent of one box for all images, the training set's mean."""
    if not mean_box or split is None:
        return None
    centre, size = np.array(mean_box[:2]), np.array(mean_box[2:])
    box = np.concatenate([centre - size / 2, centre + size / 2])
    sizes = shown_sizes(split)[:, [1, 0, 1, 0]]
    right = [nearest_iou(box * size, row.truth) > rules.iou for size, row in zip(sizes, rows, strict=True)]
    return 100 * float(1 - np.mean(right))

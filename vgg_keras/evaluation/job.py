"""An evaluation from the values of the flags to its result: open the net and the images, run the passes, draw score maps.

Imports no framework before the values are right.
"""

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from vgg_keras import stop
from vgg_keras.config import DIVISION, TEST, Config, fields_with
from vgg_keras.data.naming import require_source
from vgg_keras.errors import UserError
from vgg_keras.locks import locked
from vgg_keras.overrides import override, parse, require_effect

MAY_CHANGE = fields_with(TEST)  # what a test may change of a run's configuration
# of these what reads the images, and which they are: the pictures of a mean's report
OF_IMAGES = [
    *(path for path in MAY_CHANGE if path.startswith("data.") or path == "runtime.cache_dir"),
    *fields_with(DIVISION),
]
MULTI = "multi"  # --scales of the three of 3.2, which follow from S


def parse_flag(path: str, text: str) -> Any:
    """A flag's text as the value of its field; of `MULTI` none, until S is known."""
    if path != "evaluation.scales":
        return parse(path, text)
    if text == MULTI:
        return ()
    if not all(part.strip().isdigit() for part in text.split(",")):
        raise UserError(f"--scales takes sides in pixels with commas between them, or multi. Received: {text!r}")
    return parse(path, text)


def evaluate(
    config: Config,
    open_net: Callable,
    split: str | None,
    out: Path,
    multi_scales: bool = False,
    heatmap: Path | None = None,
    heatmap_images: int = 0,
    draw: Callable | None = None,
) -> dict[str, Any]:
    """Evaluates a net on a split of its data, and writes posteriors, result and report into `out`.

    Args:
        config, open_net: of `open_model.resolve`.
        split: val, train, test or all; None: the one that the final evaluation of a run takes.
        out: the folder.
        multi_scales: whether at the three scales of 3.2 instead of those of `config`.
        heatmap: a folder for pictures of the top class's score map; None: none are drawn.
        heatmap_images: how many, evenly spaced over the split.
        draw: draws more pictures, given the net, its configuration, and the split, once the result is written.

    Returns:
        What `evaluation.json` holds.

    Raises:
        UserError: a mistake in the net, the data or the folder.
        StoppedError: by SIGTERM or Ctrl-C, with everything saved.
    """
    require_source(config.data.source, config.data.data_dir)

    # ---- the net and the images
    stop.listen()
    from vgg_keras import runtime

    precision = runtime.one_device(config.runtime)
    from vgg_keras.data.splits import evenly
    from vgg_keras.evaluation import evaluator
    from vgg_keras.evaluation import heatmap as heatmaps

    with locked(out, "--out"):
        net, config = open_net(precision)
        config = with_multi_scales(config) if multi_scales else config
        images, classes = tested_images(config, split, net)
        net = dataclasses.replace(net, classes=classes)  # ImageNet's may go by their ids in the data
        print(images.line(precision), flush=True)

        # ---- the passes
        result = evaluator.evaluate(net, config, images, precision, out)
        if heatmap:
            chosen = evenly(images.split.size, heatmap_images)
            heatmaps.draw(net, config, images.split, chosen.tolist(), heatmap)
        if draw:
            draw(net, config, images.split)
    return result


def fuse(paths: list[Path], overrides: Mapping[str, Any], split: str | None, out: Path) -> dict[str, Any]:
    """Writes the mean of saved posteriors and its report into `out`; no net is run.

    Args:
        paths: of the posteriors.
        overrides: of the data whose images are the report's pictures; empty: it has none.
        split, out: as of `evaluate`.

    Returns, Raises:
        As `evaluate`.
    """
    config = override(Config(), overrides, OF_IMAGES)
    require_effect([config], overrides, may_change=OF_IMAGES)
    require_source(config.data.source, config.data.data_dir)
    stop.listen()
    from vgg_keras.evaluation import evaluator

    with locked(out, "--out"):
        images = tested_images(config, split)[0].split if overrides else None
        return evaluator.fuse(paths, out, images)


def print_result(result: dict[str, Any], out: Path) -> None:
    """Prints the report's first table, where the report is, and the result as a line of JSON."""
    print((out / "report.md").read_text(encoding="utf-8").split("\n## ")[0])
    print(f"the whole report: {out}/report.html")
    print(json.dumps(result), flush=True)


def tested_images(config: Config, name: str | None, net: Any | None = None) -> tuple[Any, tuple[str, ...]]:
    """The readable images of a split, of `evaluation.images`, and the names of their labels' classes.

    With a net the labels are the net's numbers. Images of one label each may be of some of its classes, in any order.
    """
    from vgg_keras.data.multi_label import for_net
    from vgg_keras.data.sources import open_test
    from vgg_keras.evaluation.images import scanned_images
    from vgg_keras.weights.classes import places_of_some, require_classes

    description, classes, name, split = open_test(config.data, name)
    if net is None:
        return scanned_images(split, name, description, config), classes
    places = None if split.multi_label else places_of_some(net.classes, classes)
    if not places:  # before every image is read
        require_classes(net, classes, config.data.source)
    images = scanned_images(split, name, description, config)
    split = images.split
    if places:
        split, classes = _numbered_by(net.classes, split, places), net.classes
    split = for_net(split, net.config.architecture, config.data.source)
    return dataclasses.replace(images, split=split), classes


def numbered_by(names: Sequence[str], split: Any) -> Any:
    """A split of one label per image with the numbers of a net's classes, where those of the split are some of them.

    Args:
        names: the net's classes, in the order of its numbers.
        split: its classes are known.
    """
    from vgg_keras.weights.classes import places_of_some

    places = places_of_some(names, split.classes)
    return _numbered_by(names, split, places) if places else split


def _numbered_by(names: Sequence[str], split: Any, places: Sequence[int]) -> Any:
    """The split with the numbers of a net's classes, among which its own have these places; a line reports it."""
    some = f"{len(places):,} of the net's {len(names):,} classes"
    same = "the net's classes in another order"
    print(f"note: the data has {some if len(places) < len(names) else same}", flush=True)
    return split.relabelled(places, names)


def with_multi_scales(config: Config) -> Config:
    """The configuration at the three scales of 3.2.

    Raises:
        UserError: the smallest is less than the net's crop.
    """
    scales, crop = config.multi_scales, config.architecture.crop
    if min(scales) < crop:
        raise UserError(
            "--scales=multi is {S-32, S, S+32} or {Smin, middle, Smax}, each the net's crop or more. "
            f"Received: {','.join(map(str, scales))} for the crop of {crop}. Name the scales."
        )
    return override(config, {"evaluation.scales": scales})

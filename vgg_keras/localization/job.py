"""An evaluation of box nets from the values of the flags to its result: open the nets and the images, run the passes."""

import dataclasses
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from vgg_keras import stop
from vgg_keras.config import Config
from vgg_keras.data.naming import require_source
from vgg_keras.errors import UserError
from vgg_keras.evaluation.job import OF_IMAGES, numbered_by, tested_images, with_multi_scales
from vgg_keras.locks import locked
from vgg_keras.overrides import override

# what a union of boxes may change: its images and its merging, since its boxes are computed already
_OF_UNION = [*OF_IMAGES, "localization.iou", "localization.answers", "localization.threshold"]


def evaluate(
    config: Config,
    open_net: Callable,
    split: str | None,
    out: Path,
    multi_scales: bool = False,
    classifier: str | None = None,
) -> dict[str, Any]:
    """Evaluates a net of boxes on a split of its data, and writes boxes, result and report into `out`.

    Args:
        config, open_net: of `open_model.resolve`.
        split: val, train, test or all; None: the one that the final evaluation of a run takes.
        out: the folder.
        multi_scales: whether at the three scales of 3.2 instead of those of `config`.
        classifier: a classification run's folder, or another source of `load_net`; None: the true class's box alone is judged.

    Returns:
        What `evaluation.json` holds.

    Raises:
        UserError: a mistake in a net, the data or the folder.
        StoppedError: by SIGTERM or Ctrl-C, with everything saved.
    """
    require_source(config.data.source, config.data.data_dir)
    stop.listen()
    from vgg_keras import runtime

    precision = runtime.one_device(config.runtime)
    from vgg_keras.localization import evaluator
    from vgg_keras.weights.load import load_net

    with locked(out, "--out"):
        net, config = open_net(precision)
        config = with_multi_scales(config) if multi_scales else config
        scores = load_net(classifier, dtype=precision) if classifier else None
        # one box for all classes needs none of them; its classifier does
        of_class = config.architecture.boxes == "pcr"
        images, _ = tested_images(config, split, net if of_class else None)
        if scores and not of_class:
            images = dataclasses.replace(images, split=numbered_by(scores.classes, images.split))
        print(images.line(precision), flush=True)
        return evaluator.evaluate(net, config, images, precision, out, scores)


def fuse(paths: list[Path], overrides: Mapping[str, Any], split: str | None, out: Path) -> dict[str, Any]:
    """Writes the union of saved boxes of several nets, merged, and its report into `out`; no net is run.

    Args:
        paths: of the boxes.
        overrides: of `localization`, and of the data whose images are the report's pictures.
        split, out: as of `evaluate`.

    Returns, Raises:
        As `evaluate`.
    """
    with_pictures = "data.source" in overrides
    of_data = [path for path in overrides if path.startswith("data.")]
    if of_data and not with_pictures:
        raise UserError(f"--fuse takes --set={of_data[0]} for the pictures of --data alone. Received: no --data.")
    config = override(Config(), overrides, _OF_UNION)
    require_source(config.data.source, config.data.data_dir)
    stop.listen()
    from vgg_keras.localization import evaluator

    with locked(out, "--out"):
        parts, images = evaluator.parts_of(paths), None
        if with_pictures:
            config = _as_evaluated(config, overrides, parts[0].nets[0])
            images = tested_images(config, split)[0].split
        return evaluator.fuse(parts, paths, config.localization, out, images)


def _as_evaluated(config: Config, overrides: Mapping[str, Any], net: Any) -> Config:
    """The configuration with the values by which a `LocalizingNet` read the images and their boxes; given ones stay."""
    known = {
        "architecture.boxes": "scr",
        "evaluation.protocol": "center",
        "data.several_boxes": "left_out" if net.several_left_out else "largest",
        "data.exif_orientation": net.exif_orientation,
    }
    return override(config, {path: value for path, value in known.items() if path not in overrides})


def holds_boxes(paths: list[Path]) -> bool:
    """Whether the first of some `.npz` files is one of boxes; what is no file at all is for the reader to refuse."""
    if not paths or not paths[0].is_file():  # a FIFO would be waited for
        return False
    try:
        with zipfile.ZipFile(paths[0]) as archive:
            return "boxes.npy" in archive.namelist()
    except (OSError, zipfile.BadZipFile, NotImplementedError, UnicodeDecodeError):  # of a damaged directory
        return False

"""The folder of an evaluation: a file of posteriors for each pass, their mean, the result and the report."""

import dataclasses
import errno
import hashlib
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vgg_keras import provenance
from vgg_keras.config import Config, Evaluation
from vgg_keras.data.splits import Split
from vgg_keras.errors import DiskFullError, UserError
from vgg_keras.evaluation import image_rows, passes, protocols, report
from vgg_keras.evaluation.image_rows import other_images
from vgg_keras.evaluation.posteriors import Posteriors, load, mean, save
from vgg_keras.files import sweep, write_json
from vgg_keras.plain_values import to_dict
from vgg_keras.runs import POSTERIORS, RESULT
from vgg_keras.weights.formats.run_folder import LoadedModel


@dataclasses.dataclass(frozen=True)
class Images:
    """What a net is tested on.

    Attributes:
        split: the images, bad ones left out.
        name: which they are of the set: val, train, test or all.
        data: one line on the set.
        bad: those left out, and why.
    """

    split: Split
    name: str
    data: str
    bad: tuple[str, ...]


def evaluate(run: LoadedModel, config: Config, images: Images, precision: str, folder: Path) -> dict[str, Any]:
    """Asks a net as `config.evaluation` says, over every image once, and leaves the result in `folder`.

    What is there already of the same net, images and settings is not done again: an interrupted evaluation goes on, and
    `both` takes up what `dense` left.

    Args:
        run: the net, built in `precision`.
        config: the run's, with `data` and `evaluation` as this test wants them.
        images: what it is tested on.
        precision: the Keras dtype policy.
        folder: locked.

    Returns:
        What `evaluation.json` holds.

    Raises:
        MismatchError: `folder` holds another evaluation.
        UserError: of `passes.run`.
        StoppedError: by a signal, with everything saved.
    """
    sweep(folder)
    rules, scales, split = config.evaluation, config.test_scales, images.split
    protocols.require_few_pixels(split, rules, scales)

    def net(protocol, scales):
        return _net(run, config, images, precision, protocol, scales)

    # ---- what is known already; a difference with it is found before any work
    begun = {}
    for part in protocols.parts(rules.protocol):
        for side in scales:
            path = folder / f"{part}_Q{side}.npz"
            new = image_rows.unknown(Posteriors, split, run.classes, len(run.classes), net(part, (side,)))
            begun[part, side] = path, passes.begin(path, new)
    for path in sorted(set(folder.glob("*.npz")) - {path for path, _ in begun.values()}):
        passes.require_alike(path, next(iter(begun.values()))[1], free=("protocol", "scales", "grid"))

    if not any(known.done.any() for _, known in begun.values()):
        require_room(folder, split.size, len(run.classes), rules, scales)

    # ---- the passes, and their means over scales and protocols
    measured, of_parts = [], []
    for part in protocols.parts(rules.protocol):
        protocol = protocols.of(part, run.model, run.config.architecture, rules)
        of_scales = []
        for side in scales:
            path, known = begun.pop((part, side))
            title = f"{report.PROTOCOLS[part]}, Q={side}"
            of_scales.append(passes.run(protocol, known, path, split, config.data, side, title))
            print(_progress(title, of_scales[-1]), flush=True)
        measured += of_scales
        of_parts.append(_same_net(of_scales, net(part, scales), folder))
        measured += of_parts[-1:] if len(scales) > 1 else []
    if len(of_parts) > 1:
        measured.append(_same_net(of_parts, net(rules.protocol, scales), folder))

    one_grid = {"dense": None, "center": 1 + rules.flip}
    asked = measured[-1].nets[0]
    settings = {
        **asked,
        "crops_a_scale": one_grid.get(rules.protocol, rules.grid**2 * (1 + rules.flip)),
        "images_per_second": round(split.size / max(measured[-1].seconds, 1e-9), 2),
    }
    return _leave(folder, measured, settings, split)


def require_room(folder: Path, images: int, classes: int, rules: Evaluation, scales: Sequence[int]) -> None:
    """Refuses a test whose posteriors the disk has no room for, before there is any work to lose.

    Args:
        folder: of the evaluation, there or not.
        images, classes: how many.
        rules, scales: the test's: a file of posteriors for each protocol and scale, others for their means, and the result.

    Raises:
        DiskFullError: there is less room.
    """
    parts = len(protocols.parts(rules.protocol))
    means = parts * (len(scales) > 1) + (parts > 1)
    files = parts * len(scales) + means + 1
    needed = 4 * images * classes * (files + 2)  # one is worked in, and one written anew beside itself
    there = next(path for path in (folder, *folder.resolve().parents) if path.exists())
    if needed > (free := shutil.disk_usage(there).free):
        reason = f"posteriors of {images:,} images and {classes:,} classes take {needed / 1e9:.3g} GB"
        reason += f", {free / 1e9:.3g} GB are free"
        raise DiskFullError(errno.ENOSPC, reason, str(folder))


def fuse(paths: Sequence[Path], folder: Path, split: Split | None) -> dict[str, Any]:
    """The mean of saved posteriors (4.5), left in `folder` as `evaluate` does; no net is run.

    Args:
        paths: of two `.npz` files or more, each of a single net.
        folder: locked.
        split: the images, for the report's pictures; None: it has none.

    Raises:
        UserError: files of other images or classes, the first difference named; a folder that holds something else.
    """
    sweep(folder)
    if len({path.resolve() for path in paths}) < max(2, len(paths)):
        raise UserError(
            "--fuse takes two different files of posteriors or more, with commas between them. "
            f"Received: {', '.join(map(str, paths))}."
        )
    parts = [load(path) for path in paths]
    fused = mean(parts, [str(path) for path in paths], folder)
    for path in folder.glob("*.npz"):
        if path.name != POSTERIORS or len(load(path).nets) == 1:
            raise UserError(
                f"The folder of a fusion holds nothing else. Received: --out={folder}, with {path.name} of a single net. "
                "Name another --out."
            )
    if split is not None:
        shown = dataclasses.replace(
            fused,
            ids=tuple(split.name(image) for image in range(split.size)),
            fingerprints=fused.fingerprints if split.fingerprints is None else split.fingerprints,
        )
        if different := other_images(fused, shown):
            raise UserError(
                f"--data and --split must name the images that the posteriors are of. Received: others: {different}. "
                "Leave them out for a report without pictures."
            )
    settings = {"protocol": "fusion", "parts": [str(path) for path in paths], "nets": list(fused.nets)}
    for name in ("data", "split", "bad_images", "versions", "git_commit"):
        settings[name] = _one_or_all([net[name] for net in fused.nets])
    return _leave(folder, [*parts, fused], settings, split)


def _leave(folder: Path, measured: Sequence[Posteriors], settings, split: Split | None) -> dict[str, Any]:
    """Writes posteriors, report and, when all is there, the result."""
    final = measured[-1]
    rows = [report.row(posteriors) for posteriors in measured]
    row = rows[-1]
    result = {
        **settings,
        "images": row.images,
        "images_sha256": _digest(final),
        "top1_error": row.top1_error,
        "top1_interval_95": list(row.top1_interval),
        "top5_error": row.top5_error,
        "paper": _cell(row),
        "seconds": round(final.seconds, 2),
        "rows": [{**dataclasses.asdict(row), "paper": _cell(row)} for row in rows],
        "command": provenance.command(),
    }
    save(final, folder / POSTERIORS)
    report.write(folder, rows, final, result, split)
    write_json(folder / RESULT, result)
    return result


def _digest(posteriors: Posteriors) -> str:
    """sha256 over the images' names and fingerprints, in their order."""
    return hashlib.sha256("\n".join(posteriors.ids).encode() + posteriors.fingerprints.tobytes()).hexdigest()


def _one_or_all(values: Sequence[Any]) -> Any:
    """The value that all have, or every one."""
    return values[0] if all(value == values[0] for value in values) else list(values)


def _cell(row: report.Row) -> dict[str, Any] | None:
    """The paper's cell; null where it prints none."""
    return None if isinstance(row.paper, str) else dataclasses.asdict(row.paper)


def _net(
    run: LoadedModel, config: Config, images: Images, precision: str, protocol: str, scales: Sequence[int]
) -> dict[str, Any]:
    """How a net is asked: what posteriors are told apart by, and what makes them reproducible."""
    return {
        "model": str(run.path),
        "weights_sha256": run.weights_sha256,
        "architecture": to_dict(run.config.architecture),
        "training_scale": list(run.config.data.scale),
        "protocol": protocol,
        "scales": list(scales),
        "flip": config.evaluation.flip,
        "grid": config.evaluation.grid if protocol in ("multi_crop", "both") else None,
        "interpolation": config.data.interpolation,
        "exif_orientation": config.data.exif_orientation,
        "precision": precision,
        "data": images.data,
        "split": images.name,
        "bad_images": list(images.bad),
        "versions": provenance.versions(),
        "git_commit": provenance.git_commit(),
    }


def _same_net(parts: Sequence[Posteriors], net: dict[str, Any], folder: Path) -> Posteriors:
    """The mean over scales or protocols of one net, with the versions that made them."""
    made_by = {name: _one_or_all([part.nets[0][name] for part in parts]) for name in ("versions", "git_commit")}
    names = [str(part.nets[0]["scales"]) for part in parts]
    return dataclasses.replace(mean(parts, names, folder), nets=({**net, **made_by},))


def _progress(title: str, posteriors: Posteriors) -> str:
    row = report.row(posteriors)
    top5 = report.top5(row.top5_error, len(posteriors.classes))
    rate = len(posteriors.labels) / max(posteriors.seconds, 1e-9)
    return (
        f"{title}: top-1 error {row.top1_error:.2f} %, top-5 error {top5}, {row.images:,} images, {rate:.2f} images/s"
    )

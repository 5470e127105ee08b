"""The folder of an evaluation: a file of posteriors for each pass, their mean, the result and the report."""

import dataclasses
import errno
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vgg_keras import provenance
from vgg_keras.config import Config, Evaluation
from vgg_keras.data.splits import Split
from vgg_keras.errors import DiskFullError
from vgg_keras.evaluation import error_table, fusion, image_rows, passes, protocols, report
from vgg_keras.evaluation.evaluated_net import MADE_BY, EvaluatedNet, made_as_all, one_or_all
from vgg_keras.evaluation.images import Images
from vgg_keras.evaluation.measures import Measures
from vgg_keras.evaluation.posteriors import Posteriors, load, mean, save
from vgg_keras.files import sweep, write_json
from vgg_keras.plain_values import to_dict
from vgg_keras.runs import POSTERIORS, RESULT
from vgg_keras.weights.classes import require_scores
from vgg_keras.weights.formats.run_folder import LoadedModel


def evaluate(net: LoadedModel, config: Config, images: Images, precision: str, folder: Path) -> dict[str, Any]:
    """Evaluates a net as `config.evaluation` says, on every image once, and writes the result into `folder`.

    What the folder holds already of the same net, images and settings is not computed again: an interrupted evaluation
    resumes, and `both` uses the posteriors of an earlier `dense`.

    Args:
        net: built in `precision`.
        config: the net's, with the `data` and `evaluation` of this evaluation.
        images: what it is evaluated on.
        precision: the Keras dtype policy.
        folder: locked.

    Returns:
        What `evaluation.json` holds.

    Raises:
        MismatchError: `folder` holds another evaluation.
        UserError: of `passes.run`.
        StoppedError: by a signal, with everything saved.
    """
    require_scores(net, "An evaluation of classes")
    sweep(folder)
    rules, scales, split = config.evaluation, config.test_scales, images.split
    protocols.require_few_pixels(split, rules, scales)

    def described(protocol: str, scales: Sequence[int]) -> EvaluatedNet:
        return EvaluatedNet.of(
            *(net, config, images, precision, scales),
            training_scale=net.config.data.scale,  # a run states it, another framework's weights do not
            protocol=protocol,
            grid=rules.grid if protocol in ("multi_crop", "both") else None,
        )

    # ---- what is saved already; a difference is found before any work
    parts = protocols.parts(rules.protocol)
    saved = _saved(folder, split, net.classes, [described(part, (side,)) for part in parts for side in scales])
    if not any(known.done.any() for _, known in saved):
        require_room(folder, split.size, len(net.classes), rules, scales)

    # ---- the passes, and their means over scales and protocols
    rows, of_parts = [], []
    for part in parts:
        protocol = protocols.of(part, net.model, net.config.architecture, rules)
        # popped, so that what was saved of a pass is held once: of many images and classes it is large
        of_scales = [_finished(protocol, *saved.pop(0), split, config) for _ in scales]
        of_parts.append(_mean_of_net(of_scales, described(part, scales), folder))
        rows += of_scales + (of_parts[-1:] if len(scales) > 1 else [])
    if len(of_parts) > 1:
        rows.append(_mean_of_net(of_parts, described(rules.protocol, scales), folder))

    crops = {"dense": None, "center": 1 + rules.flip}.get(rules.protocol, rules.grid**2 * (1 + rules.flip))
    settings = {
        **to_dict(rows[-1].nets[0]),
        "crops_a_scale": crops,
        "images_per_second": round(split.size / max(rows[-1].seconds, 1e-9), 2),
    }
    return _write(folder, rows, settings, split)


def require_room(folder: Path, images: int, classes: int, rules: Evaluation, scales: Sequence[int]) -> None:
    """Refuses an evaluation whose posteriors the disk has no room for, before any work.

    Args:
        folder: of the evaluation; it may not exist yet.
        images, classes: how many.
        rules, scales: of the evaluation: each protocol and scale has a file of posteriors, so have their means and the result.

    Raises:
        DiskFullError: there is less room.
    """
    parts = len(protocols.parts(rules.protocol))
    means = parts * (len(scales) > 1) + (parts > 1)
    files = parts * len(scales) + means + 1
    needed = 4 * images * classes * (files + 2)  # one being filled, and one being rewritten beside itself
    require_bytes(folder, needed, f"posteriors of {images:,} images and {classes:,} classes")


def require_bytes(folder: Path, needed: int, what: str) -> None:
    """Refuses files that the disk of a folder has no room for.

    Raises:
        DiskFullError: there is less room.
    """
    existing = next(path for path in (folder, *folder.resolve().parents) if path.exists())
    if needed > (free := shutil.disk_usage(existing).free):
        reason = f"{what} take {needed / 1e9:.3g} GB, {free / 1e9:.3g} GB are free"
        raise DiskFullError(errno.ENOSPC, reason, str(folder))


def fuse(paths: Sequence[Path], folder: Path, split: Split | None) -> dict[str, Any]:
    """Writes the mean of saved posteriors (4.4) into `folder`, as `evaluate` does; no net is run.

    Args:
        paths: of two `.npz` files or more, each of a single net.
        folder: locked.
        split: the images, for the report's pictures; None: it has none.

    Raises:
        UserError: files of other images or classes, with the first difference; a folder that holds something else.
    """
    sweep(folder)
    fusion.require_several(paths, Posteriors)
    parts = [load(path) for path in paths]
    fused = mean(parts, [str(path) for path in paths], folder)
    fusion.require_folder(folder, lambda path: path.name == POSTERIORS and len(load(path).nets) > 1)
    if split is not None:
        fusion.require_images_of(fused, split)
    settings = {"protocol": "fusion", "parts": [str(path) for path in paths], "nets": list(map(to_dict, fused.nets))}
    for name in ("data", "split", "bad_images", *MADE_BY):
        settings[name] = one_or_all([net[name] for net in settings["nets"]])
    return _write(folder, [*parts, fused], settings, split)


# ---- passes


def _saved(
    folder: Path, split: Split, classes: tuple[str, ...], nets: Sequence[EvaluatedNet]
) -> list[tuple[Path, Posteriors]]:
    """For each pass its file, and its posteriors as far as they are saved; every other file must be of the same net."""
    saved = []
    for net in nets:
        path = folder / f"{net.protocol}_Q{net.scales[0]}.npz"
        saved.append((path, passes.begin(path, image_rows.unknown(Posteriors, split, classes, len(classes), net))))
    for path in sorted(set(folder.glob("*.npz")) - {path for path, _ in saved}):
        passes.require_same(path, saved[0][1], may_differ=("protocol", "scales", "grid"))
    return saved


def _finished(
    protocol: protocols.Dense | protocols.Crops, path: Path, known: Posteriors, split: Split, config: Config
) -> Posteriors:
    """The posteriors of a pass, run to its end, and a line of its errors printed."""
    net = known.nets[0]
    title = f"{error_table.PROTOCOLS[net.protocol]}, Q={net.scales[0]}"
    posteriors = passes.run(protocol, known, path, split, config.data, net.scales[0], title)
    row = error_table.row(posteriors)
    rate = len(posteriors.labels) / max(posteriors.seconds, 1e-9)
    print(
        f"{title}: {row.text(len(posteriors.classes))}, {row.images:,} images, {rate:.2f} images/s",
        flush=True,
    )
    return posteriors


def _mean_of_net(parts: Sequence[Posteriors], net: EvaluatedNet, folder: Path) -> Posteriors:
    """The mean over scales or protocols of one net, with the versions that made them."""
    names = [str(part.nets[0].scales) for part in parts]
    made = made_as_all(net, [part.nets[0] for part in parts])
    return dataclasses.replace(mean(parts, names, folder), nets=(made,))


# ---- the result


def _write(folder: Path, rows: Sequence[Posteriors], settings: dict[str, Any], split: Split | None) -> dict[str, Any]:
    """Writes the last row's posteriors, a report of all and, when all else is written, the result."""
    final = rows[-1]
    errors = [error_table.row(posteriors) for posteriors in rows]
    result = {
        **settings,
        "images": errors[-1].images,
        "images_sha256": final.images_sha256,
        **_measures(errors[-1]),
        "paper": _paper_cell(errors[-1]),
        "seconds": round(final.seconds, 2),
        "rows": [{**dataclasses.asdict(row), "paper": _paper_cell(row)} for row in errors],
        "command": provenance.command(),
    }
    save(final, folder / POSTERIORS)
    report.write(folder, errors, final, result, split)
    write_json(folder / RESULT, result)
    return result


def _measures(row: Measures) -> dict[str, Any]:
    """What a row reaches, by name; of a multi-label set the errors of the other kind are null."""
    values = {field.name: getattr(row, field.name) for field in dataclasses.fields(Measures)}
    found = {"top1_error": values["top1_error"], "top1_interval_95": values.pop("top1_interval")}
    of_one = ("top1_error", "top5_error", "balanced_error")
    return found | {name: value for name, value in values.items() if row.multi_label or name in of_one}


def _paper_cell(row: error_table.Row) -> dict[str, Any] | None:
    """The paper's cell; null where it prints none."""
    return None if isinstance(row.paper, str) else dataclasses.asdict(row.paper)

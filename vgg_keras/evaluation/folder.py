"""The folder of an evaluation: a file of posteriors for each pass, their mean, the result and the report."""

import dataclasses
import functools
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vgg_keras import provenance
from vgg_keras.config import Config, UserError, to_dict
from vgg_keras.data.splits import Split
from vgg_keras.evaluation import passes, report
from vgg_keras.evaluation.posteriors import Posteriors, load, mean, save
from vgg_keras.evaluation.protocols import Crops, Dense
from vgg_keras.files import sweep, write_json
from vgg_keras.weights.run import Run

POSTERIORS, RESULT = "posteriors.npz", "evaluation.json"


def evaluate(
    run: Run, config: Config, split: Split, data: str, bad_images: Sequence[str], precision: str, folder: Path
) -> dict[str, Any]:
    """Asks a net as `config.evaluation` says, over every image of the split once, and leaves the result in `folder`.

    What is there already of the same net, images and settings is not done again: an interrupted evaluation goes on, and
    `both` takes up what `dense` left.

    Args:
        run: the net, built in `precision`.
        config: the run's, with `data` and `evaluation` as this test wants them.
        split: the images, bad ones left out.
        data: one line on what they are.
        bad_images: those left out, and why.
        precision: the Keras dtype policy.
        folder: locked.

    Returns:
        What `evaluation.json` holds.

    Raises:
        UserError: `folder` holds another evaluation, or of `passes.run`.
        Stopped: by a signal, with everything saved.
    """
    sweep(folder)
    rules, scales = config.evaluation, config.test_scales
    begun = _begin(run, config, split, precision, folder)  # a difference with what is there is found before any work
    measured, of_parts = [], []
    for part in _parts(config):
        grid = {"center": 1, "multi_crop": rules.grid}.get(part)
        kind = Dense if grid is None else functools.partial(Crops, grid=grid)
        protocol = kind(run.model, run.config.architecture, rules)
        of_scales = []
        for side in scales:
            path, known = begun.pop((part, side))
            title = f"{report.PROTOCOLS[part]}, Q={side}"
            of_scales.append(passes.run(protocol, known, path, split, config.data, side, title))
            print(_progress(title, of_scales[-1]), flush=True)
        measured += of_scales
        of_parts.append(_same_net(of_scales, _net(run, config, part, scales, precision)))
        measured += of_parts[-1:] if len(scales) > 1 else []
    if len(of_parts) > 1:
        measured.append(_same_net(of_parts, _net(run, config, rules.protocol, scales, precision)))

    row = report.row(measured[-1])
    settings = {
        "protocol": rules.protocol,
        "model": str(run.path),
        "weights_sha256": run.weights_sha256,
        "architecture": to_dict(run.config.architecture),
        "training_scale": list(run.config.data.scale),
        "scales": list(scales),
        "crops_a_scale": None
        if rules.protocol == "dense"
        else (1 if rules.protocol == "center" else rules.grid**2) * (1 + rules.flip),
        "flip": rules.flip,
        "interpolation": config.data.interpolation,
        "precision": precision,
        "data": data,
        "images_sha256": split.digest(),
        "bad_images": list(bad_images),
        "images_per_second": round(split.size / max(measured[-1].seconds, 1e-9), 2),
    }
    return _leave(folder, measured, row, settings, split)


def fuse(paths: Sequence[Path], folder: Path, split: Split | None) -> dict[str, Any]:
    """The mean of saved posteriors (4.5), left in `folder` as `evaluate` does; no net is run.

    Args:
        paths: of two `.npz` files or more.
        folder: locked.
        split: the images, for the report's pictures; None: it has none.

    Raises:
        UserError: files of other images or classes, the first difference named.
    """
    started = time.monotonic()
    if len(paths) < 2:
        raise UserError(
            f"--fuse takes two files of posteriors or more, with commas between them. Received: {len(paths)}."
        )
    parts = [load(path) for path in paths]
    fused = mean(parts, [str(path) for path in paths])
    if split is not None and fused.ids != tuple(split.name(image) for image in range(split.size)):
        raise UserError(
            f"--data must be the set that the posteriors are of. Received: one of {split.size} images, "
            f"and posteriors of {len(fused.ids)} or of other names. Leave --data out for a report without pictures."
        )
    settings = {
        "protocol": "fusion",
        "parts": [str(path) for path in paths],
        "nets": list(fused.nets),
        "data": f"posteriors of {len(fused.ids):,} images",
        "seconds_of_the_fusion": round(time.monotonic() - started, 3),
    }
    return _leave(folder, [*parts, fused], report.row(fused), settings, split)


def begun_alike(run: Run, config: Config, split: Split, precision: str, folder: Path) -> bool:
    """Whether what `folder` holds can be gone on with."""
    try:
        _begin(run, config, split, precision, folder)
    except UserError:
        return False
    return True


def _begin(run: Run, config: Config, split: Split, precision: str, folder: Path) -> dict[tuple[str, int], tuple]:
    """(part, Q) to the file of each pass and what is known there."""
    begun = {}
    for part in _parts(config):
        for side in config.test_scales:
            path = folder / f"{part}_Q{side}.npz"
            begun[part, side] = (
                path,
                passes.begin(path, split, run.classes, _net(run, config, part, (side,), precision)),
            )
    return begun


def _parts(config: Config) -> tuple[str, ...]:
    """The protocols whose mean is taken."""
    protocol = config.evaluation.protocol
    return ("dense", "multi_crop") if protocol == "both" else (protocol,)


def _leave(
    folder: Path, measured: Sequence[Posteriors], row: report.Row, settings, split: Split | None
) -> dict[str, Any]:
    """Writes posteriors, result and report."""
    final = measured[-1]
    errors = {
        "images": row.images,
        "top1_error": row.top1_error,
        "top1_interval_95": list(row.top1_interval),
        "top5_error": row.top5_error,
        "paper": _cell(row),
    }
    result = {
        **settings,
        **errors,
        "seconds": round(final.seconds, 2),
        "rows": [_row(report.row(posteriors)) for posteriors in measured],
        "versions": provenance.versions(),
        "git_commit": provenance.git_commit(),
        "command": provenance.command(),
    }
    save(final, folder / POSTERIORS)
    write_json(folder / RESULT, result)
    report.write(folder, measured, result, split)
    return result


def _row(row: report.Row) -> dict[str, Any]:
    return {**dataclasses.asdict(row), "paper": _cell(row)}


def _cell(row: report.Row) -> dict[str, Any] | None:
    """The paper's cell; null where it prints none."""
    return None if isinstance(row.paper, str) else dataclasses.asdict(row.paper)


def _net(run: Run, config: Config, protocol: str, scales: Sequence[int], precision: str) -> dict[str, Any]:
    """How a net is asked: what posteriors are told apart by."""
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
        "precision": precision,
    }


def _same_net(parts: Sequence[Posteriors], net: dict[str, Any]) -> Posteriors:
    """The mean over scales or protocols of one net."""
    return dataclasses.replace(mean(parts, [json.dumps(part.nets[0]["scales"]) for part in parts]), nets=(net,))


def _progress(title: str, posteriors: Posteriors) -> str:
    row = report.row(posteriors)
    top5 = report.top5(row.top5_error, len(posteriors.classes))
    rate = len(posteriors.labels) / max(posteriors.seconds, 1e-9)
    return (
        f"{title}: top-1 error {row.top1_error:.2f} %, top-5 error {top5}, {row.images:,} images, {rate:.2f} images/s"
    )

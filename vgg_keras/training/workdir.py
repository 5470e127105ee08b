"""The folder of a run: its configuration and its data, and the checks that a resumed run still has both."""

import dataclasses
import hashlib
import time
from pathlib import Path
from typing import Any

from vgg_keras import provenance, stop
from vgg_keras.config import RESUME, Config, fields_with, memory_limits, unused_fields
from vgg_keras.data.splits import Source, Split
from vgg_keras.data.statistics import Statistics, measure
from vgg_keras.errors import UserError
from vgg_keras.files import replacing, sha256, sweep, write_json
from vgg_keras.paths import require_folder, user_path
from vgg_keras.plain_values import difference, from_dict, to_dict, without
from vgg_keras.runs import (
    CHECKPOINTS,
    CONFIG,
    MANIFEST,
    begun,
    checkpoints_in,
    difference_of_images,
    outlives_start,
    read_config,
    read_manifest,
    require_unchanged,
)
from vgg_keras.training import trained_layers
from vgg_keras.training.records import read
from vgg_keras.weights.initialize import Start, describe, digest, require_classes

# How long a network's disk may hide a new file from a machine that has looked for it before: NFS, by default up to 60 s.
SHARED_SECONDS = 90.0


def check(workdir: Path, config: Config, finished: bool = False) -> None:
    """Refuses a folder that holds a run of another configuration or changed files, before any work is done.

    Args:
        workdir: of the run.
        config: as the command received it.
        finished: whether the run is finished, so that no checkpoint is needed.

    Raises:
        UserError: a field differs or a file has changed, which is named, or the folder holds other things.
    """
    require_folder(workdir, "--workdir")
    if checkpoints_in(workdir / CHECKPOINTS) and not finished:  # whose files `stages.finished` has checked
        require_unchanged(workdir, resumed=True)
    stored = read_config(workdir)
    if stored is None:
        if workdir.exists() and any(path for path in workdir.iterdir() if not path.name.startswith(".")):
            raise UserError(
                f"--workdir must be new, empty or a run's folder. Received: {workdir}, which holds other files."
            )
        return
    if not begun(workdir) and not finished:
        # one line may be written before the first checkpoint; two lines mean that there was one
        if sum("epoch" in line for line in read(workdir)) > 1:
            raise UserError(
                f"A run resumes from a checkpoint. Received: {workdir}, with epochs in metrics.jsonl and none in checkpoints/. "
                "Put a checkpoint back, or name another --workdir to start again."
            )
        return
    before = from_dict(Config, stored["config"])
    old, new = _what_counts(before, _resolved_as(config, before))
    if outlives_start(workdir, config):
        start = stored["started_from"]
    elif config.training.init_from and not user_path(config.training.init_from).exists():
        start = "not trained yet"  # a stage of this chain, which another run replaced
    else:
        start = digest(config)
    if stored.get("started_from") != start:
        old_start = describe(before.training.start, stored.get("started_from"))
        new_start = describe(config.training.start, start)
        raise UserError(
            f"A workdir is resumed with the start that it was begun with. Received: {workdir}, begun from {old_start}, now "
            f"{new_start}. Give the same --init_from or --weights, or name another --workdir."
        )
    if found := difference(old, new):
        raise UserError(
            f"A workdir is resumed with the configuration that it was begun with. Received: {workdir}, begun with {found}. "
            "Give the old value, or name another --workdir."
        )


def worker_fields(config: Config) -> dict[str, Any]:
    """The configuration as plain values, without the fields that may differ between workers.

    Paths of the images and of the start may differ: names and digests are compared instead.
    """
    changeable = set(fields_with(RESUME))
    if config.predicts_boxes:  # whose validation counts the right boxes by it: the best net follows, and the rate
        changeable.remove("localization.iou")
    return without(to_dict(config), changeable)


def resume_fields(config: Config) -> dict[str, Any]:
    """What a resumed run must keep: `worker_fields` without the limits, which a message may advise to change."""
    return without(worker_fields(config), memory_limits(config))


def _what_counts(before: Config, now: Config) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a run was begun with and is resumed with, without the fields that have no effect in either."""
    unused = unused_fields(before) & unused_fields(now)
    return without(resume_fields(before), unused), without(resume_fields(now), unused)


def check_images(
    workdir: Path, config: Config, source: Source, start: Start | None, writes: bool = True
) -> dict[str, Any] | None:
    """Refuses images, classes or a start that differ from the run's, before its first step. Nothing is written.

    Args:
        workdir, config, source, start, writes: as in `prepare`.

    Returns:
        The content of the folder's `config.json` if the run is resumed; None if it is new.

    Raises:
        UserError: the run was begun with another data set, or this worker's start differs from the chief's.
    """
    if begun(workdir) or not writes:
        stored = read_config(workdir) if writes else _read_when_there(workdir)
        if stored is None:
            raise UserError(f"All workers must see one --workdir. Received: {workdir}, which is empty here.")
        if start is not None and stored["started_from"] != start.digest:
            first = from_dict(Config, stored["config"]).training.start
            theirs, mine = describe(first, stored["started_from"]), describe(config.training.start, start.digest)
            raise UserError(f"All workers start from the same weights. Received: {theirs} for the first, {mine} here.")
        _require_same_images(workdir, stored, source)
        return stored

    if config.architecture.num_classes not in (0, len(source.classes)):
        raise UserError(
            f"architecture.num_classes must be 0 or the data's {len(source.classes)}. "
            f"Received: {config.architecture.num_classes}"
        )
    if start is not None:
        require_classes(start, config, source.classes)
    return None


def _require_same_images(workdir: Path, stored: dict[str, Any], source: Source) -> None:
    """Refuses images, labels or classes that are not those of a run, which is resumed, or which the first worker has begun."""
    if begun(workdir):
        rule = f"A run is resumed with the images that it was begun with. Received: {workdir}, whose"
        changed, now = "changed", "now"
    else:
        rule = "All workers train with the same images. Received: this one's, of which the"
        changed, now = "differ from the first one's", "here"
    if stored["classes"] != list(source.classes):
        only = sorted(set(stored["classes"]) ^ set(source.classes))
        what = f"{only[0]!r} is not in both" if only else "they are in another order"
        raise UserError(f"{rule} classes {changed}: {what}.")
    if from_dict(Config, stored["config"]).architecture.multi_label != source.multi_label:
        number = "any number" if source.multi_label else "one"
        raise UserError(f"{rule} labels {changed}: {now} {number} per image.")
    data = images_of(source)
    for name in ("train", "val", "test"):
        theirs, ours = stored["data"].get(name) or {"images": 0}, data.get(name) or {"images": 0}
        count, differ = theirs["images"] != ours["images"], difference_of_images(ours, theirs)
        if count or differ:
            what = "" if count else f", of other {differ}"
            raise UserError(f"{rule} {name} images {changed}: {theirs['images']}, {now} {ours['images']}{what}.")


def _read_when_there(workdir: Path) -> dict[str, Any] | None:
    """The content of the `config.json` that the chief has written; None where it does not appear."""
    deadline = time.monotonic() + SHARED_SECONDS
    while (stored := read_config(workdir)) is None and time.monotonic() < deadline:
        stop.raise_if_requested()
        time.sleep(0.5)
    return stored


def images_of(source: Source) -> dict[str, Any]:
    """What identifies the images of each split of a run."""
    splits = {"train": source.train, "val": source.val, "test": source.test}
    return {name: _identity(split) for name, split in splits.items() if split is not None}


def _identity(split: Split) -> dict[str, Any]:
    """The number of images and their digests: of contents and labels where these are known, of boxes for a net of boxes."""
    found = {"images": split.size, "sha256_of_names": split.digest()}
    for name, array in (("contents", split.fingerprints), ("labels", split.labels)):
        if array is not None:
            found[f"sha256_of_{name}"] = hashlib.sha256(array.tobytes()).hexdigest()
    if split.boxes is not None:
        found["sha256_of_boxes"] = split.boxes.sha256
    return found


def prepare(
    workdir: Path,
    config: Config,
    source: Source,
    hardware: dict[str, Any],
    start: Start | None,
    writes: bool = True,
) -> tuple[Config, Statistics]:
    """The resolved configuration and the training set's statistics: measured and written, or read from the folder.

    Args:
        workdir: locked.
        config: as the command received it.
        source: the images without the bad ones.
        hardware: what was chosen for this machine, stored beside the configuration.
        start: of `initialize.inspect`; None for a resumed run.
        writes: False for the workers of a run beside the chief, which read what it has written.

    Raises:
        UserError: the run was begun with another data set, or this worker's start differs from the chief's.
    """
    if writes:
        sweep(workdir)
    stored = check_images(workdir, config, source, start, writes)
    if stored is not None:
        before = from_dict(Config, stored["config"])
        resolved = _resolved_as(config, before)
        if writes and resolved != before:
            _replace_config(workdir, {**stored, "config": to_dict(resolved)})
        return resolved, Statistics(**stored["data"]["statistics"])

    statistics = measure(source.train, config.data.statistics_images)
    mean = start.mean or statistics.mean
    resolved = _resolved(with_layers(config, start), len(source.classes), mean, source.multi_label)
    _write_config(workdir, resolved, source, statistics, hardware, start)
    return resolved, statistics


def _write_config(
    workdir: Path, config: Config, source: Source, statistics: Statistics, hardware: dict[str, Any], start: Start
) -> None:
    """Writes a new run's `config.json` and its manifest; a run that is killed before its first checkpoint writes both again."""
    content = {
        "config": to_dict(config),
        "classes": list(source.classes),
        "data": {
            "description": source.description,
            **images_of(source),
            "statistics": dataclasses.asdict(statistics),
        },
        "started_from": start.digest,
        "test_scales": list(config.test_scales),
        "hardware": hardware,
        "command": provenance.command(),
        "git_commit": provenance.git_commit(),
        "versions": provenance.versions(),
    }
    write_json(workdir / CONFIG, content)
    write_json(workdir / MANIFEST, {CONFIG: [sha256(workdir / CONFIG)]})


def _replace_config(workdir: Path, content: dict[str, Any]) -> None:
    """Writes the `config.json` of a run that is resumed with other limits or paths, which evaluations of its net read.

    A kill at any moment leaves a run that can be resumed: the manifest first holds the old digest and the new one.
    """
    known = read_manifest(workdir)
    with replacing(workdir / CONFIG) as temporary:
        write_json(temporary, content)
        digest = sha256(temporary)
        write_json(workdir / MANIFEST, {**known, CONFIG: [*known[CONFIG], digest]})
    write_json(workdir / MANIFEST, {**known, CONFIG: [digest]})


def _resolved(config: Config, num_classes: int, mean: tuple[float, ...], multi_label: bool) -> Config:
    """The configuration with the data's classes, their kind and mean, and with S: what the net was trained with."""
    data = dataclasses.replace(config.data, scale=config.training_scale)
    architecture = config.architecture.resolved(num_classes, mean, multi_label)
    return dataclasses.replace(config, data=data, architecture=architecture)


def with_layers(config: Config, start: Start) -> Config:
    """The configuration with `training.layers` as a layer's name where it is `new`."""
    layers = trained_layers.resolved(config.architecture, config.training.layers, start.layers)
    return dataclasses.replace(config, training=dataclasses.replace(config.training, layers=layers))


def _resolved_as(config: Config, stored: Config) -> Config:
    """The configuration with the classes, their kind, the mean and the new layers that a run was begun with."""
    names = trained_layers.trained_layers(config.architecture, trained_layers.ALL)
    if config.training.layers == trained_layers.NEW and stored.training.layers in names:  # as `resolved` makes it
        training = dataclasses.replace(config.training, layers=stored.training.layers)
        config = dataclasses.replace(config, training=training)
    known = stored.architecture
    return _resolved(config, known.num_classes, known.mean, known.multi_label)

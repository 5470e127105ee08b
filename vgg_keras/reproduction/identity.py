"""What must stay the same in a suite's folder: the design, the images, the starts and the given nets; else a table mixes nets.

A run's `config.json` states its own, `given.json` those of a given net, and each file of posteriors its net and its images.
"""

import functools
import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from vgg_keras.config import RESUME, Config, fields_with, memory_limits
from vgg_keras.data.naming import is_set
from vgg_keras.errors import UserError
from vgg_keras.files import sha256_of_names, write_json
from vgg_keras.paths import user_path
from vgg_keras.plain_values import difference, from_dict, to_dict, without
from vgg_keras.reproduction.suite import Training
from vgg_keras.runs import MANIFEST, WEIGHTS, difference_of_images, read_config, read_json, read_manifest
from vgg_keras.weights.verify import digest_of

GIVEN = "given.json"
# Known when a run begins: the data decide them.
_MEASURED = ("architecture.num_classes", "architecture.mean")
SPLITS = ("train", "val", "test")
DIGESTS = ("sha256_of_names", "sha256_of_contents", "sha256_of_labels")  # of the images of a split
_RULE = "A suite goes on in the folder that it was begun in. Received:"
_ADVICE = "Name another --out, or remove that run."
_SAME_DATA = "Give the --data that it was begun with, or name another --out."  # most often it was only forgotten


def earlier_results(path: Path) -> dict[str, Any]:
    """The content of a folder's results.json; empty where there is none, or a damaged one."""
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def require_same_suite(path: Path, suite: str) -> None:
    """Refuses a folder whose results.json is another suite's: it would be replaced.

    Raises:
        UserError: it names that suite.
    """
    begun = earlier_results(path).get("suite", suite)
    if begun != suite:
        raise UserError(f"{_RULE} {path.parent} of --suite={begun}, now {suite}. Name another --out.")


def begun_run(folder: Path, planned: Config) -> dict[str, Any] | None:
    """The content of a run's `config.json`; None if it has not begun.

    Args:
        folder: of the run.
        planned: its configuration.

    Raises:
        UserError: it was begun with another source of images.
    """
    stored = read_config(folder)
    if stored is None:
        return None
    theirs, ours = _begun(stored).data.source, planned.data.source
    if _is_other(theirs, ours):
        raise UserError(f"{_RULE} {folder}, begun with data.source: {theirs}, now {ours}. {_SAME_DATA}")
    return stored


def difference_of_run(stored: dict[str, Any], planned: Config, start: Path | None) -> str:
    """In what a run that has begun is another than the planned one; empty: in nothing.

    Args:
        stored: of `begun_run`.
        planned: its configuration, without its start.
        start: the run that it starts from.
    """
    begun = _begun(stored)
    if found := difference(_design(begun), _design(planned)):
        return f"begun with {found}"
    theirs, ours = (begun.training.init_from or begun.training.weights, str(start or planned.training.weights))
    if _place(theirs) != _place(ours):  # the suite's folder may have moved
        return f"started from {theirs or 'no net'}, now {ours or 'no net'}"
    digest = _digest(start) if start else None
    if digest and stored.get("started_from") not in (None, digest):
        return f"started from an older net in {start}, which was trained anew"
    return ""


def other_runs(found: Mapping[Path, str]) -> UserError:
    """The error that explains the first run of another plan and names all of them.

    Args:
        found: each run's folder and what differs.
    """
    folder, differs = next(iter(found.items()))
    seeds: dict[str, list[str]] = {}
    for other in found:
        seeds.setdefault("/".join(other.parts[-3:-1]), []).append(other.name.removeprefix("seed-"))
    nets = [f"{net}/seed-" + (of[0] if len(of) == 1 else f"{{{','.join(of)}}}") for net, of in seeds.items()]
    which = "that run" if len(found) == 1 else f"in {folder.parents[2]}: {' '.join(nets)}"
    return UserError(f"{_RULE} {folder}, {differs}. Name another --out, or remove {which}.")


def require_same_images(stored: Sequence[tuple[Path, dict[str, Any]]]) -> None:
    """Refuses runs of one set that were trained or tested on different images.

    Args:
        stored: folder and content of `config.json` of the runs of one set.

    Raises:
        UserError: it names both.
    """
    for folder, content in stored[1:]:
        for split in SPLITS:
            first, other = (one.get("data", {}).get(split) or {} for one in (stored[0][1], content))
            if bool(first) != bool(other) or (differ := difference_of_images(first, other)):
                counts = " and ".join(f"{one.get('images', 0):,}" for one in (first, other))
                what = f", of other {differ}" if first and other else ""
                raise UserError(
                    f"{_RULE} {stored[0][0]} and {folder}, whose {split} images differ: {counts}{what}. {_ADVICE}"
                )


def require_same_given(folder: Path, training: Training, source: str, writes: bool) -> None:
    """Refuses another given net, or other images for it, than those whose posteriors the folder holds.

    Args:
        folder: of the given net.
        training: which has `weights`.
        source: of the images.
        writes: whether to note a net that is new.

    Raises:
        UserError: it is another one, or it does not exist.
    """
    known = {"weights": training.weights, "sha256": digest_of(training.weights, training.net), "data": source}
    path = folder / GIVEN
    if path.exists():
        stored = read_json(path, *known)
        if stored["sha256"] != known["sha256"]:
            words = [f"{one['weights']} with {one['sha256'][:12]}" for one in (stored, known)]
            raise UserError(f"{_RULE} {folder}, begun with the net {words[0]}, now {words[1]}. {_ADVICE}")
        if _is_other(stored["data"], source):
            raise UserError(f"{_RULE} {folder}, begun with data.source: {stored['data']}, now {source}. {_SAME_DATA}")
    elif writes:
        folder.mkdir(parents=True, exist_ok=True)
        write_json(path, known)


def complete(path: Path, folder: Path, config: Config) -> bool:
    """Whether a file holds the posteriors of every image, of the net, of the images and by the test of a run or a given net.

    Args:
        path: of an `.npz`.
        folder: of the run.
        config: of the run: a test by hand, in the folder that `evaluate` takes by itself, may be by other settings.
    """
    if not path.is_file():
        return False
    import numpy as np  # here: --help needs none

    try:
        with open(path, "rb") as file, np.load(file) as arrays:  # NumPy leaves a damaged file open that it opened
            done, described = bool(arrays["done"].all()), json.loads(arrays["description"].tobytes())
        state = path.stat()
        damaged = _damaged(path, state.st_size, state.st_mtime_ns, state.st_ctime_ns)
        (net,), ids = described["nets"], described["ids"]
        weights, as_planned = net["weights_sha256"], _tested_as(net, config)
    except Exception:  # another or a damaged file: `evaluate` names it
        return False
    if damaged or not done or not as_planned or weights != (_digest(folder) or weights):
        return False
    stored = read_config(folder)
    data = (stored or {}).get("data", {})
    split = data.get("test") or data.get("val")
    return split is None or split["sha256_of_names"] == sha256_of_names(ids)


@functools.cache
def _damaged(path: Path, *state: int) -> bool:
    """Whether the rows are not what was written, by their checksum: else only the page would notice.

    Of the same state of the file it is asked many times, and ImageNet's has 200 MB.
    """
    with zipfile.ZipFile(path) as archive:
        return archive.testzip() is not None


def _tested_as(net: dict[str, Any], config: Config) -> bool:
    """Whether a net of posteriors was tested by the settings of a configuration."""
    wanted: dict[str, Any] = {
        "flip": config.evaluation.flip,
        "interpolation": config.data.interpolation,
        "exif_orientation": config.data.exif_orientation,
    }
    if net["grid"] is not None:
        wanted["grid"] = config.evaluation.grid
    if config.runtime.precision != "auto":
        wanted["precision"] = config.runtime.precision
    return all(net[name] == value for name, value in wanted.items())


def _digest(folder: Path) -> str | None:
    """The sha256 of a run's or a given net's weights; None where it has none yet, or where no sha256 is pinned."""
    if (folder / GIVEN).exists():
        found = read_json(folder / GIVEN, "sha256")["sha256"]
        return None if " " in found else found  # that of `imagenet` begins with its kind
    if not (folder / MANIFEST).exists():
        return None
    return read_manifest(folder).get(WEIGHTS, [None])[-1]


def _begun(stored: dict[str, Any]) -> Config:
    """The configuration in a run's `config.json`; an older version's lacks fields that have their defaults since."""
    return from_dict(Config, stored["config"])


def _design(config: Config) -> dict[str, Any]:
    """What must be the same in the folder and in the plan; a run's folder states S where the recipe leaves it out."""
    stated = replace(config, data=replace(config.data, scale=config.training_scale))
    return without(to_dict(stated), {*fields_with(RESUME), *memory_limits(config), *_MEASURED})


def design(config: Config, start: str) -> dict[str, Any]:
    """What a net's result depends on besides the seed, as far as a suite plans it, for results.json.

    Args:
        config: of a run, without its start.
        start: the name of the training that it starts from; empty: none.
    """
    return {**without(_design(config), ("seed",)), "start": start}


def difference_of_designs(stated: dict[str, Any], config: Config, start: str) -> str | None:
    """The first field in which a net of a results.json differs from the plan, as `field: old, now new`; None: it is the same.

    Args:
        stated: of `design`, perhaps by an older version.
        config, start: as for `design`.
    """
    begun = from_dict(Config, without(stated, ("start",)))  # as `_begun`
    return difference(design(begun, stated["start"]), design(config, start))


def images_of(runs: Sequence[Any]) -> dict[str, Any]:
    """How many images the splits of a set have, and their `DIGESTS`, from its first run that has begun."""
    stored = (read_config(run.folder) for run in runs if not run.training.weights)
    data = next((one.get("data", {}) for one in stored if one), {})
    known = {split: data[split] for split in SPLITS if data.get(split)}
    return {split: {key: one[key] for key in ("images", *DIGESTS) if key in one} for split, one in known.items()}


def _place(start: str) -> tuple[str, ...]:
    """DATA, NET-SCALE and seed of a start, wherever the suite's folder lies."""
    return Path(start).parts[-3:]


def _is_other(begun: str, now: str) -> bool:
    """Whether a source is another than the one that was begun with. A folder that is no longer there was moved, and may go on.

    So may one whose path led to it from another folder: `photos` is a set of TensorFlow Datasets only if there is such a set.
    """
    if begun == now or user_path(begun).resolve() == user_path(now).resolve():
        return False
    return user_path(begun).exists() or begun == "digits" or is_set(begun)

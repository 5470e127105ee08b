"""Our own format: a run's folder, in which a net is its configuration plus its weights.

`config.json` and `model.weights.h5` are what the package reads, checked against their sha256 in `manifest.json`; the net
is built from the configuration and takes weights only. `model.keras`, beside them, is for whoever wants to open the net in
Keras alone.
"""

import dataclasses
import shutil
import zipfile
from dataclasses import dataclass
from pathlib import Path

import keras

from vgg_keras.config import Config
from vgg_keras.errors import UserError
from vgg_keras.files import replacing, sha256, version, write_json
from vgg_keras.nets.builder import build_trained
from vgg_keras.paths import user_path
from vgg_keras.plain_values import from_dict
from vgg_keras.runs import (
    CONFIG,
    KERAS,
    MANIFEST,
    WEIGHTS,
    hint_of,
    read_config,
    read_manifest,
    require_unchanged,
)
from vgg_keras.weights.convert import convert, random_layers
from vgg_keras.weights.formats.keras_files import read_keras
from vgg_keras.weights.memory import tensors
from vgg_keras.weights.source_weights import Preprocessing, SourceWeights, parsing


@dataclass(frozen=True)
class LoadedModel:
    """A net that is ready to run.

    Attributes:
        model: with its kept weights.
        config: the run's, its architecture resolved.
        classes: their names, in the order of the logits; empty where another framework's file does not name them.
        path: the run's folder, or another framework's file; of a model in memory its name.
        weights_sha256: of the file that the weights came from; empty for a model in memory.
    """

    model: keras.Model
    config: Config
    classes: tuple[str, ...]
    path: Path
    weights_sha256: str


def save_weights(model: keras.Model, workdir: Path) -> None:
    """Writes the net's weights beside the existing `config.json`, and the digests of all.

    Killed at any moment, it leaves a net that loads: while the files are replaced the manifest names the old digests and the
    new ones. That of `config.json` is the one from the start of the run, whatever the file is now.
    """
    manifest = workdir / MANIFEST
    known = read_manifest(workdir) if manifest.exists() else {CONFIG: [sha256(workdir / CONFIG)]}
    with replacing(workdir / KERAS) as keras_file:
        model.save(keras_file)
        with replacing(workdir / WEIGHTS) as weights_file:
            # out of the archive, which is made in memory: HDF5 that finds the disk full takes the process down with it
            with (
                zipfile.ZipFile(keras_file) as archive,
                archive.open(WEIGHTS) as source,
                open(weights_file, "wb") as file,
            ):
                shutil.copyfileobj(source, file)
            new = {WEIGHTS: [sha256(weights_file)], KERAS: [sha256(keras_file)]}
            if WEIGHTS in known:  # the first ones are named once they are written
                write_json(manifest, {name: digests + new.get(name, []) for name, digests in known.items()})
    write_json(manifest, {CONFIG: known[CONFIG], **new})


@dataclass(frozen=True)
class StoredRun:
    """What a run's folder holds of its net: the configuration and the best weights, with their sha256."""

    config: Config
    weights: SourceWeights
    weights_sha256: str


def read(workdir: Path) -> StoredRun:
    """A run's configuration and weights, no net built.

    Raises:
        UserError: no run there, none that has saved weights yet, or files that differ from their digests.
    """
    stored = read_config(workdir)
    if stored is None:
        raise UserError(
            f"A run's folder holds {CONFIG}, {WEIGHTS} and {MANIFEST}. "
            f"Received: {workdir}, without {CONFIG}.{hint_of(workdir)}"
        )
    digest, weights = _verified_weights(workdir)
    config = from_dict(Config, stored["config"])
    architecture = config.architecture
    weights = dataclasses.replace(
        weights,
        path=str(workdir),
        preprocessing=Preprocessing(architecture.mean, architecture.std or (1.0, 1.0, 1.0)),
        classes=tuple(stored["classes"]),
        assumed_head=(),  # the configuration states what a file of weights alone lacks
        negative_slope=architecture.negative_slope,
        boxes=architecture.boxes,
        box_unit=architecture.box_unit,
    )
    return StoredRun(config, weights, digest)


def _verified_weights(workdir: Path) -> tuple[str, SourceWeights]:
    """The weights of a run and their sha256, which is in its manifest.

    A training may replace them after their digest is computed, or after the manifest is read. They are then read again.
    """
    while True:
        before = _version(workdir / WEIGHTS)
        try:
            digests = require_unchanged(workdir)
            with parsing(workdir / WEIGHTS):
                weights = read_keras(workdir / WEIGHTS)
        except UserError:
            if _version(workdir / WEIGHTS) == before:
                raise
            continue
        if _version(workdir / WEIGHTS) == before:
            return digests[WEIGHTS], weights


def _version(path: Path) -> tuple[int, ...] | None:
    """What changes when a file is replaced; None where there is none."""
    return version(path) if path.exists() else None


def load_run(workdir: Path | str, dtype: str | None = None) -> LoadedModel:
    """The net of a run's folder with its best weights.

    Args:
        workdir: as given to `--workdir`.
        dtype: Keras dtype policy, "float32", "mixed_bfloat16" or "mixed_float16"; None: the global policy.

    Raises:
        UserError: of `read`, or weights that are not the net's.
    """
    workdir = user_path(workdir)
    run = read(workdir)
    architecture = run.config.architecture
    with parsing(workdir / WEIGHTS):
        converted = convert(run.weights, architecture)  # before a net is built, which could fill the memory
    if missing := random_layers(architecture, converted):
        raise UserError(
            f"A run's {WEIGHTS} holds its net's weights. Received: {workdir}, without {', '.join(missing)}."
        )
    converted = tensors(converted)
    found = LoadedModel(None, run.config, run.weights.classes, workdir, run.weights_sha256)
    del run  # so that the net alone holds them
    return dataclasses.replace(found, model=build_trained(architecture, converted, dtype))

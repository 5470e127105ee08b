"""Our own format: a run's folder, in which a net is its configuration plus its weights.

`config.json` and `model.weights.h5` are what the package reads, checked against their sha256 in `manifest.json`; the net
is built from the configuration and takes weights only. `model.keras`, beside them, is for whoever wants to open the net in
Keras alone.
"""

import shutil
import zipfile
from dataclasses import dataclass
from pathlib import Path

import keras

from vgg_keras.config import Config
from vgg_keras.errors import UserError
from vgg_keras.files import replacing, sha256, write_json
from vgg_keras.nets.architectures import costs
from vgg_keras.nets.builder import build
from vgg_keras.paths import user_path
from vgg_keras.plain_values import from_dict
from vgg_keras.runs import (
    CONFIG,
    KERAS,
    MANIFEST,
    WEIGHTS,
    chain_hint,
    read_config,
    read_manifest,
    require_whole,
    run_of,
)
from vgg_keras.weights.foreign import tensors_for
from vgg_keras.weights.formats.hdf5 import read_keras


@dataclass(frozen=True)
class LoadedModel:
    """A net from disk.

    Attributes:
        model: with its best weights.
        config: the run's, its architecture resolved.
        classes: their names, in the order of the logits; empty where a foreign file does not name them.
        path: the run's folder, or the foreign file.
        weights_sha256: of the file that the weights came from.
    """

    model: keras.Model
    config: Config
    classes: tuple[str, ...]
    path: Path
    weights_sha256: str


def save_weights(model: keras.Model, workdir: Path) -> None:
    """Writes the net's weights beside the `config.json` that is there, and the digests of all.

    Killed at any moment, it leaves a net that loads: while the files change places the manifest names the digests of
    the old ones and of the new. That of `config.json` is the one from the start of the run, whatever the file is now.
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
            if WEIGHTS in known:  # the first ones are named when they are there
                write_json(manifest, {name: digests + new.get(name, []) for name, digests in known.items()})
    write_json(manifest, {CONFIG: known[CONFIG], **new})


def _fill(model: keras.Model, config: Config, path: Path) -> None:
    """By our own reader: Keras's would unpack 4 GiB out of 16 MB before it looks at a shape."""
    try:
        tensors, missing = tensors_for(read_keras(path), config.architecture)
        if missing:
            raise UserError(
                f"A run's {WEIGHTS} holds its net's weights. Received: {path}, without {', '.join(missing)}."
            )
        for name, arrays in tensors.items():
            model.get_layer(name).set_weights(arrays)
    except UserError:
        raise
    except Exception as error:  # whatever a prepared file makes of HDF5 and of Keras
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"A run's {WEIGHTS} holds its net's weights. Received: {path}: {reason}") from None


def load_run(workdir: Path | str, dtype: str | None = None) -> LoadedModel:
    """The net of a run's folder with its best weights.

    Args:
        workdir: as given to `--workdir`.
        dtype: Keras dtype policy, "float32" or "mixed_bfloat16"; None: the global policy.

    Raises:
        UserError: no run there, none that has saved weights yet, or files that differ from their digests.
    """
    workdir = user_path(workdir)
    stored = read_config(workdir)
    if stored is None:
        run = run_of(workdir)
        hint = f" Give the run's folder, {run}." if run else chain_hint(workdir)
        raise UserError(
            f"A run's folder holds {CONFIG}, {WEIGHTS} and {MANIFEST}. Received: {workdir}, without {CONFIG}.{hint}"
        )
    found = require_whole(workdir)
    config = from_dict(Config, stored["config"])
    needed = 4 * sum(
        cost.parameters for cost in costs(config.architecture)
    )  # told before a net is built that fills the memory
    if needed > (held := (workdir / WEIGHTS).stat().st_size):
        raise UserError(
            f"A run's {WEIGHTS} holds its net's weights. Received: {workdir}, with {held:,} bytes for a net of {needed:,}."
        )
    model = build(config.architecture, dtype=dtype)
    _fill(model, config, workdir / WEIGHTS)
    return LoadedModel(model, config, tuple(stored["classes"]), workdir, found[WEIGHTS])

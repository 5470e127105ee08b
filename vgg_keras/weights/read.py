"""A source of weights into memory, whatever its format: a run's folder, `imagenet`, or a file of another framework."""

import dataclasses
import sys
from pathlib import Path

from vgg_keras import stop
from vgg_keras.config import Architecture
from vgg_keras.errors import StoppedError, UserError
from vgg_keras.weights import presets
from vgg_keras.weights.formats import reader, run_folder, torchvision
from vgg_keras.weights.source_weights import CAFFE, ONE_LABEL, SourceWeights, flags_of_images, parsing
from vgg_keras.weights.verify import (
    IMAGENET,
    PINNED,
    application,
    digest_of,
    ending_of,
    is_public,
    path_of,
    require_digest,
    require_run,
)

_DOWNLOADS = "https://storage.googleapis.com/tensorflow/keras-applications"  # from where Keras Applications has them


def read(source: str | Path, name: str = "D", sha256: str | None = None) -> tuple[SourceWeights, str]:
    """What a source holds, and the sha256 of its weights.

    Args:
        source, sha256: as in `load_weights`.
        name: of the net, which chooses the file of `imagenet`.

    Raises:
        UserError: an unknown source, another sha256, or a file that is not what its name says.
    """
    path = path_of(source)
    if str(source) == IMAGENET:
        path = _downloaded(application(name))
    elif path.is_dir() and presets.is_preset(path):
        found = presets.digest(path)
        require_digest(sha256, found, source)
        from vgg_keras.weights.formats import keras_hub

        with parsing(source):
            return keras_hub.read(path), found
    elif path.is_dir():
        require_run(path)
        run = run_folder.read(path)
        require_digest(sha256, run.weights_sha256, source)
        return run.weights, run.weights_sha256
    found = digest_of(path, name, sha256)
    with parsing(source):
        weights = reader(ending_of(path))(path)
    if found[:8] in torchvision.CAFFES:
        weights = dataclasses.replace(weights, preprocessing=CAFFE, assumed="", assumed_head=())
    return (dataclasses.replace(weights, assumed="", assumed_head=()) if is_public(path) else weights), found


def print_assumption(source: str | Path, weights: SourceWeights, architecture: Architecture) -> None:
    """Prints how the source's images and its head are read where it does not hold that, and what was changed in reading.

    Args:
        source: as the user named it.
        weights: what it holds.
        architecture: of the net that takes it.
    """
    last = architecture.boxes == "none" and weights.num_classes(architecture) == architecture.num_classes
    one_label = last and not architecture.multi_label
    if weights.assumed:
        print(
            f"{source}: read as {weights.assumed}; the file does not say so. "
            f"{'RGB ' if architecture.channels == 3 else ''}(x - mean) / std is stated by "
            f"{flags_of_images(architecture.channels, 'mean', 'std')}",
            file=sys.stderr,
            flush=True,
        )
    if assumed := [words for words in weights.assumed_head if words != ONE_LABEL or one_label]:
        print(f"{source}: read with {', '.join(assumed)}; the file does not say so", file=sys.stderr, flush=True)
    for note in weights.notes:
        print(f"{source}: {note}", file=sys.stderr, flush=True)


def _downloaded(name: str) -> Path:
    """Keras Applications' file, by its own downloader, into its own folder, with its own hash."""
    import keras

    url = f"{_DOWNLOADS}/{name.split('_')[0]}/{name}"
    try:
        with stop.at_once():  # half a gigabyte takes minutes, and a connection that stalls any time
            return Path(keras.utils.get_file(name, url, cache_subdir="models", file_hash=PINNED[name][1]))
    except StoppedError:
        raise
    except Exception as error:  # a download fails in as many ways as there are networks
        raise UserError(
            f"Keras Applications' {name} could not be downloaded: {' '.join(str(error).split())}. "
            "Name a local file: --weights=FILE.h5."
        ) from None

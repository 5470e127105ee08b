"""Weights of any source into a net, or a source's own net: one function for every format."""

import contextlib
import dataclasses
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import keras
import numpy as np

from vgg_keras.config import Architecture, Config
from vgg_keras.errors import UserError
from vgg_keras.nets.builder import build
from vgg_keras.nets.model import architecture_of
from vgg_keras.paths import user_path
from vgg_keras.weights.classes import difference_of_classes, imagenet_classes
from vgg_keras.weights.foreign import CAFFE, TORCHVISION, Foreign, Preprocessing, same_names, tensors_for
from vgg_keras.weights.formats import caffe, hdf5, matconvnet, torchvision
from vgg_keras.weights.formats.run_folder import LoadedModel, load_run
from vgg_keras.weights.inference import infer
from vgg_keras.weights.sources import IMAGENET, PINNED, application, digest_of, ending_of, is_public, require_digest
from vgg_keras.weights.transfer import Transfer

_DOWNLOADS = "https://storage.googleapis.com/tensorflow/keras-applications"  # where Keras Applications has them from
_READERS = {
    ".weights.h5": hdf5.read_keras,
    ".keras": hdf5.read_keras,
    ".h5": hdf5.read_h5,
    ".pth": torchvision.read,
    ".pt": torchvision.read,
    ".safetensors": torchvision.read,
    ".caffemodel": caffe.read,
    ".mat": matconvnet.read,
}


def load_weights(model: keras.Model | None, source: str | Path, sha256: str | None = None) -> keras.Model:
    """Loads weights into a net by its layers' names, whatever framework they come from.

    The source's preprocessing is folded into the first layers: what is loaded takes RGB images in 0-255. A file without
    FC layers leaves the head as it is, one with another number of classes the last layer; what was left is printed.

    Args:
        model: of `vgg_keras.build`; None builds the source's own net.
        source: a run's folder; "imagenet", which is Keras Applications' VGG16 or VGG19, the authors' D and E; or a file:
            Keras Applications' `.h5`, torchvision's or timm's `.pth` or `.safetensors`, the authors' `.caffemodel`,
            MatConvNet's `.mat`, a `.keras` of ours, of which weights and mean are read, or for a given model a `.weights.h5`.
        sha256: that the file must have, checked before it is parsed.

    Returns:
        The model. One whose first layer subtracts another mean than the source's is refused: build it with that mean.

    Raises:
        UserError: an unknown source, another sha256, a file that is not what its name says, layers missing or left over, a
            shape that differs, a weight that is not finite. The model is then as it was.

    Example:
        model = vgg_keras.load_weights(None, "vgg16-397923af.pth")
    """
    if model is None:
        return load_net(source, sha256=sha256).model
    architecture = architecture_of(model)
    found, _ = _read(source, architecture, sha256)
    _report(source, found, _assign(model, found, architecture))
    return model


def fill(model: keras.Model, source: str | Path, classes: Sequence[str], sha256: str | None = None) -> Transfer:
    """`load_weights` for a training, saying nothing: returns which layers took the source's weights.

    The last layer takes them where its outputs are the training's classes: as many, and of the same names in the same order
    where the source names its own.

    Args:
        model, source, sha256: as in `load_weights`.
        classes: of the data that the model will be trained on.
    """
    architecture = architecture_of(model)
    found, _ = _read(source, architecture, sha256)
    tensors, kept = _checked(found, architecture)
    theirs = _classes(found, architecture)
    if "predictions" in tensors and theirs and difference_of_classes(theirs, len(theirs), classes):
        del tensors["predictions"]
        kept = (*kept, "predictions")
    return _assign(model, found, architecture, (tensors, kept))


def load_net(
    source: str | Path,
    config: Config | None = None,
    dtype: str | None = None,
    sha256: str | None = None,
) -> LoadedModel:
    """The net of a source, with its configuration and the names of its classes.

    Args:
        source, sha256: as in `load_weights`.
        config: whose net takes the weights; `num_classes` 0 and an empty `mean` are the source's. None: the source's own. A
            run has its own.
        dtype: Keras dtype policy; None: the global policy.

    Returns:
        The net. Where neither the source nor ImageNet names its classes, `classes` is empty.

    Raises:
        UserError: as in `load_weights`; or layers that the source has no weights for.
    """
    if str(source) != IMAGENET and _path(source).is_dir():
        if config is not None:
            raise UserError(
                f"A run has a configuration of its own. Received: another beside {source}. Leave --config out."
            )
        run = load_run(source, dtype=dtype)
        require_digest(sha256, run.weights_sha256, source)
        return run
    found, sha = _read(source, config.architecture if config else None, sha256)
    if config is None:
        if found.preprocessing is None:
            raise UserError(
                "A .weights.h5 file gives weights only, not what its net does to images first. "
                f"Received: {source} without a net. Give a model, or --config with --set=architecture.mean=R,G,B."
            )
        with _parsing(source):
            config = Config(architecture=infer(found))
    architecture = _settled(config.architecture, found)
    tensors = _checked(found, architecture, "--set=architecture.")
    if left := tensors[1]:
        own = found.outputs(architecture)
        its_own = f"--set=architecture.num_classes={own} takes its own; " if own else ""
        raise UserError(
            "A net that is not trained any more has weights in every layer. "
            f"Received: {source}, without those of {', '.join(left)}. {its_own}train --weights={source} trains them."
        )
    model = build(architecture, dtype=dtype)
    _report(source, found, _assign(model, found, architecture, tensors))
    config = dataclasses.replace(config, architecture=architecture, stages=())
    return LoadedModel(model, config, _classes(found, architecture), Path(source), sha)


def look(source: str | Path, architecture: Architecture, sha256: str | None = None) -> tuple[Architecture, str]:
    """Whether a source's weights fit a net, found without building it: all that `load_weights` refuses is refused.

    Args:
        source, sha256: as in `load_weights`.
        architecture: `num_classes` 0 and an empty `mean` are the source's, as in `load_net`.

    Returns:
        The architecture with what it left to the source, and the source's sha256.

    Raises:
        UserError: as in `load_weights`; where the source holds a net of another shape, with the fields that make it.
    """
    found, sha = _read(source, architecture, sha256)
    settled = _settled(architecture, found)
    _checked(found, settled, "--set=architecture.")
    _report(source, found)
    return settled, sha


def _checked(found: Foreign, architecture: Architecture, prefix: str = "") -> tuple[dict, tuple[str, ...]]:
    """`tensors_for`, whose refusal says which fields would fit; `prefix` is put before each of them."""
    with _parsing(found.path):
        try:
            return tensors_for(found, architecture)
        except UserError as error:
            raise UserError(f"{error}{_nearest(found, architecture, prefix)}") from None


def _nearest(found: Foreign, architecture: Architecture, prefix: str) -> str:
    """A sentence with the fields of the file's own net in which it differs; empty where it is none, or differs in none."""
    try:
        own = infer(found, like=architecture)
    except UserError:
        return ""
    names = ["name", "width", "head", "batch_norm", "activation"]
    if own.activation == "leaky_relu":
        names.append("negative_slope")
    if own.head == "fc" and own.crop // 32 != architecture.crop // 32:  # else fc1's kernel is the same
        names.insert(2, "crop")
    fields = {name: getattr(own, name) for name in names if getattr(own, name) != getattr(architecture, name)}
    if own.mean and not np.allclose(own.mean, architecture.mean, atol=1e-3):
        fields["mean"] = ",".join(f"{value:g}" for value in own.mean)
    if not fields:
        return ""
    words = (
        f"{prefix}{name}={str(value).lower() if value is True or value is False else value}"
        for name, value in fields.items()
    )
    return f" It fits {' '.join(words)}"


def _settled(architecture: Architecture, found: Foreign) -> Architecture:
    """With the number of classes and the mean that are left to the source."""
    mean = found.preprocessing.mean if found.preprocessing else ()
    settled = architecture.resolved(found.outputs(architecture), mean)
    if not settled.mean:
        raise UserError(
            "A .weights.h5 file does not hold the mean that its net subtracts. "
            f"Received: {found.path} without one. Name it: --set=architecture.mean=R,G,B."
        )
    return settled


def _read(source: str | Path, architecture: Architecture | None, sha256: str | None) -> tuple[Foreign, str]:
    """What a source holds, and the sha256 of its weights."""
    path = _path(source)
    if str(source) == IMAGENET:
        path = _downloaded(application("D" if architecture is None else architecture.name))
    elif path.is_dir():
        run = load_run(path, dtype="float32")
        require_digest(sha256, run.weights_sha256, source)
        return _of_run(run), run.weights_sha256
    found = digest_of(path, "", sha256)
    with _parsing(source):
        foreign = _READERS[ending_of(path)](path)
    if found[:8] in torchvision.CAFFES:
        foreign = dataclasses.replace(foreign, preprocessing=CAFFE, assumed="")
    return (dataclasses.replace(foreign, assumed="") if is_public(path) else foreign), found


@contextlib.contextmanager
def _parsing(source: str | Path) -> Iterator[None]:
    """Turns whatever a damaged or prepared file makes of its parser into one line."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"A file of weights must be whole and what its name says. Received: {source}: {type(error).__name__}: {reason}"
        ) from None


def _path(source: str | Path) -> Path:
    if not isinstance(source, str | os.PathLike):
        raise UserError(f"A source of weights is a path or 'imagenet'. Received: {type(source).__name__}.")
    return user_path(source)


def _downloaded(name: str) -> Path:
    """Keras Applications' file, by its own downloader, into its own folder, with its own hash."""
    url = f"{_DOWNLOADS}/{name.split('_')[0]}/{name}"
    try:
        return Path(keras.utils.get_file(name, url, cache_subdir="models", file_hash=PINNED[name][1]))
    except Exception as error:  # a download fails in as many ways as there are networks
        raise UserError(
            f"Keras Applications' {name} could not be downloaded: {' '.join(str(error).split())}. "
            "Name a local file: --weights=FILE.h5."
        ) from None


def _of_run(run: LoadedModel) -> Foreign:
    ours = run.config.architecture
    return Foreign(
        str(run.path),
        {layer.name: tuple(layer.get_weights()) for layer in run.model.layers if layer.weights},
        same_names,
        channels_first=False,
        preprocessing=Preprocessing(ours.mean, ours.std or (1.0, 1.0, 1.0)),
        classes=run.classes,
        activation=ours.activation,
        lrn=ours.name == "A-LRN",
        negative_slope=ours.negative_slope,
    )


def _assign(model: keras.Model, found: Foreign, architecture: Architecture, checked: tuple | None = None) -> Transfer:
    tensors, kept = checked or _checked(found, architecture)  # all of it is checked before any of it is assigned
    for name, arrays in tensors.items():
        ours, theirs = [[tuple(array.shape) for array in of] for of in (model.get_layer(name).weights, arrays)]
        if ours != theirs:
            raise UserError(f"Shapes must be the net's. Received: {found.path}, whose {name} has {theirs}, not {ours}.")
    for name, arrays in tensors.items():
        model.get_layer(name).set_weights(arrays)
    return Transfer(tuple(tensors), kept)


def _report(source: str | Path, found: Foreign, moved: Transfer | None = None) -> None:
    """Prints what a file does not hold: the preprocessing that is assumed, and the layers without weights."""
    if found.assumed:
        print(f"{source}: read as {found.assumed}; the file does not say so", file=sys.stderr, flush=True)
    if moved and moved.left:
        line = f"{source}: no weights for {', '.join(moved.left)}, which stay as they were"
        if moved.left == ("predictions",):
            classes = found.outputs(Architecture())
            line += f"; num_classes={classes} takes its own" if classes else ""
        print(line, file=sys.stderr, flush=True)


def _classes(found: Foreign, architecture: Architecture) -> tuple[str, ...]:
    """The file's names, ImageNet's for a thousand, else none."""
    if len(found.classes) == architecture.num_classes:
        return found.classes
    known = architecture.num_classes == 1000 and found.preprocessing in (CAFFE, TORCHVISION)
    return imagenet_classes()[1] if known else ()

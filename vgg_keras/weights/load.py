"""Weights of any source into a net, or a source's own net: one function for every format."""

import contextlib
import dataclasses
import hashlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import keras

from vgg_keras.config import Architecture, Config, UserError
from vgg_keras.files import sha256 as digest
from vgg_keras.nets.builder import architecture_of, build
from vgg_keras.weights import caffe, hdf5, matconvnet, torchvision
from vgg_keras.weights.foreign import CAFFE, TORCHVISION, Foreign, Preprocessing, infer, same_names, tensors_for
from vgg_keras.weights.run import Run, load_run

IMAGENET = "imagenet"
_APPLICATIONS = {"D": "VGG16", "E": "VGG19"}
_READERS = {
    ".weights.h5": hdf5.read_keras,
    ".keras": hdf5.read_keras,
    ".h5": hdf5.read_applications,
    ".pth": torchvision.read,
    ".pt": torchvision.read,
    ".safetensors": torchvision.read,
    ".caffemodel": caffe.read,
    ".mat": matconvnet.read,
}
_CLASSES = Path(__file__).parent / "imagenet_classes.txt"  # WordNet's id and a name for each, in ILSVRC's order


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
    _assign(model, _read(source, architecture, sha256)[0], architecture)
    return model


def load_net(
    source: str | Path,
    config: Config | None = None,
    dtype: str | None = None,
    sha256: str | None = None,
) -> Run:
    """The net of a source, with its configuration and the names of its classes.

    Args:
        source, sha256: as in `load_weights`.
        config: whose net takes the weights; `num_classes` 0 and an empty `mean` are the source's. None: the source's own. A
            run has its own.
        dtype: Keras dtype policy; None: the global policy.

    Returns:
        The net. Where neither the source nor ImageNet names its classes, `classes` is empty.

    Raises:
        UserError: as in `load_weights`.
    """
    if str(source) != IMAGENET and Path(source).is_dir():
        if config is not None:
            raise UserError(
                f"A run has a configuration of its own. Received: another beside {source}. Leave --config out."
            )
        run = load_run(source, dtype=dtype)
        _require_digest(sha256, run.weights_sha256, source)
        return run
    found, sha = _read(source, config and config.architecture, sha256)
    if config is None:
        if found.preprocessing is None:
            raise UserError(
                "A .weights.h5 file gives weights only, not what its net does to images first. "
                f"Received: {source} without a net. Give a model, or --config with --set=architecture.mean=R,G,B."
            )
        with _parsing(source):
            config = Config(architecture=infer(found))
    architecture = dataclasses.replace(
        config.architecture,
        num_classes=config.architecture.num_classes or found.outputs(config.architecture),
        mean=config.architecture.mean or (found.preprocessing.mean if found.preprocessing else ()),
    )
    if not architecture.mean:
        raise UserError(
            "A .weights.h5 file does not hold the mean that its net subtracts. "
            f"Received: {source} without one. Name it: --set=architecture.mean=R,G,B."
        )
    model = build(architecture, dtype=dtype)
    _assign(model, found, architecture)
    config = dataclasses.replace(config, architecture=architecture, stages=())
    return Run(model, config, _classes(found, architecture), Path(source), sha)


def _read(source: str | Path, architecture: Architecture | None, sha256: str | None) -> tuple[Foreign, str]:
    """What a source holds, and the sha256 of its weights."""
    path = Path(source)
    if str(source) == IMAGENET:
        return _applications("D" if architecture is None else architecture.name, sha256)
    if path.is_dir():
        run = load_run(path, dtype="float32")
        _require_digest(sha256, run.weights_sha256, source)
        ours = run.config.architecture
        prepared = Preprocessing(ours.mean, ours.std or (1.0, 1.0, 1.0))
        found = _of_model(run.model, str(source), prepared)
        return dataclasses.replace(found, activation=ours.activation, lrn=ours.name == "A-LRN"), run.weights_sha256
    ending = next((ending for ending in _READERS if path.name.lower().endswith(ending)), None)
    if ending is None:
        raise UserError(
            f"Weights come from a run's folder, 'imagenet', or a file that ends in {', '.join(_READERS)}. Received: {source}."
        )
    if not path.exists():
        raise UserError(f"A file of weights must exist. Received: {source}, which does not.")
    found = digest(path)
    _require_digest(sha256, found, source)
    # torchvision names its files by the first digits of their sha256
    named = re.search(r"^vgg\d+(?:_bn)?-([0-9a-f]{8})\.pth$", path.name)
    if named and not named[1].isdigit() and named[1] != found[:8]:  # digits alone may be a date
        raise UserError(
            f"torchvision's files have the first digits of their sha256 in their names. Received: {source} with {found}. "
            "Rename it, if it is another."
        )
    with _parsing(source):
        return _READERS[ending](path), found


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


def _applications(name: str, sha256: str | None) -> tuple[Foreign, str]:
    """Keras Applications' files, by its own downloader, which checks their hash."""
    if name not in _APPLICATIONS:
        raise UserError(f"'imagenet' has weights of D and E, the authors' two. Received: {name}.")
    try:
        model = getattr(keras.applications, _APPLICATIONS[name])(weights=IMAGENET, classifier_activation=None)
    except Exception as error:  # a download fails in as many ways as there are networks
        raise UserError(
            f"Keras Applications' {_APPLICATIONS[name]} could not be downloaded: {' '.join(str(error).split())}. "
            "Name a local file: --weights=FILE.h5."
        ) from None
    found = _of_model(model, f"Keras Applications' {_APPLICATIONS[name]}", CAFFE)
    sha = hashlib.sha256()
    for arrays in found.tensors.values():
        for array in arrays:
            sha.update(array.tobytes())
    _require_digest(sha256, sha.hexdigest(), IMAGENET)
    return found, sha.hexdigest()


def _of_model(model: keras.Model, path: str, preprocessing: Preprocessing) -> Foreign:
    tensors = {layer.name: tuple(layer.get_weights()) for layer in model.layers if layer.weights}
    return Foreign(path, tensors, same_names, channels_first=False, preprocessing=preprocessing)


def _require_digest(expected: str | None, found: str, source: str | Path) -> None:
    if expected is not None and expected.lower() != found:
        raise UserError(
            f"A file of weights must have the sha256 that is asked for, {expected}. Received: {source} with {found}."
        )


def _assign(model: keras.Model, found: Foreign, architecture: Architecture) -> None:
    with _parsing(found.path):
        tensors, kept = tensors_for(found, architecture)  # all of it is checked before any of it is assigned
    for name, arrays in tensors.items():
        ours, theirs = [[tuple(array.shape) for array in of] for of in (model.get_layer(name).weights, arrays)]
        if ours != theirs:
            raise UserError(f"Shapes must be the net's. Received: {found.path}, whose {name} has {theirs}, not {ours}.")
    for name, arrays in tensors.items():
        model.get_layer(name).set_weights(arrays)
    if kept:
        print(f"{found.path}: no weights for {', '.join(kept)}, which stay as they were", file=sys.stderr, flush=True)


def _classes(found: Foreign, architecture: Architecture) -> tuple[str, ...]:
    """The file's names, ImageNet's for a thousand, else none."""
    if len(found.classes) == architecture.num_classes:
        return found.classes
    known = architecture.num_classes == 1000 and found.preprocessing in (CAFFE, TORCHVISION)
    return imagenet_classes()[1] if known else ()


def imagenet_classes() -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The ids and the names of ImageNet's thousand classes, in the order of every net that was trained on them."""
    ids, names = zip(*(line.split(" ", 1) for line in _CLASSES.read_text().splitlines()), strict=True)
    return ids, names

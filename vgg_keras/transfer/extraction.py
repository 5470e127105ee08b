"""Appendix B's descriptors of every image of a set, kept in a folder as they come; and of a few images in Python."""

import dataclasses
import functools
import hashlib
import operator
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vgg_keras import provenance, stop
from vgg_keras.config import Config
from vgg_keras.data.errors import readable_images
from vgg_keras.data.folders import open_unlabelled
from vgg_keras.data.sources import open_test
from vgg_keras.evaluation import evaluator, image_rows, passes, protocols
from vgg_keras.evaluation.evaluated_net import made_as_all
from vgg_keras.evaluation.images import Images, scanned_images
from vgg_keras.evaluation.photographs import Opened, opened
from vgg_keras.evaluation.prediction import kept, require_config
from vgg_keras.files import sweep, write_json
from vgg_keras.nets.feature_maps import descriptor_layer, layer_names
from vgg_keras.overrides import override
from vgg_keras.plain_values import to_dict
from vgg_keras.transfer.descriptors import (
    DescribedNet,
    Descriptors,
    Pooled,
    columns_of,
    combined,
    described,
    joined,
    save,
)
from vgg_keras.weights.formats.run_folder import LoadedModel
from vgg_keras.weights.open_model import open_model

SETTINGS = "features.json"  # beside features.npz
PASSES = "passes"  # a folder: the values of layers at one scale, a file each
LONGEST = 120  # characters of layers in the name of such a file: file systems take 255 bytes, all layers of E have more
# of a configuration that Python gives
GIVEN = (
    *("evaluation.batch", "evaluation.max_pixels"),
    *("data.interpolation", "data.exif_orientation", "data.max_pixels", "data.max_file_bytes"),
)


def open_images(config: Config, name: str) -> tuple[Images, tuple[str, ...]]:
    """The readable images of a set and the names of their classes, none where the folder has no class folders.

    Args:
        config: of its data.
        name: of the split: val, train, test or all.

    Raises:
        UserError: as in `open_test`; too many images that cannot be read.
    """
    unlabelled = open_unlabelled(config.data)
    description, classes, name, split = unlabelled or open_test(config.data, name)
    return scanned_images(split, name, description, config), classes


def require_layers(net: LoadedModel, config: Config, more_layers: Sequence[str] = ()) -> tuple[str, ...]:
    """The layers whose values a pass computes, that of the descriptors first.

    Raises:
        UserError: the net has no such layer.
    """
    names = (config.features.layer, *more_layers)
    return tuple(dict.fromkeys(descriptor_layer(net.config.architecture, name) for name in names))


def extract(
    net: LoadedModel,
    config: Config,
    images: Images,
    classes: tuple[str, ...],
    precision: str,
    folder: Path,
    layers: tuple[str, ...],
) -> Descriptors:
    """The descriptors of every image, written to `folder`; passes that are there are not run again.

    Args:
        net: built in `precision`.
        config: its `features`, `evaluation` and `data` are read.
        images, classes: of `open_images`.
        precision: the Keras dtype policy.
        folder: locked.
        layers: of `require_layers`; the values of all are kept, the first one's are the descriptors.

    Raises:
        MismatchError: `folder` holds passes of another net, other images or other settings.
        UserError: of `passes.run`.
        StoppedError: by a signal, with everything saved.
    """
    sweep(folder)
    sweep(folder / PASSES)
    rules, scales = config.features, config.test_scales
    protocols.require_few_pixels(images.split, config.evaluation, scales)
    require_room(net, config, images.split.size, folder, layers)
    in_order = tuple(name for name in layer_names(net.config.architecture) if name in layers)
    described_net = functools.partial(DescribedNet.of, net, config, images, precision)
    passed = [described_net((side,), layers=in_order, pooling="mean and max", combine=None) for side in scales]
    of_scales = [_pass(net, config, images, classes, wanted, folder) for wanted in passed]
    layer = layers[0]
    made = described_net(scales, layers=(layer,), pooling=rules.pooling, combine=rules.combine)
    found = dataclasses.replace(
        of_scales[0],
        descriptors=combined(of_scales, layer, rules.pooling, rules.combine, folder),
        nets=(made_as_all(made, [one.nets[0] for one in of_scales]),),  # the passes may be older
        seconds=sum(one.seconds for one in of_scales),
    )
    save(found, folder / Descriptors.FILE)
    write_json(folder / SETTINGS, _record(found))
    return found


def require_room(net: LoadedModel, config: Config, images: int, folder: Path, layers: Sequence[str]) -> None:
    """Refuses a set whose descriptors the disk has no room for, before there is any work to lose.

    Raises:
        DiskFullError: there is less room.
    """
    if (folder / Descriptors.FILE).exists():
        return
    scales, columns = len(config.test_scales), list(columns_of(net.config.architecture, layers).values())
    of_passes = columns[-1].stop * (scales + 1)  # one is written anew beside itself
    of_descriptors = 2 * columns[0].stop * scales  # in work, and in features.npz
    needed = 4 * images * (of_passes + of_descriptors)
    evaluator.require_bytes(folder, needed, f"descriptors of {images:,} images of {', '.join(layers)}")


def _pass(
    net: LoadedModel, config: Config, images: Images, classes: tuple[str, ...], wanted: DescribedNet, folder: Path
) -> Descriptors:
    """The values of layers at one scale: of a file that has them, begun or finished, or of the net."""
    (side,), layers, split = wanted.scales, wanted.layers, images.split
    columns = columns_of(net.config.architecture, layers)
    new = image_rows.unknown(Descriptors, split, classes, list(columns.values())[-1].stop, wanted)
    path = folder / PASSES / f"{_named(layers)}_Q{side}.npz"
    for other in sorted((folder / PASSES).glob("*.npz")):
        known = passes.require_same(other, new, ("layers", "scales"))
        if known.done.all() and known.nets[0].scales == (side,) and set(layers) <= set(known.nets[0].layers):
            return known
    known = passes.begin(path, new)
    protocol = _protocol(net, config, layers)
    found = passes.run(protocol, known, path, split, config.data, side, f"{', '.join(layers)}, Q={side}")
    rate = split.size / max(found.seconds, 1e-9)
    print(f"Q={side}: {split.size:,} images, {rate:.2f} images/s", flush=True)
    return found


def _named(layers: Sequence[str]) -> str:
    """Layers in the name of a file; of many their number and a digest."""
    name = "+".join(layers)
    return name if len(name) <= LONGEST else f"{len(layers)}_layers_{hashlib.sha256(name.encode()).hexdigest()[:12]}"


def _protocol(net: LoadedModel, config: Config, layers: Sequence[str]) -> Pooled:
    """`Pooled`, made once for each model: tracing takes longer than a photograph."""
    architecture, rules = net.config.architecture, config.evaluation
    key = ("pooled", rules, tuple(layers))
    return kept(net.model, key, lambda: Pooled(net.model, architecture, rules, layers))


def summary(found: Descriptors) -> dict[str, Any]:
    """What the descriptors are, and how many."""
    return {
        "descriptors": described(found.nets[0]),
        "images": len(found.ids),
        "columns": found.descriptors.shape[1],
    }


def _record(found: Descriptors) -> dict[str, Any]:
    """What features.json holds."""
    return {
        **summary(found),
        "classes": list(found.classes),
        "images_sha256": found.images_sha256,
        **to_dict(found.nets[0]),
        "seconds": round(found.seconds, 2),
        "command": provenance.command(),
    }


def extract_features(
    net: Any,
    images: Any,
    layer: str = "fc2",
    scales: Sequence[int] = (256,),
    *,
    pooling: str = "mean",
    combine: str = "stack",
    flip: bool = True,
    config: Config | None = None,
) -> np.ndarray:
    """Appendix B's descriptors of photographs.

    The smaller side is rescaled to Q, and the net is run over the whole image. The layer's values are pooled over positions,
    then averaged with the mirror image's. Those of several Q are stacked or averaged. Last, the L2 norm is made 1.

    Args:
        net: a run's folder or another source of `vgg_keras.load_net`, what that returns, or a model of `vgg_keras.build`.
        images: a path, a folder, an array (height, width, channels) of uint8, a picture of Pillow, or a list of these.
        layer: any that `vgg_keras.feature_maps` takes, but for the last one.
        scales: values of Q, the net's crop or more.
        pooling: "mean" or "max".
        combine: "stack" or "average", of several scales.
        flip: whether mirror images count.
        config: its `evaluation` gives batch and max_pixels, its `data` the interpolation, `exif_orientation`, `max_pixels` and
            `max_file_bytes`; None: the net's.

    Returns:
        (images, units) float32 in the order of the images; stacked (images, scales * units).

    Raises:
        UserError: no such net or layer, a configuration that is none, or files that are no images: all of them are named.

    Example:
        descriptors = vgg_keras.extract_features("imagenet", ["one.jpg", "two.jpg"], layer="block5_pool")
    """
    net = open_model(net, convolutions=True)
    config = override(
        net.config,
        {
            **_fields_of(config),
            "features.layer": layer,
            "features.pooling": pooling,
            "features.combine": combine,
            "evaluation.scales": scales,
            "evaluation.flip": flip,
        },
    )
    (name,) = require_layers(net, config)
    return of_photographs(net, name, opened(images, config.data, config.architecture.channels), config)


def _fields_of(config: Config | None) -> dict[str, Any]:
    """The fields of a given configuration that count, by their paths; the rest, its architecture too, is the net's."""
    if config is None:
        return {}
    require_config(config)
    return {path: operator.attrgetter(path)(config) for path in GIVEN}


def of_photographs(net: LoadedModel, name: str, photographs: Opened, config: Config) -> np.ndarray:
    """The descriptors of photographs from a layer as a configuration says; otherwise as `extract_features`."""
    found, scanned = photographs
    for _, split in scanned:
        protocols.require_few_pixels(split, config.evaluation, config.test_scales)

    protocol = _protocol(net, config, (name,))
    part = columns_of(net.config.architecture, (name,))[name, config.features.pooling]
    of_scales = np.zeros((len(config.test_scales), len(found), part.stop - part.start))
    for places, split in scanned:
        with readable_images(split):
            for values, side in zip(of_scales, config.test_scales, strict=True):
                for ids, _, rows in protocol(split, config.data, side):
                    values[np.array(places)[ids]] = rows[:, part]
                    stop.raise_if_requested()
    return joined(list(of_scales), config.features.combine).astype(np.float32)

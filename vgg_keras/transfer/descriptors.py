"""Appendix B's descriptors: the values of a layer, pooled over positions, averaged with the mirror image's, at each scale Q."""

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from vgg_keras.config import Architecture, Data, Evaluation
from vgg_keras.data import pipeline
from vgg_keras.data.splits import Split
from vgg_keras.evaluation import image_rows, rows
from vgg_keras.evaluation.evaluated_net import NetOnImages, from_json
from vgg_keras.evaluation.image_rows import ImageRows
from vgg_keras.evaluation.protocols import Finished, require_tensorflow
from vgg_keras.evaluation.whole_images import STRIDE, WINDOWS, Windows, halo, tiles
from vgg_keras.nets.architectures import Layer
from vgg_keras.nets.feature_maps import feature_maps, named_layers, strides
from vgg_keras.plain_values import to_dict

POOLINGS = ("mean", "max")
LAST_MAP = "block5_pool"
_TO_THE_END = 2**20  # positions


@dataclass(frozen=True, kw_only=True)
class DescribedNet(NetOnImages):
    """A net and how its descriptors were made.

    Attributes:
        layers: whose values they are.
        pooling: over positions: mean, max, or both.
        combine: of several scales, stack or average; None: of a pass, at one scale.
    """

    layers: tuple[str, ...]
    pooling: str
    combine: str | None


@dataclass(frozen=True, kw_only=True)
class Descriptors(ImageRows):
    """Descriptors of every image of a set.

    Attributes:
        descriptors: (images, columns) float32. In a file of one scale they are the pooled values of its layers, in
            features.npz those of one layer at all scales, of L2 norm 1.
    """

    FILE: ClassVar[str] = "features.npz"
    NAME: ClassVar[str] = "descriptors"
    RULE: ClassVar[str] = "Descriptors are .npz files of the command features. Received:"
    NET: ClassVar[type] = DescribedNet

    descriptors: np.ndarray


def columns_of(architecture: Architecture, names: Sequence[str]) -> dict[tuple[str, str], slice]:
    """Where the pooled values of each layer are in a row of `Pooled`, by layer and pooling."""
    known, found, start = named_layers(architecture), {}, 0
    for name in names:
        for pooling in POOLINGS:
            found[name, pooling] = slice(start, start + known[name].units)
            start += known[name].units
    return found


class _Batch(NamedTuple):
    """Images of one size and their mirror images, as far as the convolutions."""

    ids: np.ndarray  # (images,)
    labels: np.ndarray  # (images,)
    pooled: dict[tuple[str, str], np.ndarray]  # (views * images, units) by layer and pooling, view by view
    last_maps: np.ndarray  # (views * images, rows, columns, channels); without rows where no FC layer is wanted


class Pooled:
    """A protocol: the mean and the maximum over positions of layers' values, each averaged over an image and its mirror."""

    def __init__(self, model: keras.Model, architecture: Architecture, rules: Evaluation, names: Sequence[str]):
        """
        Args:
            model: of `vgg_keras.build`.
            architecture: the model's.
            rules: its `flip`, `batch` and `max_pixels` are read.
            names: of layers, as `descriptor_layer` returns them.

        Raises:
            UserError: of `require_tensorflow`.
        """
        require_tensorflow()
        known = named_layers(architecture)
        self._rules, self._crop, self._halo = rules, architecture.crop, halo(architecture)
        self._columns = columns_of(architecture, names)
        self._names = [name for name in names if known[name].kind != "fc"]
        self._fc = [known[name] for name in names if known[name].kind == "fc"]
        maps = feature_maps(model, [*self._names, LAST_MAP] if self._fc else self._names)
        # how many positions of a layer's map one of the last map covers, along a side
        times = {name: STRIDE // strides(architecture)[name] for name in self._names}
        self._windows = Windows(_fc_layers(model, self._fc)) if self._fc else None

        def pool(images, own):
            """The pooled values of the images' own positions [top, bottom, left, right], their number, and the last map."""
            found = maps(images, training=False)
            pooled, counts = {}, []
            for name, factor in times.items():
                top, bottom, left, right = tf.unstack(own * factor)
                values = tf.cast(found[name][:, top:bottom, left:right], tf.float32)
                counts.append(tf.reduce_prod(tf.shape(values)[1:3]))
                # row by row: TensorFlow would add up all positions of a channel in one float32 sum on a CPU
                pooled[f"{name} mean"] = tf.reduce_mean(tf.reduce_mean(values, axis=2), axis=1)
                pooled[f"{name} max"] = tf.reduce_max(values, axis=[1, 2])
            top, bottom, left, right = tf.unstack(own)
            last_map = found[LAST_MAP][:, top:bottom, left:right] if self._fc else tf.zeros([1, 0, 0, 0])
            return pooled, counts, last_map

        images = tf.TensorSpec([None, None, None, architecture.channels], tf.float32)
        signature = images, tf.TensorSpec([4], tf.int32)
        self._pool = tf.function(pool, input_signature=signature, jit_compile=False, autograph=False)

    def __call__(self, split: Split, data: Data, side: int) -> Iterator[Finished]:
        """Every image of the split once, at Q = `side`; of `data` the interpolation is read."""
        waiting: list[_Batch] = []
        positions = 0
        for images, labels, ids in pipeline.whole_images(split, data, self._rules, self._crop, side):
            views = [images, images[:, :, ::-1]] if self._rules.flip else [images]
            waiting.append(_Batch(ids.numpy(), labels.numpy(), *self._convolutions(tf.concat(views, axis=0))))
            if self._windows:
                maps = waiting[-1].last_maps
                positions += len(maps) * math.prod(self._windows.positions(maps[0]))
            if not self._windows or positions >= WINDOWS:
                yield self._finish(waiting)
                waiting, positions = [], 0
        if waiting:
            yield self._finish(waiting)

    def _convolutions(self, images: tf.Tensor) -> tuple[dict[tuple[str, str], np.ndarray], np.ndarray]:
        """The pooled values of convolutions and poolings, and the last maps; images with many pixels go in tiles."""
        found = []
        for tile in tiles(images, self._rules.batch * self._crop**2, self._halo):
            along = [tile.first, _TO_THE_END if tile.end is None else tile.end]
            whole = [0, _TO_THE_END]
            found.append(
                (tile.axis, *self._pool(tile.images, [*along, *whole] if tile.axis == 1 else [*whole, *along]))
            )
        axis = found[0][0]
        pooled = {}
        for place, name in enumerate(self._names):
            parts = [np.stack([of_tile[f"{name} {how}"].numpy() for _, of_tile, _, _ in found]) for how in POOLINGS]
            counts = [float(of_tile[place]) for _, _, of_tile, _ in found]
            pooled[name, "mean"] = np.average(parts[0].astype(np.float64), axis=0, weights=counts)
            pooled[name, "max"] = parts[1].max(axis=0)
        maps = [last_map.numpy() for *_, last_map in found]
        return pooled, np.concatenate(maps, axis=axis) if len(maps) > 1 else maps[0]

    def _finish(self, waiting: Sequence[_Batch]) -> Finished:
        """The rows of images whose last maps go through the FC layers together."""
        views = 1 + self._rules.flip
        fc = self._over_windows([one for batch in waiting for one in batch.last_maps]) if self._windows else {}
        finished, first = [], 0
        for batch in waiting:
            count = views * len(batch.ids)
            pooled = batch.pooled | {key: values[first : first + count] for key, values in fc.items()}
            row = np.concatenate([pooled[key] for key in self._columns], axis=1)
            finished.append(row.reshape(views, len(batch.ids), -1).mean(axis=0))  # over the image and its mirror image
            first += count
        ids, labels = (np.concatenate(parts) for parts in zip(*((one.ids, one.labels) for one in waiting), strict=True))
        return ids, labels, np.concatenate(finished)

    def _over_windows(self, maps: Sequence[np.ndarray]) -> dict[tuple[str, str], np.ndarray]:
        """The pooled values of the FC layers, (maps, units) float64 by layer and pooling."""
        shape = len(maps), self._windows.columns
        sums, counts, highest = np.zeros(shape), np.zeros((len(maps), 1)), np.full(shape, -np.inf)
        for owners, values in self._windows.over(maps):
            np.add.at(sums, owners, values.astype(np.float64))
            np.add.at(counts, owners, 1)
            np.maximum.at(highest, owners, values)
        found, start = {}, 0
        for layer in self._fc:
            part = slice(start, start + layer.units)
            found[layer.name, "mean"], found[layer.name, "max"] = sums[:, part] / counts, highest[:, part]
            start += layer.units
        return found


def _fc_layers(model: keras.Model, wanted: Sequence[Layer]) -> keras.Model:
    """Windows (n, k, k, channels) to the values of hidden FC layers after their ReLU, side by side, float32."""
    found = [keras.ops.cast(model.get_layer(f"{layer.name}_relu").output, "float32") for layer in wanted]
    outputs = keras.ops.concatenate(found, axis=-1) if len(found) > 1 else found[0]
    return keras.Model(model.get_layer(LAST_MAP).output, outputs, name="hidden_fc")


def combined(
    passes: Sequence[Descriptors], layer: str, pooling: str, how: str, folder: Path | None = None
) -> np.ndarray:
    """Descriptors of one layer from its values at each scale: stacked or averaged, then divided by their L2 norm.

    Args:
        passes: of one net and the same images, one for each scale.
        layer: one of theirs.
        pooling: mean or max.
        how: stack or average.
        folder: on whose disk they lie where they are too large for the memory.

    Returns:
        (images, units) float32, with `stack` (images, scales * units).
    """
    parts = []
    for one in passes:
        net = one.nets[0]
        parts.append((one.rows, columns_of(net.architecture, net.layers)[layer, pooling]))
    units = parts[0][1].stop - parts[0][1].start
    made = rows.zeros((len(passes[0].ids), units * (len(parts) if how == "stack" else 1)), folder)
    for place, block in rows.blocks(made):
        block[:] = joined([array[place, columns].astype(np.float64) for array, columns in parts], how)
        for array, _ in parts:
            rows.release(array)
    return made


def joined(values: Sequence[np.ndarray], how: str) -> np.ndarray:
    """The values of several scales, (images, units) each, stacked or averaged, in rows of L2 norm 1."""
    return unit_norm(np.concatenate(values, axis=1) if how == "stack" else np.mean(values, axis=0))


def unit_norm(values: np.ndarray) -> np.ndarray:
    """Rows divided by their L2 norm; a row of zeros stays."""
    norms = np.linalg.norm(values, axis=1, keepdims=True)
    return values / np.where(norms > 0, norms, 1)


def save(found: Descriptors, path: Path) -> None:
    """Writes features.npz: arrays that `numpy.load` reads without pickles, `ids` and `classes` as text."""
    words = json.dumps({"nets": list(map(to_dict, found.nets)), "seconds": found.seconds}).encode()
    arrays = {
        found.NAME: found.descriptors,
        "labels": found.labels,
        "ids": np.array(found.ids, np.str_),
        "classes": np.array(found.classes, np.str_),
        "fingerprints": found.fingerprints,
        "description": np.frombuffer(words, np.uint8),
    }
    image_rows.write_arrays(path, found.NAME, arrays)


def load(path: Path) -> Descriptors:
    """What `save` wrote.

    Raises:
        UserError: no such file, or another one.
    """

    def made(arrays):
        words = json.loads(arrays["description"].tobytes())
        return Descriptors(
            **{name: arrays[name] for name in ("descriptors", "labels", "fingerprints")},
            ids=tuple(arrays["ids"].tolist()),
            classes=tuple(arrays["classes"].tolist()),
            nets=tuple(from_json(DescribedNet, net) for net in words["nets"]),
            done=np.ones(len(arrays["labels"]), np.bool_),
            seconds=float(words["seconds"]),
        )

    return image_rows.read_arrays(path, Descriptors, made)


def described(net: DescribedNet) -> str:
    """The layer, pooling and scales of a net's descriptors in words."""
    scales = ", ".join(map(str, net.scales))
    how = f" {'stacked' if net.combine == 'stack' else 'averaged'}" if len(net.scales) > 1 else ""
    return f"{', '.join(net.layers)}, {net.pooling} over positions, Q={scales}{how}"

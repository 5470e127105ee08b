"""Writes the files of one format and compares each with the net, on validation images."""

import dataclasses
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from vgg_keras import provenance, stop
from vgg_keras.config import Config
from vgg_keras.data import pipeline
from vgg_keras.data.decoding import FILE_CHANNELS
from vgg_keras.data.errors import readable_images
from vgg_keras.data.headers import KINDS
from vgg_keras.data.multi_label import for_net
from vgg_keras.data.rescaling import center_crop
from vgg_keras.data.scan import readable
from vgg_keras.data.sources import open_source
from vgg_keras.data.splits import Source, Split, evenly
from vgg_keras.evaluation.protocols import Dense, mean_posteriors, require_few_pixels
from vgg_keras.exports import boxes, onnx, parity, saved_model, tflite
from vgg_keras.exports.parity import Parity, compare
from vgg_keras.files import replacing, write_json
from vgg_keras.log_filter import without_noise
from vgg_keras.plain_values import to_dict
from vgg_keras.progress import progress
from vgg_keras.weights.classes import require_classes
from vgg_keras.weights.formats.run_folder import LoadedModel

# What the files take; docs/export/ has a script for each format.
TAKES = {
    "saved_model": "serving_default, features: images (n, height, width, {channels}) uint8{colours}; "
    f"encoded: (n,) {KINDS} files",
    "tflite": "(1, {crop}, {crop}, {channels}){colours} in 0-255, float32 (int8's: uint8), {picture}",
    "onnx": "(n, {crop}, {crop}, {channels}){colours} in 0-255, float32, {picture}",
}
OUTPUTS = {
    False: "probabilities of the classes, which add up to 1",
    True: "the probability of each class by itself: an image has those of 1/2 or more",
}
PICTURE = "such as the middle of an image whose smaller side is rescaled to {scale}, {interpolation}, anti-aliased"


def export(net: LoadedModel, config: Config, form: str, out: Path) -> list[Parity]:
    """Writes a net in one format into the new folder `out`, compared with it on `export.images` validation images.

    Args:
        net: of `load_net`, in float32.
        config: its data are the images, its evaluation is the test inside a SavedModel.
        form: saved_model, tflite or onnx.
        out: must not exist.

    Returns:
        A `Parity` for each file.

    Raises:
        UserError: a difference above its limit, or a mistake in the data; `out` does not exist then.
    """
    with replacing(out) as folder:
        folder.mkdir()
        found, classes = write(net, config, form, folder)
        described = {
            "format": form,
            "model": str(net.path),
            "weights_sha256": net.weights_sha256,
            "architecture": to_dict(net.config.architecture),
            "classes": list(classes),
            "outputs": _gives(net, form),
            **_takes(net, config, form),
            "parity": [dataclasses.asdict(one) for one in found],
            "command": provenance.command(),
            "versions": provenance.versions(),
            "git_commit": provenance.git_commit(),
        }
        write_json(folder / "export.json", described)
        (folder / "labels.txt").write_text("".join(f"{name}\n" for name in classes), "utf-8")
    return found


def _gives(net: LoadedModel, form: str) -> str:
    """What the files give."""
    architecture = net.config.architecture
    return boxes.gives(architecture, form) if net.config.predicts_boxes else OUTPUTS[architecture.multi_label]


def _takes(net: LoadedModel, config: Config, form: str) -> dict[str, Any]:
    """What the files take, as text and as numbers: image files, or crops."""
    if form == "saved_model":
        limits = {"data.max_pixels": config.data.max_pixels, "evaluation.max_pixels": config.evaluation.max_pixels}
        of_boxes = net.config.predicts_boxes
        takes = (boxes.TAKES if of_boxes else TAKES[form]).format(**_named_channels(net))
        return {"takes": takes, "test_scales": list(config.test_scales[: 1 if of_boxes else None]), "limits": limits}
    return _takes_crops(net, config, form)


def _named_channels(net: LoadedModel) -> dict[str, Any]:
    channels = net.config.architecture.channels
    return {"channels": channels, "colours": {1: " grey", 3: " RGB", 4: " RGBA"}.get(channels, "")}


def _takes_crops(net: LoadedModel, config: Config, form: str) -> dict[str, Any]:
    named = _named_channels(net)
    crop, interpolation = net.config.architecture.crop, config.data.interpolation
    mode = FILE_CHANNELS.get(net.config.architecture.channels)
    picture = {"crop": crop, "scale": config.middle_scale, "interpolation": interpolation, "mode": mode}
    return {"takes": TAKES[form].format(crop=crop, picture=PICTURE.format(**picture), **named), "picture": picture}


@dataclasses.dataclass(frozen=True)
class Written:
    """The files of one format, and the net's answers on the images that both are run on.

    Attributes:
        paths: of each form.
        opened: a function of a path that returns a function of one image to probabilities.
        images: as that function takes them.
        labels: (n,), of a multi-label net (n, classes).
        probabilities: of the net, (n, classes).
        seconds: that the net takes for an image.
        outputs: what the answers mean.
    """

    paths: dict[str, Path]
    opened: Callable[[Path], Callable[[Any], np.ndarray]]
    images: Sequence[Any]
    labels: np.ndarray
    probabilities: np.ndarray
    seconds: float
    outputs: parity.Outputs = parity.PROBABILITIES


def write(net: LoadedModel, config: Config, form: str, folder: Path) -> tuple[list[Parity], tuple[str, ...]]:
    """Writes the files of a format into `folder` and compares each with the net.

    Args:
        net: in float32.
        config: data, test and limits.
        form: saved_model, tflite or onnx.
        folder: empty.

    Returns:
        A `Parity` for each file, and the names of the classes.

    Raises:
        UserError: a difference above its limit, or data of another number of classes.
    """
    source = open_source(config.data)
    require_classes(net, source.classes, source.name)
    train, val = _readable_images(source, config, form)
    val = for_net(val, net.config.architecture, source.name)
    net = net if net.classes else dataclasses.replace(net, classes=source.classes)
    chosen = val.select(evenly(val.size, config.export.images))
    with readable_images(chosen):
        if form == "saved_model":
            written = _write_saved_model(net, config, chosen, folder)
        else:
            written = _write_of_crops(net, config, form, chosen, train, folder)
    compared = written.images, written.probabilities, written.seconds, written.labels, config.export, written.outputs
    found = [compare(name, path, written.opened, *compared) for name, path in written.paths.items()]
    return found, net.classes


def _readable_images(source: Source, config: Config, form: str) -> tuple[Split, Split]:
    """The training images, which are scanned for int8's calibration alone, and the readable validation images."""
    train = readable(source.train, "train", config)[0] if form == "tflite" else source.train
    return train, readable(source.val, "val", config)[0]


def _write_saved_model(net: LoadedModel, config: Config, chosen: Split, folder: Path) -> Written:
    """The SavedModel, which takes image files and is compared with the dense test, or of boxes with that of the centre crop."""
    require_few_pixels(chosen, config.evaluation, config.test_scales)
    files, labels = zip(*(pipeline.encoded(chosen, image) for image in range(chosen.size)), strict=True)
    if net.config.predicts_boxes:
        with without_noise():
            boxes.write_saved_model(net, config, folder)
        expected, truth, seconds = boxes.of_centre_crops(net, config, chosen)
        outputs = boxes.BoxOutputs(config, of_crop=False)
        return Written({"saved_model": folder}, boxes.opened_saved_model, files, truth, expected, seconds, outputs)
    with without_noise():
        saved_model.write(net, config, folder)
    probabilities, seconds = _dense(net, config, chosen)
    return Written({"saved_model": folder}, saved_model.opened, files, np.array(labels), probabilities, seconds)


def _write_of_crops(net: LoadedModel, config: Config, form: str, chosen: Split, train: Split, folder: Path) -> Written:
    """The ONNX file, or the TFLite files of all variants, which take crops and are compared with the net on crops."""
    crops, labels = zip(*(_crop(chosen, image, config) for image in range(chosen.size)), strict=True)
    ended, outputs, of_boxes = _ended(net.model), parity.PROBABILITIES, net.config.predicts_boxes
    if of_boxes:
        ended, outputs = keras.Model(net.model.input, net.model.output), boxes.BoxOutputs(config)
        labels = boxes.targets(chosen, config)
    once = tf.function(lambda crop: ended(crop, training=False), jit_compile=False)
    probabilities, seconds = _timed([lambda crop=crop: once(crop[np.newaxis]).numpy() for crop in crops])
    if form == "onnx":
        paths, opened = {"onnx": folder / "model.onnx"}, onnx.opened
        with without_noise():
            onnx.write(ended, paths["onnx"], "boxes" if of_boxes else "probabilities")
    else:
        paths, opened = {name: folder / f"model_{name}.tflite" for name in tflite.VARIANTS}, tflite.opened
        for variant, path in paths.items():
            with without_noise():
                tflite.write(ended, variant, _representative(train, config), path, of_boxes)
            stop.raise_if_requested()
    return Written(paths, opened, crops, np.array(labels), probabilities, seconds, outputs)


def _ended(model: keras.Model) -> keras.Model:
    """A model of logits with a soft-max, or sigmoids, behind them."""
    stated = {"dtype": "float32", "name": "probabilities"}
    multi_label = model.architecture.multi_label
    last = keras.layers.Activation("sigmoid", **stated) if multi_label else keras.layers.Softmax(**stated)
    return keras.Model(model.input, last(model.output))


def _timed(calls: Sequence[Callable[[], np.ndarray]]) -> tuple[np.ndarray, float]:
    """The concatenated results of the calls, and the mean seconds of one."""
    calls[0]()  # not timed, because it traces
    began = time.perf_counter()
    rows = [call() for call in progress(calls, "the net")]
    return np.concatenate(rows), (time.perf_counter() - began) / len(calls)


def _dense(net: LoadedModel, config: Config, split: Split) -> tuple[np.ndarray, float]:
    """The posteriors of `evaluate`'s dense test, and its seconds for an image."""
    protocol = Dense(net.model, net.config.architecture, config.evaluation)
    passes, classes = [(protocol, side) for side in config.test_scales], net.config.architecture.num_classes
    for _ in protocol(split.select(np.arange(1)), config.data, config.test_scales[0]):
        pass  # not timed, because it traces
    began = time.perf_counter()
    posteriors = mean_posteriors(passes, split, config.data, classes, "the net")
    return posteriors, (time.perf_counter() - began) / split.size


def _crop(split: Split, image: int, config: Config) -> tuple[np.ndarray, int]:
    """The middle of an image at S, rounded to integers, which every format can take; and the image's label."""
    pixels, label = pipeline.picture(split, image)
    crop = center_crop(pixels, config.middle_scale, config.architecture.crop, config.data.interpolation)
    return np.round(crop.numpy()).astype(np.float32), label


def _representative(train: Split, config: Config) -> Iterator[np.ndarray]:
    chosen = evenly(train.size, config.export.representative_images).tolist()
    for image in progress(chosen, "int8's calibration"):
        yield _crop(train, image, config)[0][np.newaxis]

"""The files of one format, and each beside the net: the images are the validation's, in the order of its split."""

import dataclasses
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tqdm

from vgg_keras import provenance, stop
from vgg_keras.config import Config
from vgg_keras.data import pipeline
from vgg_keras.data.headers import KINDS
from vgg_keras.data.rescaling import center_crop
from vgg_keras.data.scan import without_bad_images
from vgg_keras.data.sources import open_source
from vgg_keras.data.splits import Split, evenly
from vgg_keras.evaluation.protocols import Dense, mean_posteriors, require_few_pixels
from vgg_keras.exports import onnx, saved_model, tflite
from vgg_keras.exports.parity import Parity, compare
from vgg_keras.files import replacing, write_json
from vgg_keras.log_filter import without_noise
from vgg_keras.plain_values import to_dict
from vgg_keras.weights.classes import require_classes
from vgg_keras.weights.formats.run_folder import LoadedModel

# What a user of the files must give them; docs/export/ has a script for each.
TAKES = {
    "saved_model": f"serving_default, features: images (n, height, width, 3) uint8 RGB; encoded: (n,) {KINDS} files",
    "tflite": "(1, {crop}, {crop}, 3) RGB in 0-255, float32 (int8's: uint8), {picture}",
    "onnx": "(n, {crop}, {crop}, 3) RGB in 0-255, float32, {picture}",
}
PICTURE = "such as the middle of a picture whose smaller side is rescaled to {scale}, {interpolation}, anti-aliased"


def export(net: LoadedModel, config: Config, form: str, out: Path) -> list[Parity]:
    """Writes a net in one format into the new folder `out`, compared with it on `export.images` validation images.

    Args:
        net: of `load_net`, in float32.
        config: its data are the images, its evaluation the test inside a SavedModel.
        form: saved_model, tflite or onnx.
        out: must not exist.

    Returns:
        A `Parity` for each file.

    Raises:
        UserError: a difference above its limit, or a mistake in the data; `out` is not there then.
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
            **_takes(net, config, form),
            "parity": [dataclasses.asdict(parity) for parity in found],
            "command": provenance.command(),
            "versions": provenance.versions(),
            "git_commit": provenance.git_commit(),
        }
        write_json(folder / "export.json", described)
        (folder / "labels.txt").write_text("".join(f"{name}\n" for name in classes), "utf-8")
    return found


def _takes(net: LoadedModel, config: Config, form: str) -> dict[str, Any]:
    """What the files must be given, in words and in numbers: whole pictures, or crops of pictures."""
    if form == "saved_model":
        limits = {"data.max_pixels": config.data.max_pixels, "evaluation.max_pixels": config.evaluation.max_pixels}
        return {"takes": TAKES[form], "test_scales": list(config.test_scales), "limits": limits}
    crop, interpolation = net.config.architecture.crop, config.data.interpolation
    picture = {"crop": crop, "scale": config.middle_scale, "interpolation": interpolation}
    return {"takes": TAKES[form].format(crop=crop, picture=PICTURE.format(**picture)), "picture": picture}


def write(net: LoadedModel, config: Config, form: str, folder: Path) -> tuple[list[Parity], tuple[str, ...]]:
    """Writes a format's files into `folder`, compares each with the net, and returns how they stand, and the classes' names.

    Args:
        net: in float32.
        config: data, test and limits.
        form: saved_model, tflite or onnx.
        folder: empty.

    Raises:
        UserError: a difference above its limit, or data of another number of classes.
    """
    source = open_source(config.data)
    require_classes(net, source.classes, source.name)
    source, _ = without_bad_images(source, config)
    net = net if net.classes else dataclasses.replace(net, classes=source.classes)
    chosen = source.val.select(evenly(source.val.size, config.export.images))
    count = chosen.size
    if form == "saved_model":  # which is compared with the dense test
        require_few_pixels(chosen, config.evaluation, config.test_scales)
    rules = config.export
    with pipeline.readable_images(chosen):
        files, labels = zip(*(pipeline.encoded(chosen, image) for image in range(count)), strict=True)
        labels = np.array(labels)
        if form == "saved_model":
            with without_noise():
                saved_model.write(net, config, folder)
            theirs, seconds = _dense(net, config, chosen)
            made, opened, images = {"saved_model": folder}, saved_model.opened, files
        else:
            crops = np.stack([_crop(chosen, image, config) for image in range(count)])
            ended = keras.Model(
                net.model.input, keras.layers.Softmax(dtype="float32", name="probabilities")(net.model.output)
            )
            once = tf.function(lambda crop: ended(crop, training=False), jit_compile=False)
            theirs, seconds = _timed([lambda crop=crop: once(crop[np.newaxis]).numpy() for crop in crops])
            images = crops
            if form == "onnx":
                made, opened = {"onnx": folder / "model.onnx"}, onnx.opened
                with without_noise():
                    onnx.write(ended, made["onnx"])
            else:
                made, opened = {name: folder / f"model_{name}.tflite" for name in tflite.VARIANTS}, tflite.opened
                for variant, path in made.items():
                    with without_noise():
                        tflite.write(ended, variant, _representative(source.train, config), path)
                    stop.raise_if_requested()
    found = [compare(name, path, opened, images, theirs, seconds, labels, rules) for name, path in made.items()]
    return found, net.classes


def _timed(calls) -> tuple[np.ndarray, float]:
    """What the calls return, one below the other, and the seconds that one takes once it is traced."""
    calls[0]()
    began = time.perf_counter()
    rows = [call() for call in tqdm.tqdm(calls, "the net", unit="image", disable=None)]
    return np.concatenate(rows), (time.perf_counter() - began) / len(calls)


def _dense(net: LoadedModel, config: Config, split: Split) -> tuple[np.ndarray, float]:
    """The posteriors of `evaluate`'s dense test, and the seconds an image takes in it."""
    protocol = Dense(net.model, net.config.architecture, config.evaluation)
    asked, classes = [(protocol, side) for side in config.test_scales], net.config.architecture.num_classes
    began = time.perf_counter()
    posteriors = mean_posteriors(asked, split, config.data, classes, "the net")
    return posteriors, (time.perf_counter() - began) / split.size


def _crop(split: Split, image: int, config: Config) -> np.ndarray:
    """The middle of an image at S, as whole numbers, which every format can take."""
    pixels, _ = pipeline.picture(split, image)
    crop = center_crop(pixels, config.middle_scale, config.architecture.crop, config.data.interpolation)
    return np.round(crop.numpy()).astype(np.float32)


def _representative(train: Split, config: Config):
    for image in evenly(train.size, config.export.representative_images).tolist():
        yield _crop(train, image, config)[np.newaxis]

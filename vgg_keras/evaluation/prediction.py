"""What a net says of photographs that have no label: the names of its most probable classes, by the test of 3.2."""

import math
import numbers
import os
import types
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf
from PIL import Image, ImageOps

from vgg_keras.config import Architecture, Config, Data, Evaluation
from vgg_keras.data.errors import readable_images
from vgg_keras.data.image_files import of_files
from vgg_keras.data.listing import files_below
from vgg_keras.data.pipeline import picture
from vgg_keras.data.scan import inspected
from vgg_keras.data.splits import Split
from vgg_keras.errors import UserError
from vgg_keras.evaluation import plots, protocols
from vgg_keras.paths import printable, user_path
from vgg_keras.weights.formats.run_folder import LoadedModel
from vgg_keras.weights.open_model import open_model

ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp")  # of the files in a folder that are taken for pictures
MOST_DRAWN = 250  # photographs in one picture, 242 pixels each: Matplotlib draws 65,535 pixels at most
POSTERIORS_BYTES = 2**28  # of the posteriors that are held at once, float64
_RULE = "Photographs are a path, an array (height, width, 3) of uint8, a picture of Pillow, or a list of these."


@dataclass(frozen=True)
class Prediction:
    """The most probable classes of one photograph, the first one first, with their probabilities."""

    path: str
    classes: tuple[str, ...]
    probabilities: tuple[float, ...]


def predict_images(
    net: LoadedModel | keras.Model | str | os.PathLike,
    images: Any,
    *,
    config: Config | None = None,
    classes: Sequence[str] = (),
    top: int = 5,
) -> list[Prediction]:
    """The most probable classes of photographs, by the dense test with mirror images or as `config.evaluation` says.

    Args:
        net: a run's folder or another source of `vgg_keras.load_net`, what that returns, or a model of `vgg_keras.build`.
        images: one or several of these, several in a list or any other iterable:
            a path of a JPEG, PNG, BMP, GIF or WebP file;
            a path of a folder, whose pictures are taken in the order of their names;
            an array (height, width, 3) of uint8, RGB; a batch (n, height, width, 3) is n images;
            a picture of Pillow with 8 bits a channel.
        config: its `evaluation` is followed, and of `data` the interpolation, `exif_orientation` and `max_pixels`; None: the
            run's, or the paper's for a model.
        classes: names in the order of the logits; by default the run's, or numbers.
        top: how many classes of each.

    Returns:
        One prediction for each photograph, in order; the path of an array or of a picture of Pillow is `image 0` and so on.

    Raises:
        UserError: no such net, a path that is none, or a file that is no picture: all of them are named and nothing is
            predicted.

    Example:
        vgg_keras.predict_images("runs/E", "photo.jpg")[0].classes
    """
    if isinstance(top, bool) or not isinstance(top, numbers.Integral) or top < 1:
        raise UserError(f"top must be a whole number, 1 or more. Received: {top!r}.")
    net = open_model(net)
    model, architecture = net.model, net.config.architecture
    config, classes = _config_of(net, config), _names_of(net, classes)
    found = listed(images, config.data.exif_orientation)
    scanned = [(places, *inspected(split, config.data)) for places, split in splits_of(found)]
    if bad := [str(one) for _, _, of_split in scanned for one in of_split]:
        raise UserError(f"Photographs must be pictures. Received: {'; '.join(bad)}.")
    for _, split, _ in scanned:
        protocols.require_few_pixels(split, config.evaluation, config.test_scales)

    asked = [
        (_protocol(part, model, architecture, config.evaluation), side)
        for part in protocols.parts(config.evaluation.protocol)
        for side in config.test_scales
    ]
    predictions = {}
    for places, split, _ in scanned:
        # in parts, for of many photographs and classes the posteriors alone would fill the memory
        parts = max(1, math.ceil(8 * split.size * architecture.num_classes / POSTERIORS_BYTES))
        for part in np.array_split(np.arange(split.size), parts):
            chosen = split.select(part)
            with readable_images(chosen):
                posteriors = protocols.mean_posteriors(
                    asked, chosen, config.data, architecture.num_classes, "predicting"
                )
            best = np.argsort(-posteriors, axis=1, kind="stable")[:, :top]
            for image, row, order in zip(part, posteriors, best, strict=True):
                place = places[image]
                names = tuple(classes[one] for one in order)
                predictions[place] = Prediction(found[place].name, names, tuple(row[order].tolist()))
    return [predictions[place] for place in range(len(found))]


def require_drawable(paths: Sequence[str | Path]) -> None:
    """Refuses more photographs than `draw` has room for.

    Raises:
        UserError: there are more, or a path is none.
    """
    if (count := len(listed(paths, upright=False))) > MOST_DRAWN:
        raise UserError(f"--out draws {MOST_DRAWN} photographs or fewer. Received: {count:,}. --json lists any number.")


def draw(predictions: Sequence[Prediction], data: Data, path: Path) -> None:
    """Draws each photograph, as the net was shown it, with its classes as bars beside it."""

    split, _ = inspected(of_files([prediction.path for prediction in predictions]), data)
    size = (8, 2.2 * len(predictions) + 0.3)
    figure, axes = plots.pyplot().subplots(
        len(predictions), 2, figsize=size, layout="constrained", squeeze=False, width_ratios=(1, 1.4)
    )
    for image, (prediction, (left, right)) in enumerate(zip(predictions, axes, strict=True)):
        pixels, _ = picture(split, image)
        left.imshow(pixels.numpy()[:: max(1, pixels.shape[0] // 500), :: max(1, pixels.shape[1] // 500)])
        left.set_axis_off()
        left.set_title(printable(Path(prediction.path).name), fontsize=8, parse_math=False)
        places = range(len(prediction.classes))
        bars = right.barh(places, prediction.probabilities, color="tab:blue")
        right.bar_label(bars, [f"{share:.1%}" for share in prediction.probabilities], padding=3, fontsize=8)
        right.set_yticks(places, prediction.classes, fontsize=8, parse_math=False)
        right.set_xlim(0, 1.15)
        right.invert_yaxis()
        right.xaxis.set_visible(False)
        right.spines[["top", "right", "bottom"]].set_visible(False)
    plots.save(figure, path)


def _config_of(net: LoadedModel, config: Config | None) -> Config:
    """How a net is run: as `config` says, or its own configuration."""
    config = net.config if config is None else config
    if not isinstance(config, Config):
        raise UserError(f"config must be a vgg_keras.config.Config. Received: {_shown(config)}.")
    crop = net.config.architecture.crop
    if min(config.test_scales) < crop:
        raise UserError(
            f"A test's Q must be the net's crop of {crop} or more. Received: a config with {config.test_scales}."
        )
    return config


def _names_of(net: LoadedModel, classes: Sequence[str]) -> tuple[str, ...]:
    """The names of a net's classes: `classes`, else its own, else numbers."""
    count = net.config.architecture.num_classes
    text = isinstance(classes, str) and len(classes) != count
    if text or not isinstance(classes, Iterable) or isinstance(classes, Mapping | Set | bytes):
        raise UserError(f"classes must be a list of names. Received: {_shown(classes)}.")
    classes = tuple(map(str, classes)) or net.classes or tuple(map(str, range(count)))
    if len(classes) != count:
        raise UserError(f"Each of the net's {count} classes has a name. Received: {len(classes)} names.")
    return classes


def _protocol(part: str, model: keras.Model, architecture: Architecture, rules: Evaluation) -> Any:
    """`protocols.of`, once for each model: a notebook predicts picture by picture, and tracing takes longer than that."""
    return kept(model, (part, architecture, rules), lambda: protocols.of(part, model, architecture, rules))


def kept(model: keras.Model, key: Any, made: Callable[[], Any]) -> Any:
    """What `made` makes of a model's own layers, kept as long as the model."""
    # in an object of no kind that Keras would track or save with the model
    kept = vars(model).setdefault("_kept_by_vgg_keras", types.SimpleNamespace(values={})).values
    if key not in kept:
        kept[key] = made()
    return kept[key]


class Photograph(NamedTuple):
    """A photograph: the path of its file, or what messages call it, and then its pixels as a PNG file."""

    name: str
    encoded: bytes | None = None


def listed(images: Any, upright: bool) -> list[Photograph]:
    """The photographs in order; `upright` turns Pillow's by their EXIF orientation."""
    found: list[Photograph] = []
    for one in _each(images):
        if isinstance(one, str | os.PathLike):
            found += map(Photograph, _files(Path(one)))
        else:
            found.append(Photograph(f"image {len(found)}", _png(_pixels(one, upright))))
    if not found:
        raise UserError("Photographs or folders of them are needed. Received: none.")
    return found


def _each(images: Any) -> Iterator[Any]:
    """The paths, arrays and pictures one by one, whether one is given or several."""
    if isinstance(images, str | os.PathLike | Image.Image):
        yield images
    elif hasattr(images, "__array__") and np.asarray(images).dtype.kind not in "OU":
        array = np.asarray(images)
        yield from array if array.ndim == 4 else [array]
    elif isinstance(images, Iterable) and not isinstance(images, bytes | bytearray | memoryview | Mapping):
        for one in images:
            if not isinstance(one, str | os.PathLike | Image.Image) and not hasattr(one, "__array__"):
                raise UserError(f"{_RULE} Received: {_shown(one)} among them.")
            yield one
    else:
        raise UserError(f"{_RULE} Received: {_shown(images)}.")


def _pixels(image: Any, upright: bool) -> np.ndarray:
    """An array or a picture of Pillow as (height, width, 3) uint8."""
    if isinstance(image, Image.Image):
        if image.mode not in ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr"):
            raise UserError(f"A picture of Pillow has 8 bits a channel. Received: one of mode {image.mode!r}.")
        return np.asarray((ImageOps.exif_transpose(image) if upright else image).convert("RGB"))
    array = np.asarray(image)
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3 or not array.size:
        raise UserError(
            "An array of an image is (height, width, 3) of uint8, RGB in 0-255. "
            f"Received: shape {array.shape} of {array.dtype}."
        )
    return array


def _png(pixels: np.ndarray) -> bytes:
    return tf.io.encode_png(pixels, compression=1).numpy()  # what is read again at once need not be small


def splits_of(found: Sequence[Photograph]) -> Iterator[tuple[list[int], Split]]:
    """The photographs in files and those in memory, each with their places in the order."""
    files = [place for place, image in enumerate(found) if image.encoded is None]
    held = [place for place, image in enumerate(found) if image.encoded is not None]
    if files:
        yield files, of_files([found[place].name for place in files])
    if held:
        encoded = tf.constant([found[place].encoded for place in held])
        yield (
            held,
            Split(
                size=len(held),
                read=lambda image: (tf.gather(encoded, image), tf.constant(0, tf.int32)),
                name=lambda image: found[held[image]].name,
            ),
        )


def _files(path: Path) -> list[str]:
    """The file itself, or the pictures of a folder."""
    path = user_path(path)
    if not path.exists():
        raise UserError(f"Photographs must exist. Received: {path}, which does not.")
    if not path.is_dir():
        return [str(path)]
    inside = [file for file in files_below(path) if Path(file).suffix.lower() in ENDINGS and Path(file).is_file()]
    if not inside:
        raise UserError(f"A folder to predict holds pictures. Received: {path}, without any {', '.join(ENDINGS)}.")
    return inside


def _shown(value: Any) -> str:
    """A value for a message: its type, and its beginning where that is short."""
    kind, text = type(value).__name__, " ".join(repr(value).split())
    return text if value is None else f"{kind} {text[:40]}"

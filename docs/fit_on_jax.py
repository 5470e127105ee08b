"""Trains a configuration with Keras's `fit` on JAX, where a GPU has JAX and no TensorFlow.

KERAS_BACKEND=jax python docs/fit_on_jax.py --config=cifar10_bn --data=cifar10/ --out=results

--data is a folder of train/CLASS and val/CLASS, whose images are held in memory. Net, start, optimizer, rates and augmentation
are those of `python -m vgg_keras.train` with the same configuration. Random numbers differ. An incomplete last batch is left out.
Photographs are rescaled as with data.jpeg_decoding=full. The centre crops of val/ are tested after the last epoch.
--init_from takes an earlier --out, of net A or of the same net, from whose net this one starts as in `train` (3.1).

Writes metrics.jsonl, a line for each epoch, model.weights.h5, posteriors.npz and result.json into --out.
"""

import dataclasses
import json
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import keras
import numpy as np
from absl import flags

from vgg_keras import cli
from vgg_keras.config import Architecture, Config, Training
from vgg_keras.errors import UserError
from vgg_keras.nets.builder import build
from vgg_keras.plain_values import from_dict
from vgg_keras.training.optimizer import build_optimizer
from vgg_keras.weights.classes import difference_of_classes
from vgg_keras.weights.initialize import FROM_A, require_family

FLAGS = flags.FLAGS
cli.define("config", "data", "set", "out")
flags.DEFINE_string(
    "init_from", None, "An earlier --out, of net A or of the same net, from whose net this one starts (3.1)."
)
FOLLOWED = {  # the fields of `training` that this script reads; `stage` names a run, the others decide no rate of a cosine
    *("optimizer", "learning_rate", "momentum", "nesterov", "weight_decay", "l2", "epochs", "schedule", "warmup_steps"),
    *("stage", "kept_net", "validation_epochs", "plateau_metric", "plateau_patience", "plateau_factor"),
    *("plateau_divisions", "plateau_ends", "step_epochs", "step_factor"),
}
TESTED = 500  # images at once


def main() -> None:
    config = cli.configuration()
    cli.require("data", "out", rule="--data=FOLDER holds the images, --out=FOLDER takes the results.")
    require_fitting(config)
    out = Path(FLAGS.out)
    start = start_of(Path(FLAGS.init_from), config.architecture, out) if FLAGS.init_from else None
    if keras.backend.backend() != "jax":
        raise UserError(f"This script trains on JAX. Received: {keras.backend.backend()}. Set KERAS_BACKEND=jax.")
    result = fit(config, Path(FLAGS.data), out, start)
    print(f"{result['net']}: top-1 error {result['top1_error']:.2f} % of {result['test_images']:,} images")


def require_fitting(config: Config) -> None:
    """Refuses what this script does not do."""
    training, default = config.training, Training()
    others = [name for name in vars(training) if name not in FOLLOWED and vars(training)[name] != vars(default)[name]]
    if others or config.stages:
        received = f"training.{others[0]}={vars(training)[others[0]]}" if others else "stages"
        raise UserError(f"This script trains once, by these fields only. Received: {received}. Use vgg_keras.train.")
    if config.data.interpolation != "bilinear":
        raise UserError(f"This script rescales bilinearly. Received: data.interpolation={config.data.interpolation}.")
    if training.schedule != "cosine" or training.kept_net != "last":
        raise UserError(
            "This script trains with training.schedule=cosine and training.kept_net=last. Received: "
            f"{training.schedule} and {training.kept_net}. Try --config=cifar10_bn."
        )
    if len(scales := config.data.scale_for(config.architecture.crop)) > 1:
        raise UserError(
            f"This script trains at one S. Received: data.scale={scales}. Try --set=data.scale={scales[0]}."
        )


@dataclasses.dataclass(frozen=True)
class Start:
    """The net of an earlier --out: its folder, its configuration and its classes."""

    folder: Path
    config: Config
    classes: list[str]


def start_of(folder: Path, architecture: Architecture, out: Path) -> Start:
    """The start in a folder; refuses what 3.1's rule does not allow."""
    rule = "--init_from takes an earlier --out of this script. Received:"
    if folder.resolve() == out.resolve():
        raise UserError(f"{rule} {folder}, which is --out too. Name another --out.")
    try:
        stored = json.loads((folder / "result.json").read_text())
        found = Start(folder, from_dict(Config, stored["config"]), stored["classes"])
    except FileNotFoundError:
        raise UserError(f"{rule} {folder} without result.json.") from None
    except (ValueError, KeyError, TypeError):
        raise UserError(f"{rule} {folder}, whose result.json is damaged or an older version's.") from None
    require_family(found.config.architecture, architecture, folder)
    return found


def fit(config: Config, folder: Path, out: Path, start: Start | None) -> dict:
    """Trains and tests a net, and returns the results. `start`: None: random weights."""
    training = config.training
    (side,) = config.data.scale_for(config.architecture.crop)
    classes = class_names(folder / "train")
    if start and (differ := difference_of_classes(start.classes, len(start.classes), classes)):
        raise UserError(
            f"A net starts from one of the same classes (3.1). Received: {start.folder} for {folder}{differ}"
        )
    images, labels = read(folder / "train", classes, side, config.data.exif_orientation)
    test_images, test_labels = read(folder / "val", classes, side, config.data.exif_orientation)
    if len(images) < config.data.batch:
        raise UserError(f"A batch takes {config.data.batch} images. Received: {len(images)}. Set data.batch.")
    batches = Batches(images, labels, config)
    model = compiled(config, len(classes), mean_color(images), len(batches))
    if start:
        copy_layers(start, model)
    out.mkdir(parents=True, exist_ok=True)
    records = Records(out / "metrics.jsonl", training.epochs)
    model.fit(batches, epochs=training.epochs, shuffle=False, verbose=0, callbacks=[records])

    model.save_weights(out / "model.weights.h5")
    posteriors = model_posteriors(model, centre_crops(test_images, config.architecture.crop))
    np.savez_compressed(out / "posteriors.npz", probabilities=posteriors, labels=test_labels)
    seen = slice(None, None, max(1, len(images) // 10000))
    result = {
        "config": dataclasses.asdict(config),
        "net": config.architecture.name,
        "classes": classes,
        "init_from": str(start.folder) if start else None,
        "updates": len(batches) * training.epochs,
        "last_epoch": records.lines[-1],
        "training_images": len(images),
        "training_error_without_augmentation": error(
            model_posteriors(model, centre_crops(images[seen], config.architecture.crop)), labels[seen]
        ),
        "test_images": len(test_labels),
        "top1_error": error(posteriors, test_labels),
        "precision": precision(config),
        "device": device().device_kind,
    }
    (out / "result.json").write_text(json.dumps(result, indent=1))
    return result


def compiled(config: Config, classes: int, mean: tuple[float, ...], steps: int) -> keras.Model:
    """The net with its optimizer, whose rate follows the configuration's schedule over `steps` updates per epoch."""
    architecture: Architecture = config.architecture.resolved(classes, mean)
    model = build(architecture, dtype=precision(config), seed=config.seed)
    optimizer = build_optimizer(config.training, {})
    optimizer.learning_rate = Rate(config.training, steps * config.training.epochs)
    model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    return model


def copy_layers(start: Start, model: keras.Model) -> None:
    """3.1's start: net A's first four convolutions and its FC layers, with their batch norm, or all of the same net."""
    net = build(start.config.architecture.resolved(len(start.classes), (0.0,) * 3))
    net.load_weights(start.folder / "model.weights.h5")
    whole = net.name == model.name
    for layer in net.layers:
        if layer.weights and (whole or layer.name.removesuffix("_bn") in FROM_A):
            model.get_layer(layer.name).set_weights(layer.get_weights())


class Rate(keras.optimizers.schedules.LearningRateSchedule):
    """As `training.schedule.rate_of_step`: a warm-up, then half a cosine to 0."""

    def __init__(self, training: Training, steps: int):
        self.training, self.steps = training, steps

    def __call__(self, step):
        rate, warmup = self.training.learning_rate, self.training.warmup_steps
        step = keras.ops.cast(step, "float32")
        falling = (1 + keras.ops.cos(np.float32(np.pi) * (step - warmup) / (self.steps - warmup))) / 2
        return rate * keras.ops.where(step < warmup, (step + 1) / max(warmup, 1), falling)


class Batches(keras.utils.PyDataset):
    """Augmented batches, each epoch in an order of its own.

    Keras's own workers serve the last batches of one epoch in the next one. So this has one, and makes batches ahead.
    """

    AHEAD = 16

    def __init__(self, images: Sequence[np.ndarray], labels: np.ndarray, config: Config):
        super().__init__(workers=1)
        self.images, self.labels, self.config, self.epoch = images, labels, config, 0
        self.basis = color_basis(images) if config.data.color_shift else np.zeros((3, 3))
        self.threads, self.made, self.parts = ThreadPoolExecutor(4), dict[int, Future](), None

    def __len__(self):
        return len(self.images) // self.config.data.batch

    def __getitem__(self, step):
        if self.parts is None:
            order = np.random.default_rng((self.config.seed, self.epoch)).permutation(len(self.images))
            self.parts = order[: len(self) * self.config.data.batch].reshape(len(self), -1)
        for ahead in range(step, min(step + self.AHEAD, len(self))):
            if ahead not in self.made:
                self.made[ahead] = self.threads.submit(self._batch, self.epoch, ahead, self.parts[ahead])
        return self.made.pop(step).result()

    def on_epoch_end(self):
        self.epoch, self.made, self.parts = self.epoch + 1, {}, None

    def _batch(self, epoch: int, step: int, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        generator = np.random.default_rng((self.config.seed, epoch, step))
        images = [self.images[number] for number in chosen]
        return augmented(images, generator, self.config, self.basis), self.labels[chosen]


def augmented(
    images: Sequence[np.ndarray], generator: np.random.Generator, config: Config, basis: np.ndarray
) -> np.ndarray:
    """3.1's augmentation of images at S: padded, cropped, half of them flipped, colours shifted; (n, crop, crop, 3) float32."""
    crop, pad = config.architecture.crop, config.data.pad
    crops = np.empty((len(images), crop, crop, 3), np.float32)
    places = generator.random((len(images), 2))
    flipped = generator.random(len(images)) < (0.5 if config.data.flip else 0)
    for image, place, flip, found in zip(images, places, flipped, crops, strict=True):
        image = padded(image, pad)
        top, left = (int(part * (side - crop + 1)) for part, side in zip(place, image.shape[:2], strict=True))
        window = image[top : top + crop, left : left + crop]
        found[:] = window[:, ::-1] if flip else window
    if config.data.color_shift:
        shift = config.data.color_shift * generator.normal(size=(len(images), 3)) @ basis.T
        crops += shift[:, np.newaxis, np.newaxis].astype(np.float32)
    return crops


def padded(image: np.ndarray, pad: int) -> np.ndarray:
    """An image with `pad` black pixels on each side."""
    if not pad:
        return image
    height, width, channels = image.shape  # np.pad takes over ten times as long
    framed = np.zeros((height + 2 * pad, width + 2 * pad, channels), image.dtype)
    framed[pad:-pad, pad:-pad] = image
    return framed


def mean_color(images: Sequence[np.ndarray]) -> tuple[float, ...]:
    """The mean of the images' mean colours. As `Statistics.mean`."""
    return tuple(np.mean([image.mean(axis=(0, 1)) for image in images], axis=0).tolist())


def color_basis(images: Sequence[np.ndarray]) -> np.ndarray:
    """(3, 3): times three normal numbers it is 3.1's shift of the colours. As `Statistics.color_basis`."""
    within, means = np.zeros((3, 3)), []
    for image in images:  # one by one: all of them in float64 are eight times their memory
        pixels = image.reshape(-1, 3) / 255
        within += np.cov(pixels.T, bias=True)
        means.append(pixels.mean(axis=0))
    eigenvalues, eigenvectors = np.linalg.eigh(within / len(images) + np.cov(np.transpose(means), bias=True))
    return (255 * eigenvectors * eigenvalues).astype(np.float32)


class Records(keras.callbacks.Callback):
    """A line of metrics.jsonl and of the terminal for each epoch."""

    def __init__(self, path: Path, epochs: int):
        super().__init__()
        self.path, self.epochs, self.lines, self.begun = path, epochs, list[dict](), time.perf_counter()
        path.unlink(missing_ok=True)

    def on_epoch_end(self, epoch, logs=None):
        seconds = time.perf_counter() - self.begun
        line = {"epoch": epoch + 1, "loss": logs["loss"], "error": 100 * (1 - logs["accuracy"]), "seconds": seconds}
        self.lines.append(line)
        with open(self.path, "a") as file:
            file.write(json.dumps(line) + "\n")
        left = seconds / (epoch + 1) * (self.epochs - epoch - 1)
        print(
            f"epoch {epoch + 1}/{self.epochs}  loss {line['loss']:.4f}  top-1 error {line['error']:.2f} %  "
            f"{seconds:.0f} s, {left:.0f} s left",
            flush=True,
        )


def class_names(folder: Path) -> list[str]:
    """The class folders of a split."""
    found = sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    if not found:
        raise UserError(f"--data holds train/CLASS and val/CLASS. Received: {folder} without a class.")
    return found


def read(folder: Path, classes: Sequence[str], side: int, turned: bool = True) -> tuple[list[np.ndarray], np.ndarray]:
    """The images of a split, their smaller side rescaled to `side`, and the numbers of their classes.

    Args:
        folder: of the split.
        classes: of the net, in label order.
        side: S.
        turned: as their EXIF data say.

    Returns:
        n images, each (height, width, 3) uint8; (n,) int32.
    """
    if others := set(class_names(folder)) - set(classes):
        raise UserError(f"The classes are those of train/. Received: {folder / min(others)}, which is not among them.")
    files = [
        (path, number)
        for number, name in enumerate(classes)
        for path in sorted((folder / name).glob("*"))
        if path.is_file()
    ]
    with ThreadPoolExecutor() as threads:
        images = list(threads.map(lambda path: pixels(path, side, turned), [path for path, _ in files]))
    return images, np.array([number for _, number in files], np.int32)


def pixels(path: Path, side: int, turned: bool) -> np.ndarray:
    """The pixels of an image whose smaller side is rescaled to `side`, (height, width, 3) uint8."""
    from PIL import Image, ImageOps

    with Image.open(path) as opened:
        image = ImageOps.exif_transpose(opened) if turned else opened
        if image.mode.startswith("I"):  # grey of 16 bits, which Pillow would cut off at 255
            image = Image.fromarray((np.asarray(image) // 256).astype(np.uint8))
        smaller = min(image.size)
        width, height = (round(of * side / smaller) for of in image.size)
        return np.asarray(image.convert("RGB").resize((width, height), Image.Resampling.BILINEAR))


def centre_crops(images: Sequence[np.ndarray], crop: int) -> np.ndarray:
    """(n, crop, crop, 3) uint8."""
    corners = [tuple((side - crop) // 2 for side in image.shape[:2]) for image in images]
    return np.stack([image[y : y + crop, x : x + crop] for image, (y, x) in zip(images, corners, strict=True)])


def model_posteriors(model: keras.Model, crops: np.ndarray) -> np.ndarray:
    """The soft-max of a net's logits, (n, classes) float32."""
    logits = model.predict(crops, batch_size=TESTED, verbose=0)
    return np.asarray(keras.ops.softmax(logits))


def error(posteriors: np.ndarray, labels: np.ndarray) -> float:
    """Top-1 error in percent."""
    return 100 * float((posteriors.argmax(axis=1) != labels).mean())


def precision(config: Config) -> str:
    """The dtype policy: `runtime.precision`, or bf16 on a GPU."""
    chosen = config.runtime.precision
    return chosen if chosen != "auto" else "mixed_bfloat16" if device().platform == "gpu" else "float32"


def device():
    """JAX's first device."""
    import jax

    return jax.devices()[0]


if __name__ == "__main__":
    cli.run(main, any_backend=True)

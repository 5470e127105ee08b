"""Trains a configuration on small square images with Keras's `fit` on JAX, where a GPU has JAX and no TensorFlow.

KERAS_BACKEND=jax python docs/fit_on_jax.py --config=cifar10_bn --data=cifar10/ --out=results

--data is a folder of train/CLASS and val/CLASS whose images are square; they are held in memory. Net, start, optimizer, rates and
augmentation are those of `python -m vgg_keras.train` with the same configuration. The random numbers are others, and each epoch
leaves out the images that fill no batch. The images of val/ are tested once, after the last epoch.

Writes metrics.jsonl, a line for each epoch, result.json and posteriors.npz into --out.
"""

import dataclasses
import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from absl import flags

from vgg_keras import cli
from vgg_keras.config import Config, Training
from vgg_keras.errors import UserError

FLAGS = flags.FLAGS
cli.define("config", "data", "set", "out")


def read(folder: Path, side: int) -> tuple[np.ndarray, np.ndarray]:
    """The images of class folders, rescaled to (side, side), and the numbers of their classes: (n, side, side, 3) and (n,)."""
    from PIL import Image

    classes = sorted(path for path in folder.iterdir() if path.is_dir())
    files = [(path, number) for number, name in enumerate(classes) for path in sorted(name.iterdir())]

    def pixels(path: Path) -> np.ndarray:
        with Image.open(path) as image:
            return np.asarray(image.convert("RGB").resize((side, side), Image.Resampling.BILINEAR))

    with ThreadPoolExecutor() as threads:
        images = np.stack(list(threads.map(pixels, [path for path, _ in files])))
    return images, np.array([number for _, number in files], np.int32)


def color_basis(images: np.ndarray) -> np.ndarray:
    """(3, 3): times three normal numbers it is 3.1's shift of the colours. As `Statistics.color_basis`."""
    eigenvalues, eigenvectors = np.linalg.eigh(np.cov(images.reshape(-1, 3).T / 255))
    return (255 * eigenvectors * eigenvalues).astype(np.float32)


def augmented(images, generator: np.random.Generator, config: Config, basis: np.ndarray) -> np.ndarray:
    """3.1's augmentation of images at S: padded, cropped, half of them flipped, colours shifted; (n, crop, crop, 3) float32."""
    crop, pad = config.architecture.crop, config.data.pad
    padded = np.pad(images, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    crops = np.empty((len(images), crop, crop, 3), np.float32)
    corners = generator.integers(padded.shape[1] - crop + 1, size=(len(images), 2))
    flipped = generator.random(len(images)) < (0.5 if config.data.flip else 0)
    for image, (top, left), flip, found in zip(padded, corners, flipped, crops, strict=True):
        window = image[top : top + crop, left : left + crop]
        found[:] = window[:, ::-1] if flip else window
    if config.data.color_shift:
        shift = config.data.color_shift * generator.normal(size=(len(images), 3)) @ basis.T
        crops += shift[:, np.newaxis, np.newaxis].astype(np.float32)
    return crops


def require_fitting(config: Config) -> None:
    """Refuses what this script does not do."""
    training = config.training
    if (
        training.schedule != "cosine"
        or training.kept_net != "last"
        or len(config.data.scale_for(config.architecture.crop)) > 1
    ):
        raise UserError(
            "This script trains with training.schedule=cosine, training.kept_net=last and one S. Received: "
            f"{training.schedule}, {training.kept_net} and S={config.data.scale}. Try --config=cifar10_bn."
        )


def fit(config: Config, folder: Path, out: Path) -> dict:
    """Trains and tests a net, and returns the results."""
    import jax
    import keras

    from vgg_keras.nets.builder import build
    from vgg_keras.training.optimizer import build_optimizer

    require_fitting(config)
    training, data, crop = config.training, config.data, config.architecture.crop
    (side,) = data.scale_for(crop)
    images, labels = read(folder / "train", side)
    basis, steps = color_basis(images), len(images) // data.batch
    mean = tuple(images.mean(axis=(0, 1, 2), dtype=np.float64).tolist())
    architecture = config.architecture.resolved(int(labels.max()) + 1, mean)

    class Batches(keras.utils.PyDataset):
        """The augmented batches of each epoch in turn, in an order of its own."""

        epoch, order = -1, None

        def __len__(self):
            return steps

        def __getitem__(self, step):
            chosen = self.order[step * data.batch : (step + 1) * data.batch]
            generator = np.random.default_rng((config.seed, self.epoch, step))
            return augmented(images[chosen], generator, config, basis), labels[chosen]

        def on_epoch_begin(self):
            self.epoch += 1
            self.order = np.random.default_rng((config.seed, self.epoch)).permutation(len(images))

    @keras.saving.register_keras_serializable(package="vgg_keras_docs")
    class Rate(keras.optimizers.schedules.LearningRateSchedule):
        """As `training.schedule.rate_of_step`: a warm-up, then half a cosine to 0."""

        def __call__(self, step):
            return rate_of_step(keras.ops, training, keras.ops.cast(step, "float32"), steps * training.epochs)

    model = build(architecture, dtype=precision(config), seed=config.seed)
    optimizer = build_optimizer(training, {})
    optimizer.learning_rate = Rate()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss, metrics=["accuracy"])
    begun, lines = time.perf_counter(), []

    def record(epoch, logs):
        seconds = time.perf_counter() - begun
        line = {"epoch": epoch + 1, "loss": logs["loss"], "error": 100 * (1 - logs["accuracy"]), "seconds": seconds}
        lines.append(line)
        with open(out / "metrics.jsonl", "a") as file:
            file.write(json.dumps(line) + "\n")
        left = seconds / (epoch + 1) * (training.epochs - epoch - 1)
        print(
            f"epoch {epoch + 1}/{training.epochs}  loss {line['loss']:.4f}  top-1 error {line['error']:.2f} %  "
            f"{seconds:.0f} s, {left:.0f} s left",
            flush=True,
        )

    out.mkdir(parents=True, exist_ok=True)
    (out / "metrics.jsonl").unlink(missing_ok=True)
    model.fit(
        Batches(workers=4, max_queue_size=32),
        epochs=training.epochs,
        shuffle=False,
        verbose=0,
        callbacks=[keras.callbacks.LambdaCallback(on_epoch_end=record)],
    )
    seconds = time.perf_counter() - begun
    images, labels = read(folder / "val", side)
    start = (side - crop) // 2
    logits = model.predict(images[:, start : start + crop, start : start + crop], batch_size=500, verbose=0)
    wrong = logits.argmax(axis=1) != labels
    probabilities = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    np.savez_compressed(out / "posteriors.npz", probabilities=probabilities.astype(np.float32), labels=labels)
    result = {
        "config": dataclasses.asdict(config),
        "net": architecture.name,
        "epochs": training.epochs,
        "updates": steps * training.epochs,
        "training_images": steps * data.batch,
        "seconds": seconds,
        "last_epoch": lines[-1],
        "test_images": len(labels),
        "top1_error": 100 * float(wrong.mean()),
        "precision": precision(config),
        "device": jax.devices()[0].device_kind,
    }
    (out / "result.json").write_text(json.dumps(result, indent=1))
    return result


def rate_of_step(ops, training: Training, step, steps: int):
    """The rate of an update, with the operations of NumPy or of Keras."""
    warmup = training.warmup_steps
    done = (step - warmup) / (steps - warmup)
    falling = (1 + ops.cos(np.float32(np.pi) * done)) / 2
    return training.learning_rate * ops.where(step < warmup, (step + 1) / max(warmup, 1), falling)


def precision(config: Config) -> str:
    """The dtype policy: `runtime.precision`, or bf16 on a GPU."""
    import jax

    chosen = config.runtime.precision
    return chosen if chosen != "auto" else "mixed_bfloat16" if jax.devices()[0].platform == "gpu" else "float32"


def main() -> None:
    config = cli.configuration()
    cli.require("data", "out", rule="--data=FOLDER holds the images, --out=FOLDER takes the results.")
    result = fit(config, Path(FLAGS.data), Path(FLAGS.out))
    print(f"{result['net']}: top-1 error {result['top1_error']:.2f} % of {result['test_images']:,} images")


if __name__ == "__main__":
    cli.run(main, any_backend=True)

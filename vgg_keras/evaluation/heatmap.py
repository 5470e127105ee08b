"""What the dense net sees, and where: the class score map of the top class, drawn over the picture."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tqdm

from vgg_keras import stop
from vgg_keras.config import Config
from vgg_keras.data import pipeline
from vgg_keras.data.preprocessing import rescale
from vgg_keras.data.splits import Split
from vgg_keras.evaluation.protocols import STRIDE, Dense, softmax
from vgg_keras.files import replacing, sweep
from vgg_keras.weights.run import Run


def draw(run: Run, config: Config, split: Split, images: Sequence[int], folder: Path) -> list[Path]:
    """Writes a picture for each of these images: itself, and under it the scores of its top class at the largest Q.

    Returns:
        The files, `folder/NAME.png` with the names of the images.
    """
    protocol = Dense(run.model, run.config.architecture, config.evaluation)
    side = max(config.test_scales)
    folder.mkdir(parents=True, exist_ok=True)
    sweep(folder)
    paths = []
    for image in tqdm.tqdm(images, desc=f"score maps, Q={side}", unit="image", disable=None):
        original, label = pipeline.picture(split, image)
        picture = rescale(original, side, config.data.interpolation)
        score_map = protocol.score_map(picture)
        posterior = softmax(score_map.mean(axis=(0, 1)))
        answer = int(posterior.argmax())
        seen = spread(score_map[:, :, answer], run.config.architecture.crop, picture.shape[:2])
        path = folder / f"{split.name(image)}.png"
        title = f"{run.classes[answer]} {posterior[answer]:.0%}"
        title += "" if answer == label else f", is {run.classes[label]}"
        _draw(picture.numpy() / 255, seen, title, path)
        paths.append(path)
        stop.here()
    return paths


def spread(scores: np.ndarray, crop: int, size: tuple[int, int]) -> np.ndarray:
    """Scores (rows, columns) of one class as a map over the picture's pixels, (height, width).

    A score belongs to a window of the crop's size, not to a point: a pixel takes the mean of the windows that it lies in;
    NaN in none, as the last pixels of a side that is no multiple of 32.
    """
    total, count = np.zeros(size), np.zeros(size)
    window = crop // STRIDE * STRIDE
    for (row, column), score in np.ndenumerate(scores):
        rows = slice(row * STRIDE, row * STRIDE + window)
        columns = slice(column * STRIDE, column * STRIDE + window)
        total[rows, columns] += score
        count[rows, columns] += 1
    return np.divide(total, count, out=np.full(size, np.nan), where=count > 0)


def _draw(picture: np.ndarray, seen: np.ndarray, title: str, path: Path) -> None:
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    aspect = picture.shape[1] / picture.shape[0]
    height = float(np.clip(4 / aspect, 1.5, 8))
    figure, axes = pyplot.subplots(
        1, 2, figsize=(2 * min(height * aspect, 12) + 1.2, height + 0.5), layout="constrained"
    )
    figure.suptitle(title, parse_math=False)
    for place in axes:
        place.imshow(picture)
        place.set_axis_off()
    scores = axes[1].imshow(seen, cmap="inferno", alpha=0.65)
    figure.colorbar(scores, ax=axes[1], shrink=0.8, label="score")
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=90)
    pyplot.close(figure)

"""Where the dense net finds its top class: the class score map, as probabilities, over the image."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vgg_keras import stop
from vgg_keras.config import Config
from vgg_keras.data import pipeline
from vgg_keras.data.multi_label import label_text
from vgg_keras.data.rescaling import rescale
from vgg_keras.data.splits import Split
from vgg_keras.evaluation import plots
from vgg_keras.evaluation.protocols import Dense, posterior_of
from vgg_keras.evaluation.whole_images import STRIDE
from vgg_keras.files import sweep
from vgg_keras.paths import below
from vgg_keras.progress import progress
from vgg_keras.weights.formats.run_folder import LoadedModel


def draw(net: LoadedModel, config: Config, split: Split, images: Sequence[int], folder: Path) -> list[Path]:
    """Writes a picture for each of these images: the image, and beside it the score map of its top class at the largest Q.

    Returns:
        The files, `folder/NAME.png` with the names of the images, of `paths.below`.
    """
    protocol = Dense(net.model, net.config.architecture, config.evaluation)
    side, multi_label = max(config.test_scales), net.config.architecture.multi_label
    folder.mkdir(parents=True, exist_ok=True)
    sweep(folder)
    paths = []
    for image in progress(images, f"score maps, Q={side}"):
        original, label = pipeline.picture(split, image)
        picture = rescale(original, side, config.data.interpolation)
        score_map = protocol.score_map(picture)
        posterior = posterior_of(score_map.mean(axis=(0, 1)), multi_label)
        top = int(posterior.argmax())
        heat = over_the_picture(
            posterior_of(score_map, multi_label)[:, :, top], net.config.architecture.crop, picture.shape[:2]
        )
        title = f"predicted: {net.classes[top]} ({posterior[top]:.0%} at Q={side}, no mirror image)"
        actual = label_text(label, net.classes)
        title += "" if actual == net.classes[top] else f", actual: {actual}"
        path = below(folder, f"{split.name(image)}.png")
        draw_overlay(picture.numpy() / 255, heat, title, f"probability of {net.classes[top]} at a position", path)
        paths.append(path)
        stop.raise_if_requested()
    return paths


def over_the_picture(values: np.ndarray, crop: int, size: tuple[int, int]) -> np.ndarray:
    """Values (rows, columns) of the score map's positions over the picture's pixels, (height, width).

    A position belongs to a window of the crop's size: the window's centre has its value. Values between centres are
    interpolated. Half a step beyond the outermost centres and further they are NaN: no window has its centre there.
    """
    first = crop // STRIDE * STRIDE / 2
    centres = [first + STRIDE * np.arange(count) for count in values.shape]
    return interpolated(values, centres, size, (STRIDE / 2, STRIDE / 2))


def interpolated(
    values: np.ndarray, centres: Sequence[np.ndarray], size: tuple[int, int], reach: tuple[float, float]
) -> np.ndarray:
    """Values (rows, columns) over pixels (height, width), linearly between their centres.

    Args:
        centres: the places of the rows and of the columns, in pixels from the picture's edge.
        size: height and width in pixels.
        reach: how far beyond the outermost centres, down and across, the outermost values are taken; NaN is further out.
    """
    for axis, pixels in enumerate(size):
        at, places = centres[axis], np.arange(pixels) + 0.5
        inside = (places >= at[0] - reach[axis]) & (places <= at[-1] + reach[axis])

        def along(line, at=at, places=places, inside=inside):
            return np.where(inside, np.interp(places, at, line), np.nan)

        values = np.apply_along_axis(along, axis, values)
    return values


def draw_overlay(picture: np.ndarray, heat: np.ndarray, title: str, meaning: str, path: Path) -> None:
    """Writes a picture, and beside it the same under values of 0-1.

    Args:
        picture: (height, width, 3), 0-1.
        heat: the values, (height, width).
        title: over both.
        meaning: of the values.
        path: of the file.
    """
    aspect = picture.shape[1] / picture.shape[0]
    height = float(np.clip(4 / aspect, 1.5, 8))
    size = (2 * min(height * aspect, 12) + 1.2, height + 0.5)
    figure, axes = plots.pyplot().subplots(1, 2, figsize=size, layout="constrained")
    figure.suptitle(title, parse_math=False, wrap=True)
    for place in axes:
        place.imshow(plots.in_rgb(picture))
        place.set_axis_off()
    probabilities = axes[1].imshow(heat, cmap="inferno", alpha=0.5, vmin=0, vmax=1)
    colorbar = figure.colorbar(probabilities, ax=axes[1], shrink=0.8)
    colorbar.set_label(meaning, parse_math=False, wrap=True)
    plots.save(figure, path, dpi=90)

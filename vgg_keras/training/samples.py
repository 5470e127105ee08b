"""A picture of training images and of the crops that the first epochs make of them (3.1)."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np

from vgg_keras.config import Config, label_of_training_scale
from vgg_keras.data import pipeline
from vgg_keras.data.multi_label import label_text
from vgg_keras.data.scan import without_bad_images
from vgg_keras.data.sources import open_source
from vgg_keras.data.splits import evenly
from vgg_keras.data.statistics import measure
from vgg_keras.evaluation import plots


def draw(config: Config, path: Path, images: int, epochs: int, stated: Collection[str] = ()) -> int:
    """Draws the images and the crops that a training with this configuration makes of them, for a net of boxes with the boxes.

    Args:
        config: its data, architecture and seed are read.
        path: of the picture.
        images: rows, at most.
        epochs: columns.
        stated: the paths of the fields that the command overrides.

    Returns:
        How many images were drawn: no more than there are.

    Raises:
        UserError: a mistake in the data, or an image that cannot be read.
    """
    data, crop = config.data, config.architecture.crop
    source, _ = without_bad_images(open_source(data, stated), config)
    basis = measure(source.train, data.statistics_images).color_basis
    chosen = evenly(source.train.size, images)
    rows = len(chosen)
    figure, axes = plots.pyplot().subplots(
        rows, epochs + 1, figsize=(1.6 * (epochs + 1), 1.7 * rows + 0.6), layout="constrained", squeeze=False
    )
    scale = label_of_training_scale(config.training_scale)
    flip = ("flip" if data.flip else "no flip") + (f", pad {data.pad}" if data.pad else "")
    figure.suptitle(
        f"{source.name}: S={scale}, crop {crop}, {flip}, colour shift {data.color_shift:g}", parse_math=False
    )
    for place, image in zip(axes, chosen.tolist(), strict=True):
        original, label = pipeline.picture(source.train, image)
        place[0].imshow(plots.in_rgb(original.numpy()))
        height, width = original.shape[:2]
        place[0].set_title(f"{label_text(label, source.classes)}, {width} x {height}", fontsize=7, parse_math=False)
        for epoch in range(epochs):
            window, target = pipeline.training_crop(source.train, image, config.seed, epoch, data, crop, basis)
            place[epoch + 1].imshow(plots.in_rgb(np.clip(np.round(window.numpy()), 0, 255).astype(np.uint8)))
            place[epoch + 1].set_title(f"epoch {epoch + 1}", fontsize=7)
            if config.predicts_boxes:
                _draw_box(place[epoch + 1], target.numpy()[1:] * crop)
        for one in place:
            one.set_axis_off()
    plots.save(figure, path)
    return rows


def _draw_box(axes: Any, box: np.ndarray) -> None:
    """What a net of boxes is trained on (A): centre x, y, width, height in pixels of the crop, beyond which it may reach."""
    from matplotlib.patches import Rectangle

    corner = box[:2] - box[2:] / 2
    axes.add_patch(Rectangle(corner, *box[2:], fill=False, color="tab:red", linewidth=1.5, clip_on=True))

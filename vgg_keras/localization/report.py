"""report.html and report.md of box nets: the errors beside the paper's, the distribution of IoU, and images with their boxes."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from vgg_keras.data import pipeline
from vgg_keras.errors import UserError
from vgg_keras.evaluation import plots, report_classes, report_pages
from vgg_keras.evaluation.report_pages import data_url
from vgg_keras.evaluation.report_pictures import png
from vgg_keras.localization.judgement import Judgement
from vgg_keras.localization.predicted_boxes import PredictedBoxes, Row

PICTURES = 12  # of right boxes, and of wrong ones
SIDE = 200  # of a picture's smaller side
TRUE, RIGHT, WRONG = (255, 255, 255), (40, 200, 60), (230, 40, 40)  # colours of boxes


def write(
    folder: Path,
    table: Sequence[Any],
    rows: Sequence[Row],
    judged: Judgement,
    final: PredictedBoxes,
    result: dict[str, Any],
    split: Any | None,
) -> list[Path]:
    """Writes report.html, report.md and iou.csv, and returns the paths of the first two.

    Args:
        folder: where to.
        table: rows of the table; the last is what the rest of the report is about.
        rows, judged: of that one, image by image.
        final: names and labels of the images.
        result: the settings.
        split: the images, for pictures; None: there are none.
    """
    last = table[-1]
    content = {
        "title": f"{last.net}: box error {last.box_error:.2f} %",
        "last": last,
        "data": result["data"],
        "table": [_header(), *map(_cells, table)],
        "reasons": list(dict.fromkeys(row.paper for row in table if isinstance(row.paper, str))),
        "iou": result["localization"]["iou"],
        "histogram": _histogram(judged),
        "right": _pictures(np.flatnonzero(judged.right), judged, rows, final, split),
        "wrong": _pictures(np.flatnonzero(~judged.right), judged, rows, final, split),
        "settings": {key: value for key, value in result.items() if key not in ("rows", "nets")},
    }
    ious = (
        (name, final.classes[label], f"{value:.4f}")
        for name, label, value in zip(final.ids, final.labels, judged.ious, strict=True)
    )
    report_classes.write_csv(folder / "iou.csv", ("image", "class", "iou"), ious)
    return report_pages.write(Path(__file__).parent, content, folder)


def _header() -> list[str]:
    return [
        *("net", "boxes", "trained", "S", "test", "Q", "images", "box error", "95 % interval", "mean IoU"),
        *("top-1 localisation error", "top-5", "mean box's error", "paper"),
    ]


def _cells(row: Any) -> list[str]:
    """A row of the table as text."""

    def percent(value):
        return "-" if value is None else f"{value:.2f} %"

    in_the_paper = "-" if isinstance(row.paper, str) else f"{row.paper.error:.1f} % (Table {row.paper.table})"
    interval = f"{row.box_interval[0]:.1f}-{row.box_interval[1]:.1f}"
    return [
        *(row.net, row.boxes, row.trained, row.training_scale, row.protocol, row.scales, f"{row.images:,}"),
        *(percent(row.box_error), interval, f"{row.mean_iou:.3f}", percent(row.top1_error), percent(row.top5_error)),
        *(percent(row.trivial_error), in_the_paper),
    ]


def _histogram(judged: Judgement) -> str:
    """The distribution of the boxes' intersection over union, as a picture's data URL."""
    figure, axes = plots.pyplot().subplots(figsize=(7, 3), layout="constrained")
    axes.hist(judged.ious, bins=np.linspace(0, 1, 21), color="tab:blue")
    axes.axvline(judged.right_from, color="tab:red", linestyle="--", label=f"right above {judged.right_from:g}")
    axes.set_xlabel("intersection over union of the true class's box")
    axes.set_ylabel("images")
    axes.legend()
    return png(figure)


def _pictures(
    chosen: np.ndarray, judged: Judgement, rows: Sequence[Row], final: PredictedBoxes, split: Any | None
) -> list[dict]:
    """Some of these images, evenly spaced, with the true boxes and the net's."""
    some = chosen[np.linspace(0, len(chosen), min(PICTURES, len(chosen)), endpoint=False).astype(int)]
    found = []
    for image in some.tolist():
        color = RIGHT if judged.right[image] else WRONG
        boxes = [(box, TRUE) for box in rows[image].truth] + [(judged.boxes[image], color)]
        caption = f"{final.classes[final.labels[image]]}, IoU {judged.ious[image]:.2f}"
        found.append({"name": final.ids[image], "caption": caption, "picture": _picture(split, image, boxes)})
    return found


def _picture(split: Any | None, image: int, boxes: Sequence[tuple[np.ndarray, tuple]]) -> str:
    """An image with boxes as a data URL; empty where it cannot be read any more."""
    if split is None:
        return ""
    try:
        pixels, _ = pipeline.picture(split, image)
    except UserError:
        return ""
    drawn = with_boxes(plots.in_rgb(pixels.numpy()), boxes, SIDE)
    buffer = io.BytesIO()
    drawn.save(buffer, "JPEG", quality=85)
    return data_url(buffer.getvalue(), "jpeg")


def with_boxes(pixels: np.ndarray, boxes: Sequence[tuple[np.ndarray, tuple]], side: int) -> Image.Image:
    """An image (height, width, 3) uint8, its smaller side at `side`, with boxes in pixels of the image and their colours."""
    height, width = pixels.shape[:2]
    factor = side / min(height, width)
    drawn = Image.fromarray(pixels).resize((max(1, round(width * factor)), max(1, round(height * factor))))
    pen = ImageDraw.Draw(drawn)
    for box, color in boxes:
        corners = (np.asarray(box, np.float64) * factor).tolist()
        pen.rectangle(
            [min(corners[0], corners[2]), min(corners[1], corners[3]), *corners[2:]],
            outline=color,
            width=max(2, side // 80),
        )
    return drawn

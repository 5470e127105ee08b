"""Compares a net of boxes on a crop with the dense map's box at the same window: what the border of a crop does.

python docs/box_windows.py runs/pcr_all_0 boxes.csv 73

Arguments: a run with a box for each class, its list, and Q. Of each validation picture with one box, the net sees the centre crop
and the crop in the corner. The dense net sees the whole picture, and its first window is the crop in the corner. On a crop the
convolutions are padded with zeros at its border, in a whole picture with the pixels beyond it (3.2).
"""

import collections
import csv
import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

import vgg_keras
from vgg_keras.localization.boxes import in_crop, iou

LIMITS = (0.5, 0.75)


def main(run: str, path: Path, side: int) -> None:
    net = vgg_keras.load_net(run)
    crop, dense = net.config.architecture.crop, vgg_keras.to_fully_convolutional(net.model)
    boxes = collections.defaultdict(list)
    for row in csv.DictReader(path.read_text().splitlines()):
        if row["split"] == "val":
            box = [float(row[name]) for name in ("xmin", "ymin", "xmax", "ymax")]
            boxes[row["path"]].append((row["label"], np.array(box)))
    found = collections.defaultdict(list)
    for name, ((label, box), *others) in boxes.items():
        if others:
            continue
        with Image.open(path.parent / name) as opened:
            picture = ImageOps.exif_transpose(opened).convert("RGB")
        size = [round(length * side / min(picture.size)) for length in picture.size]
        image = np.asarray(picture.resize(size, Image.Resampling.BILINEAR), np.float32)
        truth = box * np.tile(np.divide(size, picture.size), 2)
        top, left = ((length - crop) // 2 for length in image.shape[:2])
        for title, outputs, corner in (
            ("centre crop", net.model(image[None, top : top + crop, left : left + crop]), (left, top)),
            ("corner crop", net.model(image[None, :crop, :crop]), (0, 0)),
            ("dense, the corner's window", dense(image[None])[:, 0, 0], (0, 0)),
        ):
            given = in_crop(np.asarray(outputs), net.config.architecture)[0, list(net.classes).index(label)]
            found[title].append(iou(given * crop + np.tile(corner, 2), truth))
    for title, values in found.items():
        errors = ", ".join(f"{100 * np.mean(np.array(values) <= limit):.1f} % at {limit}" for limit in LIMITS)
        print(f"{title}: mean IoU {np.mean(values):.3f}, box error {errors}, {len(values)} pictures")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))

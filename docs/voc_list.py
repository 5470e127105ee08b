"""Writes the list of a PASCAL VOC folder, for --data: all images of ImageSets/Main with their classes.

python docs/voc_list.py VOCdevkit/VOC2007
python -m vgg_keras.train --config=finetune --data=VOCdevkit/VOC2007/list.csv --weights=imagenet --workdir=runs/voc

A file CLASS_SPLIT.txt there has a line for each image: 1 if it has the class, -1 if it has not, 0 if all its objects of the class
are difficult, so that the class is neither trained nor counted for it.
"""

import csv
import sys
from pathlib import Path

SPLITS = ("train", "val", "test")


def write(folder: Path) -> Path:
    """Writes list.csv into the folder of a year, such as VOCdevkit/VOC2007, and returns its path.

    Raises:
        SystemExit: there are no lists of classes, as in the folder above it.
    """
    present: dict[tuple[str, str], list[str]] = {}  # by split and image
    ignored: dict[tuple[str, str], list[str]] = {}
    for split in SPLITS:
        for path in sorted((folder / "ImageSets" / "Main").glob(f"*_{split}.txt")):
            name = path.stem.removesuffix(f"_{split}")
            for image, value in filter(None, map(str.split, path.read_text().splitlines())):  # without empty lines
                present.setdefault((split, image), []).extend([name] * (value == "1"))
                ignored.setdefault((split, image), []).extend([name] * (value == "0"))
    if not present:
        years = [year for year in sorted(folder.glob("*")) if (year / "ImageSets" / "Main").is_dir()]
        hint = f" Did you mean {years[0]}?" if years else ""
        sys.exit(f"The folder of a year holds ImageSets/Main/CLASS_train.txt. Received: {folder}, with none.{hint}")
    with open(folder / "list.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "label", "ignore", "split"])
        for (split, image), names in present.items():
            writer.writerow([f"JPEGImages/{image}.jpg", "|".join(names), "|".join(ignored[split, image]), split])
    return folder / "list.csv"


if __name__ == "__main__":
    for year in sys.argv[1:]:
        print(write(Path(year)))

"""Sorts the images of ILSVRC-2012 into class folders by links, for --data, and lists their boxes (appendix A).

python docs/ilsvrc.py ILSVRC/Data/CLS-LOC ilsvrc
python docs/ilsvrc.py ILSVRC/Data/CLS-LOC ilsvrc ILSVRC/Annotations/CLS-LOC
python -m vgg_keras.evaluate --weights=imagenet --config=D --set=data.scale=256,512 --data=ilsvrc --scales=multi --out=tests/D

The first folder holds train/WNID/*.JPEG and val/*.JPEG, or one of the two, as the unpacked tar files and Kaggle's copy do. WNID
is a class's WordNet id. The second folder is made: train is a link, val/WNID/ has a link to each image. The classes of the
validation images are those that TensorFlow Datasets has, by the number in a file's name.

The third folder holds the XML files of the boxes, in any folder below it. boxes.csv is then written beside train and val. It has
a row for each box of an image's class, cut at the size that the XML states, since some reach beyond it. Images without such a box
are left out.
"""

import csv
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

SIDES = ("xmin", "ymin", "xmax", "ymax")
# of TensorFlow Datasets: a WordNet id in each line, in the order of the images' numbers
_LABELS = "datasets/imagenet2012/validation_labels.txt"


def sort(images: Path, out: Path) -> None:
    """Makes the links; those that are there stay.

    Raises:
        SystemExit: there are no images.
    """
    labels = (Path(importlib.util.find_spec("tensorflow_datasets").origin).parent / _LABELS).read_text().split()
    train, val = images / "train", sorted((images / "val").rglob("ILSVRC2012_val_*"))
    if not (train.is_dir() or val):
        sys.exit(
            f"The folder of ILSVRC's images holds train/ or val/ILSVRC2012_val_*. Received: {images}, with neither."
        )
    out.mkdir(parents=True, exist_ok=True)
    if train.is_dir():
        _link(out / "train", train)
    for image in val:
        folder = out / "val" / labels[int(image.stem.rpartition("_")[2]) - 1]
        folder.mkdir(parents=True, exist_ok=True)
        _link(folder / image.name, image)


def _link(path: Path, target: Path) -> None:
    if not path.is_symlink():
        path.symlink_to(target.resolve())


def write_boxes(annotations: Path, out: Path) -> Path:
    """Writes boxes.csv of the images that `sort` has sorted, and returns its path."""
    files = {path.stem: path for path in annotations.rglob("*.xml")}
    with open(out / "boxes.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "label", "split", *SIDES])
        for split in ("train", "val"):
            for image in sorted((out / split).glob("*/*")):
                label, place = image.parent.name, image.relative_to(out).as_posix()
                found = boxes(files[image.stem], label) if image.stem in files else ()
                writer.writerows([place, label, split, *box] for box in found)
    return out / "boxes.csv"


def boxes(file: Path, label: str) -> Iterator[tuple[int, ...]]:
    """The boxes of a class in an XML file, without those of which nothing is left in the image."""
    root = ElementTree.parse(file).getroot()
    width, height = (int(root.findtext(f"size/{name}")) for name in ("width", "height"))
    for found in root.iter("object"):
        xmin, ymin, xmax, ymax = (int(found.findtext(f"bndbox/{name}")) for name in SIDES)
        box = max(xmin, 0), max(ymin, 0), min(xmax, width), min(ymax, height)
        if found.findtext("name") == label and box[0] < box[2] and box[1] < box[3]:
            yield box


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    sort(Path(sys.argv[1]), Path(sys.argv[2]))
    if len(sys.argv) == 4:
        print(write_boxes(Path(sys.argv[3]), Path(sys.argv[2])))

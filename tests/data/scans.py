"""Folders of images, written, opened and scanned."""

import os

from tests.conftest import write_images
from vgg_keras.config import Architecture, Config, Data, Runtime
from vgg_keras.data import scan
from vgg_keras.data.sources import open_source


def scanned_photos(folder, **fields):
    """The source of `photos/` below a folder, scanned with a cache beside it."""
    data = Data(source=str(folder / "photos"), scale=(36,), **fields)
    config = Config(Architecture(crop=32), data, runtime=Runtime(cache_dir=str(folder / "cache")))
    return scan.without_bad_images(open_source(data), config)[0]


def opened(root, **fields):
    """The source of a folder, not scanned."""
    return open_source(Data(source=str(root), **fields))


def names(source):
    """The names of all training and validation images."""
    return sorted(split.name(image) for split in (source.train, source.val) for image in range(split.size))


def bad(root, **fields):
    """The scanned source of a folder, and the reasons of its bad images by file name."""
    config = Config(
        data=Data(source=str(root), max_bad_fraction=0.9, **fields),
        runtime=Runtime(cache_dir=str(root.parent / "cache")),
    )
    source, found = scan.without_bad_images(open_source(config.data), config)
    assert all(len(str(image).splitlines()) == 1 for image in found)
    return source, {os.path.basename(image.name): image.reason for image in found}


def put_splits(root, folders, classes=("cat", "dog"), count=3):
    for split in folders.split():
        for name in classes:
            write_images(root / split / name, [(8, 8)] * count)

"""The scan before a run over lists of files: a first one, and a second start that finds its results."""

import dataclasses
import tempfile
import time
from pathlib import Path

import numpy as np

from vgg_keras.config import Config
from vgg_keras.data.image_files import split_of_files
from vgg_keras.data.scan import readable
from vgg_keras.data.sources import open_source


def measure(config: Config, times: int) -> dict | None:
    """Scans the training images, their list repeated so often; files are listed and looked up in both starts.

    Returns:
        How many images, the rate of the first scan, and the seconds of both starts; None where the images are no files.
    """
    split = open_source(config.data).train
    if split.require_unchanged is None:
        return None
    labels = np.zeros(split.size, np.int32) if split.multi_label else split.labels
    files = [(split.path(image), int(label)) for image, label in enumerate(labels)] * times
    seconds = []
    with tempfile.TemporaryDirectory() as folder:
        rules = dataclasses.replace(config, runtime=dataclasses.replace(config.runtime, cache_dir=folder))
        for _ in range(2):
            began = time.perf_counter()
            readable(split_of_files(Path(split.root), files, split.classes), "train", rules)
            seconds.append(time.perf_counter() - began)
    first, second = seconds
    return {"images": len(files), "images_per_second": len(files) / first, "seconds": first, "second_seconds": second}

"""What tests share: ten drawn photographs, the folder of real ones, toy sets of noise, and commands in a subprocess."""

import collections
import contextlib
import fcntl
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests import warm
from tests.photographs import write_photographs
from vgg_keras.config import Architecture
from vgg_keras.evaluation.evaluated_net import EvaluatedNet

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


def pytest_configure(config: pytest.Config) -> None:
    """Lets pytest-xdist deal out files in the order below, not by their number of tests."""
    if hasattr(config.option, "loadscopereorder"):
        config.option.loadscopereorder = False


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Runs the files with most slow tests first, and deselects `full` tests unless `-m` names them.

    Else one of two processes would run a long file at the end, while the other waits. `-m 'not full'` in addopts would not
    do: another `-m`, such as `-m "not slow"`, replaces it.
    """
    slow = collections.Counter(item.path for item in items if item.get_closest_marker("slow"))
    items.sort(key=lambda item: -slow[item.path])  # a stable sort: a file's tests stay together
    if "full" in config.option.markexpr:
        return
    full = [item for item in items if item.get_closest_marker("full")]
    if full:
        config.hook.pytest_deselected(items=full)
        items[:] = [item for item in items if item not in full]


# A net and how it was evaluated, for posteriors made by hand.
NET = EvaluatedNet(
    model="runs/E",
    weights_sha256="12",
    architecture=Architecture("E"),
    training_scale=(256,),
    protocol="dense",
    scales=(256,),
    flip=True,
    grid=None,
    interpolation="bilinear",
    exif_orientation=True,
    precision="float32",
    data="photos",
    split="val",
    bad_images=(),
    versions={},
    git_commit=None,
)


@pytest.fixture(scope="session")
def photographs(tmp_path_factory) -> list[Path]:
    """Ten JPEG files that look like photographs, for every test that needs some; a test that changes one copies it."""
    return write_photographs(tmp_path_factory.mktemp("photographs"))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder with flowers17/, awkward_images/ and vgg16_conv_authors.h5; without it tests on real photographs are skipped."""
    folder = os.environ.get("VGG_KERAS_TEST_DATA")
    if not folder:
        pytest.skip("VGG_KERAS_TEST_DATA names no folder of real photographs")
    return Path(folder)


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory) -> Path:
    """A folder of the whole session: with pytest-xdist its processes have it in common."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


def made_once(folder: Path, make: Callable[[Path], object]) -> Path:
    """A folder of `shared_folder` that `make` fills: by the first process that needs it, while the others wait."""
    with open(folder.with_name(f"{folder.name}.lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            unfinished = folder.with_name(f"unfinished-{folder.name}")
            unfinished.mkdir()
            make(unfinished)
            unfinished.rename(folder)
    return folder


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(1409_1556)


@pytest.fixture
def run_command(tmp_path):
    """Runs `python -m vgg_keras.NAME arguments` in a forked process; returns it finished, its output as text."""

    def run(name: str, *arguments: str, cwd: Path = tmp_path) -> subprocess.CompletedProcess:
        return warm.finished(warm.run_command, command(name, *arguments, cache=tmp_path), cwd)

    return run


def command(name: str, *arguments: str, cache: Path) -> list[str]:
    """The command line of a command, with its cache of scans in a folder of the test's own."""
    if name in ("train", "evaluate", "predict", "features", "export", "localize", "samples", "benchmark") and not any(
        word.startswith("--fuse") for word in arguments
    ):
        arguments = (*arguments, f"--set=runtime.cache_dir={cache / 'cache'}")
    return [sys.executable, "-m", f"vgg_keras.{name}", *arguments]


def free_ports(count: int) -> list[int]:
    """Ports of the loopback network that nobody listens on."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def write_images(folder: Path, sizes: list[tuple[int, int]], seed: int = 0) -> list[Path]:
    """JPEG files of smooth noise in `folder`, of these (height, width)."""
    import tensorflow as tf

    folder.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(seed)
    paths = []
    for index, (height, width) in enumerate(sizes):
        coarse = generator.uniform(0, 255, (1, 4, 4, 3))
        image = tf.cast(tf.image.resize(coarse, (height, width), "bicubic")[0], tf.float32)
        encoded = tf.io.encode_jpeg(tf.saturate_cast(image, tf.uint8), quality=95)
        path = folder / f"{index:03d}.jpg"
        path.write_bytes(encoded.numpy())
        paths.append(path)
    return paths

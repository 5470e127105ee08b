"""What an image file is: each kind of file, and files that are none."""

import io
import sys
from pathlib import Path

import numpy as np
import PIL.Image
import PIL.ImageOps
import pytest

from tests.data import awkward
from tests.data.awkward import DEEP, KINDS, PALETTE, PICTURE, READ, written
from tests.warm import finished, run_code
from vgg_keras.config import Data
from vgg_keras.data import pipeline, scan
from vgg_keras.data.image_files import of_files


def pillow_shown(content: bytes) -> np.ndarray:
    """What Pillow shows of a file, upright, as RGB."""
    with PIL.Image.open(io.BytesIO(content)) as opened:
        return np.asarray(PIL.ImageOps.exif_transpose(opened).convert("RGB"))


def expected_pixels(name: str, content: bytes) -> np.ndarray:
    """Pillow's picture, but for two kinds of which it is no judge."""
    if name == "deep_grey.png":  # which Pillow cuts off at 255
        return np.repeat(DEEP[..., :1] // 256, 3, axis=-1)
    if name == "clear.gif":  # of clear pixels, which have no colour: they are black
        return np.where((np.asarray(PALETTE) == 0)[..., None], 0, pillow_shown(written(PALETTE, "GIF")))
    return pillow_shown(content)


@pytest.fixture(scope="module")
def inspected_kinds(tmp_path_factory):
    """The split of all kinds after the scan, and the reasons of the bad ones by name."""
    folder = tmp_path_factory.mktemp("kinds")
    for name, (content, _) in KINDS.items():
        (folder / name).write_bytes(content)
    split, bad = scan.inspected(of_files([str(folder / name) for name in KINDS]), Data())
    return split, {Path(image.name).name: image.reason for image in bad}


@pytest.mark.parametrize("name", KINDS)
def test_each_kind_of_file_is_read_as_pillow_reads_it_or_skipped_with_a_reason(inspected_kinds, name):
    split, reasons = inspected_kinds
    content, outcome = KINDS[name]
    if isinstance(outcome, str):
        assert outcome in reasons[name] and "\n" not in reasons[name]
        return
    assert name not in reasons
    pixels, _ = pipeline.picture(split, list(KINDS).index(name))
    truth = expected_pixels(name, content)
    assert pixels.shape == truth.shape
    difference = np.abs(pixels.numpy().astype(int) - truth)
    print(f"{name}: largest difference from Pillow {difference.max()}, mean {difference.mean():.2f}")
    assert difference.mean() <= outcome


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's, of EXIF that is damaged
def test_awkward_photographs_each_have_an_outcome(shared_data):
    """Of Pillow's 33 awkward files, the two that hold no whole picture are skipped, and every other one is read right."""
    paths = [path for path in sorted((shared_data / "awkward_images").rglob("*.*")) if path.suffix in (".jpg", ".mpo")]
    split, bad = scan.inspected(of_files([str(path) for path in paths]), Data())
    assert len(paths) == 33
    assert {Path(image.name).name for image in bad} == {"truncated_jpeg.jpg", "ultrahdr.jpg"}
    assert all("Invalid JPEG data" in image.reason for image in bad)
    for image, path in enumerate(paths):
        if str(path) not in [one.name for one in bad]:
            pixels, truth = pipeline.picture(split, image)[0].numpy(), pillow_shown(path.read_bytes())
            assert pixels.shape == truth.shape
            assert np.abs(pixels.astype(int) - truth).mean() <= READ, path


BOMBS = """
import resource, sys
from vgg_keras.config import Data
from vgg_keras.data.image_files import of_files
from vgg_keras.data.scan import inspected

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

harmless, *bombs = sys.argv[2:]
inspected(of_files([harmless]), Data())  # TensorFlow begins, and the scan is traced
before = peak()
_, bad = inspected(of_files(bombs), Data(max_pixels=int(sys.argv[1])))
print(*bad, peak() - before, sep="\\n")
"""


@pytest.mark.slow
def test_decompression_bombs_are_refused_before_they_are_decoded(tmp_path):
    """A PNG of 20,000 x 20,000 pixels in 390 KB, and a GIF of 1.2 billion in its frames."""
    (tmp_path / "harmless.png").write_bytes(written(PICTURE, "PNG"))
    (tmp_path / "bomb.png").write_bytes(awkward.bomb())
    (tmp_path / "bomb.gif").write_bytes(awkward.many_frames(300, 2000))
    files = [str(tmp_path / name) for name in ("harmless.png", "bomb.png", "bomb.gif")]
    done = finished(run_code, [sys.executable, "-c", BOMBS, str(2**27), *files], tmp_path)
    assert done.returncode == 0, done.stderr
    of_png, of_gif, rise = done.stdout.splitlines()
    sizes = ", ".join(f"{Path(file).stat().st_size:,} bytes" for file in files[1:])
    print(f"bombs of {sizes}: the peak of memory rises by {float(rise):.0f} MiB")
    assert of_png.endswith("bomb.png: 20000 x 20000 pixels, more than data.max_pixels=134217728")
    assert of_gif.endswith("bomb.gif: 1200000000 pixels in all frames, more than data.max_pixels=134217728")
    assert float(rise) < 95  # MiB: 100 MB

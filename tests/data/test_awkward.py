"""Awkward image files: each is read as Pillow reads it, or skipped with its name and the reason; none is silently wrong."""

import io
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import PIL.Image
import PIL.ImageOps
import pytest
import tensorflow as tf

from tests.conftest import write_images
from tests.data import awkward
from tests.data.awkward import bmp, chunk, png, rows, turned, written
from vgg_keras.config import Config, Data, Runtime
from vgg_keras.data import pipeline, scan
from vgg_keras.data.image_files import of_files
from vgg_keras.data.sources import open_source
from vgg_keras.errors import UserError

PIXELS = awkward.smooth()
OTHER = 255 - PIXELS
PICTURE = PIL.Image.fromarray(PIXELS)
PALETTE = PICTURE.quantize(64)
RGBA = np.concatenate([PIXELS, np.linspace(0, 255, 2400).reshape(40, 60, 1).astype(np.uint8)], axis=-1)
JPEG = written(PICTURE, "JPEG")
CMYK = written(PICTURE.convert("CMYK"), "JPEG")
ADOBE = CMYK[CMYK.index(b"\xff\xee") :][:16]
FRAME = JPEG.index(b"\xff\xc0")  # its header: length, bits, height, width
SCAN = JPEG.index(b"\xff\xda") + 14  # where the pixels begin
DEEP = PIXELS.astype(np.uint16) * 256 + 200

READ, LOSSLESS = (
    3.0,
    0.0,
)  # the largest mean difference from Pillow, in grey levels: of JPEG's two decoders, and of others
# A file, and how it ends: the difference that it may have from Pillow, or words of the reason for which it is skipped.
KINDS = {
    "subsampled.jpg": (written(PICTURE, "JPEG", subsampling="4:2:0"), READ),
    "subsampled_411.jpg": (written(PICTURE, "JPEG", subsampling="4:1:1"), READ),
    "full.jpg": (written(PICTURE, "JPEG", subsampling="4:4:4"), READ),
    "progressive.jpg": (written(PICTURE, "JPEG", progressive=True), READ),
    "restarts.jpg": (written(PICTURE, "JPEG", restart_marker_blocks=2), READ),
    "grey.jpg": (written(PICTURE.convert("L"), "JPEG"), READ),
    "rgb_inside.jpg": (written(PICTURE, "JPEG", keep_rgb=True), READ),
    "cmyk.jpg": (CMYK, READ),
    "ycck.jpg": (CMYK.replace(ADOBE, ADOBE[:-1] + b"\2"), READ),
    "cmyk_unmarked.jpg": (CMYK.replace(ADOBE, b""), "save it as RGB"),
    "several.mpo": (written(PICTURE, "MPO", save_all=True, append_images=[PIL.Image.fromarray(OTHER)]), READ),
    "turned.jpg": (turned(JPEG, awkward.tiff(6)), READ),
    "turned_grey.jpg": (turned(written(PICTURE.convert("L"), "JPEG"), awkward.tiff(5, big=True)), READ),
    "dot.jpg": (written(PICTURE.crop((0, 0, 1, 1)), "JPEG"), READ),
    "wide.jpg": (written(PICTURE.resize((2000, 1)), "JPEG"), READ),
    "tall.jpg": (written(PICTURE.resize((1, 2000)), "JPEG"), READ),
    "junk_behind.jpg": (JPEG + bytes(1000), READ),
    "damaged_within.jpg": (JPEG[: SCAN + 200] + 20 * b"\x55" + JPEG[SCAN + 220 :], READ),
    "half.jpg": (JPEG[: len(JPEG) // 2], "Invalid JPEG data"),
    "endless.jpg": (JPEG[:-2], "Invalid JPEG data"),
    "head.jpg": (JPEG[:20], "Invalid JPEG data"),
    "twelve_bits.jpg": (JPEG[: FRAME + 4] + b"\x0c" + JPEG[FRAME + 5 :], "Invalid JPEG data"),
    "lossless.jpg": (JPEG.replace(b"\xff\xc0", b"\xff\xc3", 1), "Invalid JPEG data"),
    "lying_large.jpg": (
        JPEG[: FRAME + 5] + struct.pack(">HH", 65_000, 65_000) + JPEG[FRAME + 9 :],
        "65000 x 65000 pixels, more than data.max_pixels=134217728",
    ),
    "page.jpg": (b"<html>not found</html>", "no JPEG, PNG, BMP, GIF or WebP file"),
    "text.jpg": (b"mine", "no JPEG, PNG, BMP, GIF or WebP file"),
    "empty.jpg": (b"", "an empty file"),
    "grey.png": (written(PICTURE.convert("L"), "PNG"), LOSSLESS),
    "one_bit.png": (written(PICTURE.convert("1"), "PNG"), LOSSLESS),
    "grey_alpha.png": (written(PICTURE.convert("LA"), "PNG"), LOSSLESS),
    "alpha.png": (written(RGBA, "PNG"), LOSSLESS),
    "palette.png": (written(PALETTE, "PNG"), LOSSLESS),
    "palette_clear.png": (written(PALETTE, "PNG", transparency=0), LOSSLESS),
    "deep.png": (png(60, 40, 2, 16, rows(DEEP.astype(">u2"))), LOSSLESS),
    "deep_grey.png": (png(60, 40, 0, 16, rows(DEEP[..., 0].astype(">u2"))), LOSSLESS),
    "gamma.png": (png(60, 40, 2, 8, rows(PIXELS), chunk(b"gAMA", struct.pack(">I", 100_000))), LOSSLESS),
    "animated.png": (written(PICTURE, "PNG", save_all=True, append_images=[PIL.Image.fromarray(OTHER)]), LOSSLESS),
    "png_inside.jpg": (written(PICTURE, "PNG"), LOSSLESS),
    "half.png": (written(PICTURE, "PNG")[:1000], "Invalid PNG data"),
    "lying_small.png": (png(10, 10, 2, 8, rows(PIXELS)), "Invalid PNG data"),
    "lying_larger.png": (png(600, 400, 2, 8, rows(PIXELS)), "Invalid PNG data"),
    "lying_large.png": (png(2**31 - 1, 2**31 - 1, 2, 8, rows(PIXELS)), "2147483647 x 2147483647 pixels, more than"),
    "colour.bmp": (written(PICTURE, "BMP"), LOSSLESS),
    "grey.bmp": (written(PICTURE.convert("L"), "BMP"), LOSSLESS),
    "alpha.bmp": (written(RGBA, "BMP"), LOSSLESS),
    "top_down.bmp": (bmp(40, 60, -40, 24, 0, PIXELS[:, :, ::-1].tobytes()), LOSSLESS),
    "masks.bmp": (
        bmp(56, 60, -40, 32, 3, struct.pack("<4I", 0xFF0000, 0xFF00, 0xFF, 0) + RGBA[:, :, [2, 1, 0, 3]].tobytes()),
        LOSSLESS,
    ),
    "masks_swapped.bmp": (
        bmp(56, 60, -40, 32, 3, struct.pack("<4I", 0xFF, 0xFF00, 0xFF0000, 0) + RGBA.tobytes()),
        "save it as PNG",
    ),
    "palette.bmp": (written(PALETTE, "BMP"), "save it as PNG"),
    "one_bit.bmp": (written(PICTURE.convert("1"), "BMP"), "save it as PNG"),
    "sixteen_bits.bmp": (bmp(40, 60, 40, 16, 0, bytes(4800)), "save it as PNG"),
    "half.bmp": (written(PICTURE, "BMP")[:3000], "Input size should match"),
    "plain.gif": (written(PALETTE, "GIF"), LOSSLESS),
    "animated.gif": (written(PICTURE, "GIF", save_all=True, append_images=[PIL.Image.fromarray(OTHER)]), LOSSLESS),
    "clear.gif": (written(PALETTE, "GIF", transparency=0), LOSSLESS),
    "half.gif": (written(PALETTE, "GIF")[:1000], "Invalid GIF data"),
    "frames.gif": (awkward.many_frames(40, 2000), "160000000 pixels in all frames, more than"),
    "plain.webp": (written(PICTURE, "WEBP"), LOSSLESS),
    "lossless.webp": (written(PICTURE, "WEBP", lossless=True), LOSSLESS),
    "alpha.webp": (written(RGBA, "WEBP"), "save it, or its first frame, as PNG"),
    "alpha_lossless.webp": (written(RGBA, "WEBP", lossless=True), "save it, or its first frame, as PNG"),
    "animated.webp": (
        written(PICTURE, "WEBP", save_all=True, append_images=[PIL.Image.fromarray(OTHER)]),
        "save it, or its first frame, as PNG",
    ),
    "picture.tif": (written(PICTURE, "TIFF"), "no JPEG, PNG, BMP, GIF or WebP file"),
}


def pillows(content: bytes) -> np.ndarray:
    """What Pillow shows of a file, upright, as RGB."""
    with PIL.Image.open(io.BytesIO(content)) as opened:
        return np.asarray(PIL.ImageOps.exif_transpose(opened).convert("RGB"))


def expected(name: str, content: bytes) -> np.ndarray:
    """Pillow's picture, but for two kinds of which it is no judge."""
    if name == "deep_grey.png":  # which Pillow cuts off at 255
        return np.repeat(DEEP[..., :1] // 256, 3, axis=-1)
    if name == "clear.gif":  # of clear pixels, which have no colour: they are black
        return np.where((np.asarray(PALETTE) == 0)[..., None], 0, pillows(written(PALETTE, "GIF")))
    return pillows(content)


@pytest.fixture(scope="module")
def looked(tmp_path_factory):
    """The split of all kinds after the scan, and the reasons of the bad ones by name."""
    folder = tmp_path_factory.mktemp("kinds")
    for name, (content, _) in KINDS.items():
        (folder / name).write_bytes(content)
    split, bad = scan.inspected(of_files([str(folder / name) for name in KINDS]), Data())
    return split, {Path(image.name).name: image.reason for image in bad}


@pytest.mark.parametrize("name", KINDS)
def test_each_kind_of_file_is_read_right_or_skipped_with_the_reason(looked, name):
    split, reasons = looked
    content, outcome = KINDS[name]
    if isinstance(outcome, str):
        assert outcome in reasons[name] and "\n" not in reasons[name]
        return
    assert name not in reasons
    pixels, _ = pipeline.picture(split, list(KINDS).index(name))
    truth = expected(name, content)
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
            pixels, truth = pipeline.picture(split, image)[0].numpy(), pillows(path.read_bytes())
            assert pixels.shape == truth.shape
            assert np.abs(pixels.astype(int) - truth).mean() <= READ, path


def test_four_bad_images_of_four_hundred_are_named_and_no_good_one_is_lost(tmp_path):
    photos = tmp_path / "photos"
    paths = write_images(photos / "cat", [(40, 50)] * 200) + write_images(photos / "dog", [(40, 50)] * 200, seed=1)
    bad = {paths[7]: paths[7].read_bytes()[:500], paths[150]: b"<html>", paths[199]: b""}
    bad[paths[333]] = KINDS["palette.bmp"][0]
    for path, content in bad.items():
        path.write_bytes(content)
    config = Config(data=Data(source=str(photos)), runtime=Runtime(cache_dir=str(tmp_path / "cache")))
    source, found = scan.without_bad_images(open_source(config.data), config)
    assert sorted(image.name for image in found) == sorted(map(str, bad))
    assert all(image.reason for image in found)
    kept = [split.path(image) for split in (source.train, source.val) for image in range(split.size)]
    assert sorted(kept) == sorted(str(path) for path in paths if path not in bad)
    for split in (source.train, source.val):
        for image in range(0, split.size, 50):
            assert split.read(tf.constant(image, tf.int64))[0].numpy() == Path(split.path(image)).read_bytes()


def test_the_limit_of_pixels_is_a_field(tmp_path):
    """An image is refused above it and read at it, whatever the cache says of another limit; all bad is said."""
    for name in ("cat", "dog"):
        write_images(tmp_path / "photos" / name, [(40, 50)] * 4 + [(50, 60)])

    def look(limit):
        data = Data(source=str(tmp_path / "photos"), max_pixels=limit, max_bad_fraction=0.5)
        config = Config(data=data, runtime=Runtime(cache_dir=str(tmp_path / "cache")))
        return scan.without_bad_images(open_source(data), config)[1]

    assert look(3000) == []
    with pytest.raises(UserError, match=r"readable image\. Received: .* whose val images are all bad"):
        look(2999)  # the fifth of each class validates
    shutil.copy(tmp_path / "photos/cat/000.jpg", tmp_path / "photos/cat/004.jpg")
    (bad,) = look(2999)
    assert str(bad) == f"{tmp_path}/photos/dog/004.jpg: 60 x 50 pixels, more than data.max_pixels=2999"
    assert look(3000) == []


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
def test_bombs_are_refused_before_they_are_decoded(tmp_path):
    """A PNG of 20,000 x 20,000 pixels in 390 KB, and a GIF of 1.2 billion in its frames."""
    (tmp_path / "harmless.png").write_bytes(written(PICTURE, "PNG"))
    (tmp_path / "bomb.png").write_bytes(awkward.bomb())
    (tmp_path / "bomb.gif").write_bytes(awkward.many_frames(300, 2000))
    files = [str(tmp_path / name) for name in ("harmless.png", "bomb.png", "bomb.gif")]
    done = subprocess.run([sys.executable, "-c", BOMBS, str(2**27), *files], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    of_png, of_gif, rise = done.stdout.splitlines()
    sizes = ", ".join(f"{Path(file).stat().st_size:,} bytes" for file in files[1:])
    print(f"bombs of {sizes}: the peak of memory rises by {float(rise):.0f} MiB")
    assert of_png.endswith("bomb.png: 20000 x 20000 pixels, more than data.max_pixels=134217728")
    assert of_gif.endswith("bomb.gif: 1200000000 pixels in all frames, more than data.max_pixels=134217728")
    assert float(rise) < 95  # MiB: 100 MB

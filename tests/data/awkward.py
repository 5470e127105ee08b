"""Image files that are awkward, each as bytes: written by Pillow, or bent by hand where Pillow writes none."""

import io
import struct
import zlib

import numpy as np
import PIL.Image


def smooth(seed: int = 5, height: int = 40, width: int = 60) -> np.ndarray:
    """A picture of smooth noise, (height, width, 3) uint8."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), np.uint8)
    return np.asarray(PIL.Image.fromarray(coarse).resize((width, height), PIL.Image.Resampling.BICUBIC))


def written(picture: PIL.Image.Image | np.ndarray, kind: str, **options) -> bytes:
    """A file of a picture as Pillow writes it."""
    picture = PIL.Image.fromarray(picture) if isinstance(picture, np.ndarray) else picture
    buffer = io.BytesIO()
    picture.save(buffer, kind, **({"quality": 95} if kind == "JPEG" else {}) | options)
    return buffer.getvalue()


def tiff(orientation: int, big: bool = False, kind: int = 3, count: int = 1, tag: int = 0x0112) -> bytes:
    """EXIF's data with another tag before the orientation; `kind` is 3 for a short number and 4 for a long one."""
    order = ">" if big else "<"
    value = struct.pack(order + ("HH" if kind == 3 else "I"), *([orientation, 0] if kind == 3 else [orientation]))
    entries = (
        struct.pack(order + "HHI4s", 0x010F, 2, 4, b"cam\0") + struct.pack(order + "HHI", tag, kind, count) + value
    )
    return (b"MM\0*" if big else b"II*\0") + struct.pack(order + "IH", 8, 2) + entries + bytes(4)


def turned(jpeg: bytes, data: bytes, before: bytes = b"") -> bytes:
    """A JPEG file with EXIF's data in front of its other segments, `before` them."""
    segment = b"\xff\xe1" + struct.pack(">H", 8 + len(data)) + b"Exif\0\0" + data
    return jpeg[:2] + before + segment + jpeg[2:]


def png(width: int, height: int, kind: int, depth: int, rows: bytes, before: bytes = b"") -> bytes:
    """A PNG file whose header says this of whatever rows it holds."""
    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + before + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def rows(pixels: np.ndarray) -> bytes:
    """Pixels as a PNG file packs them, unfiltered."""
    return zlib.compress(b"".join(b"\0" + row.tobytes() for row in pixels))


def bomb(side: int = 20_000) -> bytes:
    """A PNG file of a few hundred kilobytes with side x side black pixels, three bytes each when decoded."""
    packer = zlib.compressobj(9)
    row = bytes(1 + side)
    packed = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()
    return png(side, side, 0, 8, packed)


def many_frames(frames: int, side: int) -> bytes:
    """A GIF file of black frames, all of them the same bytes."""
    one = written(PIL.Image.new("P", (side, side)), "GIF")
    begin = one.index(b"\x2c\0\0\0\0" + struct.pack("<HH", side, side))
    return one[:begin] + frames * one[begin:-1] + b";"


def bmp(info: int, width: int, height: int, depth: int, packing: int, content: bytes) -> bytes:
    """A BMP file with a header of `info` bytes; `content` is what follows the first 40 of them."""
    place = 14 + info if depth > 8 else 14 + info + 1024
    head = struct.pack("<IiiHHIIiiII", info, width, height, 1, depth, packing, 0, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 14 + len(head) + len(content), 0, 0, place) + head + content

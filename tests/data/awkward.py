"""Awkward image files as bytes: written by Pillow, or made by hand where Pillow writes none."""

import io
import struct
import zlib

import numpy as np
import PIL.Image
import PIL.ImageOps


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


def with_exif(jpeg: bytes, data: bytes, before: bytes = b"") -> bytes:
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


PIXELS = smooth()
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
    "rotated.jpg": (with_exif(JPEG, tiff(6)), READ),
    "rotated_grey.jpg": (with_exif(written(PICTURE.convert("L"), "JPEG"), tiff(5, big=True)), READ),
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
    "frames.gif": (many_frames(40, 2000), "160000000 pixels in all frames, more than"),
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

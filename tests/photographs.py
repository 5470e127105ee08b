"""Ten small JPEG files that look like photographs, drawn with fixed seeds, so that every clone can run the tests.

Each has a sky with a gradient, a textured ground, hard edges, saturated colours, text and the grain of a sensor.
"""

from pathlib import Path

import numpy as np
import PIL.Image
import PIL.ImageDraw

# Height and width as shown, and how Pillow saves the file.
FILES = {
    "field.jpg": ((375, 500), {"quality": 90, "subsampling": "4:2:0"}),
    "flowers.jpg": ((500, 375), {"quality": 85, "subsampling": "4:2:0"}),
    "harbour.jpg": ((333, 500), {"quality": 95, "subsampling": "4:4:4"}),
    "large.jpg": ((600, 800), {"quality": 80, "subsampling": "4:2:2"}),
    "panorama.jpg": ((240, 700), {"quality": 88, "subsampling": "4:2:0", "progressive": True}),
    "grey.jpg": ((400, 300), {"quality": 90}),
    "crop_size.jpg": ((224, 300), {"quality": 92, "subsampling": "4:4:4"}),
    "below_crop_size.jpg": ((170, 230), {"quality": 90, "subsampling": "4:2:0"}),
    "square.jpg": ((256, 256), {"quality": 75, "subsampling": "4:2:0"}),
    "rotated.jpg": ((480, 360), {"quality": 90, "subsampling": "4:2:0"}),
}
ROTATED_90 = 6  # the EXIF orientation of a camera on its side


def write_photographs(folder: Path) -> list[Path]:
    """Draws the files of `FILES` in a folder and returns their paths in that order."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for seed, (name, ((height, width), options)) in enumerate(FILES.items()):
        picture = draw(seed, height, width)
        if name == "grey.jpg":
            picture = picture.convert("L")
        if name == "rotated.jpg":
            exif = PIL.Image.Exif()
            exif[0x0112] = ROTATED_90
            picture, options = picture.transpose(PIL.Image.Transpose.ROTATE_90), options | {"exif": exif}
        picture.save(folder / name, "JPEG", **options)
        paths.append(folder / name)
    return paths


def draw(seed: int, height: int, width: int) -> PIL.Image.Image:
    """One picture; the same seed draws the same pixels."""
    random = np.random.default_rng(seed)
    horizon = int(height * random.uniform(0.35, 0.65))
    sky, ground = random.uniform([60, 100, 160], [170, 190, 255]), random.uniform([30, 60, 10], [150, 140, 80])
    rows = np.linspace(0, 1, height)[:, None, None]
    pixels = np.broadcast_to(sky + (245 - sky) * rows**1.5, (height, width, 3)).copy()
    pixels[horizon:] = ground * (0.6 + 0.8 * texture(random, height, width)[horizon:, :, None])
    pixels += 12 * (texture(random, height, width) - 0.5)[..., None]  # clouds, and light on the ground
    picture = PIL.Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
    _add_objects(picture, random, horizon)
    grain = random.normal(0, 3, (height, width, 3))
    return PIL.Image.fromarray((np.asarray(picture) + grain).round().clip(0, 255).astype(np.uint8))


def texture(random: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Noise in which each halved size has half the amplitude, as in nature, (height, width) float in [0, 1]."""
    total = np.zeros((height, width))
    for cells in (4, 8, 16, 32, 64, 128):
        noise = PIL.Image.fromarray(random.uniform(0, 1, (cells, cells)).astype(np.float32))
        total += np.asarray(noise.resize((width, height), PIL.Image.Resampling.BICUBIC)) / cells
    return (total - total.min()) / np.ptp(total)


def _add_objects(picture: PIL.Image.Image, random: np.random.Generator, horizon: int) -> None:
    """A house with a sign, and twenty flowers of saturated colours."""
    pen, (width, height) = PIL.ImageDraw.Draw(picture), picture.size
    side = min(width, height) // 3
    left, top = int(random.uniform(0, width - side)), horizon - side // 2
    pen.rectangle((left, top, left + side, top + side), fill=_color(random))
    pen.polygon([(left, top), (left + side, top), (left + side // 2, top - side // 2)], fill=_color(random))
    pen.text((left + side // 8, top + side // 3), "VGG 1409.1556", fill="white", font_size=max(side // 7, 8))
    for _ in range(20):
        x, y = random.uniform(0, width), random.uniform(horizon, height)
        radius = side / 12 * random.uniform(0.5, 1.5)
        petals = _color(random)
        for angle in np.linspace(0, 2 * np.pi, 7)[:-1]:
            dx, dy = radius * np.cos(angle), radius * np.sin(angle)
            pen.ellipse((x + dx - radius / 2, y + dy - radius / 2, x + dx + radius / 2, y + dy + radius / 2), petals)
        pen.ellipse((x - radius / 2, y - radius / 2, x + radius / 2, y + radius / 2), fill=_color(random))


def _color(random: np.random.Generator) -> tuple[int, int, int]:
    """A saturated colour: one channel near 255, one near 0."""
    channels = [int(random.uniform(215, 256)), int(random.uniform(0, 256)), int(random.uniform(0, 40))]
    return tuple(channels[place] for place in random.permutation(3))

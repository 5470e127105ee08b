"""Boxes: a coloured rectangle is found in the crop by a NumPy loop where its box says; what a list holds, and what is wrong."""

from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from vgg_keras.config import Architecture, Config, Data
from vgg_keras.data import pipeline
from vgg_keras.data.boxes import problem
from vgg_keras.data.scan import without_bad_images
from vgg_keras.data.sources import open_source
from vgg_keras.errors import UserError
from vgg_keras.overrides import override, parse_assignments

ORIENTATIONS = range(1, 9)
# Pillow's operation that turns an upright picture into the pixels that a file of this orientation stores
STORED = {
    2: PIL.Image.Transpose.FLIP_LEFT_RIGHT,
    3: PIL.Image.Transpose.ROTATE_180,
    4: PIL.Image.Transpose.FLIP_TOP_BOTTOM,
    5: PIL.Image.Transpose.TRANSPOSE,
    6: PIL.Image.Transpose.ROTATE_90,
    7: PIL.Image.Transpose.TRANSVERSE,
    8: PIL.Image.Transpose.ROTATE_270,
}


def draw(path, size, box, orientation=1, **options):
    """A grey picture of (width, height) with a red rectangle, stored in an orientation."""
    picture = PIL.Image.new("RGB", size, (90, 110, 110))
    picture.paste((250, 20, 20), tuple(box))
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    if orientation > 1:
        picture = picture.transpose(STORED[orientation])
    picture.save(path, **({"exif": exif, "quality": 95, "subsampling": 0} if path.suffix == ".jpg" else {}), **options)


def write_list(folder, rows, header="path,label,split,xmin,ymin,xmax,ymax"):
    (folder / "list.csv").write_text("\n".join([header, *(",".join(map(str, row)) for row in rows)]) + "\n")
    return str(folder / "list.csv")


def config_of(source, *changes, crop=64, scale=80):
    config = Config(
        Architecture("A", crop=crop, boxes="pcr"), Data(source=source, scale=(scale,), color_shift=0.0, batch=8)
    )
    values = ["evaluation.protocol=center", "data.several_boxes=largest", *changes]
    return override(config, parse_assignments(values))


def opened(config):
    return without_bad_images(
        open_source(config.data), override(config, {"runtime.cache_dir": str(Path(config.data.source).parent)})
    )


def found_box(crop):
    """The smallest and largest row and column of the red pixels, half-covered pixels counted by their share; in pixels."""
    red = np.clip((crop[..., 0].astype(np.float64) - crop[..., 1]) / 230, 0, 1)
    columns, rows = red.max(axis=0), red.max(axis=1)
    if red.max() < 0.5:
        return None
    edges = []
    for line in (columns, rows):
        inside = np.flatnonzero(line > 0.5)
        edges.append(
            (inside[0] + 1 - line[inside[0]] - (line[inside[0] - 1] if inside[0] else 0), inside[-1] + line[inside[-1]])
        )
    (xmin, xmax), (ymin, ymax) = edges
    return np.array([xmin, ymin, xmax, ymax])


def edges_of(target, crop):
    """A target as xmin, ymin, xmax, ymax in pixels of the crop."""
    centre, size = target[1:3], target[3:]
    return np.concatenate([centre - size / 2, centre + size / 2]) * crop


@pytest.fixture(scope="module")
def rectangles(tmp_path_factory):
    """A list of rectangles in sixteen files: JPEGs of each orientation and PNGs, of many sizes."""
    folder, random, rows = tmp_path_factory.mktemp("rectangles"), np.random.default_rng(0), []
    for place in range(16):
        width, height = random.integers(100, 420, 2)
        left, top = random.integers(0, width * 0.5), random.integers(0, height * 0.5)
        box = left, top, random.integers(left + width * 0.3, width + 1), random.integers(top + height * 0.3, height + 1)
        name = f"{place:02}.{'png' if place % 4 == 3 else 'jpg'}"
        draw(
            folder / name,
            (int(width), int(height)),
            map(int, box),
            1 if name.endswith("png") else ORIENTATIONS[place // 2],
        )
        rows.append((name, "ab"[place % 2], "train", *box))
    draw(folder / "val.png", (300, 200), (60, 40, 200, 180))
    rows += [("val.png", "a", "val", 60, 40, 200, 180)]
    return write_list(folder, rows)


@pytest.mark.parametrize(
    "changes",
    [
        ("data.jpeg_decoding=window",),
        ("data.jpeg_decoding=full", "data.scale=70,180"),
        ("data.jpeg_decoding=window", "data.scale=70,180", "data.visible_box=1"),
        ("data.interpolation=bicubic", "data.flip=false", "data.visible_box=0"),
        ("data.jpeg_decoding=full", "data.cut_boxes=clip"),
        ("data.pad=6",),
    ],
    ids=" ".join,
)
def test_a_crop_shows_its_rectangle_where_its_target_says(rectangles, changes):
    config = config_of(rectangles, *changes)
    source, bad = opened(config)
    assert not bad and source.train.size == 16
    crop, off, cuts = 64, [], 0
    batches = pipeline.training(source.train, config.data, crop, np.zeros((3, 3), np.float32), 3, 0, 8)  # four epochs
    for images, targets, _ in batches.as_numpy_iterator():
        for pixels, target in zip(images, targets, strict=True):
            found = found_box(pixels)
            edges = edges_of(target, crop)
            cuts += edges.min() < -1 or edges.max() > crop + 1
            if found is None:  # nothing is seen: of width or height less than a pixel is inside
                visible = np.minimum(edges[2:], crop) - np.maximum(edges[:2], 0)
                assert config.data.visible_box < 0.5 and visible.min() < 1
                continue
            off.append(np.abs(found - np.clip(edges, 0, crop)).max())
            size, seen = edges[2:] - edges[:2], np.clip(edges[2:], 0, crop) - np.clip(edges[:2], 0, crop)
            if config.data.cut_boxes == "whole":
                assert (seen >= np.minimum(config.data.visible_box * size, crop) - 1.5).all(), "too little is seen"
    print(
        f"{' '.join(changes)}: largest difference {max(off):.2f}, mean {np.mean(off):.2f} pixels, {cuts} boxes are cut"
    )
    assert max(off) < 1.3 and np.mean(off) < 0.5 and len(off) > 40
    if config.data.cut_boxes == "clip":
        assert not cuts
    elif config.data.visible_box < 1:
        assert cuts


@pytest.mark.parametrize("flip", ["true", "false"])
def test_a_box_is_mirrored_where_its_crop_is(tmp_path, flip):
    """A picture as wide as the crop: the box's centre is at 35 % of it, or at 65 % of the mirror image."""
    for name in "abc":
        draw(tmp_path / f"{name}.png", (100, 160), (10, 10, 60, 70))
    rows = [
        (f"{name}.png", "xyx"[place], ("train", "train", "val")[place], 10, 10, 60, 70)
        for place, name in enumerate("abc")
    ]
    config = config_of(write_list(tmp_path, rows), f"data.flip={flip}", "data.visible_box=0", scale=64)
    source, _ = opened(config)
    basis, centres = np.zeros((3, 3), np.float32), set()
    for epoch in range(12):
        _, target = pipeline.training_crop(source.train, 0, 0, epoch, config.data, 64, basis)
        centres.add(round(float(target[1]), 3))
    assert centres == ({0.35, 0.65} if flip == "true" else {0.35})


def test_a_crop_alone_is_that_of_the_batch(rectangles):
    config, basis = config_of(rectangles), np.zeros((3, 3), np.float32)
    source, _ = opened(config)
    rows = next(pipeline.training(source.train, config.data, 64, basis, 3, 1, 2).as_numpy_iterator())[1]
    alone = pipeline.training_crop(source.train, 5, 3, 0, config.data, 64, basis)[1].numpy()
    first = next(pipeline.training(source.train, config.data, 64, basis, 3, 0, 1).as_numpy_iterator())[1]
    assert any((row == alone).all() for row in np.concatenate([first, rows]))


def test_validation_crops_show_their_rectangles(tmp_path):
    rows = []
    for place, (size, box, orientation) in enumerate(
        [((300, 200), (60, 40, 200, 180), 1), ((220, 330), (10, 60, 200, 260), 6), ((150, 90), (0, 0, 150, 90), 1)]
    ):
        draw(tmp_path / f"{place}.jpg", size, box, orientation)
        rows.append((f"{place}.jpg", "ab"[place % 2], "train", *box))
    for row in list(rows):
        (tmp_path / f"v{row[0]}").write_bytes((tmp_path / row[0]).read_bytes())
        rows.append((f"v{row[0]}", row[1], "val", *row[3:]))
    config = config_of(write_list(tmp_path, rows))
    source, _ = opened(config)
    ((images, targets, weights),) = pipeline.validation(source.val, config.data, 64, 80, 4).as_numpy_iterator()
    off = [
        np.abs(found_box(pixels) - np.clip(edges_of(target, 64), 0, 64)).max()
        for pixels, target, weight in zip(images, targets, weights, strict=True)
        if weight
    ]
    print(f"validation: largest difference {max(off):.2f} pixels")
    assert len(off) == 3 and max(off) < 1


# ---- lists of boxes


@pytest.fixture
def pictures(tmp_path):
    """Twenty PNGs of 100 x 80, a.png to t.png, and a function that opens a list of them."""
    for name in "abcdefghijklmnopqrst":
        draw(tmp_path / f"{name}.png", (100, 80), (10, 10, 60, 70))

    def listed(changed, *changes):
        """Every picture with one right box, `changed` rows instead of that of some."""
        rows = []
        for place, name in enumerate("abcdefghijklmnopqrst"):
            split = "val" if place >= 16 else "train"
            boxes = changed.get(name, [(10, 10, 60, 70)])
            rows += [(f"{name}.png", box[4] if len(box) > 4 else "xy"[place % 2], split, *box[:4]) for box in boxes]
        return opened(config_of(write_list(tmp_path, rows), *changes))

    return listed


@pytest.mark.parametrize(
    ("box", "reason"),
    [
        ((10, 10, 160, 70), "reaches outside the image of 100 x 80 pixels"),
        ((-9, 10, 60, 70), "reaches outside"),
        ((60, 10, 10, 70), "is inverted"),
        ((10, 10, 10, 70), "is empty"),
        ((0.1, 0.1, 0.6, 0.7), "is in shares of the image, where pixels are needed"),
        (("nan", 10, 60, 70), "is not finite"),
        (("inf", 10, 60, 70), "is not finite"),
        ((100, 10, 100.8, 20), "lies outside the image of 100 x 80 pixels"),
        ((10, -0.7, 60, 0), "lies outside"),
        (("", "", "", ""), "it has no box"),
    ],
)
def test_a_wrong_box_is_named_and_its_image_skipped(pictures, box, reason):
    source, bad = pictures({"c": [box]}, "data.max_bad_fraction=0.06")
    assert source.train.size == 15 and len(bad) == 1
    assert bad[0].name.endswith("c.png") and reason in bad[0].reason
    with pytest.raises(
        UserError, match=r"At most 1\.0% of the images may be unreadable or without a right box.*1 of 20.*c\.png"
    ):
        pictures({"c": [box]})


def test_a_box_that_a_tool_rounds_is_cut_at_the_edge(pictures):
    source, bad = pictures({"a": [(0.0, -0.6, 101, 80.5)]})
    assert not bad and source.train.boxes.of(0).tolist() == [[0, 0, 100, 80]]
    assert problem(np.array([[0, 0, 101.1, 80]]), 80, 100)


def test_images_with_several_boxes(pictures):
    several = {"a": [(0, 0, 10, 10), (5, 5, 90, 70), (1, 1, 4, 4)], "q": [(0, 0, 10, 10), (5, 5, 90, 70)]}
    source, _ = pictures(several)
    assert source.train.size == 16 and source.train.boxes.of(0).tolist() == [
        [0, 0, 10, 10],
        [5, 5, 90, 70],
        [1, 1, 4, 4],
    ]
    assert source.train.boxes.largest()[0].tolist() == [5, 5, 90, 70]
    source, _ = pictures(several, "data.several_boxes=left_out")
    assert (source.train.size, source.val.size) == (15, 3)
    assert any("1 of 16 train images have several boxes" in note for note in source.notes)
    source, _ = pictures(several, "data.several_boxes=random")
    data = config_of("list.csv", "data.several_boxes=random", "data.visible_box=0").data
    centres = set()
    for epoch in range(12):
        _, target = pipeline.training_crop(source.train, 0, 0, epoch, data, 64, np.zeros((3, 3), np.float32))
        centres.add(tuple(np.round(target.numpy()[3:], 2)))
    assert len(centres) == 3  # sizes of the three boxes
    both = source.split("all")
    assert both.boxes.of(0).tolist() == source.val.boxes.of(0).tolist()
    assert both.boxes.of(source.val.size).tolist() == source.train.boxes.of(0).tolist()


def test_an_image_of_several_classes_is_an_image_of_each(pictures):
    source, _ = pictures({"a": [(0, 0, 10, 10, "x"), (5, 5, 90, 70, "y"), (5, 5, 20, 20, "y")]})
    places = [place for place in range(source.train.size) if source.train.name(place) == "a.png"]
    assert [source.classes[source.train.labels[place]] for place in places] == ["x", "y"]
    assert [len(source.train.boxes.of(place)) for place in places] == [1, 2]
    assert [source.train.boxes.single[place] for place in places] == [False, False]
    assert any("images with boxes of several classes are an image of each" in note for note in source.notes)


def test_what_is_no_list_of_boxes_is_refused(tmp_path, pictures):
    with pytest.raises(UserError, match="line 4: the box a, 10, 60, 70, where xmin, ymin, xmax, ymax are numbers"):
        pictures({"c": [("a", 10, 60, 70)]})
    header = "path,label,split,xmin,ymin,xmax"  # without ymax
    rows = [("a.png", "x", "train", 1, 2, 3), ("b.png", "y", "train", 1, 2, 3), ("c.png", "y", "val", 1, 2, 3)]
    with pytest.raises(UserError, match="needs images with boxes: a .csv list with the columns xmin, ymin, xmax, ymax"):
        opened(config_of(write_list(tmp_path, rows, header)))
    rows = [("a.png", "x", "train"), ("b.png", "y", "train"), ("c.png", "y", "val")]
    with pytest.raises(UserError, match=r"A net of boxes needs images with boxes.*without boxes"):
        opened(config_of(write_list(tmp_path, rows, "path,label,split")))
    rows = [("a.png", "x|y", "train", *[1, 2, 30, 40]), ("b.png", "y", "train", *[1, 2, 30, 40])]
    rows += [("c.png", "x", "val", *[1, 2, 30, 40])]
    with pytest.raises(
        UserError, match=r"A net of boxes needs images with boxes.*list.csv, with several labels in a row"
    ):
        opened(config_of(write_list(tmp_path, rows)))
    with pytest.raises(UserError, match=r"A net of boxes needs images with boxes.*--data=digits"):
        opened(config_of("digits"))


def test_a_classification_takes_a_list_of_boxes_as_images(pictures, tmp_path):
    pictures({"c": [(60, 10, 10, 70)]}, "data.max_bad_fraction=0.06")
    source, bad = opened(override(config_of(str(tmp_path / "list.csv")), {"architecture.boxes": "none"}))
    assert not bad and source.train.size == 16 and source.train.boxes is None

"""Pillow's crops for a DataLoader: the same work as ours, by Pillow and by hand."""

import numpy as np
import PIL.Image

from vgg_keras.benchmarks.peers import PillowCrops


def test_an_image_at_s_and_of_the_crops_size_is_itself_or_its_mirror_image(random, tmp_path):
    pixels = random.integers(0, 256, (24, 24, 3), np.uint8)
    PIL.Image.fromarray(pixels).save(tmp_path / "a.png")
    crops = PillowCrops([str(tmp_path / "a.png")] * 40, crop=24, scale=(24,), color_shift=0.0)
    found = [crops[place] for place in range(len(crops))]
    mirrored = [not np.array_equal(one, pixels) for one in found]
    assert 8 < sum(mirrored) < 32
    assert all(np.array_equal(one[:, ::-1], pixels) for one, other in zip(found, mirrored, strict=True) if other)
    assert found[0].dtype == np.float32 and all(one.flags["C_CONTIGUOUS"] for one in found)


def test_a_crop_is_a_window_anywhere_in_the_image_rescaled_to_any_s(random, tmp_path):
    """Each is found again, mirrored or not, among all windows of the picture that Pillow rescales to 40, 41 and 42."""
    picture = PIL.Image.fromarray(random.integers(0, 256, (20, 30, 3), np.uint8))
    picture.save(tmp_path / "a.png")
    windows = {}
    for side in (40, 41, 42):
        rescaled = np.asarray(picture.resize((round(1.5 * side), side), PIL.Image.Resampling.BILINEAR))
        for top in range(side - 31):
            for left in range(rescaled.shape[1] - 31):
                window = rescaled[top : top + 32, left : left + 32]
                windows |= {window.tobytes(): (side, top, left), window[:, ::-1].tobytes(): (side, top, left)}
    crops = PillowCrops([str(tmp_path / "a.png")] * 150, crop=32, scale=(40, 42), color_shift=0.0)
    found = [windows[crops[place].astype(np.uint8).tobytes()] for place in range(150)]
    of_40 = [place for place in found if place[0] == 40]
    assert {side for side, _, _ in found} == {40, 41, 42}
    assert {top for _, top, _ in of_40} == set(range(9))  # the last window included
    assert min(left for _, _, left in found) == 0 and max(left for _, _, left in of_40) > 25


def test_the_colour_shift_is_one_for_an_image_of_the_given_deviation(tmp_path):
    PIL.Image.new("RGB", (8, 8), (100, 100, 100)).save(tmp_path / "a.png")
    crops = PillowCrops([str(tmp_path / "a.png")] * 300, crop=8, scale=(8,), color_shift=25.5)
    found = np.stack([crops[place] for place in range(300)])
    assert (found == found[:, :1, :1]).all()
    shifts = found[:, 0, 0] - 100
    print(f"deviation of 900 shifts {shifts.std():.1f}, mean {shifts.mean():.1f}")
    assert abs(shifts.std() - 25.5) < 2.5 and abs(shifts.mean()) < 3.5

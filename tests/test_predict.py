"""Predictions of photographs: the numbers are those of the source's own framework, and what is no picture is named."""

import json
import os
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.special import softmax

import vgg_keras
from tests.conftest import write_images
from tests.weights import sources
from tests.weights.sources import normalised
from vgg_keras.data.decoding import decode
from vgg_keras.data.rescaling import center_crop
from vgg_keras.errors import UserError
from vgg_keras.overrides import override

CENTER = {"evaluation.protocol": "center", "evaluation.flip": False}


@pytest.fixture
def album(tmp_path, photographs):
    """A folder of three photographs with a text and a hidden file beside them, and its sorted paths."""
    for place, path in enumerate(photographs[:3]):
        (tmp_path / "album" / "inside").mkdir(parents=True, exist_ok=True)
        shutil.copy(path, tmp_path / "album" / ("inside" if place else "") / f"{place}.jpg")
    (tmp_path / "album" / "notes.txt").write_text("mine")
    (tmp_path / "album" / ".hidden.jpg").write_text("none")
    return tmp_path / "album", sorted((tmp_path / "album").rglob("[0-9].jpg"))


@pytest.mark.slow
def test_probabilities_are_torchs(tmp_path, album):
    net = sources.torch_vgg("A", width=1 / 16, crop=64, classes=7)
    torch.save(net.state_dict(), tmp_path / "vgg.pth")
    folder, paths = album
    run = vgg_keras.load_net(tmp_path / "vgg.pth")
    config = override(run.config, {**CENTER, "data.scale": (80,)})
    crops = np.stack([center_crop(decode(path.read_bytes()), 80, 64, "bilinear") for path in paths])
    expected = softmax(sources.logits(net, normalised(crops)).astype(np.float64), axis=1)
    for given in ([folder], paths):
        found = vgg_keras.predict_images(run, given, config=config, top=7)
        assert [prediction.path for prediction in found] == [str(path) for path in paths]
        for prediction, row in zip(found, expected, strict=True):
            order = np.argsort(-row)
            assert prediction.classes == tuple(map(str, order))  # the file names none
            assert np.abs(np.array(prediction.probabilities) - row[order]).max() <= 1e-5
    print(f"probabilities from {expected.min():.2g} to {expected.max():.2g}")
    assert np.ptp(expected, axis=0).max() > 0.01
    # a model alone, by the dense test with mirror images: shifted by nothing, so the mirrored photographs say the same
    two = vgg_keras.predict_images(run.model, paths[:1], classes="abcdefg", top=2)
    assert len(two[0].classes) == 2 and set(two[0].classes) <= set("abcdefg")


@pytest.mark.slow
def test_all_protocols_scales_and_mirror_images_are_torchs_on_pillows_photographs(tmp_path, photographs):
    """3.2 by torch's net, from the files on: whole images and a grid of 3 x 3 crops at two Q; one photograph is stored turned."""
    net = sources.torch_vgg("A", width=1 / 16, crop=64, classes=7)
    torch.save(net.state_dict(), tmp_path / "vgg.pth")
    run = vgg_keras.load_net(tmp_path / "vgg.pth")
    paths = [path for path in photographs if path.stem in ("field", "rotated", "panorama", "grey")]
    dense, grid = np.zeros((2, len(paths), 7))
    for row, path in enumerate(paths):
        for side in (72, 100):
            views = image, _ = sources.views_of(path, side)
            posteriors = [softmax(sources.over_windows(net, view, 7).mean(axis=0)) for view in views]
            dense[row] += np.mean(posteriors, axis=0) / 2
            tops, lefts = (np.rint(np.linspace(0, length - 64, 3)).astype(int) for length in image.shape[1:3])
            crops = np.concatenate([image[:, top : top + 64, left : left + 64] for top in tops for left in lefts])
            crops = np.concatenate([crops, crops[:, :, ::-1]])
            grid[row] += softmax(sources.logits(net, crops).astype(float), axis=1).mean(axis=0) / 2
    both = (dense + grid) / 2
    for protocol, expected in (("dense", dense), ("multi_crop", grid), ("both", both)):
        test = {"evaluation.protocol": protocol, "evaluation.scales": (72, 100), "evaluation.grid": 3}
        found = vgg_keras.predict_images(run, paths, config=override(run.config, test), top=7)
        named = [dict(zip(one.classes, one.probabilities, strict=True)) for one in found]
        off = np.abs([[one[str(label)] for label in range(7)] for one in named] - expected).max()
        print(
            f"{protocol}: largest difference {off:.2g} of probabilities from {expected.min():.2g} to {expected.max():.2g}"
        )
        assert off <= 1e-4 and np.ptp(expected, axis=0).max() > 0.05
    assert np.abs(dense - grid).max() > 0.01


def test_what_is_no_picture_is_named_and_nothing_is_predicted(tmp_path, album):
    _, paths = album
    run = vgg_keras.build("A", num_classes=3, crop=32, width=1 / 16)
    (tmp_path / "page.jpg").write_text("<html>")
    (tmp_path / "cut.jpg").write_bytes(paths[0].read_bytes()[:2000])
    with pytest.raises(UserError, match=r"must be image files\. Received: .*page\.jpg: .*; .*cut\.jpg: ") as caught:
        vgg_keras.predict_images(run, [tmp_path / "page.jpg", *paths, tmp_path / "cut.jpg"])
    assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match=r"must exist\. Received: absent\.jpg"):
        vgg_keras.predict_images(run, ["absent.jpg"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"holds pictures\. Received: .*empty, without any"):
        vgg_keras.predict_images(run, [tmp_path / "empty"])


def test_a_thousand_classes_are_imagenets(tmp_path):
    net = sources.torch_vgg("A", width=1 / 16, crop=32, classes=1000)
    torch.save(net.state_dict(), tmp_path / "vgg.pth")
    classes = vgg_keras.load_net(tmp_path / "vgg.pth", stated={"crop": 32}).classes
    assert (len(set(classes)), classes[0], classes[207], classes[999]) == (
        1000,
        "tench",
        "golden retriever",
        "toilet tissue",
    )


@pytest.mark.slow
def test_the_command_line(run_command, tmp_path, album):
    net = sources.torch_vgg("A", width=1 / 16, crop=64, classes=1000)
    torch.save(net.state_dict(), tmp_path / "vgg.pth")
    folder, paths = album
    words = ["--weights=vgg.pth", "--set=runtime.precision=float32"]
    done = run_command("predict", *words, str(folder), "--json", "--top=3", "--out=seen.png", "--cam=maps")
    assert done.returncode == 0, done.stderr
    assert {path.name for path in (tmp_path / "maps").iterdir()} == {f"{path.name}.png" for path in paths}
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    found = vgg_keras.predict_images(vgg_keras.load_net(tmp_path / "vgg.pth"), paths, top=3)
    for line, prediction in zip(lines, found, strict=True):
        assert [pair["name"] for pair in line["classes"]] == list(prediction.classes)
        assert [pair["probability"] for pair in line["classes"]] == pytest.approx(prediction.probabilities, rel=1e-3)
    assert (tmp_path / "seen.png").stat().st_size > 20_000
    done = run_command("predict", *words, "--set=evaluation.protocol=center", str(paths[0]))
    assert done.returncode == 0 and str(paths[0]) in done.stdout and "%" in done.stdout
    for arguments, message in (
        ([*words, "notes.txt", "--sha256=00"], "must have the expected sha256, 00"),
        (
            ["--model=absent", str(paths[0])],
            "--model takes a run's folder, the --workdir of its training. Received: absent",
        ),
        ([str(paths[0])], "--model=RUN is a run's net, --weights=SOURCE another's: give one. Received: none of them."),
        ([*words, str(folder / "notes.txt")], "Photographs must be image files. Received: "),
    ):
        done = run_command("predict", *arguments)
        assert done.returncode == 2 and message in done.stderr and "Traceback" not in done.stderr


@pytest.mark.slow
def test_evaluate_tests_the_weights_of_others(run_command, tmp_path, photographs):
    """On parts of photographs, of which every other one has the class that torch predicts: the errors are torch's."""
    net = sources.torch_vgg("A", width=1 / 16, crop=32, classes=17)
    torch.save(net.state_dict(), tmp_path / "vgg.pth")
    opened = [Image.open(path).convert("RGB") for path in photographs]
    parts = [one.crop((x, 40, x + 72, 120)) for one in opened for x in range(0, 210, 30)][:68]
    crops = np.stack([center_crop(np.asarray(part), 40, 32, "bilinear") for part in parts])
    predicted = sources.logits(net, normalised(crops)).argmax(axis=1)
    labels = np.where(np.arange(68) % 2, np.arange(68) // 2 % 17, predicted)  # each class has images
    for number, (part, label) in enumerate(zip(parts, labels, strict=True)):
        (tmp_path / f"data/val/{label:02d}").mkdir(parents=True, exist_ok=True)
        part.save(tmp_path / f"data/val/{label:02d}/{number:02d}.png")
    words = ["--data=data", "--weights=vgg.pth", "--out=test", "--scales=40", "--protocol=center"]
    words.append("--set=architecture.crop=32")  # of FC layers that take one position
    done = run_command("evaluate", *words, "--set=evaluation.flip=false", "--set=runtime.precision=float32")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    wrong = 100 * np.mean(predicted != labels)
    print(f"top-1 error {result['top1_error']:.2f} %, torch's {wrong:.2f} %")
    assert 40 < wrong < 60 and result["top1_error"] == pytest.approx(wrong)
    assert result["rows"][0]["images"] == 68
    config = tmp_path / "mine.py"
    config.write_text(
        "from vgg_keras.config import *\n"
        "def config():\n    return Config(Architecture('A', width=1/16, crop=32), Data(scale=(40,)))\n"
    )
    done = run_command("evaluate", *words[:2], "--out=other", "--config=mine.py", "--set=evaluation.protocol=center")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["scales"] == [40]
    done = run_command("evaluate", *words[:2], "--out=other", "--config=E")
    assert done.returncode == 2 and "must hold the layers of E and no more" in done.stderr
    done = run_command("evaluate", "--weights=vgg.pth", "--out=other")
    assert done.returncode == 2 and "--weights needs --data and --out" in done.stderr


def test_linked_folders_are_predicted_too_and_no_loop_is_followed(tmp_path):
    write_images(tmp_path / "elsewhere", [(40, 40)] * 2)
    write_images(tmp_path / "album", [(40, 40)])
    (tmp_path / "album" / "more").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "album" / "loop").symlink_to(".")
    run = vgg_keras.build("A", num_classes=3, crop=32, width=1 / 16)
    found = [prediction.path for prediction in vgg_keras.predict_images(run, [tmp_path / "album"])]
    assert found == [str(tmp_path / "album" / name) for name in ("000.jpg", "more/000.jpg", "more/001.jpg")]


def test_what_is_no_file_is_named_unread(tmp_path):
    run = vgg_keras.build("A", num_classes=3, crop=32, width=1 / 16)
    os.mkfifo(tmp_path / "fifo\n.jpg")
    for path, said in ((tmp_path / "fifo\n.jpg", r"fifo\\n\.jpg: a FIFO"), ("/dev/zero", "/dev/zero: a device")):
        with pytest.raises(UserError, match=said) as caught:
            vgg_keras.predict_images(run, [path])
        assert "\n" not in str(caught.value)

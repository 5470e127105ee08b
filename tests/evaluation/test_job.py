"""The values of an evaluation's flags: Q, the three scales of 3.2, and what a fusion takes."""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import write_images
from tests.data.toy_splits import labels
from vgg_keras.config import Architecture, Config, Data, Runtime
from vgg_keras.errors import UserError
from vgg_keras.evaluation import job
from vgg_keras.weights.formats.run_folder import LoadedModel


def test_scales_are_sides_or_multi():
    assert job.parse_flag("evaluation.scales", "256,384, 512") == (256, 384, 512)
    assert job.parse_flag("evaluation.scales", job.MULTI) == ()  # they follow from S, which is known later
    assert job.parse_flag("evaluation.protocol", "both") == "both"
    for text in ("mutli", "", "256,", "256;384", "-256", "2.5", "256,multi"):
        with pytest.raises(UserError, match="--scales takes sides in pixels with commas between them, or multi"):
            job.parse_flag("evaluation.scales", text)
    with pytest.raises(UserError):
        job.parse_flag("evaluation.scales", "²")


@pytest.mark.parametrize(("scale", "expected"), [((256,), (224, 256, 288)), ((256, 512), (256, 384, 512))])
def test_multi_is_the_three_scales_of_3_2(scale, expected):
    config = job.with_multi_scales(Config(Architecture("D"), Data(scale=scale)))
    assert config.test_scales == config.evaluation.scales == expected


def test_multi_needs_scales_of_the_crop_or_more():
    config = Config(Architecture("D", crop=32), Data(scale=(40,)))
    with pytest.raises(UserError, match=r"--scales=multi is .*Received: 8,40,72 for the crop of 32\. Name the scales"):
        job.with_multi_scales(config)


def test_a_fusion_takes_no_setting_of_a_test(tmp_path):
    for path, value in (("evaluation.flip", False), ("localization.iou", 0.75), ("runtime.precision", "float32")):
        with pytest.raises(UserError, match=rf"the rest is fixed\. Received: {path}: "):
            job.fuse([], {"data.source": "digits", path: value}, None, tmp_path / "out")
    with pytest.raises(UserError, match=r"several_boxes belongs to architecture\.boxes=scr .* Leave it out\.$"):
        job.fuse([], {"data.source": "digits", "data.several_boxes": "left_out"}, None, tmp_path / "out")
    with pytest.raises(UserError, match="takes two different files of posteriors"):
        job.fuse([], {}, None, tmp_path / "out")


def test_the_table_and_a_line_of_json_are_printed(tmp_path, capsys):
    (tmp_path / "report.md").write_text("# D: 25.6 %\n\n| table |\n\n## Classes\n\n| more |\n")
    job.print_result({"top1_error": 25.6, "paper": None}, tmp_path)
    lines = capsys.readouterr().out.splitlines()
    assert "| table |" in lines and "| more |" not in lines and f"the whole report: {tmp_path}/report.html" in lines
    assert json.loads(lines[-1]) == {"top1_error": 25.6, "paper": None}


def test_images_of_some_of_the_nets_classes_have_its_numbers(tmp_path, capsys):
    """New photographs seldom are of every class; another source may have another order."""
    for name in ("ant", "dog"):
        write_images(tmp_path / "photos" / name, [(8, 8)] * 2)
    config = Config(data=Data(source=str(tmp_path / "photos")), runtime=Runtime(cache_dir=str(tmp_path / "cache")))
    names = ("cat", "dog", "emu", "ant")
    net = LoadedModel(None, Config(architecture=Architecture("A", num_classes=4)), names, Path("runs/A"), "12")
    images, classes = job.tested_images(config, "all", net)
    assert classes == images.split.classes == names and images.split.class_counts.tolist() == [0, 2, 0, 2]
    assert labels(images.split) == images.split.labels.tolist() == [3, 3, 1, 1]
    assert "note: the data has 2 of the net's 4 classes" in capsys.readouterr().out
    turned = dataclasses.replace(net, classes=("dog", "ant"))
    assert job.tested_images(config, "all", turned)[0].split.labels.tolist() == [1, 1, 0, 0]
    assert "note: the data has the net's classes in another order" in capsys.readouterr().out
    write_images(tmp_path / "photos" / "owl", [(8, 8)])
    with pytest.raises(UserError, match="whose class 0 is 'ant', the net's 'cat'"):
        job.tested_images(config, "all", net)


def test_a_report_is_printed_in_a_locale_that_is_not_utf_8(tmp_path):
    (tmp_path / "report.md").write_text("9.0 ± 1.0\n## more", encoding="utf-8")
    script = (
        "import pathlib; from vgg_keras import streams; from vgg_keras.evaluation import job; streams.prepare(False)\n"
        "job.print_result({}, pathlib.Path())"
    )
    ascii_only = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, cwd=tmp_path, env=os.environ | ascii_only
    )
    assert done.returncode == 0 and done.stdout.startswith(b"9.0 \\xb1 1.0\n"), done.stderr

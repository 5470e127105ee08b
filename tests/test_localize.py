"""The command localize, as a user runs it."""

import json

import numpy as np
import pytest

import vgg_keras
from tests.localization.box_runs import box_runs, finished
from vgg_keras.overrides import override
from vgg_keras.runs import run_config


@pytest.mark.slow
def test_localize_draws_the_boxes_of_the_probable_classes(shared_folder):
    folder = box_runs(shared_folder)
    pcr, scr = folder / "pcr", folder / "scr"
    done = finished(
        folder, "localize", "--model=pcr", "--classifier=classes", "1.jpg", "5.jpg", "--out=boxes.png", "--json"
    )
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["path"] for line in lines] == ["1.jpg", "5.jpg"] and (folder / "boxes.png").stat().st_size > 1000
    probabilities = [found["probability"] for found in lines[0]["objects"]]
    assert len(probabilities) == 4 and probabilities == sorted(probabilities, reverse=True)
    test = {"evaluation.protocol": "dense", "evaluation.flip": True, "evaluation.scales": (36,)}
    both = [override(run_config(run), test) for run in (pcr, folder / "classes")]
    expected = vgg_keras.predict_images(folder / "classes", folder / "1.jpg", config=both[1])[0]
    ours = vgg_keras.localize_images(pcr, folder / "1.jpg", classifier=folder / "classes", config=both[0])[0]
    assert [found.class_name for found in ours.objects] == list(expected.classes)
    np.testing.assert_allclose([found.probability for found in ours.objects], expected.probabilities, atol=1e-5)
    one = vgg_keras.localize_images(scr, folder / "1.jpg")[0].objects
    assert len(one) == 1 and (one[0].class_name, one[0].probability) == ("", None)
    named = vgg_keras.localize_images(pcr, folder / "1.jpg", classes=["c"])[0].objects
    assert [found.class_name for found in named] == ["c"]

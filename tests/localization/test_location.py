"""Boxes of photographs without labels: how many classes get one, the command, and what is refused."""

import json
from pathlib import Path

import numpy as np
import pytest

import vgg_keras
from tests.data.test_boxes import draw
from tests.localization.toy import finished
from vgg_keras.config import Architecture, Config, Data, Evaluation
from vgg_keras.errors import UserError
from vgg_keras.overrides import override
from vgg_keras.runs import run_config
from vgg_keras.weights.formats.run_folder import LoadedModel


def test_localize_gives_as_many_classes_as_are_asked_for(tmp_path):
    """Eight classes: the answers of the configuration, more than these, all that are named; what is no number is refused."""
    draw(tmp_path / "a.png", (40, 36), (3, 3, 30, 30))
    names, fields = tuple("abcdefgh"), {"num_classes": 8, "crop": 32, "width": 1 / 16, "mean": (100.0,) * 3}

    def of(boxes, seed):
        architecture = Architecture("A", boxes=boxes, **fields)
        config = Config(architecture, Data(scale=(36,)), evaluation=Evaluation(protocol="dense", flip=False))
        return LoadedModel(vgg_keras.build(architecture, seed=seed), config, names, Path("net"), f"digest {seed}")

    net, classifier = of("pcr", 1), of("none", 2)

    def located(**words):
        return [one.class_name for one in vgg_keras.localize_images(net, tmp_path / "a.png", **words)[0].objects]

    ranked = list(vgg_keras.predict_images(classifier, tmp_path / "a.png", top=8)[0].classes)
    for top, count in ((None, 5), (7, 7)):  # 5 of `localization.answers`, which is no limit
        assert located(classifier=classifier, top=top) == ranked[:count]
    fewer = override(net.config, {"localization.answers": 2})
    assert located(classifier=classifier, config=fewer) == ranked[:2]
    assert located(classes=list("hgfedcb")) == list("hgfedcb")
    for top in (0, -1, True, 2.0):
        with pytest.raises(UserError, match="top must be a whole number, 1 or more"):
            located(classifier=classifier, top=top)
    with pytest.raises(UserError, match="config must be a vgg_keras.config.Config"):
        located(classifier=classifier, config={})


@pytest.mark.slow
def test_localize_draws_the_boxes_of_the_probable_classes(folder, pcr, scr):
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


@pytest.mark.slow
def test_mistakes_are_named(folder, pcr, scr):
    with pytest.raises(UserError, match="needs --classifier=RUN, or --classes=NAME,NAME"):
        vgg_keras.localize_images(pcr, folder / "1.jpg")
    with pytest.raises(UserError, match="A class must be one of the net's. Received: 'e'"):
        vgg_keras.localize_images(pcr, folder / "1.jpg", classes=["e"])
    with pytest.raises(UserError, match="which gives classes"):
        vgg_keras.localize_images(folder / "classes", folder / "1.jpg")
    with pytest.raises(UserError, match="A prediction needs a net that gives classes"):
        vgg_keras.predict_images(pcr, folder / "1.jpg")
    with pytest.raises(UserError, match="A class activation map needs a net that gives classes"):
        vgg_keras.class_activation_map(pcr, folder / "1.jpg")

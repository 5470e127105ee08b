"""Boxes of photographs without labels: how many classes get one, and what is refused."""

from pathlib import Path

import pytest

import vgg_keras
from tests.data.rectangles import draw
from vgg_keras.config import Architecture, Config, Data, Evaluation
from vgg_keras.errors import UserError
from vgg_keras.overrides import override
from vgg_keras.weights.formats.run_folder import LoadedModel


@pytest.mark.slow
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
    assert located(classes=[7, "a"]) == ["h", "a"] and located(classes=2) == ["c"]  # by their numbers too
    assert located(classes=None, classifier=classifier) == ranked[:5]
    for top in (0, -1, True, 2.0):
        with pytest.raises(UserError, match="top must be a whole number, 1 or more"):
            located(classifier=classifier, top=top)
    with pytest.raises(UserError, match="config must be a vgg_keras.config.Config"):
        located(classifier=classifier, config={})


@pytest.mark.slow
def test_mistakes_are_named(folder, pcr, scr):
    with pytest.raises(UserError, match="needs --classifier=RUN, or --classes=NAME,NAME"):
        vgg_keras.localize_images(pcr, folder / "1.jpg")
    with pytest.raises(UserError, match="A class is a name of the net's, or its number. Received: 'e'"):
        vgg_keras.localize_images(pcr, folder / "1.jpg", classes=["e"])
    with pytest.raises(UserError, match="which gives classes"):
        vgg_keras.localize_images(folder / "classes", folder / "1.jpg")
    with pytest.raises(UserError, match="A prediction needs a net that gives classes"):
        vgg_keras.predict_images(pcr, folder / "1.jpg")
    with pytest.raises(UserError, match="A class activation map needs a net that gives classes"):
        vgg_keras.class_activation_map(pcr, folder / "1.jpg")

"""Boxes of photographs without labels: all steps against Pillow and NumPy, how many classes get one, and what is refused."""

from pathlib import Path

import numpy as np
import PIL.Image
import PIL.ImageOps
import pytest
from scipy.special import softmax

import vgg_keras
from tests.data.rectangles import STORED, draw
from tests.localization.test_merging import loop
from tests.localization.toy import a_net
from vgg_keras import stop
from vgg_keras.config import Architecture, Config, Data, Evaluation
from vgg_keras.errors import StoppedError, UserError
from vgg_keras.localization.predictors import Dense
from vgg_keras.overrides import override
from vgg_keras.weights.formats.run_folder import LoadedModel


def in_photograph(score_map, size, then, mirrored):
    """The boxes (positions, classes, 4) of a map of centres and sizes in crops of 64, by their edges in the photograph.

    Args:
        score_map: (rows, columns, 4 * classes).
        size, then: width and height of the photograph, and of itself at Q.
        mirrored: whether the map is of the mirror image.
    """
    found = []
    for row, column in np.ndindex(score_map.shape[:2]):
        cx, cy, w, h = (64 * score_map[row, column].reshape(-1, 4).astype(float)).T
        cx, cy, w, h = cx + 32 * column, cy + 32 * row, np.maximum(w, 0), np.maximum(h, 0)
        cx = then[0] - cx if mirrored else cx
        edges = np.stack([cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2], axis=1)
        found.append(edges * (np.array(size) / then)[[0, 1, 0, 1]])
    return np.array(found)


@pytest.mark.slow
def test_the_boxes_of_a_turned_photograph_are_those_of_pillow_the_dense_nets_and_a_loop(tmp_path, random):
    """Two Q, mirror images, a classifier, k=2 of four classes; then the boxes of two that are named, without a classifier."""
    pixels = random.integers(0, 256, (5, 4, 3), np.uint8)
    shown = PIL.Image.fromarray(pixels).resize((90, 130), PIL.Image.Resampling.BICUBIC)
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    shown.transpose(STORED[6]).save(tmp_path / "turned.jpg", exif=exif, quality=95, subsampling=0)
    shown = PIL.ImageOps.exif_transpose(PIL.Image.open(tmp_path / "turned.jpg"))
    assert shown.size == (90, 130)

    def of(boxes, seed):
        fields = {"num_classes": 4, "crop": 64, "width": 1 / 16, "mean": (110.0,) * 3, "initializer": "he"}
        architecture = Architecture("A", boxes=boxes, **fields)
        config = Config(architecture, Data(scale=(72,)), evaluation=Evaluation(protocol="dense", scales=(72, 110)))
        config = override(config, {"localization.best_classes": 2, "localization.threshold": 0.3})
        return LoadedModel(vgg_keras.build(architecture, seed=seed), config, tuple("abcd"), Path("net"), f"{seed}")

    net, classifier = of("pcr", 1), of("none", 2)
    last = net.model.get_layer("predictions")  # boxes of an object's size, which overlap
    kernel, bias = last.get_weights()
    last.set_weights([kernel / 1500, bias + np.tile([0.5, 0.5, 0.6, 0.7], 4)])
    whole, scores_of = (vgg_keras.to_fully_convolutional(one.model) for one in (net, classifier))
    boxes, scores, posteriors, best = [], [], [], []  # at each Q: of all windows, and the classes that have boxes
    for side in (72, 110):
        then = tuple(round(length * side / 90) for length in shown.size)
        bands = [band.convert("F").resize(then, PIL.Image.Resampling.BILINEAR) for band in shown.split()]
        picture = np.stack([np.asarray(band) for band in bands], axis=-1)[np.newaxis]
        views = [picture, picture[:, :, ::-1]]
        boxes.append(
            np.concatenate([in_photograph(whole(v).numpy()[0], shown.size, then, v is views[1]) for v in views])
        )
        logits = np.array([scores_of(view).numpy()[0].astype(float).reshape(-1, 4) for view in views])
        scores.append(softmax(logits, axis=-1).reshape(-1, 4))
        posteriors.append(softmax(logits.mean(axis=1), axis=-1).mean(axis=0))
        best.append(set(np.argsort(-scores[-1].max(axis=0))[:2].tolist()))
    posterior = np.mean(posteriors, axis=0)

    def merged(label, of_q, weights):
        candidates = np.concatenate([boxes[q][:, label] for q in of_q])
        found, sums = loop(candidates, np.concatenate([weights[q][:, label] for q in of_q]), 0.3)
        assert 1 < len(found) < len(candidates)  # some are merged and some are not
        return found[0], sums[0]

    ((found,), (named,)) = (
        vgg_keras.localize_images(net, tmp_path / "turned.jpg", **words)
        for words in ({"classifier": classifier}, {"classes": ["d", "b"]})
    )
    ranked = [label for label in np.argsort(-posterior).tolist() if label in best[0] | best[1]]
    expected = [(label, *merged(label, [q for q in (0, 1) if label in best[q]], scores)) for label in ranked]
    ones = [np.ones_like(part) for part in scores]
    expected_named = [(label, *merged(label, (0, 1), ones)) for label in (3, 1)]
    off = []
    for objects, wanted in ((found.objects, expected), (named.objects, expected_named)):
        assert [one.class_name for one in objects] == ["abcd"[label] for label, *_ in wanted]
        for one, (_, box, score) in zip(objects, wanted, strict=True):
            off += [np.abs(one.box - box).max() / 130, abs(one.score / score - 1)]
    for one, label in zip(found.objects, ranked, strict=True):
        off.append(abs(one.probability - posterior[label]))
    print(
        f"{len(boxes[0]) + len(boxes[1])} boxes of a class: largest difference {max(off):.2g} of the photograph's height"
    )
    assert max(off) < 1e-4 and all(one.probability is None for one in named.objects)


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
def test_a_stop_is_heard_between_photographs(tmp_path, monkeypatch):
    """SIGTERM and the first Ctrl-C were not heard before the last of them."""
    for place in range(3):
        draw(tmp_path / f"{place}.png", (40 + place, 36), (3, 3, 30, 30))
    seen, found_in = [], Dense.found_in

    def counted(self, images, places):
        seen.extend(places)
        monkeypatch.setattr(stop, "_requested", True)
        return found_in(self, images, places)

    monkeypatch.setattr(stop, "_requested", False)
    monkeypatch.setattr(Dense, "found_in", counted)
    with pytest.raises(StoppedError):
        vgg_keras.localize_images(a_net(tmp_path, "scr"), [tmp_path / f"{place}.png" for place in range(3)])
    assert len(seen) == 1


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

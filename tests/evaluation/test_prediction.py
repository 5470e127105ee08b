"""Which nets and which photographs a prediction takes, and what it says of others."""

import dataclasses
import types
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from PIL import Image
from scipy.special import expit, softmax

import vgg_keras
from tests.conftest import write_images
from vgg_keras.config import Architecture, Config, Data, Evaluation
from vgg_keras.data.decoding import decode
from vgg_keras.data.rescaling import center_crop
from vgg_keras.errors import UserError
from vgg_keras.evaluation import prediction
from vgg_keras.files import write_json
from vgg_keras.plain_values import to_dict
from vgg_keras.weights.formats.run_folder import save_weights

ARCHITECTURE = Architecture("A", num_classes=3, crop=32, width=1 / 16, mean=(90.0, 80.0, 70.0))
CONFIG = Config(ARCHITECTURE, Data(scale=(40,)), evaluation=Evaluation(flip=False))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run's folder with a net that distinguishes photographs."""
    folder = tmp_path_factory.mktemp("runs") / "A"
    model = vgg_keras.build(ARCHITECTURE, seed=5)
    model.get_layer("predictions").kernel.assign(4 * np.asarray(model.get_layer("predictions").kernel))
    write_json(folder / "config.json", {"config": to_dict(CONFIG), "classes": ["cat", "dog", "owl"]})
    save_weights(model, folder)
    return folder


@pytest.fixture
def photographs(tmp_path):
    return write_images(tmp_path / "album", [(40, 40), (50, 44), (44, 60)])


def with_softmax(model):
    """The same net, which ends in probabilities."""
    probable = vgg_keras.build(model.architecture, classifier_activation="softmax")
    probable.set_weights(model.get_weights())
    return probable


def same(found, expected, names=True):
    assert [one.classes for one in found] == [one.classes for one in expected]
    assert np.allclose([one.probabilities for one in found], [one.probabilities for one in expected], atol=1e-6)
    assert not names or [one.path for one in found] == [one.path for one in expected]


@pytest.mark.slow
def test_one_path_is_one_photograph_whatever_holds_it(run, photographs):
    net = vgg_keras.load_net(run)
    expected = vgg_keras.predict_images(net, list(map(str, photographs)))
    assert [one.path for one in expected] == list(map(str, photographs))
    assert np.ptp([one.probabilities[0] for one in expected]) > 1e-3
    same(vgg_keras.predict_images(net, str(photographs[0])), expected[:1])
    same(vgg_keras.predict_images(net, photographs[0]), expected[:1])
    same(vgg_keras.predict_images(net, photographs[0].parent), expected)


@pytest.mark.slow
def test_the_net_is_a_folder_a_loaded_one_or_a_model(run, photographs):
    net = vgg_keras.load_net(run)
    expected = vgg_keras.predict_images(net, photographs)
    same(vgg_keras.predict_images(str(run), photographs), expected)
    probable = with_softmax(net.model)  # whose soft-max is not taken twice
    same(vgg_keras.predict_images(probable, photographs, config=CONFIG, classes=net.classes), expected)


@pytest.mark.slow
def test_the_probabilities_are_the_nets_own(run, photographs):
    net = vgg_keras.load_net(run)
    center = dataclasses.replace(CONFIG, data=Data(scale=(32,)), evaluation=Evaluation(protocol="center", flip=False))
    square = np.asarray(Image.open(photographs[0]))[4:36, 4:36]  # of the crop's size: nothing is rescaled
    expected = softmax(net.model(square[np.newaxis].astype(np.float32)).numpy()[0].astype(np.float64))
    (found,) = vgg_keras.predict_images(net, square, config=center)
    assert found.path == "image 0"
    assert found.classes == tuple(net.classes[place] for place in np.argsort(-expected))
    assert np.abs(np.array(found.probabilities) - np.sort(expected)[::-1]).max() < 1e-6


@pytest.mark.slow
def test_arrays_and_pictures_of_pillow_are_photographs_too(run, photographs):
    net = vgg_keras.load_net(run)
    expected = vgg_keras.predict_images(net, photographs)
    arrays = [decode(path.read_bytes()).numpy() for path in photographs]
    same(vgg_keras.predict_images(net, np.stack([arrays[0]] * 2)), expected[:1] * 2, names=False)
    mixed = vgg_keras.predict_images(net, [Image.fromarray(arrays[0]), photographs[1], arrays[2]])
    same(mixed, expected, names=False)
    assert [one.path for one in mixed] == ["image 0", str(photographs[1]), "image 2"]
    see_through = Image.fromarray(np.dstack([arrays[0], np.full(arrays[0].shape[:2], 9, np.uint8)]))
    turned = Image.fromarray(np.rot90(arrays[1]))  # stored so that EXIF's 6, a quarter to the right, puts it upright
    turned.getexif()[0x0112] = 6
    others = vgg_keras.predict_images(net, [see_through, turned, decode(photographs[2].read_bytes())])
    same(others, expected, names=False)


@pytest.mark.slow
def test_many_photographs_are_predicted_in_parts(run, photographs, monkeypatch):
    expected = vgg_keras.predict_images(run, photographs)
    monkeypatch.setattr("vgg_keras.evaluation.prediction.POSTERIORS_BYTES", 8 * 3 * 2)
    same(vgg_keras.predict_images(run, photographs), expected)


def test_other_images_are_refused_by_name(run, photographs):
    with pytest.raises(UserError, match="Photographs are a path, .* Received: None"):
        vgg_keras.predict_images(run, None)
    with pytest.raises(UserError, match="must exist. Received: absent.jpg, which does not"):
        vgg_keras.predict_images(run, [*photographs, "absent.jpg"])


@pytest.mark.slow
def test_other_nets_and_settings_are_refused_in_one_line(run, photographs):
    net = vgg_keras.load_net(run)
    other = keras.Sequential([keras.layers.Input((32, 32, 3)), keras.layers.Flatten(), keras.layers.Dense(3)])
    for given, message in (
        (None, "A net is a run's folder, .* Received: None"),
        (types.SimpleNamespace(), "Received: SimpleNamespace"),
        ([net], "Received: list"),
        (other, "net of vgg_keras.build is needed. Received: 'sequential.*' of type Sequential"),
        (
            keras.Model(net.model.input, keras.layers.Softmax()(net.model.output)),
            "of type Functional.* give the net itself",
        ),
        ("runs/absent", "Received: runs/absent"),
        (run.parent, f"Each stage of a chain is a run: name one of {run}"),
    ):
        with pytest.raises(UserError, match=message):
            vgg_keras.predict_images(given, photographs)
    for words, message in (
        ({"top": 0}, "top must be a whole number, 1 or more. Received: 0"),
        ({"top": "5"}, "Received: '5'"),
        ({"classes": "cats"}, "classes must be a list of names. Received: str 'cats'"),
        ({"classes": ["a", "b"]}, "each of the net's 3 classes has a name. Received: 2|Each of the net's 3"),
        ({"config": {}}, "config must be a vgg_keras.config.Config. Received: dict"),
        ({"config": Config(Architecture(crop=32), Data(scale=(32,)))}, None),
    ):
        if message:
            with pytest.raises(UserError, match=message):
                vgg_keras.predict_images(net, photographs, **words)
        else:
            vgg_keras.predict_images(net, photographs, **words)
    large = vgg_keras.build("A", num_classes=3, crop=64, width=1 / 16)
    with pytest.raises(UserError, match=r"Q must be the net's crop of 64 or more. Received: a config with \(32,\)"):
        vgg_keras.predict_images(large, photographs, config=Config(Architecture(crop=32), Data(scale=(32,))))


@pytest.mark.slow
def test_every_public_function_takes_a_path_as_text_and_as_a_path(run, tmp_path):
    for seed, name in enumerate("ab"):
        write_images(tmp_path / "photos" / name, [(40, 50)] * 5, seed=seed)
    for kind in (str, Path):
        source = kind(tmp_path / "photos")
        words = {"crop": 32, "batch": 4, "scale": (32,)}
        assert vgg_keras.describe_data(source, crop=32)[0] == ("a", "b")
        assert next(iter(vgg_keras.training_data(source, **words)))[0].shape == (4, 32, 32, 3)
        assert next(iter(vgg_keras.validation_data(source, **words)))[0].shape == (2, 32, 32, 3)
        assert Data(source=source, data_dir=kind(tmp_path)).source == str(tmp_path / "photos")
        assert vgg_keras.load_net(kind(run)).classes == ("cat", "dog", "owl")
        assert vgg_keras.load_weights(None, kind(run)).name == "vgg_a"
        vgg_keras.load_weights(vgg_keras.build(ARCHITECTURE), kind(run))
    for source in (None, 3, ["a.pth"]):
        for load in (vgg_keras.load_net, lambda given: vgg_keras.load_weights(None, given)):
            with pytest.raises(UserError, match="A source of weights is a path or 'imagenet'. Received: "):
                load(source)


@pytest.mark.slow
def test_a_panorama_is_refused_by_name_before_anything_is_predicted(run, photographs, tmp_path):
    (long,) = write_images(tmp_path / "long", [(2, 400)])
    config = dataclasses.replace(CONFIG, evaluation=Evaluation(max_pixels=8000 * 40 - 1))
    for given, name in (([*photographs, long], str(long)), (np.zeros((2, 400, 3), np.uint8), "image 0")):
        with pytest.raises(UserError, match=f"Received: {name}, 40 x 8000 pixels then"):
            vgg_keras.predict_images(run, given, config=config)


def test_a_picture_of_more_photographs_than_it_has_room_for_is_refused_before(photographs):
    prediction.require_drawable(photographs * 83)
    with pytest.raises(UserError, match="--out draws 250 photographs or fewer. Received: 252"):
        prediction.require_drawable(photographs * 84)


@pytest.mark.slow
@pytest.mark.parametrize("ends", ["logits", "probabilities"])
def test_a_net_that_is_asked_again_is_not_traced_again_and_saved_as_before(
    run, photographs, tmp_path, ends, monkeypatch
):
    model = vgg_keras.load_net(run).model
    if ends == "probabilities":
        model = with_softmax(model)
    before = tmp_path / "before.weights.h5", tmp_path / "after.weights.h5"
    model.save_weights(before[0])
    first = vgg_keras.predict_images(model, photographs, config=CONFIG)
    monkeypatch.setattr(prediction.protocols, "of", None)
    same(vgg_keras.predict_images(model, photographs, config=CONFIG), first)
    model.save_weights(before[1])
    places = [[], []]
    for path, found in zip(before, places, strict=True):
        with h5py.File(path) as file:
            file.visit(found.append)
    assert places[0] == places[1]
    model.get_layer("predictions").bias.assign([0.0, 50.0, 0.0])  # weights that change are seen
    assert {one.classes[0] for one in vgg_keras.predict_images(model, photographs, config=CONFIG)} == {"1"}


@pytest.mark.slow
@pytest.mark.parametrize(
    "classes", [5, None, {"a", "b", "c"}, {"a": 1, "b": 2, "c": 3}, b"abc", "labels", Path("labels.txt")]
)
def test_classes_that_are_no_list_of_names_are_refused(run, photographs, classes):
    with pytest.raises(UserError, match=r"classes must be a list of names\. Received: "):
        vgg_keras.predict_images(run, photographs, classes=classes)


@pytest.mark.slow
def test_a_multi_label_net_answers_every_class_from_one_half_on(run, photographs, tmp_path):
    """The same logits through a sigmoid each; a photograph of no class is drawn and printed too."""
    plain = vgg_keras.load_net(run).model
    model = vgg_keras.build(ARCHITECTURE, multi_label=True)
    probable = vgg_keras.build(ARCHITECTURE, classifier_activation="sigmoid")
    for one in (model, probable):
        one.set_weights(plain.get_weights())
    config = dataclasses.replace(CONFIG, evaluation=Evaluation(flip=False, protocol="center"))
    crops = [center_crop(decode(path.read_bytes()), 40, 32, "bilinear").numpy() for path in photographs]
    expected = expit(plain.predict(np.stack(crops), verbose=0).astype(np.float64))
    words = {"config": config, "classes": ["cat", "dog", "owl"]}
    found = vgg_keras.predict_images(model, photographs, **words)
    for one, row in zip(found, expected, strict=True):
        order = [place for place in np.argsort(-row) if row[place] >= 0.5]
        assert one.classes == tuple(words["classes"][place] for place in order)
        assert np.allclose(one.probabilities, row[order], atol=1e-6)
    same(vgg_keras.predict_images(probable, photographs, **words), found)
    counts = {len(one.classes) for one in found}
    print(f"classes of the photographs: {[one.classes for one in found]}")
    assert counts != {3}
    assert [len(one.classes) for one in vgg_keras.predict_images(model, photographs, top=2, **words)] == [2, 2, 2]
    none = prediction.Prediction(str(photographs[0]), (), ())
    prediction.draw([none, found[1]], Data(), tmp_path / "drawn.png")
    assert prediction.table([none])[1] == [str(photographs[0]), "none"]

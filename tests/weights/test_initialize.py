"""A training's first weights: the start's in every layer that is copied, and nothing written where it does not fit."""

import dataclasses

import keras
import numpy as np
import pytest
import torch

import vgg_keras
from tests.weights import sources
from tests.weights.formats.fine_tuned import applications
from tests.weights.sources import TORCHVISION_MEAN, difference, logits, normalised, ours, save_torch
from vgg_keras.config import Architecture, Config, Data, Training
from vgg_keras.errors import UserError
from vgg_keras.files import sha256, write_json
from vgg_keras.plain_values import to_dict
from vgg_keras.training.trained_layers import trained_layers
from vgg_keras.weights import initialize
from vgg_keras.weights.formats.run_folder import save_weights

CLASSES = tuple("abcdefg")


def thin(name="A", training=None, **fields):
    """The configuration of a thin net that starts from what `training` names."""
    fields = {"num_classes": 4, "width": 1 / 16, "crop": 32, "mean": (1.0, 2.0, 3.0), **fields}
    return Config(architecture=Architecture(name, **fields), data=Data(scale=(64,)), training=training or Training())


def built(config, seed=2):
    return vgg_keras.build(config.architecture, dtype="float32", seed=seed)


def save_run(folder, config, classes=tuple("abcd"), seed=1):
    """A run's folder with random weights; returns the model."""
    model = built(config, seed)
    write_json(folder / "config.json", {"config": to_dict(config), "classes": list(classes)})
    save_weights(model, folder)
    return model


def arrays(model):
    return {f"{layer.name} {place}": array for layer in model.layers for place, array in enumerate(layer.get_weights())}


# ---- training.init_from: 3.1's rule


def started(folder, source, target):
    """A net of the configuration `target` that starts from a run of `source`: the run's arrays, its own before and after."""
    theirs = arrays(save_run(folder, source))
    config = dataclasses.replace(target, training=Training(init_from=str(folder)))
    model = built(config)
    before = arrays(model)
    found = initialize.inspect(config)
    assert found.digest == sha256(folder / "model.weights.h5")
    assert (found.mean, found.classes) == ((), tuple("abcd"))
    layers = initialize.initialize(model, config, tuple("abcd"), found.digest)
    assert found.layers == layers.copied
    return theirs, before, arrays(model), layers


@pytest.mark.slow
@pytest.mark.parametrize("batch_norm", [False, True])
def test_net_a_gives_its_first_four_convolutions_and_its_fc_layers(tmp_path, batch_norm):
    source = thin("A", batch_norm=batch_norm, mean=(9.0, 8.0, 7.0))  # the new net keeps the mean of its own images
    theirs, before, after, layers = started(tmp_path, source, thin("E", batch_norm=batch_norm))
    # section 3.1 by hand: A's conv3-64, conv3-128, conv3-256, conv3-256, FC-4096, FC-4096, FC-1000
    given = {"block1_conv1", "block2_conv1", "block3_conv1", "block3_conv2", "fc1", "fc2", "predictions"}
    assert {name for name in layers.copied if not name.endswith("_bn")} == given
    assert set(layers.copied) | set(layers.random) == {name.split()[0] for name in after}
    for name, array in after.items():
        copied = name.split()[0].removesuffix("_bn") in given
        assert np.array_equal(array, theirs[name] if copied else before[name]), name
        if name.endswith("conv1 0"):
            assert not np.array_equal(theirs[name], before[name])


@pytest.mark.slow
def test_the_same_net_gives_every_layer(tmp_path):
    theirs, _, after, layers = started(tmp_path, thin("D"), thin("D"))
    assert layers.random == () and len(layers.copied) == 16
    for name, array in theirs.items():
        assert np.array_equal(array, after[name])


def test_nets_without_hidden_fc_layers_give_what_they_have(tmp_path):
    *_, layers = started(tmp_path, thin("A", head="gap"), thin("E", head="gap"))
    assert set(layers.copied) == {"block1_conv1", "block2_conv1", "block3_conv1", "block3_conv2", "predictions"}


def test_a_field_without_effect_in_either_net_may_differ():
    """As the slope of leaky_relu in nets with ReLU, which `train` no longer takes."""
    for field, value, setting in (
        ("negative_slope", 0.1, {"activation": "leaky_relu"}),
        ("box_unit", "pixels", {"boxes": "pcr"}),
    ):
        initialize.require_family(Architecture("A", **{field: value}), Architecture("E"), "runs/A")
        with pytest.raises(UserError, match=f"runs/A, whose {field} is {value}"):
            initialize.require_family(
                Architecture("A", **{field: value}, **setting), Architecture("E", **setting), "runs/A"
            )
    initialize.require_family(Architecture("A", head="gap", fc_units=(512,)), Architecture("E", head="gap"), "runs/A")


@pytest.mark.parametrize(
    ("name", "fields", "message"),
    [
        ("E", {"width": 1 / 8}, r"whose width is 0\.0625, not 0\.125\."),
        ("E", {"crop": 64}, r"whose crop is 32, not 64\."),
        ("E", {"head": "gap"}, r"whose head is fc, not gap\."),
        ("E", {"batch_norm": True}, r"whose batch_norm is False, not True\."),
        ("B-5x5", {}, r"starts from net A or from its own configuration \(3\.1\)\. Received: .*, a A, for B-5x5\."),
    ],
)
def test_a_run_of_another_family_or_shape_is_refused_with_its_field(tmp_path, name, fields, message):
    """The shapes of the layers that two nets share follow from these fields and the number of classes."""
    save_run(tmp_path, thin("A"))
    config = thin(name, Training(init_from=str(tmp_path)), **fields)
    for check in (initialize.require_start, initialize.inspect):
        with pytest.raises(UserError, match=message):
            check(config)


@pytest.mark.slow
def test_data_of_other_classes_than_the_runs_is_refused_and_nothing_is_copied(tmp_path):
    save_run(tmp_path, thin("A"))
    config = thin("E", Training(init_from=str(tmp_path)))
    found, model = initialize.inspect(config), built(config)
    before = arrays(model)
    message = r"same classes \(3\.1\)\. Received: .* for digits, whose class 3 is 'e', the net's 'd'\. --weights="
    for check in (
        lambda: initialize.require_classes(found, config, tuple("abce")),
        lambda: initialize.initialize(model, config, tuple("abce"), found.digest),
    ):
        with pytest.raises(UserError, match=message):
            check()
    three = dataclasses.replace(config, architecture=dataclasses.replace(config.architecture, num_classes=3))
    with pytest.raises(UserError, match=r"whose class 3 is missing, the net's 'd'"):
        initialize.initialize(built(three), three, tuple("abc"), found.digest)
    for name, array in arrays(model).items():
        assert np.array_equal(array, before[name])


def test_a_path_inside_a_run_is_refused_with_the_runs_folder(tmp_path):
    save_run(tmp_path / "run", thin("A"))
    with pytest.raises(UserError, match=f"Give the run's folder, {tmp_path / 'run'}"):
        initialize.digest(Config(training=Training(init_from=str(tmp_path / "run" / "checkpoints"))))


# ---- training.weights: fine-tuning


@pytest.fixture
def theirs(tmp_path):
    """A net of torchvision's layout with seven classes, and its file."""
    net = sources.torch_vgg("A", width=1 / 16, crop=32)
    return net, save_torch(net, tmp_path / "vgg.pth")


def tuned(path, sha="", **fields):
    """The configuration, as a user gives it, of a net that is fine-tuned from a source."""
    return thin(training=Training(weights=str(path), weights_sha256=sha), **{"num_classes": 0, "mean": (), **fields})


def test_another_number_of_classes_keeps_all_but_the_last_layer(theirs, random):
    """The new net's maps before its last layer are torch's own, and its first layer subtracts torch's mean."""
    net, path = theirs
    found = initialize.inspect(tuned(path))
    assert found.digest == sha256(path) and found.mean == pytest.approx(TORCHVISION_MEAN) and found.classes == ()
    config = tuned(path, num_classes=3, mean=found.mean)
    model = built(config)
    before = [array.copy() for array in model.get_layer("predictions").get_weights()]
    layers = initialize.initialize(model, config, tuple("abc"), found.digest)
    assert layers.random == ("predictions",) and len(layers.copied) == 10
    assert all(map(np.array_equal, before, model.get_layer("predictions").get_weights()))
    images = random.uniform(0, 255, (4, 32, 32, 3)).astype(np.float32)
    found = ours(keras.Model(model.input, model.get_layer("predictions").input), images)
    net.classifier = net.classifier[:5]
    expected = logits(net, normalised(images))
    assert np.ptp(expected, axis=0).max() > 1e-2
    assert difference("before the last layer", found, expected) <= 1e-4


@pytest.mark.parametrize(("theirs_head", "ours_head"), [("fc", "gap"), ("gap", "fc")])
def test_a_head_of_the_other_kind_is_left_and_the_convolutions_are_copied(tmp_path, theirs_head, ours_head):
    source = save_run(tmp_path / "run", thin(head=theirs_head))
    vgg_keras.build(thin(head=theirs_head).architecture, seed=1).save(tmp_path / "net.keras")
    for path in (tmp_path / "run", tmp_path / "net.keras"):  # whose layers' order is read too
        config = tuned(path, num_classes=4, head=ours_head, mean=(1.0, 2.0, 3.0))
        model = built(config)
        found = initialize.inspect(config)
        layers = initialize.initialize(model, config, tuple("abcd"), found.digest)
        assert layers.copied == found.layers == trained_layers(config.architecture, "all")[:8]
        assert layers.random == trained_layers(config.architecture, "fc")
        for name in layers.copied:
            pairs = zip(model.get_layer(name).weights, source.get_layer(name).weights, strict=True)
            assert all(np.array_equal(new.numpy(), old.numpy()) for new, old in pairs)


def test_a_division_alone_is_the_nets_own_and_a_stated_mean_is_the_images(theirs, random):
    """Both have the same resolved configuration: what was given says which it is. torch's net on either's images is the truth."""
    net, path = theirs
    images, std = random.uniform(0, 255, (4, 32, 32, 3)).astype(np.float32), (50.0, 60.0, 70.0)
    mean = tuple(initialize.inspect(tuned(path)).mean)
    for stated, taken in (((), normalised(images)), (mean, (images - np.float32(mean)) / np.float32(std))):
        given = tuned(path, mean=stated, std=std)
        found = initialize.inspect(given)
        config = tuned(path, num_classes=7, mean=found.mean, std=std)
        model = built(config)
        initialize.initialize(model, config, CLASSES, found.digest, given)
        assert difference(f"stated {stated}", ours(model, images), logits(net, taken)) <= 1e-4


def test_as_many_classes_keep_every_layer(theirs, random):
    net, path = theirs
    config = tuned(path, num_classes=7, mean=TORCHVISION_MEAN)
    model = built(config)
    assert initialize.initialize(model, config, CLASSES, sha256(path)).random == ()
    images = random.uniform(0, 255, (4, 32, 32, 3)).astype(np.float32)
    assert difference("fine-tuned", ours(model, images), logits(net, normalised(images))) <= 1e-4


@pytest.mark.parametrize(
    ("theirs", "classes", "random_layers"),
    [
        (("cat", "dog"), ("cat", "dog"), ()),
        (("cat", "dog"), ("cat", "owl"), ("predictions",)),
        (("cat", "dog"), ("dog", "cat"), ("predictions",)),
    ],
)
def test_the_last_layer_of_as_many_other_classes_is_random(tmp_path, theirs, classes, random_layers):
    save_run(tmp_path, thin(num_classes=2), theirs)
    config = tuned(tmp_path, num_classes=2, mean=(1.0, 2.0, 3.0))
    found = initialize.inspect(config)
    assert initialize.initialize(built(config), config, classes, found.digest).random == random_layers


def test_one_box_for_all_classes_is_kept_for_other_classes(tmp_path):
    """Of another number of classes it was kept, of as many it was random."""
    save_run(tmp_path, thin(num_classes=2, boxes="scr"), ("cat", "dog"))
    for classes in (("owl", "fox"), ("cat", "dog", "owl")):
        config = tuned(tmp_path, num_classes=len(classes), mean=(1.0, 2.0, 3.0), boxes="scr")
        found = initialize.inspect(config)
        assert initialize.initialize(built(config), config, classes, found.digest).random == ()


def test_a_file_that_changes_after_its_inspection_is_not_copied(theirs):
    net, path = theirs
    config = tuned(path, num_classes=7, mean=TORCHVISION_MEAN)
    found, model = initialize.inspect(config), built(config)
    before = model.get_weights()
    torch.save({name: tensor + 1 for name, tensor in net.state_dict().items()}, path)
    with pytest.raises(UserError, match=f"must have the expected sha256, {found.digest}"):
        initialize.initialize(model, config, CLASSES, found.digest)
    assert all(map(np.array_equal, before, model.get_weights()))


def test_what_does_not_fit_is_found_by_the_inspection_with_the_fields_that_do(theirs, tmp_path):
    net, path = theirs
    state = net.state_dict()
    torch.save({**state, "classifier.6.bias": torch.full((7,), float("nan"))}, tmp_path / "nan.pth")
    torch.save({**state, "more.weight": torch.zeros(3)}, tmp_path / "more.pth")
    for config, message in (
        (tuned(path, width=1 / 8), r"not \(8, 3, 3, 3\)\. It fits --set=architecture\.width=0\.0625"),
        (tuned(path, name="D"), r"layers of D and no more.* It fits --set=architecture\.name=A"),
        (tuned(path, crop=64), r"whose classifier\.0 has .* It fits --set=architecture\.head=gap"),
        (tuned(path, mean=(1.0, 2.0, 3.0)), r"must subtract its source's mean"),
        (tuned(tmp_path / "nan.pth"), r"must be finite\. .*classifier\.6"),
        (tuned(tmp_path / "more.pth"), r"left over: more\."),
        (tuned(path, sha="12"), r"must have the expected sha256, 12\."),
        (tuned("imagenet"), r"'imagenet' has weights of D and E, the authors' two\. Received: A\."),
        (tuned(tmp_path / "absent.pth"), r"must exist\. Received: .*absent\.pth"),
    ):
        with pytest.raises(UserError, match=message) as caught:
            initialize.inspect(config)
        assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_imagenet_is_identified_by_the_digest_that_is_known_without_its_file(tmp_path, applications_h5, monkeypatch):
    config = tuned("imagenet", name="D", width=1.0, crop=64)
    assert initialize.digest(config) == "md5 64373286793e3c8b2b4e3219cbf3544b"
    monkeypatch.setattr("vgg_keras.weights.read._downloaded", lambda name: applications_h5)
    found = initialize.inspect(config)
    assert found.digest == initialize.digest(config) and found.mean == (123.68, 116.779, 103.939)
    config = tuned("imagenet", name="D", width=1.0, crop=64, num_classes=3, mean=found.mean)
    assert initialize.initialize(built(config), config, tuple("abc"), found.digest).random == ("predictions",)


# ---- either


def test_random_weights_are_no_start():
    assert initialize.inspect(Config()) == initialize.Start(None, (), ())


def test_a_start_is_described_by_its_source_and_its_digest():
    assert initialize.describe("", None) == initialize.describe("runs/A", None) == "random weights"
    assert initialize.describe("runs/A", "12ab") == "runs/A (sha256 12ab)"
    assert initialize.describe("imagenet", "md5 12ab") == "imagenet (md5 12ab)"


@pytest.mark.slow
def test_a_head_that_is_not_read_is_left_out_and_so_is_one_of_other_layers(tmp_path, capsys):
    layers = keras.layers
    for name, activation, wanted in (
        ("other.keras", "tanh", "its head is left out: the activation tanh at hidden"),
        (
            "hidden.keras",
            "relu",
            "its head is left out, since architecture.fc_layers is 0, and the hidden FC layers of the file",
        ),
    ):
        base = applications(side=32)
        hidden = layers.Dense(8, activation, name="hidden")(layers.GlobalAveragePooling2D()(base.output))
        keras.Model(base.input, layers.Dense(3)(hidden)).save(tmp_path / name)
        architecture = Architecture("D", num_classes=4, width=1 / 16, crop=32, head="gap")
        training = Training(weights=str(tmp_path / name))
        start = initialize.inspect(Config(architecture=architecture, data=Data(scale=(37,)), training=training))
        assert wanted in capsys.readouterr().out
        assert len(start.layers) == 13 and start.layers[-1] == "block5_conv3"
    fitting = dataclasses.replace(architecture, fc_units=(8,), fc_layers=1, width=1 / 8)
    with pytest.raises(UserError, match=r"It fits --set=architecture\.width=0\.0625 --set=architecture\.fc_units=128"):
        initialize.inspect(Config(architecture=fitting, data=Data(scale=(37,)), training=training))

"""What a run starts from: the source's weights in every layer it keeps, nothing written where it does not fit."""

import dataclasses
import hashlib
import json

import keras
import numpy as np
import pytest
import scipy.io
import torch
from safetensors.numpy import save_file

import vgg_keras
from tests.conftest import write_images
from tests.weights import sources
from tests.weights.test_load import normalised
from vgg_keras.config import Architecture, Config, Data, Training
from vgg_keras.errors import UserError
from vgg_keras.files import sha256, write_json
from vgg_keras.overrides import override, parse_assignments
from vgg_keras.plain_values import to_dict
from vgg_keras.recipes import load
from vgg_keras.runs import run_config
from vgg_keras.training import start
from vgg_keras.training.stages import plan
from vgg_keras.weights.formats.run_folder import save_weights
from vgg_keras.weights.load import load_net
from vgg_keras.weights.sources import PINNED

CLASSES = tuple("abcdefg")
MEAN = tuple(255 * value for value in (0.485, 0.456, 0.406))
TOY = ("--config=quickstart", "--set=architecture.name=A", "--set=architecture.width=0.0625", "--set=data.batch=50")


def small(weights, sha256="", **fields):
    """The configuration of a toy net that starts from these weights."""
    architecture = Architecture(**{"name": "A", "width": 1 / 16, "crop": 32, **fields})
    training = Training(weights=str(weights), weights_sha256=sha256)
    return Config(architecture=architecture, data=Data(scale=(64,)), training=training)


def resolved(config, classes, mean):
    return dataclasses.replace(
        config, architecture=dataclasses.replace(config.architecture, num_classes=classes, mean=mean)
    )


@pytest.fixture
def theirs(tmp_path):
    """A net of torchvision's layout with seven classes, and its file."""
    net = sources.torch_vgg("A", width=1 / 16, crop=32)
    torch.save(net.state_dict(), tmp_path / "vgg.pth")
    return net, tmp_path / "vgg.pth"


def test_another_number_of_classes_keeps_all_but_the_last_layer(theirs, random):
    """The new net's maps before its last layer are torch's own, and its first layer subtracts torch's mean."""
    net, path = theirs
    config = small(path)
    found = start.look(config)
    assert found.digest == sha256(path) and found.mean == pytest.approx(MEAN)
    config = resolved(config, 3, found.mean)
    model = vgg_keras.build(config.architecture, dtype="float32", seed=5)
    before = [array.copy() for array in model.get_layer("predictions").get_weights()]
    moved = start.fill(model, config, CLASSES, found.digest)
    assert moved.left == ("predictions",) and len(moved.copied) == 10
    assert all(map(np.array_equal, before, model.get_layer("predictions").get_weights()))
    images = random.uniform(0, 255, (4, 32, 32, 3)).astype(np.float32)
    ours = keras.Model(model.input, model.get_layer("predictions").input).predict(images, verbose=0)
    net.classifier = net.classifier[:5]
    expected = sources.logits(net, normalised(images))
    assert np.ptp(expected, axis=0).max() > 1e-2
    assert np.abs(ours - expected).max() <= 1e-4 * np.abs(expected).max()


def test_as_many_classes_keep_every_layer(theirs, random):
    net, path = theirs
    config = resolved(small(path), 7, MEAN)
    model = vgg_keras.build(config.architecture, dtype="float32", seed=5)
    assert start.fill(model, config, CLASSES, sha256(path)).left == ()
    images = random.uniform(0, 255, (4, 32, 32, 3)).astype(np.float32)
    expected = sources.logits(net, normalised(images))
    assert np.abs(model.predict(images, verbose=0) - expected).max() <= 1e-4 * np.abs(expected).max()


@pytest.mark.parametrize(
    ("theirs", "ours", "left"),
    [
        (("cat", "dog"), ("cat", "dog"), ()),
        (("cat", "dog"), ("cat", "owl"), ("predictions",)),
        (("cat", "dog"), ("dog", "cat"), ("predictions",)),
    ],
)
def test_the_last_layer_of_other_classes_is_left_though_they_are_as_many(tmp_path, theirs, ours, left):
    config = resolved(small(tmp_path), 2, MEAN)
    write_json(tmp_path / "config.json", {"config": to_dict(config), "classes": list(theirs)})
    save_weights(vgg_keras.build(config.architecture, dtype="float32", seed=1), tmp_path)
    model = vgg_keras.build(config.architecture, dtype="float32", seed=5)
    assert start.fill(model, config, ours, sha256(tmp_path / "model.weights.h5")).left == left


def test_a_file_that_changes_after_it_was_looked_into_is_not_copied(theirs):
    net, path = theirs
    config = resolved(small(path), 7, MEAN)
    found, model = start.look(config), vgg_keras.build(config.architecture, dtype="float32", seed=5)
    before = model.get_weights()
    torch.save({name: tensor + 1 for name, tensor in net.state_dict().items()}, path)
    with pytest.raises(UserError, match=f"must have the sha256 that is asked for, {found.digest}"):
        start.fill(model, config, CLASSES, found.digest)
    assert all(map(np.array_equal, before, model.get_weights()))


def test_random_weights_are_no_start():
    assert start.look(Config()) == start.Start(None, ())


def test_what_does_not_fit_is_found_with_the_fields_that_do(theirs, tmp_path, monkeypatch):
    net, path = theirs
    state = net.state_dict()
    torch.save({**state, "classifier.6.bias": torch.full((7,), float("nan"))}, tmp_path / "nan.pth")
    torch.save({**state, "more.weight": torch.zeros(3)}, tmp_path / "more.pth")
    for config, message in (
        (small(path, width=1 / 8), r"not \(8, 3, 3, 3\)\. It fits --set=architecture\.width=0\.0625"),
        (small(path, name="D"), r"layers of D and no more.* It fits --set=architecture\.name=A"),
        (small(path, crop=64), r"whose classifier\.0 has .* It fits --set=architecture\.crop=32"),
        (small(path, mean=(1.0, 2.0, 3.0)), r"must subtract its source's mean"),
        (small(tmp_path / "nan.pth"), r"must be finite\. .*classifier\.6"),
        (small(tmp_path / "more.pth"), r"left over: more\."),
        (small(path, sha256="12"), r"must have the sha256 that is asked for, 12\."),
        (small("imagenet"), r"'imagenet' has weights of D and E, the authors' two\. Received: A\."),
        (small(tmp_path / "absent.pth"), r"must exist\. Received: .*absent\.pth"),
    ):
        with pytest.raises(UserError, match=message) as caught:
            start.look(config)
        assert "\n" not in str(caught.value)


def saved(net, path):
    """A torch net's file."""
    save_file({key: value.numpy() for key, value in net.state_dict().items()}, path)
    return path


@pytest.mark.parametrize("ending", [".safetensors", ".pth", ".caffemodel", ".mat", ".h5", ".keras", ".weights.h5"])
def test_weights_of_every_format_that_do_not_fit_name_every_field_that_would(tmp_path, ending):
    net, path = sources.torch_vgg("A", width=1 / 16, crop=64), tmp_path / f"net{ending}"
    ours = {"num_classes": 7, "width": 1 / 16, "crop": 64}
    if ending == ".pth":
        torch.save(net.state_dict(), path)
    elif ending == ".safetensors":
        saved(net, path)
    elif ending == ".caffemodel":
        path.write_bytes(sources.caffemodel(sources.convolutions_and_fc(net)))
    elif ending == ".mat":
        mean = np.array([1.0, 2.0, 3.0])
        scipy.io.savemat(path, sources.matconvnet(sources.convolutions_and_fc(net), mean), oned_as="row")
    elif ending == ".h5":
        built = vgg_keras.build("A", **ours)
        keras.Model(built.layers[1].output, built.output).save(path)
    elif ending == ".keras":
        vgg_keras.build("A", **ours).save(path)
    else:
        vgg_keras.build("A", **ours).save_weights(path)
    config = small(path, name="D", width=1 / 8, head="gap", batch_norm=True, mean=(1.0, 2.0, 3.0))
    with pytest.raises(UserError, match=r"It fits --set=architecture\.name=A ") as caught:
        start.look(config)
    words = str(caught.value).split(" It fits ")[1].split()
    expected = ["name=A", "width=0.0625", "crop=64", "head=fc", "batch_norm=false"]
    assert [word.removeprefix("--set=architecture.") for word in words if "mean" not in word] == expected
    # what is named does fit
    found = start.look(
        override(config, {**parse_assignments(word.removeprefix("--set=") for word in words), "data.scale": (64,)})
    )
    assert found.digest == sha256(path)


def test_fields_that_fit_are_named_of_nets_without_a_head_of_odd_width_and_of_one_fc_layer(tmp_path):
    gap = vgg_keras.build("D", num_classes=3, crop=32, width=0.3, head="gap", mean=(1.0, 2.0, 3.0))
    gap.save(tmp_path / "gap.keras")
    leaky = vgg_keras.build("A", num_classes=3, crop=32, width=0.3, activation="leaky_relu", negative_slope=0.1)
    leaky.save(tmp_path / "leaky.keras")
    state = sources.torch_vgg("E", width=1 / 16, crop=32).state_dict()
    topless = {key: value.numpy() for key, value in state.items() if key.startswith("features")}
    save_file(topless, tmp_path / "topless.safetensors")
    for name, fields, wanted in (
        ("gap.keras", {"name": "D", "width": 0.3}, ["head=gap"]),
        ("leaky.keras", {"width": 0.3}, ["activation=leaky_relu", "negative_slope=0.1"]),
        ("topless.safetensors", {"head": "gap"}, ["name=E"]),
        ("topless.safetensors", {"width": 0.5}, ["name=E", "width=0.0625"]),
    ):
        config = small(tmp_path / name, **fields)
        with pytest.raises(UserError) as caught:
            start.look(config)
        words = str(caught.value).split(" It fits ")[1].split()
        assert [word.removeprefix("--set=architecture.") for word in words] == wanted
        start.look(override(config, parse_assignments(word.removeprefix("--set=") for word in words)))


@pytest.fixture
def run(tmp_path):
    """The folder of a run with weights and a checkpoint's folder, and of one stage of a chain."""
    from vgg_keras.files import write_json
    from vgg_keras.plain_values import to_dict
    from vgg_keras.weights.formats.run_folder import save_weights

    for folder in (tmp_path / "run", tmp_path / "chain" / "jitter"):
        architecture = Architecture("A", num_classes=3, crop=32, width=1 / 16, mean=(1.0, 2.0, 3.0))
        config = dataclasses.replace(Config(), architecture=architecture)
        write_json(folder / "config.json", {"config": to_dict(config), "classes": ["a", "b", "c"]})
        save_weights(vgg_keras.build(architecture, seed=5), folder)
        write_json(folder / "checkpoints" / "epoch-1" / "state.index", 1)
    return tmp_path / "run"


def test_a_runs_own_files_are_refused_with_the_runs_folder(run, tmp_path):
    for name in (
        "model.weights.h5",
        "model.keras",
        "config.json",
        "manifest.json",
        "checkpoints",
        "checkpoints/epoch-1",
        "checkpoints/epoch-1/state.index",
        "checkpoints/epoch-2/state",
        "best.h5",
    ):
        for folder in (run, tmp_path / "chain" / "jitter"):
            for refusing in (
                lambda path: start.require_there(small(path)),
                lambda path: load_net(path),
                lambda path: vgg_keras.load_weights(vgg_keras.build("A", num_classes=3, crop=32, width=1 / 16), path),
            ):
                with pytest.raises(UserError, match=f"Give the run's folder, {folder}") as caught:
                    refusing(folder / name)
                assert "\n" not in str(caught.value)
            with pytest.raises(UserError, match=f"Did you mean {folder}\\?"):
                run_config(folder / name)
    with pytest.raises(UserError, match=f"Give the run's folder, {run}"):
        start.digest(Config(training=Training(init_from=str(run / "checkpoints"))))
    # a foreign file in a run's folder, and one beside another program's config.json, are what they are
    net = sources.torch_vgg("A", width=1 / 16, crop=32)
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "config.json").write_text('{"architecture": "vgg11"}')
    for folder in (run, tmp_path / "theirs"):
        start.require_there(small(saved(net, folder / "vgg.safetensors")))


def test_a_start_is_described_by_its_source_and_its_digest():
    assert start.described("", None) == start.described("runs/A", None) == "random weights"
    assert start.described("runs/A", "12ab") == "runs/A (sha256 12ab)"
    assert start.described("imagenet", "md5 12ab") == "imagenet (md5 12ab)"


def test_a_resume_from_another_start_names_both(tmp_path, theirs):
    from vgg_keras.files import write_json
    from vgg_keras.plain_values import to_dict
    from vgg_keras.training import workdir

    _, path = theirs
    config = resolved(small(path), 3, MEAN)
    (tmp_path / "run" / "checkpoints" / "epoch-0001-step-000000001").mkdir(parents=True)
    write_json(
        tmp_path / "run" / "config.json",
        {"config": to_dict(config), "classes": ["a", "b", "c"], "started_from": "12ab"},
    )
    write_json(tmp_path / "run" / "manifest.json", {"config.json": [sha256(tmp_path / "run" / "config.json")]})
    with pytest.raises(UserError, match=rf"begun from {path} \(sha256 12ab\), now {path} \(sha256 {sha256(path)}\)\."):
        workdir.check(tmp_path / "run", config)
    random = dataclasses.replace(config, training=Training())
    with pytest.raises(UserError, match=rf"begun from {path} \(sha256 12ab\), now random weights\."):
        workdir.check(tmp_path / "run", random)


def test_imagenet_is_told_without_its_file_and_read_like_a_local_one(tmp_path, monkeypatch):
    from keras.src.legacy.saving import legacy_h5_format

    net = keras.applications.VGG16(weights=None, input_shape=(32, 32, 3), classes=5, classifier_activation=None)
    import h5py

    path = tmp_path / "vgg16_weights_tf_dim_ordering_tf_kernels.h5"
    with h5py.File(path, "w") as file:
        legacy_h5_format.save_weights_to_hdf5_group(file, net)
    asked = []

    def get_file(name, url, cache_subdir, file_hash):
        asked.append((name, url, file_hash))
        return str(path)

    monkeypatch.setattr(keras.utils, "get_file", get_file)
    config = small("imagenet", name="D", width=1.0)
    assert start.digest(config) == "md5 64373286793e3c8b2b4e3219cbf3544b" and not asked
    # the very file that Keras downloads has this hash; another under its name is refused before it is parsed
    with pytest.raises(UserError, match=r"is a public file, with md5 64373286793e3c8b2b4e3219cbf3544b\. Received: "):
        start.look(config)
    from keras.src.applications import vgg16

    assert asked == [(path.name, vgg16.WEIGHTS_PATH, "64373286793e3c8b2b4e3219cbf3544b")]
    monkeypatch.setitem(PINNED, path.name, ("md5", hashlib.md5(path.read_bytes()).hexdigest()))
    found = start.look(config)
    assert found.digest.startswith("md5 ") and found.mean == (123.68, 116.779, 103.939)


def test_trained_weights_at_a_rate_for_random_ones_are_warned_of_with_a_rate_that_works(theirs):
    _, path = theirs
    at_the_default = start.warning(small(path))
    assert (
        at_the_default.startswith("warning: training.learning_rate=0.01 with --weights") and "\n" not in at_the_default
    )
    words = [word.removeprefix("--set=") for word in at_the_default.split() if word.startswith("--set=")]
    calmed = override(small(path), parse_assignments(words))
    assert start.warning(calmed) is None and calmed.training.learning_rate == start.SAFE_RATE
    share = Training().weight_decay / Training().learning_rate
    assert calmed.training.weight_decay == pytest.approx(share * calmed.training.learning_rate)
    assert start.warning(override(small(path), {"training.optimizer": "l2"}))
    assert start.warning(override(small(path), {"architecture.batch_norm": True})) is None
    for rate, warned in ((1e-2, True), (1e-3, False)):
        adam = override(small(path), {"training.optimizer": "adam", "training.learning_rate": rate})
        assert bool(start.warning(adam)) == warned
        assert start.warning(override(adam, {"architecture.batch_norm": True})) == start.warning(adam)
    for head, rate, warned in (("fc", 1e-3, True), ("fc", 9e-4, False), ("gap", 1e-2, True), ("gap", 1e-3, False)):
        config = override(small(path), {"architecture.head": head, "training.learning_rate": rate})
        assert (start.warning(config) is not None) == warned
    assert start.warning(Config()) is None  # random weights
    assert start.warning(Config(training=Training(init_from="runs/A"))) is None  # 3.1's rule, at 3.1's rate


def test_fine_tuning_is_one_training_with_one_start(theirs, tmp_path):
    _, path = theirs
    config = override(load("E"), {"training.weights": path})
    (run,) = plan(config, tmp_path / "E", [], "")
    assert (run.name, run.config.stages, run.config.training.start) == ("single", (), str(path))
    for names, init_from, message in (
        (["S256"], "", r"--weights fine-tunes in one training, without stages\. Received: .* with --stages=S256"),
        ([], str(tmp_path), r"are two starts: leave one out\. Received: "),
    ):
        with pytest.raises(UserError, match=message):
            plan(config, tmp_path / "E", names, init_from)
    with pytest.raises(UserError, match=r"must exist\. Received: absent\.pth"):
        plan(override(load("E"), {"training.weights": "absent.pth"}), tmp_path / "E", [], "")
    with pytest.raises(UserError, match=r"weights_sha256 belongs to training\.weights\. Received: '12'"):
        override(load("E"), {"training.weights_sha256": "12"})


@pytest.mark.slow
def test_the_command_line(run_command, tmp_path):
    """A run on digits, then fine-tuning of it and of a file, on another set with three classes, at a rate of nothing."""
    digits = run_command("train", *TOY, "--workdir=digits", "--set=training.epochs=1")
    assert digits.returncode == 0, digits.stderr
    for seed, name in enumerate("abc"):
        write_images(tmp_path / "photos" / name, [(40, 50)] * 10, seed=seed)
    net = sources.torch_vgg("A", width=1 / 16, crop=32)
    save_file({key: value.numpy() for key, value in net.state_dict().items()}, tmp_path / "vgg.safetensors")
    words = (*TOY, "--data=photos", "--set=training.learning_rate=1e-30", "--set=training.weight_decay=0")
    words += ("--set=architecture.dropout=0", "--set=training.epochs=1", "--set=runtime.precision=float32")

    # what is wrong is found before anything is written, by --dry_run too
    width = "--set=architecture.width=0.125"
    for arguments, message in (
        (["absent.pth"], "A file of weights must exist. Received: absent.pth"),
        (["vgg.safetensors", "--sha256=12"], "must have the sha256 that is asked for, 12"),
        (["vgg.safetensors", width], "It fits --set=architecture.width=0.0625"),
        (["vgg.safetensors", width, "--dry_run"], "It fits --set=architecture.width=0.0625"),
        (["vgg.safetensors", "--init_from=digits"], "are two starts: leave one out"),
        (["vgg.safetensors", "--set=training.weights=digits"], "are one field"),
    ):
        done = run_command("train", *words, f"--weights={arguments[0]}", *arguments[1:], "--workdir=tuned")
        assert done.returncode == 2 and "Traceback" not in done.stderr
        assert done.stderr.splitlines()[-1].startswith("error: ") and message in done.stderr.splitlines()[-1]
        assert not (tmp_path / "tuned").exists()
    high = ("--set=training.learning_rate=0.01", "--weights=digits")
    done = run_command("train", *words, *high, "--dry_run", "--workdir=tuned")
    assert done.returncode == 0 and " digits " in done.stdout and not (tmp_path / "tuned").exists()
    assert "warning: training.learning_rate=0.01 with --weights" in done.stderr

    for source, workdir in (("digits", "from_run"), ("vgg.safetensors", "from_file")):
        done = run_command("train", *words, f"--weights={source}", f"--workdir={workdir}")
        assert done.returncode == 0, done.stderr
        assert f"started from {source}: copied block1_conv1, " in done.stdout
        assert "left random: predictions" in done.stdout
        line = json.loads((tmp_path / workdir / "metrics.jsonl").read_text().splitlines()[0])
        assert line["started_from"] == source and line["left"] == ["predictions"] and "fc2" in line["copied"]
        stored = json.loads((tmp_path / workdir / "config.json").read_text())
        loaded = vgg_keras.load_net(tmp_path / source)
        assert stored["config"]["architecture"]["mean"] == list(loaded.config.architecture.mean)
        assert stored["config"]["architecture"]["num_classes"] == 3
        assert stored["started_from"] == loaded.weights_sha256
        tuned = vgg_keras.load_net(tmp_path / workdir).model
        for layer in loaded.model.layers:  # all but the last layer
            if layer.weights and layer.name != "predictions":
                pairs = zip(layer.get_weights(), tuned.get_layer(layer.name).get_weights(), strict=True)
                assert max(np.abs(old - new).max() for old, new in pairs) <= 1e-25, layer.name

    # the same command goes on, wherever the file lies; another start is refused
    (tmp_path / "vgg.safetensors").rename(tmp_path / "moved.safetensors")
    done = run_command("train", *words, "--weights=moved.safetensors", "--workdir=from_file")
    assert done.returncode == 0 and "resumed from" in done.stdout, done.stderr
    for other in (["--weights=digits"], []):
        done = run_command("train", *words, *other, "--workdir=from_file")
        assert done.returncode == 2 and "resumed with the start that it was begun with" in done.stderr

"""A run's folder as the workers that do not write find it; tests/training/test_job.py resumes through the command line."""

import dataclasses
import itertools
import json
import os
import shutil
from pathlib import Path

import pytest

from tests.conftest import write_images
from vgg_keras.config import Config
from vgg_keras.data.scan import without_bad_images
from vgg_keras.data.sources import open_source
from vgg_keras.errors import UserError
from vgg_keras.files import sha256, write_json
from vgg_keras.overrides import override, parse_assignments
from vgg_keras.plain_values import to_dict
from vgg_keras.recipes import load
from vgg_keras.runs import read_config, run_config
from vgg_keras.training import workdir
from vgg_keras.training.checkpoints import damage
from vgg_keras.training.records import read
from vgg_keras.training.workdir import check, prepare, worker_fields
from vgg_keras.weights.initialize import Start


def test_workers_that_start_from_other_weights_than_the_first_are_refused(tmp_path):
    for seed, name in enumerate("ab"):
        write_images(tmp_path / "photos" / name, [(40, 50)] * 5, seed=seed)
    config = override(
        Config(), {"data.source": tmp_path / "photos", "architecture.crop": 32, "data.scale": (32,), "data.batch": 2}
    )
    source, start = open_source(config.data), Start("12ab", (1.0, 2.0, 3.0))
    (tmp_path / "run").mkdir()

    def prepared(start, writes):
        return prepare(tmp_path / "run", config, source, {}, start, writes)

    first, _ = prepared(start, writes=True)
    assert first.architecture.mean == start.mean
    for same in (start, None):  # None: of a run that goes on, whose start is compared before
        assert prepared(same, writes=False)[0] == first
    for other, received in ((dataclasses.replace(start, digest="34cd"), "34cd"), (Start(), "random weights")):
        with pytest.raises(
            UserError, match=f"start from the same weights. Received: 12ab for the first, {received} here"
        ):
            prepared(other, writes=False)
    config = override(config, {"training.weights": "vgg.pth"})
    with pytest.raises(UserError, match=r"Received: 12ab for the first, vgg\.pth \(sha256 34cd\) here\."):
        prepared(dataclasses.replace(start, digest="34cd"), writes=False)


def test_a_worker_waits_for_the_first_ones_configuration(tmp_path, monkeypatch):
    """A network's disk shows a new file later to a machine that has looked for it before."""
    write_images(tmp_path / "photos" / "a", [(40, 50)] * 5)
    write_images(tmp_path / "photos" / "b", [(40, 50)] * 5)
    config = override(
        Config(), {"data.source": tmp_path / "photos", "architecture.crop": 32, "data.scale": (32,), "data.batch": 2}
    )
    source, looks = open_source(config.data), []
    (tmp_path / "run").mkdir()
    first, _ = prepare(tmp_path / "run", config, source, {}, Start())

    def late(workdir):
        looks.append(workdir)
        return read_config(workdir) if len(looks) > 2 else None

    monkeypatch.setattr(workdir, "read_config", late)
    assert prepare(tmp_path / "run", config, source, {}, Start(), writes=False)[0] == first and len(looks) == 3
    monkeypatch.setattr(workdir, "SHARED_SECONDS", 0.1)
    (tmp_path / "other").mkdir()
    looks.extend([None] * 3)
    with pytest.raises(UserError, match=r"All workers must see one --workdir\. Received: .*other, which is empty here"):
        prepare(tmp_path / "other", config, source, {}, Start(), writes=False)


def test_a_start_of_other_classes_is_refused_before_the_colours_are_measured(tmp_path):
    """3.1 takes the last layer too, so as many classes of other names would be trained on in silence."""
    for seed, name in enumerate(("cat", "owl")):
        write_images(tmp_path / "photos" / name, [(40, 50)] * 5, seed=seed)
    config = override(Config(), {"data.source": tmp_path / "photos", "training.init_from": tmp_path / "start"})
    (tmp_path / "run").mkdir()
    with pytest.raises(UserError, match=r"class 1 is 'owl', the net's 'dog'\. --weights=.*start fine-tunes it"):
        prepare(tmp_path / "run", config, open_source(config.data), {}, Start("12ab", classes=("cat", "dog")))
    assert list((tmp_path / "run").iterdir()) == []


def test_an_edited_label_of_a_list_is_refused(tmp_path):
    """A list's images come by label and path, so that their names keep their order. A run without a digest goes on."""
    write_images(tmp_path / "photos", [(40, 50)] * 10)
    (tmp_path / "run").mkdir()

    def prepared(labels, writes=False):
        rows = [f"photos/{i:03}.jpg,{label},{'train' if i < 6 else 'val'}" for i, label in enumerate(labels)]
        (tmp_path / "list.csv").write_text("\n".join(["path,label,split", *rows]))
        config = override(Config(), {"data.source": tmp_path / "list.csv", "architecture.crop": 32, "data.batch": 2})
        return prepare(tmp_path / "run", config, open_source(config.data), {}, Start("12ab"), writes)[0]

    first = prepared("aaabbbaabb", writes=True)
    assert prepared("aaabbbaabb") == first
    with pytest.raises(
        UserError,
        match=r"train images differ from the first one's: 6, here 6, of other labels\.$",
    ):
        prepared("aabbbbaabb")
    with pytest.raises(
        UserError,
        match=r"Received: this one's, of which the val images differ from the first one's: 4, here 4, of other labels\.$",
    ):
        prepared("aaabbbabbb")
    stored = json.loads((tmp_path / "run" / "config.json").read_text())
    del stored["data"]["val"]["sha256_of_labels"]
    write_json(tmp_path / "run" / "config.json", stored)
    assert prepared("aaabbbabbb") == first
    for classes, message in ((["a", "c"], "'b' is not in both"), (["b", "a"], "they are in another order")):
        write_json(tmp_path / "run" / "config.json", {**stored, "classes": classes})
        with pytest.raises(UserError, match=rf"of which the classes differ from the first one's: {message}\.$"):
            prepared("aaabbbabbb")


def test_an_edited_box_of_a_list_is_refused(tmp_path):
    """A coordinate, or a box more. A run whose folder knows no digest goes on."""
    write_images(tmp_path / "photos", [(40, 50)] * 5)
    (tmp_path / "run").mkdir()

    def prepared(*boxes, writes=False):
        rows = [f"photos/{i:03}.jpg,{'ab'[i % 2]},{'train' if i < 3 else 'val'},5,5,30,35" for i in range(5)]
        rows += [f"photos/000.jpg,a,train,{','.join(map(str, box))}" for box in boxes]
        (tmp_path / "list.csv").write_text("\n".join(["path,label,split,xmin,ymin,xmax,ymax", *rows]))
        config = override(load("localisation"), {"data.source": tmp_path / "list.csv", "architecture.crop": 32})
        source, _ = without_bad_images(open_source(config.data), override(config, {"runtime.cache_dir": tmp_path}))
        return prepare(tmp_path / "run", config, source, {}, Start("12ab"), writes)[0]

    first = prepared((1, 1, 20, 20), writes=True)
    assert prepared((1, 1, 20, 20)) == first
    for boxes in (((1, 1, 20, 21),), (), ((1, 1, 20, 20), (2, 2, 9, 9))):
        with pytest.raises(
            UserError,
            match=r"train images differ from the first one's: 3, here 3, of other boxes\.$",
        ):
            prepared(*boxes)
    stored = json.loads((tmp_path / "run" / "config.json").read_text())
    del stored["data"]["train"]["sha256_of_boxes"]
    write_json(tmp_path / "run" / "config.json", stored)
    assert prepared((1, 1, 20, 21)) == first


@pytest.mark.parametrize("place", [0, 8])
def test_another_image_under_the_same_name_is_refused(tmp_path, place):
    """As after a second download, or crops made anew. A file that was only touched, and a run without a digest, go on."""
    write_images(tmp_path / "photos" / "a", [(40, 50)] * 5)
    write_images(tmp_path / "photos" / "b", [(40, 50)] * 5, seed=1)
    (tmp_path / "run").mkdir()
    values = {"data.source": tmp_path / "photos", "architecture.crop": 32, "runtime.cache_dir": tmp_path / "cache"}
    config = override(Config(), values)

    def prepared(writes=False):
        source, _ = without_bad_images(open_source(config.data), config)
        return prepare(tmp_path / "run", config, source, {}, Start("12ab"), writes)[0]

    first = prepared(writes=True)
    file = sorted((tmp_path / "photos").rglob("*.jpg"))[place]
    content = file.read_bytes()
    write_images(tmp_path / "other", [(40, 50)], seed=7)
    file.write_bytes((tmp_path / "other" / "000.jpg").read_bytes())
    with pytest.raises(UserError, match=r"images differ from the first one's: (\d), here \1, of other contents\.$"):
        prepared()
    stored = json.loads((tmp_path / "run" / "config.json").read_text())
    without = {name: {**one} for name, one in stored["data"].items() if isinstance(one, dict)}
    for one in without.values():
        one.pop("sha256_of_contents", None)
    write_json(tmp_path / "run" / "config.json", {**stored, "data": {**stored["data"], **without}})
    assert prepared() == first
    write_json(tmp_path / "run" / "config.json", stored)
    file.write_bytes(content)
    assert prepared() == first


TOY = override(load("quickstart"), {"architecture.width": 0.0625})


def test_a_resume_from_another_start_names_both(tmp_path):
    path = tmp_path / "vgg.pth"
    path.write_bytes(b"weights")
    config = override(Config(), {"training.weights": path})
    (tmp_path / "run" / "checkpoints" / "epoch-0001-step-000000001").mkdir(parents=True)
    write_json(
        tmp_path / "run" / "config.json",
        {"config": to_dict(config), "classes": ["a", "b", "c"], "started_from": "12ab"},
    )
    write_json(tmp_path / "run" / "manifest.json", {"config.json": [sha256(tmp_path / "run" / "config.json")]})
    with pytest.raises(UserError, match=rf"begun from {path} \(sha256 12ab\), now {path} \(sha256 {sha256(path)}\)\."):
        check(tmp_path / "run", config)
    with pytest.raises(UserError, match=rf"begun from {path} \(sha256 12ab\), now random weights\."):
        check(tmp_path / "run", Config())
    stage = override(
        Config(), {"training.init_from": tmp_path / "A"}
    )  # of a chain, without the --init_from that replaced it
    with pytest.raises(
        UserError,
        match=rf"begun from {path} \(sha256 12ab\), now {tmp_path}/A \(not trained yet\)\. Give the same --init_from",
    ):
        check(tmp_path / "run", stage)


@pytest.fixture(scope="module")
def begun_run(tmp_path_factory):
    """The folder of a run of `TOY` with a checkpoint and its first best weights."""
    folder = tmp_path_factory.mktemp("begun")
    prepare(folder, TOY, open_source(TOY.data), {}, Start())
    (folder / "checkpoints" / "epoch-0001-step-000000007").mkdir(parents=True)
    names = ("model.weights.h5", "model.keras")
    for name in names:
        (folder / name).write_text(f"a stand-in for {name}")
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest == {"config.json": [sha256(folder / "config.json")]}
    write_json(folder / "manifest.json", {**manifest, **{name: [sha256(folder / name)] for name in names}})
    return folder


@pytest.fixture
def run(begun_run, tmp_path):
    """A copy of the run, to be changed."""
    shutil.copytree(begun_run, tmp_path, dirs_exist_ok=True)
    check(tmp_path, TOY)
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("name", ["config.json", "model.weights.h5", "model.keras"])
@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.unlink(),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes()[:-5]),
        lambda path: path.write_bytes(path.read_bytes() + b" "),
        lambda path: path.write_bytes(b"\xff" + path.read_bytes()[1:]),
    ],
)
def test_a_changed_file_of_a_run_is_named_before_it_goes_on(run, name, spoil):
    spoil(run / name)
    message = f"Received: {run / name}, which was changed, damaged or removed. Put it back as it was, or name another --workdir"
    with pytest.raises(UserError) as caught:
        check(run, TOY)
    assert message in str(caught.value)


@pytest.mark.parametrize("section", ["mean", "statistics", "classes", "started_from"])
def test_an_edited_configuration_is_refused_whatever_was_edited(run, section):
    stored = json.loads((run / "config.json").read_text())
    if section == "mean":
        stored["config"]["architecture"]["mean"][0] += 1
    elif section == "statistics":
        stored["data"]["statistics"]["mean"][0] += 1
    else:
        stored[section] = {"classes": stored["classes"][::-1], "started_from": "12ab"}[section]
    write_json(run / "config.json", stored)
    with pytest.raises(UserError, match=r"config\.json, which was changed, damaged or removed"):
        check(run, TOY)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "manifest.json, their digests, which was removed. Put it back, or name another --workdir"),
        ("{", "manifest.json, damaged"),
        ('{"model.weights.h5": ["12"]}', "manifest.json, damaged: without config.json"),
        ('{"config.json": []}', "manifest.json, damaged: no digest of config.json"),
        ('{"config.json": ["12"], "../secret": ["12"]}', "manifest.json, damaged: no digest of ../secret"),
    ],
)
def test_a_manifest_that_is_not_there_or_damaged_is_named(run, content, message):
    (run / "manifest.json").unlink()
    if content:
        (run / "manifest.json").write_text(content)
    with pytest.raises(UserError) as caught:
        check(run, TOY)
    assert message in str(caught.value)


@pytest.mark.parametrize("name", ["config.json", "manifest.json", "model.keras", "metrics.jsonl", "digests.json"])
@pytest.mark.parametrize("kind", ["FIFO", "device"])
def test_what_is_no_regular_file_is_not_waited_for(run, name, kind):
    checkpoint = run / "checkpoints" / "epoch-0001-step-000000007"
    path = checkpoint / name if name == "digests.json" else run / name
    path.unlink(missing_ok=True)
    os.mkfifo(path) if kind == "FIFO" else path.symlink_to("/dev/zero")
    if name == "digests.json":
        assert damage(checkpoint).startswith(f"{name}: a FIFO, a socket or a device, where a file is needed")
        return
    with pytest.raises(OSError, match="a FIFO, a socket or a device") as caught:
        read(run) if name == "metrics.jsonl" else check(run, TOY)
    assert caught.value.filename == str(path)


def test_a_copy_beside_the_checkpoints_is_no_checkpoint(run):
    checkpoint = run / "checkpoints" / "epoch-0001-step-000000007"
    checkpoint.rename(checkpoint.with_name(checkpoint.name + "-backup"))
    write_json(run / "config.json", {**json.loads((run / "config.json").read_text()), "hardware": "edited"})
    check(run, TOY)  # nothing resumes from it, and so the file may change: the run starts again


def test_a_resume_takes_other_limits_and_nothing_else(tmp_path):
    for place, batch_norm in enumerate((False, True)):
        begun, folder = override(Config(), {"architecture.batch_norm": batch_norm}), tmp_path / str(place)
        begun = override(begun, {"data.scale": (256,)})  # as a run's folder states it
        write_json(folder / "config.json", {"config": to_dict(begun), "classes": [], "started_from": None})
        write_json(folder / "manifest.json", {"config.json": [sha256(folder / "config.json")]})
        (folder / "checkpoints" / "epoch-0001-step-000000045").mkdir(parents=True)
        for limit in ("evaluation.max_pixels=200000000", "evaluation.batch=1", "runtime.cpu_devices=2"):
            check(folder, override(begun, parse_assignments([limit])))
        fewer = override(begun, {"data.micro_batch": 32})
        if batch_norm:  # whose mean and variance are those of the part of a batch
            with pytest.raises(UserError, match="begun with data.micro_batch: 0, now 32"):
                check(folder, fewer)
        else:
            check(folder, fewer)
        assert worker_fields(begun) != worker_fields(fewer)  # workers of one run still agree
        assert worker_fields(begun) != worker_fields(override(begun, {"evaluation.batch": 1}))
        for other in ("data.batch=32", "evaluation.flip=false", "evaluation.scales=384", "training.epochs=3", "seed=1"):
            with pytest.raises(UserError, match=f"begun with {other.split('=')[0]}: "):
                check(folder, override(begun, parse_assignments([other])))


def folder_of(config, folder):
    """The folder of a run with a checkpoint, as far as `check` reads it."""
    write_json(folder / "config.json", {"config": to_dict(config), "classes": [], "started_from": None})
    write_json(folder / "manifest.json", {"config.json": [sha256(folder / "config.json")]})
    (folder / "checkpoints" / "epoch-0001-step-000000045").mkdir(parents=True)


@pytest.mark.parametrize(
    ("setting", "unused", "used"),
    [
        ("training.optimizer=adam", "training.weight_decay=1e-4", "training.optimizer=sgdw"),
        ("training.optimizer=sgdw", "training.l2=1e-3", "training.optimizer=l2"),
        ("training.schedule=cosine", "training.plateau_patience=9", "training.schedule=plateau"),
        ("architecture.head=gap", "architecture.fc_units=512", "architecture.head=fc"),
        ("architecture.head=gap", "architecture.dropout=0.1", "architecture.head=fc"),
        ("architecture.boxes=none", "localization.iou=0.75", "architecture.boxes=pcr"),
    ],
)
def test_a_field_without_effect_stops_no_resume(tmp_path, setting, unused, used):
    """`train` refuses such an override, so a run that was begun with it goes on without it, and one with an effect does not."""
    test = {"data.scale": (256,), "evaluation.protocol": "center"}
    plain = override(Config(), {**test, **parse_assignments([setting])})
    begun = override(plain, parse_assignments([unused]))
    folder_of(begun, tmp_path / "begun")
    folder_of(plain, tmp_path / "plain")
    for folder, one in itertools.product((tmp_path / "begun", tmp_path / "plain"), (begun, plain)):
        check(folder, one)
    other = override(plain, parse_assignments([used]))
    with pytest.raises(UserError, match=f"begun with {used.partition('=')[0]}: "):
        check(tmp_path / "plain", other)
    folder_of(other, tmp_path / "other")
    changed = override(other, parse_assignments([unused]))
    with pytest.raises(UserError, match=f"begun with {unused.partition('=')[0]}: "):
        check(tmp_path / "other", changed)
    assert worker_fields(other) != worker_fields(changed)


@pytest.mark.slow
def test_a_run_states_its_scale_and_is_resumed_without_it_where_it_follows_from_the_crop(tmp_path):
    stated = override(Config(), {"architecture.crop": 96, "data.scale": (110,)})
    write_json(tmp_path / "config.json", {"config": to_dict(stated), "classes": [], "started_from": None})
    write_json(tmp_path / "manifest.json", {"config.json": [sha256(tmp_path / "config.json")]})
    (tmp_path / "checkpoints" / "epoch-0001-step-000000045").mkdir(parents=True)
    left_out = override(Config(), {"architecture.crop": 96})
    check(tmp_path, left_out)
    with pytest.raises(UserError, match=r"begun with data\.scale: \[110\], now \[128\]"):
        check(tmp_path, override(left_out, {"data.scale": (128,)}))
    begun = override(TOY, {"data.scale": ()})
    assert prepare(tmp_path / "new", begun, open_source(begun.data), {}, Start())[0].data.scale == (37,)


def test_a_resume_with_other_limits_writes_them_for_the_tests_of_its_net(run):
    raised = override(TOY, {"evaluation.max_pixels": 200000000, "runtime.cpu_devices": 2})
    check(run, raised)
    resolved, _ = prepare(run, raised, open_source(TOY.data), {}, None)
    assert run_config(run) == resolved and resolved.evaluation.max_pixels == 200_000_000
    assert resolved.architecture.num_classes == 10 and len(resolved.architecture.mean) == 3
    check(run, TOY)  # the digests are those of the new file, and of the others as before
    manifest = json.loads((run / "manifest.json").read_text())
    assert manifest == {name: [sha256(run / name)] for name in ("config.json", "model.weights.h5", "model.keras")}


@pytest.mark.slow
@pytest.mark.parametrize("done", [0, 1, 2])
def test_a_kill_while_other_limits_are_written_leaves_a_run_that_goes_on(run, monkeypatch, done):
    """After the first renames: of the manifest with both digests, of the configuration, of the manifest with the new one."""
    raised, renamed, replace = override(TOY, {"evaluation.batch": 1}), [], os.replace

    def killed(source, target):
        if Path(target).parent == run:
            if len(renamed) == done:
                raise KeyboardInterrupt
            renamed.append(Path(target).name)
        replace(source, target)

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        prepare(run, raised, open_source(TOY.data), {}, None)
    monkeypatch.undo()
    assert renamed == ["manifest.json", "config.json"][:done]
    check(run, raised)
    prepare(run, raised, open_source(TOY.data), {}, None)
    assert run_config(run).evaluation.batch == 1

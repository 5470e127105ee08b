"""What a suite's folder refuses: another design, other images, other starts, other given nets."""

import dataclasses
import json
import re
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest

from tests.reproduction.fake_start import IMAGES, FakeStart, describe, options_of, write_passes
from vgg_keras.errors import UserError
from vgg_keras.evaluation import posteriors
from vgg_keras.overrides import override
from vgg_keras.plain_values import to_dict
from vgg_keras.reproduction import identity, plan, suites
from vgg_keras.reproduction.job import reproduce
from vgg_keras.reproduction.options import suite_of
from vgg_keras.runs import WEIGHTS


@pytest.mark.slow
def test_given_nets_are_not_mixed_with_others(quick, tmp_path):
    (tmp_path / "images").mkdir()
    for name in ("a.h5", "b.h5"):
        (tmp_path / name).write_bytes(name.encode())

    def run(*weights):
        options = options_of(
            tmp_path / "out", "imagenet", data=(str(tmp_path / "images"),), weights=weights, only=("table4",)
        )
        start = FakeStart()
        assert reproduce(suite_of(options), options, start) == 0
        return start.names

    assert run(f"D={tmp_path / 'a.h5'}") == ["imagenet_D-jitter_0_dense"]
    assert run(f"D={tmp_path / 'a.h5'}") == []
    page = (tmp_path / "out/report.md").read_text()
    assert "within 0.1" not in page  # of the paper's errors, which are of 50,000 other images
    assert f"| {IMAGES} val | val " in page  # which images: no run states them
    assert f"given: {tmp_path / 'a.h5'} | - | - | - | - | - | float32 |" in page  # in which its tests were computed
    with pytest.raises(UserError, match=r"given/D, begun with the net .*a\.h5 with .*, now .*b\.h5 with"):
        run(f"D={tmp_path / 'b.h5'}")
    # the same net under another name is the same net, but posteriors of another one are none of its
    file = tmp_path / "out/runs/given/D/evaluation/dense_Q256.npz"
    found = posteriors.load(file)
    posteriors.save(dataclasses.replace(found, nets=(dataclasses.replace(found.nets[0], weights_sha256="0"),)), file)
    assert run(f"D={tmp_path / 'a.h5'}") == ["imagenet_D-jitter_0_dense"]
    # without weights the nets are trained: the given net's posteriors are not theirs
    suite = suites.of("imagenet", {}).on({"imagenet": str(tmp_path / "images")})
    (of_d,) = [one for one in plan.runs_of(suite, tmp_path / "out") if one.training.name == "imagenet/D-jitter"]
    assert not of_d.trained and not of_d.finished("dense", 256)


def test_a_folder_of_another_suite_is_refused_before_its_results_are_replaced(tmp_path):
    for content, refused in (
        ('{"suite": "smoke"}', True),
        ('{"suite": "small"}', False),
        ("damaged", False),
        ("[]", False),
    ):
        (tmp_path / "results.json").write_text(content)
        if refused:
            with pytest.raises(UserError, match=r"Received: .* of --suite=smoke, now small\. Name another --out\."):
                plan.runs_of(suites.of("small", {}), tmp_path)
        else:
            assert plan.runs_of(suites.of("small", {}), tmp_path)


def test_other_images_and_other_starts_are_refused(quick, tmp_path):
    out = tmp_path / "out"
    for name in ("one", "two"):
        (tmp_path / name).mkdir()

    def run(images):
        options = options_of(out, data=(str(tmp_path / images),), only=("table3",))
        return reproduce(suite_of(options), options, FakeStart())

    assert run("one") == 0
    found = json.loads((out / "results.json").read_text())
    assert {cell["table"] for cell in found["cells"]} == {"3", "4", "4.1", "5", "6"}  # the page is of all
    (images,) = found["sets"].values()
    assert (images["source"], images["train"]["images"]) == (str(tmp_path / "one"), 240)
    with pytest.raises(UserError, match=r"begun with data\.source: .*/one, now .*/two\. Give the --data"):
        run("two")

    def changed(training, change):
        path = out / f"runs/digits/{training}/seed-0/config.json"
        before = path.read_text()
        content = json.loads(before)
        change(content)
        path.write_text(json.dumps(content))
        with pytest.raises(UserError) as found:
            run("one")
        path.write_text(before)
        return str(found.value)

    message = changed("D-small", lambda content: content["data"]["val"].update(sha256_of_names="0"))
    assert "B-small/seed-0 and" in message and "D-small/seed-0, whose val images differ: 60 and 60" in message
    message = changed("D-jitter", lambda content: content["config"]["training"].update(init_from="runs/other/A/seed-0"))
    assert f"started from runs/other/A/seed-0, now {out}/runs/digits/D-small/seed-0" in message
    message = changed("D-jitter", lambda content: content.update(started_from="0"))
    assert "started from an older net in" in message
    assert run("one") == 0


def test_a_runs_folder_states_s_where_the_recipe_leaves_it_out(tmp_path):
    suite = suites.of("imagenet", {})
    (run, *_) = plan.runs_of(suite, tmp_path)
    assert run.config.data.scale == ()
    stated = to_dict(override(run.config, {"data.scale": (256,), "architecture.num_classes": 1000}))
    run.folder.mkdir(parents=True)
    (run.folder / "config.json").write_text(json.dumps({"config": stated, "classes": []}))
    assert plan.runs_of(suite, tmp_path)[0] == run


@pytest.fixture
def trained(tmp_path):
    """A run's folder with the digest of its weights, `12`, and its images; its configuration."""
    config = suites.of("smoke", {}).training("digits/D-small").configuration("digits", 0)
    content = {"config": to_dict(config), "classes": list("0123456789"), "data": describe("digits")}
    (tmp_path / "config.json").write_text(json.dumps(content))
    (tmp_path / "manifest.json").write_text(json.dumps({"config.json": ["34"], WEIGHTS: ["ab", "12"]}))
    return tmp_path, config


def damage_a_row(path):
    """Inverts a byte of the probabilities; the other arrays stay as they are."""
    with zipfile.ZipFile(path) as archive:
        place = archive.getinfo("probabilities.npy").header_offset + 400  # behind the header
    content = bytearray(path.read_bytes())
    content[place] ^= 255
    path.write_bytes(content)


def test_posteriors_count_when_they_are_of_every_image_and_of_this_very_net(trained):
    folder, config = trained

    def complete(weights="12", source="digits", change=None):
        write_passes(folder / "tests", config, weights, folder, "dense", (32,), source)
        path = folder / "tests/dense_Q32.npz"
        if change:
            change(path)
        return identity.complete(path, folder, config)

    def unfinished(path):
        found = posteriors.load(path)
        posteriors.save(dataclasses.replace(found, done=np.arange(IMAGES) > 0), path)

    assert complete() and not identity.complete(folder / "absent.npz", folder, config)
    assert not complete(weights="ab")  # of the net before it was trained anew
    assert not complete(source="elsewhere/others")
    assert not complete(change=unfinished)
    assert not complete(change=lambda path: path.write_bytes(path.read_bytes()[:500]))
    assert not complete(change=damage_a_row)  # else no test is planned, and the page cannot be written
    for fields in ({"flip": not config.evaluation.flip}, {"precision": "mixed_bfloat16"}, {"grid": 3}):

        def by_hand(path, fields=fields):
            found = posteriors.load(path)
            posteriors.save(dataclasses.replace(found, nets=(dataclasses.replace(found.nets[0], **fields),)), path)

        assert not complete(change=by_hand)  # a test by other settings, in the folder that `evaluate` takes by itself
    content = json.loads((folder / "config.json").read_text())
    test = {"images": IMAGES, "sha256_of_names": "0"}  # a set with a test split is tested on that
    (folder / "config.json").write_text(json.dumps({**content, "data": {**content["data"], "test": test}}))
    assert not complete()


def test_a_run_goes_on_in_a_folder_that_was_moved_and_as_it_was_begun(trained):
    folder, config = trained
    stored = json.loads((folder / "config.json").read_text())
    assert identity.begun_run(folder, config) == stored and not identity.difference_of_run(stored, config, None)
    assert identity.begun_run(folder / "absent", config) is None
    started = Path("old/runs/digits/A-small/seed-0"), Path("new/runs/digits/A-small/seed-0")
    stored["config"]["training"]["init_from"] = str(started[0])
    stored["config"]["data"]["source"] = "/gone/digits"
    (folder / "config.json").write_text(json.dumps(stored))
    moved = dataclasses.replace(config, data=dataclasses.replace(config.data, source="/here/digits"))
    machine = override(moved, {"runtime.cpu_devices": 3, "checkpoint.every_steps": 7})
    for planned in (moved, machine):
        assert identity.begun_run(folder, planned) == stored
        assert identity.difference_of_run(stored, planned, started[1]) == ""
    found = identity.difference_of_run(stored, moved, None)
    assert found == "started from old/runs/digits/A-small/seed-0, now no net"
    found = identity.difference_of_run(stored, moved, started[1].with_name("seed-1"))
    assert found == "started from old/runs/digits/A-small/seed-0, now new/runs/digits/A-small/seed-1"
    found = identity.difference_of_run(stored, override(moved, {"training.epochs": 7}), started[1])
    assert found == "begun with training.epochs: 2, now 7"


def test_a_source_is_another_unless_it_was_moved(tmp_path, monkeypatch):
    """A relative path leads nowhere from another folder, and its name was taken for one of TensorFlow's sets."""
    (tmp_path / "photos").mkdir()
    (tmp_path / "here").mkdir()
    whole = str(tmp_path / "photos")
    for folder, sources in ((tmp_path, ("photos", "photos/", whole)), (tmp_path / "here", ("../photos", whole))):
        monkeypatch.chdir(folder)
        assert not any(identity._is_other("photos", source) for source in sources)
    assert not identity._is_other("/gone/photos", whole)
    for begun in ("digits", "cifar10", "imagenette/320px-v2", str(tmp_path / "here")):
        assert identity._is_other(begun, whole)


def test_all_runs_of_another_plan_are_named_at_once(quick, tmp_path):
    """With what started from them: without these the next page would have a new net beside what came of the old one."""
    out = tmp_path / "out"
    options = options_of(out)
    suite, start = suite_of(options), FakeStart()
    assert reproduce(suite, options, start) == 0
    changed = [one for one in suite.trainings if any(other.start == one.name for other in suite.trainings)][-1]
    come = [changed.name]
    for one in suite.trainings:
        come += [one.name] if one.start in come else []
    assert len(come) > 1 and len(changed.seeds) > 1
    for seed in changed.seeds:
        path = out / f"runs/{changed.name}/seed-{seed}/config.json"
        content = json.loads(path.read_text())
        content["config"]["training"]["epochs"] = 77
        path.write_text(json.dumps(content))
    seeds = ",".join(map(str, changed.seeds))
    named = " ".join(f"{name}/seed-{{{seeds}}}" for name in come)
    words = f"{changed.name}/seed-0, begun with training.epochs: 77, now "
    with pytest.raises(UserError, match=re.escape(words)) as found:
        reproduce(suite, options, FakeStart())
    assert str(found.value).endswith(f"Name another --out, or remove in {out}/runs: {named}.")
    for seed in changed.seeds:  # removed without what came of it
        shutil.rmtree(out / f"runs/{changed.name}/seed-{seed}")
    again = FakeStart()
    words = f"started from {out}/runs/{changed.name}/seed-0, which is no longer there"
    with pytest.raises(UserError, match=re.escape(words)) as found:
        reproduce(suite, options, again)
    named = " ".join(f"{name}/seed-{{{seeds}}}" for name in come[1:])
    assert str(found.value).endswith(f"{out}/runs: {named}.") and again.names == []
    for name in come[1:]:
        shutil.rmtree(out / f"runs/{name}")
    assert reproduce(suite, options, again) == 0
    trained = {name.rsplit("_", 2)[0].replace("_", "/") for name in again.names if name.endswith("_train")}
    assert trained == set(come)


def test_runs_of_one_set_have_the_same_images():
    runs = [(Path(f"run-{seed}"), {"data": describe("digits")}) for seed in range(3)]
    identity.require_same_images(runs)
    identity.require_same_images([])
    train, val = (runs[2][1]["data"][split] for split in ("train", "val"))
    # files of the same names: the nets would be compared although they were trained on others
    for digest, other in (
        ("contents", {"sha256_of_contents": "0"}),
        ("names", {"images": 1200, "sha256_of_names": "0"}),
        ("names, contents", {"sha256_of_names": "0", "sha256_of_contents": "0"}),
    ):
        runs[2][1]["data"]["train"] = train | other
        differ = rf"whose train images differ: 240 and {other.get('images', 240):,}, of other {digest}\. Name another"
        with pytest.raises(UserError, match=f"run-0 and run-2, {differ}"):
            identity.require_same_images(runs)
    runs[2][1]["data"] = {
        "train": {name: one for name, one in train.items() if name != "sha256_of_contents"},
        "val": val,
    }
    identity.require_same_images(runs)  # of contents that one does not state nothing is said
    runs[2][1]["data"]["val"] = None
    with pytest.raises(UserError, match=r"whose val images differ: 60 and 0\. Name another"):
        identity.require_same_images(runs)

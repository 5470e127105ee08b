"""Checkpoints that were damaged, killed or found no room: the newest intact one is always there, the others are named."""

import json
import os
import re
import resource
import shutil
import signal
import subprocess
import time

import numpy as np
import pytest
import tensorflow as tf

from tests import warm
from tests.conftest import command
from tests.training.toy import TOY, checkpoints, digest, metrics, start
from tests.warm import Warm
from vgg_keras.config import Architecture, Checkpoint, Config
from vgg_keras.errors import UserError
from vgg_keras.files import sweep, write_json
from vgg_keras.plain_values import to_dict
from vgg_keras.runs import checkpoints_in
from vgg_keras.training.checkpoints import Checkpoints

OLD, NEW = "epoch-0001-step-000000010", "epoch-0002-step-000000020"


@pytest.fixture
def saved(tmp_path):
    """A folder with two checkpoints, in which every number is 1 and 2, and the state that they are of."""
    state = tf.train.Checkpoint(weights=tf.Variable(tf.zeros([500])), step=tf.Variable(0, dtype=tf.int64))
    checkpoints = Checkpoints(tmp_path, state, Checkpoint(keep=2))
    for number in (1, 2):
        fill(state, number)
        checkpoints.save(number, 10 * number)
    return tmp_path, state


def fill(state, number):
    state.weights.assign(tf.fill([500], float(number)))
    state.step.assign(number)


def restored(folder, state):
    """The number that a fresh start restores; all of the state holds it."""
    fill(state, -1)
    assert Checkpoints(folder, state, Checkpoint(keep=2)).restore()
    assert set(state.weights.numpy()) == {int(state.step)}
    return int(state.step)


def whole_folder(path):
    return {file.name: file.read_bytes() for file in path.iterdir()}


def put_back(folder, files):
    shutil.rmtree(folder / f"damaged-{NEW}", ignore_errors=True)
    shutil.rmtree(folder / NEW, ignore_errors=True)
    (folder / NEW).mkdir()
    for name, content in files.items():
        (folder / NEW / name).write_bytes(content)


@pytest.mark.slow
def test_a_flipped_bit_anywhere_is_noticed_and_the_one_before_is_used(saved, capsys, random):
    folder, state = saved
    files = whole_folder(folder / NEW)
    assert sum(name.startswith("state.data") for name in files) == 1 and {"state.index", "digests.json"} < set(files)
    tried = harmless = 0
    for name, content in files.items():
        for place in random.choice(len(content), min(40, len(content)), replace=False):
            damaged = bytearray(content)
            damaged[place] ^= 1 << int(random.integers(8))
            put_back(folder, files)
            (folder / NEW / name).write_bytes(damaged)
            tried += 1
            if restored(folder, state) == 2:  # of the digests' file a blank may become another one
                assert name == "digests.json" and json.loads(damaged) == json.loads(content)
                harmless += 1
                continue
            said = capsys.readouterr().err
            assert f"damaged checkpoint: {folder / NEW}: " in said and len(said.splitlines()) == 1
            assert [path.name for path in checkpoints_in(folder)] == [OLD] and (
                folder / f"damaged-{NEW}" / name
            ).exists()
    print(f"{tried} flipped bits, {harmless} of them harmless")
    assert tried >= 100


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (
            lambda path: os.truncate(path / "state.data-00000-of-00001", 1000),
            "state.data-00000-of-00001 is not what was",
        ),
        (lambda path: os.truncate(path / "state.index", 50), "state.index is not what was written"),
        (lambda path: os.truncate(path / "state.index", 0), "state.index is not what was written"),
        (lambda path: os.truncate(path / "digests.json", 0), "digests.json is no list of digests"),
        (lambda path: (path / "state.index").unlink(), "state.index: No such file"),
        (lambda path: (path / "digests.json").unlink(), "digests.json: No such file"),
        (lambda path: [file.unlink() for file in path.iterdir()], "digests.json: No such file"),
    ],
)
def test_a_damaged_one_is_named_and_set_aside_and_written_anew(saved, capsys, spoil, reason):
    folder, state = saved
    spoil(folder / NEW)
    checkpoints = Checkpoints(folder, state, Checkpoint(keep=2))
    assert checkpoints.restore() and int(state.step) == 1
    assert reason in capsys.readouterr().err
    fill(state, 2)
    checkpoints.save(2, 20)
    assert [path.name for path in checkpoints_in(folder)] == [OLD, NEW]  # the damaged one counts not towards `keep`
    assert restored(folder, state) == 2
    spoil(folder / NEW)  # once more: the first one that was set aside makes room
    assert restored(folder, state) == 1
    assert sorted(path.name for path in folder.iterdir()) == [f"damaged-{NEW}", OLD]


def test_none_that_is_whole_is_an_error_each_time(saved):
    folder, state = saved
    for name in (OLD, NEW):
        (folder / name / "state.index").write_bytes(b"")
    for _ in range(2):
        with pytest.raises(
            UserError, match=rf"resumes from an intact checkpoint\. Received: .*{NEW}: state.index.*; {OLD}: "
        ):
            restored(folder, state)
        assert [path.name for path in checkpoints_in(folder)] == [OLD, NEW]  # left as they were
    (folder / NEW).rename(folder / f"damaged-{NEW}")
    shutil.rmtree(folder / OLD)
    with pytest.raises(UserError, match=rf"which holds none: damaged-{NEW}: set aside before"):
        restored(folder, state)


def test_those_of_a_version_without_digests_are_not_called_damaged(saved):
    folder, state = saved
    for name in (OLD, NEW):
        (folder / name / "digests.json").unlink()
    with pytest.raises(UserError, match=r"where none does: .* an earlier version of vgg_keras wrote them") as caught:
        restored(folder, state)
    assert "damaged" not in str(caught.value) and [path.name for path in checkpoints_in(folder)] == [OLD, NEW]


def test_workers_beside_the_chief_read_and_change_nothing(saved, capsys):
    folder, state = saved
    (folder / NEW / "state.index").write_bytes(b"")
    (folder / ".writing-the-chief's").mkdir()
    before = sorted(folder.rglob("*"))
    assert Checkpoints(folder, state, Checkpoint(keep=2), writes=False).restore() and int(state.step) == 1
    assert sorted(folder.rglob("*")) == before and not capsys.readouterr().err


def test_a_whole_one_of_another_net_is_refused_and_not_passed_over(saved):
    folder, _ = saved
    other = tf.train.Checkpoint(weights=tf.Variable(tf.zeros([7])))
    with pytest.raises(UserError, match=rf"must be of the net that resumes from it\. Received: .*{NEW}: "):
        Checkpoints(folder, other, Checkpoint()).restore()
    assert [path.name for path in checkpoints_in(folder)] == [OLD, NEW]


def test_a_copy_under_another_name_is_nobodys_business(saved):
    folder, state = saved
    strays = [f"{NEW}-backup", f"{NEW}.bak", f"copy of {NEW}", "epoch-last-step-best", "epoch-3-step-30"]
    for name in strays:
        shutil.copytree(folder / NEW, folder / name)
    (folder / "epoch-notes.txt").touch()
    assert [path.name for path in checkpoints_in(folder)] == [OLD, NEW]
    assert restored(folder, state) == 2
    checkpoints = Checkpoints(folder, state, Checkpoint(keep=1))
    checkpoints.save(3, 30)
    assert {path.name for path in folder.iterdir()} == {*strays, "epoch-notes.txt", "epoch-0003-step-000000030"}


def test_the_newest_is_the_one_of_the_highest_number(saved):
    folder, state = saved
    checkpoints = Checkpoints(folder, state, Checkpoint(keep=9))
    for epochs, step in ((9999, 999_999_999), (10_000, 1_000_000_000)):
        checkpoints.save(epochs, step)
    assert checkpoints.newest().name == "epoch-10000-step-1000000000"
    assert checkpoints.restore()


def test_digests_that_name_no_file_are_no_digests(saved, capsys):
    folder, state = saved
    (folder / NEW / "digests.json").write_text("{}")
    assert restored(folder, state) == 1
    assert "digests.json is no list of digests" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["a[b]c\\d*e?", "x[", os.fsdecode(b"\xff")])
def test_a_folder_that_tensorflow_takes_for_a_pattern_is_saved_and_restored(tmp_path, name):
    state = tf.train.Checkpoint(weights=tf.Variable(tf.zeros([500])), step=tf.Variable(0, dtype=tf.int64))
    fill(state, 7)
    Checkpoints(tmp_path / name, state, Checkpoint()).save(1, 10)
    assert restored(tmp_path / name, state) == 7


@pytest.mark.slow
def test_a_run_goes_on_from_the_one_before_the_damaged_one_or_says_that_there_is_none(uninterrupted, tmp_path):
    workdir = tmp_path / "run"
    shutil.copytree(uninterrupted, workdir)
    before, newest = checkpoints(workdir)
    data = workdir / "checkpoints" / newest / "state.data-00000-of-00001"
    content = bytearray(data.read_bytes())
    content[len(content) // 2] ^= 1
    data.write_bytes(content)
    assert start(tmp_path, "run").wait() == 0
    said = (tmp_path / "run.log").read_text()
    reason = "state.data-00000-of-00001 is not what was written; set aside as damaged-"
    assert f"damaged checkpoint: run/checkpoints/{newest}: {reason}" in said
    assert f"resumed from run/checkpoints/{before}" in said
    assert digest(workdir) == digest(uninterrupted) and metrics(workdir) == metrics(uninterrupted)
    for name in checkpoints(workdir):
        os.truncate(workdir / "checkpoints" / name / "state.index", 20)
    process = start(tmp_path, "refused", "--workdir=run")
    assert process.wait() == 2
    (said,) = [line for line in (tmp_path / "refused.log").read_text().splitlines() if line.startswith("error: ")]
    assert "resumes from an intact checkpoint. Received: run/checkpoints, which holds none: epoch-0003" in said
    assert metrics(workdir) == metrics(uninterrupted) and len(checkpoints(workdir)) == 2


# ---- killed while it saves, again and again

NET = Architecture("A", num_classes=3, crop=32, width=1 / 16, mean=(1.0, 2.0, 3.0))


def save_without_end(folder):
    """A program that does nothing but save: checkpoints, and the best weights, all of whose values are one number."""
    from vgg_keras.nets.builder import build
    from vgg_keras.weights.formats.run_folder import save_weights

    sweep(folder)
    model = build(NET)
    state = tf.train.Checkpoint(model=model, step=tf.Variable(0, dtype=tf.int64))
    checkpoints = Checkpoints(folder / "checkpoints", state, Checkpoint(keep=2))
    checkpoints.restore()
    while True:
        number = int(state.step.assign_add(1))
        for variable in model.weights:
            variable.assign(tf.fill(variable.shape, float(number)))
        checkpoints.save(number, number)
        save_weights(model, folder)


def newest_numbers(folder):
    """The numbers in the newest checkpoint and in the best weights: one each, else a save is torn."""
    from vgg_keras.weights.formats.run_folder import load_run

    checkpoint = checkpoints_in(folder / "checkpoints")[-1]
    reader = tf.train.load_checkpoint(str(checkpoint / "state"))
    names = [name for name in reader.get_variable_to_shape_map() if not name.startswith("_CHECKPOINTABLE")]
    values = [np.unique(reader.get_tensor(name)) for name in names]
    best = [np.unique(array) for array in load_run(folder).model.get_weights()]
    assert len(values) > 20 and len(best) > 20
    return set(np.concatenate(values).tolist()), set(np.concatenate(best).tolist())


@pytest.mark.slow
@pytest.mark.parametrize("kills", [5, pytest.param(100, marks=pytest.mark.full)])
def test_killed_amid_saves_a_whole_one_is_always_there(tmp_path, kills):
    write_json(tmp_path / "config.json", {"config": to_dict(Config(architecture=NET)), "classes": ["a", "b", "c"]})
    random = np.random.default_rng(int(os.environ.get("VGG_KERAS_KILL_SEED", "0")))
    last, amid = 0, 0
    for _ in range(kills):
        before = set(checkpoints_in(tmp_path / "checkpoints"))
        process = Warm(save_without_end, tmp_path, folder=tmp_path, log=tmp_path / "log")
        limit = time.monotonic() + 120
        while (
            not (tmp_path / "manifest.json").exists() or len(set(checkpoints_in(tmp_path / "checkpoints")) - before) < 2
        ):
            assert process.poll() is None and time.monotonic() < limit, (tmp_path / "log").read_text()
            time.sleep(0.01)
        time.sleep(random.uniform(0, 0.5))  # two rounds of saves
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL, (tmp_path / "log").read_text()
        amid += any(tmp_path.rglob(".writing-*"))
        (number,), (best,) = newest_numbers(tmp_path)
        assert number > last and best in (number, number - 1)
        last = number
    print(f"{kills} kills, {amid} of them amid a write; {last:.0f} saves")
    assert amid >= kills // 3  # else it was not the saves that were killed
    assert "damaged" not in (tmp_path / "log").read_text()


# ---- no room


def run_with_small_files(words):
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))  # below a checkpoint's 900 kB
    warm.run_command(words)


@pytest.fixture(params=["limit", pytest.param("disk", marks=pytest.mark.full)])
def room(request, tmp_path):
    """A folder, what runs a command in it with room for small files alone, and whether that is on a full disk.

    Else it is by a limit of the process.
    """
    folder = tmp_path / "room"
    folder.mkdir()
    if request.param == "limit":
        yield folder, lambda words: warm.finished(run_with_small_files, words, folder), False
        return
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=32m", "tmpfs", folder], capture_output=True, text=True)
    if made.returncode:
        pytest.skip(f"no small disk can be mounted here: {made.stderr.strip()}")

    def tight(words):
        filler = folder / "filler"
        filler.write_bytes(bytes(shutil.disk_usage(folder).free - 200_000))
        try:
            return warm.finished(warm.run_command, words, folder)
        finally:
            filler.unlink()

    yield folder, tight, True
    subprocess.run(["umount", folder], check=True)


def contents(workdir):
    """Of all files of a run but those of which each start has its own: the configuration as resumed, and TensorBoard's."""
    own = {"config.json", "manifest.json", "tensorboard"}
    files = [path for path in workdir.rglob("*") if path.is_file() and not own & set(path.parts)]
    return {path.relative_to(workdir): path.read_bytes() for path in files}


@pytest.mark.slow
def test_without_room_a_run_ends_in_order_and_resumes_when_there_is_some(room, stopped, tmp_path, request):
    folder, tight, full_disk = room
    workdir = folder / "run"
    shutil.copytree(stopped, workdir)
    before = contents(workdir)
    done = tight(command("train", *TOY, "--workdir=run", cache=tmp_path))
    assert done.returncode == 74, done.stderr
    (said,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert re.search(
        r"must be room .* Received: run/checkpoints/epoch-.*: (File too large|No space left on device)\. ", said
    )
    assert "Traceback" not in done.stderr
    # what is resumed from is what it was, so that in test_job.py it ends with the same bits
    assert contents(workdir) == before and len(before) > 6
    if not full_disk:
        return
    uninterrupted = request.getfixturevalue("uninterrupted")
    assert start(folder, "run").wait() == 0, (folder / "run.log").read_text()
    assert digest(workdir) == digest(uninterrupted) and metrics(workdir) == metrics(uninterrupted)


def save_weights_without_room(folder, name):
    """A program that saves a net, finds no room for this file of another one, and goes on when there is some."""
    from vgg_keras.nets.builder import build
    from vgg_keras.weights.formats.run_folder import load_run, save_weights

    def limit(size):
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

    def save_keras(path):
        limit(resource.RLIM_INFINITY)
        keras_save(path)
        limit(100_000)

    model = build(NET)
    save_weights(model, folder)
    old = model.get_weights()
    files = sorted(path.name for path in folder.iterdir())
    model.set_weights([array + 1 for array in old])
    keras_save = model.save
    if name == "model.weights.h5":
        model.save = save_keras
    limit(100_000)
    try:
        save_weights(model, folder)
    except OSError as error:
        assert error.filename == str(folder / name) and error.strerror == "File too large", error
    else:
        raise AssertionError("there was room")
    assert all(map(np.array_equal, load_run(folder).model.get_weights(), old))
    assert sorted(path.name for path in folder.iterdir()) == files
    model.save = keras_save
    limit(resource.RLIM_INFINITY)
    save_weights(model, folder)
    assert np.array_equal(load_run(folder).model.get_weights()[0], old[0] + 1)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["model.keras", "model.weights.h5"])
def test_without_room_for_the_best_weights_the_old_ones_stay(tmp_path, name):
    """HDF5 that finds no room takes its process down with a segmentation fault, which the status would tell."""
    write_json(tmp_path / "config.json", {"config": to_dict(Config(architecture=NET)), "classes": ["a", "b", "c"]})
    process = Warm(save_weights_without_room, tmp_path, name, folder=tmp_path, log=tmp_path / "log")
    assert process.wait() == 0, (tmp_path / "log").read_text()

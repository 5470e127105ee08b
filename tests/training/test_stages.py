"""3.1's chain: what is planned, and a whole one on the command line."""

import json
import shutil

import h5py
import numpy as np
import pytest

import vgg_keras
from tests.conftest import write_images
from vgg_keras.errors import UserError
from vgg_keras.files import sha256, write_json
from vgg_keras.overrides import override, parse_assignments
from vgg_keras.plain_values import to_dict
from vgg_keras.recipes import load
from vgg_keras.training import estimate
from vgg_keras.training.dry_run import dry_run
from vgg_keras.training.stages import plan, require_used

TOY = (
    "--config=B",
    "--set=architecture.width=0.0625",
    "--set=architecture.crop=32",
    "--set=data.scale=32",
    "--set=stages.2.scale=40",
    "--set=stages.3.scale=32,40",
    "--set=data.batch=500",
    "--set=training.epochs=1",
)


def summaries(runs):
    configs = [run.config for run in runs]
    starts = [config.training.init_from for config in configs]
    names = [run.name for run in runs]
    rates = [config.training.learning_rate for config in configs]
    return list(
        zip(
            names,
            [c.architecture.name for c in configs],
            [c.training_scale for c in configs],
            rates,
            starts,
            strict=True,
        )
    )


def a_run(folder, name="A", **fields):
    """What looks like a finished run's folder."""
    config = override(load(name), {"stages": (), **{f"architecture.{field}": value for field, value in fields.items()}})
    folder.mkdir(parents=True)
    write_json(folder / "config.json", {"config": to_dict(config), "classes": []})
    (folder / "model.weights.h5").write_text(f"weights of {folder.name}")
    digest = sha256(folder / "model.weights.h5")
    write_json(
        folder / "manifest.json", {"config.json": [sha256(folder / "config.json")], "model.weights.h5": [digest]}
    )
    reached = {"epochs": 1, "validation_top1_error": 1.0, "top1_error": 2.0}
    write_json(folder / "finished.json", {"weights_sha256": digest, **reached})


@pytest.mark.parametrize("name", ["B", "C", "D", "E"])
def test_the_papers_chain_by_hand(name, tmp_path):
    assert summaries(plan(load(name), tmp_path, [], "")) == [
        ("A", "A", (256,), 1e-2, ""),
        ("S256", name, (256,), 1e-2, f"{tmp_path}/A"),
        ("S384", name, (384,), 1e-3, f"{tmp_path}/S256"),
        ("jitter", name, (256, 512), 1e-3, f"{tmp_path}/S384"),
    ]
    assert {run.config.training.layers for run in plan(load(name), tmp_path, [], "")} == {"all"}


@pytest.mark.parametrize("name", ["B", "C", "D", "E", "D_submission", "comparison"])
def test_every_stage_decays_as_the_papers_l2_does_at_its_rate(name, tmp_path):
    """SGDW's share is of the stage's first rate: 5e-4 * rate / (1 - momentum), 5e-5 at 1e-2 and 5e-6 at 1e-3."""
    for run in plan(load(name), tmp_path, [], ""):
        rules = run.config.training
        assert rules.weight_decay == pytest.approx(5e-4 * rules.learning_rate / (1 - rules.momentum)), run.name
    shares = {run.config.training.weight_decay for run in plan(load(name), tmp_path, [], "")}
    assert len(shares) == 2  # the first rate's, and the divided one's


def test_the_submissions_last_stage_trains_the_fc_layers(tmp_path):
    runs = plan(load("D_submission"), tmp_path, [], "")
    assert [run.config.training.layers for run in runs] == ["all", "all", "all", "fc"]


def test_a_part_of_the_chain_and_a_net_that_stands_for_another(tmp_path):
    a_run(tmp_path / "elsewhere" / "A")
    other = str(tmp_path / "elsewhere" / "A")
    chain = tmp_path / "E"
    assert [run[0] for run in summaries(plan(load("E"), chain, [], other))] == ["S256", "S384", "jitter"]
    assert summaries(plan(load("E"), chain, ["S256"], other)) == [("S256", "E", (256,), 1e-2, other)]
    a_run(chain / "A")
    assert summaries(plan(load("E"), chain, ["S256"], ""))[0][-1] == str(chain / "A")
    a_run(tmp_path / "trained", "E")
    assert summaries(plan(load("E"), chain, ["jitter"], str(tmp_path / "trained")))[0][-1] == str(tmp_path / "trained")
    single = plan(override(load("E"), {"stages": ()}), tmp_path / "one", [], other)
    assert summaries(single) == [("single", "E", (256,), 1e-2, other)]


@pytest.mark.parametrize(
    ("names", "init", "message"),
    [
        (["S25"], "", r"Received: 'S25'\. Did you mean 'S256'\?"),
        (["S384"], "", r"S384 starts from S256, which is not finished\. .*Train it first \(--stages=A,S256,S384\)"),
        (["S256"], "wide", r"Received: .*wide, whose width is 0\.5, not 1\.0\."),
        (["S256"], "small", r"Received: .*small, whose crop is 64, not 224\."),
        (["S256"], "B", r"from net A or from its own configuration .*Received: .*B, a B, for E\."),
        (["S256"], "nowhere", r"A net starts from a run's folder.* Received: .*nowhere, which is none\."),
        (["S256"], "new", r"Received: .*new, without manifest\.json yet\."),
    ],
)
def test_mistakes_are_found_before_anything_is_done(tmp_path, names, init, message):
    a_run(tmp_path / "wide", width=0.5)
    a_run(tmp_path / "small", crop=64)
    a_run(tmp_path / "B", "B")
    a_run(tmp_path / "new")
    (tmp_path / "new" / "manifest.json").unlink()
    with pytest.raises(UserError, match=message):
        plan(load("E"), tmp_path / "E", names, str(tmp_path / init) if init else "")
    assert not (tmp_path / "E").exists()


def test_a_chain_holds_one_family_and_hands_its_own_start_on(tmp_path):
    with pytest.raises(UserError, match=r"from net A or from its own configuration .*, a B, for E\."):
        plan(override(load("E"), {"stages.0.architecture": "B"}), tmp_path, [], "")
    a_run(tmp_path / "other")
    config = override(load("E"), {"training.init_from": tmp_path / "other", "training.layers": "fc"})
    assert [run.config.training.init_from for run in plan(config, tmp_path, ["A"], "")] == [str(tmp_path / "other")]
    assert {run.config.training.layers for run in plan(config, tmp_path, [], "")} == {"fc"}
    with pytest.raises(UserError, match=r"stages\.2 \(S384\): data\.scale must be architecture\.crop"):
        override(load("E"), {"stages.2.scale": (100,)})


def test_the_files_of_a_finished_stage_are_read_once(tmp_path, monkeypatch):
    for name in ("A", "S256"):
        a_run(tmp_path / name, "A" if name == "A" else "E")
    read = []
    monkeypatch.setattr("vgg_keras.training.stages.sha256", lambda path: read.append(path) or sha256(path))
    runs = plan(load("E"), tmp_path, [], "")
    assert [run.result is not None for run in runs] == [True, True, False, False]
    files = [tmp_path / name / file for name in ("A", "S256") for file in ("model.weights.h5", "config.json")]
    assert sorted(read) == sorted(files)


@pytest.mark.parametrize("name", ["finished.json", "manifest.json"])
def test_a_torn_file_of_a_stage_is_named(tmp_path, name):
    a_run(tmp_path / "A")
    (tmp_path / "A" / name).write_text('{"weights_sha')
    with pytest.raises(UserError, match=rf"A run's files must stay as they were\. Received: .*A/{name}, damaged"):
        plan(load("E"), tmp_path, ["S256"], "")


def test_a_damaged_stage_is_named(tmp_path):
    a_run(tmp_path / "A")
    (tmp_path / "A" / "model.weights.h5").write_text("others")
    with pytest.raises(UserError, match=r"A finished stage must stay as it was\. Received: .*A/model\.weights\.h5"):
        plan(load("E"), tmp_path, ["S256"], "")


def test_a_single_run_and_a_chain_do_not_share_a_folder(tmp_path):
    a_run(tmp_path / "run", "E")
    with pytest.raises(UserError, match="which holds a single run"):
        plan(load("E"), tmp_path / "run", [], "")
    with pytest.raises(UserError, match="the configuration has none"):
        plan(load("quickstart"), tmp_path / "run", ["A"], "")


def kernels(folder):
    found = {}
    with h5py.File(folder / "model.weights.h5") as file:
        file.visititems(
            lambda name, entry: found.update({name: entry[()]}) if isinstance(entry, h5py.Dataset) else None
        )
    return found


def test_fine_tuning_is_one_training_with_one_start(tmp_path):
    path = tmp_path / "vgg.pth"
    path.write_bytes(b"weights")
    config = override(load("E"), {"training.weights": path})
    (run,) = plan(config, tmp_path / "E", [], "")
    assert (run.name, run.config.stages, run.config.training.start) == ("single", (), str(path))
    for names, init_from, message in (
        (
            ["S256"],
            "",
            r"--weights fine-tunes in one training, without the stages of .* Received: .* with --stages=S256",
        ),
        ([], str(tmp_path), r"are two starts: leave one out\. Received: "),
    ):
        with pytest.raises(UserError, match=message):
            plan(config, tmp_path / "E", names, init_from)
    with pytest.raises(UserError, match=r"must exist\. Received: absent\.pth"):
        plan(override(load("E"), {"training.weights": "absent.pth"}), tmp_path / "E", [], "")
    with pytest.raises(UserError, match=r"weights_sha256 belongs to training\.weights\. Received: '12'"):
        override(load("E"), {"training.weights_sha256": "12"})


def require_plan_of_toy(printed):
    assert [line.split()[:3] for line in printed.splitlines() if line.endswith(" new")] == [
        ["A", "A", "32"],
        ["S256", "B", "32"],
        ["S384", "B", "40"],
        ["jitter", "B", "32-40"],
    ]
    assert "1,438" in printed and "without validation; the plateau rule" in printed
    assert "timing B, net 2 of 2" in printed  # stages that differ in S alone are timed once


@pytest.mark.slow
def test_a_dry_run_of_a_chain_prints_its_plan_and_writes_nothing(tmp_path, monkeypatch, capsys):
    """With the time of a step in place of the steps."""
    monkeypatch.setattr(estimate, "_timed", lambda *_: estimate.Speed(500, 0.0, 0.1))
    config = override(load("B"), parse_assignments([word.removeprefix("--set=") for word in TOY[1:]]))
    dry_run(plan(config, tmp_path / "E", [], ""))
    require_plan_of_toy(capsys.readouterr().out)
    assert not (tmp_path / "E").exists()


@pytest.mark.full
def test_a_dry_run_of_a_chain_times_its_steps(run_command, tmp_path):
    done = run_command("train", *TOY, "--workdir=E", "--dry_run")
    assert done.returncode == 0, done.stderr
    require_plan_of_toy(done.stdout)
    assert not (tmp_path / "E").exists()


@pytest.mark.slow
def test_a_whole_chain_stops_goes_on_and_is_not_made_again(run_command, tmp_path):
    done = run_command("train", *TOY, "--workdir=runs/chain", "--set=architecture.num_classes=3")
    assert done.returncode == 2 and "must be 0 or the data's 10" in done.stderr
    assert not (tmp_path / "runs").exists()

    first = run_command("train", *TOY, "--workdir=E", "--stages=A,S256")
    assert first.returncode == 0, first.stderr
    assert (
        "started from E/A: copied block1_conv1, block2_conv1, block3_conv1, block3_conv2, fc1, fc2, pred"
        in first.stdout
    )
    lines = [json.loads(line) for line in (tmp_path / "E" / "S256" / "metrics.jsonl").read_text().splitlines()]
    assert lines[0]["started_from"] == "E/A" and "block1_conv2" in lines[0]["random"]
    assert lines[1]["stage"] == "S256"

    shutil.move(tmp_path / "E", tmp_path / "moved")
    written = (tmp_path / "moved" / "S256" / "model.weights.h5").stat().st_mtime_ns
    whole = run_command("train", *TOY, "--workdir=moved", "--set=stages.3.layers=fc")
    assert whole.returncode == 0, whole.stderr
    assert (tmp_path / "moved" / "S256" / "model.weights.h5").stat().st_mtime_ns == written
    assert [line.split()[0] for line in whole.stdout.splitlines() if line.startswith("---- ")] == ["----", "----"]
    for name in ("A", "S256", "S384", "jitter"):
        assert (tmp_path / "moved" / name / "final_evaluation" / "report.html").exists()
        assert json.loads((tmp_path / "moved" / name / "finished.json").read_text())["epochs"] == 1
    # only the FC layers moved in the last stage
    before, after = kernels(tmp_path / "moved" / "S384"), kernels(tmp_path / "moved" / "jitter")
    moved = {name for name in after if not np.array_equal(before[name], after[name])}
    assert len(before) == len(after) == 2 * 13
    shapes = sorted(after[name].shape for name in moved)
    assert len(moved) == 6 and all(len(shape) <= 2 for shape in shapes)

    # a finished chain needs no checkpoint, is not made again, and only with the same configuration
    for name in ("A", "S256", "S384", "jitter"):
        shutil.rmtree(tmp_path / "moved" / name / "checkpoints")
    again = run_command("train", *TOY, "--workdir=moved", "--set=stages.3.layers=fc")
    assert again.returncode == 0 and "final evaluation, top-1 error" in again.stdout
    assert not any(line.startswith("---- ") for line in again.stdout.splitlines())
    for more in ((), ("--dry_run",)):
        done = run_command("train", *TOY, "--workdir=moved", "--set=training.learning_rate=0.5", *more)
        assert done.returncode == 2 and "begun with" in done.stderr
        assert "training.learning_rate: 0.01, now 0.5" in done.stderr or "training.layers" in done.stderr

    (tmp_path / "moved" / "A" / "model.weights.h5").write_text("damaged")
    listing = sorted(path.stat().st_mtime_ns for path in (tmp_path / "moved").rglob("*"))
    for more in ((), ("--dry_run",)):
        done = run_command("train", *TOY, "--workdir=moved", "--set=stages.3.layers=fc", *more)
        assert done.returncode == 2 and "A finished stage must stay as it was" in done.stderr
    assert sorted(path.stat().st_mtime_ns for path in (tmp_path / "moved").rglob("*")) == listing
    done = run_command("evaluate", "--model=moved")
    assert done.returncode == 2 and "Each stage of a chain is a run: name one of moved/A, " in done.stderr


# ---- fine-tuning


def test_finetune_begins_with_the_weights_and_copies_every_layer_from_stage_to_stage(tmp_path):
    a_run(tmp_path / "trained", "D")
    config = override(
        load("finetune"), {"training.weights": str(tmp_path / "trained"), "training.weights_sha256": "ab"}
    )
    runs = plan(config, tmp_path / "new", [], "")
    assert [(run.name, run.config.training.layers, run.evaluated) for run in runs] == [
        ("new", "new", False),
        ("block5", "block5", False),
        ("all", "all", True),
    ]
    starts = [(run.config.training.weights, run.config.training.weights_sha256) for run in runs]
    folders = [str(tmp_path / "new" / name) for name in ("new", "block5")]
    assert starts == [(str(tmp_path / "trained"), "ab"), (folders[0], ""), (folders[1], "")]
    assert {run.config.training.init_from for run in runs} == {""}


@pytest.mark.parametrize(
    ("config", "changes", "message"),
    [
        ("finetune", {}, r"Layers that are not trained need trained weights\. Received: training.layers=new without"),
        ("A", {"training.layers": "block5"}, "Layers that are not trained need trained weights"),
        ("A", {"training.layers": "block9"}, r"Received: 'block9'\. Did you mean 'block"),
        ("A", {"training.rate_factors": ("block9:2",)}, r"Received: 'block9:2'\. Did you mean 'block"),
    ],
)
def test_layers_that_cannot_be_trained_are_refused_by_the_plan(tmp_path, config, changes, message):
    with pytest.raises(UserError, match=message):
        plan(override(load(config), changes), tmp_path, [], "")


@pytest.mark.parametrize(
    ("name", "field", "value", "stages", "message"),
    [
        (
            "finetune",
            "training.epochs",
            1,
            (),
            r"its own epochs\. Received: training\.epochs\. Try --set=stages\.0\.epochs=",
        ),
        (
            "finetune",
            "training.learning_rate",
            1e-4,
            ("block5",),
            r"Try --set=stages\.1\.learning_rate=\.\.\. for block5",
        ),
        ("finetune", "training.layers", "all", (), "its own layers"),
        ("E", "training.learning_rate", 1e-4, ("S384", "jitter"), "its own learning_rate"),
        ("finetune", "data.scale", (128,), (), None),
        ("E", "training.learning_rate", 1e-4, (), None),  # of A and S256
        ("E", "architecture.name", "D", (), None),
        ("quickstart", "training.epochs", 9, (), None),
        (
            "finetune",
            "training.weight_decay",
            1e-4,
            (),
            r"training\.weight_decay belongs to training\.optimizer=sgdw\. Received: .* with training\.optimizer=adam\.",
        ),
        (
            "quickstart",
            "training.l2",
            1e-3,
            (),
            r"belongs to training\.optimizer=l2\. Received: .* with training\.optimizer=sgdw",
        ),
        (
            "E",
            "training.step_epochs",
            (30, 60),
            (),
            r"belongs to training\.schedule=step\. .* Set both, or leave it out",
        ),
        ("finetune", "training.plateau_patience", 3, (), r"with training\.schedule=cosine"),
        ("D", "data.visible_box", 0.1, (), r"belongs to architecture\.boxes=scr or architecture\.boxes=pcr\."),
        ("D", "architecture.initializer_std", 0.1, (), r"with architecture\.initializer=glorot, architecture\.fc_init"),
        (
            "finetune",
            "architecture.fc_units",
            (512,),
            (),
            r"fc_units is that of hidden FC layers\. Received: it with head=gap",
        ),
        ("finetune", "architecture.fc_units", (512, 256), (), None),
        (
            "finetune",
            "architecture.dropout",
            0.3,
            (),
            r"dropout is that of hidden FC layers\. .* Set architecture\.fc_layers=1",
        ),
        ("finetune", "architecture.dropout", 0.0, (), None),
        ("finetune", "training.weight_decay", 0.0, (), None),  # there is none, with Adam
        (
            "finetune",
            "training.plateau_metric",
            "balanced_error",
            (),
            r"plateau_metric belongs to training\.schedule=plateau or training\.kept_net=best\. .* training\.kept_net=last",
        ),
        ("cifar10_c", "training.plateau_metric", "balanced_error", (), None),
        (
            "E",
            "training.init_from",
            "runs/S256",
            ("S384", "jitter"),
            r"starts from another stage\. Received: training\.init_from\. A run replaces .* by --init_from=RUN",
        ),
        ("E", "training.init_from", "runs/A", (), None),  # of A
        (
            "finetune",
            "training.rate_factors",
            ("predictions:10", "block4:0.1"),
            ("block5",),
            r"rate_factors is of trained layers\. Received: 'block4:0\.1' with training\.layers=block5",
        ),
        ("finetune", "training.rate_factors", ("predictions:10", "block4:0.1"), (), None),  # of all
        ("finetune", "training.rate_factors", ("fc1:0.1",), (), None),  # of any head
        ("d_bn", "architecture.initializer_std", 0.1, (), None),
        ("E", "evaluation.grid", 3, (), None),  # of a later evaluation
        ("E", "features.splits", 5, (), None),
        (
            "E",
            "localization.iou",
            0.75,
            (),
            r"belongs to architecture\.boxes=scr .* with architecture\.boxes=none\. Set both",
        ),
        ("localisation", "data.visible_box", 0.1, (), None),
        ("cifar10_bn", "training.l2", 1e-3, (), None),
    ],
)
def test_an_override_that_no_stage_would_see_is_refused(name, field, value, stages, message):
    """It has another value there, or no stage has the setting that it belongs to."""
    config = override(load(name), {field: value})
    if message is None:
        require_used(config, {field: value}, stages)
        return
    with pytest.raises(UserError, match=message):
        require_used(config, {field: value}, stages)


@pytest.mark.parametrize("name", ["quickstart", "E"])
def test_two_runs_to_start_from_are_refused(name):
    """The one of the flag would be taken, and the other one not be mentioned."""
    config = override(load(name), {"training.init_from": "runs/b"})
    with pytest.raises(UserError, match=r"are one start\. Received: both, runs/a and runs/b\. Leave one out"):
        require_used(config, {"training.init_from": "runs/b"}, (), "runs/a")


def test_a_chain_of_fine_tuning_does_not_go_on_without_its_weights(tmp_path):
    """3.1's rule would take the mean of the training set in place of the weights'."""
    a_run(tmp_path / "trained", "D")
    a_run(tmp_path / "new" / "new", "D")
    stored = json.loads((tmp_path / "new" / "new" / "config.json").read_text())
    stored["config"]["training"]["weights"] = str(tmp_path / "trained")
    write_json(tmp_path / "new" / "new" / "config.json", stored)
    manifest = json.loads((tmp_path / "new" / "new" / "manifest.json").read_text())
    manifest["config.json"] = [sha256(tmp_path / "new" / "new" / "config.json")]
    write_json(tmp_path / "new" / "new" / "manifest.json", manifest)
    with pytest.raises(UserError, match=r"no --weights, where .*new/new has --weights=.*trained\. Give it again"):
        plan(load("finetune"), tmp_path / "new", ["block5"], "")


def finetune_words(folder, weights):
    """The command that fine-tunes `weights` on photographs of three classes, which it makes."""
    for seed, name in enumerate("abc"):
        write_images(folder / "photos" / name, [(40, 50)] * 10, seed=seed)
    return (
        "--config=finetune",
        "--set=architecture.name=A-LRN",
        "--set=architecture.width=0.0625",
        "--set=architecture.crop=32",
        "--set=data.scale=32,40",
        "--data=photos",
        f"--weights={weights}",
        "--workdir=tuned",
        *(f"--set=stages.{stage}.min_steps=4" for stage in range(3)),
    )


@pytest.mark.full  # a dry run of a chain, and of one training with --weights, run by default
def test_a_dry_run_of_finetune_writes_nothing(run_command, tmp_path, uninterrupted):
    planned = run_command("train", *finetune_words(tmp_path, uninterrupted), "--dry_run")
    assert planned.returncode == 0 and not (tmp_path / "tuned").exists(), planned.stderr


@pytest.mark.slow
def test_finetune_on_the_command_line_from_a_net_with_another_head(run_command, tmp_path, uninterrupted):
    """One command: the new head alone, then from block 5 on, then all; what a stage does not train stays to the bit."""
    trained, words = uninterrupted, finetune_words(tmp_path, uninterrupted)
    done = run_command("train", *words)
    assert done.returncode == 0, done.stderr
    assert "copied block1_conv1, " in done.stdout and "block5_conv2; random: predictions" in done.stdout
    assert "warning" not in done.stderr
    nets = {"weights": vgg_keras.load_net(trained).model}
    nets |= {name: vgg_keras.load_net(tmp_path / "tuned" / name).model for name in ("new", "block5", "all")}

    def moved(before, after):
        names = [layer.name for layer in nets[after].layers if layer.weights]
        pairs = {name: (nets[before].get_layer(name), nets[after].get_layer(name)) for name in names}
        return [
            name
            for name, (old, new) in pairs.items()
            if not all(map(np.array_equal, old.get_weights(), new.get_weights()))
        ]

    assert moved("weights", "new") == ["predictions"]
    assert moved("new", "block5") == ["block5_conv1", "block5_conv2", "predictions"]
    assert len(moved("block5", "all")) == 9
    loaded = vgg_keras.load_net(trained)
    stored = [json.loads((tmp_path / "tuned" / name / "config.json").read_text()) for name in ("new", "all")]
    configs = [one["config"] for one in stored]
    assert stored[0]["started_from"] == loaded.weights_sha256 and configs[0]["architecture"]["num_classes"] == 3
    line = json.loads((tmp_path / "tuned" / "new" / "metrics.jsonl").read_text().splitlines()[0])
    assert line["started_from"] == str(trained) and line["random"] == ["predictions"]
    assert "block5_conv2" in line["copied"]
    assert [config["training"]["layers"] for config in configs] == ["predictions", "all"]
    assert (
        configs[0]["architecture"]["mean"]
        == configs[1]["architecture"]["mean"]
        == list(loaded.config.architecture.mean)
    )
    epochs = [
        len((tmp_path / "tuned" / name / "metrics.jsonl").read_text().splitlines()) - 1
        for name in nets
        if name != "weights"
    ]
    assert epochs[0] == 2  # of two updates each, as many as min_steps needs
    assert not (tmp_path / "tuned" / "new" / "final_evaluation").exists()
    again = run_command("train", *words)
    assert again.returncode == 0 and not any(line.startswith("---- ") for line in again.stdout.splitlines())

"""Fine-tuning: the rate that is warned of, and the command from a run and from another framework's file."""

import json

import numpy as np
import pytest

import vgg_keras
from tests.conftest import write_images
from tests.weights.sources import save_torch, torch_vgg
from vgg_keras.config import Architecture, Config, Data, Training
from vgg_keras.overrides import override, parse_assignments
from vgg_keras.recipes import load
from vgg_keras.training.rate_warning import SAFE_RATE, rate_warning
from vgg_keras.training.stages import require_used

TOY = ("--config=quickstart", "--set=architecture.name=A", "--set=architecture.width=0.0625", "--set=data.batch=50")


def tuned(weights):
    """A thin net's configuration that starts from these weights."""
    architecture = Architecture("A", width=1 / 16, crop=32)
    return Config(architecture=architecture, data=Data(scale=(64,)), training=Training(weights=weights))


def test_a_rate_for_random_weights_is_warned_of_with_one_that_works():
    path = "vgg.pth"
    at_the_default = rate_warning(tuned(path))
    assert (
        at_the_default.startswith("warning: training.learning_rate=0.01 with --weights") and "\n" not in at_the_default
    )
    words = [word.removeprefix("--set=") for word in at_the_default.split() if word.startswith("--set=")]
    safe = override(tuned(path), parse_assignments(words))
    assert rate_warning(safe) is None and safe.training.learning_rate == SAFE_RATE
    share = Training().weight_decay / Training().learning_rate
    assert safe.training.weight_decay == pytest.approx(share * safe.training.learning_rate)
    assert rate_warning(override(tuned(path), {"training.optimizer": "l2"}))
    assert rate_warning(override(tuned(path), {"architecture.batch_norm": True}))
    for rate, warned in ((1e-2, True), (1e-3, False)):
        adam = override(tuned(path), {"training.optimizer": "adam", "training.learning_rate": rate})
        assert bool(rate_warning(adam)) == warned
        assert rate_warning(override(adam, {"architecture.batch_norm": True})) == rate_warning(adam)
    for head, rate, warned in (("fc", 1e-3, True), ("fc", 9e-4, False), ("gap", 1e-2, True), ("gap", 1e-3, False)):
        config = override(tuned(path), {"architecture.head": head, "training.learning_rate": rate})
        assert (rate_warning(config) is not None) == warned
    assert rate_warning(Config()) is None  # random weights
    assert rate_warning(Config(training=Training(init_from="runs/A"))) is None  # 3.1's rule, at 3.1's rate


def test_the_advice_for_a_stage_of_a_chain_is_one_that_the_chain_takes():
    """Each stage has a rate of its own: `require_used` refuses training.learning_rate for all of them."""
    chain = override(
        load("finetune"),
        {"training.weights": "vgg.h5", "training.optimizer": "sgdw", "architecture.head": "fc"},
    )
    warning = rate_warning(chain.of_stage(chain.stages[0]))
    assert warning.startswith("warning: learning_rate=0.001 of the stage new with --weights: without batch norm")
    assert warning.endswith("Try --set=stages.N.learning_rate=0.0001, where N is the place of new in the chain, from 0")
    words = [word.removeprefix("--set=").rstrip(",").replace("N", "0") for word in warning.split() if "--set=" in word]
    overrides = parse_assignments(words)
    require_used(chain, overrides, [])
    safe = override(chain, overrides)
    assert rate_warning(safe.of_stage(safe.stages[0])) is None


@pytest.mark.slow
def test_fine_tuning_on_the_command_line(run_command, tmp_path):
    """Of another framework's file, on a set with three classes, at a rate of nothing; test_stages.py begins with a run."""
    for seed, name in enumerate("abc"):
        write_images(tmp_path / "photos" / name, [(40, 50)] * 10, seed=seed)
    for seed, name in enumerate(("vgg", "another")):
        save_torch(torch_vgg("A", width=1 / 16, crop=32, seed=seed), tmp_path / f"{name}.safetensors")
    words = (*TOY, "--data=photos", "--set=training.learning_rate=1e-30", "--set=training.weight_decay=0")
    words += ("--set=architecture.dropout=0", "--set=training.epochs=1", "--set=runtime.precision=float32")

    # what is wrong is found before anything is written, by --dry_run too
    width = "--set=architecture.width=0.125"
    for arguments, message in (
        (["absent.pth"], "A file of weights must exist. Received: absent.pth"),
        (["vgg.safetensors", "--sha256=12"], "must have the expected sha256, 12"),
        (["vgg.safetensors", width], "It fits --set=architecture.width=0.0625"),
        (["vgg.safetensors", width, "--dry_run"], "It fits --set=architecture.width=0.0625"),
        (["vgg.safetensors", "--init_from=photos"], "are two starts: leave one out"),
        (["vgg.safetensors", "--set=training.weights=photos"], "are one field"),
    ):
        done = run_command("train", *words, f"--weights={arguments[0]}", *arguments[1:], "--workdir=tuned")
        assert done.returncode == 2 and "Traceback" not in done.stderr
        assert done.stderr.splitlines()[-1].startswith("error: ") and message in done.stderr.splitlines()[-1]
        assert not (tmp_path / "tuned").exists()
    high = ("--set=training.learning_rate=0.01", "--weights=vgg.safetensors")
    done = run_command("train", *words, *high, "--dry_run", "--workdir=tuned")
    assert done.returncode == 0 and " vgg.safetensors " in done.stdout and not (tmp_path / "tuned").exists()
    assert "warning: training.learning_rate=0.01 with --weights" in done.stderr

    done = run_command("train", *words, "--weights=vgg.safetensors", "--workdir=from_file")
    assert done.returncode == 0, done.stderr
    assert "started from vgg.safetensors: copied block1_conv1, " in done.stdout
    assert "; random: predictions" in done.stdout
    line = json.loads((tmp_path / "from_file" / "metrics.jsonl").read_text().splitlines()[0])
    assert line["started_from"] == "vgg.safetensors"
    assert line["random"] == ["predictions"] and "fc2" in line["copied"]
    stored = json.loads((tmp_path / "from_file" / "config.json").read_text())
    loaded = vgg_keras.load_net(tmp_path / "vgg.safetensors", stated={"crop": 32})
    assert stored["config"]["architecture"]["mean"] == list(loaded.config.architecture.mean)
    assert stored["config"]["architecture"]["num_classes"] == 3
    assert stored["started_from"] == loaded.weights_sha256
    tuned = vgg_keras.load_net(tmp_path / "from_file").model
    for layer in loaded.model.layers:  # all but the last layer
        if layer.weights and layer.name != "predictions":
            pairs = zip(layer.get_weights(), tuned.get_layer(layer.name).get_weights(), strict=True)
            assert max(np.abs(old - new).max() for old, new in pairs) <= 1e-25, layer.name

    # the same command resumes, wherever the file lies; another start is refused
    (tmp_path / "vgg.safetensors").rename(tmp_path / "moved.safetensors")
    done = run_command("train", *words, "--weights=moved.safetensors", "--workdir=from_file")
    assert done.returncode == 0 and "resumed from" in done.stdout, done.stderr
    # the file may be gone: the run holds its weights; the path is the one that the run knows
    (tmp_path / "moved.safetensors").unlink()
    done = run_command("train", *words, "--weights=moved.safetensors", "--workdir=from_file")
    assert done.returncode == 0 and "resumed from" in done.stdout, done.stderr
    done = run_command("train", *words, "--weights=other.safetensors", "--workdir=from_file")
    assert done.returncode == 2 and "A file of weights must exist. Received: other.safetensors" in done.stderr
    for other in (["--weights=another.safetensors"], []):
        done = run_command("train", *words, *other, "--workdir=from_file")
        assert done.returncode == 2 and "resumed with the start that it was begun with" in done.stderr

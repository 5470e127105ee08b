"""Jobs without TensorFlow: each command is parsed as the real one parses it, and what it would leave is written at once."""

import hashlib
import json
import signal
import zlib
from pathlib import Path

import numpy as np

from tests.conftest import NET
from vgg_keras import stop
from vgg_keras.errors import INTERRUPTED
from vgg_keras.evaluation.posteriors import Posteriors, save
from vgg_keras.files import sha256
from vgg_keras.overrides import override, parse_assignments
from vgg_keras.plain_values import to_dict
from vgg_keras.recipes import load
from vgg_keras.reproduction.options import Options
from vgg_keras.reproduction.suite import PASSES
from vgg_keras.runs import FINAL_EVALUATION, RESULT, WEIGHTS, read_json, run_config

CLASSES = tuple("0123456789")
IMAGES = 60


class FakeStart:
    """Starts jobs that are over at once; keeps their names.

    Args:
        crashes: names of jobs that end with status 2 and leave nothing but a line in their log.
        loss: the training loss of every last epoch.
    """

    def __init__(self, *crashes: str, loss: float = 0.01):
        self.names, self.commands, self._crashes, self._loss = [], [], crashes, loss

    def __call__(self, command, log):
        self.names.append(log.stem)
        self.commands.append(list(command))
        if log.stem in {name.replace("/", "_") for name in self._crashes}:
            log.write_text("error: a crash on purpose\n")
            return Ended(2)
        _, _, module, *words = command
        flags = [word.removeprefix("--").split("=", 1) for word in words]
        settings = parse_assignments(value for name, value in flags if name == "set")
        given = {name: value for name, value in flags if name != "set"}
        {"vgg_keras.train": self._train, "vgg_keras.evaluate": evaluate}[module](given, settings)
        return Ended(0)

    def _train(self, flags, settings):
        start = {"training.init_from": flags["init_from"]} if "init_from" in flags else {}
        given = {**settings, **start, "data.source": flags["data"], "architecture.num_classes": 10}
        config = override(load(flags["config"]), given)
        workdir = Path(flags["workdir"])
        content = {
            "config": to_dict(config),
            "classes": list(CLASSES),
            "data": describe(flags["data"]),
            "hardware": {"devices": ["/device:CPU:0"], "precision": "float32", "processor": "2 cores of a test"},
            "command": ["python", "-m", "vgg_keras.train", *(f"--{name}={value}" for name, value in flags.items())],
            "git_commit": "c0ffee",
            "started_from": digest(Path(flags["init_from"])) if "init_from" in flags else None,
        }
        workdir.mkdir(parents=True)
        (workdir / "config.json").write_text(json.dumps(content))
        (workdir / "manifest.json").write_text(
            json.dumps({"config.json": [sha256(workdir / "config.json")], WEIGHTS: [digest(workdir)]})
        )
        epochs = config.training.epochs
        lines = [
            {"epoch": n, "loss": self._loss * (epochs - n + 1), "top1_error": 1.0, "images_per_second": 100.0}
            for n in range(1, epochs + 1)
        ]
        (workdir / "metrics.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n")
        final = workdir / FINAL_EVALUATION
        write_passes(final, config, digest(workdir), workdir, config.evaluation.protocol, config.test_scales)
        (final / RESULT).write_text("{}")


class Ended:
    """A job that has ended."""

    pid = 1

    def __init__(self, status):
        self._status = status

    def poll(self):
        return self._status

    def send_signal(self, number):
        raise AssertionError("it has ended")


def evaluate(flags, settings):
    """What `evaluate` writes of a run, or of given weights."""
    model = Path(flags.get("model") or flags["weights"])
    config = run_config(model) if "model" in flags else override(load(flags["config"]), settings)
    weights = read_json(model / "manifest.json")[WEIGHTS][0] if "model" in flags else sha256(model)
    scales = tuple(map(int, flags["scales"].split(",")))
    write_passes(Path(flags["out"]), config, weights, model, flags["protocol"], scales, flags["data"])
    (Path(flags["out"]) / RESULT).write_text("{}")


def write_passes(folder, config, weights, model, protocol, scales, source=None):
    """Posteriors whose random numbers follow from the net, the protocol and Q."""
    folder.mkdir(parents=True, exist_ok=True)
    for one in PASSES[protocol]:
        for side in scales:
            random = np.random.default_rng(zlib.crc32(f"{weights} {one} {side}".encode()))
            labels = np.arange(IMAGES, dtype=np.int32) % 10
            scores = random.gumbel(size=(IMAGES, 10)) + 2.5 * np.eye(10)[labels]
            probabilities = (np.exp(scores) / np.exp(scores).sum(1, keepdims=True)).astype(np.float32)
            net = to_dict(NET) | {"model": str(model), "weights_sha256": weights, "protocol": one, "scales": (side,)}
            net |= {"flip": config.evaluation.flip, "grid": config.evaluation.grid if one == "multi_crop" else None}
            found = Posteriors(
                probabilities=probabilities,
                labels=labels,
                ids=names(source or config.data.source, "val"),
                fingerprints=np.arange(IMAGES),
                classes=CLASSES,
                nets=(type(NET)(**net | {"architecture": config.architecture}),),
                done=np.ones(IMAGES, bool),
                seconds=1.0,
            )
            save(found, folder / f"{one}_Q{side}.npz")


def digest(workdir: Path) -> str:
    """A digest in place of a trained net's: the same in every folder, as a training's bits are."""
    return sha256_of("/".join(workdir.parts[-3:]))


def describe(source: str) -> dict:
    """What `config.json` says of the images of a source."""
    return {
        split: {
            "images": count,
            "sha256_of_names": sha256_of("".join(f"{name}\n" for name in names(source, split))),
            "sha256_of_contents": sha256_of(f"contents of {split}"),
        }
        for split, count in (("train", 240), ("val", IMAGES))
    }


def names(source: str, split: str) -> tuple[str, ...]:
    """Of the images: a folder's differ from those of another."""
    return tuple(f"{Path(source).name}/{split}/{number}" for number in range(IMAGES))


def sha256_of(text: str) -> str:
    """In hexadecimal."""
    return hashlib.sha256(text.encode()).hexdigest()


def options_of(folder, suite="smoke", **flags):
    """Those of a command without a dry run, two jobs at once."""
    found = {"data": (), "weights": (), "only": (), "jobs": 2, "dry_run": False, "out": str(folder), "settings": ()}
    return Options(suite=suite, **found | flags)


def wrong(probabilities, labels):
    """Of each image whether its most probable class is another one than its own."""
    return probabilities.argmax(1) != labels


class Machine:
    """Starts jobs that end at the next poll; a training leaves its final evaluation, unless it fails."""

    def __init__(self, statuses=None, stop_at="", slow=""):
        self.begun, self.running, self.most, self._statuses, self._stop_at = [], 0, 0, statuses or {}, stop_at
        self.signalled, self.slow = [], slow  # the job that runs until a signal

    def __call__(self, command, log):
        self.begun.append(log.stem)
        self.running += 1
        self.most = max(self.most, self.running)
        return MachineJob(self, command, log.stem)

    def end(self, name, command, signalled):
        self.running -= 1
        status = INTERRUPTED if signalled else self._statuses.get(name, 0)
        folder = next((word.partition("=")[2] for word in command if word.startswith("--workdir=")), None)
        if folder and not status:
            final = Path(folder) / FINAL_EVALUATION
            final.mkdir(parents=True)
            (final / RESULT).write_text("{}")
        return status


class MachineJob:
    """A job of a `Machine`."""

    def __init__(self, machine, command, name):
        self._machine, self._command, self._name, self._status, self._signalled = machine, command, name, None, False
        self.pid = 1

    def poll(self):
        if self._name == self._machine._stop_at and not self._signalled:
            stop._receive(signal.SIGTERM, None)
            return None
        if self._name == self._machine.slow and not self._signalled:
            return None
        if self._status is None:
            self._status = self._machine.end(self._name, self._command, self._signalled)
        return self._status

    def send_signal(self, number):
        assert number == signal.SIGTERM
        self._machine.signalled.append(self._name)
        self._signalled = True

"""The runs of a suite: which commands make them, which are finished, and which wait for another.

Each training is the ordinary `train` and each test the ordinary `evaluate`, in a process of its own: a crash or a full memory
ends one run, its memory is free again at its end, and the command that made a number can be repeated by hand.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vgg_keras.config import TEST, Config, fields_with
from vgg_keras.overrides import parse_assignments
from vgg_keras.reproduction import identity
from vgg_keras.reproduction.suite import Suite, Training
from vgg_keras.runs import FINAL_EVALUATION, RESULT, read_config

RUNS, LOGS = "runs", "logs"  # folders of a suite's folder
RESULTS = "results.json"  # beside them
TESTS = "evaluation"  # the folder of `evaluate` in a run
_GIVEN = "given"  # the folder of given nets in RUNS: they never count as passes of nets that a suite trains


@dataclass(frozen=True)
class Run:
    """One training of one seed in a suite's folder.

    Attributes:
        training, seed: which.
        folder: its workdir.
        config: without its start.
        start: the workdir of the run that it starts from; None: it has none.
    """

    training: Training
    seed: int
    folder: Path
    config: Config
    start: Path | None

    @property
    def name(self) -> str:
        """The name in messages and logs."""
        return f"{self.training.name}/{self.seed}"

    @property
    def trained(self) -> bool:
        """Whether the net is there: it is given, or its training has ended with its final evaluation."""
        return bool(self.training.weights) or finished_training(self.folder)

    def finished(self, protocol: str, side: int) -> bool:
        """Whether a pass of this very net is complete."""
        return self.pass_file(protocol, side) is not None

    def pass_file(self, protocol: str, side: int) -> Path | None:
        """The complete posteriors of a pass: those of the final evaluation, else of a test; None: there are none."""
        if not self.trained:
            return None
        paths = (self.folder / kind / f"{protocol}_Q{side}.npz" for kind in (FINAL_EVALUATION, TESTS))
        return next((path for path in paths if identity.complete(path, self.folder, self.config)), None)


@dataclass(frozen=True)
class Job:
    """A command of the suite.

    Attributes:
        name: of its log, unique.
        run: whose.
        arguments: of Python.
        test: protocol and values of Q of a test; None: it is the training.
    """

    name: str
    run: Run
    arguments: tuple[str, ...]
    test: tuple[str, tuple[int, ...]] | None

    @property
    def command(self) -> list[str]:
        """The command line."""
        return [sys.executable, *self.arguments]


def runs_of(suite: Suite, folder: Path) -> list[Run]:
    """Every run of a suite in the order of the jobs: a start before what starts from it, and seed after seed, so that the first
    seed's page is there early. What lies beyond the paper comes last.

    Raises:
        UserError: the folder is another suite's, or holds a run of another configuration, start or images, or another given net.
    """
    identity.require_same_suite(folder / RESULTS, suite.name)
    seeds = sorted({seed for training in suite.trainings for seed in training.seeds})
    found = []
    for seed in seeds:
        for training in suite.trainings:
            if seed in training.seeds:
                start = folder / RUNS / training.start / f"seed-{seed}" if training.start else None
                config = training.configuration(suite.source(training), seed)
                found.append(Run(training, seed, _folder_of(training, seed, folder), config, start))
    _require_same(suite, found)
    of_paper = {part.training for cell in suite.cells if cell.table != "beyond" for part in cell.parts}
    of_paper |= {training.start for training in suite.trainings if training.name in of_paper}
    return sorted(found, key=lambda run: run.training.name not in of_paper)


def _folder_of(training: Training, seed: int, folder: Path) -> Path:
    if training.weights:
        return folder / RUNS / _GIVEN / training.net
    return folder / RUNS / training.name / f"seed-{seed}"


def _require_same(suite: Suite, runs: Sequence[Run]) -> None:
    """Refuses runs and given nets of another plan than this one."""
    stored: dict[str, list[tuple[Path, dict[str, Any]]]] = {}
    others: dict[Path, str] = {}
    for run in runs:
        if run.training.weights:
            identity.require_same_given(run.folder, run.training, suite.source(run.training), writes=False)
        elif content := identity.begun_run(run.folder, run.config):
            differs = identity.difference_of_run(content, run.config, run.start)
            if differs or run.start in others:
                others[run.folder] = differs or f"started from {run.start}, another run"
            stored.setdefault(run.training.data, []).append((run.folder, content))
    if others:
        raise identity.other_runs(others)
    for of_set in stored.values():
        identity.require_same_images(of_set)


def _require_starts(runs: Sequence[Run]) -> None:
    """Refuses runs whose start is gone and would be trained anew: a page would have the new net beside what came of the old."""
    anew = {run.folder for run in runs if read_config(run.folder) is None}
    others: dict[Path, str] = {}
    for run in runs:
        if run.start and run.folder not in anew and (run.start in anew or run.start in others):
            others[run.folder] = f"started from {run.start}, which is no longer there"
    if others:
        raise identity.other_runs(others)


def note_given(suite: Suite, runs: Sequence[Run]) -> None:
    """Notes in the folders of given nets which nets these are, before the first test of one."""
    for run in runs:
        if run.training.weights:
            identity.require_same_given(run.folder, run.training, suite.source(run.training), writes=True)


def finished_training(folder: Path) -> bool:
    """Whether the folder holds a training that has ended with its final evaluation."""
    return (folder / FINAL_EVALUATION / RESULT).exists()


def jobs_of(suite: Suite, runs: list[Run], settings: tuple[str, ...] = ()) -> list[Job]:
    """The jobs that are left, in their order.

    Args:
        suite: whose tests.
        runs: of `runs_of`.
        settings: `--set` of every job, such as where the machine's cache lies; a test takes those that it has a use for.

    Raises:
        UserError: a run has begun from a net that is gone.
    """
    _require_starts(runs)
    of_trainings = [f"--set={one}" for one in settings]
    of_tests = [f"--set={one}" for one in settings if set(parse_assignments([one])) <= set(fields_with(TEST))]
    found = []
    for run in runs:
        if not run.trained:
            found.append(Job(f"{run.name}/train", run, (*_train(suite, run), *of_trainings), None))
        for protocol, sides in _missing(suite, run).items():
            test = (*_evaluate(suite, run, protocol, sides), *of_tests)
            found.append(Job(f"{run.name}/{protocol}", run, test, (protocol, sides)))
    return found


def _missing(suite: Suite, run: Run) -> dict[str, tuple[int, ...]]:
    """The values of Q by protocol that neither exist nor will be part of the final evaluation; both is one test of two."""
    found = {}
    for protocol, sides in suite.passes(run.training.name).items():
        final = not run.trained and protocol == run.config.evaluation.protocol
        wanted = [side for side in sides if not (final and side in run.config.test_scales)]
        if left := tuple(side for side in wanted if not run.finished(protocol, side)):
            found[protocol] = left
    if "dense" in found and found["dense"] == found.get("multi_crop"):
        found["both"] = found.pop("dense")
        del found["multi_crop"]
    return found


def _train(suite: Suite, run: Run) -> tuple[str, ...]:
    training = run.training
    settings = [f"--set={assignment}" for assignment in (*training.settings, f"seed={run.seed}")]
    start = [f"--init_from={run.start}"] if run.start else []
    words = [f"--config={training.config}", f"--data={suite.source(training)}", *settings, *start]
    return ("-m", "vgg_keras.train", *words, f"--workdir={run.folder}")


def _evaluate(suite: Suite, run: Run, protocol: str, sides: tuple[int, ...]) -> tuple[str, ...]:
    training = run.training
    if training.weights:  # a given net: the recipe's without its chain
        source, words = f"--weights={training.weights}", [f"--config={training.config}"]
        words += [f"--set={assignment}" for assignment in training.settings]
    else:
        source, words = f"--model={run.folder}", []
    words += [f"--data={suite.source(training)}", f"--protocol={protocol}", f"--scales={','.join(map(str, sides))}"]
    return ("-m", "vgg_keras.evaluate", source, *words, f"--out={run.folder / TESTS}")

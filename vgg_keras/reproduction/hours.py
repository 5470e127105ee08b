"""The plan's hours: the time of an operation on this machine, times the operations of each job. Its start is not counted.

Of a set of images that has runs the time of an operation comes from their metrics.jsonl. Of another one a few steps of its
largest net are timed, in a process of their own. A pass of a test costs an image's multiply-adds at that Q.
"""

import json
import signal
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any

from vgg_keras import stop
from vgg_keras.config import Architecture, Config
from vgg_keras.errors import StoppedError, UserError
from vgg_keras.nets.architectures import multiply_adds, training_operations
from vgg_keras.overrides import override, parse_assignments
from vgg_keras.reproduction.plan import Job, Run
from vgg_keras.reproduction.suite import PASSES
from vgg_keras.runs import METRICS, read_config
from vgg_keras.training.trained_layers import trained_layers

POLL_SECONDS = 0.2


@dataclass(frozen=True)
class Pace:
    """What is known of a set of images on this machine.

    Attributes:
        train_images, val_images, test_images, classes: how many; the first two are 0 where only given nets are tested.
        seconds: of an operation in training.
        measured: whether by complete epochs.
        images: of the splits, as a run states them; empty where runs here do, or where only given nets are tested.
    """

    train_images: int
    val_images: int
    test_images: int
    classes: int
    seconds: float
    measured: bool
    images: dict[str, Any] = field(default_factory=dict)


def hours(job: Job, pace: Pace) -> float:
    """The hours of a job from its first image to its last; of a training those of what is left, its final evaluation included."""
    config = job.run.config
    architecture = config.architecture.resolved(pace.classes, (0.0, 0.0, 0.0))
    if job.test is not None:
        operations = pace.test_images * _of_test(config, architecture, *job.test)
    else:
        training, made = config.training, len(epochs(job.run))
        left = range(made + 1, training.epochs + 1)
        validations = sum(training.validates_after(epoch, training.epochs) for epoch in left)
        operations = (
            len(left) * pace.train_images * _of_training(config, architecture)
            + validations * pace.val_images * 2 * multiply_adds(architecture, architecture.crop, architecture.crop)
            + pace.test_images * _of_test(config, architecture, config.evaluation.protocol, config.test_scales)
        )
    return operations * pace.seconds / 3600


def paces(
    runs: Sequence[Run], settings: Sequence[str] = (), measure: Callable[[Config, bool], Pace] | None = None
) -> dict[str, Pace]:
    """The pace of each set of images, by its name.

    Args:
        runs: of the suite.
        settings: `--set` of every job; the steps are timed with them, too.
        measure: as the function of this name; None: that one, in a process of its own.
    """
    found: dict[str, Pace] = {}
    for data in dict.fromkeys(run.training.data for run in runs):
        of_set = [run for run in runs if run.training.data == data]
        largest = max(
            of_set, key=lambda run: _of_training(run.config, run.config.architecture.resolved(10, (0.0,) * 3))
        )
        config = override(largest.config, parse_assignments(settings))
        given = all(run.training.weights for run in of_set)
        found[data] = _of_runs(of_set) or (measure or _in_a_process)(config, given)
    return found


def _of_runs(runs: Sequence[Run]) -> Pace | None:
    """From the epochs that runs of one set have made."""
    seconds, stored = [], None
    for run in runs:
        rates = [line["images_per_second"] for line in epochs(run) if line.get("images_per_second")]
        if rates and (config := read_config(run.folder)):
            stored = config
            architecture = replace(run.config.architecture, num_classes=len(stored["classes"]))
            seconds.append(1 / (statistics.median(rates) * _of_training(run.config, architecture)))
    if stored is None:
        return None
    data = stored["data"]
    train, val, test = (one["images"] for one in (data["train"], data["val"], data.get("test") or data["val"]))
    return Pace(train, val, test, len(stored["classes"]), statistics.median(seconds), True)


def epochs(run: Run) -> list[dict]:
    """The lines of a run's epochs; damaged ones are left out."""
    path, found = run.folder / METRICS, []
    for text in path.read_text(errors="replace").splitlines() if path.exists() else []:
        try:
            line = json.loads(text)
        except ValueError:
            continue
        if isinstance(line, dict) and "epoch" in line:
            found.append(line)
    return found


def _of_test(config: Config, architecture: Architecture, protocol: str, sides: Sequence[int]) -> int:
    """Operations of one image in a test at these Q."""
    crop, adds = architecture.crop, 0
    for one in PASSES[protocol]:
        if one == "dense":
            adds += sum(multiply_adds(architecture, side, side) for side in sides)
        else:
            crops = config.evaluation.grid**2 if one == "multi_crop" else 1
            adds += len(sides) * crops * multiply_adds(architecture, crop, crop)
    return (1 + config.evaluation.flip) * 2 * adds


def _of_training(config: Config, architecture: Architecture) -> int:
    """Operations of one image in a training."""
    return training_operations(architecture, trained_layers(architecture, config.training.layers))


def _in_a_process(config: Config, given: bool) -> Pace:
    """TensorFlow's memory is free again afterwards, and its devices are untouched in this process.

    Raises:
        UserError, OSError: those of `measure`.
        UserError: another error, or the process was killed, as where memory is full.
        StoppedError: by SIGTERM or Ctrl-C.
    """
    context = get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_send, args=(theirs, config, given))
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # which a process inherits: Ctrl-C is ours to handle
    process.start()
    signal.signal(signal.SIGINT, before)
    theirs.close()
    try:
        while not ours.poll(POLL_SECONDS):
            stop.raise_if_requested()
        found = ours.recv()
    except EOFError:
        process.join()
        stop.raise_if_requested()
        raise UserError(
            "The hours come from a few steps of the largest net, in a process of their own. "
            f"Received: its end with status {process.exitcode}. Memory may be full."
        ) from None
    finally:
        process.terminate()
        process.join()
    if isinstance(found, Exception):
        raise found
    return found


def _send(output: Connection, config: Config, given: bool) -> None:
    stop.listen()  # for the scan, which keeps what it has found, and for a set that is being prepared
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of which the process that started this one makes a SIGTERM
    try:
        output.send(measure(config, given))
    except StoppedError:  # by the process that started this one, and says so
        pass
    except (UserError, OSError) as error:  # another one is printed here, with its traceback
        output.send(error)


def measure(config: Config, given: bool) -> Pace:
    """Times a few steps of a configuration on its images, and counts these.

    Args:
        config: of a run.
        given: whether its net is given. Then its tests need no training images, which may not be there and are not read.

    Raises:
        UserError: images that cannot be read, or of several classes each.
    """
    from vgg_keras import runtime
    from vgg_keras.data.scan import readable, without_bad_images
    from vgg_keras.data.sources import open_source, open_test
    from vgg_keras.data.splits import Source
    from vgg_keras.training import estimate
    from vgg_keras.training.workdir import images_of

    if given:
        description, classes, name, split = open_test(config.data, None)
        source = Source(config.data.source, description, classes, split, split)
    else:
        source = open_source(config.data)
    if source.multi_label:  # its nets would be trained for days, and have no top-1 error for any table
        raise UserError(
            f"The tables of a suite are of images with one class each. Received: {source.name}, whose images have any number. "
            "Give other images by --data."
        )
    if given:
        split, _ = readable(split, name, config)
        source = replace(source, train=split, val=split)
    else:
        source, _ = without_bad_images(source, config)
    strategy = runtime.make_strategy(config.runtime)
    (speed,) = estimate.speeds([config], source, strategy, runtime.choose_precision(config.runtime))
    architecture = config.architecture.resolved(len(source.classes), (0.0, 0.0, 0.0))
    share = min(config.data.batch, source.train.size)
    image = speed.step(share / strategy.num_replicas_in_sync) / share
    trained = (0, 0) if given else (source.train.size, source.val.size)
    test = source.split(source.final_split)
    seconds = image / _of_training(config, architecture)
    return Pace(*trained, test.size, len(source.classes), seconds, False, {} if given else images_of(source))

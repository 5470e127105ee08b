"""3.1's chain of trainings: net A, then the net itself at S=256, at S=384 and at S in [256, 512].

Each stage is a run like any other, in a folder of its own inside the workdir, that starts from the best net of another.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vgg_keras.config import Config, Stage
from vgg_keras.errors import UserError, nearest
from vgg_keras.files import sha256, write_json
from vgg_keras.paths import user_path
from vgg_keras.runs import FINISHED, WEIGHTS, read_config, read_json, read_manifest, weights_digest
from vgg_keras.training.start import require_alike, require_family, require_there


@dataclass(frozen=True)
class PlannedRun:
    """A run that is to be made.

    Attributes:
        name: the stage's; "single" where there is no chain.
        config: the run's, with the place it starts from.
        workdir: its folder.
        result: of a finished stage; None for what is still to be done.
    """

    name: str
    config: Config
    workdir: Path
    result: dict[str, Any] | None = None

    @property
    def scale(self) -> str:
        """S, or its range, for a person."""
        return "-".join(map(str, dict.fromkeys(self.config.data.scale)))


def plan(config: Config, workdir: Path, names: Sequence[str], init_from: str) -> list[PlannedRun]:
    """The runs that a configuration and the flags ask for, in their order.

    Args:
        config: with or without a chain, which fine-tuning (`training.weights`) leaves out.
        workdir: of the run, or of the chain's folders.
        names: of `--stages`; none: all of the chain.
        init_from: an existing run. It stands for the chain's first stage, or with `names` for what the first of them starts
            from; empty: none.

    Raises:
        UserError: no such stage; a start that is neither planned nor finished, or is of another family or width.
    """
    if names and config.training.weights:
        raise UserError(
            "--weights fine-tunes in one training, without stages. Received: "
            f"{config.training.weights} with --stages={','.join(names)}. Leave one out, or let a run of your own stand for the "
            "stage before: --init_from=RUN."
        )
    if not config.stages or config.training.weights:
        if names:
            raise UserError(
                f"--stages names stages of a chain. Received: {', '.join(names)}; the configuration has none."
            )
        init_from = init_from or config.training.init_from
        training = dataclasses.replace(config.training, init_from=init_from)
        single = PlannedRun("single", dataclasses.replace(config, training=training, stages=()), workdir)
        if init_from:
            require_alike(user_path(init_from), single.config.architecture)
        require_there(single.config)
        return [single]
    if read_config(workdir) is not None:
        raise UserError(
            f"A chain has a folder for each stage. Received: --workdir={workdir}, which holds a single run. Name another, or "
            "go on with that run by --set=stages="
        )
    if workdir.exists() and not workdir.is_dir():
        raise UserError(f"--workdir must be a folder. Received: {workdir}, which is a file.")
    known = {stage.name: stage for stage in config.stages}
    for name in names:
        if name not in known:
            raise UserError(f"--stages names stages of the chain. Received: {name!r}. {nearest(name, known)}")
    chosen = [stage for stage in config.stages if not names or stage.name in names]
    stands_for = None  # the stage in whose place init_from stands
    if init_from:
        stands_for = chosen[0].start if names else chosen.pop(0).name
        if not chosen:
            raise UserError("--init_from stands for the chain's first stage. Received: a chain of one. Leave it out.")

    # the results of finished stages; the files of each are read once
    inspected = dict.fromkeys(name for stage in chosen for name in (stage.start, stage.name) if name)
    done = {name: finished(workdir / name) for name in inspected if not (init_from and name == stands_for)}
    planned: dict[str, PlannedRun] = {}
    for stage in chosen:
        if init_from and stage.start == stands_for:
            start = init_from
        else:
            start = str(workdir / stage.start) if stage.start else config.training.init_from
        part = config.of_stage(stage)
        part = dataclasses.replace(part, training=dataclasses.replace(part.training, init_from=start))
        run = PlannedRun(stage.name, part, workdir / stage.name, done[stage.name])
        if stage.start in planned and stage.start != stands_for:  # made by then
            require_family(planned[stage.start].config.architecture, part.architecture, start)
        elif start:
            own = Path(start) == workdir / stage.start
            if own and done[stage.start] is None:
                missing = _unfinished(known, stage, workdir)
                raise UserError(
                    f"{stage.name} starts from {stage.start}, which is not finished. Received: {start}. Train it first "
                    f"(--stages={','.join([*missing, stage.name])}), or name a run that stands for it: --init_from=RUN."
                )
            require_alike(user_path(start), part.architecture, inspected=own)
        planned[stage.name] = run
    return list(planned.values())


def _unfinished(known: dict[str, Stage], stage: Stage, workdir: Path) -> list[str]:
    """The stages that must be trained before this one, in their order."""
    names: list[str] = []
    while stage.start and finished(workdir / stage.start) is None:
        names.insert(0, stage.start)
        stage = known[stage.start]
    return names


def finished(workdir: Path) -> dict[str, Any] | None:
    """The result of a finished stage; None where it has not finished.

    Raises:
        UserError: its files are no longer those that it finished with.
    """
    path = workdir / FINISHED
    if not path.exists():
        return None
    advice = f"Put it back, or remove {workdir} and the stages that began from it, to train them again."
    try:
        result = read_json(path, "weights_sha256", "epochs", "validation_top1_error", "top1_error")
        weights_digest(workdir)
        manifest = read_manifest(workdir)
    except UserError as error:
        raise UserError(f"A finished stage must stay as it was. {error} {advice}") from None
    for name, digests in {**manifest, WEIGHTS: [result["weights_sha256"]]}.items():
        if not (workdir / name).exists() or sha256(workdir / name) not in digests:
            raise UserError(
                f"A finished stage must stay as it was. Received: {workdir / name}, changed, damaged or removed. {advice}"
            )
    return result


def finish(workdir: Path, result: dict[str, Any]) -> None:
    """Marks a stage as finished, with what it reached."""
    write_json(workdir / FINISHED, {"weights_sha256": weights_digest(workdir), **result})

"""3.1's chain of trainings: net A, then the net itself at S=256, at S=384 and at S in [256, 512].

Each stage is a run like any other, in a folder of its own inside the workdir, that starts from the best net of another.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vgg_keras.config import Architecture, Config, Stage, UserError, from_dict, nearest
from vgg_keras.files import sha256, write_json
from vgg_keras.weights.stored import CONFIG, MANIFEST, WEIGHTS, read_config, read_json, require_whole, weights_digest

FINISHED = "finished.json"  # written when a stage's test is done
# What two nets must have alike for one to start from the other, beside the shapes, which are compared when it does.
_ALIKE = ("width", "crop", "head", "batch_norm", "activation", "negative_slope", "std")


@dataclass(frozen=True)
class Planned:
    """A run that is to be made.

    Attributes:
        name: the stage's; "single" where there is no chain.
        config: the run's, with the place it starts from.
        workdir: its folder.
    """

    name: str
    config: Config
    workdir: Path


def plan(config: Config, workdir: Path, names: Sequence[str], init_from: str) -> list[Planned]:
    """The runs that a configuration and the flags ask for, in their order.

    Args:
        config: with or without a chain.
        workdir: of the run, or of the chain's folders.
        names: of `--stages`; none: all of the chain.
        init_from: an existing run. It stands for the chain's first stage, or with `names` for what the first of them starts
            from; empty: none.

    Raises:
        UserError: no such stage; a start that is neither planned nor finished, or is of another family or width.
    """
    if not config.stages:
        if names:
            raise UserError(
                f"--stages names stages of a chain. Received: {', '.join(names)}; the configuration has none."
            )
        init_from = init_from or config.training.init_from
        training = dataclasses.replace(config.training, init_from=init_from)
        single = Planned("single", dataclasses.replace(config, training=training), workdir)
        if init_from:
            _require_alike(Path(init_from), single)
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

    planned: dict[str, Planned] = {}
    for stage in chosen:
        if init_from and stage.start == stands_for:
            start = init_from
        else:
            start = str(workdir / stage.start) if stage.start else config.training.init_from
        part = config.of_stage(stage)
        part = dataclasses.replace(part, training=dataclasses.replace(part.training, init_from=start))
        run = Planned(stage.name, part, workdir / stage.name)
        if stage.start in planned and stage.start != stands_for:  # made by then
            _require_family(planned[stage.start].config.architecture, part.architecture, start)
        elif start:
            own = Path(start) == workdir / stage.start
            if own and finished(Path(start)) is None:
                missing = _unfinished(known, stage, workdir)
                raise UserError(
                    f"{stage.name} starts from {stage.start}, which is not finished. Received: {start}. Train it first "
                    f"(--stages={','.join([*missing, stage.name])}), or name a run that stands for it: --init_from=RUN."
                )
            _require_alike(Path(start), run, looked_at=own)
        planned[stage.name] = run
    return list(planned.values())


def _unfinished(known: dict[str, Stage], stage: Stage, workdir: Path) -> list[str]:
    """The stages that must be trained before this one, in their order."""
    names: list[str] = []
    while stage.start and finished(workdir / stage.start) is None:
        names.insert(0, stage.start)
        stage = known[stage.start]
    return names


def _require_alike(start: Path, run: Planned, looked_at: bool = False) -> None:
    """Refuses a start that is no whole run or of another family; `looked_at`: `finished` has read its files already."""
    weights_digest(start)  # that there is a net
    if not looked_at:
        require_whole(start)
    _require_family(from_dict(Config, read_config(start)["config"]).architecture, run.config.architecture, start)


def _require_family(theirs: Architecture, ours: Architecture, start: Path | str) -> None:
    if theirs.name not in (ours.name, "A") or (theirs.name == "A" and ours.name == "B-5x5"):
        raise UserError(
            f"A net starts from net A or from its own configuration (3.1). Received: {start}, a {theirs.name}, "
            f"for {ours.name}."
        )
    for name in _ALIKE:
        old, new = getattr(theirs, name), getattr(ours, name)
        if old != new:
            raise UserError(
                f"A net starts from one of the same {', '.join(_ALIKE)}. Received: {start}, whose {name} is {old}, not {new}."
            )


def finished(workdir: Path) -> dict[str, Any] | None:
    """What a finished stage left; None where it has not finished.

    Raises:
        UserError: its weights are no longer those that it finished with.
    """
    path = workdir / FINISHED
    if not path.exists():
        return None
    advice = f"Put it back, or remove {workdir} and the stages that began from it, to train them again."
    try:
        left = read_json(path, "weights_sha256", "epochs", "validation_top1_error", "top1_error")
        weights_digest(workdir)
        manifest = read_json(workdir / MANIFEST, CONFIG)
    except UserError as error:
        raise UserError(f"A finished stage must stay as it was. {error} {advice}") from None
    for name, digests in ((WEIGHTS, [left["weights_sha256"]]), (CONFIG, manifest[CONFIG])):
        if not (workdir / name).exists() or sha256(workdir / name) not in digests:
            raise UserError(
                f"A finished stage must stay as it was. Received: {workdir / name}, changed, damaged or removed. {advice}"
            )
    return left


def finish(workdir: Path, left: dict[str, Any]) -> None:
    """Marks a stage as finished, with what it reached."""
    write_json(workdir / FINISHED, {"weights_sha256": weights_digest(workdir), **left})

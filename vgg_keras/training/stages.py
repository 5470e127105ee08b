"""A chain of trainings: 3.1's, which trains net A, then the net itself at three S; or that of fine-tuning.

Each stage is a run like any other, in a folder of its own inside the workdir, that starts from the kept net of another.
Fine-tuning's first stage starts from `training.weights`, and the others copy every layer of the one before, mean and all.
"""

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vgg_keras.config import EXPORT, FEATURES, PREDICT, TEST, Config, Stage, fields_with, label_of_training_scale
from vgg_keras.errors import UserError, nearest
from vgg_keras.files import sha256, write_json
from vgg_keras.overrides import require_effect
from vgg_keras.paths import require_folder
from vgg_keras.runs import (
    FINISHED,
    WEIGHTS,
    outlives_start,
    read_config,
    read_json,
    read_manifest,
    run_config,
    weights_digest,
)
from vgg_keras.training.trained_layers import ALL, NEW, rate_factors, trained_layers
from vgg_keras.weights.initialize import require_family, require_start


@dataclass(frozen=True)
class PlannedRun:
    """A run that is to be made.

    Attributes:
        name: the stage's; "single" where there is no chain.
        config: the run's, with the place it starts from.
        workdir: its folder.
        evaluated: whether there is a final evaluation.
        result: of a finished stage; None for what is still to be done.
        stated: the paths of the fields that the command overrides.
    """

    name: str
    config: Config
    workdir: Path
    evaluated: bool = True
    result: dict[str, Any] | None = None
    stated: frozenset[str] = frozenset()

    @property
    def scale(self) -> str:
        """S, or its range, for a person."""
        return label_of_training_scale(self.config.training_scale)


def plan(
    config: Config, workdir: Path, names: Sequence[str], init_from: str, stated: Collection[str] = ()
) -> list[PlannedRun]:
    """The runs of a configuration and the flags, in their order.

    Args:
        config: with or without a chain; see `leaves_chain_out`.
        workdir: of the run, or of the chain's folders.
        names: of `--stages`; none: all of the chain.
        init_from: an existing run; empty: none. It replaces the chain's first stage, or with `names` the stage that the
            first of them starts from.
        stated: the paths of the fields that the command overrides.

    Raises:
        UserError: no such stage; a start that is neither planned nor finished, or is of another family or width; layers that
            the net does not have, or that are frozen without a start.
    """
    if leaves_chain_out(config) or not config.stages:
        return [dataclasses.replace(_plan_single(config, workdir, names, init_from), stated=frozenset(stated))]
    _require_folder_for_chain(workdir)
    if config.training.weights and init_from:
        dataclasses.replace(config.training, init_from=init_from)  # which refuses two starts
    stages, replaced = _choose_stages(config, names, init_from)

    # the files of a finished stage are read once
    inspected = dict.fromkeys(name for stage in stages for name in (stage.start, stage.name) if name)
    results = {name: finished(workdir / name) for name in inspected if not (init_from and name == replaced)}
    planned: dict[str, PlannedRun] = {}
    for stage in stages:
        replaces = bool(init_from) and stage.start == replaced
        if replaces:
            start = init_from
        elif stage.start:
            start = str(workdir / stage.start)
        else:
            start = config.training.start
        _require_weights_again(config, start, results.get(stage.start))
        of_stage = _started_from(config.of_stage(stage), start, fine_tuned=bool(config.training.weights))
        _require_layers(of_stage)
        if replaces or not stage.start:  # its start is no stage of this chain
            _require_start(of_stage, workdir / stage.name)
        elif stage.start in planned:  # finished by then
            if not config.training.weights:
                require_family(planned[stage.start].config.architecture, of_stage.architecture, start)
        else:
            if results[stage.start] is None:
                missing = _unfinished({stage.name: stage for stage in config.stages}, stage, workdir)
                replace = "" if config.training.weights else ", or name a run that replaces it: --init_from=RUN"
                raise UserError(
                    f"{stage.name} starts from {stage.start}, which is not finished. Received: {start}. Train it first "
                    f"(--stages={','.join([*missing, stage.name])}){replace}."
                )
            require_start(of_stage, verified=True)
        evaluated = stage.final_evaluation or stage is config.stages[-1]
        result = results[stage.name]
        planned[stage.name] = PlannedRun(
            stage.name, of_stage, workdir / stage.name, evaluated, result, frozenset(stated)
        )
    return list(planned.values())


def leaves_chain_out(config: Config) -> bool:
    """Whether `training.weights` replace the chain: its first stage trains another net, as 3.1's does, so it cannot take them."""
    first = config.stages[0].architecture if config.stages else ""
    return bool(config.training.weights) and first not in ("", config.architecture.name)


def require_used(config: Config, overrides: Mapping[str, Any], names: Sequence[str], init_from: str = "") -> None:
    """Refuses an override without effect: each stage has a value of its own, or it belongs to a setting that none has.

    A setting that another command may still change is taken, whatever its value: a run keeps `evaluation.grid` for later
    evaluations.

    Args:
        config: with the overrides.
        overrides: their values by the paths of their fields.
        names, init_from: as in `plan`.

    Raises:
        UserError: it is such an override.
    """
    stages = () if leaves_chain_out(config) else config.stages
    chosen = [(place, stage) for place, stage in enumerate(stages) if not names or stage.name in names]
    for field in dataclasses.fields(Stage):
        path = field.metadata.get("replaces")
        if path in overrides and chosen and all(getattr(stage, field.name) for _, stage in chosen):
            listed = ", ".join(f"--set=stages.{place}.{field.name}=... for {stage.name}" for place, stage in chosen)
            raise UserError(f"Each of these stages has its own {field.name}. Received: {path}. Try {listed}.")
    if "training.init_from" in overrides and init_from:
        raise UserError(
            f"--init_from and --set=training.init_from are one start. Received: both, {init_from} and "
            f"{config.training.init_from}. Leave one out."
        )
    if "training.init_from" in overrides and chosen and all(stage.start for _, stage in chosen):
        replaced = "the stage before the first of them" if names else "the chain's first stage"
        raise UserError(
            "Each of these stages starts from another stage. Received: training.init_from. "
            f"A run replaces {replaced} by --init_from=RUN."
        )
    trained = [config.of_stage(stage) for _, stage in chosen] or [config]
    later = {path for role in (TEST, PREDICT, EXPORT, FEATURES) for path in fields_with(role)}
    require_effect(trained, overrides, undecided=later)
    if "training.rate_factors" in overrides:
        _require_factors_of_trained_layers(config, trained)


def _require_factors_of_trained_layers(config: Config, trained: Sequence[Config]) -> None:
    """Refuses a factor of layers that the net has and that none of the trained configurations trains."""
    for text in config.training.rate_factors:
        layers = rate_factors(config.architecture, [text]).keys()
        frozen = [
            one.training.layers
            for one in trained
            if one.training.layers != NEW and layers.isdisjoint(trained_layers(one.architecture, one.training.layers))
        ]
        if layers and len(frozen) == len(trained):
            raise UserError(
                f"training.rate_factors is of trained layers. Received: {text!r} with training.layers={frozen[0]}, by which "
                "they stay as they are. Train them too, or leave the factor out."
            )


def _require_weights_again(config: Config, start: str, result: dict[str, Any] | None) -> None:
    """Refuses a chain of fine-tuning that goes on without its weights: 3.1's rule would take another mean."""
    if result is None or config.training.weights:
        return
    if weights := run_config(Path(start)).training.weights:
        raise UserError(
            f"A chain goes on with the weights that it began with. Received: no --weights, where {start} has "
            f"--weights={weights}. Give it again."
        )


def _started_from(config: Config, start: str, fine_tuned: bool) -> Config:
    """A stage's configuration with its start: by `training.weights` in fine-tuning, else by 3.1's rule."""
    training = config.training
    if fine_tuned:
        pinned = training.weights_sha256 if start == training.weights else ""
        training = dataclasses.replace(training, weights=start, weights_sha256=pinned)
    else:
        training = dataclasses.replace(training, init_from=start)
    return dataclasses.replace(config, training=training)


def _require_layers(config: Config) -> None:
    """Refuses layers that the net does not have, and frozen ones of random weights."""
    training = config.training
    trained_layers(config.architecture, training.layers)
    rate_factors(config.architecture, training.rate_factors)
    if training.layers != ALL and not training.start:
        raise UserError(
            "Layers that are not trained need trained weights. Received: "
            f"training.layers={training.layers} without a start. Add --weights=imagenet, a file of weights or a run."
        )


def _plan_single(config: Config, workdir: Path, names: Sequence[str], init_from: str) -> PlannedRun:
    """The one run of a configuration without a chain, or of fine-tuning."""
    if names and config.training.weights:
        raise UserError(
            "--weights fine-tunes in one training, without the stages of this configuration. Received: "
            f"{config.training.weights} with --stages={','.join(names)}. Leave one out, or replace the stage before by a "
            "run of your own: --init_from=RUN."
        )
    if names:
        raise UserError(f"--stages names stages of a chain. Received: {', '.join(names)}; the configuration has none.")
    training = dataclasses.replace(config.training, init_from=init_from or config.training.init_from)
    config = dataclasses.replace(config, training=training, stages=())
    _require_layers(config)
    _require_start(config, workdir)
    return PlannedRun("single", config, workdir)


def _require_start(config: Config, workdir: Path) -> None:
    """Refuses a wrong start, unless the run in `workdir` needs its files no more."""
    if not outlives_start(workdir, config):
        require_start(config)


def _require_folder_for_chain(workdir: Path) -> None:
    """Refuses a `--workdir` that cannot hold a folder for each stage."""
    if read_config(workdir) is not None:
        raise UserError(
            f"A chain has a folder for each stage. Received: --workdir={workdir}, which holds a single run. Name another, or "
            "resume that run by --set=stages="
        )
    require_folder(workdir, "--workdir")


def _choose_stages(config: Config, names: Sequence[str], init_from: str) -> tuple[list[Stage], str | None]:
    """The stages of `--stages`, and the name of the stage that `init_from` replaces; None: it replaces none."""
    known = [stage.name for stage in config.stages]
    for name in names:
        if name not in known:
            raise UserError(f"--stages names stages of the chain. Received: {name!r}. {nearest(name, known)}")
    stages = [stage for stage in config.stages if not names or stage.name in names]
    if not init_from:
        return stages, None
    if names:
        return stages, stages[0].start
    first, *rest = stages
    if not rest:
        raise UserError("--init_from replaces the chain's first stage. Received: a chain of one. Leave it out.")
    return rest, first.name


def _unfinished(known: dict[str, Stage], stage: Stage, workdir: Path) -> list[str]:
    """The stages that must be trained before this one, in their order."""
    names: list[str] = []
    while stage.start and finished(workdir / stage.start) is None:
        names.insert(0, stage.start)
        stage = known[stage.start]
    return names


def finished(workdir: Path) -> dict[str, Any] | None:
    """The result of a finished stage; None for a stage that is not finished.

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

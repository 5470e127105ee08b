"""What the command `reproduce` was given, checked before anything is read or written."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from vgg_keras.config import RESUME, Config, fields_with, memory_limits
from vgg_keras.data.naming import require_source
from vgg_keras.errors import UserError
from vgg_keras.overrides import override, parse_assignments
from vgg_keras.paths import local_path, user_path
from vgg_keras.reproduction import suites
from vgg_keras.reproduction.suite import Suite
from vgg_keras.weights.presets import is_preset

SUITES = suites.NAMES


@dataclass(frozen=True)
class Options:
    """The flags' values; `settings` are those of `--set`."""

    suite: str
    data: tuple[str, ...]
    weights: tuple[str, ...]
    only: tuple[str, ...]
    jobs: int
    dry_run: bool
    out: str
    settings: tuple[str, ...] = ()
    merge: tuple[str, ...] = ()

    @property
    def folder(self) -> Path:
        """The folder of the runs and the page."""
        return user_path(self.out)

    @property
    def merged(self) -> list[Path]:
        """The results.json files from elsewhere."""
        return [user_path(path) for path in self.merge]


def suite_of(options: Options) -> Suite:
    """The whole suite with its images and weights; `options.only` restricts the jobs, not the page.

    Raises:
        UserError: a flag's value that the suite does not take.
    """
    suite = suites.of(options.suite, _weights(options.weights))
    settings = parse_assignments(options.settings)
    allowed = _of_the_machine(suite)
    for path in settings:
        if path not in allowed:
            raise UserError(f"The design of a suite is fixed: --set takes {', '.join(allowed)}. Received: {path}.")
    override(Config(), settings)  # a value out of its range would end every job
    suite = suite.on(_sources(options.data, suite))
    if options.only:
        suite.only(options.only)  # that there are such tables
    return suite


def require_sources(suite: Suite, names: Collection[str], options: Options) -> None:
    """Refuses images that do not exist, of those sets that have jobs left: what is finished needs none.

    Args:
        suite: of `suite_of`.
        names: of these sets.
        options: of the command.

    Raises:
        UserError: it names the set.
    """
    data_dir = override(Config(), parse_assignments(options.settings)).data.data_dir
    for one in suite.sets:
        if one.name in names:
            try:
                require_source(one.source, data_dir)
            except UserError as error:
                raise UserError(f"{error} It is {one.name} of the suite: --data={one.name}=SOURCE.") from None


def _of_the_machine(suite: Suite) -> list[str]:
    """The fields that no result of a suite depends on: where things lie, and what fits in the memory."""
    sections = [path for path in fields_with(RESUME) if path.split(".")[0] in ("runtime", "checkpoint")]
    limits = set.intersection(*(memory_limits(one.configuration("digits", 0)) for one in suite.trainings))
    return ["data.data_dir", *sorted(limits), *(path for path in sections if path != "runtime.precision")]


def _sources(texts: tuple[str, ...], suite: Suite) -> dict[str, str]:
    """The sources by the names of the sets; a set with a single source may go without its name."""
    names, found = [one.name for one in suite.sets], {}
    for text in texts:
        name, equals, source = text.partition("=")
        if not (equals and name in names):
            if len(names) > 1:
                known = " and ".join(f"--data={name}=SOURCE" for name in names)
                raise UserError(f"This suite has several sets: {known}. Received: --data={text}.")
            name, source = names[0], text
        if name in found:
            raise UserError(f"--data gives a set once. Received: {name}={found[name]} and {name}={source}.")
        found[name] = source
    return found


def _weights(texts: tuple[str, ...]) -> dict[str, str]:
    """The given nets by Table 1's columns."""
    found: dict[str, str] = {}
    for text in texts:
        net, equals, source = text.partition("=")
        if text == "imagenet":
            given = dict.fromkeys("DE", text)
        elif equals and source:
            _require_no_run(net, source)
            given = {net: source}
        else:
            raise UserError(f"--weights takes D=FILE, E=FILE or imagenet. Received: {text!r}.")
        if twice := sorted(found.keys() & given.keys()):
            raise UserError(
                f"--weights gives a net once; imagenet gives both. Received: {' and '.join(texts)}, two of {twice[0]}. "
                "For one of them: D=imagenet or E=imagenet."
            )
        found |= given
    return found


def _require_no_run(net: str, source: str) -> None:
    """Refuses a run as a given net: it has a configuration of its own, which a suite's tests would replace."""
    path = local_path(source, "Weights")
    if path.is_dir() and not is_preset(path):
        raise UserError(
            f"--weights takes D=FILE, E=FILE or imagenet. Received: {net}={source}, a folder. "
            "A run is tested by vgg-keras evaluate --model=RUN --protocol=both --scales=multi."
        )

"""A suite as data: the nets that are trained, the cells of the tables that they fill, and the claims about these cells."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from vgg_keras.config import Config, label_of_test_scales, label_of_training_scale
from vgg_keras.errors import UserError, nearest
from vgg_keras.overrides import override, parse_assignments
from vgg_keras.recipes import load

# What a claim expects of two errors; `intervals.verdict` decides.
Expected = Literal["lower", "no_gain", "equal"]
# What `evaluation.protocol` is made of, and how a cell is called in a table.
PASSES = {"center": ("center",), "dense": ("dense",), "multi_crop": ("multi_crop",), "both": ("dense", "multi_crop")}


@dataclass(frozen=True)
class DataSet:
    """A set of images that a suite needs.

    Attributes:
        name: by which `--data=NAME=SOURCE` replaces its source.
        source: as `data.source`.
        about: a line for the page.
    """

    name: str
    source: str
    about: str


@dataclass(frozen=True)
class Training:
    """One net, trained once for each seed, or given.

    Attributes:
        name: of its folder, such as cifar10/E-small.
        data: the name of its `DataSet`.
        config: a recipe of configs/.
        settings: what differs from the recipe, as for `--set`.
        seeds: of its runs.
        start: the training from whose net of the same seed it starts (3.1); empty: as the recipe says.
        weights: of a given net, which is not trained: a source of `--weights`.
    """

    name: str
    data: str
    config: str
    settings: tuple[str, ...] = ()
    seeds: tuple[int, ...] = (0, 1, 2)
    start: str = ""
    weights: str = ""

    def configuration(self, source: str, seed: int) -> Config:
        """The configuration of a run on these images, without its start."""
        assignments = [*self.settings, f"seed={seed}"]
        return override(load(self.config), {**parse_assignments(assignments), "data.source": source})

    @property
    def net(self) -> str:
        """Table 1's column."""
        return self.configuration("digits", 0).architecture.name

    @property
    def scale(self) -> str:
        """S, or its range, for a table."""
        return label_of_training_scale(self.configuration("digits", 0).training_scale)


@dataclass(frozen=True)
class Part:
    """A net of a cell and its test: the mean of its passes over protocols and values of Q."""

    training: str
    protocol: Literal["center", "dense", "multi_crop", "both"]
    scales: tuple[int, ...]

    @property
    def passes(self) -> list[tuple[str, int]]:
        """Protocol and Q of each pass."""
        return [(protocol, side) for protocol in PASSES[self.protocol] for side in self.scales]


@dataclass(frozen=True)
class Cell:
    """A cell of section 4's tables, in small: one net, or the fusion of several.

    Attributes:
        table: 3 to 6, 4.1 for the control of that section, or beyond.
        data: the name of its `DataSet`.
        name: unique in the suite; claims refer to it.
        parts: its nets; the posteriors of several are averaged (4.4).
        paper: the paper's top-1 and top-5 error on ILSVRC-2012; None where it prints none.
        note: what a reader must know of it.
    """

    table: str
    data: str
    name: str
    parts: tuple[Part, ...]
    paper: tuple[float, float] | None = None
    note: str = ""

    @property
    def test_scales(self) -> str:
        """The values of Q for a table."""
        return "; ".join(dict.fromkeys(label_of_test_scales(part.scales) for part in self.parts))


@dataclass(frozen=True)
class Claim:
    """A statement of section 4 about two cells: the first one's top-1 error minus the second one's.

    Attributes:
        section: of the paper; empty: beyond it.
        text: the statement.
        first, second: names of cells of the same images.
        expected: lower: the first error is lower. no_gain: the first net is no better. equal: nor is it worse. None: only the
            difference is stated, as beyond the paper or where the paper's is 0.
        paper: the paper's difference in points where its cells do not give it.
        of_depth: whether the first net is the deeper one, or D beside C, which has 3x3 layers where C has 1x1. Then nothing is
            decided against it where its training loss is higher than the second's: a deep net that has not learned its
            training images is no evidence on depth.
        note: what a reader must know of it.
    """

    section: str
    text: str
    first: str
    second: str
    expected: Expected | None
    paper: float | None = None
    of_depth: bool = False
    note: str = ""


@dataclass(frozen=True)
class Suite:
    """All of it.

    Attributes:
        about: a paragraph each, what was chosen and why.
    """

    name: str
    title: str
    about: tuple[str, ...]
    sets: tuple[DataSet, ...]
    trainings: tuple[Training, ...]
    cells: tuple[Cell, ...]
    claims: tuple[Claim, ...]

    def __post_init__(self):
        names, cells = [one.name for one in self.trainings], {cell.name: cell for cell in self.cells}
        assert len(set(names)) == len(names) and len(cells) == len(self.cells), "names are used once"
        for training in self.trainings:  # in an order in which each start is trained before
            assert training.start in ("", *names[: names.index(training.name)]), training
            assert training.data in [one.name for one in self.sets], training
        assert {part.training for cell in self.cells for part in cell.parts} <= set(names)
        for claim in self.claims:
            assert cells[claim.first].data == cells[claim.second].data, claim

    def training(self, name: str) -> Training:
        """The training of a name."""
        return next(one for one in self.trainings if one.name == name)

    def cell(self, name: str) -> Cell:
        """The cell of a name."""
        return next(one for one in self.cells if one.name == name)

    def passes(self, training: str) -> dict[str, tuple[int, ...]]:
        """The values of Q at which a net is tested, by protocol."""
        found: dict[str, dict[int, None]] = {}
        for part in [part for cell in self.cells for part in cell.parts if part.training == training]:
            for protocol, side in part.passes:
                found.setdefault(protocol, {})[side] = None
        return {protocol: tuple(sorted(sides)) for protocol, sides in found.items()}

    def only(self, tables: tuple[str, ...]) -> "Suite":
        """The cells of these tables with what they need, and the claims about them alone.

        A choice beyond the paper is compared with a net of its tables, so its cell needs that net's.

        Raises:
            UserError: no such table.
        """
        known = list(dict.fromkeys(f"table{cell.table}" for cell in self.cells))
        for table in tables:
            if table not in known:
                raise UserError(f"--only names tables of the suite. Received: {table!r}. {nearest(table, known)}")
        wanted = {cell.name for cell in self.cells if f"table{cell.table}" in tables}
        if "tablebeyond" in tables:
            wanted |= {name for claim in self.claims if not claim.section for name in (claim.first, claim.second)}
        cells = tuple(cell for cell in self.cells if cell.name in wanted)
        needed = {part.training for cell in cells for part in cell.parts}
        for training in reversed(self.trainings):
            needed |= {training.start} if training.name in needed else set()
        names = {cell.name for cell in cells}
        return dataclasses.replace(
            self,
            trainings=tuple(one for one in self.trainings if one.name in needed),
            cells=cells,
            claims=tuple(claim for claim in self.claims if {claim.first, claim.second} <= names),
        )

    def on(self, sources: Mapping[str, str]) -> "Suite":
        """The suite on other images, by the names of its sets."""
        given = "given by --data"  # what is said of the suite's own images does not hold for others
        sets = tuple(
            dataclasses.replace(one, source=sources[one.name], about=given) if one.name in sources else one
            for one in self.sets
        )
        return dataclasses.replace(self, sets=sets)

    def source(self, training: Training) -> str:
        """`data.source` of a training."""
        return next(one.source for one in self.sets if one.name == training.data)

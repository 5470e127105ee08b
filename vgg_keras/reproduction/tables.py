"""Section 4's tables and claims on any images: the paper's cells with a suite's own S and Q, and the paper's errors beside them.

The paper's errors are `evaluation/paper.py`'s, found by the paper's S and Q.
"""

from dataclasses import dataclass
from typing import Literal

from vgg_keras.evaluation import paper
from vgg_keras.reproduction.suite import Cell, Claim, Expected, Part

# Of 3.1's chain, as a note of a claim; what a net gains by the longer training alone is not measured.
LONGER = "the first net starts from the second's chain and is trained longer"
METHODS = {"center": "centre crop", "dense": "dense", "multi_crop": "multi-crop", "both": "multi-crop & dense"}


@dataclass(frozen=True)
class Scales:
    """A suite's sides in pixels in the place of the paper's: S of 256 and 384, of [256, 512], and the 32 between two Q of S."""

    small: int
    large: int
    jitter: tuple[int, int]
    step: int

    @property
    def middle(self) -> int:
        """Q of the single-scale test of a net with jitter."""
        return sum(self.jitter) // 2

    def around(self, side: int) -> tuple[int, int, int]:
        """Q of the multi-scale test of a net with fixed S (4.2)."""
        return side - self.step, side, side + self.step

    @property
    def three(self) -> tuple[int, int, int]:
        """Q of the multi-scale test of a net with jitter (4.2)."""
        return self.jitter[0], self.middle, self.jitter[1]


PAPER = Scales(small=256, large=384, jitter=(256, 512), step=32)


@dataclass(frozen=True)
class Tables:
    """The cells of one set of images.

    Attributes:
        data: the set's name; the names of trainings are DATA/NET-KIND. A kind is small, large or jitter, by S, or of a suite.
        scales: its S and Q.
        single: the protocol of Table 3; the paper's is dense.
    """

    data: str
    scales: Scales
    single: Literal["center", "dense"] = "dense"

    def training(self, net: str, kind: str) -> str:
        """The name of a training."""
        return f"{self.data}/{net}-{kind}"

    def name(self, table: str, net: str, kind: str, protocol: str = "") -> str:
        """The name of a cell."""
        return " ".join(filter(None, (self.data, f"table{table}", net, kind, protocol)))

    def table3(self, net: str, kind: str, note: str = "") -> Cell:
        """A single scale: Q = S, or the middle of the jitter range."""
        part = Part(self.training(net, kind), self.single, (self._single(self.scales, kind),))
        printed = paper.DENSE.get((net, _trained(kind), (self._single(PAPER, kind),)))
        return Cell("3", self.data, self.name("3", net, kind), (part,), printed, note)

    def table4(self, net: str, kind: str) -> Cell:
        """Three scales, dense."""
        part = Part(self.training(net, kind), "dense", self._three(self.scales, kind))
        printed = paper.DENSE.get((net, _trained(kind), self._three(PAPER, kind)))
        return Cell("4", self.data, self.name("4", net, kind), (part,), printed)

    def table5(self, net: str, protocol: Literal["dense", "multi_crop", "both"]) -> Cell:
        """A net with jitter at three scales, by one of the three protocols."""
        part = Part(self.training(net, "jitter"), protocol, self.scales.three)
        printed = {**paper.CROPS, (net, "dense"): paper.DENSE[net, paper.JITTER, paper.THREE]}[net, protocol]
        return Cell("5", self.data, self.name("5", net, "jitter", protocol), (part,), printed)

    def pair(self, protocol: Literal["dense", "multi_crop", "both"]) -> Cell:
        """Table 6: D and E, fused."""
        parts = tuple(Part(self.training(net, "jitter"), protocol, self.scales.three) for net in "DE")
        return Cell("6", self.data, self.name("6", "D+E", "jitter", protocol), parts, paper.PAIR[protocol])

    def submission(self) -> Cell:
        """Table 6: the seven nets of the ILSVRC submission, dense at three scales each."""
        nets = [
            ("D", "small"),
            ("D", "large"),
            ("D", "jitter_fc"),
            *((net, k) for net in "CE" for k in ("small", "large")),
        ]
        parts = tuple(Part(self.training(net, kind), "dense", self._three(self.scales, kind)) for net, kind in nets)
        return Cell("6", self.data, self.name("6", "seven", "dense"), parts, paper.SUBMISSION)

    def control(self, kind: str = "small") -> list[Cell]:
        """4.1's control: B and B with 5x5 layers, on a centre crop; the paper prints the difference alone."""
        found = []
        for net in ("B", "B-5x5"):
            part = Part(self.training(net, kind), "center", (self.scales.small,))
            found.append(Cell("4.1", self.data, self.name("4.1", net, kind), (part,)))
        return found

    # ---- the claims

    def depth(self, note: str = "") -> list[Claim]:
        """4.1, at the fixed S of 256, but for the control; `note` says what else differs between a net and A."""

        def of(text: str, first: str, second: str, expected: Expected) -> Claim:
            cells = (self.name("3", net, "small") for net in (first, second))
            of_depth = first != "A-LRN"
            return Claim(
                "4.1", text, *cells, expected, of_depth=of_depth, note=note if of_depth and second == "A" else ""
            )

        return [
            of("local response normalisation brings no gain of 0.5 points or more: A-LRN - A", "A-LRN", "A", "no_gain"),
            of("depth lowers the error: B - A", "B", "A", "lower"),
            of("depth lowers the error: C - B (three 1x1 layers more)", "C", "B", "lower"),
            of("context counts: D - C (3x3 instead of 1x1)", "D", "C", "lower"),
            of("depth lowers the error from 11 to 19 layers: E - A", "E", "A", "lower"),
            of("the error saturates at 19 layers: E - D", "E", "D", "equal"),
        ]

    def control_claim(self, kind: str = "small", note: str = "") -> Claim:
        """4.1: 7 points in top-1; `note` says what else differs."""
        cells = (self.name("4.1", net, kind) for net in ("B", "B-5x5"))
        text = "two 3x3 layers are better than one 5x5: B - B-5x5"
        return Claim("4.1", text, *cells, "lower", -7.0, of_depth=True, note=note)

    def jitter(self, nets: str, kinds: tuple[str, ...], note: str = "", table: Literal["3", "4"] = "3") -> list[Claim]:
        """Training with jitter against fixed S, at a single test scale (4.1, Table 3) or at three (4.2, Table 4).

        Args:
            nets: columns of Table 1.
            kinds: of the fixed S.
            note: what else differs.
            table: whose cells.
        """
        section, three = ("4.1", "") if table == "3" else ("4.2", ", three Q")
        sides = {"small": self.scales.small, "large": self.scales.large}
        low, high = self.scales.jitter
        return [
            Claim(
                section,
                f"scale jitter in training helps: {net}{three}, S in [{low}, {high}] - S={sides[kind]}",
                self.name(table, net, "jitter"),
                self.name(table, net, kind),
                "lower",
                note=note,
            )
            for net in nets
            for kind in kinds
        ]

    def larger(self, nets: str, note: str = "") -> list[Claim]:
        """4.1, Table 3: S=384 against S=256. The paper's two C are equal, so nothing is expected of C."""
        text = f"a larger S helps: {{}}, S={self.scales.large} - S={self.scales.small}"

        def cells(net: str) -> tuple[str, str]:
            return self.name("3", net, "large"), self.name("3", net, "small")

        return [Claim("4.1", text.format(net), *cells(net), None if net == "C" else "lower", note=note) for net in nets]

    def multi_scale(self, nets: str, kinds: tuple[str, ...]) -> list[Claim]:
        """4.2: three test scales against one."""
        text = "scale jitter in testing helps: {}, {}, three Q - one"
        return [
            Claim(
                "4.2",
                text.format(net, self._described(kind)),
                self.name("4", net, kind),
                self.name("3", net, kind),
                "lower",
            )
            for net in nets
            for kind in kinds
        ]

    def methods(self, nets: str) -> list[Claim]:
        """4.3: crops against dense, and both against each."""
        pairs = {
            "multi-crop is better than dense": ("multi_crop", "dense"),
            "the two complement each other: both - dense": ("both", "dense"),
            "the two complement each other: both - multi-crop": ("both", "multi_crop"),
        }
        return [
            Claim("4.3", f"{text}, {net}", *(self.name("5", net, "jitter", one) for one in pair), "lower")
            for net in nets
            for text, pair in pairs.items()
        ]

    def fusion(self, protocols: tuple[str, ...], submission: bool) -> list[Claim]:
        """4.4: D and E against each alone, and against the seven nets."""
        found = [
            Claim(
                "4.4",
                f"fusion helps: D and E - {net}, {METHODS[protocol]}",
                self.name("6", "D+E", "jitter", protocol),
                self.name("5", net, "jitter", protocol),
                "lower",
            )
            for protocol in protocols
            for net in "DE"
        ]
        if submission:
            cells = self.name("6", "D+E", "jitter", "dense"), self.name("6", "seven", "dense")
            found.append(
                Claim("4.4", "two nets with jitter are better than the submission's seven, dense", *cells, "lower")
            )
        return found

    # ---- S and Q

    def _described(self, kind: str) -> str:
        sides = {"small": self.scales.small, "large": self.scales.large, "jitter": list(self.scales.jitter)}
        return f"S in {sides[kind]}" if kind == "jitter" else f"S={sides[kind]}"

    @staticmethod
    def _single(scales: Scales, kind: str) -> int:
        return {"small": scales.small, "large": scales.large}.get(kind, scales.middle)

    @staticmethod
    def _three(scales: Scales, kind: str) -> tuple[int, ...]:
        return scales.around(Tables._single(scales, kind)) if kind in ("small", "large") else scales.three


def _trained(kind: str) -> tuple[int, ...]:
    """The paper's S."""
    return {"small": (PAPER.small,), "large": (PAPER.large,)}.get(kind, PAPER.jitter)

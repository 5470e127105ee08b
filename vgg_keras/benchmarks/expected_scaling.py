"""What more devices should bring (3.3), by arithmetic: the operations of a step, the bytes of its gradients, a link's rate.

Starts no framework. It is a prediction and no measurement, without reading images, the update itself and waiting. It
assumes that gradients are exchanged after the last of them is known.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from vgg_keras.config import Architecture
from vgg_keras.evaluation import paper
from vgg_keras.nets.architectures import costs
from vgg_keras.text_table import text_table

GRADIENT_BYTES = 4  # float32, under mixed bf16 too
# Operations for each multiply-add of an image in training: 2 forward, 2 each for the gradients of inputs and weights.
OPERATIONS = 6
LINK_SHARE = 0.8  # of a link's nominal rate that an exchange reaches


@dataclass(frozen=True)
class Link:
    """A connection of devices: nominal bytes per second in one direction."""

    name: str
    rate: float


WITHIN = (Link("PCIe 3.0 x16", 15.75e9), Link("PCIe 4.0 x16", 31.5e9), Link("NVLink 3", 300e9))  # one machine
BETWEEN = (Link("10 GbE", 1.25e9), Link("25 GbE", 3.125e9), Link("100 GbE", 12.5e9))  # machines


@dataclass(frozen=True)
class Net:
    """A net's parameters and its multiply-adds for an image."""

    parameters: int
    multiply_adds: int

    @classmethod
    def of(cls, architecture: Architecture) -> "Net":
        net = costs(architecture)
        return cls(sum(cost.parameters for cost in net), sum(cost.multiply_adds for cost in net))

    @property
    def gradient_bytes(self) -> int:
        return GRADIENT_BYTES * self.parameters

    def compute_seconds(self, images: float, teraflops: float) -> float:
        """The time of a step over so many images on one device that sustains so many 10^12 operations per second."""
        return OPERATIONS * self.multiply_adds * images / (teraflops * 1e12)

    def exchange_seconds(self, devices: int, link: Link) -> float:
        """The time to sum the gradients in a ring: each device sends 2 (n - 1) / n of them over its link."""
        return 2 * (devices - 1) / devices * self.gradient_bytes / (LINK_SHARE * link.rate)

    def speed_up(self, devices: int, batch: int, teraflops: float, link: Link) -> float:
        """How many times as fast as one device so many devices make a step over `batch` images."""
        together = self.compute_seconds(batch / devices, teraflops) + self.exchange_seconds(devices, link)
        return self.compute_seconds(batch, teraflops) / together


def paper_teraflops(net: Net) -> float:
    """What a GPU of the paper sustained, if this net took the middle of its two to three weeks."""
    return OPERATIONS * net.multiply_adds * paper.TRAINING_IMAGES / (paper.GPUS * paper.TRAINING_SECONDS) / 1e12


def summarize_scaling(family: dict[str, Architecture], batch: int, teraflops: float) -> str:
    """Predicted speed-ups of these nets on several devices."""
    nets = {name: Net.of(architecture) for name, architecture in family.items()}
    blocks = [f"{title}\n\n{text_table(rows)}" for title, rows in tables(nets, batch, teraflops).items()]
    share = f"{LINK_SHARE:.0%} of a link's nominal rate"
    note = (
        f"A prediction and no measurement: gradients in float32, {share}, exchange and computation one after the other."
    )
    return "\n\n".join([*blocks, note])


def tables(nets: dict[str, Net], batch: int, teraflops: float) -> dict[str, Sequence[Sequence[str]]]:
    """Tables under their titles: gradients and their exchange, a step on one device, predicted speed-ups."""
    names = ["", *nets]
    exchange = [names, ["gradients", *(f"{net.gradient_bytes / 1e6:.0f} MB" for net in nets.values())]]
    speed_ups = [
        names,
        ["one device, a step", *(_time(net.compute_seconds(batch, teraflops)) for net in nets.values())],
    ]
    for devices, what, links in ((4, "GPUs", WITHIN), (8, "machines", BETWEEN)):
        for link in links:
            title = f"{devices} {what}, {link.name}"
            exchange.append([title, *(_time(net.exchange_seconds(devices, link)) for net in nets.values())])
            ups = (net.speed_up(devices, batch, teraflops, link) for net in nets.values())
            speed_ups.append([title, *(f"{up:.2f}" for up in ups)])
    theirs = [names]
    sustained = {name: paper_teraflops(net) for name, net in nets.items()}
    theirs.append(["TFLOP/s each, of 2.5 weeks", *(f"{flops:.2f}" for flops in sustained.values())])
    link = WITHIN[0]
    ups = (net.speed_up(paper.GPUS, batch, sustained[name], link) for name, net in nets.items())
    theirs.append([f"{paper.GPUS} GPUs, {link.name}", *(f"{up:.2f}" for up in ups)])
    theirs.append(["the paper (3.3)", *[f"{paper.SPEED_UP}"] * len(nets)])
    return {
        "The gradients of a step and the time of their exchange in a ring": exchange,
        f"Speed-up of a step of {batch} images, each device one GPU that sustains {teraflops:g} TFLOP/s": speed_ups,
        "The same for the paper's GPUs": theirs,
    }


def _time(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 1 else f"{1000 * seconds:.3g} ms"

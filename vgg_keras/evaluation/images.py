"""The images of an evaluation, or of any other pass of a trained net over a set."""

from dataclasses import dataclass

from vgg_keras.config import Config
from vgg_keras.data.scan import readable, remarks
from vgg_keras.data.splits import Split


@dataclass(frozen=True)
class Images:
    """What a net is evaluated on.

    Attributes:
        split: the images without bad ones.
        name: val, train, test or all.
        data: one line on the set.
        bad: those skipped, and why.
    """

    split: Split
    name: str
    data: str
    bad: tuple[str, ...]

    def line(self, precision: str) -> str:
        """What is printed before the first pass, in a Keras dtype policy."""
        counts = f"{self.name}: {self.split.size:,} images, {len(self.bad)} skipped"
        return f"data: {self.data}; {counts}; precision: {precision}"


def scanned_images(split: Split, name: str, data: str, config: Config) -> Images:
    """The images of a split that can be read; those skipped and the set's notes are printed.

    Args:
        split, name, data: as in `Images`.
        config: the limits of a scan.

    Raises:
        UserError: too many images that cannot be read.
    """
    split, bad = readable(split, name, config)
    for line in remarks(bad, split.notes):
        print(line, flush=True)
    return Images(split, name, data, tuple(map(str, bad)))

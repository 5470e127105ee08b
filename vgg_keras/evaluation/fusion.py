"""What every fusion of saved rows needs, of posteriors (4.4) as of boxes (appendix A): its files, their images, its folder."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

from vgg_keras.data.splits import Split
from vgg_keras.errors import UserError
from vgg_keras.evaluation.image_rows import ImageRows, other_images


def require_several(paths: Sequence[Path], kind: type[ImageRows]) -> None:
    """Refuses fewer than two files, and one that is named twice."""
    if len({path.resolve() for path in paths}) < max(2, len(paths)):
        raise UserError(
            f"--fuse takes two different files of {_name(kind)} or more, with commas between them. "
            f"Received: {', '.join(map(str, paths))}."
        )


def require_folder(folder: Path, is_of_fusion: Callable[[Path], bool]) -> None:
    """Refuses a folder that holds the rows of a single net.

    Args:
        folder: of the fusion.
        is_of_fusion: whether a file of rows in it is one that a fusion writes.
    """
    for path in sorted(folder.glob("*.npz")):
        if not is_of_fusion(path):
            raise UserError(
                f"The folder of a fusion holds nothing else. Received: --out={folder}, with {path.name} of a single net. "
                "Name another --out."
            )


def require_images_of(rows: ImageRows, split: Split) -> None:
    """Refuses a split of other images than the rows'."""
    given = dataclasses.replace(
        rows,
        ids=tuple(split.name(image) for image in range(split.size)),
        fingerprints=rows.fingerprints if split.fingerprints is None else split.fingerprints,
    )
    if different := other_images(rows, given):
        raise UserError(
            f"--data and --split must name the images that the {_name(type(rows))} are of. Received: others: {different}. "
            "Leave them out for a report without pictures."
        )


def _name(kind: type[ImageRows]) -> str:
    return Path(kind.FILE).stem

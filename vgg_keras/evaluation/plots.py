"""Matplotlib without a screen, set up in one place, and a figure written atomically."""

from pathlib import Path
from typing import Any

from vgg_keras.files import replacing


def pyplot() -> Any:
    """Matplotlib's pyplot, which draws into files; imported when something is drawn."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    return pyplot


def save(figure: Any, path: Path, dpi: int = 110) -> None:
    """Writes a figure in the format of the path's suffix, and closes it."""
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=dpi)
    pyplot().close(figure)

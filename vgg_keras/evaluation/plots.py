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


def in_rgb(pixels: Any) -> Any:
    """An array (height, width, channels) as (height, width, 3) to be drawn: grey as it is, of others the first three channels."""
    channels = pixels.shape[-1]
    return pixels[..., [min(channel, channels - 1) for channel in range(3)]]


def save(figure: Any, path: Path, dpi: int = 110) -> None:
    """Writes a figure in the format of the path's suffix, and closes it."""
    try:
        with replacing(path) as temporary:
            figure.savefig(temporary, dpi=dpi)
    finally:
        pyplot().close(figure)

"""Matplotlib without a screen, set up in one place, and a figure written atomically."""

import functools
import warnings
from pathlib import Path
from typing import IO, Any

from vgg_keras.files import replacing

# Fonts of systems with the scripts that Matplotlib's own lacks: Chinese, Japanese and Korean names of classes need one.
_OTHER_FONTS = (
    *("Noto Sans CJK SC", "Noto Sans CJK JP", "WenQuanYi Zen Hei", "WenQuanYi Micro Hei", "Droid Sans Fallback"),
    *("PingFang SC", "Hiragino Sans GB", "Hiragino Sans", "Apple SD Gothic Neo", "Arial Unicode MS"),
    *("Microsoft YaHei", "MS Gothic", "Malgun Gothic"),
)


def pyplot() -> Any:
    """Matplotlib's pyplot, which draws into files; imported when something is drawn."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    if pyplot.rcParams["font.family"] == ["sans-serif"]:  # else the user has chosen
        pyplot.rcParams["font.family"] = ["sans-serif", *_installed()]
    return pyplot


@functools.cache
def _installed() -> list[str]:
    """Those of the other fonts that this machine has."""
    from matplotlib import font_manager

    names = set(font_manager.get_font_names())
    return [name for name in _OTHER_FONTS if name in names]


def in_rgb(pixels: Any) -> Any:
    """An array (height, width, channels) as (height, width, 3) to be drawn: grey as it is, of others the first three channels."""
    channels = pixels.shape[-1]
    return pixels[..., [min(channel, channels - 1) for channel in range(3)]]


def save(figure: Any, path: Path, dpi: int = 110) -> None:
    """Writes a figure in the format of the path's suffix, and closes it."""
    try:
        with replacing(path) as temporary:
            draw(figure, temporary, dpi)
    finally:
        pyplot().close(figure)


def draw(figure: Any, file: Path | IO[bytes], dpi: int, **options: Any) -> None:
    """Matplotlib's `savefig`. A letter that no font has is an empty box, without Matplotlib's warning for each letter."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Glyph \d+ .* missing from font", UserWarning)
        figure.savefig(file, dpi=dpi, **options)

"""Figures without a screen."""

import matplotlib
import pytest
from PIL import Image

from vgg_keras.evaluation import plots


def test_a_figure_is_written_in_the_format_of_its_suffix_and_closed(tmp_path):
    pyplot = plots.pyplot()
    assert pyplot.get_backend().lower() == "agg"
    before = pyplot.get_fignums()
    for suffix, kind in ((".png", "PNG"), (".jpg", "JPEG")):
        figure, _ = pyplot.subplots(figsize=(2, 1))
        plots.save(figure, tmp_path / f"figure{suffix}", dpi=50)
        with Image.open(tmp_path / f"figure{suffix}") as image:
            assert (image.format, image.size) == (kind, (100, 50))
    assert pyplot.get_fignums() == before and len(list(tmp_path.iterdir())) == 2


def test_a_figure_that_cannot_be_written_leaves_the_old_file(tmp_path):
    path = tmp_path / "figure.png"
    path.write_bytes(b"old")
    figure, axes = plots.pyplot().subplots()
    axes.set_title(r"$\notatex$")
    with pytest.raises(ValueError):
        plots.save(figure, path)
    plots.pyplot().close(figure)
    assert path.read_bytes() == b"old" and len(list(tmp_path.iterdir())) == 1


def test_letters_that_no_font_has_are_drawn_without_a_warning(tmp_path, monkeypatch):
    """A font of the system is taken where one has them; Matplotlib's own has no Chinese, and nothing has U+10FFFD."""
    monkeypatch.setattr(plots, "_OTHER_FONTS", ("No Such Font", "DejaVu Serif"))
    plots._installed.cache_clear()
    with matplotlib.rc_context({"font.family": ["sans-serif"]}):
        figure, axes = plots.pyplot().subplots()
        assert matplotlib.rcParams["font.family"] == ["sans-serif", "DejaVu Serif"]
        axes.set_title("\u732b\U0010fffd")
        plots.save(figure, tmp_path / "figure.png")
    plots._installed.cache_clear()

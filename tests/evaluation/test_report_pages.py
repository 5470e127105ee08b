"""Both pages from templates: what is text stays text, and a mistake leaves the old pages."""

import base64

import jinja2
import pytest

from vgg_keras.evaluation import report_pages


@pytest.fixture
def templates(tmp_path):
    (tmp_path / "report.html.j2").write_text("<p>{{ name }} {{ 'last' }}</p>")
    (tmp_path / "report.md.j2").write_text("| {{ name|cell }} | {{ name|loud }} |")
    return tmp_path


def test_text_is_escaped_where_the_page_needs_it(templates, tmp_path):
    """HTML by itself, a cell of Markdown by its filter; a path need not be UTF-8."""
    out = tmp_path / "out"
    out.mkdir()
    content = {"name": "<b>|\n\udcff"}
    paths = report_pages.write(templates, content, out, {"loud": lambda text: text[:3].upper()})
    assert paths == [out / "report.html", out / "report.md"]
    assert paths[0].read_text() == "<p>&lt;b&gt;|\n\\udcff last</p>"
    assert paths[1].read_text() == "| <b>\\| \\udcff | <B> |"


def test_a_name_without_a_value_is_an_error_and_leaves_the_page(templates, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "report.html").write_text("old")
    with pytest.raises(jinja2.UndefinedError, match="'name' is undefined"):
        report_pages.write(templates, {}, out, {"loud": str})
    assert [path.name for path in out.iterdir()] == ["report.html"] and (out / "report.html").read_text() == "old"


def test_a_picture_is_inside_the_page():
    url = report_pages.data_url(bytes(range(256)), "png")
    head, content = url.split(",")
    assert head == "data:image/png;base64" and base64.b64decode(content) == bytes(range(256))

"""The two pages of a report, report.html and report.md, from templates beside the module that fills them."""

import base64
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import jinja2

from vgg_keras.files import replacing

PAGES = ("report.html", "report.md")


def write(
    templates: Path, content: Mapping[str, Any], folder: Path, filters: Mapping[str, Callable] = MappingProxyType({})
) -> list[Path]:
    """Writes both pages into a folder, and returns their paths.

    Args:
        templates: the folder with report.html.j2 and report.md.j2. A name that `content` lacks is an error.
        content: the values of the templates' names.
        folder: for the pages.
        filters: of the templates, beside `cell`, which makes a text fit into a cell of Markdown.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(templates),
        autoescape=lambda name: name.endswith(".html.j2"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["cell"] = lambda text: str(text).replace("|", "\\|").replace("\n", " ")
    environment.filters.update(filters)
    for name in PAGES:
        with replacing(folder / name) as temporary:
            text = environment.get_template(f"{name}.j2").render(content)
            temporary.write_text(text, encoding="utf-8", errors="backslashreplace")  # a path need not be UTF-8
    return [folder / name for name in PAGES]


def data_url(content: bytes, kind: str) -> str:
    """The bytes of a picture file of a kind, such as png, as a data URL."""
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"

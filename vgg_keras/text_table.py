"""A table as text, for the terminal."""

from collections.abc import Sequence


def text_table(rows: Sequence[Sequence[str]]) -> str:
    """Rows under their header, with the first column aligned to the left and the others to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    aligned = [
        [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        for row in rows
    ]
    lines = ["  ".join(row).rstrip() for row in aligned]
    return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]])

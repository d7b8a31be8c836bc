"""Tables in Markdown, columns aligned so that they also read well on a terminal."""

from collections.abc import Sequence

from gsl_experiments.reporting.layout import Cell, Document, Section

# Underscores stay: Markdown takes them for emphasis only at the ends of a word, where our names have none.
_SPECIAL = str.maketrans({character: f"\\{character}" for character in "\\`*|<>"})


def to_markdown(document: Document) -> str:
    """The whole document as Markdown, ending in a newline."""
    parts = [f"# {_escape(document.title)}"]
    if document.introduction:
        parts.append(_escape(document.introduction))
    if not document.sections:
        parts.append("No run of this table yet.")
    for section in document.sections:
        parts.append(f"## {_escape(section.title)}")
        if section.groups:
            parts.append(_table(section))
        parts.append(_list(section.notes))
        if section.provenance:
            parts += ["Runs:", _list(section.provenance)]
    return "\n\n".join(parts) + "\n"


def _table(section: Section) -> str:
    rows = [[_escape(title) for title in section.header]]
    rows += [[_cell(cell) for cell in row] for group in section.groups for row in group]
    widths = [max(3, *(len(row[column]) for row in rows)) for column in range(len(section.header))]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    header, *body = (_line(row, widths) for row in rows)
    return "\n".join([header, rule, *body])


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = (cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
    return f"| {' | '.join(padded)} |"


def _list(items: Sequence[str]) -> str:
    return "\n".join(f"- {_escape(item)}" for item in items)


def _cell(cell: Cell) -> str:
    return f"**{_escape(cell.text)}**" if cell.bold else _escape(cell.text)


def _escape(text: str) -> str:
    return text.translate(_SPECIAL)

r"""Tables in LaTeX: one `table*` a section, to be read in by `\input`; needs booktabs and graphicx."""

import re

from gsl_experiments.reporting.layout import Cell, Document, Section

_SPECIAL = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "{": r"\{",
        "}": r"\}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        # A cell that starts with a bracket would be the optional argument of the line break before it.
        "[": "{[}",
        "]": "{]}",
        "↑": r"$\uparrow$",
        "↓": r"$\downarrow$",
        "<": "$<$",
        ">": "$>$",
        "|": r"\textbar{}",
        "\N{MINUS SIGN}": "$-$",
        "\N{EN DASH}": "--",
    }
    | {character: f"\\{character}" for character in "&%$#_"}
)
_TEXT_COLUMNS = ("Dataset", "Task", "Metric", "Loss", "Schedule", "Run", "Not told apart", "Note")


def to_latex(document: Document, *, dataset: str) -> str:
    """The whole document as LaTeX, ending in a newline.

    Args:
        document: the tables.
        dataset: makes the labels unique: `tab:lits-table1-paper`.
    """
    parts = [f"% {document.title}. Needs \\usepackage{{booktabs}} and \\usepackage{{graphicx}}."]
    if document.introduction:
        parts.append(f"% {document.introduction}")
    if not document.sections:
        parts.append("% No run of this table yet.")
    for section in document.sections:
        if section.groups:
            parts.append(_table(document, section, f"tab:{dataset}-{document.name}-{section.title}"))
        else:
            parts.append(f"% {section.title}. {' '.join(section.notes)}")
    return "\n\n".join(parts) + "\n"


def _table(document: Document, section: Section, label: str) -> str:
    columns = "".join("l" if title in _TEXT_COLUMNS else "r" for title in section.header)
    lines = [
        r"\begin{table*}",
        r"\centering",
        r"\resizebox{\textwidth}{!}{%",
        rf"\begin{{tabular}}{{{columns}}}",
        r"\toprule",
        _line(tuple(Cell(title) for title in section.header)),
    ]
    for group in section.groups:
        lines += [r"\midrule", *(_line(row) for row in group)]
    lines += [
        r"\bottomrule",
        r"\end{tabular}}",
        rf"\caption{{{_escape(_caption(document, section))}}}",
        rf"\label{{{re.sub(r'[^A-Za-z0-9:]+', '-', label).strip('-')}}}",
        r"\begin{minipage}{\textwidth}\footnotesize\smallskip",
        *(rf"{_escape(note)}\par" for note in section.notes),
        r"\end{minipage}",
        *(f"% {line}" for line in section.provenance),
        r"\end{table*}",
    ]
    return "\n".join(lines)


def _caption(document: Document, section: Section) -> str:
    """Heading and title, without the `Table 1:` that LaTeX writes itself, with a number of its own."""
    text = re.sub(r"^Table \d: ", "", f"{document.title}, {section.title}.")
    return text[0].upper() + text[1:]


def _line(cells: tuple[Cell, ...]) -> str:
    return " & ".join(_cell(cell) for cell in cells) + r" \\"


def _cell(cell: Cell) -> str:
    return rf"\textbf{{{_escape(cell.text)}}}" if cell.bold else _escape(cell.text)


def _escape(text: str) -> str:
    return text.translate(_SPECIAL)

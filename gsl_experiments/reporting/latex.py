r"""Tables in LaTeX: one `table*` a section, to be read in by `\input`; needs booktabs and graphicx."""

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
        "\N{MINUS SIGN}": "$-$",
        "\N{EN DASH}": "--",
    }
    | {character: f"\\{character}" for character in "&%$#_"}
)
_TEXT_COLUMNS = ("Dataset", "Task", "Loss", "Schedule", "Run", "Note")


def to_latex(document: Document, *, dataset: str) -> str:
    """The whole document as LaTeX, ending in a newline.

    Args:
        document: the tables.
        dataset: makes the labels unique: `tab:lits-table1-paper`.
    """
    parts = [f"% {document.title}. Needs \\usepackage{{booktabs}} and \\usepackage{{graphicx}}."]
    if not document.sections:
        parts.append("% No run of this table yet.")
    for section in document.sections:
        parts.append(_table(document, section, f"tab:{dataset}-{document.name}-{section.title}"))
    return "\n\n".join(parts) + "\n"


def _table(document: Document, section: Section, label: str) -> str:
    columns = "".join("l" if title in _TEXT_COLUMNS else "r" for title in section.header)
    caption = f"{document.title}, {section.title}. {' '.join(section.notes)}"
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
        rf"\caption{{{_escape(caption)}}}",
        rf"\label{{{label.replace(' ', '-')}}}",
        *(f"% {line}" for line in section.provenance),
        r"\end{table*}",
    ]
    return "\n".join(lines)


def _line(cells: tuple[Cell, ...]) -> str:
    return " & ".join(_cell(cell) for cell in cells) + r" \\"


def _cell(cell: Cell) -> str:
    return rf"\textbf{{{_escape(cell.text)}}}" if cell.bold else _escape(cell.text)


def _escape(text: str) -> str:
    return text.translate(_SPECIAL)

"""How every figure looks: colours, lines, sizes. Plain constants, so that any part may read them at no cost.

The colours are those of Okabe and Ito ("Color Universal Design", 2008), which people with any common colour blindness
tell apart. What is distinguished by colour also differs in its line or its marker.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

BLACK = "#000000"
ORANGE = "#E69F00"
SKY_BLUE = "#56B4E9"
GREEN = "#009E73"
YELLOW = "#F0E442"
BLUE = "#0072B2"
VERMILION = "#D55E00"
PURPLE = "#CC79A7"
GREY = "#7F7F7F"

LOSS_COLORS: Mapping[str, str] = {
    "dl": SKY_BLUE,
    "dice_ce": BLUE,
    "gdl": GREEN,
    "hl": ORANGE,
    "bl": PURPLE,
    "gsl": VERMILION,
}
SCHEDULE_COLORS: Mapping[str, str] = {
    "linear": VERMILION,
    "step5": BLUE,
    "step25": SKY_BLUE,
    "step50": GREEN,
    "cosine": ORANGE,
    "constant": PURPLE,
}
REFERENCE_COLOR = YELLOW  # on a grey image

# matplotlib's line styles and markers, in the order of the two tables above
LINES: tuple[Any, ...] = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1)))
MARKERS = ("o", "s", "^", "D", "v", "P")

LOSS_LINES: Mapping[str, Any] = dict(zip(LOSS_COLORS, LINES, strict=True))
LOSS_MARKERS: Mapping[str, str] = dict(zip(LOSS_COLORS, MARKERS, strict=True))
SCHEDULE_LINES: Mapping[str, Any] = dict(zip(SCHEDULE_COLORS, LINES, strict=True))
SCHEDULE_MARKERS: Mapping[str, str] = dict(zip(SCHEDULE_COLORS, MARKERS, strict=True))

LOSS_NAMES: Mapping[str, str] = {
    "dl": "DL",
    "dice_ce": "Dice-CE",
    "gdl": "GDL",
    "hl": "HL",
    "bl": "BL",
    "gsl": "GSL",
}
SCHEDULE_NAMES: Mapping[str, str] = {
    "linear": "linear",
    "step5": "step 5",
    "step25": "step 25",
    "step50": "step 50",
    "cosine": "cosine",
    "constant": "constant",
}

MM_PER_INCH = 25.4
ALPHA = "\N{GREEK SMALL LETTER ALPHA}"
FONT_SIZE = 7.0  # points, as printed

RC: Mapping[str, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": FONT_SIZE,
    "axes.titlesize": FONT_SIZE,
    "axes.labelsize": FONT_SIZE,
    "xtick.labelsize": FONT_SIZE - 1,
    "ytick.labelsize": FONT_SIZE - 1,
    "legend.fontsize": FONT_SIZE - 1,
    "legend.frameon": False,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.linewidth": 0.4,
    "grid.color": "#D9D9D9",
    "lines.linewidth": 1.0,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.minor.width": 0.4,
    "ytick.minor.width": 0.4,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "svg.fonttype": "none",
    "pdf.fonttype": 42,
    "mathtext.fontset": "dejavusans",
}

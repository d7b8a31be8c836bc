"""The report as one HTML file that needs nothing else."""

from __future__ import annotations

import json
import math
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from gsl_experiments.report.assets import LIBRARIES, safe_script, tables_script, vega_script
from gsl_experiments.report.charts import charts
from gsl_experiments.report.content import Content
from gsl_experiments.report.training import CURVES, describe_commit, describe_machine, describe_packages

SCRIPTS = ("common.js", "tables_and_plots.js", "viewer.js")  # in this order


def render(content: Content) -> str:
    """The page, with styles, scripts, libraries, data and images inside it."""
    environment = Environment(
        loader=PackageLoader("gsl_experiments.report", "template"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return (
        environment.get_template("report.html").render(
            content=content,
            curves=CURVES,
            infinity=math.inf,
            libraries=LIBRARIES,
            facts=_facts(content),
            style=Markup(_read("report.css")),
            scripts=[Markup(script) for script in (vega_script(), tables_script(), safe_script(_script()))],
            data=_json({**content.data, "charts": charts(content.runs)}),
            slices={case: _json(slices) for case, slices in content.slices.items()},
        )
        + "\n"
    )


def _facts(content: Content) -> tuple[tuple[str, str], ...]:
    """Where the report itself comes from."""
    record = content.record
    return (
        ("Time", record["time"]),
        ("Commit", describe_commit(record["git"])),
        ("Python", record["python"]),
        ("Packages", describe_packages(record["packages"])),
        ("Machine", describe_machine(record["machine"])),
        ("Command", record["command"]),
        ("Options", json.dumps(record["config"])),
    )


def _json(value: Any) -> Markup:
    """JSON that may stand inside a script element, whatever names its data holds."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return Markup(text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e"))


def _script() -> str:
    """The page's own scripts as one, whose names no library sees."""
    return '"use strict";\n(() => {\n' + "\n".join(_read(name) for name in SCRIPTS) + "})();\n"


def _read(name: str) -> str:
    return (files("gsl_experiments.report") / "template" / name).read_text(encoding="utf-8")

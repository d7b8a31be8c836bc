"""The interactive plots, as Vega-Lite: the page fills in the data, so that every number is in the file once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt

from gsl_experiments.report.runs import ReportRun

ROW_PIXELS = 44  # height of one run
CURVE_PIXELS = 260


def charts(runs: Sequence[ReportRun]) -> dict[str, Any]:
    """Name -> Vega-Lite specification, each with a named data set that the page's script fills.

    `distribution` takes `values` (case, region, fold, run, value, jitter), `differences` the same with the difference
    to the baseline as value and `means` (run, mean, low, high), `curves` takes `epochs` (run, fold, epoch, value).
    """
    return {
        "distribution": _distribution(runs).to_dict(),
        "differences": _differences(runs).to_dict(),
        "curves": _curves(runs).to_dict(),
    }


def _distribution(runs: Sequence[ReportRun]) -> alt.LayerChart:
    values = alt.Chart(alt.NamedData("values")).encode(x=_value_axis())
    boxes = values.mark_boxplot(
        extent=1.5,
        outliers=False,
        size=22,
        box={"fillOpacity": 0.18, "strokeWidth": 1},
        median={"strokeWidth": 2.5, "color": "black"},
        ticks=False,
    ).encode(y=_run_axis(runs), color=_run_color(runs))
    return _finished(boxes + _points(values, runs), len(runs) * ROW_PIXELS)


def _differences(runs: Sequence[ReportRun]) -> alt.LayerChart:
    values = alt.Chart(alt.NamedData("values")).encode(x=_value_axis())
    zero = alt.Chart(alt.InlineData([{"value": 0}])).mark_rule(strokeWidth=1.5).encode(x=_value_axis())
    means = alt.Chart(alt.NamedData("means")).encode(y=_run_axis(runs))
    tooltip = [
        alt.Tooltip("run:N", title="run"),
        alt.Tooltip("mean:Q", title="mean difference", format=".4g"),
        alt.Tooltip("interval:N", title="interval of the mean"),
        alt.Tooltip("p_value:N", title="p (Wilcoxon, Holm)"),
        alt.Tooltip("counts:N", title="better / equal / worse"),
    ]
    interval = means.mark_rule(strokeWidth=3).encode(
        x=alt.X("low:Q", title=None), x2="high:Q", tooltip=tooltip
    )
    mean = means.mark_point(shape="diamond", size=130, filled=True, opacity=1).encode(
        x=alt.X("mean:Q", title=None), tooltip=tooltip
    )
    return _finished(zero + _points(values, runs) + interval + mean, max(len(runs) - 1, 1) * ROW_PIXELS)


def _curves(runs: Sequence[ReportRun]) -> alt.LayerChart:
    epochs = alt.Chart(alt.NamedData("epochs")).encode(
        x=alt.X("epoch:Q", title="epoch", axis=alt.Axis(tickMinStep=1, grid=False)),
        color=_run_color(runs),
        strokeDash=alt.StrokeDash(
            "run:N", scale=_scale(runs, [_dash(run.dash) for run in runs]), legend=None
        ),
    )
    value = alt.Y("value:Q", title=None, scale=alt.Scale(zero=False))
    folds = epochs.mark_line(strokeWidth=1, opacity=0.3).encode(y=value, detail="fold:N")
    tooltip = [
        alt.Tooltip("run:N", title="run"),
        alt.Tooltip("epoch:Q", title="epoch"),
        alt.Tooltip("mean(value):Q", title="mean over folds", format=".4g"),
    ]
    means = epochs.mark_line(strokeWidth=2.2).encode(y=alt.Y("mean(value):Q", title=None), tooltip=tooltip)
    return _finished(folds + means, CURVE_PIXELS)


def _points(values: alt.Chart, runs: Sequence[ReportRun]) -> alt.Chart:
    """One point a case; each stands for a link that the page's table of cases has too, so it is hidden from readers."""
    return values.mark_circle(size=34, opacity=0.65, cursor="pointer", aria=False).encode(
        y=_run_axis(runs),
        yOffset=alt.YOffset("jitter:Q", scale=alt.Scale(domain=[-1.6, 1.6])),
        color=_run_color(runs),
        tooltip=[
            alt.Tooltip("case:N", title="case"),
            alt.Tooltip("region:N", title="region"),
            alt.Tooltip("fold:N", title="fold"),
            alt.Tooltip("run:N", title="run"),
            alt.Tooltip("text:N", title="value"),
        ],
    )


def _value_axis() -> alt.X:
    return alt.X("value:Q", title=None, axis=alt.Axis(tickCount=6, format=",~f"), scale=alt.Scale(zero=False))


def _run_axis(runs: Sequence[ReportRun]) -> alt.Y:
    return alt.Y(
        "run:N", title=None, sort=[run.label for run in runs], axis=alt.Axis(labelLimit=110, ticks=False)
    )


def _run_color(runs: Sequence[ReportRun]) -> alt.Color:
    return alt.Color("run:N", scale=_scale(runs, [run.color for run in runs]), legend=None)


def _scale(runs: Sequence[ReportRun], values: Sequence[Any]) -> alt.Scale:
    return alt.Scale(domain=[run.label for run in runs], range=list(values))


def _dash(dash: str) -> list[int]:
    return [int(length) for length in dash.split()] or [1, 0]


def _finished(chart: alt.LayerChart, height: int) -> alt.LayerChart:
    return chart.properties(
        width="container", height=height, autosize=alt.AutoSizeParams(type="fit", contains="padding")
    )

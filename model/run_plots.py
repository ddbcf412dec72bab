"""The pictures of a run, for MLflow: calibration, ranking beside the yardsticks, waits of genuine callers by slice."""

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from model.features import STAGES

#: The condition whose waits are drawn: nobody hangs up, and a centre is nearly always busy.
CONDITION = "no_hang_ups_0.95"
_OURS, _THEIRS, _GREY = "#1d4e89", "#b0632a", "#777777"


def run_plots(metrics: Mapping[str, Any]) -> dict[str, bytes]:
    """Draw what `metrics.json` holds.

    Parameters
    ----------
    metrics : mapping
        As docs/metrics.md says.

    Returns
    -------
    dict of str to bytes
        PNG files by name; what could not be measured is left out.
    """
    figures = {"calibration.png": _calibration(metrics), "ranking.png": _ranking(metrics)}
    if metrics["slices"]:
        figures["slices.png"] = _slices(metrics["slices"][CONDITION])
    return {name: _png(figure) for name, figure in figures.items()}


def _calibration(metrics: Mapping[str, Any]) -> Figure:
    figure = Figure(figsize=(11.0, 4.0), layout="constrained")
    for axes, stage in zip(figure.subplots(1, len(STAGES), sharey=True), STAGES, strict=True):
        groups = metrics["stages"][stage]["reliability"] or []
        axes.plot([0, 1], [0, 1], color=_GREY, linewidth=0.8)
        if groups:
            x, y = ([group[name] for group in groups] for name in ("predicted", "observed"))
            ends = [[group[f"observed_{end}"] for group in groups] for end in ("low", "high")]
            axes.errorbar(x, y, _around(y, *ends), fmt="o", color=_OURS, markersize=4, linewidth=1)
        axes.set(title=stage, xlabel="likelihood said", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    figure.axes[0].set_ylabel("share closed as not genuine")
    return figure


def _ranking(metrics: Mapping[str, Any]) -> Figure:
    figure = Figure(figsize=(9.0, 4.5), layout="constrained")
    axes = figure.subplots()
    names, x, low, high, colours = [], [], [], [], []
    for stage in reversed(STAGES):
        rows = {"scorecard": metrics["stages"][stage], **(metrics["yardsticks"][stage] or {})}
        for name, row in reversed(rows.items()):
            if row["auc"] is not None:
                names.append(f"{name.replace('_', ' ')}, {stage}")
                x.append(row["auc"])
                low.append(row["auc_low"])
                high.append(row["auc_high"])
                colours.append(_OURS if name == "scorecard" else _THEIRS)
    y = np.arange(len(names))
    axes.hlines(y, _known(low, x), _known(high, x), color=colours, linewidth=1.2)
    axes.scatter(x, y, color=colours, s=18, zorder=3)
    axes.set_yticks(y, names, fontsize=8)
    axes.set(
        xlabel=f"area under the ROC curve, {metrics['evaluated_on']}", title="Ranking, and the yardsticks beside it"
    )
    return figure


def _slices(rows: Mapping[str, Mapping[str, Any]]) -> Figure:
    named = [(name, row) for name, row in rows.items() if row["wait_ratio"] is not None][::-1]
    figure = Figure(figsize=(8.0, 1.2 + 0.28 * len(named)), layout="constrained")
    axes = figure.subplots()
    y, x = np.arange(len(named)), [row["wait_ratio"] for _, row in named]
    low, high = ([row[f"wait_ratio_{end}"] for _, row in named] for end in ("low", "high"))
    axes.axvline(1.0, color=_GREY, linewidth=0.8)
    axes.hlines(y, _known(low, x), _known(high, x), color=_OURS, linewidth=1.2)
    axes.scatter(x, y, color=_OURS, s=18, zorder=3)
    axes.set_yticks(y, [f"{name.replace('_', ' ')} ({row['callers']})" for name, row in named], fontsize=8)
    axes.set(
        xlabel="mean wait against first come, first served", title="Genuine callers by slice (callers in brackets)"
    )
    return figure


def _known(ends: list[float | None], values: list[float]) -> list[float]:
    return [value if end is None else end for end, value in zip(ends, values, strict=True)]


def _around(values: list[float], low: list[float | None], high: list[float | None]) -> Any:
    below, above = np.subtract(values, _known(low, values)), np.subtract(_known(high, values), values)
    return np.clip([below, above], 0.0, None)


def _png(figure: Figure) -> bytes:
    written = io.BytesIO()
    figure.savefig(written, format="png", dpi=110)
    return written.getvalue()

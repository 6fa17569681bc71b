"""Pictures drawn: from what a room says there is to see to PNG. Holds colours and shapes, and computes nothing.

Colours are Okabe and Ito's (2008), which people tell apart whatever colours they see; lines and marks differ in shape
too. Tables are not drawn: a page shows them as they are.
"""

from __future__ import annotations

import io
from typing import Any

import numpy as np

from bentos.common.estimator import Picture

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
LINES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (1, 1)), (0, (3, 1, 1, 1)))
MARKS = ("o", "s", "^", "D", "v", "P", "X")
GUIDE: dict[str, Any] = {"color": "#666666", "linestyle": "--", "linewidth": 1.0}
MOST_BARS = 30


def draw(picture: Picture) -> bytes:
    """The picture as PNG."""
    from matplotlib.figure import Figure

    square = picture.kind == "matrix" or picture.guide == "diagonal"
    figure = Figure(figsize=(5.5, 5) if square else (8, 4.5), layout="constrained")
    axes = figure.add_subplot()
    _KINDS[picture.kind](axes, picture)
    if picture.guide == "diagonal":
        axes.axline((0, 0), slope=1, zorder=0, **GUIDE)
    elif picture.guide == "zero":
        axes.axhline(0, zorder=0, **GUIDE)
    axes.set(title=picture.title, xlabel=picture.x, ylabel=picture.y)
    if picture.kind != "matrix" and (len(picture.series) > 1 or picture.kind == "line") and any(picture.series):
        axes.legend()
    if picture.kind in ("line", "scatter"):
        axes.grid(alpha=0.25)
    png = io.BytesIO()
    figure.savefig(png, format="png", dpi=110)
    return png.getvalue()


def _bars(axes: Any, picture: Picture) -> None:
    # Beside one another, and the first name on top.
    height = 0.8 / len(picture.series)
    for number, (legend, (names, lengths)) in enumerate(picture.series.items()):
        places = -np.arange(len(names[:MOST_BARS]), dtype=float) - number * height
        colour = COLOURS[number % len(COLOURS)]
        axes.barh(places, lengths[:MOST_BARS], height=height, label=legend, color=colour)
        if number == 0:
            axes.set_yticks(places - 0.4 + height / 2, names[:MOST_BARS], fontsize=9 if len(names) < 20 else 7)


def _histograms(axes: Any, picture: Picture) -> None:
    samples = [values for values, _ in picture.series.values()]
    edges = np.histogram_bin_edges(np.concatenate([np.asarray(sample, dtype=float) for sample in samples]), bins=30)
    for number, (legend, (sample, _)) in enumerate(picture.series.items()):
        style = {"color": COLOURS[number % len(COLOURS)], "linestyle": LINES[number % len(LINES)]}
        axes.hist(sample, bins=edges, histtype="step", linewidth=1.6, label=legend, **style)


def _lines(axes: Any, picture: Picture) -> None:
    for number, (legend, (x, y)) in enumerate(picture.series.items()):
        style = {"color": COLOURS[number % len(COLOURS)], "linestyle": LINES[number % len(LINES)]}
        axes.plot(x, y, label=legend, linewidth=1.6, **style)


def _scatter(axes: Any, picture: Picture) -> None:
    for number, (legend, (x, y)) in enumerate(picture.series.items()):
        style = {"color": COLOURS[number % len(COLOURS)], "marker": MARKS[number % len(MARKS)]}
        axes.scatter(x, y, label=legend, s=28 if len(x) < 100 else 10, alpha=1 if len(x) < 100 else 0.6, **style)


def _matrix(axes: Any, picture: Picture) -> None:
    rows = [values for _, values in picture.series.values()]
    counts = np.asarray(rows, dtype=float)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    columns = next(iter(picture.series.values()))[0]
    axes.set_xticks(range(len(columns)), columns)
    axes.set_yticks(range(len(rows)), list(picture.series))
    for (row, column), count in np.ndenumerate(counts):
        said = f"{count:g}\n{shares[row, column]:.1%}"
        colour = "white" if shares[row, column] > 0.5 else "black"
        axes.text(column, row, said, ha="center", va="center", color=colour, fontsize=12)


_KINDS = {"bar": _bars, "histogram": _histograms, "line": _lines, "scatter": _scatter, "matrix": _matrix}

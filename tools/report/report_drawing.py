# SPDX-License-Identifier: MIT
"""The style, layout and rendering of the report's figures. Needs matplotlib.

The same runs give the same files, byte for byte."""

import dataclasses
import io
import math
import zlib

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

from report_tables import MEASURED  # noqa: E402

# Red and blue as in the paper. All colors can be distinguished with the common kinds of color blindness; some lines are
# dashed in addition.
AMPLIFIED, AMPLIFIED_TRAIN = "#d7191c", "#009e73"
ORIGINAL, ORIGINAL_TRAIN = "#0057b7", "#7f7f7f"
RANDOM = "#4d4d4d"
SELECTED = AMPLIFIED
AMPLIFIED_BAND, ANALYSED_BAND = "#fbe7db", "#5e3c99"

STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "axes.titlesize": 10.5,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "svg.hashsalt": "gradamp report",
    "text.parse_math": False,  # a name with two "$" is no formula
}


@dataclasses.dataclass
class Figure:
    """A rendered figure. `alt` describes it in words; `svg` and `png` are the bytes of its files."""

    name: str
    title: str
    caption: str
    alt: str
    svg: bytes
    png: bytes


def finish(figure, name, title, caption, alt):
    """Renders a matplotlib figure to a Figure, and closes it."""
    files = {}
    for kind, metadata in (("svg", {"Date": None}), ("png", {"Software": None})):
        stream = io.BytesIO()
        figure.savefig(stream, format=kind, dpi=160, metadata=metadata)
        files[kind] = stream.getvalue()
    plt.close(figure)
    return Figure(name, title, caption, alt, files["svg"], files["png"])


def file_name(*parts):
    text = "-".join(str(part) for part in parts).replace("'", "-prime")
    name = "".join(c if c.isalnum() or c in "-_." else "-" for c in text).strip("-").lower()
    return name if len(name) <= 120 else f"{name[:110]}-{zlib.crc32(name.encode()):08x}"


def drawable(values):
    """The values with NaN, which leaves a gap, for each that is not finite."""
    return [value if math.isfinite(value) else math.nan for value in values]


def thinned(names, most):
    """(indices, names): every n-th name, such that there are at most `most` names."""
    step = math.ceil(len(names) / most)
    return list(range(0, len(names), step)), names[::step]


def legend_below(figure, axes):
    """Draws one legend for all panels below them."""
    entries = {}
    for panel in axes:
        for handle, label in zip(*panel.get_legend_handles_labels()):
            entries.setdefault(label, handle)
    columns = min(len(entries), max(int(figure.get_figwidth() / 2.5), 1))
    lines = -(-len(entries) // columns)
    height = (0.24 * lines + 0.12) / figure.get_figheight()
    spaces = {"w_pad": 0.08, "h_pad": 0.08}  # inches
    figure.get_layout_engine().set(rect=(0, height, 1, 1 - height), **spaces)  # matplotlib 3.6 has no "outside" legends
    figure.legend(entries.values(), entries.keys(), loc="lower center", ncols=columns)


def panel_grid(columns):
    """(number of rows, number of columns, {column: (row, column) of its panel}): one row per measure, one column per
    case."""
    parts = {column: column.rpartition("-")[::2] for column in MEASURED if column in columns}
    measures, cases = (sorted({part[i] for part in parts.values()}) for i in (0, 1))
    places = {column: (measures.index(measure), cases.index(case)) for column, (measure, case) in parts.items()}
    return len(measures), len(cases), places


def measured_panels(row):
    """(figure, {column: axes}) with one panel per measure and case that was run. The figure is None if none was run."""
    columns = [column for column in MEASURED if column in row.columns]
    if not columns:
        return None, {}
    down, across, places = panel_grid(columns)
    size = (max(5.2 * across, 7), 2.9 * down + 0.9)
    figure, axes = plt.subplots(
        down, across, figsize=size, sharex=True, sharey=True, squeeze=False, layout="constrained"
    )
    panels = {column: axes[place] for column, place in places.items()}
    for panel in axes.flat:
        panel.set_visible(any(panel is used for used in panels.values()))
        panel.tick_params(labelbottom=True, labelleft=True)
    return figure, panels

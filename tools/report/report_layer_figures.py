# SPDX-License-Identifier: MIT
"""The report's figures over layers: the measures, and which layers were selected. Layers are in the network's order,
which is the order of layers.jsonl."""

import math

import report_statistics
import report_svg
import report_tables
from report_svg import Entry, Figure, Panel, file_name, heat_panel
from report_tables import COLUMNS, MEASURED

TYPES = {
    "conv": ("original", "circle"),
    "bn": ("third", "square"),
    "linear": ("ink", "diamond"),
    "relu": ("train", "triangle"),
}
MEASURES = (("g", "G"), ("g_prime", "G'"))
# Maximum number of layer names on an axis. If there are more layers, only every n-th has a name.
MOST_NAMES_ACROSS = 34
MOST_PANELS = 3  # up to this number, each analyzed epoch has its own panel; more epochs (reselection) share one
SELECTED = Entry("marker", "amplified", "circle", "selected in more than half of the runs")
SELECTED_ONE = Entry("marker", "amplified", "circle", "selected")


def by_epoch(runs, windows=True):
    """{measured epoch: {layer: its lines in the runs}} with epochs and layers in order. Contains only layers that were
    measured (layers without weights may have no measure). Without `windows`, only at the epochs of selections."""
    result = {}
    for run in runs:
        selections = {line["epoch"] for line in run.layers}
        for line in (line for line in run.measured if windows or line["epoch"] in selections):
            result.setdefault(line["epoch"], {}).setdefault(line["layer"], []).append(line)
    return dict(sorted(result.items()))


def mean_of(lines, key):
    return report_statistics.mean([line[key] for line in lines])


def is_measure_of(column, key):
    """Whether the column selects by this measure."""
    return column in MEASURED and column.startswith("g-prime") == (key == "g_prime")


def shown_runs(row, column):
    """(the runs that the figures of a column show, their description)."""
    choice = report_tables.shown_choice(row, column)
    runs = row.columns[column][choice]
    name = report_tables.choice_name(choice)
    what = f"{COLUMNS[column]}{f', threshold {name}' if column in MEASURED else f', {name}' if name else ''}"
    return runs, f"{what}, {len(runs)} seed{'s' * (len(runs) > 1)}"


# ---- Heat maps of G and G' over layers and epochs ----


def heat_panels(runs, title=""):
    """The panels with G and with G' of every layer at every measured epoch, as means over the runs. Empty if nothing
    was measured."""
    epochs = by_epoch(runs)
    if not epochs:
        return []
    names = list({name: None for layers in epochs.values() for name in layers})
    floors = [lines[0]["noise_floor"] for layers in epochs.values() for lines in layers.values()]
    floor = report_statistics.mean(floors)
    panels = []
    for key, label in MEASURES:
        values = [[mean_of(layers[n], key) if n in layers else None for layers in epochs.values()] for n in names]
        marks = [
            (row, column)
            for row, name in enumerate(names)
            for column, layers in enumerate(epochs.values())
            if name in layers and mean_of(layers[name], "selected") > 0.5
        ]
        note = (floor, "noise floor") if math.isfinite(floor) and floor > 0 else None
        panels.append(
            heat_panel(f"{label}{title}", names, list(map(str, epochs)), values, marks, "measured epoch", note=note)
        )
    return panels


def draw_heat(row, column):
    """The heat maps of a column's shown runs. None if nothing was measured in them."""
    runs, what = shown_runs(row, column)
    panels = heat_panels(runs)
    if not panels:
        return None
    epochs = by_epoch(runs)
    selected = any(line["selected"] for run in runs for line in run.layers)
    caption = (
        f"Means over the runs: {what}. At the noise floor, 1/√m for the m steps of a window, a layer's gradients are "
        "no steadier than noise."
    )
    alt = f"Heat maps of G and G' of the {len(next(iter(epochs.values())))} layers of {row.label} ({what}) at the "
    alt += f"{len(epochs)} measured epochs {', '.join(map(str, list(epochs)[:20]))}."
    title = f"{row.label}: G and G' per layer and epoch, {COLUMNS[column]}"
    name = file_name(row.dataset, row.label, "heat", column)
    return Figure(name, title, caption, alt, panels, [SELECTED] if selected else [])


def draw_heats(row):
    return [figure for column in row.columns if (figure := draw_heat(row, column))]


# ---- G and G' over layers ----


def draw_measures(row):
    """G and G' of every layer at each analyzed epoch. None if nothing was measured, or at more than MOST_PANELS
    epochs."""
    column = next((column for column in MEASURED if column in row.columns), None)
    if column is None:
        return None
    runs, what = shown_runs(row, column)
    epochs = by_epoch(runs, windows=False)
    if not 1 <= len(epochs) <= MOST_PANELS:
        return None
    panels = measures_over_layers(epochs, column)
    kinds = {lines[0]["type"] for layers in epochs.values() for lines in layers.values()}
    legend = [Entry("marker", *TYPES[kind], kind) for kind in TYPES if kind in kinds]
    legend += [Entry("line", "amplified", "dotted", "noise floor"), Entry("marker", "amplified", "ring", "selected")]
    floors = sorted({f"{lines[0]['noise_floor']:.3g}" for layers in epochs.values() for lines in layers.values()})
    caption = (
        f"Means over the runs: {what}. Bars reach from the lowest to the highest seed. Rings: selected in more than "
        "half of these runs, by the measure they selected by. At the noise floor, 1/√m for m steps, a layer's "
        "gradients are no steadier than noise."
    )
    alt = f"G and G' of the {len(next(iter(epochs.values())))} layers of {row.label} at the analyzed epochs "
    alt += f"{', '.join(map(str, epochs))}; noise floor {' and '.join(floors)}."
    title = f"{row.label}: G and G' of each layer"
    return Figure(file_name(row.dataset, row.label, "measures"), title, caption, alt, panels, legend)


def measures_over_layers(epochs, column):
    """One panel per epoch and measure, with layers on the horizontal axis. The panels of a measure have one scale."""
    panels = []
    for epoch, layers in epochs.items():
        for key, label in MEASURES:
            highest = [line[key] for others in epochs.values() for lines in others.values() for line in lines]
            top = report_svg.finite_range([*highest, 0.0])[1]
            panels.append(measure_panel(f"{label} after epoch {epoch}", layers, key, top, is_measure_of(column, key)))
    return panels


def measure_panel(title, layers, key, top, selects):
    names = list(layers)
    longest = max(report_svg.text_width(name, 10) for name in names)
    bottom = int(min(longest, 130)) + 20
    panel = Panel(440, 230 + bottom, (-0.7, len(names) - 0.3), (0, top), bottom=bottom)
    panel.axes(title, "", "", [], report_svg.nice_ticks(0, top))
    for index, name in zip(*report_svg.thinned(names, MOST_NAMES_ACROSS)):
        panel.text(panel.sx(index) + 3, panel.bottom + 8, report_svg.shortened(name, 130), "end", "quiet", 10, turn=-90)
    for kind, (color, shape) in TYPES.items():
        places = [place for place, name in enumerate(names) if layers[name][0]["type"] == kind]
        panel.line(places, [mean_of(layers[names[place]], key) for place in places], color, width=0.9, opacity=0.7)
        for place in places:
            lines = layers[names[place]]
            values = [line[key] for line in lines]
            if len(values) > 1 and all(map(math.isfinite, values)):
                panel.line([place, place], [min(values), max(values)], color, width=1)
            panel.mark(place, mean_of(lines, key), shape, color, size=2 if len(names) > MOST_NAMES_ACROSS else 3)
            if selects and mean_of(lines, "selected") > 0.5:
                panel.mark(place, mean_of(lines, key), "ring", "amplified", size=3)
    floor = report_statistics.mean([lines[0]["noise_floor"] for lines in layers.values()])
    panel.line(panel.x, (floor, floor), "amplified", "dotted", 1.6)
    return panel


# ---- Selected layers ----


def selection_shares(choices, epochs):
    """(layers, thresholds, {(layer, threshold): fraction of the runs' selections at these epochs that contain the
    layer})."""
    shares, names = {}, {}
    for threshold, runs in choices.items():
        picked = {}
        for run in runs:
            for line in run.layers:
                if line["epoch"] in epochs:
                    names.setdefault(line["layer"])
                    picked.setdefault(line["layer"], []).append(line["selected"])
        shares |= {(name, threshold): report_statistics.mean(flags) for name, flags in picked.items()}
    return list(names), list(choices), shares


def selecting_epochs(runs):
    """The epochs after which layers were selected. A measured window that is not a selection has no selected layer."""
    return sorted({line["epoch"] for run in runs for line in run.layers if line["selected"]})


def draw_selections(row):
    """Figures of layers over thresholds: one per analyzed epoch, or one for all of them if there are more than
    MOST_PANELS. Only of columns that were run at several thresholds."""
    columns = [column for column in MEASURED if len(row.columns.get(column, ())) > 1]
    epochs = selecting_epochs([run for column in columns for run in row.runs(column)])
    if len(epochs) > MOST_PANELS:
        return [draw_selection(row, columns, epochs)]
    return [draw_selection(row, columns, [epoch]) for epoch in epochs]


def draw_selection(row, columns, epochs):
    grids = {column: selection_shares(row.columns[column], epochs) for column in columns}
    panels = []
    for column, (names, thresholds, shares) in grids.items():
        values = [[shares.get((name, threshold), 0.0) for threshold in thresholds] for name in names]
        labels = [f"{threshold:g}" for threshold in thresholds]
        panels.append(heat_panel(COLUMNS[column], names, labels, values, (), "threshold", limits=(0.0, 1.0)))
    names = next(iter(grids.values()))[0]
    when = f"after epoch {epochs[0]}" if len(epochs) == 1 else f"over all {len(epochs)} selections"
    caption = f"Share of {'seeds' if len(epochs) == 1 else 'seeds and selections'} in which a layer was selected."
    title = f"{row.label}: layers selected {when}"
    alt = f"Heat map of which of the {len(names)} layers of {row.label} were selected {when} at which threshold. "
    alt += "; ".join(most_selected(grids[column], COLUMNS[column]) for column in columns) + "."
    name = file_name(row.dataset, row.label, "selected", f"epoch-{epochs[0]}" if len(epochs) == 1 else "all")
    return Figure(name, title, caption, alt, panels, [])


def most_selected(grid, label):
    """A phrase with the three layers that were selected most often over all thresholds."""
    names, thresholds, shares = grid
    totals = {name: sum(shares.get((name, threshold), 0) for threshold in thresholds) for name in names}
    first = sorted((name for name in names if totals[name] > 0), key=lambda name: -totals[name])[:3]
    return f"{label}: most often {', '.join(first)}" if first else f"{label}: none"

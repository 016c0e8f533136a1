# SPDX-License-Identifier: MIT
"""The report's figures over layers: the measures, and which layers were selected. Needs matplotlib. Layers are in the
network's order, which is the order of layers.jsonl."""

import math

import report_statistics
import report_tables
from report_drawing import SELECTED, drawable, file_name, finish, legend_below, plt, thinned
from report_tables import COLUMNS, MEASURED

TYPES = {"conv": ("#0057b7", "o"), "bn": ("#e69f00", "s"), "linear": ("#000000", "D"), "relu": ("#009e73", "^")}
MEASURES = (("g", "G"), ("g_prime", "G'"))
# Maximum number of layer names on an axis. If there are more layers, only every n-th has a name.
MOST_NAMES_ACROSS = 34
MOST_NAMES_DOWN = 56
MOST_PANELS = 3  # up to this number, each analyzed epoch has its own panel; more epochs (reselection) share one


def by_epoch(runs):
    """{analyzed epoch: {layer: its lines in the runs}} with epochs and layers in order. Contains only layers that were
    measured (layers without weights may have no measure)."""
    result = {}
    for run in runs:
        for line in (line for line in run.layers if None not in (line["g"], line["g_prime"])):
            result.setdefault(line["epoch"], {}).setdefault(line["layer"], []).append(line)
    return dict(sorted(result.items()))


def mean_of(lines, key):
    return report_statistics.mean([line[key] for line in lines])


# ---- G and G' ----


def draw_measures(row):
    """G and G' of every layer at each analyzed epoch. None if nothing was measured."""
    column = next((column for column in MEASURED if column in row.columns), None)
    if column is None:
        return None
    choice = report_tables.shown_choice(row, column)
    runs = row.columns[column][choice]
    epochs = by_epoch(runs)
    if not epochs:
        return None
    which = f"{COLUMNS[column]}, threshold {choice:g}, {len(runs)} {'seed' if len(runs) == 1 else 'seeds'}"
    if len(epochs) <= MOST_PANELS:
        figure, caption = measures_over_layers(epochs, column)
    else:
        figure, caption = measures_over_epochs(epochs)
    floors = sorted({f"{lines[0]['noise_floor']:.3g}" for layers in epochs.values() for lines in layers.values()})
    caption = f"Means over the seeds of the runs at {which}. " + caption
    alt = f"G and G' of the {len(next(iter(epochs.values())))} layers of {row.label} at the analyzed epochs "
    alt += f"{', '.join(map(str, epochs))}; noise floor {' and '.join(floors)}."
    title = f"{row.label}: G and G' of each layer"
    return finish(figure, file_name(row.dataset, row.label, "measures"), title, caption, alt)


def measures_over_layers(epochs, column):
    """One panel per measure and epoch, with layers on the horizontal axis."""
    size = (max(5.6 * len(epochs), 8), 7.2)
    figure, axes = plt.subplots(
        2, len(epochs), figsize=size, sharex="col", sharey="row", squeeze=False, layout="constrained"
    )
    for across, (epoch, layers) in enumerate(epochs.items()):
        names = list(layers)
        for down, (key, label) in enumerate(MEASURES):
            panel = axes[down][across]
            for kind, (color, marker) in TYPES.items():
                places = [place for place, name in enumerate(names) if layers[name][0]["type"] == kind]
                if not places:
                    continue
                lines = [layers[names[place]] for place in places]
                means = drawable([mean_of(line, key) for line in lines])
                # The rounded mean of equal values can be beside them, but a bar has no negative length.
                spread = [
                    drawable([max(m - min(v[key] for v in line), 0) for m, line in zip(means, lines)]),
                    drawable([max(max(v[key] for v in line) - m, 0) for m, line in zip(means, lines)]),
                ]
                small = len(names) > MOST_NAMES_ACROSS
                panel.errorbar(
                    places,
                    means,
                    spread,
                    color=color,
                    marker=marker,
                    markersize=3 if small else 4.5,
                    linewidth=0.7,
                    elinewidth=0.7,
                    label=kind,
                )
            if column.startswith("g-prime") == (key == "g_prime"):
                mark_selected(panel, names, layers, key)
            floor = report_statistics.mean([lines[0]["noise_floor"] for lines in layers.values()])
            panel.axhline(*drawable([floor]), color="#b2182b", linestyle=":", linewidth=1.6, label="noise floor")
            panel.set_ylabel(f"{label} (0 to 1)")
            panel.set_title(f"{label} after epoch {epoch}")
            panel.tick_params(labelleft=True)
        axes[1][across].set_xticks(*thinned(names, MOST_NAMES_ACROSS), rotation=90, fontsize=7.5)
        axes[1][across].set_xlabel("layer")
    for row in axes:
        row[0].set_ylim(bottom=0)  # after the whole row is drawn, because it fixes the upper limit too
    legend_below(figure, axes.flat)
    return figure, (
        "Bars reach from the lowest to the highest seed. Rings: selected in more than half of these runs, "
        "by the measure they selected by. At the noise floor, 1/√m for m steps, a layer's gradients are no "
        "steadier than noise."
    )


def mark_selected(panel, names, layers, key):
    chosen = [p for p, name in enumerate(names) if mean_of(layers[name], "selected") > 0.5]
    heights = drawable([mean_of(layers[names[place]], key) for place in chosen])
    panel.plot(chosen, heights, "o", markersize=10, markerfacecolor="none", color=SELECTED, label="selected")


def over_noise_floor(lines, key):
    floor = lines[0]["noise_floor"]
    return mean_of(lines, key) / floor if floor else math.nan


def measures_over_epochs(epochs):
    """One panel per measure, with analyzed epochs on the horizontal and layers on the vertical axis."""
    names = list(next(iter(epochs.values())))
    height = panel_height(len(names))
    figure, axes = plt.subplots(1, 2, figsize=(11, height + 1.2), sharey=True, layout="constrained")
    for panel, (key, label) in zip(axes, MEASURES):
        values = [
            drawable([over_noise_floor(layers[name], key) for layers in epochs.values()])
            for name in names
        ]
        image = panel.imshow(values, aspect="auto", interpolation="nearest", cmap="cividis")
        figure.colorbar(image, ax=panel, label=f"{label} / noise floor", aspect=40, pad=0.02)
        panel.set_xticks(*thinned(list(epochs), 12))
        panel.set_xlabel("analyzed epoch")
        panel.set_title(label)
        panel.grid(False)
    axes[0].set_yticks(*thinned(names, MOST_NAMES_DOWN), fontsize=8)
    axes[0].set_ylabel("layer")
    return figure, "In multiples of the noise floor, 1/√m for the m steps in the sums: at 1 no steadier than noise."


def panel_height(layers):
    """The height in inches of a panel with this number of layers on its vertical axis."""
    return min(max(0.16 * layers, 2.4), 10.5)


# ---- Selected layers ----


def selection_shares(choices, epoch):
    """(layers, thresholds, {(layer, threshold): fraction of the runs' selections that contain the layer}). For the
    selections at one analyzed epoch, or at all of them if `epoch` is None."""
    shares, names = {}, {}
    for threshold, runs in choices.items():
        picked = {}
        for run in runs:
            for line in run.layers:
                if epoch in (None, line["epoch"]):
                    names.setdefault(line["layer"])
                    picked.setdefault(line["layer"], []).append(line["selected"])
        shares |= {(name, threshold): report_statistics.mean(flags) for name, flags in picked.items()}
    return list(names), list(choices), shares


def draw_selections(row):
    """Figures of layers over thresholds: one per analyzed epoch, or one for all of them if there are more than
    MOST_PANELS."""
    columns = [column for column in MEASURED if column in row.columns]
    epochs = list(by_epoch([run for column in columns for run in row.runs(column)]))
    if len(epochs) > MOST_PANELS:
        return [draw_selection(row, columns, None, len(epochs))]
    return [draw_selection(row, columns, epoch, 1) for epoch in epochs]


def draw_selection(row, columns, epoch, count):
    grids = {column: selection_shares(row.columns[column], epoch) for column in columns}
    names = next(iter(grids.values()))[0]
    most = max(len(thresholds) for _, thresholds, _ in grids.values())
    size = (2.2 + len(columns) * min(max(0.3 * most, 2.1), 2.7), panel_height(len(names)) + 1.3)
    figure, axes = plt.subplots(1, len(columns), figsize=size, sharey=True, squeeze=False, layout="constrained")
    for panel, (column, (_, thresholds, shares)) in zip(axes[0], grids.items()):
        values = [[shares.get((name, threshold), 0.0) for threshold in thresholds] for name in names]
        image = panel.imshow(values, aspect="auto", interpolation="nearest", cmap="Blues", vmin=0, vmax=1)
        places, shown = thinned(thresholds, 10)
        panel.set_xticks(places, [f"{threshold:g}" for threshold in shown])
        panel.set_title(COLUMNS[column])
        panel.set_xlabel("threshold")
        panel.grid(False)
        panel.set_xticks([place + 0.5 for place in range(len(thresholds) - 1)], minor=True)
        if len(names) <= MOST_NAMES_DOWN:
            panel.set_yticks([place + 0.5 for place in range(len(names) - 1)], minor=True)
        panel.grid(True, which="minor", color="#d5d5d5", linewidth=0.5)
        panel.tick_params(which="minor", length=0)
    axes[0][0].set_yticks(*thinned(names, MOST_NAMES_DOWN), fontsize=8 if len(names) > 40 else 8.5)
    axes[0][0].set_ylabel("layer")
    what = "of seeds" if epoch else "of seeds and selections"
    figure.colorbar(image, ax=axes[0].tolist(), label=f"selected, share {what}", shrink=min(1, 4 / size[1]), pad=0.01)
    when = f"after epoch {epoch}" if epoch else f"over all {count} selections"
    caption = f"Dark: selected for every seed{'' if epoch else ' each time'}; pale: never."
    if len(names) > MOST_NAMES_DOWN:
        caption += f" Of the {len(names)} layers, one in {thinned(names, MOST_NAMES_DOWN)[0][1]} is named."
    title = f"{row.label}: layers selected {when}"
    alt = f"Heat map of which of the {len(names)} layers of {row.label} were selected {when} at which threshold. "
    alt += "; ".join(most_selected(grids[column], COLUMNS[column]) for column in columns) + "."
    name = file_name(row.dataset, row.label, "selected", f"epoch-{epoch}" if epoch else "all")
    return finish(figure, name, title, caption, alt)


def most_selected(grid, label):
    """A phrase with the three layers that were selected most often over all thresholds."""
    names, thresholds, shares = grid
    totals = {name: sum(shares.get((name, threshold), 0) for threshold in thresholds) for name in names}
    first = sorted((name for name in names if totals[name] > 0), key=lambda name: -totals[name])[:3]
    return f"{label}: most often {', '.join(first)}" if first else f"{label}: none"

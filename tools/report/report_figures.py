# SPDX-License-Identifier: MIT
"""The report's figures over epochs and thresholds."""

import math

import report_statistics
import report_svg
import report_tables
import report_text
from report_svg import Entry, Figure, Panel, file_name
from report_tables import COLUMNS, MEASURED

WIDTH, HEIGHT = 440, 290  # of a panel
PHASES = (Entry("band", "", "", "amplified epochs"), Entry("hatch", "", "", "analyzed epochs"))

# ---- Learning rate and phases ----


def blocks(flags):
    """The (first, last) epoch of each interval of consecutive true flags. Epochs count from 1."""
    result = []
    for epoch, flag in enumerate(flags, 1):
        if flag and result and result[-1][1] == epoch - 1:
            result[-1] = (result[-1][0], epoch)
        elif flag:
            result.append((epoch, epoch))
    return result


def shade_phases(panel, epochs):
    """Draws bands behind the epochs in which gradients were amplified or analyzed. Returns their legend."""
    kinds = [[epoch[key] for epoch in epochs] for key in ("amplified", "analyzed")]
    for flags, draw in zip(kinds, (panel.band, panel.hatch)):
        for first, last in blocks(flags):
            draw(first - 0.5, last + 0.5)
    return [entry for entry, flags in zip(PHASES, kinds) if any(flags)]


def schedules(rows):
    """[(run, labels of rows)] with one entry per different schedule of learning rates and phases. A row contributes the
    runs of its first amplified column, or its originals if it has none."""
    found = {}
    for row in rows:
        columns = [c for c in row.columns if c in MEASURED] or [c for c in row.columns if c == "random"] or ["original"]
        for run in row.runs(columns[0]):
            key = (run.learning_rates, tuple((e["analyzed"], e["amplified"]) for e in run.epochs))
            found.setdefault(key, (run, {}))[1].setdefault(row.label)
    return [(run, list(labels)) for run, labels in found.values()]


def spans_text(flags):
    return ", ".join(f"{a} to {b}" if b > a else str(a) for a, b in blocks(flags)) or "none"


def rate_panel(runs, styles, width=700, height=220):
    """The learning rate of each run over epochs. A logarithmic axis, unless a rate is 0."""
    rates = [run.learning_rates for run in runs]
    positive = [rate for line in rates for rate in line if rate > 0]
    log = bool(positive) and all(rate > 0 for line in rates for rate in line)
    low, high = (min(positive) / 1.6, max(positive) * 1.6) if log else report_svg.finite_range(sum(rates, ()))
    count = max(map(len, rates))
    panel = Panel(width, height, (0.5, count + 0.5), (low, high), left=62, log=log)
    different = sorted({rate for line in rates for rate in line})
    if len(different) > 6:
        decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1) if log else ()
        different = [10.0**power for power in decades if low <= 10.0**power <= high]
        different = different or report_svg.nice_ticks(low, high, 5)
    if len(runs) == 1:
        shade_phases(panel, runs[0].epochs)
    panel.axes("Learning rate", "epoch", "", report_svg.epoch_ticks(count, 10), different)
    for line, (color, dash) in zip(rates, styles):
        xs = [epoch + side for epoch in range(1, len(line) + 1) for side in (-0.5, 0.5)]
        panel.line(xs, [rate for rate in line for _ in range(2)], color, dash)
    return panel


def draw_schedule(dataset, run, labels, place):
    rates = run.learning_rates
    panel = rate_panel([run], [("ink", "solid")])
    phases, analyzed = (spans_text([epoch[key] for epoch in run.epochs]) for key in ("amplified", "analyzed"))
    caption = f"Of {', '.join(labels)} on {dataset}. Amplified epochs: {phases}. Analyzed epochs: {analyzed}."
    alt = (
        f"Learning rate over {len(rates)} epochs, from {rates[0]:g} to {rates[-1]:g}. Amplified epochs: {phases}; "
        f"analyzed epochs: {analyzed}."
    )
    name = file_name(dataset, "schedule", place)
    used = [entry for entry, key in zip(PHASES, ("amplified", "analyzed")) if any(e[key] for e in run.epochs)]
    return Figure(name, "Learning rate and phases", caption, alt, [panel], used)


# ---- Accuracy over thresholds ----


def threshold_panel(row, column, limits):
    cells = report_tables.every_choice(row, column)
    thresholds, means = [cell.choice for cell in cells], [cell.estimate.mean for cell in cells]
    panel = Panel(WIDTH, HEIGHT, report_svg.finite_range(thresholds), limits)
    ticks = report_svg.thinned(thresholds, 8)[1]
    heights = report_svg.nice_ticks(*limits)
    panel.axes(COLUMNS[column], "threshold (standard deviations)", "test accuracy (%)", ticks, heights)
    for member, color, dash in (("original", "original", "dashed"), ("random", "random", "dotted")):
        if member in row.columns:
            mean = report_tables.best_on_test(row, member).estimate.mean
            panel.line(panel.x, (mean, mean), color, dash)
    for run in row.runs(column):
        panel.mark(run.choice, run.test_accuracy, "circle", "amplified", hollow=True, size=2.6)
    panel.line(thresholds, means, "amplified")
    best, chosen = report_tables.best_on_test(row, column), report_tables.best_by_validation(row, column)
    panel.mark(best.choice, best.estimate.mean, "ring", "ink")
    if chosen:
        panel.mark(chosen.choice, chosen.estimate.mean, "diamond", "ink", hollow=True, size=5)
    return panel


def draw_thresholds(row):
    """Test accuracy over threshold, with one panel per measure and case that was run at several thresholds. None if
    there is none."""
    columns = [column for column in MEASURED if len(row.columns.get(column, ())) > 1]
    if not columns:
        return None
    shown = [run for column in (*columns, "original", "random") for run in row.runs(column)]
    limits = report_svg.finite_range([run.test_accuracy for run in shown])
    panels = [threshold_panel(row, column, limits) for column in columns]
    legend = [
        Entry("marker", "amplified", "circle", "amplified: one seed", hollow=True),
        Entry("line", "amplified", "solid", "amplified: mean"),
        *([Entry("line", "original", "dashed", "original: mean")] if row.original else []),
        *([Entry("line", "random", "dotted", "random selection: mean")] if "random" in row.columns else []),
        Entry("marker", "ink", "ring", report_text.BIASED if row.has_choices else report_text.ONLY),
        *([Entry("marker", "ink", "diamond", "chosen on held-out images", True)] if row.has_validation else []),
    ]
    words = []
    for column in columns:
        means = [cell.estimate.mean for cell in report_tables.every_choice(row, column)]
        best = report_tables.best_on_test(row, column)
        words.append(f"{COLUMNS[column]}: means from {min(means):.2f}% to {max(means):.2f}%, best {best.choice:g}")
    base = ""
    if row.original:
        base = f" The original's mean: {report_statistics.mean([run.test_accuracy for run in row.original]):.2f}%."
    caption = "Test accuracy after the last epoch over the threshold on the normalized measure."
    alt = f"Test accuracy of {row.label} over threshold. " + "; ".join(words) + "." + base
    title = f"{row.label}: test accuracy over threshold"
    return Figure(file_name(row.dataset, row.label, "thresholds"), title, caption, alt, panels, legend)


# ---- Accuracy and loss over epochs ----


def mean_course(runs, key):
    """The mean over the runs at each epoch: of an accuracy in %, of a loss as it is. NaN if it is missing or not finite
    in one of them."""
    scale = 100 if key.endswith("accuracy") else 1
    courses = [[math.nan if epoch.get(key) is None else scale * epoch[key] for epoch in run.epochs] for run in runs]
    return [report_statistics.mean(values) for values in zip(*courses)]


def lowest_worth_showing(runs):
    """The lowest accuracy of the runs, in %, without the first tenth of their epochs. The accuracies at the beginning
    are low and similar in all runs. If the axis contained them, the differences would be too small to see."""
    late = [epoch for run in runs for epoch in run.epochs[len(run.epochs) // 10 :]]
    accuracies = [epoch[key] for epoch in late for key in ("train_accuracy", "test_accuracy")]
    return 100 * min(filter(math.isfinite, accuracies))  # the last test accuracy of a run is finite


def course_limits(kind, runs):
    """The range of the axis for "accuracy" or "loss"."""
    if kind == "accuracy":
        shown = [100 * epoch[f"{part}_accuracy"] for run in runs for epoch in run.epochs for part in ("train", "test")]
        return max(lowest_worth_showing(runs) - 3, 0), min(report_svg.finite_range(shown)[1], 101)
    late = [epoch for run in runs for epoch in run.epochs[len(run.epochs) // 10 :]]
    return report_svg.finite_range([epoch[key] for epoch in late for key in ("train_loss", "test_loss")])


# (name, style of the test curve, style of the training curve)
GROUPS = (
    ("original", ("original", "dashed"), ("random", "dotted")),
    ("amplified", ("amplified", "solid"), ("train", "dashdot")),
)


def course_panel(row, column, kind, limits):
    """Train and test accuracy, or loss, of a column's shown runs and of the originals with common seeds."""
    runs, originals = (row.original, []) if column == "original" else report_tables.common_seeds(row, column)
    count = max(len(run.epochs) for run in [*runs, *originals])
    panel = Panel(WIDTH, HEIGHT, (0.5, count + 0.5), limits)
    shade_phases(panel, runs[0].epochs)
    choice = report_tables.choice_name(report_tables.shown_choice(row, column))
    title = COLUMNS[column] + (f", {'threshold ' if column in MEASURED else ''}{choice}" if choice else "")
    label = "accuracy (%)" if kind == "accuracy" else "loss"
    panel.axes(title, "epoch", label, report_svg.epoch_ticks(count), report_svg.nice_ticks(*limits))
    members = [originals, runs] if column != "original" else [runs, []]
    for (_, test, train), group in zip(GROUPS, members):
        if not group:
            continue
        epochs = range(1, len(group[0].epochs) + 1)
        panel.line(epochs, mean_course(group, f"train_{kind}"), *train, 1.6)
        panel.line(epochs, mean_course(group, f"test_{kind}"), *test)
    return panel


def course_legend(row, columns):
    shown = (row.original, any(column != "original" for column in columns))
    entries = [
        Entry("line", *style, f"{name}: {part}")
        for (name, *styles), is_shown in zip(GROUPS, shown)
        for style, part in zip(styles, ("test", "train"))
        if is_shown
    ]
    epochs = [epoch for column in columns for run in row.runs(column) for epoch in run.epochs]
    return entries + [e for e, key in zip(PHASES, ("amplified", "analyzed")) if any(epoch[key] for epoch in epochs)]


def draw_courses(row, kind):
    """Train and test accuracy, or loss, over epochs, with one panel per column beside the original. None if no run has
    the loss."""
    columns = [column for column in row.columns if column != "original"] or ["original"]
    shown = list(row.original)
    for column in columns:
        shown += row.columns[column][report_tables.shown_choice(row, column)]
    if kind == "loss" and not any(epoch["test_loss"] is not None for run in shown for epoch in run.epochs):
        return None
    limits = course_limits(kind, shown)
    panels = [course_panel(row, column, kind, limits) for column in columns]
    how = "at the threshold chosen on held-out images" if row.has_validation else "at the threshold best on test"
    caption = (
        f"Means over the seeds that both have; amplified {how if row.has_choices else report_text.ONLY}. "
        f"Training {kind} is of the images as they were trained on. The first tenth of the epochs may lie outside the axis."
    )
    last = []
    for column in columns:
        value = mean_course(row.columns[column][report_tables.shown_choice(row, column)], f"test_{kind}")[-1]
        last.append(f"{COLUMNS[column]} {value:.2f}%" if kind == "accuracy" else f"{COLUMNS[column]} {value:.3f}")
    alt = f"Train and test {kind} of {row.label} over epochs, amplified and original. Test {kind} at the end: "
    title = f"{row.label}: {kind} over epochs"
    name = file_name(row.dataset, row.label, "epochs" if kind == "accuracy" else "losses")
    return Figure(name, title, caption, alt + ", ".join(last) + ".", panels, course_legend(row, columns))

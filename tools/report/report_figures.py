# SPDX-License-Identifier: MIT
"""The report's figures over epochs and thresholds. Needs matplotlib."""

import math

import report_statistics
import report_tables
from matplotlib.ticker import MaxNLocator
from report_drawing import (
    AMPLIFIED,
    AMPLIFIED_BAND,
    AMPLIFIED_TRAIN,
    ANALYSED_BAND,
    ORIGINAL,
    ORIGINAL_TRAIN,
    RANDOM,
    drawable,
    file_name,
    finish,
    legend_below,
    measured_panels,
    plt,
    thinned,
)
from report_tables import COLUMNS, MEASURED

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


def shade_phases(panel, epochs, labels=True):
    """Draws bands behind the epochs in which gradients were amplified or analyzed."""
    for key, style in (
        ("amplified", {"facecolor": AMPLIFIED_BAND, "label": "amplified epochs" if labels else None}),
        (
            "analyzed",
            {
                "facecolor": "none",
                "edgecolor": ANALYSED_BAND,
                "hatch": "////",
                "linewidth": 0,
                "label": "analyzed epochs" if labels else None,
            },
        ),
    ):
        for first, last in blocks([epoch[key] for epoch in epochs]):
            panel.axvspan(first - 0.5, last + 0.5, zorder=0, **style)


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


def draw_schedule(dataset, run, labels, place):
    figure, panel = plt.subplots(figsize=(8.5, 2.9), layout="constrained")
    rates = run.learning_rates
    edges = [epoch + 0.5 for epoch in range(len(rates) + 1)]
    shade_phases(panel, run.epochs)
    panel.stairs(rates, edges, baseline=None, color="black", linewidth=2, label="learning rate")
    panel.set_yscale("log")
    different = sorted(set(rates))
    if len(different) <= 6:
        panel.set_yticks(different, [f"{rate:g}" for rate in different])
        panel.set_yticks([], minor=True)
    panel.set_ylim(min(rates) / 1.6, max(rates) * 1.6)
    panel.set_xlim(0.5, len(rates) + 0.5)
    panel.xaxis.set_major_locator(MaxNLocator(10, integer=True))
    panel.set_xlabel("epoch")
    panel.set_ylabel("learning rate")
    legend_below(figure, [panel])
    spans = blocks([epoch["amplified"] for epoch in run.epochs])
    phases = ", ".join(f"{first} to {last}" if last > first else str(first) for first, last in spans) or "none"
    analyzed = ", ".join(str(e["epoch"]) for e in run.epochs if e["analyzed"]) or "none"
    caption = f"Of {', '.join(labels)} on {dataset}. Amplified epochs: {phases}. Analyzed epochs: {analyzed}."
    alt = (
        f"Learning rate over {len(rates)} epochs, from {rates[0]:g} to {rates[-1]:g}. Amplified epochs: {phases}; "
        f"analyzed epochs: {analyzed}."
    )
    return finish(figure, file_name(dataset, "schedule", place), "Learning rate and phases", caption, alt)


# ---- Accuracy over thresholds ----


def draw_reference(panel, row):
    """Draws horizontal lines: the mean and sample standard deviation of the original, and the mean of random
    selection."""
    if row.original:
        base = report_statistics.estimate([run.test_accuracy for run in row.original])
        if base.deviation is not None:
            low, high = base.mean - base.deviation, base.mean + base.deviation
            panel.axhspan(low, high, color=ORIGINAL, alpha=0.15, linewidth=0, label="original: ± sample deviation")
        panel.axhline(base.mean, color=ORIGINAL, linewidth=2, label=f"original: mean (n = {base.n})")
    if "random" in row.columns:
        cell = report_tables.best_on_test(row, "random")
        panel.axhline(
            cell.estimate.mean,
            color=RANDOM,
            linewidth=1.2,
            linestyle="--",
            label=f"random selection: mean (n = {cell.estimate.n})",
        )


def draw_thresholds(row):
    """Test accuracy over threshold, with one panel per measure and case. None if none was run."""
    figure, panels = measured_panels(row)
    words = []
    for column, panel in panels.items():
        draw_reference(panel, row)
        cells = report_tables.every_choice(row, column)
        thresholds, means = [cell.choice for cell in cells], [cell.estimate.mean for cell in cells]
        points = [(run.choice, run.test_accuracy) for run in row.runs(column)]
        panel.plot(
            *zip(*points), "o", color=AMPLIFIED, markersize=4, alpha=0.45, markeredgewidth=0, label="amplified: a seed"
        )
        panel.plot(thresholds, means, color=AMPLIFIED, linewidth=2, label="amplified: mean over seeds")
        best, by_validation = report_tables.best_on_test(row, column), report_tables.best_by_validation(row, column)
        panel.plot(
            [best.choice],
            [best.estimate.mean],
            "o",
            markersize=11,
            markerfacecolor="none",
            markeredgecolor="black",
            label="best on test (biased)",
        )
        if by_validation:
            panel.plot(
                [by_validation.choice],
                [by_validation.estimate.mean],
                "D",
                markersize=7,
                color="black",
                markerfacecolor="none",
                label="chosen by validation",
            )
        panel.set_title(COLUMNS[column])
        shown = thinned(thresholds, 10)[1]
        panel.set_xticks(shown, [f"{threshold:g}" for threshold in shown])
        panel.set_xlabel("threshold (deviations)")
        panel.set_ylabel("test accuracy (%)")
        panel.margins(x=0.06, y=0.1)
        words.append(f"{COLUMNS[column]}: means from {min(means):.2f}% to {max(means):.2f}%, best {best.choice:g}")
    if not figure:
        return None
    legend_below(figure, panels.values())
    base = ""
    if row.original:
        base = f" The original's mean: {report_statistics.mean([run.test_accuracy for run in row.original]):.2f}%."
    caption = (
        "Test accuracy after the last epoch over the threshold on the normalized measure. Red: amplified, a point a "
        "seed, the line their mean. Blue: the original's mean and sample deviation."
    )
    alt = f"Test accuracy of {row.label} over threshold. " + "; ".join(words) + "." + base
    title = f"{row.label}: test accuracy over threshold"
    return finish(figure, file_name(row.dataset, row.label, "thresholds"), title, caption, alt)


# ---- Accuracy over epochs ----


def mean_course(runs, key):
    """The accuracy of each epoch, in %, as the mean over the runs. NaN if it is not finite in one of them."""
    courses = [[100 * epoch[key] for epoch in run.epochs] for run in runs]
    return drawable([report_statistics.mean(values) for values in zip(*courses)])


def lowest_worth_showing(runs):
    """The lowest accuracy of the runs, in %, without the first tenth of their epochs. The accuracies at the beginning
    are low and similar in all runs. If the axis contained them, the differences would be too small to see."""
    late = [epoch for run in runs for epoch in run.epochs[len(run.epochs) // 10 :]]
    accuracies = [epoch[key] for epoch in late for key in ("train_accuracy", "test_accuracy")]
    return 100 * min(filter(math.isfinite, accuracies))  # the last test accuracy of a run is finite


def draw_courses(row):
    """Train and test accuracy over epochs, with one panel per measure and case. None if none was run."""
    figure, panels = measured_panels(row)
    shown = list(row.original)
    for column, panel in panels.items():
        choice = report_tables.shown_choice(row, column)
        shown += row.columns[column][choice]
        runs = row.columns[column][choice]
        epochs = range(1, len(runs[0].epochs) + 1)
        shade_phases(panel, runs[0].epochs)
        for run in row.original:
            panel.plot(epochs, mean_course([run], "test_accuracy"), color=ORIGINAL, alpha=0.25, linewidth=0.8)
        for members, name, train, test in (
            (row.original, "original", ORIGINAL_TRAIN, ORIGINAL),
            (runs, "amplified", AMPLIFIED_TRAIN, AMPLIFIED),
        ):
            if members:
                style = {"linewidth": 1.6 if len(epochs) <= 60 else 1.1}
                panel.plot(
                    epochs, mean_course(members, "train_accuracy"), "--", color=train, label=f"{name}: train", **style
                )
                panel.plot(epochs, mean_course(members, "test_accuracy"), color=test, label=f"{name}: test", **style)
        panel.set_title(f"{COLUMNS[column]}, threshold {choice:g}")
        panel.set_xlim(0.5, len(epochs) + 0.5)
        panel.xaxis.set_major_locator(MaxNLocator(8, integer=True))
        panel.set_xlabel("epoch")
        panel.set_ylabel("accuracy (%)")
    if not figure:
        return None
    lowest = lowest_worth_showing(shown)
    next(iter(panels.values())).set_ylim(max(lowest - 3, 0), None)
    legend_below(figure, panels.values())
    how = "chosen by validation" if row.has_validation else "best on test"
    caption = (
        f"Means over seeds; pale blue: test accuracy of each original. Amplified at the threshold {how}. Train "
        "accuracy is of the images as they were trained on. The first tenth of the epochs may lie below the "
        "axis."
    )
    last = [
        f"{COLUMNS[c]} {mean_course(row.columns[c][report_tables.shown_choice(row, c)], 'test_accuracy')[-1]:.2f}%"
        for c in panels
    ]
    alt = f"Train and test accuracy of {row.label} over epochs, amplified and original. Test accuracy at the end: "
    title = f"{row.label}: accuracy over epochs"
    return finish(figure, file_name(row.dataset, row.label, "epochs"), title, caption, alt + ", ".join(last) + ".")

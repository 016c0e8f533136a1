# SPDX-License-Identifier: MIT
"""The comparison of two runs: their curves in one figure, what they ended with, and the settings that differ."""

import csv
import io
import math
import os

import report_csv
import report_figures
import report_html
import report_layer_figures
import report_overview
import report_paper
import report_statistics
import report_svg
import report_text
from report_svg import Entry, Figure, Panel
from report_text import entry

STYLES = (("original", "dashed"), ("amplified", "solid"))  # of the first and the second run
# (key of an epoch, title, label of the axis): on the first screen, and below.
CURVES = (
    (("test_accuracy", "Test accuracy", "accuracy (%)"), ("test_loss", "Test loss", "loss")),
    (
        ("train_accuracy", "Training accuracy", "accuracy (%)"),
        ("train_loss", "Training loss", "loss"),
        ("validation_accuracy", "Accuracy on held-out images", "accuracy (%)"),
        ("seconds", "Seconds of an epoch", "seconds"),
    ),
)
# Of config.json: what is not a fact about the run that a reader would compare.
NO_FACTS = ("schema", "run")


def run_names(runs):
    """Two different names: the folders' names, with the folders above them that tell them apart."""
    parts = [os.path.realpath(run.path).split(os.sep) for run in runs]
    for count in range(1, max(map(len, parts)) + 1):
        names = [os.sep.join(part[-count:]) for part in parts]
        if names[0] != names[1]:
            break
    return names


def number_text(value, digits=4, unit=""):
    if value is None:
        return "–"
    return f"{value:.{digits}f}{unit}" if math.isfinite(value) else str(value)


class Comparison:
    """Two runs, `first` and `second`, which may be incomplete but have at least one epoch."""

    def __init__(self, first, second):
        self.runs = (first, second)
        self.names = run_names(self.runs)

    # ---- What is said ----

    def sentence(self):
        first, second = self.runs
        text = (
            f"{self.names[1]} against {self.names[0]}: test accuracy after the last epoch "
            f"{second.test_accuracy:.2f}% against {first.test_accuracy:.2f}%, "
        )
        difference = second.test_accuracy - first.test_accuracy
        text += f"{report_text.signed(difference)} points. "
        if not all(run.completed for run in self.runs):
            ended = [name for name, run in zip(self.names, self.runs) if not run.completed]
            text += f"{report_overview.listed(ended)} did not complete. "
        if first.dataset != second.dataset:
            return text + "They are on different datasets."
        return text + self.chance()

    def chance(self):
        """How large a difference between two runs can be without any effect."""
        counts = [run.test_images for run in self.runs]
        if None in counts:
            return "One run each cannot tell an effect from chance: seeds differ, too."
        middle = report_statistics.mean([run.test_accuracy for run in self.runs])
        points = 1.96 * math.sqrt(report_statistics.binomial_variance(middle, min(counts)))
        return (
            f"One run each cannot tell an effect from chance: {min(counts):,} test images alone make differences of up "
            f"to about {points:.1f} points, and seeds add to it."
        )

    # ---- Tables ----

    def results(self):
        """[(name, value of the first run, value of the second run)] as texts."""

        def line(name, of):
            return (name, *(of(run) for run in self.runs))

        def last(key, scale=1, digits=4, unit=""):
            def of(run):
                value = run.epochs[-1][key]
                return number_text(None if value is None else scale * value, digits, unit)

            return of

        def best(run):
            finite = [epoch for epoch in run.epochs if math.isfinite(epoch["test_accuracy"])]
            epoch = max(finite, key=lambda e: e["test_accuracy"], default=None)
            return "–" if epoch is None else f"{100 * epoch['test_accuracy']:.2f}% (epoch {epoch['epoch']})"

        def selections(run):
            chosen = {}
            for layer in run.layers:
                if layer["selected"]:
                    chosen[layer["epoch"]] = chosen.get(layer["epoch"], 0) + 1
            return ", ".join(f"{count} at epoch {epoch}" for epoch, count in list(chosen.items())[:6]) or "none"

        return [
            line("test accuracy", last("test_accuracy", 100, 2, "%")),
            line("best test accuracy", best),
            line("accuracy on held-out images", last("validation_accuracy", 100, 2, "%")),
            line("training accuracy", last("train_accuracy", 100, 2, "%")),
            line("test loss", last("test_loss")),
            line("training loss", last("train_loss")),
            line("epochs", lambda run: f"{len(run.epochs)}{'' if run.completed else ' (did not complete)'}"),
            line("minutes", lambda run: number_text(run.minutes, 2)),
            line("selected layers", selections),
        ]

    def settings(self):
        """[(setting, first value, second value)] of the settings that differ, and of other facts in config.json."""
        first, second = (run.settings for run in self.runs)
        found = []
        for key in sorted(first.keys() | second.keys()):
            if first.get(key) != second.get(key) and not self.is_output(key):
                found.append((key, *(self.value_text(settings, key) for settings in (first, second))))
        for key in sorted(self.runs[0].about.keys() | self.runs[1].about.keys()):
            values = [self.value_text(run.about, key) for run in self.runs]
            if values[0] != values[1] and key not in NO_FACTS:
                found.append((key, *values))
        return found

    def is_output(self, key):
        return any(run.kinds.get(key) == "output" for run in self.runs)

    @staticmethod
    def value_text(settings, key):
        return report_overview.setting_text(settings[key]) if key in settings else "(not there)"

    def table(self, title, head, lines, caption):
        rows = [(name, first, [entry(second)]) for name, first, second in lines]
        return report_text.Table(title, caption, [head, *self.names], rows, [])

    def results_table(self):
        return self.table("Results", "after the last epoch", self.results(), [])

    def settings_table(self):
        caption = [] if self.settings() else ["No setting differs."]
        return self.table("Settings that differ", "setting", self.settings(), caption)

    def comma_separated(self):
        """The text of tables.csv: one line per number or setting, and the curves."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["table", "name", "epoch", *map(report_csv.plain, self.names)])
        for table, lines in (("result", self.results()), ("setting", self.settings())):
            for name, *values in lines:
                writer.writerow([table, report_csv.plain(name), "", *map(report_csv.plain, values)])
        longest = max(len(run.epochs) for run in self.runs)
        for key, *_ in (*CURVES[0], *CURVES[1], ("learning_rate",)):
            for index in range(longest):
                values = [run.epochs[index][key] if index < len(run.epochs) else None for run in self.runs]
                writer.writerow(["curve", key, index + 1, *("" if value is None else value for value in values)])
        return text.getvalue()

    # ---- Figures ----

    def curve_panel(self, key, title, label):
        """The curves of both runs. None if neither has numbers."""
        courses = [report_figures.mean_course([run], key) for run in self.runs]
        if not any(math.isfinite(value) for course in courses for value in course):
            return None
        late = [value for course in courses for value in course[len(course) // 10 :]]
        limits = report_svg.finite_range(late)
        if key.endswith("accuracy"):
            limits = (max(limits[0], 0), min(limits[1], 101))
        elif key == "seconds":
            limits = (0, limits[1])
        count = max(map(len, courses))
        panel = Panel(report_figures.WIDTH, report_figures.HEIGHT, (0.5, count + 0.5), limits)
        panel.axes(title, "epoch", label, report_svg.epoch_ticks(count), report_svg.nice_ticks(*limits))
        for course, style in zip(courses, STYLES):
            panel.line(range(1, len(course) + 1), course, *style)
        return panel

    def figures(self):
        legend = [Entry("line", *style, name) for style, name in zip(STYLES, self.names)]
        first, others = ([p for p in (self.curve_panel(*curve) for curve in curves) if p] for curves in CURVES)
        others.append(report_figures.rate_panel(self.runs, STYLES, report_figures.WIDTH, report_figures.HEIGHT))
        names = f"{self.names[0]} and {self.names[1]}"
        alts = (
            f"Test accuracy and test loss over epochs of {names}.",
            f"Training accuracy and loss, validation accuracy, seconds and learning rate over epochs of {names}.",
        )
        figures = [
            Figure("curves", "Test accuracy and loss", "", alts[0], first, legend),
            Figure("more-curves", "More curves", "", alts[1], others, legend),
        ]
        for index, (run, name) in enumerate(zip(self.runs, self.names), 1):
            panels = report_layer_figures.heat_panels([run])
            if panels:
                title = f"G and G' per layer and epoch: {name}"
                alt = f"Heat maps of G and G' of the layers of {name} at the measured epochs."
                figures.append(Figure(f"heat-{index}", title, "", alt, panels, [report_layer_figures.SELECTED_ONE]))
        return figures


def table_html(table):
    head = "".join(f'<th scope="col">{report_html.escape(text)}</th>' for text in table.head)
    rows = "".join(
        f'<tr><th scope="row">{report_html.escape(name)}</th><td class="text">{report_html.escape(first)}</td>'
        f'<td class="text">{report_html.escape(cells[0].lines[0])}</td></tr>'
        for name, first, cells in table.rows
    )
    body = f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'
    return f"<h2>{report_html.escape(table.title)}</h2>" + (body if rows else "<p>None.</p>")


def page(comparison, figures, out):
    """The text of the page of a comparison, in the folder `out`."""
    links = "".join(
        f'<a href="{report_html.escape(report_html.address(run.path, out))}">{report_html.escape(name)}</a>'
        for run, name in zip(comparison.runs, comparison.names)
    )
    curves, *others = figures
    body = [
        f"<header><h1>gradamp: comparison of two runs</h1><nav>{links}"
        f"{report_html.download_html(comparison.comma_separated())}</nav></header>",
        f'<p class="answer">{report_html.escape(comparison.sentence())}</p>',
        report_html.legend_html(curves.legend),
        report_html.panels_html(curves.panels, curves.alt),
        table_html(comparison.results_table()),
        table_html(comparison.settings_table()),
        *map(report_html.figure_html, others),
        f'<p class="note">The method: <a href="{report_paper.ADDRESS}">'
        f"{report_html.escape(report_paper.TITLE)}</a>.</p>",
    ]
    return report_html.document("gradamp: comparison of two runs", body)

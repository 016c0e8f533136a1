#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Tests of tools/gpu_check/gpu_report.py on handwritten reports."""

import contextlib
import io
import json
import math
import pathlib
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools" / "gpu_check"))

import gpu_report  # noqa: E402
import gpu_report_markdown  # noqa: E402
import run_log  # noqa: E402

CONTEXT = {
    "copy_ceiling_gb_s": "3000.0",
    "library_copy_gb_s": "3000.0",
    "own_copy_gb_s": "2900.0",
    "matrix_ceiling_tflop_s": "700.000",
    "library": "cuDNN 9.19.0",
    "batch": "128",
    "precision": "bf16",
}


def row(name, microseconds, **counters):
    return {"run_name": name + gpu_report.SUFFIX, "real_time": microseconds, "time_unit": "us", **counters}


def error_row(name, message):
    return {
        "run_name": name + gpu_report.SUFFIX,
        "error_occurred": True,
        "error_message": message,
        "real_time": 0.0,
        "time_unit": "us",
    }


def convolution_rows():
    """Rows of two shapes: one that resnet18 has four times and vgg19 once, and one that only resnet18 has and that has
    no row of a library."""
    return [
        row("forward/3x3_64x64_32_s1/ours", 50.0, resnet18=4.0, vgg19=1.0, **{"TFLOP/s": 200.0, "of_floor": 0.5}),
        row("forward/3x3_64x64_32_s1/ours_with_moments", 55.0, resnet18=4.0, vgg19=1.0, **{"TFLOP/s": 180.0}),
        row("forward/3x3_64x64_32_s1/library", 40.0, resnet18=4.0, vgg19=1.0, label="engine 62", **{"TFLOP/s": 250.0}),
        row("backward_filter/3x3_64x64_32_s1/ours", 60.0, resnet18=4.0, vgg19=1.0, **{"TFLOP/s": 160.0}),
        row("backward_filter/3x3_64x64_32_s1/library", 90.0, resnet18=4.0, vgg19=1.0, **{"TFLOP/s": 110.0}),
        row("forward/1x1_64x128_32_s2/ours", 10.0, resnet18=1.0, **{"TFLOP/s": 50.0}),
        error_row("forward/1x1_64x128_32_s2/library", "left out: cuDNN has no plan for it"),
    ]


class Folder:
    """A report folder with files that a test writes to it."""

    def __init__(self, test):
        owner = tempfile.TemporaryDirectory()
        test.addCleanup(owner.cleanup)
        self.path = pathlib.Path(owner.name)
        for name in ("checks", "data", "runs"):
            (self.path / name).mkdir()
        self.facts(device="cuda", gpu="NVIDIA H100", date="2026-01-02", commit="abc")

    def facts(self, **facts):
        lines = [f"{key}\t{value}" for key, value in facts.items()]
        (self.path / "facts.tsv").write_text("\n".join(lines) + "\n")

    def checks(self, part, *lines):
        (self.path / "checks" / f"{part}.tsv").write_text("".join("\t".join(line) + "\n" for line in lines))

    def benchmarks(self, name, rows, **context):
        document = {"context": {**CONTEXT, **context}, "benchmarks": rows}
        (self.path / "data" / f"{name}.json").write_text(json.dumps(document))

    def run(self, name, epochs):
        (self.path / "runs" / name).mkdir()
        text = "".join(json.dumps(epoch) + "\n" for epoch in epochs)
        (self.path / "runs" / name / "metrics.jsonl").write_text(text)
        return str(self.path / "runs" / name)

    def write(self, *parts):
        """Writes the report. Returns the exit code, the output, and the text of report.md."""
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            code = gpu_report.main(["write", str(self.path), *parts])
        return code, printed.getvalue(), (self.path / "report.md").read_text(encoding="utf-8")


def epoch(number, loss, **changes):
    return {
        "epoch": number,
        "learning_rate": 0.1,
        "train_loss": loss,
        "train_accuracy": 0.5,
        "test_loss": loss,
        "test_accuracy": 0.6,
        "analyzed": number == 2,
        "amplified": number == 3,
        "images_per_second": 1000.0 * number,
        **changes,
    }


GOOD_RUN = [epoch(1, 2.0), epoch(2, 1.5), epoch(3, 1.0)]


class ConvolutionTest(unittest.TestCase):
    def setUp(self):
        folder = Folder(self)
        folder.benchmarks("convolution-bf16", convolution_rows())
        self.benchmarks = gpu_report.read_benchmarks(folder.path / "data" / "convolution-bf16.json")

    def summary(self, network):
        return next(r for r in gpu_report.convolution_summary(self.benchmarks, "bf16") if r["network"] == network)

    def test_times_are_weighted_by_how_often_a_shape_occurs(self):
        resnet18 = self.summary("resnet18")
        self.assertAlmostEqual(resnet18["ours_ms"], 1e-3 * (4 * 50 + 4 * 60 + 10))
        self.assertAlmostEqual(resnet18["library_ms"], 1e-3 * (4 * 40 + 4 * 90))
        self.assertAlmostEqual(self.summary("vgg19")["ours_ms"], 1e-3 * (50 + 60))

    def test_ratios_are_of_shapes_that_both_have(self):
        resnet18 = self.summary("resnet18")
        self.assertAlmostEqual(resnet18["ratio"], (40 + 90) / (50 + 60))
        self.assertAlmostEqual(resnet18["forward"], 40 / 50)
        self.assertAlmostEqual(resnet18["backward_filter"], 90 / 60)
        self.assertIsNone(resnet18["backward_input"])
        self.assertEqual(resnet18["missing"], 1)

    def test_rate_and_moments(self):
        vgg19 = self.summary("vgg19")
        flops = 200e12 * 50e-6 + 160e12 * 60e-6
        self.assertAlmostEqual(vgg19["tflop_s"], flops / 110e-6 / 1e12)
        self.assertAlmostEqual(vgg19["of_matrix"], flops / 110e-6 / 700e12)
        self.assertAlmostEqual(vgg19["with_moments"], 55 / 50)

    def test_the_slowest_come_first(self):
        slowest = gpu_report.slowest_convolutions(self.benchmarks, "resnet18")
        self.assertEqual([r["pass"] for r in slowest], ["forward", "backward_filter"])
        self.assertAlmostEqual(slowest[0]["lost_us"], 4 * 10)

    def test_left_out_and_failed_are_told_apart(self):
        folder = Folder(self)
        folder.benchmarks("convolution-bf16", convolution_rows() + [error_row("forward/x/ours", "relative error 1")])
        read = gpu_report.read_benchmarks(folder.path / "data" / "convolution-bf16.json")
        self.assertEqual(read["left_out"], {"forward/1x1_64x128_32_s2/library": "cuDNN has no plan for it"})
        self.assertEqual(read["failed"], {"forward/x/ours": "relative error 1"})

    def test_a_file_that_was_not_written_to_its_end_is_a_failure(self):
        folder = Folder(self)
        for part, name in [("convolutions", "convolution-bf16"), ("step", "step-resnet18"), ("pytorch", "pytorch")]:
            folder.checks(part, (name, "passed", "1", ""))
            (folder.path / "data" / f"{name}.json").write_text('{"context": {')
            code, printed, _ = folder.write(part)
            self.assertEqual(code, 1)
            self.assertIn(f"{name}.json: cannot be read", printed)


class PlausibleTest(unittest.TestCase):
    def read(self, rows, **context):
        self.folder = Folder(self)
        self.folder.checks("convolutions", ("convolution-bf16", "passed", "9", ""))
        self.folder.benchmarks("convolution-bf16", rows, **context)
        return gpu_report.read_benchmarks(self.folder.path / "data" / "convolution-bf16.json")

    def test_what_a_card_can_do_is_believed(self):
        self.assertEqual(self.read(convolution_rows())["implausible"], [])
        self.assertEqual(self.read(convolution_rows(), matrix_ceiling_tflop_s="5000")["implausible"], [])

    def test_a_ceiling_above_any_cards_is_left_out_with_what_is_relative_to_it(self):
        for rate in ("54975583.1", "5001", "inf", "nan", "-1"):
            read = self.read(convolution_rows(), matrix_ceiling_tflop_s=rate)
            self.assertEqual(len(read["implausible"]), 1, rate)
            self.assertIsNone(gpu_report.convolution_summary(read, "bf16")[0]["of_matrix"])
            self.assertNotIn("of_floor", read["rows"]["forward/3x3_64x64_32_s1/ours"])
        code, printed, text = self.folder.write("convolutions")
        self.assertEqual(code, 0)
        for where in (printed, text):
            self.assertIn("matrix_ceiling_tflop_s) is above any card's", where)
        self.assertNotIn("matrix bf16 ", text)

    def test_each_precision_has_its_own_limit(self):
        for precision, possible, impossible in [("f32", 200, 300), ("tf32", 2000, 3000), ("bf16", 4000, 6000)]:
            for rate, count in [(possible, 0), (impossible, 1)]:
                read = self.read([], precision=precision, matrix_ceiling_tflop_s=str(rate))
                self.assertEqual(len(read["implausible"]), count, (precision, rate))

    def test_fractions_of_a_copy_that_is_too_fast_are_left_out(self):
        read = self.read([row("relu/32x32x256", 1.0, of_copy=0.5, of_copy_with_look=0.6)], own_copy_gb_s="1e9")
        self.assertEqual(len(read["implausible"]), 1)
        self.assertEqual(gpu_report.kernel_table(read), ({}, []))

    def test_a_row_that_is_too_fast_is_left_out(self):
        read = self.read([row("forward/3x3_64x64_32_s1/ours", 1e-9, resnet18=4.0, **{"TFLOP/s": 1e12})])
        self.assertEqual(read["rows"], {})
        self.assertIn("forward/3x3_64x64_32_s1/ours: 1e+12 TFLOP/s", read["implausible"][0])


class OptimizerTest(unittest.TestCase):
    def test_sizes_are_numbers_and_then_networks(self):
        numbers = {"GB/s": 1.0, "of_copy": 0.5, "of_copy_with_look": 0.6}
        names = ["sgd/resnet18", "sgd/1e+09", "sgd/1e+08", "cub_whole/resnet18_equal"]
        folder = Folder(self)
        folder.benchmarks("optimizer", [row(name, 1.0, **numbers) for name in names])
        report = gpu_report.collect(folder.path)
        self.assertEqual(report["unreadable"], [])
        self.assertEqual(report["optimizer"]["sizes"], ["1e+08", "1e+09", "resnet18", "resnet18_equal"])
        self.assertIn("| sgd | 1 (0.50, 0.60) |", folder.write()[2])

    def test_references_do_not_count_for_the_aim(self):
        numbers = {"GB/s": 1.0, "of_copy": 0.5, "of_copy_with_look": 0.6}
        folder = Folder(self)
        folder.benchmarks("optimizer", [row("statistics_by_neuron_with_sgd_atomic/1e+08", 1.0, **numbers)])
        self.assertIsNone(gpu_report_markdown.worst_optimizer(gpu_report.collect(folder.path)))


class RunTest(unittest.TestCase):
    def test_a_run_that_works(self):
        self.assertIsNone(gpu_report.run_problem(GOOD_RUN))

    def test_runs_that_do_not(self):
        for epochs, why in [
            ([], "two epochs"),
            ([epoch(1, 2.0), epoch(2, 2.1), epoch(3, 2.0)], "did not fall"),
            ([epoch(1, 2.0), epoch(2, 1.0, test_loss="nan"), epoch(3, 1.0)], "test_loss of epoch 2"),
            ([epoch(1, 2.0), epoch(2, float("inf")), epoch(3, 1.0)], "train_loss of epoch 2"),
            ([epoch(1, 2.0), epoch(3, 1.0)], "analyzed"),
        ]:
            self.assertIn(why, gpu_report.run_problem(epochs) or "no problem")

    def test_numbers_that_json_has_not(self):
        two = [dict(line, schema=2) for line in GOOD_RUN]
        two[1] = dict(two[1], test_loss=None, not_finite={"test_loss": "-inf"})
        one = [dict(line, schema=1) for line in GOOD_RUN]
        one[1] = dict(one[1], test_loss="-inf")
        folder = Folder(self)
        for name, lines in (("one", one), ("two", two)):
            read = gpu_report.read_metrics(folder.run(name, lines))
            self.assertEqual(read[1]["test_loss"], -math.inf)
            self.assertEqual(gpu_report.run_problem(read), "test_loss of epoch 2 is -inf")
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            for name, changes in (
                ("later", {"schema": 3}),
                ("reason", {"not_finite": {"test_loss": "many"}}),
                ("list", {"not_finite": [1]}),
            ):
                run = folder.run(name, [dict(line, **changes) for line in two])
                self.assertEqual(gpu_report.main(["check-run", run]), 1)
                self.assertEqual(gpu_report.main(["same-runs", run, run]), 1)
        self.assertIn("it has schema 3: this release reads only up to schema 2", printed.getvalue())

    def test_nan_equals_nan(self):
        lost = GOOD_RUN[:2] + [epoch(3, math.nan)]
        self.assertIsNone(gpu_report.difference(lost, [dict(line, test_loss=line["test_loss"] * 1.0) for line in lost]))
        self.assertIn("epoch 3: train_loss", gpu_report.difference(lost, GOOD_RUN))

    def test_same_to_the_last_bit_or_not(self):
        faster = [dict(line, images_per_second=5.0) for line in GOOD_RUN]
        self.assertIsNone(gpu_report.difference(GOOD_RUN, faster))
        other = GOOD_RUN[:2] + [epoch(3, 1.0 + 2**-52)]
        self.assertIn("epoch 3: train_loss", gpu_report.difference(GOOD_RUN, other))
        self.assertIsNotNone(gpu_report.difference(GOOD_RUN, GOOD_RUN[:2]))
        self.assertIsNotNone(gpu_report.difference([], []))

    def test_the_commands_exit_codes(self):
        folder = Folder(self)
        good, again = folder.run("good", GOOD_RUN), folder.run("again", GOOD_RUN)
        bad = folder.run("bad", GOOD_RUN[:1])
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            self.assertEqual(gpu_report.main(["check-run", good]), 0)
            self.assertEqual(gpu_report.main(["check-run", bad]), 1)
            self.assertEqual(gpu_report.main(["check-run", str(folder.path / "nowhere")]), 1)
            self.assertEqual(gpu_report.main(["same-runs", good, again]), 0)
            self.assertEqual(gpu_report.main(["same-runs", good, bad]), 1)
            self.assertEqual(gpu_report.main(["nonsense"]), 2)


class JsonTest(unittest.TestCase):
    def test_a_report_is_json_whatever_was_measured(self):
        folder = Folder(self)
        folder.checks("convolutions", ("convolution-bf16", "passed", "9", ""))
        rows = [row("forward/3x3_64x64_32_s1/ours", 50.0, resnet18=4.0, **{"TFLOP/s": 9.0, "of_floor": math.nan})]
        folder.benchmarks("convolution-bf16", rows)
        lost = {"train_loss": None, "images_per_second": None, "schema": 2}
        lost["not_finite"] = {"train_loss": "nan", "images_per_second": "inf"}
        folder.run("lost", GOOD_RUN[:2] + [dict(epoch(3, 1.0), **lost)])
        self.assertEqual(folder.write("convolutions")[0], 0)

        def refuse(constant):
            self.fail(f"{constant} is no JSON")

        report = json.loads((folder.path / "report.json").read_text(), parse_constant=refuse)
        (read,) = report["convolution_rows"]["bf16"]["rows"].values()
        self.assertEqual((read["of_floor"], read["not_finite"]), (None, {"of_floor": "nan"}))
        (training,) = report["training"]
        self.assertEqual(training["not_finite"], {"last_loss": "nan", "images_per_second": "inf"})
        self.assertEqual(training["problem"], "train_loss of epoch 3 is nan")

    def test_numbers_in_lists_have_their_place(self):
        fit = run_log.fit_for_json({"a": [1.0, [math.nan]], "b": [{"c": -math.inf}], "d": 2, "e": None})
        self.assertEqual(fit["not_finite"], {"a[1][0]": "nan"})
        self.assertEqual(fit["a"], [1.0, [None]])
        self.assertEqual(fit["b"], [{"c": None, "not_finite": {"c": "-inf"}}])
        self.assertEqual(run_log.fit_for_json({"d": 2, "e": None}), {"d": 2, "e": None})


class WriteTest(unittest.TestCase):
    def full(self):
        """A report folder with every part."""
        folder = Folder(self)
        for part in gpu_report.PARTS:
            folder.checks(part, ("a check", "passed", "3", ""))
        folder.benchmarks("convolution-bf16", convolution_rows())
        folder.benchmarks(
            "kernel-bf16",
            [
                row("relu/32x32x256", 10.0, of_copy=0.91),
                row("add/32x32x256", 10.0, of_copy=0.84),
                row("relu/4x4x512", 10.0, of_copy=0.5),
                row("softmax/128x10", 5.0, of_copy=0.01),
            ],
        )
        statistics = {"GB/s": 2700.0, "of_copy": 0.88, "of_copy_with_look": 0.97}
        folder.benchmarks(
            "optimizer",
            [
                row("sgd/1e+08", 700.0, **statistics),
                row("statistics_fused_with_sgd/1e+08", 1260.5, **statistics),
                row("statistics_separate_then_sgd/1e+08", 1800.0, **statistics),
                error_row("statistics_fused_with_sgd/1e+09", "left out: it needs 44 GB"),
            ],
        )
        step = {
            "network": "resnet18",
            "precision": "bf16",
            "granularity": "weight",
            "convolutions": "hopper",
            "batch_size": 128,
            "device_memory_mib": 900.0,
            "seconds_per_step": [1.1e-3, 1e-3, 0.9e-3],
            "analyzed_seconds_per_step": [1.11e-3, 1.01e-3, 0.91e-3],
        }
        (folder.path / "data" / "step-resnet18-bf16-weight.json").write_text(json.dumps(step))
        slower = {**step, "convolutions": "mma", "seconds_per_step": [2e-3, 2e-3, 2e-3]}
        (folder.path / "data" / "step-resnet18-bf16-weight-mma.json").write_text(json.dumps(slower))
        modes = [
            {"mode": "eager", "note": "", "images_per_second": 50000.0},
            {"mode": "graph", "note": "RuntimeError: no"},
        ]
        theirs = {
            "network": "resnet18",
            "precision": "bf16",
            "gradamp": 100000.0,
            "modes": modes,
            "range": [1.9, 2.1],
            "ratio": 2.0,
            "epoch_seconds": 0.391,
            "version": "2.11.0",
        }
        (folder.path / "data" / "pytorch.json").write_text(json.dumps({"comparisons": [theirs]}))
        folder.run("resnet18", GOOD_RUN)
        return folder

    def test_every_section_is_there(self):
        code, printed, text = self.full().write(*gpu_report.PARTS)
        self.assertEqual(code, 0, printed)
        for expected in [
            "# gradamp on NVIDIA H100",
            "cuDNN 9.19.0",
            "abc",
            "| resnet18 | bf16 | 0.450 | 0.520 | **1.18** |",
            "| relu | 0.91 | 0.50 |",
            "2700 (0.88, 0.97)",
            "| 1e+08 | 700.0 | +560.5 | +1100.0 |",
            "Left out: it needs 44 GB.",
            "| resnet18 | bf16 | weight | hopper | 1.000 | 128000 | **0.391** |",
            "| resnet18 | bf16 | weight | mma | 2.000 |",
            "graph: left out, RuntimeError: no",
            "**2.00** times",
            "| resnet18 | 3 | 2.000 | 1.000 | 60.0% |",
        ]:
            self.assertIn(expected, text)
        self.assertNotIn("softmax", text)  # its shape is not that of images, so only report.json has it
        self.assertNotIn("dry run", text)
        self.assertNotIn("quick run", text)

    def aims(self, folder):
        """Returns {number of the aim in the table: (measured, state)}."""
        report = gpu_report.collect(folder.path)
        return [(measured, state) for _, measured, state in gpu_report_markdown.aims(report)]

    def test_aims(self):
        folder = self.full()
        folder.facts(device="cuda", gpu="NVIDIA H200", date="2026-01-02", commit="abc")
        (_, convolutions), (kernel, kernels), (_, statistics), (epoch, epochs), (added, analyzed), _ = self.aims(folder)
        self.assertEqual(convolutions, "reached")  # 1.18
        self.assertEqual((kernel, kernels), ("slowest: add 0.84", "**not reached**"))
        self.assertEqual(statistics, "**not reached**")  # 0.88
        self.assertEqual((epoch, epochs), ("0.391 s", "reached"))
        self.assertEqual((added, analyzed), ("+1.0%", "reached"))
        nothing = self.aims(Folder(self))
        self.assertEqual(nothing, [("not measured", "")] * 6)

    def test_an_aim_is_reached_at_its_number_and_not_below(self):
        for fraction, state in [(0.95, "reached"), (0.949, "**not reached**")]:
            folder = self.full()
            folder.benchmarks("kernel-bf16", [row("relu/32x32x256", 10.0, of_copy=fraction)])
            self.assertEqual(self.aims(folder)[1], (f"slowest: relu {fraction:.2f}", state))

    def test_a_slow_card_is_no_failure(self):
        folder = self.full()
        folder.benchmarks("kernel-bf16", [row("relu/32x32x256", 10.0, of_copy=0.01)])
        code, _, text = folder.write(*gpu_report.PARTS)
        self.assertEqual(code, 0)
        self.assertIn("| slowest: relu 0.01 | **not reached** |", text)

    def test_the_epoch_is_an_aim_on_one_card(self):
        self.assertEqual(self.aims(self.full())[3], ("0.391 s on another card", ""))

    def test_pytorch_is_the_fastest_compiled_one(self):
        folder = self.full()
        document = json.loads((folder.path / "data" / "pytorch.json").read_text())
        self.assertEqual(self.aims(folder)[5], ("2.00 times eager PyTorch; torch.compile did not work", ""))
        for rate, expected in [(50000.0, ("2.00 times", "reached")), (60000.0, ("1.67 times", "**not reached**"))]:
            document["comparisons"][0]["modes"] += [{"mode": "reduce-overhead", "note": "", "images_per_second": rate}]
            (folder.path / "data" / "pytorch.json").write_text(json.dumps(document))
            self.assertEqual(self.aims(folder)[5], expected)

    def test_a_quick_or_emulated_run_measures_nothing(self):
        for facts, said in [({"device": "cuda", "quick": "yes"}, "A quick run"), ({"device": "emulated"}, "A dry run")]:
            folder = self.full()
            folder.facts(gpu="NVIDIA H200", **facts)
            self.assertEqual(self.aims(folder), [("not measured", "")] * 6)
            _, _, text = folder.write()
            self.assertIn(said, text)
            self.assertIn("## Aims", text)

    def test_report_json_holds_it_all(self):
        folder = self.full()
        folder.write()
        report = json.loads((folder.path / "report.json").read_text())
        self.assertEqual(report["facts"]["gpu"], "NVIDIA H100")
        self.assertEqual(report["ceilings"]["copy_gb_s"], 3000.0)
        self.assertEqual(len(report["convolution_rows"]["bf16"]["rows"]), 6)
        self.assertEqual(report["steps"][1]["images_per_second"], 128 / 1e-3)

    def test_whatever_parts_are_there(self):
        folder = Folder(self)
        folder.checks("tests", ("core_tests", "passed", "4", "12 tests"))
        code, printed, text = folder.write("tests")
        self.assertEqual(code, 0)
        self.assertIn("core_tests: 12 tests", text)
        self.assertNotIn("## Convolutions", text)
        self.assertIn("passed", printed)

    def test_a_part_took_as_long_as_it_says(self):
        folder = Folder(self)
        folder.checks("sanitize", ("memcheck", "passed", "40", ""), ("racecheck", "passed", "50", ""))
        self.assertIn("| sanitize | 2 |  |  | 90 |", folder.write("sanitize")[2])
        (folder.path / "checks" / "sanitize.seconds").write_text("52\n")
        self.assertIn("| sanitize | 2 |  |  | 52 |", folder.write("sanitize")[2])

    def test_a_failed_check_fails(self):
        folder = Folder(self)
        folder.checks(
            "tests", ("core_tests", "passed", "4", ""), ("kernels_tests", "failed", "4", "exit code 1: it broke")
        )
        folder.checks("step", ("resnet18", "passed", "1", ""))
        code, printed, text = folder.write("tests", "step")
        self.assertEqual(code, 1)
        self.assertIn("kernels_tests: exit code 1: it broke", printed)
        self.assertIn("kernels_tests: exit code 1: it broke", text)
        self.assertEqual(folder.write("step")[0], 0)  # the failure of another part does not affect this part

    def test_a_part_that_did_not_run_fails(self):
        folder = Folder(self)
        code, printed, _ = folder.write("training")
        self.assertEqual(code, 1)
        self.assertIn("it did not run", printed)

    def test_skipped_is_no_failure_and_is_seen(self):
        folder = Folder(self)
        folder.checks("pytorch", ("pytorch", "skipped", "0", "left out, no torch"))
        code, printed, text = folder.write("pytorch")
        self.assertEqual(code, 0)
        self.assertIn("skipped", printed)
        self.assertIn("left out, no torch", printed)
        self.assertIn("left out, no torch", text)

    def test_no_cudnn_is_said_and_is_no_failure(self):
        folder = Folder(self)
        folder.checks("convolutions", ("convolution-bf16", "passed", "9", ""))
        folder.benchmarks("convolution-bf16", convolution_rows()[:2], library="left out: this build has no cuDNN")
        code, printed, text = folder.write("convolutions")
        self.assertEqual(code, 0)
        self.assertIn("convolutions, cuDNN: nothing to compare with: left out: this build has no cuDNN", text)
        self.assertIn("this build has no cuDNN", printed)
        folder.benchmarks("convolution-bf16", convolution_rows()[:2])
        self.assertIn("it computed none of the convolutions", folder.write("convolutions")[2])

    def test_references_that_are_left_out_are_said(self):
        folder = Folder(self)
        folder.checks("kernels", ("optimizer", "passed", "9", ""))
        folder.benchmarks("optimizer", [], cub="left out: no CUB", ceilings_left_out="cuBLAS left out: no library")
        code, printed, text = folder.write("kernels")
        self.assertEqual(code, 0)
        for expected in ("cub: left out: no CUB", "ceilings_left_out: cuBLAS left out: no library"):
            self.assertIn(expected, printed)
            self.assertIn(expected, text)

    def test_a_benchmark_whose_result_was_wrong_fails(self):
        folder = Folder(self)
        folder.checks("kernels", ("kernel-bf16", "passed", "9", ""))
        folder.benchmarks("kernel-bf16", [error_row("relu/4x4x512", "relative error 0.5")])
        code, printed, _ = folder.write("kernels")
        self.assertEqual(code, 1)
        self.assertIn("relu/4x4x512: relative error 0.5", printed)

    def test_a_cell_stays_in_its_row(self):
        lines = gpu_report_markdown.table(["host", "x"], [["a|b\n| c", "**1**"]])
        self.assertEqual(lines, ["| host | x |", "|---|---|", "| a\\|b \\| c | **1** |"])


if __name__ == "__main__":
    unittest.main(verbosity=1)

#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Tests of tools/gpu_report.py on reports made by hand."""

import contextlib
import io
import json
import pathlib
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))

import gpu_report  # noqa: E402
import gpu_report_markdown  # noqa: E402

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
    """Two shapes: one that resnet18 has four times and vgg19 once, one of resnet18 alone that has no library's row."""
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
    """A report folder with what a test puts into it."""

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
        """The exit code, what was printed, and report.md."""
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


class RunTest(unittest.TestCase):
    def test_a_run_that_works(self):
        self.assertIsNone(gpu_report.run_problem(GOOD_RUN))

    def test_runs_that_do_not(self):
        for epochs, why in [
            ([], "two epochs"),
            ([epoch(1, 2.0), epoch(2, 2.1), epoch(3, 2.0)], "did not fall"),
            ([epoch(1, 2.0), epoch(2, 1.0, test_loss="nan"), epoch(3, 1.0)], "test_loss of epoch 2"),
            ([epoch(1, 2.0), epoch(2, float("inf")), epoch(3, 1.0)], "train_loss of epoch 2"),
            ([epoch(1, 2.0), epoch(3, 1.0)], "analysed"),
        ]:
            self.assertIn(why, gpu_report.run_problem(epochs) or "no problem")

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


class WriteTest(unittest.TestCase):
    def full(self):
        """A folder with every part."""
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
            "batch_size": 128,
            "device_memory_mib": 900.0,
            "seconds_per_step": [1.1e-3, 1e-3, 0.9e-3],
            "analysed_seconds_per_step": [1.11e-3, 1.01e-3, 0.91e-3],
        }
        (folder.path / "data" / "step-resnet18-bf16-weight.json").write_text(json.dumps(step))
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
            "**0.391**",
            "graph: left out, RuntimeError: no",
            "**2.00** times",
            "| resnet18 | 3 | 2.000 | 1.000 | 60.0% |",
        ]:
            self.assertIn(expected, text)
        self.assertNotIn("softmax", text)  # its shape is not an image's: in report.json
        self.assertNotIn("dry run", text)

    def test_aims(self):
        folder = self.full()
        rows = {
            aim: (measured, verdict)
            for aim, measured, verdict in gpu_report_markdown.aims(gpu_report.collect(folder.path))
        }
        verdicts = [verdict for _, verdict in rows.values()]
        self.assertEqual(verdicts, ["met", "**not met**", "met", "met", "met", "met"])
        self.assertIn("add 0.84", str(rows))
        self.assertIn("0.391 s", str(rows))
        self.assertIn("+1.0%", str(rows))
        nothing = gpu_report_markdown.aims(gpu_report.collect(Folder(self).path))
        self.assertTrue(all(measured == "not measured" and not verdict for _, measured, verdict in nothing))

    def test_report_json_holds_it_all(self):
        folder = self.full()
        folder.write()
        report = json.loads((folder.path / "report.json").read_text())
        self.assertEqual(report["facts"]["gpu"], "NVIDIA H100")
        self.assertEqual(report["ceilings"]["copy_gb_s"], 3000.0)
        self.assertEqual(len(report["convolution_rows"]["bf16"]["rows"]), 6)
        self.assertEqual(report["steps"][0]["images_per_second"], 128 / 1e-3)

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
        self.assertEqual(folder.write("step")[0], 0)  # another part's failure is not this one's

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

    def test_no_cudnn_on_a_gpu_fails(self):
        folder = Folder(self)
        folder.checks("convolutions", ("convolution-bf16", "passed", "9", ""))
        folder.benchmarks("convolution-bf16", convolution_rows()[:2], library="left out: this build has no cuDNN")
        code, printed, text = folder.write("convolutions")
        self.assertEqual(code, 1)
        self.assertIn("this build has no cuDNN", printed)
        self.assertIn("this build has no cuDNN", text)
        folder.facts(device="emulated", gpu="emulated")
        code, _, text = folder.write("convolutions")
        self.assertEqual(code, 0)
        self.assertIn("dry run", text)
        self.assertNotIn("## Aims", text)

    def test_a_benchmark_whose_result_was_wrong_fails(self):
        folder = Folder(self)
        folder.checks("kernels", ("kernel-bf16", "passed", "9", ""))
        folder.benchmarks("kernel-bf16", [error_row("relu/4x4x512", "relative error 0.5")])
        code, printed, _ = folder.write("kernels")
        self.assertEqual(code, 1)
        self.assertIn("relu/4x4x512: relative error 0.5", printed)


if __name__ == "__main__":
    unittest.main(verbosity=1)

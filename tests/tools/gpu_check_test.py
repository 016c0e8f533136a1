#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Tests of tools/gpu_check.sh with programs that pretend: what it runs, what it makes of failures, and that no failure
goes unseen. They need bash, and neither a GPU nor a build."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import textwrap
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "tools" / "gpu_check.sh"

NVIDIA_SMI = """
    case $1 in
      --list-gpus) echo 'GPU 0: NVIDIA Pretender (UUID: GPU-1)' ;;
      *) echo 'NVIDIA Pretender, 580.1, 81559 MiB, 9.0' ;;
    esac
"""
# Two tests on the device cuda, run by one shard or two.
TESTS = """
    for word; do
      case $word in
        --gtest_list_tests) echo 'Devices/Conformance.'; echo '  Agrees/cuda_relu'; echo '  Agrees/cuda_add'; exit 0 ;;
      esac
    done
    for ((i = ${GTEST_SHARD_INDEX:-0}; i < 2; i += ${GTEST_TOTAL_SHARDS:-1})); do
      echo "[ RUN      ] Devices/Conformance.Agrees/cuda_$i"
      [ "$i" != "${BAD_TEST:-}" ] || { echo "[  FAILED  ] Devices/Conformance.Agrees/cuda_$i (1 ms)"; exit 1; }
      [ "$i" != "${ENDING_TEST:-}" ] || exit 0
      echo "[       OK ] Devices/Conformance.Agrees/cuda_$i (1 ms)"
    done
"""
SANITIZER = """
    while [ $# -gt 0 ]; do
      case $1 in
        --tool) tool=$2; shift 2 ;;
        --error-exitcode | --print-limit) shift 2 ;;
        *) break ;;
      esac
    done
    "$@"
    [ "$tool" != "${BAD_TOOL:-}" ] || { echo '========= Error: Race reported between Write and Read'; exit 99; }
"""
BENCHMARK = """
    for word; do
      case $word in --benchmark_out=*) out=${word#*=} ;; esac
    done
    echo "$0 $*" >>"$CALLS"
    cat >"$out" <<END
    {"context": {"library": "cuDNN 9.1.0", "copy_ceiling_gb_s": "3000"}, "benchmarks": [
     {"run_name": "forward/3x3_64x64_32_s1/ours/iterations:1/manual_time", "real_time": 50, "time_unit": "us",
      "resnet18": 4, "TFLOP/s": 100},
     {"run_name": "forward/3x3_64x64_32_s1/library/iterations:1/manual_time", "real_time": 40, "time_unit": "us",
      "resnet18": 4, "TFLOP/s": 125}]}
    END
"""
KERNELS = (
    BENCHMARK.replace('"TFLOP/s": 1', '"GB/s": 2700, "of_copy": 0.9, "of_copy_with_look": 1, "TFLOP/s": 1')
    .replace("forward/3x3_64x64_32_s1/ours", "relu/32x32x64")
    .replace("forward/3x3_64x64_32_s1/library", "add/32x32x64")
)
OPTIMIZER = KERNELS.replace("/32x32x64", "/1e+08")
STEP = """
    echo "$0 $*" >>"$CALLS"
    echo '{"network": "resnet18", "precision": "bf16", "granularity": "weight", "batch_size": 128,
           "seconds_per_step": [0.001], "analysed_seconds_per_step": [0.00101]}'
"""
TRAIN = """
    echo "$0 $*" >>"$CALLS"
    while [ "$1" != --run-folder ]; do shift; done
    mkdir -p "$2"
    for epoch in 1 2 3; do
      analyzed=false amplified=false
      [ $epoch != 2 ] || analyzed=true
      [ $epoch != 3 ] || amplified=true
      echo '{"epoch": '$epoch', "learning_rate": 0.1, "train_loss": '$((4 - epoch))${NOISE:+.$RANDOM}', "test_loss": 1,
             "train_accuracy": 0.5, "test_accuracy": 0.5, "analyzed": '$analyzed', "amplified": '$amplified',
             "images_per_second": 9}' | tr -d '\\n'
      echo
    done >"$2/metrics.jsonl"
"""
PYTHON = """
    [ "$1" != -c ] || { echo 'ModuleNotFoundError: no torch' >&2; exit 1; }
    exec python3 "$@"
"""


class Pretence:
    """A folder of pretending programs."""

    def __init__(self, test):
        owner = tempfile.TemporaryDirectory()
        test.addCleanup(owner.cleanup)
        self.path = pathlib.Path(owner.name)
        self.build, self.report, self.tools = self.path / "build", self.path / "report", self.path / "bin"
        self.script(self.tools / "nvidia-smi", NVIDIA_SMI)
        self.script(self.tools / "sanitizer", SANITIZER)
        self.script(self.tools / "python", PYTHON)
        self.script(self.build / "tests" / "kernels_tests", TESTS)
        self.script(self.build / "bench" / "convolution_bench", BENCHMARK)
        self.script(self.build / "bench" / "kernel_bench", KERNELS)
        self.script(self.build / "bench" / "optimizer_bench", OPTIMIZER)
        self.script(self.build / "bench" / "training_step", STEP)
        self.script(self.build / "gradamp", TRAIN)

    @staticmethod
    def script(path, text):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("#!/usr/bin/env bash\n" + textwrap.dedent(text))
        path.chmod(0o755)

    def run(self, *arguments, **environment):
        """The exit code and all that was printed."""
        settings = {
            **os.environ,
            "PATH": f"{self.tools}:{os.environ['PATH']}",
            "GRADAMP_COMPUTE_SANITIZER": str(self.tools / "sanitizer"),
            "GRADAMP_PYTHON": str(self.tools / "python"),
            "CALLS": str(self.path / "calls"),
            "OUT": str(self.path),  # some machines have it; it means nothing here
            **environment,
        }
        command = [
            "bash",
            str(SCRIPT),
            "--build",
            str(self.build),
            "--report",
            str(self.report),
            "--jobs",
            "2",
            *arguments,
        ]
        done = subprocess.run(command, env=settings, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        return done.returncode, done.stdout

    def markdown(self):
        return (self.report / "report.md").read_text(encoding="utf-8")

    def calls(self):
        return (self.path / "calls").read_text()


MEASURED = ("tests", "sanitize", "convolutions", "kernels", "step", "training", "pytorch")


class GpuCheckTest(unittest.TestCase):
    def setUp(self):
        self.pretence = Pretence(self)

    def test_all_is_well(self):
        code, printed = self.pretence.run(*MEASURED)
        self.assertEqual(code, 0, printed)
        text = self.pretence.markdown()
        for expected in ["# gradamp on NVIDIA Pretender", "580.1", "cuDNN 9.1.0", "**0.80**", "2 tests"]:
            self.assertIn(expected, text)
        self.assertIn("left out", printed)  # PyTorch
        calls = self.pretence.calls()
        for expected in [
            "--precision bf16",
            "--device cuda",
            "--sizes 1e5,1e6,1e7,1e8,1e9",
            "--network vgg19",
            "--compare",
        ]:
            self.assertIn(expected, calls)
        self.assertNotIn("--quick", calls)
        report = json.loads((self.pretence.report / "report.json").read_text())
        self.assertEqual(set(report["checks"]), set(MEASURED))

    def test_no_gpu_is_a_failure_with_one_line(self):
        self.pretence.script(self.pretence.tools / "nvidia-smi", "echo 'No devices were found'; exit 6")
        code, printed = self.pretence.run("tests")
        self.assertEqual(code, 1)
        self.assertEqual(len(printed.splitlines()), 1, printed)
        self.assertIn("no GPU", printed)

    def test_wrong_usage(self):
        for words in [
            ("nonsense",),
            ("--nonsense",),
            ("--limit", "soon"),
            ("--device", "cpu"),
            ("--data", "/no/where"),
        ]:
            self.assertEqual(self.pretence.run(*words)[0], 2, words)

    def test_a_failing_test_fails_and_the_later_parts_run(self):
        code, printed = self.pretence.run("tests", "step", BAD_TEST="1")
        self.assertEqual(code, 1)
        self.assertRegex(printed, r"tests +FAILED")
        self.assertRegex(printed, r"step +passed")
        self.assertIn("shard 1: exit code 1", self.pretence.markdown())

    def test_a_program_that_ends_too_early_is_a_failure(self):
        code, printed = self.pretence.run("tests", ENDING_TEST="1")
        self.assertEqual(code, 1)
        self.assertIn("1 of 2 tests passed; the others did not end", printed)

    def test_no_test_on_the_device_is_a_failure(self):
        self.pretence.script(self.pretence.build / "tests" / "kernels_tests", "exit 0")
        code, printed = self.pretence.run("tests")
        self.assertEqual(code, 1)
        self.assertIn("no test passed on the device cuda", printed)

    def test_what_one_sanitizer_finds_is_a_failure(self):
        code, printed = self.pretence.run("sanitize", BAD_TOOL="racecheck")
        self.assertEqual(code, 1)
        self.assertIn("Race reported", printed)
        self.assertRegex(printed, r"failed +racecheck")
        self.assertRegex(printed, r"passed +memcheck")

    def test_no_sanitizer_is_a_failure(self):
        code, printed = self.pretence.run("sanitize", GRADAMP_COMPUTE_SANITIZER="no-such-tool")
        self.assertEqual(code, 1)
        self.assertIn("compute-sanitizer: not on PATH", printed)

    def test_a_program_that_was_not_built_is_a_failure(self):
        (self.pretence.build / "bench" / "kernel_bench").unlink()
        code, printed = self.pretence.run("kernels")
        self.assertEqual(code, 1)
        self.assertIn("bench/kernel_bench: not in", printed)
        self.assertRegex(printed, r"passed +optimizer")

    def test_a_failing_benchmark_is_a_failure(self):
        self.pretence.script(self.pretence.build / "bench" / "kernel_bench", "echo relative error 1; exit 1")
        code, printed = self.pretence.run("kernels")
        self.assertEqual(code, 1)
        self.assertIn("exit code 1: relative error 1", printed)

    def test_a_part_has_its_time(self):
        self.pretence.script(self.pretence.build / "bench" / "training_step", "sleep 60")
        code, printed = self.pretence.run("--limit", "1", "step")
        self.assertEqual(code, 1)
        self.assertIn("took longer than 1 s", printed)

    def test_a_run_whose_loss_does_not_fall_is_a_failure(self):
        self.pretence.script(self.pretence.build / "gradamp", TRAIN.replace("$((4 - epoch))", "$((4 + epoch))"))
        code, printed = self.pretence.run("training")
        self.assertEqual(code, 1)
        self.assertIn("did not fall", printed)

    def test_runs_that_differ_are_a_failure(self):
        code, printed = self.pretence.run("training", NOISE="yes")
        self.assertEqual(code, 1)
        self.assertRegex(printed, r"failed +same-twice")

    def test_parts_are_added_to_a_report(self):
        self.assertEqual(self.pretence.run("step")[0], 0)
        self.assertEqual(self.pretence.run("tests")[0], 0)
        text = self.pretence.markdown()
        self.assertIn("| tests |", text)
        self.assertIn("| step |", text)

    def test_another_device_starts_a_report_afresh(self):
        self.assertEqual(self.pretence.run("step")[0], 0)
        self.assertEqual(self.pretence.run("--device", "emulated", "kernels")[0], 0)
        self.assertNotIn("| step |", self.pretence.markdown())

    def test_a_dry_run_is_quick_and_says_so(self):
        self.pretence.script(self.pretence.build / "tests" / "kernels_tests", TESTS.replace("cuda", "emulated"))
        code, printed = self.pretence.run("--device", "emulated", *MEASURED)
        self.assertEqual(code, 0, printed)
        self.assertIn("dry run", self.pretence.markdown())
        self.assertIn("--quick", self.pretence.calls())


if __name__ == "__main__":
    if sys.platform != "linux":
        sys.exit("gpu_check.sh is for Linux")
    unittest.main(verbosity=1)

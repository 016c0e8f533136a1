#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The program on other processors, which qemu emulates: one binary runs on all of them, and an older one gets a sentence.

Usage: processors_test.py GRADAMP. Skipped without the program qemu-x86_64, and if the program is for another processor.
"""
import json
import pathlib
import platform
import shutil
import subprocess
import sys
import tempfile
import unittest

GRADAMP = None
QEMU = shutil.which("qemu-x86_64")
TRAIN = ("train", "--network", "resnet8", "--train-images", "20", "--test-images", "10", "--batch-size", "10",
         "--strategy", "1:0.01", "--threads", "1", "--quiet")


def run(*command, cpu=None, **environment):
    """Runs gradamp with the arguments, as the processor `cpu` or as this one."""
    prefix = [QEMU, "-cpu", cpu] if cpu else []
    variables = [f"-u{name}" for name in ("GRADAMP_ISA",)] + [f"{name}={value}" for name, value in environment.items()]
    return subprocess.run(["env", *variables, *prefix, GRADAMP, *command], capture_output=True, text=True)


def losses(*arguments, **options):
    """The losses of a short training."""
    with tempfile.TemporaryDirectory() as folder:
        finished = run(*TRAIN, "--run-folder", f"{folder}/run", *arguments, **options)
        if finished.returncode != 0:
            raise AssertionError(f"{options}: exit code {finished.returncode}: {finished.stderr}")
        (line,) = (pathlib.Path(folder) / "run" / "metrics.jsonl").read_text().splitlines()
        metrics = json.loads(line)
        return metrics["train_loss"], metrics["test_loss"]


class ProcessorsTest(unittest.TestCase):
    def setUp(self):
        if not QEMU or platform.machine() != "x86_64":
            self.skipTest("needs qemu-x86_64 (Debian: qemu-user) on x86-64")

    def test_info_names_the_instruction_set(self):
        for cpu, name in (("Haswell", "avx2"), ("Nehalem", "sse4")):
            finished = run("info", "--threads", "1", cpu=cpu)
            self.assertEqual(finished.returncode, 0, finished.stderr)
            self.assertIn(f"cpu: 1 threads, {name}", finished.stdout.replace("1 thread,", "1 threads,"))

    def test_trainings_agree(self):
        here = losses()
        for cpu in ("Haswell", "Nehalem"):
            for expected, got in zip(here, losses(cpu=cpu)):
                self.assertAlmostEqual(got, expected, delta=1e-5 * expected, msg=cpu)

    def test_an_older_processor_gets_one_sentence(self):
        for command in (("info",), TRAIN):
            finished = run(*command, cpu="Conroe")
            self.assertEqual(finished.returncode, 1, finished)
            lines = [line for line in finished.stderr.splitlines() if not line.startswith("qemu-x86_64: warning")]
            self.assertEqual(len(lines), 1, lines)
            self.assertIn("this processor is too old: gradamp needs the instructions of x86-64-v2", lines[0])
            self.assertEqual(finished.stdout, "")

    def test_a_chosen_instruction_set(self):
        self.assertIn(", sse4", run("info", GRADAMP_ISA="sse4").stdout)
        finished = run("info", cpu="Nehalem", GRADAMP_ISA="avx2")
        self.assertEqual(finished.returncode, 1)
        self.assertIn("GRADAMP_ISA: expected an instruction set of this processor and this build (sse4), got 'avx2'",
                      finished.stderr)


if __name__ == "__main__":
    GRADAMP = sys.argv.pop(1)
    program = unittest.main(exit=False)
    if program.result.skipped:
        print("skipped:", program.result.skipped[0][1])
        sys.exit(77)
    sys.exit(not program.result.wasSuccessful())

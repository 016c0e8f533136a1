#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Tests of tools/skipped_tests.py on ctest's output for all ways to skip a test."""

import pathlib
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "tools" / "skipped_tests.py"
GOOGLE_TEST = """[ RUN      ] Suite.Test
/a/b_test.cpp:93: Skipped
no /dev/full on this system

[  SKIPPED ] Suite.Test (0 ms)
"""
UNITTEST = """
----------------------------------------------------------------------
Ran 3 tests in 0.1s

OK (skipped=2)
"""


class SkippedTests(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.folder = pathlib.Path(scratch.name)
        self.tests = ""

    def add(self, name: str, output: str, code: int = 0, properties: str = "SKIP_RETURN_CODE 77") -> None:
        (self.folder / f"{len(self.tests)}.txt").write_text(output)
        self.tests += (f'add_test({name} sh -c "cat {len(self.tests)}.txt; exit {code}")\n'
                       f"set_tests_properties({name} PROPERTIES {properties})\n")

    def check(self, allowed: str) -> tuple[int, str]:
        """Runs the script. Returns its exit code and output."""
        (self.folder / "CTestTestfile.cmake").write_text(self.tests)
        (self.folder / "allowed.txt").write_text(allowed)
        results = self.folder / "results.xml"
        subprocess.run(["ctest", "--test-dir", self.folder, "--output-junit", results, "--test-output-size-passed",
                        "100000"], check=True, capture_output=True)
        done = subprocess.run([sys.executable, SCRIPT, results, self.folder / "allowed.txt"],
                              text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        return done.returncode, done.stdout

    def test_nothing_skipped(self):
        self.add("plain", "skipping to the next\n")
        self.assertEqual(self.check(""), (0, "0 skipped tests\n"))

    def test_return_code(self):
        self.add("slurm", "skipped: no sbatch\n", code=77)
        code, output = self.check("")
        self.assertEqual(code, 1)
        self.assertIn("1 skipped tests:\n  slurm: no sbatch (NOT ALLOWED by allowed.txt)\n", output)
        code, output = self.check("# Remark\n\nsl?rm | no * | it is no fault\n")
        self.assertEqual((code, output), (0, "1 skipped tests:\n  slurm: no sbatch (allowed: it is no fault)\n"))

    def test_reason_must_match_too(self):
        self.add("slurm", "skipped: slurmctld does not start\n", code=77)
        self.assertEqual(self.check("slurm | no sbatch | it is no fault\n")[0], 1)

    def test_name_must_match_whole(self):
        self.add("slurm_sweep", "skipped: no sbatch\n", code=77)
        self.assertEqual(self.check("slurm | no sbatch | it is no fault\n")[0], 1)

    def test_google_test(self):
        self.add("Suite.Test", GOOGLE_TEST, properties=r'SKIP_REGULAR_EXPRESSION "\\[  SKIPPED \\]"')
        code, output = self.check("")
        self.assertEqual(code, 1)
        self.assertIn("Suite.Test: no /dev/full on this system (NOT", output)

    def test_google_test_of_which_ctest_does_not_know(self):
        self.add("whole_program", GOOGLE_TEST)
        self.assertEqual(self.check("")[0], 1)

    def test_part_of_a_script(self):
        self.add("sweep", "x" * 50000 + UNITTEST)  # longer than the output that ctest keeps by default
        code, output = self.check("")
        self.assertEqual(code, 1)
        self.assertIn("sweep: 2 of its tests (NOT", output)

    def test_disabled(self):
        self.add("Suite.DISABLED_Test", "", properties="DISABLED TRUE")
        code, output = self.check("")
        self.assertEqual(code, 1)
        self.assertIn("Suite.DISABLED_Test: ", output)

    def test_one_of_two_is_allowed(self):
        self.add("a", "skipped: no a\n", code=77)
        self.add("b", "skipped: no b\n", code=77)
        code, output = self.check("a | * | it is no fault\n")
        self.assertEqual(code, 1)
        self.assertIn("a: no a (allowed", output)
        self.assertIn("b: no b (NOT", output)
        self.assertIn("1 of them must run", output)

    def test_line_without_reason(self):
        self.add("a", "", code=0)
        code, output = self.check("a | no a\n")
        self.assertEqual(code, 1)
        self.assertIn("expected NAME PATTERN | REASON PATTERN | WHY, got: a | no a", output)


if __name__ == "__main__":
    unittest.main()

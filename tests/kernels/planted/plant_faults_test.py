#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""plant_faults.py changes each place exactly once, or fails."""
import pathlib
import subprocess
import sys
import tempfile
import unittest

SCRIPT = pathlib.Path(__file__).with_name("plant_faults.py")
ROOT = pathlib.Path(__file__).resolve().parents[3]
HEADERS = ["ptx_emulated", "tile", "convolution_tile"]


class PlantFaultsTest(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.root, self.out = pathlib.Path(scratch.name) / "root", pathlib.Path(scratch.name) / "out"
        (self.root / "kernels/cuda").mkdir(parents=True)
        for header in HEADERS:
            self.header(header).write_text((ROOT / f"kernels/cuda/{header}.h").read_text())

    def header(self, name, folder=None):
        return (folder / "gradamp" if folder else self.root) / f"kernels/cuda/{name}.h"

    def run_script(self):
        return subprocess.run([sys.executable, SCRIPT, self.root, self.out], capture_output=True, text=True, check=False)

    def test_every_fault_of_the_enumeration_is_planted(self):
        self.assertEqual(self.run_script().stderr, "")
        text = "".join(self.header(name, self.out).read_text() for name in HEADERS)
        names = [line.split(",")[0].strip() for line in SCRIPT.with_name("planted_fault.h").read_text().splitlines()
                 if line.startswith("  k")]
        self.assertGreater(len(names), 5)
        for name in set(names) - {"kNone"}:
            self.assertIn(f"PlantedFault::{name}", text)

    def test_a_place_that_is_gone_is_an_error(self):
        header = self.header("tile")
        header.write_text(header.read_text().replace("(row >> 1) & 3", "(row >> 1) & 5"))
        finished = self.run_script()
        self.assertEqual(finished.returncode, 1)
        self.assertIn("kernels/cuda/tile.h has 0 places like", finished.stderr)

    def test_a_place_that_is_there_twice_is_an_error(self):
        header = self.header("ptx_emulated")
        header.write_text(header.read_text() + "\n// emulation::wait_async_copies(N)\n")
        finished = self.run_script()
        self.assertEqual(finished.returncode, 1)
        self.assertIn("kernels/cuda/ptx_emulated.h has 2 places like", finished.stderr)


if __name__ == "__main__":
    unittest.main()

#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""kernels/cuda/ptx.h and its emulated twin have the same wrappers in the same order with the same parameters.

Usage: ptx_test.py [ROOT]
"""
import pathlib
import re
import sys
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[3]
# Functions that only the PTX header needs.
HELPERS = {"shared_address"}
WRAPPER = re.compile(r"(template <[^>]*> )?__device__ __forceinline__ ([\w:]+) (\w+)\((.*?)\) \{")
LOCATION = "emulation::SourceLocation location = emulation::SourceLocation::here()"


def wrappers(text):
    """[(name, template, result, parameters)] of a header's functions, without the emulator's source location."""
    found = WRAPPER.findall(" ".join(text.split()).replace("( ", "("))
    return [(name, template.strip(), result, parameters.replace(", " + LOCATION, ""))
            for template, result, name, parameters in found if name not in HELPERS]


class TwinsTest(unittest.TestCase):
    def test_the_two_halves_agree(self):
        real = wrappers((ROOT / "kernels/cuda/ptx.h").read_text())
        self.assertEqual(real, wrappers((ROOT / "kernels/cuda/ptx_emulated.h").read_text()))
        self.assertGreater(len(real), 5)

    def test_a_difference_is_found(self):
        f = "__device__ __forceinline__ void f(int a) { asm(); }\n"
        g = "template <int N>\n__device__ __forceinline__ int g(const void* p,\n    bool valid) { asm(); }\n"
        emulated_g = g.replace("bool valid", f"bool valid, {LOCATION}")
        self.assertEqual(wrappers(f + g), wrappers(f + emulated_g))
        for other in (g + f, f, f + g.replace("bool valid", "bool v"), f + g.replace("int g", "void g"),
                      f + g.replace("int N", "bool N")):
            self.assertNotEqual(wrappers(f + g), wrappers(other))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        ROOT = pathlib.Path(sys.argv.pop(1)).resolve()
    unittest.main()

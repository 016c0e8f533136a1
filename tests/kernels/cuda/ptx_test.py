#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""kernels/cuda/ptx.h and ptx_hopper.h have the same wrappers as their emulated twins, in the same order with the same
parameters.

Usage: ptx_test.py [ROOT]
"""
import pathlib
import re
import sys
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[3]
# Each with its twin NAME_emulated.h, and the least number of its wrappers.
HEADERS = {"ptx": 6, "ptx_hopper": 15}
# Functions that only the PTX headers need.
HELPERS = {"shared_address", "wgmma_m64k16"}
WRAPPER = re.compile(r"(template <[^>]*> )?__device__ __forceinline__ ([\w:]+) (\w+)\((.*?)\) \{")
LOCATION = "emulation::SourceLocation location = emulation::SourceLocation::here()"
LOCATION_PATTERN = re.escape(LOCATION)


def wrappers(text):
    """[(name, template, result, parameters)] of a header's functions, without the emulator's source location."""
    found = WRAPPER.findall(" ".join(text.split()).replace("( ", "("))
    return [(name, template.strip(), result, re.sub(f"(, )?{LOCATION_PATTERN}", "", parameters))
            for template, result, name, parameters in found if name not in HELPERS]


class TwinsTest(unittest.TestCase):
    def test_the_two_halves_agree(self):
        for name, least in HEADERS.items():
            with self.subTest(name):
                real = wrappers((ROOT / f"kernels/cuda/{name}.h").read_text())
                self.assertEqual(real, wrappers((ROOT / f"kernels/cuda/{name}_emulated.h").read_text()))
                self.assertGreaterEqual(len(real), least)

    def test_a_difference_is_found(self):
        f = "__device__ __forceinline__ void f(int a) { asm(); }\n"
        g = "template <int N>\n__device__ __forceinline__ int g(const void* p,\n    bool valid) { asm(); }\n"
        h = "__device__ __forceinline__ void h() { asm(); }\n"
        emulated_g, emulated_h = g.replace("bool valid", f"bool valid, {LOCATION}"), h.replace("h()", f"h({LOCATION})")
        self.assertEqual(wrappers(f + g + h), wrappers(f + emulated_g + emulated_h))
        for other in (g + f, f, f + g.replace("bool valid", "bool v"), f + g.replace("int g", "void g"),
                      f + g.replace("int N", "bool N")):
            self.assertNotEqual(wrappers(f + g), wrappers(other))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        ROOT = pathlib.Path(sys.argv.pop(1)).resolve()
    unittest.main()

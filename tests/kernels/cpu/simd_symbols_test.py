#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The objects of one instruction set define no symbol that another object of the program may define too.

The linker keeps one of several equal inline functions. If it kept the one of an object for AVX-512, the program would
end by SIGILL on other processors. Usage: simd_symbols_test.py BUILD.
"""
import pathlib
import re
import subprocess
import sys
import unittest

BUILD = None
SETS = re.compile(r"simd_(sse4|avx2|avx512bf16|avx512|neon)")


def objects(folder):
    """The instruction set and path of every object."""
    for library, target in [("cpu", "cpu"), ("statistics", "statistics_cpu")]:
        paths = sorted(folder.glob(f"kernels/{library}/CMakeFiles/gradamp_{target}.dir/simd_*/*.o"))
        if not paths:
            raise AssertionError(f"{folder} has no objects of gradamp_{target}")
        for path in paths:
            yield SETS.match(path.parent.name).group(0), path


def shared_symbols(name, listing):
    """The defined symbols, visible to the linker, without the instruction set in their name."""
    for line in listing.splitlines():
        kind, symbol = line.split()[-2:]
        if kind.isupper() or kind in "vwu":
            if name not in symbol and symbol != "DW.ref.__gxx_personality_v0":
                yield symbol


class SimdSymbolsTest(unittest.TestCase):
    def test_objects(self):
        found = list(objects(BUILD))
        self.assertGreater(len(found), 4)
        wrong = []
        for name, path in found:
            listing = subprocess.run(["nm", "--defined-only", path], capture_output=True, text=True, check=True).stdout
            self.assertIn(name, listing)
            wrong += [f"{path.name} of {name}: {symbol}" for symbol in shared_symbols(name, listing)]
        self.assertEqual(wrong, [])

    def test_shared_symbols_are_found(self):
        listing = ("0000000000000000 W _ZNSt6vectorIfSaIfEED1Ev\n0000000000000010 T _ZN7gradamp9simd_avx214direct_forwardEv\n"
                   "0000000000000000 t _ZL5local\n0000000000000000 V DW.ref.__gxx_personality_v0\n")
        self.assertEqual(list(shared_symbols("simd_avx2", listing)), ["_ZNSt6vectorIfSaIfEED1Ev"])


if __name__ == "__main__":
    BUILD = pathlib.Path(sys.argv.pop(1))
    unittest.main()

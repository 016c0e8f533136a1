#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""No kernel spills registers, according to the compiler's report.

Usage: resources_test.py FOLDER ARCHITECTURES. kernels/cuda/keep_report.sh writes a .resources file beside each object
below FOLDER; ARCHITECTURES are those of the build, in CMake's format ("80-real;90").
"""
import pathlib
import re
import sys
import typing
import unittest

# The kernels that take most of a step's time: each must be present for each architecture.
HOT = ["forward_kernel", "backward_input_kernel", "backward_filter_kernel", "sum_parts_kernel",
       "apply_kernel", "backward_reduce_kernel", "backward_apply_kernel", "find_bad_gradient_kernel", "sgd_kernel",
       "neuron_gradients_kernel", "gather_kernel", "max_pool_kernel", "max_pool_backward_kernel"]
# Two blocks of 128 threads must fit a multiprocessor with 65536 registers.
MOST_REGISTERS = 255

ENTRY = re.compile(r"Compiling entry function '(?P<name>[^']+)' for '(?P<architecture>sm_\d+)")
FRAME = re.compile(r"(?P<stack>\d+) bytes stack frame, (?P<stores>\d+) bytes spill stores, (?P<loads>\d+) bytes spill loads")
USED = re.compile(r"Used (?P<registers>\d+) registers(?:.*?, (?P<shared>\d+) bytes smem)?")


class Kernel(typing.NamedTuple):
    name: str  # mangled
    architecture: str
    spilled: int  # bytes
    registers: int
    shared: int  # bytes, static


def read_report(text):
    """Yields a Kernel for each kernel of a report."""
    kernel = architecture = spilled = None
    for line in text.splitlines():
        if match := ENTRY.search(line):
            kernel, architecture, spilled = match["name"], match["architecture"], None
        elif kernel and (match := FRAME.search(line)):
            spilled = int(match["stores"]) + int(match["loads"])
        elif kernel and (match := USED.search(line)):
            yield Kernel(kernel, architecture, spilled, int(match["registers"]), int(match["shared"] or 0))
            kernel = None


class ResourcesTest(unittest.TestCase):
    folder = None
    architectures = ()

    def setUp(self):
        if not self.architectures:
            self.skipTest("the build has PTX only, which the driver compiles")
        self.kernels = []
        for file in sorted(self.folder.rglob("*.resources")):
            self.kernels += read_report(file.read_text(encoding="utf-8"))
        self.assertGreater(len(self.kernels), 50, f"{self.folder} has too few reports: was CUDA compiled there?")

    def test_no_kernel_spills(self):
        for kernel, architecture, spilled, registers, _ in self.kernels:
            with self.subTest(kernel=kernel, architecture=architecture):
                self.assertIsNotNone(spilled, "the report does not tell of spills")
                self.assertEqual(spilled, 0)
                self.assertLessEqual(registers, MOST_REGISTERS)

    def test_the_hot_kernels_are_there(self):
        for architecture in self.architectures:
            names = [kernel.name for kernel in self.kernels if kernel.architecture == architecture]
            for hot in HOT:
                # A mangled name has the length before it: naive_forward_kernel is no forward_kernel.
                self.assertTrue(any(f"{len(hot)}{hot}" in name for name in names), f"no {hot} for {architecture}")


class ReaderTest(unittest.TestCase):
    """The reader must detect a spill and shared memory."""

    def test_a_spill_is_seen(self):
        report = ("ptxas info    : Compiling entry function '_Z1fv' for 'sm_90'\n"
                  "    88 bytes stack frame, 140 bytes spill stores, 248 bytes spill loads\n"
                  "ptxas info    : Used 255 registers, used 1 barriers\n"
                  "ptxas info    : Compiling entry function '_Z1gv' for 'sm_80'\n"
                  "    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads\n"
                  "ptxas info    : Used 32 registers, used 1 barriers, 512 bytes smem, 640 bytes cmem[0]\n")
        self.assertEqual(list(read_report(report)),
                         [("_Z1fv", "sm_90", 388, 255, 0), ("_Z1gv", "sm_80", 0, 32, 512)])


if __name__ == "__main__":
    ResourcesTest.folder = pathlib.Path(sys.argv[1])
    # A virtual architecture has only PTX, which the driver compiles.
    real = [part for part in sys.argv[2].split(";") if not part.endswith("-virtual")]
    ResourcesTest.architectures = tuple("sm_" + re.match(r"\d+", part)[0] for part in real)
    unittest.main(argv=sys.argv[:1], verbosity=1)

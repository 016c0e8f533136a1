#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""No kernel spills registers or has a stack, and no wgmma is serialized, according to the compiler's report.

Usage: resources_test.py ARCHITECTURES FOLDER... kernels/cuda/keep_report.sh writes a .resources file beside each object
below a folder; ARCHITECTURES are those of the build, in CMake's format ("80-real;90").
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
# Those for Hopper's instructions, which are compiled for sm_90a alone.
HOPPER = ["hopper_forward_kernel", "hopper_backward_input_kernel", "hopper_backward_filter_kernel", "product_kernel",
          "boxes_kernel", "im2col_kernel"]
# Bytes of stack that are no mistake. Elsewhere a stack is an array that the compiler could not keep in registers.
STACKS = {"softmax_cross_entropy_kernel": 16, "smoothed_cross_entropy_kernel": 16}
# Two blocks of 128 threads must fit a multiprocessor with 65536 registers.
MOST_REGISTERS = 255

ENTRY = re.compile(r"Compiling entry function '(?P<name>[^']+)' for '(?P<architecture>sm_\d+a?)")
FRAME = re.compile(r"(?P<stack>\d+) bytes stack frame, (?P<stores>\d+) bytes spill stores, (?P<loads>\d+) bytes spill loads")
USED = re.compile(r"Used (?P<registers>\d+) registers(?:.*?, (?P<shared>\d+) bytes smem)?")
# "(C7514) Potential Performance Loss: wgmma.mma_async instructions are serialized due to ..." and its relatives.
WGMMA_NOTE = re.compile(r"\(C75\d\d\).*")


class Kernel(typing.NamedTuple):
    name: str  # mangled
    architecture: str
    spilled: int  # bytes
    registers: int
    shared: int  # bytes, static
    stack: int  # bytes

    def is_named(self, name):
        # A mangled name has the length before it: naive_forward_kernel is no forward_kernel.
        return f"{len(name)}{name}" in self.name


def read_report(text):
    """Yields a Kernel for each kernel of a report."""
    kernel = architecture = spilled = stack = None
    for line in text.splitlines():
        if match := ENTRY.search(line):
            kernel, architecture, spilled, stack = match["name"], match["architecture"], None, None
        elif kernel and (match := FRAME.search(line)):
            spilled, stack = int(match["stores"]) + int(match["loads"]), int(match["stack"])
        elif kernel and (match := USED.search(line)):
            yield Kernel(kernel, architecture, spilled, int(match["registers"]), int(match["shared"] or 0), stack)
            kernel = None


def wgmma_notes(text):
    return WGMMA_NOTE.findall(text)


class ResourcesTest(unittest.TestCase):
    folders = ()
    architectures = ()

    def setUp(self):
        if not self.architectures:
            self.skipTest("the build has PTX only, which the driver compiles")
        self.reports = [file.read_text(encoding="utf-8")
                        for folder in self.folders for file in sorted(folder.rglob("*.resources"))]
        self.kernels = [kernel for report in self.reports for kernel in read_report(report)]
        self.assertGreater(len(self.kernels), 50, f"{self.folders} have too few reports: was CUDA compiled there?")

    def test_no_kernel_spills(self):
        for kernel in self.kernels:
            with self.subTest(kernel=kernel.name, architecture=kernel.architecture):
                self.assertIsNotNone(kernel.spilled, "the report does not tell of spills")
                self.assertEqual(kernel.spilled, 0)
                self.assertLessEqual(kernel.registers, MOST_REGISTERS)
                expected = [stack for name, stack in STACKS.items() if kernel.is_named(name)]
                self.assertLessEqual(kernel.stack, max(expected, default=0))

    def test_no_wgmma_is_serialized(self):
        for report in self.reports:
            self.assertEqual(wgmma_notes(report), [])

    def test_the_hot_kernels_are_there(self):
        for architecture, names in [(each, HOT) for each in self.architectures] + [("sm_90a", HOPPER)]:
            kernels = [kernel for kernel in self.kernels if kernel.architecture == architecture]
            for hot in names:
                self.assertTrue(any(kernel.is_named(hot) for kernel in kernels), f"no {hot} for {architecture}")


class ReaderTest(unittest.TestCase):
    """The reader must detect a spill, a stack, shared memory and a note about wgmma."""

    def test_a_spill_is_seen(self):
        report = ("ptxas info    : Compiling entry function '_Z1fv' for 'sm_90'\n"
                  "    88 bytes stack frame, 140 bytes spill stores, 248 bytes spill loads\n"
                  "ptxas info    : Used 255 registers, used 1 barriers\n"
                  "ptxas info    : Compiling entry function '_Z1gv' for 'sm_90a'\n"
                  "    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads\n"
                  "ptxas info    : Used 32 registers, used 1 barriers, 512 bytes smem, 640 bytes cmem[0]\n")
        self.assertEqual(list(read_report(report)),
                         [("_Z1fv", "sm_90", 388, 255, 0, 88), ("_Z1gv", "sm_90a", 0, 32, 512, 0)])

    def test_a_note_about_wgmma_is_seen(self):
        note = "(C7514) Potential Performance Loss: wgmma.mma_async instructions are serialized due to ..."
        self.assertEqual(wgmma_notes(f"ptxas info    : {note}\nptxas info    : Used 9 registers\n"), [note])


if __name__ == "__main__":
    ResourcesTest.folders = [pathlib.Path(folder) for folder in sys.argv[2:]]
    # A virtual architecture has only PTX, which the driver compiles.
    real = [part for part in sys.argv[1].split(";") if not part.endswith("-virtual")]
    ResourcesTest.architectures = tuple("sm_" + re.match(r"\d+", part)[0] for part in real)
    unittest.main(argv=sys.argv[:1], verbosity=1)

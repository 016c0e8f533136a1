#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Cross-compiles for aarch64 and runs the tests of core, the emulator and the CPU backend, and the program, with qemu.

Usage: aarch64_test.py BUILD GRADAMP

BUILD is a folder for the build for aarch64; a second run builds only what changed. GRADAMP is the program for this
machine, whose training must agree. Skipped without the cross compiler, qemu-aarch64 or the libraries for aarch64
(tools/package/aarch64.cmake says where they can be).
"""
import os
import pathlib
import shutil
import subprocess
import sys
import unittest

import processors_test

ROOT = pathlib.Path(__file__).resolve().parents[2]
COMPILER = "aarch64-linux-gnu-g++"
SYSROOT = os.environ.get("GRADAMP_AARCH64_ROOT", "")
QEMU = ["qemu-aarch64", *(["-L", SYSROOT] if SYSROOT else [])]
LIBRARIES = ("fmt", "curl", "archive", "crypto", "gtest", "gmock")
TARGETS = ("gradamp", "core_tests", "kernels_tests", "emulation_tests", "cuda_intrinsics_tests", "race_tests")
# Left out: tests on the device emulated, which take too long under qemu (the emulator's own tests run). Tests that
# fork: qemu 7.2 fails if a program with threads forks and the child starts a thread ("assertion failed: (cpu ==
# current_cpu)"). Some tests that take minutes, among them the convolutions of Conformance and Differences; Direct and
# Winograd compute many shapes of convolutions.
CORE_FILTER = "-*emulated*:*Fork*:*HalfAMillion*"
KERNELS_FILTER = ("*cpu*:*Direct*:*Winograd*:RegisterK*:InstructionSet*:MakeBackend*:ConvolutionRule*"
                  "-*emulated*:*cpu_3*:*conv2d*:*Fork*:SelfCheck*:WinogradError*:CpuThreads*:"
                  "*Winograd.IsWithinTheBounds*")

build = gradamp = None


def missing() -> str | None:
    """Why these tests cannot run here, or None."""
    for program, package in ((COMPILER, "g++-aarch64-linux-gnu"), (QEMU[0], "qemu-user")):
        if not shutil.which(program):
            return f"there is no {program} (Debian: {package})"
    command = [COMPILER, *([f"--sysroot={SYSROOT}"] if SYSROOT else []), "-x", "c++", "-", "-o", os.devnull,
               *(f"-l{library}" for library in LIBRARIES)]
    linked = subprocess.run(command, input="int main() {}", capture_output=True, text=True)
    lacking = [library for library in LIBRARIES if f"cannot find -l{library}" in linked.stderr]
    if lacking:
        return f"no libraries for aarch64: {', '.join(lacking)} (tools/package/aarch64.cmake)"
    return None


def run(*command):
    done = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, command))}: exit code {done.returncode}\n{done.stdout[-6000:]}")
    return done.stdout


class Aarch64Test(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        if why := missing():
            raise unittest.SkipTest(why)
        run("cmake", "-S", ROOT, "-B", build, "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Release", "-DGRADAMP_CUDA=OFF",
            "-DGRADAMP_BENCH=OFF", f"-DCMAKE_TOOLCHAIN_FILE={ROOT}/tools/package/aarch64.cmake",
            f"-DGRADAMP_AARCH64_ROOT={SYSROOT}")
        run("cmake", "--build", build, "--target", *TARGETS)

    def run_tests(self, program, *options):
        out = run(*QEMU, build / "tests" / program, "--gtest_brief=1", *options)
        print(program, *out.splitlines()[-1:], flush=True)
        self.assertIn("[  PASSED  ] ", out)

    def test_core(self):
        self.run_tests("core_tests", f"--gtest_filter={CORE_FILTER}")

    def test_cpu_backend(self):
        self.run_tests("kernels_tests", f"--gtest_filter={KERNELS_FILTER}")

    def test_emulator(self):
        self.run_tests("kernels/emulation/cuda_intrinsics_tests")
        self.run_tests("kernels/emulation/emulation_tests")
        self.run_tests("kernels/emulation/race/race_tests")

    def test_symbols(self):
        run(sys.executable, ROOT / "tests" / "kernels" / "cpu" / "simd_symbols_test.py", build)

    def test_program(self):
        self.assertIn("neon", run(*QEMU, build / "gradamp", "info", "--threads", "1"))
        expected = processors_test.losses(program=[gradamp])
        got = processors_test.losses(program=[*QEMU, build / "gradamp"])
        print("losses here", *expected, "and on aarch64", *got, flush=True)
        for here, there in zip(expected, got):
            self.assertAlmostEqual(there, here, delta=1e-5 * here)


if __name__ == "__main__":
    build, gradamp = (pathlib.Path(argument).resolve() for argument in sys.argv[1:3])
    program = unittest.main(argv=[sys.argv[0], *sys.argv[3:]], verbosity=2, exit=False)
    if program.result.skipped:
        print("skipped:", program.result.skipped[0][1])
        sys.exit(77)
    sys.exit(not program.result.wasSuccessful())

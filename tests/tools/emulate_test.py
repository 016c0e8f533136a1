#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs `gradamp emulate` on plain CUDA programs.

Usage: emulate_test.py GRADAMP [TEST...]

Every program of emulate/programs checks its own result. Every file of emulate/faults has one mistake: a comment has the
expected message, in which LINE is the line that is marked with FAULT. emulate/mistakes.cu has many, and says how.
"""
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest

FOLDER = pathlib.Path(__file__).resolve().parent / "emulate"
# These run with every build; the others are long tests.
USUAL_PROGRAMS = {"reduction", "groups", "wmma", "streams"}
USUAL_FAULTS = {"lost_barrier", "race", "past_the_end", "shuffle_mask", "host_access"}

gradamp = None


def emulate(*arguments, **options):
    return subprocess.run([gradamp, "emulate", *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True, check=False, timeout=300, **options)


class EmulateTest(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory(prefix="gradamp emulate ")
        self.addCleanup(scratch.cleanup)
        self.folder = pathlib.Path(scratch.name)

    def write(self, name, text):
        path = self.folder / name
        path.write_text(text)
        return path

    def assert_runs(self, name, *options):
        done = emulate(FOLDER / "programs" / f"{name}.cu", *options)
        self.assertEqual((done.returncode, done.stderr), (0, ""), name)

    def assert_found(self, name):
        path = FOLDER / "faults" / f"{name}.cu"
        text = path.read_text()
        line = next(number for number, code in enumerate(text.splitlines(), 1) if code.endswith("// FAULT"))
        expected = re.search(r'^// reported: "(.*)"$', text, re.MULTILINE)[1].replace("LINE", str(line))
        done = emulate(path, *(["--race"] if "// needs --race" in text else []))
        self.assertRegex(done.stderr, expected)
        self.assertEqual(done.returncode, 1, name)


class Programs(EmulateTest):
    def test_usual_programs(self):
        for name in sorted(USUAL_PROGRAMS):
            with self.subTest(name):
                self.assert_runs(name)


class Faults(EmulateTest):
    def test_usual_faults(self):
        for name in sorted(USUAL_FAULTS):
            with self.subTest(name):
                self.assert_found(name)


class Mistakes(EmulateTest):
    def test_each_is_reported(self):
        """Two cases of mistakes.cu, whose expected message is empty, are right."""
        source, program = FOLDER / "mistakes.cu", self.folder / "mistakes"
        done = emulate(source, "--race", "-o", program)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        lines = list(enumerate(source.read_text().splitlines(), 1))
        marked = {case: line for line, code in lines for case in re.findall(r"LINE (\d+)", code)}
        cases = [(line, *case) for line, code in lines for case in re.findall(r'case (\d+):.*// "(.*)"$', code)]
        self.assertGreaterEqual(len(cases), 20)
        for line, case, expected in cases:
            with self.subTest(case):
                done = subprocess.run([program, case], check=False, capture_output=True, text=True, timeout=60)
                self.assertRegex(done.stderr, expected.replace("LINE", str(marked.get(case, line))) or "^$")
                self.assertEqual(done.returncode != 0, expected != "")

    def test_locks_have_no_race(self):
        self.assert_runs("locks", "--race")


class Command(EmulateTest):
    def test_a_program_of_two_files_with_arguments(self):
        """Its exit code, its arguments, a macro, a folder of headers, and a name with a space."""
        (self.folder / "headers").mkdir()
        self.write("headers/scale.cuh", "#pragma once\n__global__ void scale(int* x);\n")
        first = self.write("first file.cu", """#include "scale.cuh"
#include <cstdio>
#include <cstdlib>
int main(int argc, char** argv) {
  int* x;
  cudaMallocManaged(&x, 4);
  *x = atoi(argv[1]);
  scale<<<1, 1>>>(x);
  cudaDeviceSynchronize();
  printf("%d %s\\n", argc, argv[2]);
  return *x;
}
""")
        second = self.write("second.cu", '#include "scale.cuh"\n__global__ void scale(int* x) { *x *= FACTOR; }\n')
        done = emulate("-arch=sm_80", "-O3", first, second, "-I", self.folder / "headers", "-D", "FACTOR=3", "-std=c++17",
                       "-Xcompiler", "-DUNUSED,-Wall", "-lm", "--debug", "--", "4", "a b")
        self.assertEqual((done.stdout, done.returncode), ("3 a b\n", 12), done.stderr)
        self.assertEqual(done.stderr, "gradamp emulate: these options of nvcc have no effect here: -arch=sm_80 -O3 "
                                      "-std=c++17 -lm\n")
        done = emulate(first, "-lcublas")
        self.assertRegex(done.stderr, "-lcublas: the emulator leaves out NVIDIA's library cuBLAS: ")
        self.assertEqual(done.returncode, 2)

    def test_a_file_of_windows(self):
        """A byte order mark and carriage returns; an error has the right line."""
        source = self.folder / "windows.cu"
        text = ("#define ONE \\\n  1\n__global__ void k(int* x) { *x = ONE; }\n"
                "int main() {\n  k<<<1, ONE>>>(nullptr);\n}\n")
        source.write_bytes(("\ufeff" + text.replace("\n", "\r\n")).encode())
        done = emulate(source, "--debug")
        self.assertRegex(done.stderr, r"^gradamp emulate: kernel launched at windows\.cu:5: .* access to address \S+ which is "
                                      r"not the device's memory, at windows\.cu:3\n  hint: the pointer is null.*\n$")
        self.assertEqual(done.returncode, 1)

    def test_an_interrupted_program_leaves_no_folder(self):
        source = self.write("long.cu", '#include <cstdio>\n#include <unistd.h>\n'
                                       'int main() { puts("begins"); fflush(stdout); sleep(100); }\n')
        scratch = self.folder / "scratch"
        scratch.mkdir()
        # A shell's job in the background ignores this signal, as would its children.
        self.addCleanup(signal.signal, signal.SIGINT, signal.signal(signal.SIGINT, signal.default_int_handler))
        with subprocess.Popen([gradamp, "emulate", "--debug", source], env={**os.environ, "TMPDIR": str(scratch)},
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True) as running:
            self.assertEqual(running.stdout.readline(), b"begins\n")
            self.assertNotEqual(list(scratch.iterdir()), [])
            os.killpg(running.pid, signal.SIGINT)  # as the terminal does
            self.assertEqual(running.wait(timeout=60), 128 + signal.SIGINT)
        self.assertEqual(list(scratch.iterdir()), [])

    def test_a_program_is_kept(self):
        source = self.write("order.cu", """#include "own.h"
__device__ int last;
__global__ void k() { last = threadIdx.x; }
int main() {
  k<<<1, 32>>>();
  cudaDeviceSynchronize();
  return last;
}
""")
        self.write("own.h", "#include <cuda_runtime.h>\n")
        program, rule = self.folder / "a program", self.folder / "rule"
        done = emulate(source, "--debug", "-o", program, "--dependencies", rule)
        self.assertEqual((done.stderr, done.returncode), ("", 0))
        self.assertRegex(rule.read_text(), r"^.*/a\\ program: .*/order\.cu .*/own\.h\n$")
        for order, expected in [("forward", 31), ("reverse", 0)]:
            done = subprocess.run([program], env={**os.environ, "GRADAMP_EMULATION_ORDER": order}, check=False)
            self.assertEqual(done.returncode, expected)
        done = subprocess.run([program], env={**os.environ, "GRADAMP_EMULATION_ORDER": "x"}, check=False,
                              stderr=subprocess.PIPE, text=True)
        self.assertIn("GRADAMP_EMULATION_ORDER: expected forward, reverse or shuffled, got 'x'", done.stderr)

    def test_errors_of_the_compiler(self):
        source = self.write("wrong.cu", "\n\nint main() { cudaMallocs(nullptr); }\n")
        done = emulate(source)
        self.assertEqual(done.returncode, 1)
        self.assertIn(f"{source}:3:", done.stderr)
        self.assertRegex(done.stderr, r"the emulator does not have cudaMallocs; it has these names of CUDA's runtime, the "
                                      r"nearest first:\n +cudaMalloc ")
        source = self.write("header.cu", "#include <thrust/sort.h>\nint main() {}\n")
        self.assertRegex(emulate(source).stderr, r"does not have thrust/sort.h; it has these headers of CUDA.*\n[^§]*mma\.h")

    def test_a_missing_compiler_is_named(self):
        source = self.write("a.cu", "int main() {}\n")
        done = emulate(source, env={**os.environ, "CXX": "no-such-compiler"})
        self.assertEqual(done.stderr, "gradamp: CXX names the compiler no-such-compiler, which is not there: expected GCC "
                                      "11, Clang 14 or newer\n")
        done = emulate(source, env={"PATH": str(self.folder)})
        self.assertIn("gradamp: expected a C++ compiler (GCC 11, Clang 14 or newer), but there is neither c++ nor g++ nor "
                      "clang++ on PATH", done.stderr)
        self.assertEqual(done.returncode, 1)

    def test_a_missing_file_is_named(self):
        done = emulate(self.folder / "nothing.cu")
        self.assertEqual((done.returncode, done.stderr),
                         (1, f"gradamp: {self.folder}/nothing.cu: cannot be read: No such file or directory\n"))


class LongTest(EmulateTest):
    def test_all_programs_in_every_order(self):
        programs = sorted(path.stem for path in (FOLDER / "programs").glob("*.cu"))
        self.assertGreaterEqual(len(programs), 20)
        self.assertLessEqual(USUAL_PROGRAMS, set(programs))
        for name in programs:
            with self.subTest(name):
                program = self.folder / name
                self.assertEqual(emulate(FOLDER / "programs" / f"{name}.cu", "-o", program).returncode, 0)
                for order in ("forward", "reverse", "shuffled"):
                    done = subprocess.run([program], env={**os.environ, "GRADAMP_EMULATION_ORDER": order}, check=False,
                                          capture_output=True, text=True, timeout=300)
                    self.assertEqual((done.returncode, done.stderr), (0, ""), (name, order))

    def test_no_program_has_a_race(self):
        for path in sorted((FOLDER / "programs").glob("*.cu")):
            with self.subTest(path.stem):
                self.assert_runs(path.stem, "--race")

    def test_all_faults(self):
        faults = sorted(path.stem for path in (FOLDER / "faults").glob("*.cu"))
        self.assertGreaterEqual(len(faults), 12)
        self.assertLessEqual(USUAL_FAULTS, set(faults))
        for name in faults:
            with self.subTest(name):
                self.assert_found(name)

    def test_without_race(self):
        """A negative index into a variable: the launch's line is known."""
        program = self.folder / "mistakes"
        self.assertEqual(emulate(FOLDER / "mistakes.cu", "-o", program).returncode, 0)
        done = subprocess.run([program, "24"], check=False, capture_output=True, text=True, timeout=60)
        self.assertRegex(done.stderr, r"kernel launched at mistakes\.cu:\d+: something was written just before table")
        self.assertEqual(done.returncode, 1)

    def test_clang(self):
        if shutil.which("clang++") is None:
            return
        for name, options in [("matmul", ()), ("wmma", ()), ("scan", ("--race",))]:
            done = emulate(FOLDER / "programs" / f"{name}.cu", *options, env={**os.environ, "CXX": "clang++"})
            self.assertEqual((done.returncode, done.stderr), (0, ""), name)


def main():
    global gradamp
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    gradamp = sys.argv[1]
    unittest.main(argv=[sys.argv[0], *sys.argv[2:]], verbosity=2)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""No program of the build needs cuBLAS, cuDNN or the driver in order to start: they are loaded at their first use.

Usage: needed_libraries_test.py BUILD COMPILER.
"""
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

BUILD, COMPILER = None, None
LOADED_LATER = re.compile(r"lib(cublas|cublasLt|cudnn\w*|cuda|nvrtc)\.so")
NEEDED = re.compile(r"\(NEEDED\)\s+Shared library: \[([^\]]+)\]")


def programs(folder):
    """The executable ELF files below `folder`, libraries included."""
    for path in sorted(folder.rglob("*")):
        if not path.is_file() or path.is_symlink() or path.suffix in (".o", ".a") or not path.stat().st_mode & 0o100:
            continue
        with path.open("rb") as file:
            if file.read(4) == b"\x7fELF":
                yield path


def needed(path):
    listing = subprocess.run(["readelf", "-d", path], capture_output=True, text=True, check=True).stdout
    return NEEDED.findall(listing)


def violations(folder):
    return [f"{path}: {name}" for path in programs(folder) for name in needed(path) if LOADED_LATER.match(name)]


class NeededLibrariesTest(unittest.TestCase):
    def test_no_program_needs_what_is_loaded_later(self):
        found = [path.name for path in programs(BUILD)]
        self.assertIn("convolution_bench", found)
        self.assertIn("gradamp", found)
        self.assertEqual(violations(BUILD), [])

    def test_a_program_that_needs_one_is_seen(self):
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            (folder / "library.cpp").write_text("int answer() { return 42; }\n")
            (folder / "program.cpp").write_text("int answer();\nint main() { return answer(); }\n")
            for library in ("libcublas.so.13", "libcudnn_ops.so.9", "libcuda.so.1", "libother.so.1"):
                subprocess.run([COMPILER, "-shared", "-fPIC", f"-Wl,-soname,{library}", "-o", folder / library,
                                folder / "library.cpp"], check=True)
                subprocess.run([COMPILER, "-o", folder / "program", folder / "program.cpp", folder / library], check=True)
                expected = [] if library.startswith("libother") else [f"{folder / 'program'}: {library}"]
                self.assertEqual(violations(folder), expected)


if __name__ == "__main__":
    BUILD, COMPILER = pathlib.Path(sys.argv[1]), sys.argv[2]
    unittest.main(argv=sys.argv[:1], verbosity=1)

#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Tests of tools/torch_without_cuda.py on small libraries that are linked like PyTorch's."""

import pathlib
import subprocess
import sys
import tempfile
import unittest

SCRIPT = pathlib.Path(__file__).resolve().parents[2] / "tools" / "torch_without_cuda.py"


def load(library: pathlib.Path, then: str = "") -> subprocess.CompletedProcess:
    """Loads the library in a separate process."""
    return subprocess.run([sys.executable, "-c", f"import ctypes; torch = ctypes.CDLL({str(library)!r}); {then}"],
                          capture_output=True, text=True)


class TorchWithoutCuda(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.site_packages = pathlib.Path(scratch.name)
        self.folder = self.site_packages / "torch" / "lib"
        self.folder.mkdir(parents=True)

    def compile(self, name: str, source: str, *options: str) -> pathlib.Path:
        file = self.folder / name
        subprocess.run(["cc", "-shared", "-fPIC", f"-Wl,-soname,{name}", "-Wl,-rpath,$ORIGIN", "-Wl,--no-as-needed",
                        "-x", "c", "-", "-o", file, *options], input=source, text=True, check=True)
        return file

    def torch(self, *libraries: pathlib.Path) -> pathlib.Path:
        """A library that calls a versioned function, and stores the addresses of another versioned function and of one
        without a version."""
        return self.compile("libtorch.so", """
            extern int cupretendCreate(void), cupretendDestroy(void), ncclPretendInit(void);
            int (*kept[2])(void) = {cupretendDestroy, ncclPretendInit};
            int create(void) { return cupretendCreate(); }
            int alone(void) { return 42; }
        """, "-x", "none", *map(str, libraries))

    def libraries(self) -> list[pathlib.Path]:
        versions = self.folder / "versions"
        versions.write_text("PRETEND_13 { global: *; };")
        source = "int cupretendCreate(void) { return 7; } int cupretendDestroy(void) { return 0; }"
        first = self.compile("libcupretend.so.13", source, f"-Wl,--version-script={versions}")
        second = self.compile("libncclpretend.so.2", "int ncclPretendInit(void) { return 0; }")
        return [first, second]

    def prepare(self) -> str:
        return subprocess.run([sys.executable, SCRIPT, self.site_packages], check=True,
                              capture_output=True, text=True).stdout

    def test_loads_without_what_it_links(self):
        libraries = self.libraries()
        torch = self.torch(*libraries)
        for library in libraries:
            library.unlink()
        self.assertIn("libcupretend.so.13: cannot open", load(torch).stderr)
        self.assertIn("libcupretend.so.13, libncclpretend.so.2", self.prepare())
        done = load(torch, "print(torch.alone())")
        self.assertEqual((done.stdout, done.stderr), ("42\n", ""))

    def test_call_ends_with_a_message(self):
        libraries = self.libraries()
        torch = self.torch(*libraries)
        for library in libraries:
            library.unlink()
        self.prepare()
        done = load(torch, "torch.create()")
        self.assertLess(done.returncode, 0)
        self.assertEqual(done.stderr, "gradamp's test environment has PyTorch for the CPU only: "
                                      "libcupretend.so.13 is not installed\n")

    def test_installed_library_stays(self):
        first, second = self.libraries()
        torch = self.torch(first, second)
        second.unlink()
        self.assertNotIn("cupretend", self.prepare())
        self.assertEqual(load(torch, "print(torch.create())").stdout, "7\n")

    def test_driver_is_left_alone(self):
        driver = self.compile("libcuda.so.1", "")
        self.compile("libtorch.so", "", "-x", "none", str(driver))
        driver.unlink()
        self.assertIn("none", self.prepare())
        self.assertFalse(driver.exists())

    def test_no_torch(self):
        done = subprocess.run([sys.executable, SCRIPT, self.site_packages],
                              capture_output=True, text=True)
        self.assertEqual((done.returncode, done.stderr), (1, f"there is no PyTorch in {self.site_packages}\n"))


if __name__ == "__main__":
    unittest.main()

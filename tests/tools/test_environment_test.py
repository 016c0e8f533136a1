#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Tests of tools/test_environment.py with small packages that the tests create, so that no network is needed."""

import os
import pathlib
import subprocess
import sys
import tempfile
import unittest
import zipfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "tools" / "test_environment.py"
REQUIREMENTS = """# A remark that is no group.

# plots
gradamp-plots=={plots}

# CUDA's disassembler
gradamp-disassembler==1.0
"""


class EnvironmentCase(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.scratch.cleanup)
        cls.wheels = pathlib.Path(cls.scratch.name, "wheels")
        cls.wheels.mkdir()
        for name, version in [("plots", "1.0"), ("plots", "2.0"), ("disassembler", "1.0")]:
            cls.write_wheel(f"gradamp_{name}", version)
        cls.folder = pathlib.Path(cls.scratch.name, "environment")
        cls.requirements = pathlib.Path(cls.scratch.name, "requirements.txt")

    @classmethod
    def write_wheel(cls, name: str, version: str) -> None:
        with zipfile.ZipFile(cls.wheels / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
            info = f"{name}-{version}.dist-info"
            wheel.writestr(f"{name}.py", f"VERSION = '{version}'\n")
            wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
            wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            wheel.writestr(f"{info}/RECORD", "")

    def make(self, *options: str, plots: str = "1.0", folder: pathlib.Path | None = None, expect: int = 0,
             **environment: str) -> list[str]:
        """Runs the script. Returns the lines that it prints."""
        self.requirements.write_text(REQUIREMENTS.format(plots=plots))
        done = subprocess.run(
            [sys.executable, SCRIPT, folder or self.folder, "--requirements", self.requirements, *options], text=True,
            env={**os.environ, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(self.wheels), **environment},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.assertEqual(done.returncode, expect, done.stdout)
        return done.stdout.splitlines()

    def version(self, name: str) -> str:
        """The version of a package in the environment, or an empty string if it is not installed."""
        return subprocess.run([self.folder / "bin" / "python", "-c", f"import {name}; print({name}.VERSION)"],
                              capture_output=True, text=True).stdout.strip()


class Environment(EnvironmentCase):
    def test_life_of_an_environment(self):
        self.assertEqual(self.make("--empty"), [])
        self.assertEqual(self.version("gradamp_plots"), "")
        making, = self.make()
        self.assertIn("Installing the tests' Python packages", making)
        self.assertEqual((self.version("gradamp_plots"), self.version("gradamp_disassembler")), ("1.0", ""))
        self.assertEqual(self.make(), [], "a second call has nothing to do")
        self.assertEqual(len(self.make("--cuda")), 1)
        self.assertEqual((self.version("gradamp_plots"), self.version("gradamp_disassembler")), ("1.0", "1.0"))
        self.assertEqual(len(self.make("--cuda", plots="2.0")), 1)
        self.assertEqual(self.version("gradamp_plots"), "2.0")

    def test_no_environment_at_all(self):
        line, = self.make(folder=pathlib.Path("/dev/null/environment"), expect=1)
        self.assertRegex(line, "^The tests have no Python environment; .* skipped: .*/dev/null")

    def test_requirements_are_complete(self):
        """Every requirement of the repository has exactly one version and no URL."""
        sys.path.insert(0, str(ROOT / "tools"))
        import test_environment
        groups = test_environment.groups_of((ROOT / "tests" / "requirements.txt").read_text())
        self.assertEqual(list(groups), ["TensorBoard's reader", "PyTorch", "CUDA's disassembler"])
        versions = {}
        for requirement in sum(groups.values(), []):
            self.assertRegex(requirement, r"^[\w-]+==[\w.]+$")
            name, version = requirement.split("==")
            self.assertEqual(versions.setdefault(name, version), version, "two groups differ")


class LongTest(EnvironmentCase):
    def test_what_goes_wrong_is_told_and_tried_again(self):
        self.make("--cuda", plots="2.0")

        # One group cannot be installed: the script prints one line, installs the other group, and tries again in the
        # next call.
        (self.folder / "installed").unlink()
        subprocess.run([self.folder / "bin" / "python", "-m", "pip", "uninstall", "-qy", "gradamp-disassembler"],
                       check=True)
        _, line = self.make("--cuda", plots="3.0")
        self.assertRegex(line, "^Tests that need plots are skipped, since .* installed: ERROR: .*gradamp-plots")
        self.assertEqual(self.version("gradamp_disassembler"), "1.0")
        self.assertEqual(len(self.make("--cuda", plots="3.0")), 2)
        self.assertEqual(len(self.make("--cuda", plots="2.0")), 1)
        self.assertEqual(self.make("--cuda", plots="2.0"), [])

        # There is no network.
        (self.folder / "installed").unlink()
        _, *lines = self.make(plots="3.0", PIP_NO_INDEX="", PIP_FIND_LINKS="", PIP_INDEX_URL="https://127.0.0.1:9/")
        self.assertEqual(lines, ["Tests that need plots are skipped, since the package cannot be installed: the package "
                                 "index cannot be reached"])

        # The Python that created the environment was removed.
        (self.folder / "bin" / "python").unlink()
        (self.folder / "bin" / "python").symlink_to("/gone/python")
        self.assertEqual(len(self.make("--cuda", plots="2.0")), 1)
        self.assertEqual(self.version("gradamp_plots"), "2.0")


if __name__ == "__main__":
    unittest.main()

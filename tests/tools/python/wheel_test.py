#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes the wheel as a user does, installs it, and runs the example with it. Skipped if Python has no torch. Arguments:
the build folder, and the tests to run."""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[3]
EXAMPLES = ROOT / "tools" / "examples"
EXAMPLE = EXAMPLES / "amplify_pytorch" / "train.py"


def run(*command, expect=0, **environment):
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("GRADAMP_", "PYTHON"))}
    done = subprocess.run([str(word) for word in command], env={**clean, **environment}, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode != expect:
        raise AssertionError(f"{command}: exit code {done.returncode}\n{done.stdout[-4000:]}")
    return done.stdout


def write_cifar(path, count):
    """Images whose brightest channel and half tell their class."""
    import numpy
    random = numpy.random.default_rng(count)
    labels = random.integers(0, 6, count).astype(numpy.uint8)
    images = random.integers(0, 100, (count, 3, 2, 512)).astype(numpy.uint8)
    images[numpy.arange(count), labels % 3, labels // 3] += 120
    numpy.concatenate([labels[:, None], images.reshape(count, -1)], axis=1).tofile(path)


class WheelCase(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.scratch.cleanup)
        cls.folder = pathlib.Path(cls.scratch.name)
        run("cmake", "--build", BUILD, "--target", "gradamp_wheel")
        (cls.wheel,) = (BUILD / "python").glob("*.whl")
        cls.site = cls.folder / "site"
        run(sys.executable, "-m", "pip", "install", "--no-index", "--no-deps", "--quiet", "--target", cls.site,
            cls.wheel)


class WheelTest(WheelCase):
    def test_its_name_says_the_least_glibc(self):
        self.assertRegex(self.wheel.name, r"^gradamp-\d+\.\d+\.\d+-py3-none-manylinux_2_\d+_\w+\.whl$")
        least = int(re.search(r"manylinux_2_(\d+)", self.wheel.name)[1])
        needed = run("readelf", "--version-info", self.site / "gradamp" / "libgradamp_statistics.so")
        self.assertEqual(max(map(int, re.findall(r"GLIBC_2\.(\d+)", needed))), least)

    def test_pytorch_is_an_extra(self):
        (metadata,) = self.site.glob("gradamp-*.dist-info/METADATA")
        lines = metadata.read_text(encoding="utf-8").partition("\n\n")[0].splitlines()
        self.assertEqual([line for line in lines if "torch" in line and not line.startswith("Summary")],
                         ["Provides-Extra: torch", 'Requires-Dist: torch; extra == "torch"',
                          'Requires-Dist: safetensors; extra == "torch"'])

    def test_the_same_files_give_the_same_bytes(self):
        before = self.wheel.read_bytes()
        run("cmake", "--build", BUILD, "--target", "gradamp_wheel")
        self.assertEqual(self.wheel.read_bytes(), before)

    def test_the_example_trains_with_five_added_lines(self):
        self.assertEqual(EXAMPLE.read_text().count("  # +\n"), 5)
        data = self.folder / "data"
        data.mkdir()
        write_cifar(data / "data_batch_1.bin", 1280)
        write_cifar(data / "test_batch.bin", 300)
        printed = run(sys.executable, EXAMPLE, data, 6, PYTHONPATH=str(self.site))
        accuracies = [float(text) for text in re.findall(r"test accuracy ([\d.]+)%", printed)]
        self.assertEqual(len(accuracies), 6)
        self.assertGreater(accuracies[-1], 90)  # 17% is chance
        self.assertEqual(printed.count("noise floor of G and G'"), 2)  # two phases amplify
        self.assertRegex(printed, r"\n[ *] 5  +0\.\d+")

    def test_it_lives_beside_pytorchs_threads(self):
        """Both compute in turn, in the process and in a fork of it; and no name of theirs is taken."""
        run(sys.executable, "-c", """
import os, torch, gradamp.torch
model = torch.nn.Linear(300, 300)
statistics = gradamp.torch.GradientStatistics(model)
def work():
    for _ in range(20):
        model.zero_grad(); model(torch.randn(64, 300)).square().sum().backward(); statistics.accumulate()
work()
if (child := os.fork()) == 0:
    statistics.accumulate(); assert statistics.iterations == 21; os._exit(0)
assert os.waitpid(child, 0)[1] == 0
work()
assert statistics.iterations == 40
""", PYTHONPATH=str(self.site))

    def test_a_library_that_is_missing_is_named(self):
        broken = self.folder / "broken"
        shutil.copytree(self.site, broken)
        (broken / "gradamp" / "libgradamp_statistics.so").unlink()
        printed = run(sys.executable, "-c", "import gradamp", expect=1, PYTHONPATH=str(broken))
        self.assertIn("libgradamp_statistics.so", printed.splitlines()[-1])


class LongTest(WheelCase):
    def test_the_transformer_learns_a_text(self):
        words = "the gradient of a layer is what its weights receive from the loss ".split()
        text = self.folder / "text"
        text.write_text(" ".join(words[(i * i + i // 7) % len(words)] for i in range(6000)))
        printed = run(sys.executable, EXAMPLES / "amplify_transformer" / "train.py", text, 5, PYTHONPATH=str(self.site))
        losses = [float(value) for value in re.findall(r"test loss ([\d.]+)", printed)]
        self.assertEqual(len(losses), 5)
        self.assertLess(losses[-1], 1.6)  # of letters by their frequencies alone it would be 2.61
        self.assertRegex(printed, r"\n[ *] blocks\.layers\.0\.self_attn +0\.\d+ +[+-]")
        self.assertIn("noise floor of G and G'", printed)


if __name__ == "__main__":
    BUILD = pathlib.Path(sys.argv.pop(1)).resolve()
    unittest.main()

#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Tests of what gradamp's Python package reads and writes: strategies, runs, weights of networks. Skipped if Python has no
torch. Arguments: the library libgradamp_statistics.so, and the tests to run."""

import copy
import json
import os
import pathlib
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[3]
if __name__ == "__main__":
    os.environ["GRADAMP_STATISTICS_LIBRARY"] = str(pathlib.Path(sys.argv.pop(1)).resolve())
sys.path[:0] = [str(ROOT / "tools" / "python"), str(ROOT / "tests" / "oracle")]
try:
    import numpy  # noqa: F401
    import torch
    from safetensors.torch import load_file, save_file
except ImportError as missing:
    print(f"skipped: Python has no module {missing.name} (pip install torch numpy safetensors)")
    sys.exit(77)

import gradamp  # noqa: E402
import gradamp.torch  # noqa: E402
import networks  # noqa: E402
from gradamp.strategy import Strategy  # noqa: E402


class StrategyTest(unittest.TestCase):
    def test_scaled_as_the_engine_does(self):
        # Printed by the engine (README.md), and by hand.
        self.assertEqual(str(Strategy("params_1", 16)), "5:0.1, 11:0.1:2, 14:0.01:2, 16:0.01")
        self.assertEqual(str(Strategy("params_1")), "50:0.1, 100:0.1:2, 130:0.01:2, 150:0.01")
        self.assertEqual(str(Strategy("params_2", 4)), "1:0.1, 2:0.1:2, 3:0.01:2, 4:0.01")

    def test_windows(self):
        plans = [Strategy("8:0.1:3, 9:0.1", reselect_every=3).plan(epoch) for epoch in range(1, 10)]
        # The first epoch, then windows of three: 2 to 4 and 5 to 7; the phase could not use that from 8 on.
        self.assertEqual([epoch for epoch, plan in enumerate(plans, 1) if plan.analyzed], [1, 2, 3, 4, 5, 6, 7])
        self.assertEqual([epoch for epoch, plan in enumerate(plans, 1) if plan.select], [1, 4, 7])
        self.assertEqual([epoch for epoch, plan in enumerate(plans, 1) if plan.clear_sums], [1, 2, 5])
        self.assertEqual([plan.amplified for plan in plans], [False] + [True] * 7 + [False])

    def test_wrong_ones_are_refused(self):
        for text, message in (("5:0.1, 5:0.1", "got 5 after 5"), ("5:-1", "learning rate above 0"),
                              ("5:0.1:inf", "amplification factor above 0"), ("x", "cannot read the phase 'x'")):
            with self.assertRaisesRegex(ValueError, message):
                Strategy(text)


class RunTest(unittest.TestCase):
    def test_a_run_is_read(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder)
            with self.assertRaisesRegex(FileNotFoundError, "has no config.json"):
                gradamp.load_run(folder)
            (path / "config.json").write_text('{"settings": {"network": "resnet8"}}')
            lines = [{"epoch": 1, "train_loss": 2.5},
                     {"epoch": 2, "train_loss": None, "not_finite": {"train_loss": "nan"}}]
            (path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"epoch": 3')
            self.assertEqual(gradamp.load_run(folder).measures, [])
            (path / "measures.jsonl").write_text('{"first_epoch": 1, "epoch": 2, "layer": "conv1", "g": 0.5}\n')
            run = gradamp.load_run(folder)
            self.assertEqual(run.measures, [{"first_epoch": 1, "epoch": 2, "layer": "conv1", "g": 0.5}])
            self.assertEqual((run.settings["network"], run.layers, len(run.metrics)), ("resnet8", [], 2))
            self.assertNotEqual(run.metrics[1]["train_loss"], run.metrics[1]["train_loss"])
            self.assertEqual((run.normalization, run.facts), (None, {}))

    def test_images_are_normalized_as_the_run_did(self):
        with tempfile.TemporaryDirectory() as folder:
            config = {"settings": {}, "host": "here", "version": "0.2.0",
                      "normalization": {"mean": [0.5, 0.25], "std": [0.25, 0.5]}}
            path = pathlib.Path(folder) / "config.json"
            path.write_text(json.dumps(config))
            self.assertEqual(gradamp.load_run(folder).facts, {"host": "here", "version": "0.2.0"})
            pixels = torch.tensor([255, 51], dtype=torch.uint8).view(1, 2, 1, 1)
            for images in (pixels, pixels.float() / 255):
                for run in (folder, gradamp.load_run(folder)):
                    torch.testing.assert_close(gradamp.torch.normalize(images, run).flatten(),
                                               torch.tensor([2.0, -0.1]))
            with self.assertRaisesRegex(ValueError, r"2 channels, \(N, 2, H, W\), got \(1, 1, 1, 1\)"):
                gradamp.torch.normalize(pixels[:, :1], folder)
            del config["normalization"]
            path.write_text(json.dumps(config))
            with self.assertRaisesRegex(ValueError, "expected a run that stores its normalization"):
                gradamp.torch.normalize(pixels, folder)


class NetworkTest(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.folder = pathlib.Path(scratch.name)

    def test_networks_have_the_classes_that_are_asked_for(self):
        self.assertEqual(gradamp.torch.network("resnet8", classes=7)(torch.zeros(2, 3, 16, 16)).shape, (2, 7))
        self.assertEqual(networks.parameter_count(gradamp.torch.network("resnet20")), 269_722)  # He et al.: 0.27M
        with self.assertRaisesRegex(ValueError, "expected a network of vgg19, .*, got 'resnet9'"):
            gradamp.torch.network("resnet9")

    def test_weights_come_back(self):
        first, second = gradamp.torch.network("resnet8"), gradamp.torch.network("resnet8")
        first(torch.randn(4, 3, 8, 8))  # moves the running statistics
        file = self.folder / "weights.safetensors"
        gradamp.torch.save_weights(first, file)
        gradamp.torch.load_weights(second, file)
        images = torch.randn(4, 3, 8, 8)
        self.assertTrue(torch.equal(first.eval()(images), second.eval()(images)))
        # A run's folder. Its checkpoint also has the optimizer's tensors, and not how many batches were tracked.
        tensors = {name: tensor for name, tensor in load_file(file).items() if "num_batches_tracked" not in name}
        save_file(tensors | {"gradamp.optimizer.momentum": torch.zeros(3)}, self.folder / "checkpoint.safetensors")
        file.unlink()
        third = gradamp.torch.network("resnet8")
        gradamp.torch.load_weights(third, self.folder)
        self.assertTrue(torch.equal(first(images), third.eval()(images)))
        self.assertEqual([path.name for path in self.folder.iterdir()], ["checkpoint.safetensors"])

    def test_weights_of_another_network_are_refused(self):
        file = self.folder / "weights.safetensors"
        gradamp.torch.save_weights(gradamp.torch.network("resnet8"), file)
        before = file.read_bytes()
        for name, classes, message in [("resnet20", 10, "the file lacks layer1.1.bn1.bias and 59 more"),
                                       ("resnet8", 100, r"expected linear.weight of shape \(100, 64\), got \(10, 64\)")]:
            model = gradamp.torch.network(name, classes)
            old = copy.deepcopy(model.state_dict())
            with self.assertRaisesRegex(ValueError, message):
                gradamp.torch.load_weights(model, file)
            self.assertTrue(all(torch.equal(old[key], value) for key, value in model.state_dict().items()))
        gradamp.torch.save_weights(gradamp.torch.network("resnet20"), file)
        with self.assertRaisesRegex(ValueError, "the file has, and the model lacks, layer1.1.bn1.bias and 59 more"):
            gradamp.torch.load_weights(gradamp.torch.network("resnet8"), file)
        after = file.read_bytes()
        self.assertNotEqual(before, after)
        with self.assertRaises(Exception):
            gradamp.torch.save_weights(Tied(), file)  # safetensors refuses it
        self.assertEqual(file.read_bytes(), after)


class Tied(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)
        self.b.weight = self.a.weight


if __name__ == "__main__":
    unittest.main()

#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Tests the exchange of weights between gradamp and PyTorch for all kinds of networks: PyTorch loads a trained
checkpoint by name with load_state_dict, gradamp loads PyTorch's weights, and the outputs for the same images agree.
Skipped if Python has no torch or safetensors. Arguments: the program gradamp, names of test classes."""

import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

try:
    import numpy
    import torch
    from safetensors.torch import load_file, save_file
except ImportError as error:
    print(f"skipped: Python has no module {error.name} (pip install torch numpy safetensors)")
    sys.exit(77)

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "oracle"))
import networks  # noqa: E402

ENVIRONMENT = {key: value for key, value in os.environ.items() if not key.startswith("GRADAMP_")}
TEST_IMAGES = 10
TRAIN_IMAGES = 20
TOLERANCE = 1e-5  # relative to the largest output


def read_batch(path: pathlib.Path) -> numpy.ndarray:
    """The images of a CIFAR-10 file, (N, 3, 32, 32) bytes."""
    records = numpy.frombuffer(path.read_bytes(), numpy.uint8).reshape(-1, 3073)
    return records[:, 1:].reshape(-1, 3, 32, 32)


class ShallowNetworks(unittest.TestCase):
    NETWORKS = ["resnet8"]

    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.scratch.cleanup)
        cls.folder = pathlib.Path(cls.scratch.name)
        cls.gradamp("data", "make", "--dest", "data")
        train = read_batch(cls.folder / "data" / "data_batch_1.bin")[:TRAIN_IMAGES].astype(numpy.float64) / 255
        test = read_batch(cls.folder / "data" / "test_batch.bin")[:TEST_IMAGES].astype(numpy.float64) / 255
        mean, deviation = train.mean((0, 2, 3), keepdims=True), train.std((0, 2, 3), keepdims=True)
        cls.images = torch.from_numpy(((test - mean) / deviation).astype(numpy.float32))

    @classmethod
    def gradamp(cls, *arguments: str) -> None:
        done = subprocess.run([PROGRAM, *arguments], cwd=cls.folder, env=ENVIRONMENT, capture_output=True, text=True)
        if done.returncode != 0:
            raise AssertionError(done.stderr)

    def settings(self, network: str) -> list:
        return ["--dataset", "cifar10", "--data", "data", "--network", network, "--train-images", str(TRAIN_IMAGES),
                "--test-images", str(TEST_IMAGES), "--device", "cpu"]

    def expect_same_outputs(self, network: str, weights: str, model: torch.nn.Module) -> None:
        self.gradamp("evaluate", "--weights", weights, "--outputs", "outputs.safetensors", *self.settings(network))
        ours = load_file(self.folder / "outputs.safetensors")["outputs"]
        model.eval()
        with torch.no_grad():
            theirs = model(self.images)
        self.assertEqual(ours.shape, theirs.shape)
        self.assertGreater(theirs.abs().max().item(), 0.05)  # not all zero
        error = (ours - theirs).abs().max().item() / theirs.abs().max().item()
        self.assertLess(error, TOLERANCE)

    def test_pytorch_loads_ours(self):
        for network in self.NETWORKS:
            with self.subTest(network):
                run = f"run-{network}"
                self.gradamp("train", *self.settings(network), "--batch-size", "10", "--strategy", "1:0.01",
                             "--run-folder", run)
                checkpoint = f"{run}/checkpoint.safetensors"
                model = networks.build(network, 10)
                state = {name: tensor for name, tensor in load_file(self.folder / checkpoint).items()
                         if not name.startswith("gradamp.")}
                missing, unexpected = model.load_state_dict(state, strict=False)
                self.assertEqual([name for name in missing if not name.endswith("num_batches_tracked")], [])
                self.assertEqual(unexpected, [])
                self.expect_same_outputs(network, checkpoint, model)

    def test_we_load_pytorchs(self):
        for network in self.NETWORKS:
            with self.subTest(network):
                torch.manual_seed(3)
                model = networks.build(network, 10)
                for module in model.modules():  # running statistics that differ from those of a new network
                    if isinstance(module, torch.nn.BatchNorm2d):
                        module.running_mean.normal_(0, 0.1)
                        module.running_var.uniform_(0.5, 2)
                save_file({name: tensor.contiguous() for name, tensor in model.state_dict().items()},
                          self.folder / "theirs.safetensors")
                self.expect_same_outputs(network, "theirs.safetensors", model)


class DeepNetworks(ShallowNetworks):
    NETWORKS = ["resnet18", "resnet20", "resnet50", "vgg19"]


if __name__ == "__main__":
    PROGRAM = str(pathlib.Path(sys.argv.pop(1)).resolve())
    unittest.main()

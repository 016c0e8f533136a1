#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Tests that TensorBoard's own reader finds every epoch of a run exactly once, with the values in the run's logs. One
of the runs is interrupted and resumed. Skipped if Python has no module tensorboard. Argument: the program gradamp."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

try:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
except ImportError:
    print("skipped: Python has no module tensorboard (pip install tensorboard)")
    sys.exit(77)

ENVIRONMENT = {key: value for key, value in os.environ.items() if not key.startswith("GRADAMP_")}
SETTINGS = ["--network", "resnet8", "--train-images", "80", "--test-images", "20", "--validation", "20",
            "--batch-size", "20", "--strategy", "1:0.05, 3:0.05:2, 4:0.01", "--device", "cpu", "--threads", "1", "--measure-every", "3"]


def gradamp(*arguments: str) -> None:
    subprocess.run([PROGRAM, "train", *arguments], check=True, env=ENVIRONMENT, capture_output=True)


def lines(path: pathlib.Path) -> list:
    return [json.loads(line) for line in path.read_text().splitlines()]


class RunEvents(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.run_folder = pathlib.Path(scratch.name) / "run"

    def curves(self) -> dict:
        """Returns {tag: {epoch: value}}."""
        events = EventAccumulator(str(self.run_folder), size_guidance={"scalars": 0})
        events.Reload()
        curves = {}
        for tag in events.Tags()["scalars"]:
            points = [(event.step, event.value) for event in events.Scalars(tag)]
            self.assertEqual(len(points), len(dict(points)), f"{tag}: an epoch comes twice")
            curves[tag] = dict(points)
        return curves

    def check_against_logs(self) -> dict:
        curves = self.curves()
        metrics = lines(self.run_folder / "metrics.jsonl")
        self.assertEqual([line["epoch"] for line in metrics], [1, 2, 3, 4])
        names = {"loss/train": "train_loss", "loss/test": "test_loss", "loss/validation": "validation_loss",
                 "accuracy/train": "train_accuracy", "accuracy/test": "test_accuracy",
                 "accuracy/validation": "validation_accuracy", "learning_rate": "learning_rate"}
        for tag, key in names.items():
            self.assertEqual(sorted(curves[tag]), [1, 2, 3, 4], tag)
            for line in metrics:
                self.assertAlmostEqual(curves[tag][line["epoch"]], line[key], delta=1e-6 * abs(line[key]), msg=tag)
        layers = lines(self.run_folder / "layers.jsonl")
        for line in layers:
            self.assertEqual(curves["selected/" + line["layer"]][line["epoch"]], float(line["selected"]))
            for tag, key in {"G/": "g", "G_prime/": "g_prime"}.items():
                if line[key] is not None:
                    self.assertAlmostEqual(curves[tag + line["layer"]][line["epoch"]], line[key], delta=1e-6)
        self.assertEqual(sum(len(points) for tag, points in curves.items() if tag.startswith("selected/")), len(layers))
        measures = lines(self.run_folder / "measures.jsonl")
        self.assertEqual([(line["first_epoch"], line["epoch"]) for line in measures[::15]], [(1, 3), (4, 4)])
        for line in measures:
            for tag, key in {"G/": "g", "G_prime/": "g_prime"}.items():
                self.assertAlmostEqual(curves[f"measured/{tag}{line['layer']}"][line["epoch"]], line[key], delta=1e-6)
            self.assertAlmostEqual(curves["measured/noise_floor"][line["epoch"]], line["noise_floor"], delta=1e-6)
        measured = [tag for tag in curves if tag.startswith("measured/")]
        self.assertEqual(sum(len(curves[tag]) for tag in measured), 2 * len(measures) + 2)
        self.assertGreater("measured", max("accuracy", "loss"))  # TensorBoard sorts its groups
        return curves

    def test_unbroken(self):
        gradamp(*SETTINGS, "--run-folder", str(self.run_folder))
        self.assertIn("noise_floor", self.check_against_logs())

    def test_resumed(self):
        gradamp(*SETTINGS, "--run-folder", str(self.run_folder), "--until", "2")
        gradamp("--resume", str(self.run_folder))
        self.check_against_logs()

    def test_killed_between_its_log_and_its_checkpoint(self):
        gradamp(*SETTINGS, "--selection", "random", "--run-folder", str(self.run_folder), "--until", "2")
        old = (self.run_folder / "checkpoint.safetensors").read_bytes()
        gradamp("--resume", str(self.run_folder), "--until", "3")
        (self.run_folder / "checkpoint.safetensors").write_bytes(old)
        gradamp("--resume", str(self.run_folder))
        self.check_against_logs()


if __name__ == "__main__":
    PROGRAM = sys.argv.pop(1)
    unittest.main()

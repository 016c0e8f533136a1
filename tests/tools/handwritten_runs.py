# SPDX-License-Identifier: MIT
"""Handwritten runs for the tests of the report, and a test case with a folder for them."""

import contextlib
import io
import json
import math
import pathlib
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools" / "report"))

import report  # noqa: E402
import report_runs  # noqa: E402
import report_tables  # noqa: E402

SETTINGS = {
    "augment": True,
    "batch_size": 128,
    "case": "1",
    "data": "",
    "dataset": "cifar10",
    "device": "cpu",
    "epochs": 6,
    "evaluation_batch": 500,
    "granularity": "weight",
    "learning_rate": 0.1,
    "measure": "g",
    "network": "resnet18",
    "placement": "update",
    "precision": "f32",
    "random_fraction": 0.5,
    "random_types": "conv",
    "reselect_every": 0,
    "run_folder": "",
    "seed": 1,
    "selection": "measure",
    "strategy": "1:0.1, 3:0.1:2, 5:0.01:2, 6:0.01",
    "test_images": 0,
    "threads": 0,
    "threshold": 1.0,
    "train_images": 0,
    "validation": 0,
    "weight_decay": 0.0005,
}
RATES = (0.1, 0.1, 0.1, 0.01, 0.01, 0.01)
LAYERS = (
    ("conv1", "conv"),
    ("bn1", "bn"),
    ("layer1.0.conv1", "conv"),
    ("layer1.0.bn1", "bn"),
    ("relu", "relu"),
    ("linear", "linear"),
)


def epoch_lines(settings, test, validation, seconds, analyzed, amplified):
    measured, changes = settings["selection"] == "measure", settings["selection"] != "none"
    count = settings["epochs"]
    lines = []
    for epoch in range(1, count + 1):
        last = epoch == count
        line = {
            "epoch": epoch,
            "epochs": count,
            "learning_rate": RATES[epoch - 1] if count == len(RATES) else 0.1,
            "train_loss": 1.0 / epoch,
            "train_accuracy": 0.9 * epoch / count,
            "test_loss": 1.0 / epoch,
            "test_accuracy": test if last else test * epoch / count,
            "analyzed": measured and epoch in analyzed,
            "amplified": changes and epoch in amplified,
            "seconds": seconds / count,
            "images_per_second": 100.0,
        }
        if validation is not None:
            line |= {"validation_loss": 1.0, "validation_accuracy": validation if last else 0.99}
        elif settings["seed"] % 2:  # null means the same as a missing key, as in older runs
            line |= {"validation_loss": None, "validation_accuracy": None}
        lines.append(line)
    return lines


def layer_lines(settings, analyzed, layers):
    lines = []
    for epoch in analyzed if settings["selection"] == "measure" else ():
        for place, (name, kind) in enumerate(layers):
            value = 0.05 + 0.1 * abs(math.sin(place + epoch))
            lines.append(
                {
                    "epoch": epoch,
                    "layer": name,
                    "type": kind,
                    "g": None if kind == "relu" else value,
                    "g_prime": None if kind == "relu" else 0.8 * value,
                    "noise_floor": 0.05,
                    "selected": value > 0.1 * settings["threshold"],
                }
            )
    return lines


def write_lines(path, lines):
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def make_run(
    folder,
    test,
    validation=None,
    seconds=60.0,
    completed=True,
    analyzed=(2, 4),
    amplified=(3, 5),
    layers=LAYERS,
    **changes,
):
    """Writes a run's folder. Accuracies are in [0, 1] and are those after the last epoch. If `validation` is not None,
    the run has validation images with this accuracy."""
    settings = {**SETTINGS, "run_folder": str(folder), **changes}
    if validation is not None:
        settings["validation"] = 5000
    folder.mkdir(parents=True)
    config = {"schema": 1, "run": "0", "version": "0.1.0", "backend": "cpu: 1 threads", "settings": settings}
    (folder / "config.json").write_text(json.dumps(config))
    epochs = epoch_lines(settings, test, validation, seconds, analyzed, amplified)
    write_lines(folder / "metrics.jsonl", epochs)
    write_lines(folder / "layers.jsonl", layer_lines(settings, analyzed, layers))
    summary = {"completed": completed, "epochs": len(epochs), "test_accuracy": test, "validation_accuracy": validation}
    (folder / "summary.json").write_text(json.dumps(summary))
    return folder


def edit_lines(path, change):
    """Applies `change` to the object of each line of a log, or of the whole file if that is one object."""
    if path.suffix == ".json":
        document = json.loads(path.read_text())
        change(document)
        path.write_text(json.dumps(document))
        return
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line in lines:
        change(line)
    write_lines(path, lines)


def make_not_finite(run, name, schema, key, reason):
    """Gives a number of the records of a run's file the form of a number that is not finite."""

    def change(record):
        record["schema"] = schema
        record[key] = reason if schema == 1 else None
        if schema > 1:
            record.setdefault("not_finite", {})[key] = reason

    edit_lines(run / name, change)


class ReportCase(unittest.TestCase):
    def setUp(self):
        owner = tempfile.TemporaryDirectory()
        self.addCleanup(owner.cleanup)
        self.folder = pathlib.Path(owner.name)
        self.count = 0

    def run_folder(self, test, validation=None, **changes):
        self.count += 1
        return make_run(self.folder / "cells" / f"run-{self.count:03}", test, validation, **changes)

    def original(self, test, seed, **changes):
        return self.run_folder(test, selection="none", seed=seed, **changes)

    def amplified(self, test, seed, threshold, **changes):
        return self.run_folder(test, seed=seed, threshold=threshold, **changes)

    def collect(self):
        return report_runs.collect([self.folder])

    def rows(self, dataset="cifar10"):
        collection = self.collect()
        self.assertEqual(collection.damaged, [])
        return report_tables.make_rows(collection.completed)[dataset]

    def call(self, *arguments):
        """Runs the report. Returns (exit code, standard output, standard error)."""
        printed, errors = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(errors):
            code = report.main([str(argument) for argument in arguments])
        return code, printed.getvalue(), errors.getvalue()

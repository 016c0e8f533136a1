# SPDX-License-Identifier: MIT
"""Reads the folder of a run of the program gradamp."""

import dataclasses
import json
import pathlib


@dataclasses.dataclass
class Run:
    """`metrics`: one dictionary per epoch; `layers`: one per layer and selection, as the files metrics.jsonl and
    layers.jsonl have them (data/files/README.md). `measures`: one per layer and measuring window, as measures.jsonl has
    them; empty without --measure-every. pandas.DataFrame takes each. A number that was not finite is a float that is
    not. `settings`: those of config.json. `normalization`: {"mean": [...], "std": [...]} per channel, of pixels as
    byte / 255 or as f32; None for runs of earlier releases. `facts`: what else config.json says of the run's origin
    (host, started, command, version, commit), as far as it is known."""

    settings: dict
    metrics: list
    layers: list
    measures: list = dataclasses.field(default_factory=list)
    normalization: dict = None
    facts: dict = dataclasses.field(default_factory=dict)


def _finite_or_not(record):
    """The record with its infinities and NaNs, which JSON has as null with a reason."""
    for key, reason in record.pop("not_finite", {}).items():
        record[key] = float(reason)
    return record


def _lines(path):
    if not path.exists():
        return []
    # A last line without a newline is of a run that is being written, or was killed.
    return [_finite_or_not(json.loads(line)) for line in path.read_text(encoding="utf-8").split("\n")[:-1]]


def load_run(folder):
    """The run in `folder`. FileNotFoundError if it is no run's."""
    folder = pathlib.Path(folder)
    if not (folder / "config.json").exists():
        raise FileNotFoundError(f"{folder} is not the folder of a run: it has no config.json")
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    facts = {key: config[key] for key in ("host", "started", "command", "version", "commit") if key in config}
    logs = (_lines(folder / f"{name}.jsonl") for name in ("metrics", "layers", "measures"))
    return Run(config["settings"], *logs, config.get("normalization"), facts)

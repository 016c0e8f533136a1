# SPDX-License-Identifier: MIT
"""Finds and reads the folders of runs for the report. Needs only Python's standard library."""

import dataclasses
import errno
import fractions
import functools
import json
import math
import os
import pathlib
import re
import stat

import report_statistics

# config.json contains the kind of every setting (tools/settings/README.md). The report ignores settings of these kinds:
NEUTRAL = ("source", "speed", "output", "logging")
# Settings of these kinds matter only if layers are selected. Runs without amplification do not depend on them.
AMPLIFICATION = ("amplification", "measured", "random")
# Settings of this kind are compared by the learning rates of the epochs that result from them.
SCHEDULE = ("schedule",)
# Settings that determine the column of the tables and the choices of a cell (Run.column, Run.choice).
AXES = ("selection", "measure", "case", "threshold", "random_fraction", "random_types")
# The kinds of the settings of release 0.1.0, because its config.json lacks them.
FIRST_KINDS = {
    setting: kind
    for kind, settings in {
        "images": "dataset partial_data train_images test_images validation data_seed",
        "source": "data",
        "model": "network precision",
        "training": "augment crop_padding flip init dropout weights batch_size momentum nesterov weight_decay seed",
        "schedule": "epochs learning_rate strategy",
        "amplification": "selection placement",
        "measured": "measure case threshold granularity reselect_every",
        "random": "random_fraction random_types",
        "device": "device",
        "speed": "threads evaluation_batch",
        "output": "run_folder",
    }.items()
    for setting in settings.split()
}
# {setting: (kind, default)} of the settings that are newer than release 0.1.0. A run that lacks one has its default.
NEWER = {
    "cutout": ("training", 0),
    "reset_head": ("training", False),
    "schedule": ("schedule", "phases"),
    "warmup": ("schedule", 0),
    "warmup_steps": ("schedule", 0),
    "optimizer": ("training", "sgd"),
    "beta1": ("training", 0.9),
    "beta2": ("training", 0.999),
    "epsilon": ("training", 1e-8),
    "decay_norm_bias": ("training", True),
    "clip_norm": ("training", 0),
    "label_smoothing": ("training", 0),
    "shards": ("training", 1),
    "batch_norm": ("training", "local"),
    "measure_every": ("logging", 0),
    "conv": ("device", "auto"),
    "keep": ("output", "last"),
}
NEEDED = ("network", "dataset", "seed", *AXES)
# Of the whole test set.
TEST_IMAGES = {"synthetic": 2_000} | dict.fromkeys(
    ("cifar10", "cifar100", "cifar100-coarse", "mnist", "fashion-mnist"), 10_000
)
MOST_IMAGES = 1_000_000  # of a test set whose size is not stored
SCHEMA = 2  # the last schema of a run's files that this release reads
REASONS = ("nan", "-nan", "inf", "-inf")  # for a number that is not finite; only schema 1 can have "-nan"
LOSSES = ("train_loss", "test_loss", "validation_loss")
TEXTS = ("network", "dataset", "selection", "measure", "case", "random_types")
MOST_BYTES = 1 << 24  # of a file with one JSON document
DECODER = json.JSONDecoder()


class DamagedError(Exception):
    """A file of a run cannot be read. The message is one line; it names the file and the problem."""


class IncompleteError(Exception):
    """A run is not completed, or its numbers cannot be compared. The message says why."""


@dataclasses.dataclass
class Run:
    """A completed run. `epochs` and `layers` are the lines of its metrics.jsonl and layers.jsonl (one per layer and
    selection). Accuracies are in
    [0, 1]. If the run has no validation images, `validation_accuracy` is None in all epochs."""

    path: pathlib.Path
    settings: dict
    version: str
    backend: str
    epochs: list
    layers: list
    kinds: dict = dataclasses.field(default_factory=lambda: FIRST_KINDS)
    measures: list = dataclasses.field(default_factory=list)  # the lines of its measures.jsonl
    about: dict = dataclasses.field(default_factory=dict)  # texts and numbers of config.json other than settings
    completed: bool = True

    def without(self, *kinds):
        """The run's settings except those of these kinds."""
        return {key: value for key, value in self.settings.items() if self.kinds.get(key) not in kinds}

    @property
    def network(self):
        return self.settings["network"]

    @property
    def dataset(self):
        name = self.settings["dataset"]
        return "synthetic" if name == "made" else name  # release 0.1 called it "made"

    @property
    def seed(self):
        return self.settings["seed"]

    @functools.cached_property
    def column(self):
        """The run's column in the tables: "original" if nothing is ever amplified, "random", or the measure and
        case."""
        if self.settings["selection"] == "none" or not any(e["analyzed"] or e["amplified"] for e in self.epochs):
            return "original"
        if self.settings["selection"] == "random":
            return "random"
        return f"{self.settings['measure']}-{self.settings['case']}"

    @functools.cached_property
    def measured(self):
        """The lines of all measured windows: of the selections by a measure, and of the measuring windows that do not
        end with one of them."""
        lines = [line for line in self.layers if None not in (line["g"], line["g_prime"])]
        selected = {line["epoch"] for line in lines}
        windows = [line for line in self.measures if None not in (line["g"], line["g_prime"])]
        return lines + [line for line in windows if line["epoch"] not in selected]

    @property
    def selects_by_measure(self):
        return self.column not in ("original", "random")

    @property
    def choice(self):
        """The value among which the tables choose the best: the threshold, (fraction, types) for random selection, or
        None for the original."""
        if self.column == "original":
            return None
        if self.column == "random":
            return (self.settings["random_fraction"], self.settings["random_types"])
        return self.settings["threshold"]

    @functools.cached_property
    def test_images(self):
        """The number of test images. For a dataset of the user's own that is used as a whole, the smallest number that
        all test accuracies of the run are multiples of 1 / it, which divides the number of images. None if there is
        none."""
        if count := self.settings.get("test_images"):
            return count if isinstance(count, int) and count > 0 else None
        if self.dataset in TEST_IMAGES:
            return TEST_IMAGES[self.dataset]
        accuracies = [epoch["test_accuracy"] for epoch in self.epochs if math.isfinite(epoch["test_accuracy"])]
        parts = [fractions.Fraction(accuracy).limit_denominator(MOST_IMAGES) for accuracy in accuracies]
        exact = all(abs(part - accuracy) < 1e-12 for part, accuracy in zip(parts, accuracies))
        count = math.lcm(*(part.denominator for part in parts))
        return count if exact and count <= MOST_IMAGES else None

    @functools.cached_property
    def learning_rates(self):
        return tuple(epoch["learning_rate"] for epoch in self.epochs)

    @property
    def test_accuracy(self):
        """The test accuracy after the last epoch, in %."""
        return 100 * self.epochs[-1]["test_accuracy"]

    @property
    def validation_accuracy(self):
        """The validation accuracy after the last epoch, in %. None if there are no validation images."""
        value = self.epochs[-1]["validation_accuracy"]
        return None if value is None else 100 * value

    @property
    def minutes(self):
        """The time of all epochs in minutes, including those copied from a shared beginning."""
        return report_statistics.total([epoch["seconds"] for epoch in self.epochs]) / 60

    @functools.cached_property
    def identity(self):
        """A key that is equal for two runs if they are the same experiment with the same seed."""
        base = self.without(*NEUTRAL, *AMPLIFICATION, *SCHEDULE)
        return (self.column, self.choice, self.learning_rates, key_of(base), key_of(self.way))

    @functools.cached_property
    def way(self):
        """The settings, other than column and choice, that determine how layers are amplified. Contains only those that
        affect the run's column. Empty for the original."""
        if self.column == "original":
            return {}
        used = ("amplification", "random" if self.column == "random" else "measured")
        way = {key: value for key, value in self.settings.items() if self.kinds.get(key) in used and key not in AXES}
        return way | {"strategy": self.settings.get("strategy")}


@dataclasses.dataclass
class Collection:
    """The result of a search. `incomplete` and `repeated` contain (path, reason); `damaged` contains
    messages."""

    completed: list = dataclasses.field(default_factory=list)
    incomplete: list = dataclasses.field(default_factory=list)
    repeated: list = dataclasses.field(default_factory=list)
    damaged: list = dataclasses.field(default_factory=list)
    failed: list = dataclasses.field(default_factory=list)  # (name of a sweep's cell, reason)
    removed: list = dataclasses.field(default_factory=list)  # (name, reason): cells that have a log, but no folder
    beginnings: int = 0  # number of runs that other runs branched from; they have no results of their own


def check_schema(record):
    """ValueError if a later release wrote the record."""
    schema = record.get("schema", 1)
    if not 1 <= whole(schema) <= SCHEMA:
        raise ValueError(f"has schema {schema}: this release reads only up to schema {SCHEMA}; use a later release")


def number(value):
    """Converts a JSON number to a float."""
    if type(value) is float:
        return value
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f"expected a number, got {short(value)}")
    try:
        return float(value)
    except OverflowError as error:
        raise ValueError(f"expected a number, got {short(value)}") from error


def not_finite(key, reason):
    if reason not in REASONS:
        raise ValueError(f"{key}: expected a number, or the reason why there is none, got {short(reason)}")
    return float(reason)


def optional_number_in(record, key):
    """A number of a run's record, or None. JSON has no infinities and NaNs: such a number is null, and the record's
    object "not_finite" has its reason. In schema 1 the number is that reason."""
    value = record[key]
    if value is None:
        reasons = record.get("not_finite", {})
        if not isinstance(reasons, dict):
            raise ValueError(f"not_finite: expected an object, got {short(reasons)}")
        return not_finite(key, reasons[key]) if key in reasons else None
    if isinstance(value, str) and record.get("schema", 1) == 1:
        return not_finite(key, value)
    return number(value)


def number_in(record, key):
    value = optional_number_in(record, key)
    if value is None:
        raise ValueError(f"{key}: expected a number, got null without a reason")
    return value


def short(value, most=60):
    """The JSON value for a message, without what is nested in it."""
    if isinstance(value, (dict, list)):
        return "an object" if isinstance(value, dict) else "a list"
    text = json.dumps(value)
    return text if len(text) <= most else f"{text[:most]}... ({len(text)} characters)"


def whole(value):
    """Converts a JSON value to an int."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"expected a whole number, got {short(value)}")
    return value


def text_of(value):
    if not isinstance(value, str):
        raise ValueError(f"expected a text, got {short(value)}")
    return value


def key_of(settings):
    """A key that is equal for equal settings."""
    return tuple(sorted(settings.items()))


def read_bytes(path):
    """The bytes of a regular file, or None if there is none of this name. DamagedError if it cannot be read."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # opening a named pipe must not wait
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise DamagedError(f"{path}: cannot be read: {error.strerror}") from error
    try:
        status, parts = os.fstat(descriptor), []
        if not stat.S_ISREG(status.st_mode):
            raise DamagedError(f"{path}: cannot be read: expected a regular file")
        while part := os.read(descriptor, status.st_size + 1):
            parts.append(part)
        return b"".join(parts)
    except OSError as error:
        raise DamagedError(f"{path}: cannot be read: {error.strerror}") from error
    finally:
        os.close(descriptor)


def needed(path, value):
    """The value; DamagedError if it is None, because there is no file of this name."""
    if value is None:
        raise DamagedError(f"{path}: cannot be read: {os.strerror(errno.ENOENT)}")
    return value


def read_json(path):
    """The object in a file, or None if there is none of this name. DamagedError if it cannot be read."""
    data = read_bytes(path)
    if data is None:
        return None
    if len(data) > MOST_BYTES:
        raise DamagedError(f"{path}: cannot be read: expected at most {MOST_BYTES} bytes, got {len(data)}")
    try:
        document = json.loads(data.decode())
    except ValueError as error:
        raise DamagedError(f"{path}: cannot be read: {error}") from error
    except RecursionError as error:
        raise DamagedError(f"{path}: cannot be read: its values are nested too deeply") from error
    if not isinstance(document, dict):
        raise DamagedError(f"{path}: expected an object, got {type(document).__name__}")
    try:
        check_schema(document)
    except ValueError as error:
        raise DamagedError(f"{path}: {error}") from error
    return document


def read_lines(path, reader):
    """[reader(object) for each line's object], or None if there is no file of this name. A last line without a newline
    is incomplete because of a crash, and is left out."""
    data = read_bytes(path)
    if data is None:
        return None
    values = []
    for place, line in enumerate(data.split(b"\n")[:-1], 1):
        try:
            value = DECODER.decode(line.decode(errors="surrogatepass"))
            if not isinstance(value, dict):
                raise ValueError(f"expected an object, got {short(value)}")
            check_schema(value)
            values.append(reader(value))
        except KeyError as error:
            raise DamagedError(f"{path}: line {place} has no {error.args[0]!r}") from error
        except RecursionError as error:
            raise DamagedError(f"{path}: line {place}: its values are nested too deeply") from error
        except (ValueError, TypeError) as error:
            raise DamagedError(f"{path}: line {place}: {error}") from error
    return values


def read_epoch(line):
    learning_rate = number_in(line, "learning_rate")
    if not math.isfinite(learning_rate):
        raise ValueError(f"learning_rate: expected a finite number, got {learning_rate}")
    return {
        "epoch": whole(line["epoch"]),
        "learning_rate": learning_rate,
        "train_accuracy": number_in(line, "train_accuracy"),
        "test_accuracy": number_in(line, "test_accuracy"),
        # Older runs lack it.
        "validation_accuracy": (
            optional_number_in(line, "validation_accuracy") if "validation_accuracy" in line else None
        ),
        "seconds": number_in(line, "seconds"),
        **{key: optional_number_in(line, key) if key in line else None for key in LOSSES},
        "analyzed": bool(line["analyzed"]),
        "amplified": bool(line["amplified"]),
    }


def read_layer(line):
    return {
        "epoch": whole(line["epoch"]),
        "layer": text_of(line["layer"]),
        "type": text_of(line["type"]),
        "g": optional_number_in(line, "g"),
        "g_prime": optional_number_in(line, "g_prime"),
        "noise_floor": number_in(line, "noise_floor") if "noise_floor" in line else 0.0,
        "selected": bool(line.get("selected")),  # a measured window that is not a selection may lack it
    }


def finite(value):
    if not math.isfinite(number(value)):
        raise ValueError(f"expected a finite number, got {short(value)}")


# Of the settings that the report uses as one type: a function that raises ValueError for another.
READERS = {key: text_of for key in TEXTS} | {"seed": whole, "threshold": finite, "random_fraction": finite}


def check_settings(path, settings):
    """DamagedError if a setting has a type that no setting has, or the report uses it as another type."""
    for key, value in settings.items():
        reader = READERS.get(key)
        try:
            if isinstance(value, (dict, list)):
                raise ValueError(f"expected a text, a number, true or false, got {short(value)}")
            if reader:
                reader(value)
        except ValueError as error:
            raise DamagedError(f"{path}: {key}: {error}") from error


def read_settings(path, config):
    """The settings of a run's config.json."""
    settings = config.get("settings")
    missing = [key for key in NEEDED if key not in settings] if isinstance(settings, dict) else ["settings"]
    if missing:
        raise DamagedError(f"{path}: has no {missing[0]!r}; is it a run's?")
    check_settings(path, settings)
    return settings


def check_completed(path, settings, epochs, summary):
    """IncompleteError if the run in folder `path` is not completed, DamagedError if its files contradict each other."""
    summary_path, metrics = path / "summary.json", path / "metrics.jsonl"
    done = f"{len(epochs)} of {settings.get('epochs') or '?'} epochs"
    if summary is None:
        raise IncompleteError(f"{done}, and no summary.json: it runs, or ended early")
    if summary.get("completed") is not True:
        raise IncompleteError(f"{done}: it was stopped")
    if [epoch["epoch"] for epoch in epochs] != list(range(1, len(epochs) + 1)) or summary.get("epochs") != len(epochs):
        raise DamagedError(f"{metrics}: expected the epochs 1 to {summary.get('epochs')}, a line each")
    if not epochs or not math.isfinite(epochs[-1]["test_accuracy"]):
        raise DamagedError(f"{metrics}: expected an epoch at least, the last with a finite test_accuracy")
    if summary.get("test_accuracy") != epochs[-1]["test_accuracy"]:
        raise DamagedError(f"{summary_path}: its test_accuracy is not that of the last line of metrics.jsonl")
    if settings.get("validation") and epochs[-1]["validation_accuracy"] is None:
        raise IncompleteError("from an older version, which evaluated the validation images instead of the test images")


def read_run(path, may_be_incomplete=False):
    """The run in a folder. DamagedError if a file is damaged. IncompleteError if the run is not completed; if it may be
    incomplete, only if it has no epoch."""
    config_path = path / "config.json"
    config = needed(config_path, read_json(config_path))
    settings = read_settings(config_path, config)
    epochs = read_lines(path / "metrics.jsonl", read_epoch) or []
    completed = True
    try:
        check_completed(path, settings, epochs, read_json(path / "summary.json"))
    except IncompleteError:
        completed = False
        if not may_be_incomplete or not epochs:
            raise
    kinds = config.get("kinds", FIRST_KINDS)
    if not isinstance(kinds, dict) or not all(isinstance(kind, str) for kind in kinds.values()):
        raise DamagedError(f"{config_path}: expected an object with the kinds of settings")
    kinds = {key: kind for key, (kind, _) in NEWER.items()} | kinds
    settings = {key: default for key, (_, default) in NEWER.items()} | settings
    about = {key: value for key, value in config.items() if isinstance(value, (str, int, float))}
    measures = read_lines(path / "measures.jsonl", read_layer) or []
    version, backend = str(config.get("version")), str(config.get("backend"))
    run = Run(path, settings, version, backend, epochs, [], kinds, measures, about, completed)
    layers = path / "layers.jsonl"
    lines = read_lines(layers, read_layer)
    run.layers = needed(layers, lines) if completed and run.selects_by_measure else lines or []
    return run


def find_run_folders(folders):
    """(the runs' folders in or below `folders`, each once and in order; the number of beginnings that were left out;
    the sweeps' folders, also those of which one of `folders` is the folder of cells). A folder is a run's if it has a
    config.json or a metrics.jsonl, and a sweep's if it has a sweep.toml. DamagedError if one of `folders` is not a
    folder, or if a folder below cannot be read."""

    def unreadable(error):
        raise DamagedError(f"{error.filename}: cannot be read: {error.strerror}")

    found, sweeps, beginnings = {}, {}, 0
    for folder in map(pathlib.Path, folders):
        if not folder.is_dir():
            raise DamagedError(f"{folder}: no such folder; expected that of a run or a sweep, or one above them")
        top = str(folder)
        resolved = os.path.realpath(top)
        above = os.path.dirname(resolved)
        if os.path.basename(resolved) == "cells" and os.path.isfile(os.path.join(above, "sweep.toml")):
            sweeps.setdefault(above, pathlib.Path(above))
        # os.walk follows no links, so `resolved` resolves the folders below, too.
        for name, below, files in os.walk(top, onerror=unreadable):
            below.sort()
            if "sweep.toml" in files:
                sweeps.setdefault(resolved + name[len(top) :], pathlib.Path(name))
            if "config.json" not in files and "metrics.jsonl" not in files:
                continue
            if "beginnings" in name.split(os.sep):
                beginnings += 1
            else:
                found.setdefault(resolved + name[len(top) :], pathlib.Path(name))
    return list(found.values()), beginnings, list(sweeps.values())


def is_run_folder(path):
    return (path / "config.json").is_file() or (path / "metrics.jsonl").is_file()


def failed_and_removed(sweep):
    """([(name, reason)] of a sweep's failed runs, [(name, reason)] of its cells that trained an epoch and have no folder
    any more). A failed run's reason is in failures/NAME.txt; each started run has logs/NAME.log."""
    failed = []
    for path in sorted((sweep / "failures").glob("*.txt")):
        reason = needed(path, read_bytes(path)).decode(errors="backslashreplace")
        failed.append((path.stem, " ".join(reason.split()) or "no reason is recorded"))
    names = {name for name, _ in failed}
    removed = []
    for path in sorted((sweep / "logs").glob("*.log")):
        if path.stem in names or any((sweep / kind / path.stem).exists() for kind in ("cells", "beginnings")):
            continue
        if re.search(rb"^epoch ", needed(path, read_bytes(path)), re.MULTILINE):  # not one that is beginning now
            removed.append((path.stem, f"was started ({path.name}), but its folder is not there any more"))
    return failed, removed


def collect(folders):
    """A Collection of all runs in or below `folders`, with the completed runs in the order of their paths. Runs with
    equal settings count once. The seed determines every bit, so a repetition contains no new information."""
    collection, first = Collection(), {}
    paths, collection.beginnings, sweeps = find_run_folders(folders)
    for path in paths:
        try:
            run = read_run(path)
        except IncompleteError as error:
            collection.incomplete.append((path, str(error)))
        except DamagedError as error:
            collection.damaged.append(" ".join(str(error).split()))
        else:
            twin = first.setdefault(run.identity, run)
            if twin is run:
                collection.completed.append(run)
            else:
                collection.repeated.append((path, f"the same settings and seed as {twin.path}"))
    for sweep in sweeps:
        try:
            failed, removed = failed_and_removed(sweep)
        except DamagedError as error:
            collection.damaged.append(" ".join(str(error).split()))
        else:
            collection.failed += failed
            collection.removed += removed
    return collection

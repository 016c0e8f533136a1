# SPDX-License-Identifier: MIT
"""Small runs and sweeps (a second each) that kills.py and failing_calls.py break off, and what has to come out of them
in the end: what an unbroken run leaves, apart from times and random names."""

import dataclasses
import json
import os
import pathlib
import re
import shutil
import subprocess

TRAIN = ["train", "--network", "resnet8", "--train-images", "64", "--test-images", "32", "--batch-size", "32",
         "--threads", "1", "--device", "cpu", "--seed", "3", "--quiet"]
AMPLIFIED = ["--strategy", "1:0.1, 4:0.05:2", "--threshold", "-1"]  # so low that layers are selected
SWEEP = """
network = resnet8
train-images = 64
test-images = 32
batch-size = 32
strategy = '2:0.1, 4:0.05:2'
device = cpu
threads = 1
[original]
[random]
[amplified]
threshold = [-1, 0]
"""
# Keys whose values differ between equal runs. A run whose host cannot be found out has none.
VARYING = ("run", "seconds", "images_per_second", "started", "command", "host")


@dataclasses.dataclass
class Kind:
    """One way to train. Arguments may contain {trunk}, a run to branch off, and {sweep}, a sweep's file."""

    begin: list  # arguments, except for the folder
    folder_option: str = "--run-folder"
    resume: list = None  # how a user goes on; None: --resume FOLDER, once there is a config.json


KINDS = {
    "plain": Kind(TRAIN + ["--strategy", "3:0.1"]),
    "amplified": Kind(TRAIN + AMPLIFIED),
    "reselection": Kind(TRAIN + AMPLIFIED + ["--reselect-every", "1", "--placement", "backprop", "--nesterov",
                                             "--validation", "16"]),
    "recipe": Kind(TRAIN + AMPLIFIED + ["--optimizer", "adamw", "--schedule", "cosine", "--learning-rate", "0.01",
                                        "--clip-norm", "1", "--measure-every", "1", "--validation", "16",
                                        "--keep", "all"]),
    "weights": Kind(TRAIN + ["--strategy", "3:0.1", "--validation", "16", "--keep", "weights"]),
    "random": Kind(TRAIN + ["--selection", "random", "--strategy", "1:0.1, 3:0.05:2, 4:0.02:3"]),
    "branch": Kind(TRAIN + AMPLIFIED + ["--branch", "{trunk}"]),
    "sweep": Kind(["sweep", "{sweep}", "--jobs", "2"], "--folder", ["sweep", "{sweep}", "--jobs", "2"]),
}


class Maker:
    """Begins and resumes runs of all kinds below `folder` (made if it is missing)."""

    def __init__(self, program: str, folder: pathlib.Path):
        self.program = str(pathlib.Path(program).resolve())
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.values = {"trunk": str(folder / "trunk"), "sweep": str(folder / "small.toml")}
        (folder / "small.toml").write_text(SWEEP)
        self.environment = {key: value for key, value in os.environ.items() if not key.startswith("GRADAMP_")}
        self.environment.update(HOME=str(folder), XDG_CACHE_HOME=str(folder / "cache"))
        self.finish("trunk", TRAIN + AMPLIFIED + ["--until", "1", "--run-folder", self.values["trunk"]])

    def begin(self, kind: str, folder: pathlib.Path) -> list:
        chosen = KINDS[kind]
        return [text.format(**self.values) for text in chosen.begin] + [chosen.folder_option, str(folder)]

    def go_on(self, kind: str, folder: pathlib.Path) -> list:
        """The arguments that a user gives after an interruption."""
        if KINDS[kind].resume is None and (folder / "config.json").exists():
            return ["train", "--resume", str(folder), "--quiet"]
        return self.begin(kind, folder)

    def unbroken(self, kind: str) -> dict:
        """Trains without an interruption. Returns the result."""
        folder = self.folder / f"unbroken-{kind}"
        self.finish(kind, self.begin(kind, folder))
        return result(folder)

    def start(self, arguments: list, prefix: list = (), **more) -> subprocess.Popen:
        """In a process group of its own; standard error is a pipe."""
        environment = dict(self.environment)
        if prefix:  # LeakSanitizer cannot look at a process that strace traces
            environment["ASAN_OPTIONS"] = environment.get("ASAN_OPTIONS", "") + ":detect_leaks=0"
        return subprocess.Popen([*prefix, self.program, *arguments], cwd=self.folder, env=environment,
                                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                                errors="replace", start_new_session=True, **more)

    def finish(self, what: str, arguments: list) -> None:
        process = self.start(arguments)
        message = process.communicate(timeout=120)[1]
        if process.returncode != 0:
            raise RuntimeError(f"{what}: exit code {process.returncode}: {message.strip()}")


def can_run(tracer: list) -> bool:
    """Whether this machine has the program that runs others, and allows it. (A container may forbid tracing.)"""
    return bool(shutil.which(tracer[0])) and subprocess.run([*tracer, "true"], capture_output=True).returncode == 0


def result(folder: pathlib.Path) -> dict:
    """Returns {path: content} of a run's or a sweep's files, without what differs between equal runs: times, the run's
    random name, the folder's path, locks, logs of a sweep's jobs, and the checkpoint before the last one, which can be
    of an interruption."""
    return {name_of(path, folder): content(path, folder) for path in sorted(folder.rglob("*"))
            if path.is_file() and path.name != "lock" and path.suffix not in (".log", ".previous")}


def name_of(path: pathlib.Path, folder: pathlib.Path) -> str:
    name = str(path.relative_to(folder))
    return name[: name.index("tfevents")] if "tfevents" in name else name


def content(path: pathlib.Path, folder: pathlib.Path):
    if "tfevents" in path.name:
        return events(path.read_bytes())
    if path.suffix == ".jsonl":
        return [without_varying(json.loads(line)) for line in path.read_text().splitlines()]
    if path.suffix == ".json":
        values = without_varying(json.loads(path.read_text().replace(str(folder), "FOLDER")))
        values.get("settings", {}).pop("run_folder", None)
        return values
    return path.read_bytes()


def without_varying(values: dict) -> dict:
    return {key: value for key, value in values.items() if key not in VARYING}


def events(data: bytes) -> list:
    """The records of an event file without times and speeds: a record begins with the byte 9 and the time, a double; a
    value is a tag, the byte 21 and a float."""
    records = []
    while data:
        size = int.from_bytes(data[:8], "little")
        record, data = data[12:12 + size], data[16 + size:]
        if len(record) != size or record[:1] != b"\t":
            return records + ["a damaged record"]
        records.append(re.sub(rb"(images_per_second\x15)....", rb"\1", record[9:], flags=re.DOTALL))
    return records


def differences(expected: dict, got: dict) -> list:
    """Returns the names of the files that are missing, too many or different."""
    return sorted(name for name in {*expected, *got} if expected.get(name) != got.get(name))

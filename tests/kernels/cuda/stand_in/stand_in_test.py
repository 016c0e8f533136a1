#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs the project's programs on the stand-in for CUDA's runtime.

Usage: stand_in_test.py BUILD_FOLDER [--long] [--update] [CLASS[.TEST]...]. --long also runs the long cases. --update
writes the golden files (golden/) anew; they only detect changes, and the stand-in's rules judge what is right.
"""
import itertools
import json
import math
import os
import pathlib
import re
import struct
import subprocess
import sys
import tempfile
import unittest

HERE = pathlib.Path(__file__).resolve().parent
GOLDEN = HERE / "golden"
NETWORKS = ["resnet8", "resnet20", "resnet32", "resnet56", "resnet110", "resnet18", "resnet34", "resnet50",
            "resnet101", "vgg19"]
SMALL_NETWORKS = ["resnet8", "resnet18", "vgg19"]  # one of each kind; resnet50 and resnet20: bench/step_model_test.py
PRECISIONS = ["f32", "tf32", "bf16"]
# Each with the image that it takes of a build for 8.0 and 9.0 with PTX. devices() leaves out those that take code for 8.0
# if the build has none, as .ci/run makes it.
IMAGES = {"H100": "sm_90", "A100": "sm_80", "RTX3090": "sm_80", "RTX4090": "sm_80", "H200": "sm_90",
          "B200": "compute_90", "RTX5090": "compute_90"}

build = pathlib.Path()
is_long = False
is_update = False


def devices():
    cache = (build / "CMakeCache.txt").read_text(encoding="utf-8")
    is_built = re.search(r"^CMAKE_CUDA_ARCHITECTURES:\w+=(.*;)?80\b", cache, re.MULTILINE)
    return [device for device, image in IMAGES.items() if is_built or image != "sm_80"]


def run(program, *arguments, settings=None, limit=300, cache=None):
    """Runs a program of the stand-in's folder; `settings` are those of settings.h, without STAND_IN_. `cache`: the
    user's cache folder; by default all runs share one. Uncontracted code is in a program of its own."""
    folder = build / "stand_in" / ("uncontracted" if "uncontracted" in (settings or {}).get("CODE", "") else "")
    environment = os.environ | {f"STAND_IN_{name}": str(value) for name, value in (settings or {}).items()}
    environment |= {"NO_COLOR": "1", "XDG_CACHE_HOME": str(cache or build / "stand_in" / "cache")}
    return subprocess.run([folder / program, *map(str, arguments)], capture_output=True, text=True,
                          env=environment, timeout=limit)


def read_log(path):
    """The lines of a log, by kind, as lists of fields."""
    lines = {"call": [], "launch": [], "violation": []}
    for line in pathlib.Path(path).read_text(encoding="utf-8").splitlines():
        kind, *fields = line.split("\t")
        lines[kind].append(fields)
    return lines


def tensors_of(path):
    """The bytes of each tensor of a safetensors file."""
    data = pathlib.Path(path).read_bytes()
    size, = struct.unpack_from("<Q", data)
    header = json.loads(data[8:8 + size])
    header.pop("__metadata__", None)
    tensors = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        tensors[name] = data[8 + size + begin:8 + size + end]
        assert len(tensors[name]) == end - begin, f"{path}: {name} is cut off"
    return tensors


class Training:
    """A small training of the synthetic dataset; the defaults end each epoch with a partial batch."""

    def __init__(self, folder, network="resnet8", precision="f32", images=20, test_images=10, batch=8, options=()):
        self.folder = pathlib.Path(folder)
        self.options = ["--dataset", "synthetic", "--train-images", images, "--test-images", test_images, "--batch-size",
                        batch, "--network", network, "--precision", precision, *options]

    def run(self, name, device="cuda", settings=None, limit=300, cache=None, more=()):
        """Trains into folder/name."""
        return run("gradamp", "train", "--device", device, "--run-folder", self.folder / name, *self.options, *more,
                   settings=settings, limit=limit, cache=cache)

    def checkpoint(self, name):
        return self.folder / name / "checkpoint.safetensors"


class StandInTest(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.folder = pathlib.Path(scratch.name)

    def succeeded(self, result):
        self.assertEqual(result.returncode, 0, f"{result.args}\n{result.stdout}\n{result.stderr}")
        return result

    def failed_with(self, result, *texts):
        """Exit code 1 and a message with all the texts; not a crash."""
        self.assertEqual(result.returncode, 1, f"{result.args}\n{result.stdout}\n{result.stderr}")
        for text in texts:
            self.assertIn(text, result.stderr)
        self.assertNotIn("terminate called", result.stderr)

    def differences(self, first, second):
        one, other = tensors_of(first), tensors_of(second)
        self.assertEqual(one.keys(), other.keys())
        self.assertGreater(len(one), 40)
        return [name for name in one if one[name] != other[name]]


# ---- The same bits as the emulated device ----

# Plain, analyzed and amplified epochs; the other cases add what their names say.
PHASES = ("--strategy", "1:0.05, 3:0.05:2")
STRATEGIES = {
    "measured": (*PHASES, "--threshold", "0.7"),
    "neurons and reselection": ("--strategy", "1:0.05, 4:0.05:2", "--granularity", "neuron", "--reselect-every", "1"),
    "random": (*PHASES, "--selection", "random"),
    "backprop": (*PHASES, "--placement", "backprop", "--measure", "g", "--case", "2"),
    "shards": (*PHASES, "--shards", "4", "--dropout", "0.2"),
}


class SameBits(StandInTest):
    """nvcc's code, compiled without contraction, gives the bits of the same kernels compiled for the emulator.

    One number may differ in its last bits: the sum of losses. exp and log of double are of CUDA's library on one side
    and of C's on the other, each exact to 1 unit in the last place (CUDA C++ Programming Guide, "Mathematical
    Functions"; glibc's manual, "Known Maximum Errors in Math Functions"). What they have in the gradients is rounded
    to float, which hides it.
    """

    CODE = {"CODE": "uncontracted"}
    # A row's loss log(sum of exp(..)) + .. of 10 classes: 2 units from exp, 2 of log's value (below 4), and a few
    # roundings of the sum: at most 10 * 2^-52. For the 20 rows of an epoch, whose losses are about ln(10) = 2.3 each,
    # that is 4.4 * 2^-52 of their sum; each of the about 10 additions to it may round otherwise, by 1 * 2^-52 of it.
    LOSS_SUM_TOLERANCE = 16 * 2.0 ** -52  # relative

    def is_same(self, name, one, other):
        if name != "gradamp.metrics" or len(one) != len(other):
            return one == other
        (loss_sum, *counts), (other_loss_sum, *other_counts) = (struct.unpack(f"<{len(x) // 8}d", x)
                                                                for x in (one, other))
        return counts == other_counts and math.isclose(loss_sum, other_loss_sum, rel_tol=self.LOSS_SUM_TOLERANCE)

    def differences(self, first, second):
        one, other = tensors_of(first), tensors_of(second)
        return [name for name in super().differences(first, second) if not self.is_same(name, one[name], other[name])]

    def same_bits(self, training):
        self.succeeded(training.run("cuda", settings=self.CODE, limit=900))
        self.succeeded(training.run("emulated", device="emulated", limit=900))
        self.assertEqual(self.differences(training.checkpoint("cuda"), training.checkpoint("emulated")), [])

    def test_of_the_loss_only_the_last_bits_are_left_out(self):
        def metrics(*values):
            return struct.pack("<2d", *values)

        sums = metrics(45.0, 3.0)
        self.assertTrue(self.is_same("gradamp.metrics", sums, metrics(math.nextafter(45.0, 46.0), 3.0)))
        self.assertFalse(self.is_same("gradamp.metrics", sums, metrics(45.0 * (1 + 1e-14), 3.0)))
        self.assertFalse(self.is_same("gradamp.metrics", sums, metrics(45.0, math.nextafter(3.0, 4.0))))
        self.assertFalse(self.is_same("conv1.weight", sums, metrics(math.nextafter(45.0, 46.0), 3.0)))

    def test_strategies(self):
        for strategy, options in STRATEGIES.items():
            for precision in PRECISIONS:
                with self.subTest(strategy=strategy, precision=precision), tempfile.TemporaryDirectory() as folder:
                    self.same_bits(Training(folder, precision=precision, options=options))

    def test_large_networks(self):
        for network in ["resnet18", "vgg19"]:
            with self.subTest(network=network), tempfile.TemporaryDirectory() as folder:
                self.same_bits(Training(folder, network, "bf16", images=12, test_images=4,
                                        options=("--epochs", "1")))

    def test_stopped_and_resumed(self):
        training = Training(self.folder, options=(*PHASES, "--threshold", "0.7"))
        environment = os.environ | {"STAND_IN_CODE": "uncontracted"}
        arguments = ["train", "--device", "cuda", "--run-folder", self.folder / "stopped", *training.options]
        with subprocess.Popen([build / "stand_in" / "uncontracted" / "gradamp", *map(str, arguments)], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, env=environment) as process:
            for line in process.stdout:
                if line.startswith("epoch 1/"):
                    process.terminate()
            self.assertEqual(process.wait(), 143)
        self.succeeded(run("gradamp", "train", "--resume", self.folder / "stopped", settings=self.CODE))
        self.succeeded(training.run("emulated", device="emulated"))
        self.assertEqual(self.differences(training.checkpoint("stopped"), training.checkpoint("emulated")), [])

    def test_one_flipped_instruction_is_noticed(self):
        training = Training(self.folder, options=("--epochs", "1"))
        self.succeeded(training.run("checked", settings=self.CODE))  # caches the self-check, which would find it
        self.succeeded(training.run("planted", settings={"CODE": "planted,uncontracted"}))
        self.succeeded(training.run("emulated", device="emulated"))
        self.assertNotEqual(self.differences(training.checkpoint("planted"), training.checkpoint("emulated")), [])


# ---- The code that ships ----

class Shipped(StandInTest):
    def test_trains_at_once_and_deferred(self):
        """The same bits whether work runs at once or only at waits, and nothing that CUDA forbids."""
        training = Training(self.folder, precision="bf16", images=12, test_images=4, options=PHASES)
        for name, settings in {"at-once": {}, "deferred": {"DEFERRED": 1}}.items():
            log = self.folder / f"{name}.log"
            self.succeeded(training.run(name, settings=settings | {"LOG": log}))
            self.assertEqual(read_log(log)["violation"], [])
        self.assertEqual(self.differences(training.checkpoint("at-once"), training.checkpoint("deferred")), [])
        # An H100 would take the convolutions hopper; here there is no driver that encodes tensor maps.
        config = json.loads((self.folder / "deferred" / "config.json").read_text())
        self.assertEqual(config["settings"]["conv"], "mma")
        resume = ["train", "--resume", self.folder / "deferred", "--conv"]
        self.succeeded(run("gradamp", *resume, "auto"))
        self.assertEqual(run("gradamp", *resume, "naive").returncode, 2)
        refused = training.run("hopper", settings={"DEVICE": "H100"}, more=["--conv", "hopper"])
        self.failed_with(refused, "the convolutions hopper cannot be used: the NVIDIA driver does not have cuTensorMapEncode")
        refused = training.run("hopper", settings={"DEVICE": "RTX5090"}, more=["--conv", "hopper"])
        self.failed_with(refused, "they need compute capability 9.0, ", " has 12.0; use the convolutions mma")


# ---- The self-check ----

class SelfCheck(StandInTest):
    def test_passes_on_every_device(self):
        modes = [{}, {"DEFERRED": 1}]
        cases = itertools.product(devices(), modes) if is_long else zip(["H100", "RTX5090"], modes)
        for device, mode in cases:
            log = self.folder / "log"
            result = self.succeeded(run("gradamp", "info", "--check", settings=mode | {"DEVICE": device, "LOG": log}))
            self.assertRegex(result.stdout, r"\n  convolution backward filter, bf16 +[0-9.]+ ms  agrees\n")
            self.assertEqual(read_log(log)["violation"], [])

    def test_runs_once_per_device_and_build(self):
        training = Training(self.folder, images=8, test_images=4, options=("--epochs", "1"))
        checked = "computes as expected: "
        for name, device, is_first in [("first", "H100", True), ("second", "H100", False), ("other", "H200", True)]:
            result = self.succeeded(training.run(name, settings={"DEVICE": device}, cache=self.folder / "cache"))
            self.assertEqual(checked in result.stdout, is_first, result.stdout)
        self.assertEqual(len(list((self.folder / "cache/gradamp/self-check").glob("*.json"))), 2)
        weights = training.checkpoint("first")
        result = self.succeeded(run("gradamp", "evaluate", "--device", "cuda", "--weights", weights, *training.options[:6],
                                    "--network", "resnet8", cache=self.folder / "another"))
        self.assertIn(checked, result.stderr)

    def test_says_that_nothing_can_be_remembered(self):
        training = Training(self.folder, images=8, test_images=4, options=("--epochs", "1"))
        for name in ["first", "second"]:
            result = self.succeeded(training.run(name, cache="/dev/null"))
            self.assertRegex(result.stdout, "checked .* since no success is remembered: .*/dev/null")

    def test_a_device_that_computes_nothing_stops_the_run(self):
        training = Training(self.folder, options=("--epochs", "1"))
        result = training.run("stopped", settings={"CODE": "none"}, cache=self.folder / "cache")
        self.failed_with(result, "disagrees with what the kernels expect, in mma.m16n8k16, bf16: d[row 0, column 0]: got ",
                         "--device cpu")
        self.assertFalse((self.folder / "stopped" / "metrics.jsonl").exists())
        result = run("gradamp", "info", "--check", settings={"CODE": "none"})
        self.failed_with(result, "disagrees with what the kernels expect, in mma.m16n8k16, bf16")
        self.assertRegex(result.stdout, r"\n  recorded graph +[0-9.]+ ms  disagrees: total\[row 0, channel 0\]: got ")


    def test_a_kernel_that_fails_stops_the_run_in_every_precision(self):
        """Because the later parts have not been checked."""
        for precision in PRECISIONS:
            training = Training(self.folder, precision=precision, options=("--epochs", "1"))
            result = training.run(precision, settings={"FAIL_KERNEL": 1}, cache=self.folder / "cache")
            self.failed_with(result, "the self-check of ", "it failed: ", "an illegal memory access")


# ---- Launches ----

def short_name(kernel):
    return kernel.replace("(gradamp::Precision)", "").replace("__nv_bfloat16", "bf16")


def step_launches(network, precision, device, folder, extra=()):
    """The captured launches of a training step at batch 128, in order; they are not executed."""
    log = folder / "log"
    result = run("bench/training_step", "--device", "cuda", "--network", network, "--precision", precision,
                 "--batch-size", 128, "--steps", 1, "--warmup", 2, *extra,
                 settings={"CODE": "none", "DEVICE": device, "LOG": log})
    assert result.returncode == 0, result.stderr
    lines = read_log(log)
    assert lines["violation"] == [], lines["violation"]
    return [fields for fields in lines["launch"] if fields[7] == "captured"]


class Launches(StandInTest):
    """The launches of one step: the same on every device. Resources are those of the image that the device uses."""

    def launch_list(self, launches):
        """Each different launch once with its number of occurrences, in order of the first occurrence."""
        counts = {}
        for kernel, grid, threads, dynamic, static, *_ in launches:
            line = f"{short_name(kernel)} grid {grid} threads {threads} shared {dynamic} + {static}"
            counts[line] = counts.get(line, 0) + 1
        return f"{len(launches)} launches\n" + "".join(f"{n} x {line}\n" for line, n in counts.items())

    def cases(self):
        for network in NETWORKS:
            for precision in PRECISIONS:
                for device in devices():
                    if is_long or is_update or (network, precision) == ("resnet18", "bf16") or (
                            device == "H100" and network in SMALL_NETWORKS):
                        yield network, precision, device

    def test_launch_lists(self):
        GOLDEN.mkdir(exist_ok=True)
        for network, precision, device in self.cases():
            with self.subTest(network=network, precision=precision, device=device):
                text = self.launch_list(step_launches(network, precision, device, self.folder))
                golden = GOLDEN / f"{network}_{precision}.txt"
                if is_update and device == "H100":
                    golden.write_text(text, encoding="utf-8")
                self.assertEqual(golden.read_text(encoding="utf-8"), text)

    def test_resources(self):
        """Registers per image are those of ptxas's report beside the objects."""
        reported = {}
        for file in (build / "kernels" / "cuda").rglob("*.resources"):
            entry = None
            for line in file.read_text(encoding="utf-8").splitlines():
                if match := re.search(r"Compiling entry function '([^']+)' for '(sm_\d+)'", line):
                    entry = match.groups()
                elif entry and (match := re.search(r"Used (\d+) registers(.*)", line)):
                    shared = re.search(r"(\d+) bytes smem", match[2])
                    reported[entry] = (int(match[1]), int(shared[1]) if shared else 0)
        names = subprocess.run(["c++filt"], input="\n".join(name for name, _ in reported), capture_output=True,
                               text=True, check=True).stdout.splitlines()
        by_name = {}
        for ((_, architecture), resources), name in zip(reported.items(), names):
            name = re.sub(r"\(anonymous namespace\)::|gradamp::cuda::|^void ", "", name)
            by_name[name[:name.rindex("(")], architecture] = resources
        checked = set()
        for device in set(devices()) & {"A100", "H100"}:
            image = IMAGES[device]
            for precision in PRECISIONS:
                for kernel, _, _, _, static, registers, taken, *_ in step_launches("resnet18", precision, device,
                                                                                  self.folder):
                    self.assertEqual(taken, image)
                    if match := by_name.get((kernel, image)):
                        self.assertEqual((int(registers), int(static)), match, f"{kernel} for {image}")
                        checked.add((kernel, image))
            self.assertGreater(len([key for key in checked if key[1] == image]), 25)

    def test_which_image_a_device_takes(self):
        for device in devices():
            with self.subTest(device=device):
                launches = step_launches("resnet8", "f32", device, self.folder)
                self.assertEqual({fields[6] for fields in launches}, {IMAGES[device]})


# ---- Devices that cannot be used ----

class Devices(StandInTest):
    UNUSABLE = {
        "T4": ({"DEVICE": "T4"}, "Tesla T4 has 7.5"),
        "an old driver": ({"DEVICE": "old-driver"}, "driver here is for CUDA 12.2"),
        "no driver": ({"DEVICE": "no-driver"}, "no NVIDIA driver"),
        "no device": ({"DEVICE": "no-device"}, "there is no GPU"),
        "another device's code": ({"DEVICE": "H100", "IMAGES": "sm_80"}, "has 9.0"),
    }

    def test_messages(self):
        training = Training(self.folder, options=("--epochs", "1"))
        for name, (settings, text) in self.UNUSABLE.items():
            with self.subTest(name):
                info = self.succeeded(run("gradamp", "info", settings=settings))
                self.assertRegex(info.stdout, rf"cuda: cannot be used: .*{re.escape(text)}")
                self.failed_with(training.run("unusable", settings=settings), text)
                self.assertFalse((self.folder / "unusable" / "metrics.jsonl").exists())


# ---- Failures ----

class Failures(StandInTest):
    """Each call, allocation and kernel fails once. Either the program ends with exit code 1, a message and a valid
    checkpoint, or the failure does no harm and the bits are those of the undisturbed run."""

    @classmethod
    def setUpClass(cls):
        scratch = tempfile.TemporaryDirectory()
        cls.addClassCleanup(scratch.cleanup)
        folder = pathlib.Path(scratch.name)
        cls.training = Training(folder, images=4, test_images=2, batch=2, options=("--epochs", "2"))
        # The self-check's success is cached, so that no other run makes its calls.
        checked = Training(folder, images=2, test_images=2, batch=2, options=("--epochs", "1"))
        log = folder / "log"
        for training, name, settings in (checked, "checked", {}), (cls.training, "undisturbed", {"LOG": log}):
            result = training.run(name, settings=settings)
            assert result.returncode == 0, result.stderr
        cls.calls = [fields[0] for fields in read_log(log)["call"]]

    def check_failure(self, name, settings):
        result = self.training.run(name, settings=settings)
        checkpoint = self.training.checkpoint(name)
        self.assertIn(result.returncode, (0, 1), f"{name}: {result.stdout}\n{result.stderr}")
        self.assertNotIn("terminate called", result.stderr)
        if checkpoint.exists():
            tensors_of(checkpoint)
        if result.returncode == 0:
            self.assertEqual(self.differences(checkpoint, self.training.checkpoint("undisturbed")), [])
            return 0
        self.assertRegex(result.stderr, r"gradamp: \S")
        if checkpoint.exists():
            self.succeeded(run("gradamp", "train", "--resume", checkpoint.parent))
            self.assertEqual(self.differences(checkpoint, self.training.checkpoint("undisturbed")), [])
        return 1

    def positions(self, name):
        """The positions in the sequence of calls at which the call is made to fail."""
        all_of_them = [index + 1 for index, call in enumerate(self.calls) if call == name]
        if is_long:
            return all_of_them[::max(1, len(all_of_them) // 5)]
        return [all_of_them[len(all_of_them) * 3 // 4]]

    def test_calls(self):
        failed = 0
        # A graph that is not destroyed still uses the memory that is freed next; the emulator then ends the program.
        names = sorted(set(self.calls) - {"cudaGraphExecDestroy"})
        for name in names if is_long else names[::5]:
            for position in self.positions(name):
                with self.subTest(call=name, position=position):
                    failed += self.check_failure(f"{name}-{position}", {"FAIL_CALL": position})
        self.assertGreater(failed, 10 if is_long else 3)

    def test_allocations(self):
        count = self.calls.count("cudaMalloc")
        self.assertGreater(count, 1)
        for position in range(1, count + 1) if is_long else {1, count // 2, count}:
            with self.subTest(position=position):
                self.check_failure(f"allocation-{position}", {"FAIL_ALLOCATION": position})

    def test_a_device_that_is_too_small(self):
        result = self.training.run("small", settings={"MEMORY": 2 << 20})
        self.failed_with(result, "memory")

    def test_kernels(self):
        """A later call returns the error, and the message says so."""
        launches = self.calls.count("cudaLaunchKernelExC")
        for position in (1, launches // 2, launches):
            with self.subTest(position=position):
                result = self.training.run(f"kernel-{position}", settings={"FAIL_KERNEL": position})
                self.failed_with(result, "an illegal memory access", "of a kernel launched earlier")


def main():
    global build, is_long, is_update
    arguments = sys.argv[1:]
    is_long, is_update = "--long" in arguments, "--update" in arguments
    positional = [argument for argument in arguments if not argument.startswith("--")]
    build = pathlib.Path(positional[0]).resolve()
    unittest.main(argv=[sys.argv[0], *positional[1:]], verbosity=2)


if __name__ == "__main__":
    main()

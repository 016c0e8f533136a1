#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Tests of tools/gpu_check.sh with fake programs: what it runs, how it reports failures, that it reports every failure,
and that a pack runs with only bash, coreutils and Python. They need neither a GPU nor a build.
"""

import array
import contextlib
import io
import json
import math
import os
import pathlib
import re
import shutil
import struct
import subprocess
import sys
import tarfile
import tempfile
import unittest
from unittest import mock

from gpu_check_fakes import KERNELS, NVIDIA_SMI, ROOT, SCRIPT, TESTS, TEST_PROGRAMS, TRAIN, Pretence

sys.path.insert(0, str(ROOT / "tools" / "gpu_check"))

import agreement  # noqa: E402
import machine  # noqa: E402
import pack  # noqa: E402

MEASURED = (
    "instructions",
    "tests",
    "emulator",
    "convolutions",
    "kernels",
    "step",
    "pytorch",
    "training",
    "sanitize",
)


class GpuCheckCase(unittest.TestCase):
    def setUp(self):
        self.pretence = Pretence(self.addCleanup)


class LongTest(GpuCheckCase):
    def test_a_part_has_its_time(self):
        self.pretence.script(self.pretence.build / "bench" / "training_step", "sleep 60")
        code, printed = self.pretence.run("--limit", "1", "step")
        self.assertEqual(code, 1)
        self.assertIn("took longer than 1 s", printed)

    def test_quick_is_small_on_the_device_cuda(self):
        code, printed = self.pretence.run("--quick", *MEASURED)
        self.assertEqual(code, 0, printed)
        self.assertIn("A quick run", self.pretence.markdown())
        calls = [line for line in self.pretence.calls().splitlines() if "--device emulated" not in line]
        self.assertTrue(calls)
        for call in calls:
            self.assertIn("--device cuda", call)
            self.assertNotRegex(call, "resnet18|resnet50|vgg19|1e8")
            if "_bench" in call:
                self.assertIn("--quick", call)

    def test_a_run_whose_loss_does_not_fall_is_a_failure(self):
        self.pretence.script(self.pretence.build / "gradamp", TRAIN.replace("$((4 - epoch)).0", "$((4 + epoch)).0"))
        code, printed = self.pretence.run("training")
        self.assertEqual(code, 1)
        self.assertIn("did not fall", printed)

    def test_runs_that_differ_are_a_failure(self):
        code, printed = self.pretence.run("training", NOISE="yes")
        self.assertEqual(code, 1)
        self.assertRegex(printed, r"failed +same-twice")

    def test_no_more_processes_than_fit_the_memory(self):
        for free, shards in [("1000", 1), ("80000", 2)]:
            self.pretence.run("tests", jobs=None, FREE_MIB=free)
            logs = list((self.pretence.report / "logs").glob("tests-core_tests-*.log"))
            self.assertEqual(len(logs), min(shards, os.cpu_count()))

    def test_a_dry_run_is_quick_and_says_so(self):
        for name in TEST_PROGRAMS:
            self.pretence.script(self.pretence.build / "tests" / name, TESTS.replace("cuda", "emulated"))
        code, printed = self.pretence.run("--device", "emulated", *MEASURED)
        self.assertEqual(code, 0, printed)
        self.assertIn("dry run", self.pretence.markdown())
        self.assertIn("--quick", self.pretence.calls())

    def test_parts_are_in_the_order_that_tells_most_first(self):
        _, printed = self.pretence.run(CUDA_PATH="/no/where")
        parts = [line[3:] for line in printed.splitlines() if line.startswith("== ")]
        self.assertEqual(parts, ["build", *MEASURED])

    def test_a_program_that_ends_too_early_is_a_failure(self):
        code, printed = self.pretence.run("tests", ENDING_TEST="1")
        self.assertEqual(code, 1)
        self.assertIn("1 of 2 tests passed; the others did not end", printed)

    def test_tests_that_skip_themselves_are_a_failure(self):
        self.pretence.script(self.pretence.build / "tests" / "nets_tests", TESTS.replace("      OK", " SKIPPED"))
        code, printed = self.pretence.run("tests")
        self.assertEqual(code, 1)
        self.assertRegex(printed, r"failed +nets_tests .*none ran")

    def test_no_sanitizer_is_said_and_is_no_failure(self):
        code, printed = self.pretence.run("sanitize", GRADAMP_COMPUTE_SANITIZER="no-such-tool")
        self.assertEqual(code, 0)
        self.assertIn("compute-sanitizer: left out: not on PATH", printed)

    def test_a_program_that_was_not_built_is_a_failure(self):
        (self.pretence.build / "bench" / "kernel_bench").unlink()
        code, printed = self.pretence.run("kernels")
        self.assertEqual(code, 1)
        self.assertIn("kernel_bench: not in", printed)
        self.assertRegex(printed, r"passed +optimizer")

    def test_a_quick_run_and_a_whole_one_are_not_mixed(self):
        self.assertEqual(self.pretence.run("step")[0], 0)
        self.assertEqual(self.pretence.run("--quick", "kernels")[0], 0)
        self.assertNotIn("| step |", self.pretence.markdown())

    def test_programs_of_another_folder_come_first(self):
        self.pretence.script(self.pretence.path / "others" / "kernels_tests", "echo the other one; exit 3")
        code, printed = self.pretence.run("--programs", str(self.pretence.path / "others"), "tests")
        self.assertEqual(code, 1)
        self.assertRegex(printed, r"failed +kernels_tests .*exit code 3: the other one")
        self.assertRegex(printed, r"passed +core_tests")

    def test_a_gpu_without_nvidia_smi(self):
        self.pretence.script(self.pretence.tools / "nvidia-smi", "exit 127")
        code, printed = self.pretence.run("tests", INFO="NVIDIA Loner (compute capability 9.0, 132 multiprocessors)")
        self.assertEqual(code, 0, printed)
        self.assertIn("NVIDIA Loner compute capability 9.0", self.pretence.markdown())

    def test_what_one_sanitizer_finds_is_a_failure(self):
        code, printed = self.pretence.run("sanitize", BAD_TOOL="racecheck")
        self.assertEqual(code, 1)
        self.assertIn("Race reported", printed)
        self.assertRegex(printed, r"failed +racecheck")
        self.assertRegex(printed, r"passed +memcheck")

    def test_a_step_that_differs_from_the_emulators_is_a_failure(self):
        self.assertEqual(self.pretence.run("emulator")[0], 0)
        self.assertIn("largest difference 0.0e+00", self.pretence.markdown())
        code, printed = self.pretence.run("emulator", CUDA_WEIGHT="1.001")
        self.assertEqual(code, 1)
        self.assertRegex(printed, r"failed +agrees-f32 .*weight by 1.0e-03")
        self.assertRegex(printed, r"passed +agrees-bf16")

    def test_instructions_of_another_gpu(self):
        self.pretence.script(self.pretence.build / "tests/kernels/emulation/gpu/hopper_gpu_tests", "exit 1")
        self.assertRegex(self.pretence.run("instructions")[1], r"failed +hopper_gpu_tests")
        self.pretence.script(self.pretence.tools / "nvidia-smi", NVIDIA_SMI.replace("9.0", "8.0"))
        for device, said in [("cuda", "skipped +hopper_gpu_tests .*GPU has 8.0"), ("emulated", "passed +hopper_tests")]:
            self.assertRegex(self.pretence.run("instructions", "--device", device)[1], said)

    def test_the_tests_of_the_c_library_are_among_them(self):
        for device, name in [("cuda", "cuda_statistics_tests"), ("emulated", "gpu_statistics_tests")]:
            with self.subTest(device):
                code, printed = self.pretence.run("tests", "--device", device)
                self.assertEqual(code, 0, printed)
                self.assertRegex(printed, rf"passed +{name} .*: 2 tests")

    def test_another_device_starts_a_report_afresh(self):
        self.assertEqual(self.pretence.run("step")[0], 0)
        self.assertEqual(self.pretence.run("--device", "emulated", "kernels")[0], 0)
        self.assertNotIn("| step |", self.pretence.markdown())

    def test_a_failing_benchmark_is_a_failure(self):
        self.pretence.script(self.pretence.build / "bench" / "kernel_bench", "echo relative error 1; exit 1")
        code, printed = self.pretence.run("kernels")
        self.assertEqual(code, 1)
        self.assertIn("exit code 1: relative error 1", printed)


class GpuCheckTest(GpuCheckCase):
    def test_all_is_well(self):
        code, printed = self.pretence.run(*MEASURED)
        self.assertEqual(code, 0, printed)
        text = self.pretence.markdown()
        for expected in ["# gradamp on NVIDIA Pretender", "580.1", "cuDNN 9.1.0", "**0.80**", "2 tests", "## Aims"]:
            self.assertIn(expected, text)
        self.assertIn("left out", printed)  # PyTorch
        calls = self.pretence.calls()
        for expected in [
            "--precision bf16",
            "--device cuda",
            "--sizes 1e5,1e6,1e7,1e8,1e9",
            "--network vgg19",
            "--compare",
        ]:
            self.assertIn(expected, calls)
        self.assertNotIn("--quick", calls)
        report = json.loads((self.pretence.report / "report.json").read_text())
        self.assertEqual(set(report["checks"]), set(MEASURED))

    def test_no_gpu_is_a_failure_with_one_line(self):
        self.pretence.script(self.pretence.tools / "nvidia-smi", "echo 'No devices were found'; exit 6")
        code, printed = self.pretence.run("tests", INFO="there is no NVIDIA driver")
        self.assertEqual(code, 1)
        self.assertEqual(len(printed.splitlines()), 1, printed)
        self.assertIn("there is no GPU: there is no NVIDIA driver", printed)
        (self.pretence.build / "gradamp").unlink()
        code, printed = self.pretence.run("tests")
        self.assertEqual((code, len(printed.splitlines())), (1, 1), printed)
        self.assertIn("there is no GPU: nvidia-smi", printed)

    def test_instructions(self):
        for environment, said in [
            ({"BAD_MMA": "yes"}, "0 of 1 tests passed"),
            ({"NO_GPU_FOR_TESTS": "yes"}, "its tests cannot be listed: exit code 77: skipped: there is no GPU"),
        ]:
            code, printed = self.pretence.run("instructions", **environment)
            self.assertEqual(code, 1)
            self.assertIn(said, printed)
        code, printed = self.pretence.run("instructions")
        self.assertEqual(code, 0)
        self.assertRegex(printed, r"passed +hopper_gpu_tests .*: 1 test")
        self.assertRegex(printed, r"passed +device .*: NVIDIA Pretender, compute capability 9.0")
        code, printed = self.pretence.run("instructions", INFO="this build has code for 8.0, the GPU has 12.0")
        self.assertEqual(code, 1)
        self.assertRegex(printed, r"failed +device .*this build has code for 8.0")
        self.pretence.script(
            self.pretence.build / "tests" / "kernels" / "emulation" / "gpu" / "cuda_intrinsics_gpu_tests", "exit 0"
        )
        code, printed = self.pretence.run("instructions")
        self.assertEqual(code, 1)
        self.assertIn("leaves no test", printed)

    def test_a_filter(self):
        self.assertEqual(self.pretence.run("tests", GPU_CHECK_FILTER="*relu*")[0], 0)
        for name in (*TEST_PROGRAMS, "kernels/statistics/gpu/cuda_statistics_tests"):
            self.pretence.script(self.pretence.build / "tests" / name, "exit 0")
        code, printed = self.pretence.run("tests", GPU_CHECK_FILTER="*nonsense*")
        self.assertEqual(code, 1)
        self.assertIn("the filter *nonsense* leaves no test", printed)

    def test_wrong_usage(self):
        for words in [
            ("nonsense",),
            ("--nonsense",),
            ("--limit", "soon"),
            ("--device", "cpu"),
            ("--data", "/no/where"),
            ("--programs", "/no/where"),
            ("--pack",),
            ("--pack", "a.tar.xz", "tests"),
        ]:
            self.assertEqual(self.pretence.run(*words)[0], 2, words)

    def test_a_failing_test_fails_and_the_later_parts_run(self):
        code, printed = self.pretence.run("tests", "step", BAD_TEST="1")
        self.assertEqual(code, 1)
        self.assertRegex(printed, r"tests +FAILED")
        self.assertRegex(printed, r"step +passed")
        self.assertIn("shard 1: exit code 1", self.pretence.markdown())

    def test_no_test_on_the_device_is_a_failure(self):
        self.pretence.script(self.pretence.build / "tests" / "kernels_tests", "exit 0")
        code, printed = self.pretence.run("tests")
        self.assertEqual(code, 1)
        self.assertRegex(printed, r"failed +kernels_tests .*the filter \*cuda\* leaves no test")

    def test_parts_are_added_to_a_report(self):
        self.assertEqual(self.pretence.run("step")[0], 0)
        self.assertEqual(self.pretence.run("tests")[0], 0)
        text = self.pretence.markdown()
        self.assertIn("| tests |", text)
        self.assertIn("| step |", text)

    def test_the_other_folder_may_have_the_places_of_a_build(self):
        self.pretence.script(self.pretence.path / "others" / "tests" / "kernels_tests", "echo the other one; exit 3")
        code, printed = self.pretence.run("--programs", str(self.pretence.path / "others"), "tests")
        self.assertEqual(code, 1)
        self.assertRegex(printed, r"failed +kernels_tests .*exit code 3: the other one")


def tensor_file(path, **tensors):
    """Writes a safetensors file of f32 tensors."""
    header, data = {"__metadata__": {"format": "a test"}}, b""
    for name, values in tensors.items():
        packed = array.array("f", values).tobytes()
        header[name] = {"dtype": "F32", "shape": [len(values)], "data_offsets": [len(data), len(data) + len(packed)]}
        data += packed
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


class AgreementTest(unittest.TestCase):
    def setUp(self):
        owner = tempfile.TemporaryDirectory()
        self.addCleanup(owner.cleanup)
        self.path = pathlib.Path(owner.name)
        self.weights = [1.0 + i / 10000 for i in range(3 * agreement.PIECE)]
        self.make("one")

    def make(self, name, loss=2.5, **tensors):
        (self.path / name).mkdir(exist_ok=True)
        line = {"train_loss": loss, "test_loss": 2.0}
        if loss == math.inf:
            line = {"schema": 2, "train_loss": None, "test_loss": 2.0, "not_finite": {"train_loss": "inf"}}
        (self.path / name / "metrics.jsonl").write_text(json.dumps(line) + "\n")
        tensor_file(self.path / name / "checkpoint.safetensors", **{"weight": self.weights, "bias": [0.5], **tensors})
        return name

    def compare(self, precision, name):
        command = [sys.executable, str(ROOT / "tools" / "gpu_check" / "agreement.py"), precision, "one", name]
        done = subprocess.run(command, cwd=self.path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        return done.returncode, done.stdout.splitlines()[-1]

    def test_the_same(self):
        code, printed = self.compare("f32", self.make("other"))
        self.assertEqual(code, 0)
        self.assertIn("4 tensors and losses; largest difference 0.0e+00", printed)

    def test_tolerances_depend_on_the_precision(self):
        for precision, tolerance in agreement.TOLERANCE.items():
            for factor, expected in [(0.9, 0), (1.1, 1)]:
                name = self.make("other", bias=[0.5 * (1 + factor * tolerance)])
                self.assertEqual(self.compare(precision, name)[0], expected, (precision, factor))

    def test_the_gradient_has_tolerances_of_its_own(self):
        for precision, tolerance in agreement.GRADIENT_TOLERANCE.items():
            for tensor in (agreement.GRADIENT, "bn1.bias"):
                self.make("one", **{tensor: [0.5]})
                for factor, expected in [(0.9, 0), (1.1, 1)]:
                    name = self.make("other", **{tensor: [0.5 * (1 + factor * tolerance)]})
                    self.assertEqual(self.compare(precision, name)[0], expected, (precision, tensor, factor))

    def test_a_fault_in_a_small_part_of_a_large_tensor(self):
        weights = self.weights[:]
        weights[agreement.PIECE + 5] *= 1.5  # 7e-3 of the piece's norm
        code, printed = self.compare("tf32", self.make("other", weight=weights))
        self.assertEqual(code, 0)
        weights[agreement.PIECE + 6] *= 2  # 15e-3 of the piece's norm, 9e-3 of the tensor's
        code, printed = self.compare("tf32", self.make("other", weight=weights))
        self.assertEqual(code, 1)
        self.assertIn("weight by 1.", printed)

    def test_what_is_wrong(self):
        infinite, undefined = (self.weights[:-1] + [float(word)] for word in ("inf", "nan"))
        for name, changes, said in [
            ("a", {"loss": 2.6}, "train_loss by 4.0e-02"),
            ("b", {"loss": "nan"}, "train_loss is 2.5 and nan"),
            ("b", {"loss": math.inf}, "train_loss is 2.5 and inf"),
            ("c", {"weight": infinite}, "weight by inf"),
            ("c", {"weight": undefined}, "weight by inf"),
            ("d", {"weight": self.weights[:-1]}, "weight by inf"),
            ("e", {"more": [1.0]}, "do not hold the same tensors: more"),
        ]:
            code, printed = self.compare("bf16", self.make(name, **changes))
            self.assertEqual(code, 1)
            self.assertIn(said, printed)
        (self.path / "a" / "checkpoint.safetensors").write_bytes(b"short")
        self.assertEqual(self.compare("f32", "a")[0], 1)
        self.assertEqual(self.compare("f32", "nowhere")[0], 1)
        self.assertEqual(self.compare("f16", "one")[0], 2)


class MachineTest(unittest.TestCase):
    """Tests of machine.py with a fake nvidia-smi."""

    def setUp(self):
        owner = tempfile.TemporaryDirectory()
        self.addCleanup(owner.cleanup)
        self.path = pathlib.Path(owner.name)

    def asked(self, script):
        Pretence.script(self.path / "nvidia-smi", script)
        changes = {"PATH": f"{self.path}:{os.environ['PATH']}", "CALLS": str(self.path / "calls")}
        return mock.patch.dict(os.environ, changes)

    def test_jobs(self):
        for free, cores, expected in [("81000", 16, 16), ("7000", 16, 10), ("100", 16, 1), ("81000", 2, 2)]:
            with self.asked(f"echo 'GPU, 580.1, 81559 MiB, {free} MiB, 9.0'"):
                self.assertEqual(machine.jobs(cores), expected)
        with self.asked("echo 'GPU, 580.1, [N/A], [N/A], 9.0'"):  # a part of a card
            self.assertEqual(machine.jobs(16), 4)
        with self.asked("exit 9"):
            self.assertEqual(machine.jobs(2), 2)

    def test_the_card_that_programs_use(self):
        script = (
            'case $* in "-i 1 "*) echo "B, 580.1, 1 MiB, 1 MiB, 9.0" ;; *) echo "A, 580.1, 1 MiB, 1 MiB, 7.5" ;; esac'
        )
        with self.asked(script):
            self.assertEqual(machine.gpu_by_nvidia_smi()["name"], "A")
            with mock.patch.dict(os.environ, {"CUDA_VISIBLE_DEVICES": "1,0"}):
                self.assertEqual(machine.gpu_by_nvidia_smi()["name"], "B")
        with self.asked('[ "$1" != --list-gpus ] || echo "GPU 0: NVIDIA Old (UUID: GPU-1)"'):
            self.assertEqual(machine.gpu_by_nvidia_smi(), {"name": "NVIDIA Old"})

    def test_what_the_program_says(self):
        program = str(self.path / "gradamp")
        for script, said in [
            (
                "echo '  cuda: NVIDIA A (compute capability 9.0, 1 GiB); built'; exit 1",
                (0, "NVIDIA A, compute capability"),
            ),
            ("echo '  cuda: cannot be used: no driver'", (1, "cannot be used: no driver")),
            ("echo '  emulated: the CUDA kernels'", (1, "says nothing about the device cuda")),
            ("exit 127", (1, "info cannot be run")),
        ]:
            Pretence.script(self.path / "gradamp", script)
            printed = io.StringIO()
            with contextlib.redirect_stdout(printed):
                code = machine.usable([program])
            self.assertEqual(code, said[0])
            self.assertIn(said[1], printed.getvalue())

    def test_libraries_of_python_environments_and_of_the_system(self):
        packages, toolkit, empty = self.path / "packages", self.path / "cuda" / "lib64", self.path / "empty"
        for folder in (packages / "nvidia" / "cudnn" / "lib", packages / "nvidia" / "cu13" / "lib", toolkit, empty):
            folder.mkdir(parents=True)
        (toolkit / "libcublas.so.13").touch()
        Pretence.script(self.path / "python", f"echo '[\"{packages}\"]'")
        with mock.patch.object(machine, "SYSTEM_FOLDERS", (str(toolkit), str(empty))):
            with mock.patch.dict(os.environ):
                os.environ.pop("CUDA_PATH", None)
                found = machine.libraries([str(self.path / "python"), str(self.path / "no-python")])
        expected = [packages / "nvidia" / "cu13" / "lib", packages / "nvidia" / "cudnn" / "lib", toolkit]
        self.assertEqual(found, [str(folder) for folder in expected])

    def test_wrong_words(self):
        with mock.patch.object(sys, "stderr"):
            self.assertEqual(machine.main(["nonsense"]), 2)


COREUTILS = "cat cp cut date dirname env head mkdir mv nproc rm sleep sort tail tee timeout tr uniq"


class PackTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        """Makes one archive for the tests of contents that all packs have."""
        pretence = Pretence(cls.addClassCleanup)
        cls.usual_archive = pretence.path / "pack.tar.xz"
        cls.made = cls.make_pack(cls.usual_archive, pretence.build)

    def setUp(self):
        self.pretence = Pretence(self.addCleanup)
        self.archive = self.pretence.path / "pack.tar.xz"
        self.folder = self.pretence.path / "elsewhere" / "gradamp-pack"
        self.bare = self.pretence.path / "bare"  # everything that a machine with a GPU must have, except the driver
        self.bare.mkdir()
        for name in COREUTILS.split() + ["bash"]:
            (self.bare / name).symlink_to(shutil.which(name))
        (self.bare / "python3").symlink_to(os.path.realpath(sys.executable))

    def pack(self, *words):
        return self.make_pack(self.archive, self.pretence.build, *words)

    @staticmethod
    def make_pack(archive, build, *words):
        command = ["bash", str(SCRIPT), "--pack", str(archive), "--build", str(build), *words]
        environment = {key: value for key, value in os.environ.items() if not key.startswith("GPU_CHECK")}
        environment["GRADAMP_COMMIT"] = "0123abc"
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        return done.returncode, done.stdout

    def unpack(self, archive=None):
        self.folder.parent.mkdir()
        command = [sys.executable, "-m", "tarfile", "-e", str(archive or self.archive), str(self.folder.parent)]
        subprocess.run(command, check=True)

    def bare_run(self, *command, **environment):
        """Runs the command with only the needed variables in the environment and the needed programs on PATH."""
        path = f"{self.bare}:{self.pretence.path / 'driver'}"
        environment = {"PATH": path, "CALLS": str(self.pretence.path / "calls"), **environment}
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        return done.returncode, done.stdout

    def test_a_pack_runs_on_a_bare_machine(self):
        self.assertEqual(self.made[0], 0, self.made[1])
        self.unpack(self.usual_archive)
        self.pretence.script(self.pretence.path / "driver" / "nvidia-smi", NVIDIA_SMI)
        code, printed = self.bare_run(str(self.folder / "run"), "--quick")
        self.assertEqual(code, 0, printed)
        parts = [line[3:] for line in printed.splitlines() if line.startswith("== ")]
        self.assertEqual(parts, list(MEASURED))  # without build
        report = json.loads((self.folder / "gpu-report" / "report.json").read_text())
        self.assertEqual(report["facts"]["commit"], "0123abc")
        self.assertEqual(report["checks"]["sanitize"][0]["status"], "skipped")
        self.assertNotIn("not found", printed)  # a missing tool

    def test_a_pack_on_the_emulator(self):
        self.unpack(self.usual_archive)
        code, printed = self.bare_run(str(self.folder / "run"), "--device", "emulated", "instructions", "step")
        self.assertEqual(code, 0, printed)
        code, printed = self.bare_run("bash", str(self.folder / "run"), "build")
        self.assertEqual(code, 2)
        code, printed = self.bare_run(str(self.folder / "run"), "--pack", "again.tar.xz")
        self.assertNotEqual(code, 0)
        self.assertIn("this is a pack already", printed)

    def test_what_is_in_it(self):
        with tarfile.open(self.usual_archive) as archive:
            entries = {entry.name: entry for entry in archive.getmembers()}
        for name in (
            "run",
            "README.txt",
            "pack.tsv",
            "programs/gradamp",
            "programs/bin/cuda_intrinsics_gpu_tests",
            "tools/gpu_check.sh",
            "tools/gpu_check/shards.py",
            "tools/gpu_check/gpu_report.py",
            "tools/gpu_check/gpu_report_markdown.py",
            "bench/compare_pytorch.py",
            "tests/oracle/networks.py",
            "tools/python/gradamp/networks.py",
            "tests/nets/recorded/resnet8_10.json",
        ):
            self.assertIn(f"gradamp-pack/{name}", entries)
        for name in ("run", "programs/gradamp", "programs/bin/gradamp"):
            self.assertEqual(entries[f"gradamp-pack/{name}"].mode, 0o755)
        self.assertTrue(all(entry.uid == 0 and entry.mtime == 0 for entry in entries.values()))
        self.pack()
        self.assertEqual(self.usual_archive.read_bytes(), self.archive.read_bytes())

    def test_what_the_scripts_import_is_in_it(self):
        self.unpack(self.usual_archive)
        for script in self.folder.rglob("*.py"):
            for module in re.findall(r"^\s*(?:from|import) (\w+)", script.read_text(), re.MULTILINE):
                for place in ("bench", "tests/oracle", "tools", "tools/gpu_check"):
                    if (ROOT / place / f"{module}.py").exists():
                        self.assertTrue((self.folder / place / f"{module}.py").exists(), f"{script} imports {module}")

    def test_a_program_brings_its_loader_and_libraries(self):
        (self.pretence.build / "gradamp").unlink()
        shutil.copy(os.path.realpath(shutil.which("cat")), self.pretence.build / "gradamp")
        code, printed = self.pack()
        self.assertEqual(code, 0, printed)
        self.unpack()
        code, mapped = self.bare_run(str(self.folder / "programs" / "gradamp"), "/proc/self/maps")
        self.assertEqual(code, 0, mapped)
        libraries = {line.split()[-1] for line in mapped.splitlines() if ".so" in line}
        self.assertIn(str(self.folder / "lib" / "libc.so.6"), libraries)
        for each in libraries:
            self.assertTrue(each.startswith(str(self.folder)), each)
        self.assertTrue((self.folder / "lib" / "libpthread.so.0").exists())  # the driver's libraries may need it
        if os.geteuid() == 0:  # simulate a machine that has nothing else
            command = ["/lib/loader", "--library-path", "/lib", "/programs/bin/gradamp", "/pack.tsv"]
            done = subprocess.run(["chroot", str(self.folder), *command], stdout=subprocess.PIPE, text=True, check=True)
            self.assertIn("0123abc", done.stdout)

    def test_libraries_beside_a_program_come_along(self):
        (self.pretence.build / "libcublas.so.13").write_text("a stand-in")
        code, printed = self.pack()
        self.assertEqual(code, 1)  # strip does not know the format
        shutil.copy(os.path.realpath(shutil.which("cat")), self.pretence.build / "libcublas.so.13")
        code, printed = self.pack()
        self.assertEqual(code, 0, printed)
        with tarfile.open(self.archive) as archive:
            self.assertIn("gradamp-pack/lib/libcublas.so.13", archive.getnames())

    def test_a_program_that_is_missing(self):
        (self.pretence.build / "bench" / "kernel_bench").unlink()
        code, printed = self.pack()
        self.assertEqual(code, 1)
        self.assertIn(f"not in {self.pretence.build}: kernel_bench", printed)
        self.assertFalse(self.archive.exists())
        self.pretence.script(self.pretence.path / "others" / "kernel_bench", KERNELS)
        code, printed = self.pack("--programs", str(self.pretence.path / "others"))
        self.assertEqual(code, 0, printed)

    def test_wrong_names(self):
        for name, said in [("pack.zip", "ends with .tar.xz"), ("no/where.tar.xz", "there is no folder")]:
            self.archive = self.pretence.path / name
            code, printed = self.pack()
            self.assertEqual(code, 1)
            self.assertIn(said, printed)

    def test_what_a_pack_is_built_with(self):
        root = self.pretence.path / "sources"
        for pattern in pack.SCRIPTS + pack.TEST_DATA:
            for path in ROOT.glob(pattern):
                (root / path.relative_to(ROOT)).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, root / path.relative_to(ROOT))
        (root / "tools" / "packages.sh").write_text("packages=; install_packages() { :; }\n")
        self.pretence.script(self.bare / "nvcc", "echo 'Cuda compilation tools, release 13.0, V13.0.88'")
        self.pretence.script(self.bare / "ldd", "exit 1")
        self.pretence.script(
            self.bare / "cmake",
            f"""
            printf '%s\n' "$@" >>"$CALLS"
            [ "$1" != --build ] || cp -r {self.pretence.build} "$2"
            """,
        )
        command = ["bash", str(root / "tools" / "gpu_check.sh"), "--pack", str(self.archive)]
        for words, expected in [
            ([], "80-real;86-real;89-real;90-real;100-real;120"),
            (["--architectures", "90-real"], "90-real"),
        ]:
            code, printed = self.bare_run(*command, *words)
            self.assertEqual(code, 0, printed)
            calls = self.pretence.calls().splitlines()
            self.assertIn("-DGRADAMP_NATIVE=OFF", calls)
            self.assertIn(f"-DCMAKE_CUDA_ARCHITECTURES={expected}", calls)
            for name in ("gradamp", "cuda_intrinsics_gpu_tests", "hopper_gpu_tests", "hopper_tests", "cuda_statistics_tests",
                         *TEST_PROGRAMS):
                self.assertIn(name, calls)  # a target
            (self.pretence.path / "calls").unlink()
            shutil.rmtree(root / "build-pack")
        with tarfile.open(self.archive) as archive:
            facts = archive.extractfile("gradamp-pack/pack.tsv").read().decode()
        self.assertEqual(facts, "commit\tunknown\ncuda\t13.0\n")

    def test_no_toolkit_to_build_a_pack_with(self):
        command = ["bash", str(SCRIPT), "--pack", str(self.archive)]
        code, printed = self.bare_run(*command, CUDA_PATH=str(self.pretence.path))
        self.assertEqual(code, 1)
        self.assertIn("a pack needs the CUDA toolkit", printed)

    def test_needed_libraries(self):
        printed = "\n".join(
            [
                "linux-vdso.so.1 (0x00007fff)",
                "libm.so.6 => /lib/libm.so.6 (0x00007f00)",
                "libcublas.so.13 => not found",
                "libcublasLt.so.13 => /usr/lib/libcublasLt.so.13 (0x00007f00)",
                "libcudnn.so.9 => not found",
                "libcuda.so.1 => /usr/lib/libcuda.so.1 (0x00007f00)",
                "/lib64/ld-linux-x86-64.so.2 (0x00007f01)",
            ]
        )
        self.pretence.script(self.bare / "ldd", f"echo '{printed}'")
        with mock.patch.dict(os.environ, {"PATH": f"{self.bare}"}):
            libraries, loader = pack.needed_libraries("program")
            self.assertEqual(libraries, {"libm.so.6": pathlib.Path("/lib/libm.so.6")})
            self.assertEqual(str(loader), "/lib64/ld-linux-x86-64.so.2")
            self.pretence.script(self.bare / "ldd", "echo 'libfoo.so.1 => not found'")
            with self.assertRaisesRegex(pack.PackError, "program needs libfoo.so.1, which is not found"):
                pack.needed_libraries("program")

    def test_a_pack_that_is_too_large_is_not_written(self):
        folder = self.pretence.path / "large"
        folder.mkdir()
        (folder / "noise").write_bytes(os.urandom(5000))
        with mock.patch.object(pack, "MAX_BYTES", 4000), self.assertRaisesRegex(pack.PackError, "more than"):
            pack.write_archive(folder, self.archive)
        self.assertEqual([path.name for path in self.pretence.path.glob("pack.tar*")], [])


if __name__ == "__main__":
    if sys.platform != "linux":
        sys.exit("gpu_check.sh is for Linux")
    unittest.main(verbosity=1)

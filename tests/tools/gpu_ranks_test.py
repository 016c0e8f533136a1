#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Several processes train one run on emulated devices, or with nvcc's code on the stand-in for CUDA's runtime.

Usage: gpu_ranks_test.py PROGRAM [CLASS[.TEST]...]. The classes OnStandIn... need the program of the stand-in. Exit code
77: no mpirun, or the program was built without MPI."""
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest

import ranks_test
from ranks_test import RanksTest, ended, launcher, ranks_of, run, start, wait_for

# The second batch of an epoch has one image: three of the four shards are empty.
SMALL = ["--dataset", "synthetic", "--train-images", "5", "--test-images", "2", "--validation", "0", "--network",
         "resnet8", "--batch-size", "4", "--evaluation-batch", "1", "--shards", "4", "--quiet"]
AMPLIFIED = ["--strategy", "2:0.1:2", "--threshold", "0.5"]  # measured, then amplified
LONG = ["--epochs", "200"]  # is met while it trains


class DeviceTest(RanksTest):
    device = "emulated"

    def options(self, *more):
        return ["train", *SMALL, "--device", self.device, *more]

    def train(self, size, name, *options, **settings):
        return self.succeeded(run(size, *self.options(*options), "--run-folder", self.folder / name, **settings))

    def same_bits(self, sizes, *options, **settings):
        self.train(1, "alone", *options, **settings)
        for size in sizes:
            with self.subTest(size=size):
                result = self.train(size, f"by-{size}", *options, **settings)
                self.assertEqual(self.files(f"by-{size}"), self.files("alone"))
                self.assertEqual(result.stderr, "")
                self.assertRegex(result.stdout, rf"\n  ranks +{size}\n")

    def failed(self, result):
        """The only line of the program's, which rank 0 says."""
        self.assertEqual(result.returncode, 1, result.stderr)
        lines = [line for line in result.stderr.splitlines() if line.startswith("gradamp: ")]
        self.assertEqual(len(set(lines)), 1, result.stderr)
        return lines[0]

    def begun(self, size, *options, **settings):
        process = start(size, *self.options(*LONG, *options), "--run-folder", self.folder / "run", **settings)
        self.addCleanup(lambda: process.poll() is None and os.killpg(process.pid, signal.SIGKILL))
        metrics = self.folder / "run" / "metrics.jsonl"
        wait_for(lambda: process.poll() is not None or (metrics.exists() and metrics.read_bytes().count(b"\n") >= 1),
                 "the first epoch")
        return process

    def kill_one(self, process, rank):
        os.kill(ranks_of(process)[rank], signal.SIGKILL)
        result = ended(process)
        self.assertNotEqual(result.returncode, 0)
        self.assertRegex(result.stderr, rf"rank {rank} .*on node .*signal 9")
        wait_for(lambda: not ranks_of(process), "the end of all ranks")


class Emulated(DeviceTest):
    def test_any_number_of_ranks_gives_the_same_bits(self):
        self.same_bits((2, 4), *AMPLIFIED)


class EmulatedFailures(DeviceTest):
    def test_a_killed_rank(self):
        self.kill_one(self.begun(4), 2)

    def test_a_stopped_rank(self):
        process = self.begun(2, "--rank-timeout", "2")
        os.kill(ranks_of(process)[1], signal.SIGSTOP)
        # In an exchange of the devices or in one of the hosts.
        self.assertRegex(self.failed(ended(process)), r"no answer for 2 s from (the emulated device of )?rank 1")
        wait_for(lambda: not ranks_of(process), "the end of all ranks")

    def test_a_number_that_is_not_finite(self):
        result = run(2, *self.options("--learning-rate", "1e30", "--epochs", "2"), "--run-folder", self.folder / "run")
        self.assertRegex(self.failed(result), "the loss or a gradient is not finite in epoch 1")


class LongTest(DeviceTest):
    RECIPES = {
        "neurons": [*AMPLIFIED, "--granularity", "neuron", "--measure-every", "2", "--precision", "tf32"],
        "backprop": [*AMPLIFIED, "--placement", "backprop", "--dropout", "0.2"],
        "synchronized": [*AMPLIFIED, "--batch-norm", "synchronized"],
        "adamw": ["--strategy", "1:0.001, 3:0.001:2", "--optimizer", "adamw", "--clip-norm", "1", "--precision",
                  "bf16"],
    }

    def test_recipes(self):
        for name, options in self.RECIPES.items():
            with self.subTest(recipe=name), tempfile.TemporaryDirectory() as folder:
                self.folder = pathlib.Path(folder)
                self.same_bits((2, 4), *options)

    def test_resnet20(self):
        self.same_bits((2, 4), "--network", "resnet20", *AMPLIFIED)

    def test_one_number_begins_and_others_resume(self):
        self.train(1, "alone", "--epochs", "3", "--precision", "bf16")
        self.train(4, "resumed", "--epochs", "3", "--precision", "bf16", "--until", "1")
        for size, epoch in ((2, 2), (1, 3)):
            self.succeeded(run(size, "train", "--resume", self.folder / "resumed", "--quiet", "--until", epoch))
        self.assertEqual(self.files("resumed"), self.files("alone"))

    def test_a_killed_run_is_resumed(self):
        self.kill_one(self.begun(4), 1)
        saved = (self.folder / "run" / "metrics.jsonl").read_bytes().count(b"\n")
        self.succeeded(run(2, "train", "--resume", self.folder / "run", "--quiet", "--until", saved + 1))
        self.train(1, "alone", *LONG, "--until", saved + 1)
        self.assertEqual(self.files("run"), self.files("alone"))


class StandInTest(DeviceTest):
    """nvcc's code, and the functions of NCCL that the program loads."""

    device = "cuda"

    def settings(self, devices=2, libraries=None, **more):
        folder = ranks_test.program.parent
        return {"STAND_IN_DEVICES": str(devices), "LD_LIBRARY_PATH": str(libraries or folder / "lib"),
                "XDG_CACHE_HOME": str(folder / "cache"), "NO_COLOR": "1"} | {
                    f"STAND_IN_{name}": str(value) for name, value in more.items()}

    def without_nccl(self):
        """A folder with a library that has NCCL's name, and none of its functions."""
        folder = self.folder / "libraries"
        folder.mkdir()
        cublas, = (ranks_test.program.parent / "lib").glob("libcublas.so.*")
        shutil.copy(cublas, folder / "libnccl.so.2")
        return folder


class OnStandIn(StandInTest):
    def test_two_ranks_give_the_bits_of_one_by_recorded_exchanges(self):
        options = self.options("--epochs", "3", "--run-folder")
        # A shell gives each rank a log of its own.
        logged = ["sh", "-c", f'STAND_IN_LOG={self.folder}/log$OMPI_COMM_WORLD_RANK exec "$0" "$@"', ranks_test.program]
        command = [*launcher(2), *logged, *options, self.folder / "by-2"]
        self.succeeded(subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=300,
                                      env=ranks_test.environment(**self.settings())))
        self.succeeded(run(1, *options, self.folder / "alone", **self.settings()))
        self.assertEqual(self.files("by-2"), self.files("alone"))
        for rank in range(2):
            lines = (self.folder / f"log{rank}").read_text(encoding="utf-8").splitlines()
            self.assertEqual([line for line in lines if line.startswith("violation")], [])
            # Two kinds of steps (4 images, 1 image), each issued once and recorded once, with four exchanges:
            # gradients, their sums, running statistics and metrics. And one exchange in each evaluation.
            self.assertEqual(lines.count("call\tncclGroupEnd"), 2 * 2 * 4 + 3)
            self.assertEqual(lines.count("call\tncclCommDestroy"), 1)
            self.assertEqual(lines.count("call\tncclCommAbort"), 0)

    def test_synchronized_batch_norm(self):
        # Its shards go on threads of their own, which must use the rank's GPU.
        self.same_bits((2,), "--epochs", "1", "--batch-norm", "synchronized", **self.settings())

    def test_auto_takes_gpus_if_there_is_one_for_each_rank(self):
        for devices, device in ((2, "cuda: "), (1, "cpu: ")):
            result = self.train(2, f"on-{devices}", "--device", "auto", "--epochs", "1", **self.settings(devices))
            config = (self.folder / f"on-{devices}" / "config.json").read_text(encoding="utf-8")
            self.assertRegex(config, rf'"(backend|device)[a-z_]*": "{device}', result.stdout)


class OnStandInFailures(StandInTest):
    def refused(self, size, *options, **settings):
        line = self.failed(run(size, *self.options("--epochs", "1", *options), "--run-folder", self.folder / "run",
                               **settings))
        self.assertFalse((self.folder / "run").exists())
        return line

    def test_a_killed_rank(self):
        self.kill_one(self.begun(2, **self.settings()), 1)

    def test_a_device_that_waits_for_ever(self):
        """As after the death of a rank: the host gives up, and ends NCCL's exchange before it waits for the device."""
        result = run(2, *self.options("--epochs", "1", "--rank-timeout", "2"), "--run-folder", self.folder / "run",
                     **self.settings(HANG=1))
        self.assertRegex(self.failed(result),
                         "the device of rank 0 has waited for 2 s: another rank hangs or has ended")

    def test_two_ranks_with_one_gpu(self):
        self.assertRegex(self.refused(2, **self.settings(1)),
                         r"rank 0 on \S+ and rank 1 on \S+ have the same GPU, GPU-0{8}-\S+: start at most one rank "
                         r"per GPU")

    def test_fewer_gpus_than_ranks(self):
        self.assertRegex(self.refused(4, **self.settings(2)),
                         r"rank [23] on \S+: expected at most one rank per GPU, got [34] or more ranks on a host "
                         r"where 2 GPUs")

    def test_another_gpu(self):
        command = ["mpirun"]
        for device in ("H100", "H200"):
            command += ["-n", "1", "-x", f"STAND_IN_DEVICE={device}", ranks_test.program,
                        *self.options("--epochs", "1", "--run-folder", self.folder / "run"), ":"]
        result = subprocess.run(list(map(str, command[:-1])), capture_output=True, text=True, timeout=300,
                                env=ranks_test.environment(**self.settings()))
        self.assertRegex(self.failed(result),
                         r"rank 1 on \S+ has another device than rank 0 on \S+: expected 'cuda: .*H100")

    def test_without_nccl(self):
        self.assertRegex(self.refused(2, **self.settings(libraries=self.without_nccl())),
                         r"several ranks on GPUs need NCCL; on rank 0 on \S+: libnccl.so.2 has no function nccl")

    def test_one_rank_needs_no_nccl(self):
        self.train(1, "alone", "--epochs", "1", **self.settings(1, libraries=self.without_nccl()))


if __name__ == "__main__":
    ranks_test.program = pathlib.Path(sys.argv[1]).resolve()
    del sys.argv[1]
    if shutil.which("mpirun") is None or not (ranks_test.program.parent / "libgradamp_mpi.so").exists():
        print("skipped: there is no MPI")
        sys.exit(77)
    unittest.main(verbosity=2)

#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Tests of whole sweeps with the built program. Their runs are equal to runs trained alone. A sweep that is killed at
any time and started again gives the same result. A failed cell does not affect the others. An invalid sweep writes
nothing. Arguments: the program gradamp, and the test classes to run; the class LongTest takes long."""

import json
import os
import pathlib
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

FILE = """
network = resnet8
train-images = 40
test-images = 20
batch-size = 20
strategy = '2:0.05, 4:0.05:2'
device = cpu
threads = 1
seed = 1:2

[original]

[random]

[amplified]
measure = [g, g-prime]
threshold = [0.5, 1]
"""
CELLS = 2 * (1 + 1 + 4)
# Fewer runs, each of which takes a while.
SLOW_FILE = FILE.replace("train-images = 40", "train-images = 160").replace("measure = [g, g-prime]\n", "")
SLOW_CELLS = 2 * (1 + 1 + 2)
PATIENCE = 400  # seconds: for what takes a few of them, but with a sanitizer and other programs beside it


class SweepCase(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.folder = pathlib.Path(scratch.name)
        self.file("s.toml", FILE)

    def file(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text)

    def environment(self) -> dict:
        kept = {key: value for key, value in os.environ.items() if not key.startswith("GRADAMP_")}
        return {**kept, "HOME": str(self.folder), "XDG_CACHE_HOME": str(self.folder / "cache")}

    def gradamp(self, *arguments: str, **more) -> subprocess.CompletedProcess:
        return subprocess.run([PROGRAM, *arguments], cwd=self.folder, env=self.environment(), text=True,
                              capture_output=True, timeout=PATIENCE, **more)

    def start(self, *arguments: str) -> subprocess.Popen:
        return subprocess.Popen([PROGRAM, *arguments], cwd=self.folder, env=self.environment(),
                                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def sweep(self, *arguments: str) -> subprocess.CompletedProcess:
        done = self.gradamp("sweep", "s.toml", *arguments)
        self.assertEqual(done.returncode, 0, done.stderr + done.stdout)
        return done

    def checkpoints(self, sweep: str) -> dict:
        """Returns {cell: bytes of its checkpoint}."""
        paths = (self.folder / sweep / "cells").glob("*/checkpoint.safetensors")
        return {path.parent.name: path.read_bytes() for path in paths}

    def no_child_left(self, sweep: str) -> None:
        """Waits until no run of the sweep is running, according to the locks of the runs."""
        for _ in range(200):
            status = self.gradamp("sweep", "s.toml", "--folder", sweep, "--status")
            if not re.search(r"  running +\d", status.stdout):
                return
            time.sleep(0.05)
        self.fail("runs outlive their sweep")


class Sweeps(SweepCase):
    def test_cells_are_the_runs_trained_alone(self):
        dry = self.sweep("--dry-run").stdout
        done = self.sweep("--jobs", "2")
        self.assertIn(f"{CELLS} of {CELLS} cells are done, 0 failed", done.stdout)
        space = re.search(r"^about ([0-9.]+) MB on disk when all is done", dry, re.MULTILINE)
        self.assertIsNotNone(space, dry)
        taken = sum(path.stat().st_size for path in (self.folder / "sweeps").rglob("*") if path.is_file())
        self.assertAlmostEqual(float(space[1]) * 1e6 / taken, 1, delta=0.15)
        report = f"\nnext: {PROGRAM} report {self.folder.resolve()}/sweeps/s\n"
        self.assertTrue(done.stdout.endswith(report), done.stdout)
        checkpoints = self.checkpoints("sweeps/s")
        self.assertEqual(len(checkpoints), CELLS)
        alone = {"original_seed-1": ["--selection", "none"],
                 "random_seed-2": ["--selection", "random", "--seed", "2"],
                 "amplified_seed-2_g_threshold-0.5": ["--measure", "g", "--threshold", "0.5", "--seed", "2"],
                 "amplified_seed-1_g-prime_threshold-1": ["--measure", "g-prime", "--threshold", "1"]}
        for name, settings in alone.items():
            run = self.gradamp("train", "--network", "resnet8", "--train-images", "40", "--test-images", "20",
                               "--batch-size", "20", "--strategy", "2:0.05, 4:0.05:2", "--device", "cpu",
                               "--threads", "1", "--run-folder", name, *settings)
            self.assertEqual(run.returncode, 0, run.stderr)
            self.assertEqual((self.folder / name / "checkpoint.safetensors").read_bytes(), checkpoints[name], name)
        self.assertEqual(len(set(checkpoints.values())), CELLS)

        # A second call trains nothing, and the results are unchanged.
        again = self.sweep()
        self.assertIn(f"{CELLS} of {CELLS} cells are done", again.stdout)
        self.assertNotIn("4/4", again.stdout)
        self.assertEqual(self.checkpoints("sweeps/s"), checkpoints)

        # If an axis has more values, only the new cells are trained.
        self.file("s.toml", FILE.replace("[0.5, 1]", "[0.3, 0.5, 1]").replace("g, g-prime", "g-prime, g"))
        more = self.sweep()
        self.assertEqual(more.stdout.count("4/4"), 4)
        self.assertEqual({name: self.checkpoints("sweeps/s")[name] for name in checkpoints}, checkpoints)

    def test_killed_at_any_time_and_started_again_comes_to_the_same(self):
        self.sweep("--folder", "unbroken", "--jobs", "2")
        moments = random.Random(5)
        kills = 0
        while kills < 12:
            sweep = self.start("sweep", "s.toml", "--folder", "killed", "--jobs", "2")
            time.sleep(moments.uniform(0.02, 0.4))
            if sweep.poll() is not None:
                break
            how = moments.choice([signal.SIGKILL, signal.SIGTERM])
            sweep.send_signal(how)
            code = sweep.wait(PATIENCE)
            # After SIGTERM, the sweep was stopped or had not yet installed its handler. Either signal can arrive when
            # it has just ended.
            self.assertIn(code, [-signal.SIGKILL, 0] if how == signal.SIGKILL else [143, -signal.SIGTERM, 0])
            kills += 1
            if moments.random() < 0.5:
                self.no_child_left("killed")
        self.assertGreater(kills, 2)
        self.sweep("--folder", "killed", "--jobs", "2")
        self.assertEqual(self.checkpoints("killed"), self.checkpoints("unbroken"))

    def test_beginnings_that_nobody_needs_are_not_trained(self):
        self.sweep()
        shutil.rmtree(self.folder / "sweeps/s/beginnings")
        self.sweep()
        self.assertEqual(os.listdir(self.folder / "sweeps/s/beginnings"), [])

    def test_one_run_alone_and_its_beginning(self):
        status = self.gradamp("sweep", "s.toml", "--status").stdout.splitlines()
        number = next(line.split()[0] for line in status if " random_seed-2 " in line)
        self.sweep("--only", number)
        self.assertEqual(list(self.checkpoints("sweeps/s")), ["random_seed-2"])
        self.assertEqual(os.listdir(self.folder / "sweeps/s/beginnings"), ["beginning_seed-2"])
        wrong = self.gradamp("sweep", "s.toml", "--only", "99")
        self.assertEqual(wrong.returncode, 1)
        self.assertIn("--only: expected the number of one of the sweep's 14 runs, got 99", wrong.stderr)


class Failures(SweepCase):
    def test_a_cell_that_fails_leaves_the_others_be(self):
        self.file("s.toml", FILE.replace("strategy = '2:0.05, 4:0.05:2'",
                                         "strategy = ['2:0.05, 4:0.05:2', '1:0.05, 4:1e30:2']"))
        done = self.gradamp("sweep", "s.toml", "--jobs", "2")
        self.assertEqual(done.returncode, 1)
        self.assertIn(f"{CELLS} of {2 * CELLS} cells are done, {CELLS} failed", done.stdout)
        reasons = re.findall(r"^  (\S*strategy-1\S*): the loss or a gradient is not finite", done.stdout, re.MULTILINE)
        self.assertEqual(len(reasons), CELLS, done.stdout)
        status = self.gradamp("sweep", "s.toml", "--status")
        self.assertEqual(status.stdout.count("not finite"), 2 * CELLS)  # in the list and in the summary

    def test_what_failed_before_its_first_checkpoint_is_begun_anew(self):
        self.file("s.toml", FILE.replace("2:0.05, 4:0.05:2", "2:1e30, 4:0.05:2"))
        self.assertEqual(self.gradamp("sweep", "s.toml").returncode, 1)
        self.file("s.toml", FILE)  # without the mistake
        self.sweep()

    def test_a_beginning_that_fails_is_the_reason_of_its_cells(self):
        self.file("s.toml", FILE.replace("2:0.05, 4:0.05:2", "2:1e30, 4:0.05:2").replace("seed = 1:2", "seed = 1"))
        done = self.gradamp("sweep", "s.toml")
        self.assertEqual(done.returncode, 1)
        self.assertEqual(done.stdout.count("its beginning failed: the loss"), 2 * CELLS // 2)

    def test_bad_sweeps_leave_nothing_behind(self):
        for text, message in {
                "[amplified]\ntreshold = 1": "bad.toml:2: unknown key 'treshold'; did you mean 'threshold'?",
                "[amplified]\nthreshold = []": "bad.toml:2: threshold: expected a value at least, got an empty list",
                "[amplified]\nthreshold = high": "bad.toml:2: threshold: expected a number, got 'high'",
                "[original]\nnetwork = [resnet8, resnet7]": "bad.toml:2: in the cell original_resnet7: --network: ",
                "[original": "bad.toml:1: a heading without its closing ]"}.items():
            self.file("bad.toml", text)
            self.refused(["bad.toml"], 2, message)
        self.refused(["missing.toml"], 2, "'missing.toml' is neither a file nor a preset")
        self.refused(["cifar10-smal"], 2, "is neither a file nor a preset; did you mean 'cifar10-small'?")
        (self.folder / "folder").mkdir()
        self.file("folder/sweep.toml", FILE)
        self.refused(["folder"], 2, "'folder' is a sweep's folder; its file is in it: `")
        self.refused(["."], 1, "cannot read .: it is a folder; expected a regular file")
        self.refused(["s.toml", "--jobs", "0"], 2, "--jobs: expected at least 1, got 0")
        self.refused(["s.toml", "--dataset", "cifar10", "--data", "nowhere"], 1, "nowhere")
        self.refused(["cifar10-small"], 1, "gradamp data fetch --dataset cifar10")
        self.file("in_the_way", "")
        self.refused(["s.toml", "--folder", "in_the_way/s"], 1, "cannot be made")

    def refused(self, arguments: list, code: int, message: str) -> None:
        done = self.gradamp("sweep", *arguments)
        self.assertEqual(done.returncode, code, done.stderr)
        self.assertEqual(done.stdout, "")
        self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
        self.assertTrue(done.stderr.startswith("gradamp: "), done.stderr)
        self.assertIn(message, done.stderr)
        self.assertFalse((self.folder / "sweeps").exists(), arguments)

    def test_a_folder_of_another_sweep_is_not_overwritten(self):
        self.sweep()
        before = self.checkpoints("sweeps/s")
        self.file("s.toml", FILE.replace("batch-size = 20", "batch-size = 25"))
        done = self.gradamp("sweep", "s.toml")
        self.assertEqual(done.returncode, 1)
        self.assertIn("was begun with other settings: expected --batch-size 20, got --batch-size 25; name another "
                      "--folder", done.stderr)
        self.assertEqual(self.checkpoints("sweeps/s"), before)
        self.file("s.toml", FILE + "\n")
        self.sweep("--evaluation-batch", "7", "--threads", "2")  # settings that only affect the speed may differ

    def test_a_full_disk_is_told_and_gone_on_from(self):
        disk = self.folder / "disk"
        disk.mkdir()
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(disk)], capture_output=True)
        if mounted.returncode != 0:
            self.skipTest("only root can mount a small disk")
        self.addCleanup(subprocess.run, ["umount", str(disk)])
        done = self.gradamp("sweep", "s.toml", "--folder", "disk/s")
        self.assertEqual(done.returncode, 1)
        self.assertIn("No space left on device", done.stdout + done.stderr)
        subprocess.run(["mount", "-o", "remount,size=100m", str(disk)], check=True)
        self.sweep("--folder", "disk/s")
        self.sweep("--folder", "elsewhere")
        self.assertEqual(self.checkpoints("disk/s"), self.checkpoints("elsewhere"))


class EarlierName(SweepCase):
    def test_a_sweep_that_stored_the_datasets_earlier_name_goes_on(self):
        """Release 0.1 called the synthetic dataset "made"."""
        file = "network = resnet8\ntrain-images = 20\ntest-images = 20\nbatch-size = 20\nepochs = 2\n" \
               "device = cpu\nthreads = 1\nseed = %s\n[original]\n"
        self.file("s.toml", file % "1")
        self.sweep()
        (config,) = (self.folder / "sweeps/s/cells").glob("*/config.json")
        config.write_text(config.read_text().replace('"dataset": "synthetic"', '"dataset": "made"'))
        self.assertIn('"dataset": "made"', config.read_text())
        self.assertIn("1 of 1 cells are done", self.sweep().stdout)


class LongTest(SweepCase):
    def test_two_sweeps_on_one_folder_share_the_work(self):
        command = [PROGRAM, "sweep", "s.toml", "--folder", "shared"]
        both = [subprocess.Popen(command, cwd=self.folder, env=self.environment(), stdout=subprocess.PIPE, text=True,
                                 stderr=subprocess.DEVNULL) for _ in range(2)]
        printed = [sweep.communicate(timeout=PATIENCE)[0] for sweep in both]
        self.assertEqual([sweep.returncode for sweep in both], [0, 0])
        done = [len(re.findall(r"^\S+  done", text, re.MULTILINE)) for text in printed]
        self.assertGreater(min(done), 0)
        self.assertEqual(sum(done), CELLS + 2)
        self.sweep("--folder", "alone")
        self.assertEqual(self.checkpoints("shared"), self.checkpoints("alone"))

    def test_runs_that_are_killed_are_begun_again(self):
        self.file("s.toml", SLOW_FILE)
        self.sweep("--folder", "unbroken")
        sweep = self.start("sweep", "s.toml", "--folder", "killed")
        killed = set()
        while sweep.poll() is None and len(killed) < 4:
            time.sleep(0.02)
            children = pathlib.Path(f"/proc/{sweep.pid}/task/{sweep.pid}/children").read_text().split()
            for child in set(children) - killed:
                time.sleep(0.1)  # until the child has begun to train
                try:
                    os.kill(int(child), signal.SIGKILL)
                    killed.add(child)
                except ProcessLookupError:
                    pass
        self.assertEqual(sweep.wait(PATIENCE), 1)  # killed runs count as failed
        self.assertGreaterEqual(len(killed), 2)  # the beginnings, so the cells that wait for them fail too
        status = self.gradamp("sweep", "s.toml", "--folder", "killed", "--status")
        self.assertIn("ended by signal 9 (Killed)", status.stdout)
        self.sweep("--folder", "killed")  # the next call tries them again
        self.assertEqual(self.checkpoints("killed"), self.checkpoints("unbroken"))

    def test_a_run_that_is_stopped_alone_is_told_and_gone_on_with(self):
        self.file("s.toml", SLOW_FILE)
        sweep = self.start("sweep", "s.toml")
        children = []
        while not children:
            time.sleep(0.02)
            children = pathlib.Path(f"/proc/{sweep.pid}/task/{sweep.pid}/children").read_text().split()
        time.sleep(0.2)
        os.kill(int(children[0]), signal.SIGTERM)
        self.assertEqual(sweep.wait(PATIENCE), 1)
        self.sweep()
        self.assertEqual(len(self.checkpoints("sweeps/s")), SLOW_CELLS)

    def test_a_branch_broken_off_before_its_first_checkpoint_branches_again(self):
        self.sweep()
        before = self.checkpoints("sweeps/s")
        cell = self.folder / "sweeps/s/cells/amplified_seed-1_g_threshold-1"
        metrics = (cell / "metrics.jsonl").read_text().splitlines()
        for name in os.listdir(cell):
            if name != "config.json":
                (cell / name).unlink()
        self.sweep()
        self.assertEqual(self.checkpoints("sweeps/s"), before)
        again = (cell / "metrics.jsonl").read_text().splitlines()
        seconds = [[json.loads(line)["seconds"] for line in lines[:2]] for lines in (metrics, again)]
        self.assertEqual(*seconds)  # its first two epochs were not trained again

    def test_with_only_weights_kept_nothing_is_trained_again(self):
        self.sweep("--keep", "weights", "--seed", "1")
        cells = sorted((self.folder / "sweeps/s/cells").iterdir())
        self.assertEqual([(cell / "weights.safetensors").exists() for cell in cells], [True] * (CELLS // 2))
        self.assertEqual(self.checkpoints("sweeps/s"), {})
        again = self.sweep("--keep", "weights", "--seed", "1")
        self.assertNotIn("4/4", again.stdout)
        self.assertIn(f"{CELLS // 2} of {CELLS // 2} cells are done", again.stdout)
        other = self.gradamp("sweep", "s.toml", "--keep", "weights", "--seed", "1", "--batch-size", "10")
        self.assertIn("was begun with other settings: expected --batch-size 20, got --batch-size 10", other.stderr)


class Shown(SweepCase):
    def test_a_dry_run_lists_and_estimates_and_makes_nothing(self):
        done = self.sweep("--dry-run")
        self.assertEqual(len(re.findall(r"^ *\d+  \S+ +pending +0/4 epochs  after beginning_seed-", done.stdout,
                                        re.MULTILINE)), CELLS)
        self.assertRegex(done.stdout, r"\nall cells: dataset synthetic, .*network resnet8, .*strategy 2:0.05, 4:0.05:2")
        self.assertRegex(done.stdout, r"about \d.* MB on disk when all is done; with --keep weights \d")
        self.assertRegex(done.stdout, r"about \d+.* for what is left, 1 at a time, by a step measured on this machine")
        self.assertRegex(done.stdout, r"\nthe longest run takes about [\d.]+ s; --slurm gives its task --time=6, plus "
                                      r"half of that and 5 min to start and save\n")
        self.assertEqual(done.stderr, "")
        self.assertFalse((self.folder / "sweeps").exists())
        self.file("s.toml", FILE.replace("[original]", ""))
        self.assertIn("warning: no cell is without amplification", self.sweep("--dry-run").stderr)

    def test_a_variable_that_changes_what_is_trained_is_named(self):
        environment = self.environment() | {"GRADAMP_BATCH_SIZE": "7", "GRADAMP_THREADS": "1"}
        done = subprocess.run([PROGRAM, "sweep", "s.toml", "--dry-run"], cwd=self.folder, env=environment, text=True,
                              capture_output=True, timeout=PATIENCE)
        self.assertRegex(done.stderr, r"\A\S+: warning: the variable GRADAMP_BATCH_SIZE sets batch-size = 7 for all "
                                      r"cells, whatever the file says\n\Z")

    def test_presets_can_be_printed_and_changed(self):
        printed = self.gradamp("sweep", "cifar10-small", "--print")
        self.assertEqual(printed.returncode, 0)
        self.file("own.toml", printed.stdout.replace("dataset = cifar10", "dataset = synthetic"))
        status = self.gradamp("sweep", "own.toml", "--status")
        self.assertIn("0 of 56 cells are done", status.stdout)

    def test_the_status_of_runs_whose_files_were_found_by_another_path(self):
        """The data of `data fetch`, which the command does not name, and weights by a relative path."""
        data = self.folder / "cache/gradamp/cifar-10-batches-bin"
        made = self.gradamp("data", "make", "--dest", str(data), "--train", "50", "--test", "20")
        self.assertEqual(made.returncode, 0, made.stderr)
        fetched = FILE.replace("seed = 1:2", "seed = 1\ndataset = cifar10\npartial-data = true")
        fetched = fetched.replace("train-images = 40\ntest-images = 20\n", "")
        self.file("s.toml", fetched)
        self.sweep()
        status = self.sweep("--status")
        self.assertIn("6 of 6 cells are done", status.stdout)
        self.assertEqual(status.stderr, "")
        self.file("s.toml", fetched.replace("seed = 1", "seed = 2"))
        status = self.sweep("--status")
        self.assertEqual(len(re.findall("begun with other settings\n", status.stdout)), 7)  # and the beginning
        self.assertIn("was begun with other settings: expected --seed 1, got --seed 2", status.stderr)
        weights = "sweeps/s/cells/original/checkpoint.safetensors"
        self.file("s.toml", fetched.replace("[original]", f"weights = {weights}\n[original]"))
        self.sweep("--folder", "from-weights")
        status = self.sweep("--folder", "from-weights", "--status")
        self.assertEqual(status.stderr, "")


class Gpus(SweepCase):
    def test_several_runs_share_a_gpu(self):
        """Without a GPU: the runs train on the CPU, and only their environment is looked at."""
        slow = SLOW_FILE.replace("seed = 1:2", "seed = 1:6")
        self.file("s.toml", slow.replace("2:0.05, 4:0.05:2", "9:0.05, 11:0.05:2"))
        for gpus, jobs, expected in (("0", "3", ["0"] * 3), ("3,7", "4", ["3", "3", "7", "7"])):
            sweep = self.start("sweep", "s.toml", "--folder", gpus, "--gpus", gpus, "--jobs", jobs)
            self.addCleanup(sweep.kill)
            seen = []
            end = time.monotonic() + PATIENCE
            while len(seen) < len(expected) and sweep.poll() is None and time.monotonic() < end:
                time.sleep(0.02)
                seen = self.variables_of_children(sweep, "CUDA_VISIBLE_DEVICES")
            sweep.kill()
            sweep.wait()
            self.no_child_left(gpus)  # they would write to the folder that is removed
            self.assertEqual(sorted(seen), expected)

    @staticmethod
    def variables_of_children(process: subprocess.Popen, name: str) -> list:
        values = []
        for child in pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split():
            try:
                if b"train" not in pathlib.Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0"):
                    continue  # it has not begun the program yet
                environment = pathlib.Path(f"/proc/{child}/environ").read_text().split("\0")
            except OSError:  # it has ended
                continue
            values += [variable.partition("=")[2] for variable in environment if variable.startswith(name + "=")]
        return values


if __name__ == "__main__":
    PROGRAM = str(pathlib.Path(sys.argv.pop(1)).resolve())
    unittest.main()

#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Tests of `gradamp sweep --slurm` and `train --slurm` on a private Slurm: runs give the same bytes there as without
Slurm, even if they are interrupted, and what is submitted again does not run twice. Skipped if Slurm's programs are not
installed. Arguments: the program gradamp, and the test classes to run; the classes LongTest and
LongRanks take long."""

import collections
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
import unittest

from local_slurm import LocalSlurm, Unavailable

COMMON = """
network = resnet8
train-images = {images}
test-images = 20
batch-size = 20
strategy = '{phases}'
device = cpu
threads = 1
"""
SHORT = COMMON.format(images=80, phases="1:0.05, 3:0.05:2")
LONG = COMMON.format(images=400, phases="4:0.05, 10:0.05:2")  # runs for seconds, so that a test can stop it
AMPLIFIED = "[amplified]\nthreshold = [0.5, 1]\n"
PATIENCE = 400  # seconds: Slurm waits before it starts a requeued job, and other programs may slow the machine down


class SlurmCase(unittest.TestCase):
    def setUp(self):
        self.scratch = pathlib.Path(tempfile.mkdtemp(dir=SLURM.folder))
        # A name with characters that are special to sbatch.
        self.file, self.folder = self.scratch / "s.toml", self.scratch / "on Slurm: #1, 100%a, 'x'"
        self.addCleanup(lambda: SLURM.ask("scancel", "--user", str(os.geteuid())))

    def gradamp(self, *options, folder=None, expect=0, environment=None) -> str:
        """Runs `gradamp sweep`. Returns its output."""
        return self.program("sweep", str(self.file), "--folder", str(folder or self.folder), *options, expect=expect,
                            environment=environment)

    def program(self, *arguments, expect=0, environment=None) -> str:
        done = subprocess.run(
            [PROGRAM, *arguments], env=environment or SLURM.environment, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True
        )
        self.assertEqual(done.returncode, expect, done.stdout)
        return done.stdout

    def submit(self, *options) -> list:
        """Submits the sweep. Returns the jobs' numbers."""
        printed = self.gradamp("--slurm", *options).splitlines()
        for line in printed:
            self.assertRegex(line, r"^(job \d+: \d+ (shared beginnings|cells)|--time=\d+: .*|\d+ runs are queued, .*)$")
        return [line.split()[1].rstrip(":") for line in printed if line.startswith("job ")]

    def wait_for(self, condition, what: str):
        """Waits until the condition is true. Returns its value."""
        end = time.monotonic() + PATIENCE
        while not (value := condition()):
            self.assertLess(time.monotonic(), end, f"{what}: {SLURM.jobs()}\n{self.slurm_logs()}\n{SLURM.logs()}")
            time.sleep(0.1)
        return value

    def wait_for_end(self, *numbers) -> dict:
        """Waits until all tasks of the jobs have ended. Returns {"JOB_TASK": Slurm's information on the task}."""

        def ended():
            tasks = {name: job for name, job in SLURM.jobs().items() if name.split("_")[0] in numbers}
            going_on = ("PENDING", "RUNNING", "COMPLETING", "REQUEUED", "SIGNALING")
            return None if any(job["JobState"] in going_on for job in tasks.values()) else tasks

        return self.wait_for(ended, "the jobs did not end")

    def slurm_logs(self) -> str:
        return "\n".join(path.read_text() for path in sorted((self.folder / "slurm").glob("*.log")))

    def wait_until_it_trains(self, run: str) -> None:
        metrics = self.folder / run / "metrics.jsonl"
        self.wait_for(lambda: metrics.exists() and metrics.stat().st_size > 0, f"{run} did not begin")

    def checkpoints(self, folder) -> dict:
        return {path.parent.name: path.read_bytes() for path in folder.glob("cells/*/checkpoint.safetensors")}

    def check_against_local(self, cells: int) -> None:
        self.assertIn(f"{cells} of {cells} cells are done, 0 failed", self.gradamp("--status"))
        local = self.scratch / "local"
        self.gradamp("--quiet", folder=local)
        expected, got = self.checkpoints(local), self.checkpoints(self.folder)
        self.assertEqual(len(expected), cells)
        self.assertEqual(sorted(got), sorted(expected))
        for name, checkpoint in expected.items():
            self.assertTrue(got[name] == checkpoint, f"{name} differs")

    def check_time_slices(self, warns_beginning: bool) -> None:
        """Slurm's warning before the time limit: the run is saved, and its task is requeued and resumes it."""
        self.file.write_text(LONG + AMPLIFIED)
        # As long as the partition allows: in a build with sanitizers the runs take more than five minutes.
        beginnings, cells = self.submit("--sbatch", "--time=60")
        warned = [("cells/amplified_threshold-1", cells, 2)]
        if warns_beginning:
            warned.insert(0, ("beginnings/beginning", beginnings, 0))
        for run, number, task in warned:
            self.wait_until_it_trains(run)
            SLURM.ask("scancel", "--signal=USR1", "--batch", f"{number}_{task}")  # as Slurm does before the time limit
        tasks = self.wait_for_end(beginnings, cells)
        self.assertEqual(
            {name: (job["JobState"], job["Restarts"]) for name, job in tasks.items()},
            {
                f"{beginnings}_0": ("COMPLETED", "1" if warns_beginning else "0"),
                f"{cells}_1": ("COMPLETED", "0"),
                f"{cells}_2": ("COMPLETED", "1"),
            },
        )
        for run, number, task in warned:
            log = (self.folder / "slurm" / f"{number}_{task}.log").read_text()
            self.assertEqual(log.count("stopped by SIGUSR1"), 1, log)
            self.assertIn(f"{pathlib.Path(run).name}  done", log.split("stopped by SIGUSR1")[1])
            self.assertIn("resumed   in epoch", (self.folder / "logs" / (pathlib.Path(run).name + ".log")).read_text())
        self.check_against_local(2)


class SlurmSweep(SlurmCase):
    def test_the_same_bytes_as_here_and_only_what_is_left(self):
        self.file.write_text(SHORT + AMPLIFIED + "[original]\n")
        numbers = self.submit("--sbatch", "--time=5")
        self.assertEqual(len(numbers), 2)
        tasks = self.wait_for_end(*numbers)
        self.assertEqual(len(tasks), 4)
        self.assertEqual({job["JobState"] for job in tasks.values()}, {"COMPLETED"}, self.slurm_logs())
        self.assertEqual({job["TimeLimit"] for job in tasks.values()}, {"00:05:00"})
        self.check_against_local(3)

        self.assertEqual(self.gradamp("--slurm"), "all cells are done\n")
        before = self.checkpoints(self.folder)
        shutil.rmtree(self.folder / "cells" / "original")
        (number,) = self.submit()
        self.assertEqual(len(self.wait_for_end(number)), 1)
        self.assertTrue(self.checkpoints(self.folder) == before)

    def test_a_task_that_is_cancelled_stays_so_and_is_saved(self):
        self.file.write_text(LONG + "[original]\n")
        (number,) = self.submit()
        self.wait_until_it_trains("cells/original")
        SLURM.ask("scancel", f"{number}_0")
        tasks = self.wait_for_end(number)
        self.assertEqual([(job["JobState"], job["Restarts"]) for job in tasks.values()], [("CANCELLED", "0")])
        self.assertIn("interrupted", self.gradamp("--status"))

    def test_nothing_runs_twice(self):
        """The sweep is submitted again while tasks run and wait, after one was canceled and after one was requeued."""
        self.file.write_text(SHORT.replace("strategy", "#") + "epochs = 2\nseed = 1:6\n[original]\n")
        starts, prologue = self.scratch / "starts", self.scratch / "prologue"
        prologue.write_text(
            f"note() {{ echo \"$1 $SLURM_ARRAY_JOB_ID $SLURM_ARRAY_TASK_ID\" >> {starts}; }}\n"
            "note start; trap 'note end' EXIT; sleep 1\n"
        )
        again = ["--slurm-throttle", "2", "--slurm-prologue", str(prologue), "--sbatch", "--time=5"]
        (number,) = self.submit(*again)
        self.assertEqual(self.submit(*again), [])
        self.assertRegex(self.gradamp("--status"), r"(?s)queued .* Slurm \d+_5\n.*  [4-6] runs are queued, ")
        SLURM.ask("scancel", f"{number}_5")
        (second,) = self.submit(*again)
        self.wait_for(starts.exists, "no task began")
        SLURM.ask("scontrol", "requeue", f"{number}_0")
        self.assertEqual(self.submit(*again), [])
        tasks = self.wait_for_end(number, second)
        self.assertEqual([(job["JobState"], job["Restarts"]) for job in (tasks[f"{number}_0"], tasks[f"{second}_5"])],
                         [("COMPLETED", "1"), ("COMPLETED", "0")])
        self.assertIn("6 of 6 cells are done, 0 failed", self.gradamp("--status"))
        self.assertEqual(self.gradamp("--slurm"), "all cells are done\n")
        lines = [line.split() for line in starts.read_text().splitlines()]
        begun = collections.Counter(task for what, job, task in lines if what == "start")
        self.assertEqual(begun, {"0": 2, "1": 1, "2": 1, "3": 1, "4": 1, "5": 1})
        running = most = 0
        for what, job, _ in lines:
            running += 0 if job != number else 1 if what == "start" else -1
            most = max(most, running)
        self.assertEqual(most, 2)

    def test_a_cell_that_fails(self):
        self.file.write_text(SHORT.replace("strategy", "#") + "epochs = 2\n[original]\nlearning-rate = [0.05, 1e30]\n")
        (number,) = self.submit()
        tasks = self.wait_for_end(number)
        self.assertEqual([tasks[f"{number}_{task}"]["JobState"] for task in range(2)], ["COMPLETED", "FAILED"])
        self.assertEqual(tasks[f"{number}_1"]["ExitCode"], "1:0")
        status = self.gradamp("--status")
        self.assertIn("1 of 2 cells are done, 1 failed", status)
        self.assertRegex(status, r"original_learning-rate-1e\+30: .*not finite")

    def test_sbatch_refuses(self):
        self.file.write_text(SHORT + AMPLIFIED)
        printed = self.gradamp("--slurm", "--sbatch", "--time=5 --partition=nowhere", expect=1)
        self.assertRegex(printed, r"\Agradamp: sbatch failed: [^\n]*invalid partition[^\n]*\n\Z")

    def test_sbatch_is_missing(self):
        self.file.write_text(SHORT + AMPLIFIED)
        programs = self.scratch / "bin"
        programs.mkdir()
        printed = self.gradamp("--slurm", expect=1, environment={"PATH": str(programs)})
        self.assertRegex(printed, r"\Agradamp: there is no sbatch on the PATH: [^\n]*\n\Z")

    def test_sbatch_warns(self):
        self.file.write_text(SHORT + AMPLIFIED)
        printed = self.gradamp("--slurm", "--sbatch", "--time=5 --hold --nodes=2 --ntasks=1").splitlines()
        jobs = [line.split()[1].rstrip(":") for line in printed if line.startswith("job ")]
        warnings = [line for line in printed if "can't run 1 processes on 2 nodes" in line]
        self.assertEqual((len(jobs), len(warnings), len(printed)), (2, 2, 4), printed)
        self.assertIn(f"afterany:{jobs[0]}_", SLURM.jobs()[f"{jobs[1]}_1-2"]["Dependency"])


class RanksCase(SlurmCase):
    """Runs and cells that two processes train, each started by srun."""

    RUN = ["--network", "resnet8", "--test-images", "20", "--batch-size", "20", "--device", "cpu", "--shards", "4"]
    # Of Open MPI: containers forbid a faster way between processes, which it then warns of.
    ENVIRONMENT = {"OMPI_MCA_btl_vader_single_copy_mechanism": "none"}

    def setUp(self):
        super().setUp()
        if not (pathlib.Path(PROGRAM).parent / "libgradamp_mpi.so").exists():
            self.skipTest("the program was built without MPI")

    def program(self, *arguments, expect=0, environment=None):
        return super().program(*arguments, expect=expect, environment={**SLURM.environment, **self.ENVIRONMENT})

    def train(self, *options) -> str:
        return self.program("train", *self.RUN, *options, "--run-folder", str(self.folder))

    def submit_run(self, *options) -> str:
        """Submits the run. Returns the job's number."""
        printed = self.train("--slurm", "--ranks", "2", "--sbatch", "--time=60", *options)
        self.assertRegex(printed, r"\Ajob \d+: the run in .*; its output is in .*/slurm/\d+_0.log\n\Z")
        return printed.split()[1].rstrip(":")

    def check_run_against_local(self, *options) -> None:
        local = self.scratch / "local"
        self.program("train", *self.RUN, *options, "--quiet", "--run-folder", str(local))
        name = "checkpoint.safetensors"
        self.assertTrue((self.folder / name).read_bytes() == (local / name).read_bytes())
        self.assertIn("ranks          2, ", self.slurm_logs())


class Ranks(RanksCase):
    def test_a_run_gives_the_bytes_of_one_process_and_is_submitted_once(self):
        options = ["--train-images", "80", "--strategy", "1:0.05, 3:0.05:2"]
        number = self.submit_run(*options)
        again = [*options, "--slurm", "--ranks", "2"]
        self.assertRegex(self.train(*again), rf"is (queued|running) as Slurm's task {number}_0: it is not submitted "
                                             r"again\n\Z")
        tasks = self.wait_for_end(number)
        self.assertEqual([(job["JobState"], job["NumTasks"]) for job in tasks.values()], [("COMPLETED", "2")],
                         self.slurm_logs())
        self.check_run_against_local(*options)
        self.assertRegex(self.train(*again), r"is finished: it has 3 epochs\n\Z")
        self.assertEqual(len(list((self.folder / "slurm").glob("run-*.sh"))), 1)

    def test_cells_and_their_beginning_have_two_ranks_each(self):
        self.file.write_text(SHORT + "shards = 2\n" + AMPLIFIED)
        numbers = self.submit("--ranks", "2", "--sbatch", "--time=60")
        tasks = self.wait_for_end(*numbers)
        self.assertEqual([(job["JobState"], job["NumTasks"]) for job in tasks.values()], [("COMPLETED", "2")] * 3,
                         self.slurm_logs())
        for log in sorted((self.folder / "logs").glob("*.log")):
            self.assertIn("by 2 ranks", log.read_text())
        self.check_against_local(2)


class LongRanks(RanksCase):
    def test_a_run_that_nears_its_time_limit_is_requeued_and_resumed(self):
        options = ["--train-images", "200", "--strategy", "12:0.05"]
        number = self.submit_run(*options)
        self.wait_until_it_trains(".")
        SLURM.ask("scancel", "--signal=USR1", "--batch", f"{number}_0")  # as Slurm does before the time limit
        tasks = self.wait_for_end(number)
        self.assertEqual([(job["JobState"], job["Restarts"]) for job in tasks.values()], [("COMPLETED", "1")],
                         self.slurm_logs())
        first, second = self.slurm_logs().split("stopped by SIGUSR1")
        self.assertIn("resumed   in epoch", second)
        self.check_run_against_local(*options)


class LongTest(SlurmCase):
    def test_a_time_slice(self):
        self.check_time_slices(warns_beginning=False)

    def test_time_slices_of_a_beginning_and_a_cell(self):
        self.check_time_slices(warns_beginning=True)


if __name__ == "__main__":
    PROGRAM = sys.argv.pop(1)
    try:
        SLURM = LocalSlurm()
    except Unavailable as reason:
        print(f"skipped: {reason}")
        sys.exit(77)
    with SLURM:
        unittest.main()

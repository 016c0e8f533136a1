#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Tests of what `gradamp sweep --slurm` and `train --slurm` submit and remember, without Slurm: small scripts stand for its programs.
slurm_test.py uses a real one. Argument: the program gradamp."""

import fcntl
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

SWEEP = """
network = resnet8
train-images = 40
test-images = 20
batch-size = 20
strategy = '1:0.05, 3:0.05:2'
device = cpu
threads = 1
"""
CELLS = SWEEP + "seed = 1:2\n[original]\n[amplified]\n"  # two beginnings, four cells
TIMED = ("--sbatch", "--time=5")

# sbatch can be told to fail, or to kill the program that waits for it; each time Slurm has the job.
SBATCH = """#!/bin/bash
count=$(( $(cat count 2>/dev/null) + 1 ))
echo $count > count
printf '%s\\n' "$*" >> calls
parent=$PPID
[ "$(cat /proc/$parent/comm)" = gradamp ] || parent=$(cut -d ' ' -f 4 /proc/$parent/stat)  # not the shell between
[ ! -e killing ] || kill -9 "$parent"
[ ! -e failing ] || { echo "sbatch: error: Socket timed out"; exit 1; }
echo "$count$(cat cluster 2>/dev/null)"
"""
# squeue, sacct, sinfo and scontrol print a file, and fail if it is missing.
PRINTER = """#!/bin/sh
printf '%s\\n' "$*" >> {folder}/asked_{name}
cat {folder}/{name}
"""


# srun notes how it was called, and starts one process.
SRUN = """#!/bin/bash
printf '%s\\n' "$*" "threads $OMP_NUM_THREADS" >> {folder}/asked_srun
while [[ $1 = --* ]]; do shift; done
exec "$@"
"""
HAS_MPI = unittest.skipUnless((pathlib.Path(sys.argv[1]).resolve().parent / "libgradamp_mpi.so").exists(),
                              "the program was built without MPI")


class Slurm(unittest.TestCase):
    """Programs that stand for Slurm's, and a run or a sweep in `folder`."""

    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.scratch = pathlib.Path(scratch.name)
        self.folder, programs = self.scratch / "on Slurm", self.scratch / "bin"
        programs.mkdir()
        scripts = {name: PRINTER.format(name=name, folder=self.scratch) for name in ("squeue", "sacct", "sinfo")}
        scripts["scontrol"] = PRINTER.format(name="scontrol", folder=self.scratch)
        scripts |= {"sbatch": SBATCH, "srun": SRUN.format(folder=self.scratch)}
        for name, text in scripts.items():
            (programs / name).write_text(text)
            (programs / name).chmod(0o755)
        self.programs = programs
        (self.scratch / "squeue").write_text("")
        self.file = self.scratch / "s.toml"
        self.file.write_text(CELLS)

    def environment(self, **more) -> dict:
        kept = {name: value for name, value in os.environ.items()
                if not name.startswith(("GRADAMP_", "SLURM", "SBATCH", "SQUEUE"))}
        return {**kept, "PATH": f"{self.programs}:/usr/bin:/bin", "HOME": str(self.scratch), **more}

    def program(self, *arguments, expect=0, **variables) -> str:
        done = subprocess.run([PROGRAM, *arguments], cwd=self.scratch, env=self.environment(**variables),
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.assertEqual(done.returncode, expect, done.stdout)
        return done.stdout

    def gradamp(self, *options, **more) -> str:
        return self.program("sweep", "s.toml", "--folder", str(self.folder), *options, **more)

    def submit(self, *options, **more) -> str:
        return self.gradamp("--slurm", *(options or TIMED), **more)

    def queue(self, *tasks) -> None:
        """What squeue prints from now on: ("3_0", "PENDING") or with the script's name as a third."""
        lines = [f"{task.replace('_', '|')}|{state}|{self.folder}/slurm/{''.join(script)}"
                 for task, state, *script in tasks]
        (self.scratch / "squeue").write_text("\n".join(lines) + "\n")

    def calls(self) -> list:
        """The arguments of each call of sbatch so far."""
        file = self.scratch / "calls"
        return file.read_text().splitlines() if file.exists() else []

    def script(self, name: str) -> str:
        return (self.folder / "slurm" / name).read_text()

    def array_of(self, name: str) -> str:
        return re.search(r"^#SBATCH --array=(.*)$", self.script(name), re.MULTILINE).group(1)

    def run_task(self, script: str, job: str, task: str, **variables) -> tuple:
        """Runs a task of an array. Returns what it prints and its exit code."""
        environment = self.environment(SLURM_ARRAY_JOB_ID=job, SLURM_ARRAY_TASK_ID=task, **variables)
        done = subprocess.run(["bash", str(self.folder / "slurm" / script)], env=environment, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True)
        return done.stdout, done.returncode


class Submissions(Slurm):
    # ---- Submitting again ----

    def test_only_what_is_missing_is_submitted(self):
        self.assertEqual(self.submit(), "job 1: 2 shared beginnings\njob 2: 4 cells\n")
        self.assertEqual((self.array_of("beginnings-1.sh"), self.array_of("cells-2.sh")), ("0-1", "2-5"))
        self.assertIn("--dependency=afterany:1 ", self.calls()[1])
        everything = [(f"1_{task}", "RUNNING") for task in (0, 1)] + [(f"2_{task}", "PENDING") for task in range(2, 6)]
        self.queue(*everything)
        self.assertEqual(self.submit(), "4 runs are queued, 2 are running: they are not submitted again\n")
        self.assertEqual(len(self.calls()), 2)
        # A task that was requeued is listed as COMPLETING first.
        self.queue(("1_0", "COMPLETING"), ("1_1", "CANCELLED"), ("2_2", "PENDING"), ("2_3", "FAILED"),
                   ("2_5", "PENDING"), ("7_4", "PENDING"))
        self.assertEqual(self.submit(), "2 runs are queued, 1 are running: they are not submitted again\n"
                                        "job 3: 1 shared beginnings\njob 4: 2 cells\n")
        self.assertEqual((self.array_of("beginnings-3.sh"), self.array_of("cells-4.sh")), ("1", "3-4"))
        self.assertIn("--dependency=afterany:1:3 ", self.calls()[3])
        # Of two tasks of a run, the active one counts.
        self.queue(("1_0", "COMPLETED"), ("1_1", "CANCELLED"), ("2_2", "PENDING"), ("2_3", "FAILED"),
                   ("2_5", "PENDING"), ("3_1", "RUNNING"), ("4_3", "PENDING"), ("4_4", "PENDING"))
        self.assertIn("job 5: 1 shared beginnings\n", self.submit())  # it ended, but its run is not finished
        self.assertEqual(len(self.calls()), 5)
        asked = (self.scratch / "asked_squeue").read_text()
        self.assertIn(f"--user={os.getuid()}", asked)
        self.assertIn("--array --states=all", asked)

    def test_a_submission_that_was_killed_is_found_by_its_script(self):
        (self.scratch / "killing").touch()
        self.submit(expect=-9)
        (self.scratch / "killing").unlink()
        self.queue(("1_0", "PENDING", "beginnings-1.sh"), ("1_1", "PENDING", "beginnings-1.sh"))
        self.assertEqual(self.submit(), "2 runs are queued, 0 are running: they are not submitted again\n"
                                        "job 2: 4 cells\n")
        self.assertIn("--dependency=afterany:1 ", self.calls()[1])
        self.queue(("1_0", "PENDING"), ("1_1", "PENDING"), *((f"2_{task}", "PENDING") for task in range(2, 6)))
        self.submit()  # the number is in the record now
        self.assertEqual(len(self.calls()), 2)

    def test_a_failure_of_sbatch_after_which_slurm_has_the_job(self):
        (self.scratch / "failing").touch()
        self.assertEqual(self.submit(expect=1), "gradamp: sbatch failed: sbatch: error: Socket timed out\n")
        (self.scratch / "failing").unlink()
        self.queue(("1_0", "PENDING", "beginnings-1.sh"), ("1_1", "PENDING", "beginnings-1.sh"))
        self.assertNotIn("shared beginnings", self.submit())

    def test_a_failure_of_sbatch_after_which_slurm_has_no_job(self):
        (self.scratch / "failing").touch()
        self.submit(expect=1)
        (self.scratch / "failing").unlink()
        self.assertEqual(self.submit(), "job 2: 2 shared beginnings\njob 3: 4 cells\n")

    def test_nothing_is_submitted_while_the_queue_is_not_known(self):
        self.submit()
        (self.scratch / "squeue").unlink()
        printed = self.submit(expect=1)
        self.assertRegex(printed, r"\Agradamp: squeue failed, [^\n]*: cat: [^\n]*No such file or directory\n\Z")
        self.assertEqual(len(self.calls()), 2)
        (self.programs / "squeue").unlink()
        if not os.path.exists("/usr/bin/squeue"):
            self.assertIn("there is no squeue on the PATH", self.submit(expect=1))
        status = self.gradamp("--status")
        self.assertIn("gradamp: warning: what is queued is not known, and what is running only from locks: ", status)
        self.assertIn("0 of 4 cells are done, 0 failed", status)

    def test_a_damaged_record_is_refused_and_a_torn_line_is_not(self):
        self.submit()
        record = self.folder / "slurm" / "submitted.jsonl"
        whole = record.read_text()
        record.write_text(whole + whole[:20])
        self.queue(*((f"1_{task}", "PENDING") for task in (0, 1)), *((f"2_{task}", "PENDING") for task in range(2, 6)))
        self.submit()
        self.assertEqual(len(self.calls()), 2)
        record.write_text(whole.replace('"job":"2"', '"job":"3"'))
        printed = self.submit(expect=1)
        self.assertIn("submitted.jsonl:4: this line is damaged (its checksum differs)", printed)
        self.assertIn("delete the file when squeue lists no job of this folder", printed)
        self.assertEqual(len(self.calls()), 2)
        self.assertIn("this line is damaged", self.gradamp("--status"))

    def test_runs_that_are_queued_with_other_settings(self):
        self.submit()
        self.queue(("1_0", "PENDING"), ("2_3", "PENDING"))
        self.file.write_text(CELLS.replace("batch-size = 20", "batch-size = 10"))
        self.assertIn("gradamp: beginning_seed-1 is queued as Slurm's task 1_0 with other settings; cancel it first "
                      "(scancel 1_0), or name another --folder\n", self.submit(expect=1))
        self.assertEqual(len(self.calls()), 2)
        # In a sweep with more cells, the runs have other numbers; in this one original_seed-2 was 3.
        self.file.write_text(CELLS.replace("1:2", "0:2"))
        self.queue(*((f"1_{task}", "PENDING") for task in (0, 1)), *((f"2_{task}", "PENDING") for task in range(2, 6)))
        self.assertEqual(self.submit(), "6 runs are queued, 0 are running: they are not submitted again\n"
                                        "job 3: 1 shared beginnings\njob 4: 2 cells\n")
        self.assertEqual((self.array_of("beginnings-3.sh"), self.array_of("cells-4.sh")), ("0", "3,6"))

    def test_jobs_on_another_cluster_are_asked_for_there(self):
        (self.scratch / "cluster").write_text(";east")
        self.assertEqual(self.submit(), "job 1: 2 shared beginnings\njob 2: 4 cells\n")
        self.assertIn("--dependency=afterany:1 ", self.calls()[1])
        self.queue(*((f"1_{task}", "PENDING") for task in (0, 1)), *((f"2_{task}", "PENDING") for task in range(2, 6)))
        self.assertEqual(self.submit(), "6 runs are queued, 0 are running: they are not submitted again\n")
        self.assertIn("--clusters=east", (self.scratch / "asked_squeue").read_text())

    # ---- Status ----

    def test_the_status_says_what_is_queued_and_running_and_how_tasks_ended(self):
        self.submit()
        self.queue(("1_0", "RUNNING"), ("1_1", "PENDING"), ("2_2", "PENDING"), ("2_3", "CANCELLED"))
        (self.scratch / "sacct").write_text("2_4|OUT_OF_MEMORY\n2_[5]|CANCELLED by 1000\n2_5|CANCELLED by 1000\n\n2\n")
        status = self.gradamp("--status")
        for line in (r"0  beginning_seed-1  running +0/1 epochs  Slurm 1_0\n",
                     r"1  beginning_seed-2  queued +0/1 epochs  Slurm 1_1\n",
                     r"2  original_seed-1   queued +0/3 epochs  after beginning_seed-1  Slurm 2_2\n",
                     r"3  original_seed-2   pending .*  Slurm 2_3 CANCELLED\n",
                     r"4  amplified_seed-1  pending .*  Slurm 2_4 OUT_OF_MEMORY\n",
                     r"5  amplified_seed-2  pending .*  Slurm 2_5 CANCELLED\n",
                     r"  2 runs are queued, 1 are running\n"):
            self.assertRegex(status, line)
        (self.scratch / "sacct").unlink()  # a cluster without accounting
        self.assertNotIn("OUT_OF_MEMORY", self.gradamp("--status"))
        self.assertEqual(self.gradamp("--status").count("warning"), 0)

    def test_slurm_is_not_asked_about_a_sweep_that_is_done(self):
        self.file.write_text(SWEEP.replace("strategy", "#") + "epochs = 1\n[original]\n")
        self.submit()
        (self.scratch / "squeue").unlink()
        self.assertIn("warning", self.gradamp("--status"))
        self.gradamp("--quiet")
        self.assertNotIn("warning", self.gradamp("--status"))

    # ---- Arrays ----

    def test_an_array_is_no_larger_than_slurm_allows(self):
        (self.scratch / "scontrol").write_text("MaxArraySize            = 4\n")
        self.assertEqual(self.submit("--slurm-throttle", "3", *TIMED),
                         "job 1: 2 shared beginnings\njob 2: 2 cells\njob 3: 2 cells\n")
        self.assertEqual([self.array_of(name) for name in ("beginnings-1.sh", "cells-2.sh", "cells-3.sh")],
                         ["0-1%3", "2-3%3", "0-1%3"])
        self.assertIn('"$((SLURM_ARRAY_TASK_ID + 0))"', self.script("cells-2.sh"))
        self.assertIn('"$((SLURM_ARRAY_TASK_ID + 4))"', self.script("cells-3.sh"))
        # The third array waits for the second, so that no more than three tasks run at the same time.
        self.assertIn("--dependency=afterany:1:2 ", self.calls()[2])
        self.queue(("3_0", "PENDING"))
        self.assertIn("5  amplified_seed-2  pending", self.gradamp("--status"))
        self.assertIn("4  amplified_seed-1  queued", self.gradamp("--status"))

    def test_a_task_runs_its_prologue_and_its_launcher(self):
        (self.scratch / "scontrol").write_text("MaxArraySize            = 3\n")
        prologue, launcher = self.scratch / "pro 'logue", self.programs / "launcher"
        launcher.write_text(f'#!/bin/sh\necho "$1" > {self.scratch}/launched\nexec "$@"\n')
        launcher.chmod(0o755)
        prologue.write_text(f"set -eu\nlauncher=(launcher)\necho $SLURM_ARRAY_TASK_ID > {self.scratch}/prologue\\")
        self.submit("--slurm-prologue", str(prologue), *TIMED)
        printed, code = self.run_task("cells-3.sh", "2", "0")  # the runs 3 to 5
        self.assertRegex(printed, r"\Aoriginal_seed-2  done  3/3  [\d.]+%\n\Z")
        self.assertEqual(code, 0)
        self.assertEqual((self.scratch / "prologue").read_text(), "0\n")
        self.assertEqual((self.scratch / "launched").read_text(), PROGRAM + "\n")
        self.assertIn("1 of 4 cells are done", self.gradamp("--status"))

    def test_a_task_that_was_stopped_is_requeued_whatever_its_prologue_sets(self):
        prologue = self.scratch / "prologue"
        prologue.write_text("set -eu\nlauncher=(bash -c 'exit 138')")
        self.submit("--slurm-prologue", str(prologue), *TIMED)
        (self.scratch / "scontrol").touch()
        for state, requeued in (("CANCELLED", False), ("RUNNING", True), ("COMPLETING", False), ("SIGNALING", True)):
            (self.scratch / "asked_scontrol").write_text("")
            (self.scratch / "squeue").write_text(state + "\n")
            self.assertEqual(self.run_task("cells-2.sh", "2", "4"), ("", 138))
            self.assertEqual("requeue 2_4\n" in (self.scratch / "asked_scontrol").read_text(), requeued)

    # ---- The time limit ----

    def test_a_time_limit_is_suggested(self):
        (self.scratch / "sinfo").write_text("all*|1-00:00:00\nshort|2:00\n")
        printed = self.submit("--sbatch", "--hold")
        self.assertRegex(printed, r"\A--time=6: the longest run needs about [\d.]+ s by a step measured on this "
                                  r"machine, plus half of that and 5 min to start and save\njob 1")
        self.assertIn("#SBATCH --time=6\n", self.script("beginnings-1.sh"))
        self.assertIn("#SBATCH --time=6\n", self.script("cells-2.sh"))
        printed = self.submit("--sbatch", "--partition=short")
        self.assertIn("; the partition allows 2 min, after which a run is saved and its task requeued\n", printed)
        self.assertIn("#SBATCH --time=2\n", self.script("cells-4.sh"))
        for options, variables in ((("--sbatch", "-t 3"), {}), (("--sbatch", "--hold"), {"SBATCH_TIMELIMIT": "3"})):
            self.assertNotIn("--time=", self.submit(*options, **variables))
        self.assertNotIn("--time", self.script("cells-8.sh"))
        self.file.write_text(CELLS.replace("device = cpu", "device = cuda"))
        self.folder = self.scratch / "cuda"
        self.assertRegex(self.submit("--sbatch", "--gres=gpu:1", CUDA_VISIBLE_DEVICES=""),
                         r"\Ano --time is given, and none can be suggested: [^\n]*(CUDA|GPU)[^\n]*\njob 9")
        self.file.write_text(CELLS.replace("device = cpu", "device = auto"))
        self.folder = self.scratch / "auto"
        printed = self.submit("--sbatch", "--gres=gpu:1", CUDA_VISIBLE_DEVICES="")
        self.assertIn("no GPU to measure a step on", printed)

    def test_the_suggestion_uses_the_epochs_of_runs_that_have_trained(self):
        self.gradamp("--quiet", "--only", "0")
        metrics = self.folder / "beginnings" / "beginning_seed-1" / "metrics.jsonl"
        metrics.write_text(re.sub(r'"seconds":[^,}]+', '"seconds":600.0', metrics.read_text()))
        printed = self.submit("--sbatch", "--hold")
        # Two epochs are left: 20 min, half of that, and 5 min.
        self.assertIn("--time=35: the longest run needs about 20 min 00 s by the epochs of its kind so far,", printed)

    # ---- The command line ----

    def test_options_that_are_refused(self):
        for options, message in (
            (["--slurm-throttle", "0", "--slurm"], "--slurm-throttle: expected at least 1, got 0"),
            (["--slurm-throttle", "2"], "--slurm-throttle: expected --slurm with it"),
            (["--slurm-prologue", "x"], "--slurm-prologue: expected --slurm with it"),
        ):
            self.assertEqual(self.gradamp(*options, expect=2), f"gradamp: {message}\n")
        printed = self.submit("--slurm-prologue", "nowhere", expect=1)
        self.assertEqual(printed, "gradamp: --slurm-prologue: cannot read nowhere: No such file or directory\n")
        self.assertFalse(self.folder.exists())

    # ---- Several ranks ----

    @HAS_MPI
    def test_the_ranks_of_a_cell_are_started_by_srun(self):
        self.file.write_text(SWEEP.replace("strategy", "#") + "epochs = 1\nshards = 2\n[original]\n")
        prologue = self.scratch / "prologue"
        prologue.write_text("launcher=(nice -n 1)")
        self.submit("--ranks", "2", "--slurm-prologue", str(prologue), *TIMED)
        self.assertIn("\n#SBATCH --ntasks=2\n", self.script("cells-1.sh"))
        printed, code = self.run_task("cells-1.sh", "1", "0", SLURM_CPUS_PER_TASK="3")
        self.assertRegex(printed, r"\Aoriginal  done  1/1  [\d.]+%\n\Z")
        self.assertEqual(code, 0)
        call, threads = (self.scratch / "asked_srun").read_text().splitlines()
        self.assertTrue(call.startswith(f"--ntasks=2 --mpi=pmix --cpus-per-task=3 nice -n 1 {PROGRAM} train "), call)
        self.assertEqual(threads, "threads 3")

    def test_ranks_that_are_refused(self):
        self.file.write_text(CELLS.replace("threads", "shards = [8, 4]\nthreads"))
        self.assertRegex(self.submit("--ranks", "8", *TIMED, expect=1),
                         r"\Agradamp: --ranks: \S*shards-4\S*: 8 ranks share the shards of each batch: expected 8 shards or "
                         r"a larger power of two, got 4\n\Z")
        self.assertEqual(self.calls(), [])
        self.assertFalse(self.folder.exists())
        for options, message in (
            (["--ranks", "2"], "--ranks: expected --slurm with it; without Slurm, `-- mpirun -n N` behind the command "
                               "starts several processes"),
            (["--slurm", "--ranks", "0"], "--ranks: expected at least 1, got 0"),
            (["--slurm", "--ranks", "2", "--sbatch", "-n 4"], "--sbatch: expected no --ntasks, which --ranks 2 sets"),
            (["--slurm", "--", "mpirun"], "-- cannot be given with --slurm: --ranks starts several processes, and the "
                                          "array launcher of --slurm-prologue begins their command"),
        ):
            self.assertEqual(self.gradamp(*options, expect=2), f"gradamp: {message}\n")


class Runs(Slurm):
    """`gradamp train --slurm`: one run."""

    RUN = ["--network", "resnet8", "--train-images", "40", "--test-images", "20", "--batch-size", "20", "--epochs", "2",
           "--device", "cpu", "--threads", "1", "--quiet"]

    def train(self, *options, **more) -> str:
        return self.program("train", *self.RUN, "--run-folder", str(self.folder), *options, **more)

    def submit(self, *options, **more) -> str:
        return self.train("--slurm", *TIMED, *options, **more)

    def config(self) -> dict:
        return json.loads((self.folder / "config.json").read_text())["settings"]

    def submitted(self, job: int) -> str:
        return f"job {job}: the run in {self.folder}; its output is in {self.folder}/slurm/{job}_0.log\n"

    def test_it_is_submitted_until_it_is_finished(self):
        self.assertEqual(self.submit(), self.submitted(1))
        self.assertEqual(self.array_of("run-1.sh"), "0")
        for state, words in (("PENDING", "queued"), ("REQUEUED", "queued"), ("COMPLETING", "running")):
            self.queue(("1_0", state))
            self.assertEqual(self.submit(), f"the run in {self.folder} is {words} as Slurm's task 1_0: it is not "
                                            "submitted again\n")
        self.queue(("1_0", "CANCELLED"))
        self.assertEqual(self.submit(), self.submitted(2))
        self.assertEqual(len(self.calls()), 2)
        # In two halves: the second task resumes what the first began.
        self.train("--until", "1")
        self.assertEqual(self.run_task("run-2.sh", "2", "0")[1], 0)
        self.assertEqual((self.folder / "metrics.jsonl").read_text().count("\n"), 2)
        self.queue(("1_0", "CANCELLED"), ("2_0", "COMPLETED"))
        self.assertEqual(self.submit(), f"the run in {self.folder} is finished: it has 2 epochs\n")
        self.assertEqual(len(self.calls()), 2)

    def test_its_job_takes_no_setting_from_the_environment(self):
        self.submit("--seed", "1", GRADAMP_SEED="5", GRADAMP_FLIP="false")
        printed, code = self.run_task("run-1.sh", "1", "0", GRADAMP_SEED="5", GRADAMP_FLIP="false")
        self.assertEqual(code, 0, printed)
        self.assertEqual((self.config()["seed"], self.config()["flip"]), (1, False))

    def test_its_threads_are_those_of_its_task(self):
        self.RUN = [option for option in self.RUN if option not in ("--threads", "1", "--quiet")]
        self.submit()
        printed, code = self.run_task("run-1.sh", "1", "0", SLURM_CPUS_PER_TASK="3", SLURM_CPUS_ON_NODE="5")
        self.assertEqual(code, 0, printed)
        self.assertIn(" 3 threads, ", printed)
        self.assertEqual(self.config()["threads"], 0)

    def test_a_submission_that_was_killed_is_found_by_its_script(self):
        (self.scratch / "killing").touch()
        self.submit(expect=-9)
        (self.scratch / "killing").unlink()
        self.queue(("1_0", "PENDING", "run-1.sh"))
        self.assertIn("is queued as Slurm's task 1_0", self.submit())
        self.assertEqual(len(self.calls()), 1)

    def test_other_settings_are_refused(self):
        self.submit()
        self.queue(("1_0", "PENDING"))
        self.assertEqual(self.submit("--seed", "2", expect=1),
                         "gradamp: the run is queued as Slurm's task 1_0 with other settings; cancel it first "
                         "(scancel 1_0), or name another --run-folder\n")
        self.queue(("1_0", "CANCELLED"))
        self.train("--until", "1")
        self.assertEqual(self.submit("--seed", "2", expect=1),
                         f"gradamp: {self.folder} was begun with other settings: expected --seed 1, got --seed 2; name "
                         "another --run-folder\n")
        self.assertEqual(len(self.calls()), 1)

    def test_a_run_that_a_process_trains_is_not_submitted(self):
        self.train("--until", "1")
        with open(self.folder / "lock", "ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self.assertEqual(self.submit(), f"the run in {self.folder} is running: it is not submitted\n")
        self.assertEqual(self.calls(), [])

    def test_a_branch_until_an_epoch(self):
        trunk = self.scratch / "trunk"
        self.program("train", *self.RUN, "--run-folder", str(trunk), "--until", "1")
        self.submit("--branch", "trunk", "--until", "1", "--rank-timeout", "30")
        self.assertEqual(self.script("run-1.sh").count(" --rank-timeout=30 --quiet --until=1 &\n"), 1)
        printed, code = self.run_task("run-1.sh", "1", "0")
        self.assertEqual(code, 0, printed)
        self.assertEqual((self.folder / "metrics.jsonl").read_text().count("\n"), 1)
        self.assertIn("is finished: it has 1 epochs", self.submit("--branch", "trunk", "--until", "1"))

    def test_a_dry_run_prints_the_script_and_writes_nothing(self):
        before = sorted(self.scratch.rglob("*"))
        printed = self.program("train", *self.RUN, "--slurm", "--dry-run")
        self.assertTrue(printed.startswith("#!/bin/bash\n#SBATCH --job-name=\"gradamp-resnet8-synthetic-"), printed)
        self.assertEqual(sorted(self.scratch.rglob("*")), before)

    def test_a_time_limit_is_suggested(self):
        self.assertRegex(self.train("--slurm"), r"\A--time=6: the run needs about [\d.]+ s by a step measured on this "
                                                r"machine, plus half of that and 5 min to start and save\njob 1")
        self.assertIn("\n#SBATCH --time=6\n", self.script("run-1.sh"))
        self.folder = self.scratch / "begun"
        self.train("--epochs", "3", "--until", "1")
        metrics = self.folder / "metrics.jsonl"
        metrics.write_text(re.sub(r'"seconds":[^,}]+', '"seconds":600.0', metrics.read_text()))
        self.assertIn("--time=35: the run needs about 20 min 00 s by its last epoch, ",
                      self.train("--epochs", "3", "--slurm"))

    @HAS_MPI
    def test_its_ranks_are_started_by_srun(self):
        prologue = self.scratch / "prologue"
        prologue.write_text("launcher=(nice -n 1)\nexport SLURM_MPI_TYPE=pmi2")
        self.submit("--ranks", "2", "--shards", "4", "--slurm-prologue", str(prologue))
        self.assertIn("\n#SBATCH --ntasks=2\n", self.script("run-1.sh"))
        printed, code = self.run_task("run-1.sh", "1", "0")
        self.assertEqual(code, 0, printed)
        call, threads = (self.scratch / "asked_srun").read_text().splitlines()
        self.assertTrue(call.startswith(f"--ntasks=2 --mpi=pmi2 nice -n 1 {PROGRAM} train "), call)
        self.assertEqual(threads, "threads 1")

    def test_what_is_refused(self):
        for options, message in (
            (["--resume", "x", "--slurm"], "--resume cannot be given with --slurm: submit the run with its settings and "
                                           "--run-folder; its job resumes it if it has begun"),
            (["--ranks", "2"], "--ranks: expected --slurm with it; without Slurm, `mpirun -n N` in front of the command "
                               "starts several processes"),
            (["--sbatch", "--time=3"], "--sbatch: expected --slurm with it"),
            (["--slurm-prologue", "x"], "--slurm-prologue: expected --slurm with it"),
            (["--dry-run"], "--dry-run: expected --slurm with it"),
        ):
            self.assertEqual(self.program("train", *options, expect=2), f"gradamp: {message}\n")
        self.assertRegex(self.submit("--slurm-prologue", "nowhere", expect=1), r"\Agradamp: --slurm-prologue: cannot ")
        (self.programs / "sbatch").unlink()
        if not os.path.exists("/usr/bin/sbatch"):
            self.assertIn("there is no sbatch on the PATH", self.submit(expect=1))
        self.assertFalse(self.folder.exists())

    @HAS_MPI
    def test_ranks_that_do_not_share_the_shards_are_refused(self):
        self.assertEqual(self.submit("--shards", "8", "--ranks", "3", expect=1),
                         "gradamp: expected 1, 2, 4, ... up to 8 ranks, one for each of the shards at most, got 3\n")
        self.assertIn("2 ranks share the shards of each batch: expected 2 shards",
                      self.submit("--ranks", "2", expect=1))
        self.assertFalse(self.folder.exists())


if __name__ == "__main__":
    PROGRAM = str(pathlib.Path(sys.argv.pop(1)).resolve())
    unittest.main()

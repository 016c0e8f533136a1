#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Several processes, started by mpirun or srun, train one run: the same files as one process, and a clear end if one fails.

Usage: ranks_test.py PROGRAM [CLASS[.TEST]...]. Exit code 77: no mpirun, or the program was built without MPI."""
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

import local_slurm

program = pathlib.Path()
SHARDS = ["--shards", "8"]
SMALL = ["--dataset", "synthetic", "--train-images", "150", "--test-images", "60", "--validation", "20", "--network",
         "resnet8", "--batch-size", "32", "--evaluation-batch", "16", *SHARDS, "--quiet"]
# The last of the batches has two images: six of the eight shards are empty.
AMPLIFIED = ["--strategy", "1:0.1, 3:0.1:2, 4:0.01", "--threshold", "0.5"]
RECIPES = {
    "plain": ["--epochs", "3"],
    "amplified": [*AMPLIFIED, "--reselect-every", "1", "--measure-every", "2"],
    "random": [*AMPLIFIED, "--selection", "random"],
    "backprop": [*AMPLIFIED, "--placement", "backprop", "--dropout", "0.2"],
    "synchronized": [*AMPLIFIED, "--batch-norm", "synchronized"],
    "neurons": [*AMPLIFIED, "--granularity", "neuron", "--no-augment", "--keep", "all"],
    "adamw": ["--strategy", "1:0.001, 4:0.001:2", "--optimizer", "adamw", "--clip-norm", "1", "--schedule", "cosine",
              "--learning-rate", "0.001"],
}
LIMIT = 300  # seconds


def environment(**more):
    return os.environ | {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
                         "OMPI_MCA_rmaps_base_oversubscribe": "1", "OMPI_MCA_btl_vader_single_copy_mechanism": "none",
                         "GRADAMP_THREADS": "1", **more}


def launcher(size):
    return ["mpirun", "-n", str(size)] if size > 1 else []


def start(size, *arguments, before=(), **more):
    """`before`: words before the program."""
    return subprocess.Popen([*launcher(size), *before, program, *map(str, arguments)], stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True, env=environment(**more), start_new_session=True)


def ended(process, patience=30):
    """Its result. An mpirun that is still there `patience` seconds after its last rank ended is killed: that of Open
    MPI 4.1, seldom, waits for ever for a lock of its own after a rank was killed (in PMIx_server_finalize)."""
    last = time.monotonic()  # when a rank was last seen
    for _ in range(LIMIT):
        try:
            output, errors = process.communicate(timeout=1)
            return subprocess.CompletedProcess(process.args, process.returncode, output, errors)
        except subprocess.TimeoutExpired:
            if process.args[0] != "mpirun" or ranks_of(process):
                last = time.monotonic()
            elif time.monotonic() - last > patience:
                print(f"killed an mpirun that hung after its ranks: {process.pid}", file=sys.stderr)
                process.kill()
    raise AssertionError(f"{process.args} did not end in {LIMIT} s")


def run(size, *arguments, **more):
    return ended(start(size, *arguments, **more))


def ranks_of(launched):
    """The processes of the program that a launcher has started, by rank."""
    found = {}
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            if os.readlink(folder / "exe") != str(program) or launched.pid != os.getsid(int(folder.name)):
                continue
            variables = (folder / "environ").read_bytes().split(b"\0")
        except (OSError, ProcessLookupError):
            continue
        for variable in variables:
            if variable.startswith(b"OMPI_COMM_WORLD_RANK="):
                found[int(variable.split(b"=")[1])] = int(folder.name)
    return found


def wait_for(condition, what):
    limit = time.monotonic() + LIMIT
    while not condition():
        if time.monotonic() > limit:
            raise AssertionError(f"{what} did not come")
        time.sleep(0.02)


class RanksTest(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.folder = pathlib.Path(scratch.name)

    def succeeded(self, result, code=0):
        self.assertEqual(result.returncode, code, f"{result.args}\n{result.stdout}\n{result.stderr}")
        return result

    def train(self, size, name, *options):
        return self.succeeded(run(size, "train", *SMALL, *options, "--run-folder", self.folder / name))

    def files(self, name):
        """The bytes of a run's checkpoints, and the lines of its logs without run and time."""
        folder = self.folder / name
        files = {path.name: path.read_bytes() for path in folder.glob("*.safetensors")}
        for log in folder.glob("*.jsonl"):
            text = log.read_text(encoding="utf-8")
            fields = ("run", "seconds", "images_per_second")
            files[log.name] = [[part for part in line.strip("{}").split(",")
                                if part.split(":")[0].strip('"') not in fields] for line in text.splitlines()]
        self.assertIn("checkpoint.safetensors", files)
        self.assertIn("metrics.jsonl", files)
        return files


class SameBits(RanksTest):
    recipes = ["amplified", "backprop"]
    sizes = (2, 4)

    def test_of_any_number_of_ranks(self):
        for name in self.recipes:
            self.train(1, f"{name}-1", *RECIPES[name])
            for size in self.sizes:
                with self.subTest(recipe=name, size=size):
                    result = self.train(size, f"{name}-{size}", *RECIPES[name])
                    self.assertEqual(self.files(f"{name}-{size}"), self.files(f"{name}-1"))
                    self.assertEqual(result.stdout.count("finished"), 1)
                    self.assertIn(f"ranks          {size}, ", result.stdout)
                    self.assertEqual(result.stderr, "")
                    self.assertNotIn("\x1b", result.stdout)  # to which mpirun gives a terminal

    def test_resumed_by_another_number(self):
        options = RECIPES["amplified"]
        self.train(1, "unbroken", *options)
        self.train(4, "resumed", *options, "--until", "1")
        for size, epoch in ((2, 2), (1, 3), (8, 4)):
            self.succeeded(run(size, "train", "--resume", self.folder / "resumed", "--until", epoch, "--quiet"))
        self.assertEqual(self.files("resumed"), self.files("unbroken"))
        again = self.succeeded(run(2, "train", "--resume", self.folder / "resumed", "--quiet"))
        self.assertEqual(again.stderr, "")

    def test_branched(self):
        first = [*RECIPES["plain"], "--strategy", "1:0.1, 3:0.01"]
        later = ["--strategy", "1:0.1, 2:0.01, 3:0.001"]
        self.train(1, "trunk", *first, "--until", "2")
        for size in (1, 4):
            self.train(size, f"branch-{size}", *later, "--branch", self.folder / "trunk")
        self.assertEqual(self.files("branch-4"), self.files("branch-1"))


class LongTest(SameBits):
    """All recipes, and 100 kills of 4 ranks."""

    recipes = list(RECIPES)
    sizes = (2, 4, 8)

    def test_resnet20(self):
        options = ["--network", "resnet20", *RECIPES["amplified"]]
        self.train(1, "one", *options)
        for size in self.sizes:
            self.train(size, f"some-{size}", *options)
            self.assertEqual(self.files(f"some-{size}"), self.files("one"))

    def test_kills(self):
        kills, seed = 100, 7
        options = [*RECIPES["amplified"], "--train-images", "400"]
        self.train(1, "unbroken", *options)
        expected = self.files("unbroken")
        rng = random.Random(seed)
        done = 0
        while done < kills:
            arguments = ["train", *SMALL, *options, "--run-folder", self.folder / "killed"]
            while True:
                process = start(4, *arguments)
                time.sleep(rng.uniform(0.3, 3.5))
                ranks = ranks_of(process)
                if process.poll() is None and len(ranks) == 4:
                    victim = rng.randrange(4)
                    os.kill(ranks[victim], signal.SIGKILL)
                    result = ended(process)
                    done += 1 if result.returncode != 0 else 0
                else:
                    result = ended(process)
                if result.returncode == 0:
                    break
                wait_for(lambda: not ranks_of(process), "the end of the ranks")
                if (self.folder / "killed" / "config.json").exists():
                    arguments = ["train", "--resume", self.folder / "killed", "--quiet"]
            self.assertEqual(self.files("killed"), expected)
            shutil.rmtree(self.folder / "killed")


class Failures(RanksTest):
    """All ranks end, rank and host are named, and what was saved can be resumed."""

    # Long enough to be met while it trains.
    LONG = [*RECIPES["plain"], "--strategy", "40:0.1", "--epochs", "40"]

    def begun(self, *options, size=4, **more):
        process = start(size, "train", *SMALL, *self.LONG, *options, "--run-folder", self.folder / "run", **more)
        self.addCleanup(lambda: process.poll() is None and os.killpg(process.pid, signal.SIGKILL))
        metrics = self.folder / "run" / "metrics.jsonl"
        wait_for(lambda: process.poll() is not None or (metrics.exists() and metrics.read_bytes().count(b"\n") >= 2),
                 "the second epoch")
        return process

    def resumes(self):
        self.succeeded(run(2, "train", "--resume", self.folder / "run", "--quiet", "--until", 4))
        if not (self.folder / "expected").exists():
            self.train(1, "expected", *self.LONG, "--until", "4")
        if (self.folder / "run" / "metrics.jsonl").read_bytes().count(b"\n") == 4:
            self.assertEqual(self.files("run"), self.files("expected"))

    def all_ended(self, process):
        wait_for(lambda: not ranks_of(process), "the end of all ranks")

    def test_a_killed_rank(self):
        process = self.begun()
        os.kill(ranks_of(process)[2], signal.SIGKILL)
        result = ended(process)
        self.assertNotEqual(result.returncode, 0)
        self.assertRegex(result.stderr, r"rank 2 .*on node .*signal 9")
        self.all_ended(process)
        self.resumes()

    def test_a_stopped_rank(self):
        for rank in (2, 0):
            process = self.begun("--rank-timeout", "3")
            os.kill(ranks_of(process)[rank], signal.SIGSTOP)
            result = ended(process)
            self.assertEqual(result.returncode, 1)
            # A stopped rank 0, which Open MPI wakes to end it, may still say what rank 1 has said for it.
            lines = [line for line in result.stderr.splitlines() if line.startswith("gradamp: ")]
            self.assertEqual(len(set(lines)), 1, result.stderr)
            self.assertLessEqual(len(lines), 1 if rank != 0 else 2)
            # Rank 0 says what it has seen itself, or what another rank, which began to wait earlier, has reported.
            witness = r"(rank [13] on \S+: )?" if rank != 0 else r"rank 1 on \S+: "
            self.assertRegex(lines[0], f"^gradamp: {witness}no answer for 3 s from rank {rank} on ")
            self.all_ended(process)
            if rank != 0:
                self.assertIn("no answer for 3 s", (self.folder / "run" / "failure.txt").read_text(encoding="utf-8"))
            self.resumes()
            shutil.rmtree(self.folder / "run")

    @unittest.skipUnless(shutil.which("strace"), "there is no strace")
    def test_rank_0_may_take_long_to_speak(self):
        """Its disk is slow: it takes seven seconds to store why the run failed. The others leave it to say so."""
        slow = (f"strace -f -qq -o /dev/null -P {self.folder}/run/failure.txt.gradamp-tmp -e trace=openat "
                "-e inject=openat:delay_enter=7000000")
        script = self.folder / "slow"
        script.write_text(f'#!/bin/sh\n[ "$OMPI_COMM_WORLD_RANK" = 0 ] || exec "$@"\nexec {slow} "$@"\n')
        script.chmod(0o755)
        process = self.begun("--rank-timeout", "3", before=[script])
        os.kill(ranks_of(process)[2], signal.SIGSTOP)
        result = ended(process)
        lines = [line for line in result.stderr.splitlines() if line.startswith("gradamp: ")]
        self.assertEqual(len(lines), 1, result.stderr)
        self.assertRegex(lines[0], r"^gradamp: (rank [13] on \S+: )?no answer for 3 s from rank 2 on ")
        self.assertIn("no answer for 3 s", (self.folder / "run" / "failure.txt").read_text(encoding="utf-8"))

    def test_an_mpirun_that_does_not_end(self):
        """What it does is found by the other tests only seldom, so here another program does it."""
        (self.folder / "mpirun").write_text("#!/bin/sh\necho all ranks have ended\nexec sleep 600\n")
        (self.folder / "mpirun").chmod(0o755)
        process = start(2, PATH=f"{self.folder}:{os.environ['PATH']}")
        result = ended(process, patience=1)
        self.assertEqual((result.returncode, result.stdout), (-signal.SIGKILL, "all ranks have ended\n"))

    def test_a_signal_reaches_all_and_saves(self):
        process = self.begun()
        os.kill(process.pid, signal.SIGUSR1)
        result = ended(process)
        self.assertEqual(result.returncode, 138)
        self.assertEqual(result.stderr.count("stopped by SIGUSR1"), 1)
        self.all_ended(process)
        self.resumes()

    def test_a_signal_of_one_rank_is_that_of_the_run(self):
        process = self.begun(size=2)
        os.kill(ranks_of(process)[1], signal.SIGUSR1)
        result = ended(process)
        self.assertEqual(result.returncode, 138)
        self.assertRegex(result.stderr, r"gradamp: stopped by SIGUSR1 in epoch \d+; the run is saved, to resume: ")
        self.resumes()

    def test_a_number_that_is_not_finite_is_said_by_rank_0(self):
        result = run(4, "train", *SMALL, "--learning-rate", "1e30", "--epochs", "2", "--run-folder",
                     self.folder / "run")
        self.assertEqual(result.returncode, 1)
        lines = [line for line in result.stderr.splitlines() if line.startswith("gradamp: ")]
        self.assertEqual(len(lines), 1, result.stderr)
        self.assertRegex(lines[0], r"^gradamp: the loss or a gradient is not finite in epoch 1, step \d+ of the run; .*"
                                   r"nothing was saved since")
        self.assertIn("is not finite", (self.folder / "run" / "failure.txt").read_text(encoding="utf-8"))

    def test_other_threads_are_no_other_settings(self):
        common = [program, "train", *SMALL, "--epochs", "1", "--run-folder", self.folder / "run", "--threads"]
        command = ["mpirun", "-n", "1", *common, "1", ":", "-n", "1", *common, "2"]
        self.succeeded(subprocess.run(list(map(str, command)), capture_output=True, text=True, env=environment(),
                                      timeout=LIMIT))

    def two_programs(self, first, second, programs=None):
        """Two ranks with options of their own, by mpirun's colon. Returns the only line of the program's."""
        names = programs or [program, program]
        parts = [["-n", "1", *before, name, "train", *SMALL, "--epochs", "1", "--run-folder", self.folder / "run", *own]
                 for name, (before, own) in zip(names, (first, second))]
        command = ["mpirun", *parts[0], ":", *parts[1]]
        result = subprocess.run(list(map(str, command)), capture_output=True, text=True, env=environment(),
                                timeout=LIMIT)
        self.assertEqual(result.returncode, 1, result.stderr)
        lines = [line for line in result.stderr.splitlines() if line.startswith("gradamp: ")]
        self.assertEqual(len(lines), 1, result.stderr)
        self.assertFalse((self.folder / "run").exists())
        return lines[0]

    def test_other_settings(self):
        message = self.two_programs(([], ["--seed", "1"]), ([], ["--seed", "2"]))
        self.assertRegex(message, r"^gradamp: rank 1 on \S+ was started with other settings than rank 0 on \S+: "
                                  r"expected --seed 1, got --seed 2")

    def in_folders(self):
        """Each rank finds the data in a folder of its own, at the same path."""
        data = ["--dataset", "cifar10", "--data", "/proc/self/cwd/set", "--partial-data"]
        return [(["-wdir", self.folder / name], data) for name in ("one", "two")]

    def make_data(self, name, seed):
        (self.folder / name).mkdir()
        self.succeeded(run(1, "data", "make", "--dest", self.folder / name / "set", "--seed", seed, "--train",
                           "250", "--test", "100"))

    def test_other_images(self):
        self.make_data("one", 1)
        self.make_data("two", 2)
        self.assertRegex(self.two_programs(*self.in_folders()),
                         r"^gradamp: rank 1 on \S+ has another images and labels than rank 0 on \S+: expected 'train ")

    def test_no_images(self):
        self.make_data("one", 1)
        (self.folder / "two").mkdir()
        self.assertRegex(self.two_programs(*self.in_folders()), r"^gradamp: rank 1 on \S+: .*/proc/self/cwd/set")

    def test_another_version(self):
        other = self.folder / "other"
        other.mkdir()
        library = program.parent / "libgradamp_mpi.so"
        shutil.copy(library, other)
        text = program.read_bytes()
        version = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout.split()[1]
        found = text.count(version.encode() + b"\0")
        self.assertGreater(found, 0)
        (other / "gradamp").write_bytes(text.replace(version.encode() + b"\0", b"9.9.9\0"))
        (other / "gradamp").chmod(0o755)
        self.assertRegex(self.two_programs(([], []), ([], []), [program, other / "gradamp"]),
                         rf"has another version than rank 0 on \S+: expected '{version}', got '9.9.9'")

    def test_out_of_memory(self):
        few = self.folder / "few"
        few.write_text('#!/bin/bash\nulimit -v 400000\nexec "$@"\n', encoding="utf-8")
        few.chmod(0o755)
        message = self.two_programs(([], ["--network", "resnet50"]), ([few], ["--network", "resnet50"]))
        self.assertRegex(message, r"^gradamp: rank 1 on \S+: .*memory")

    def test_the_number_of_ranks_divides_the_shards(self):
        result = run(3, "train", *SMALL, "--epochs", "1", "--run-folder", self.folder / "run")
        self.assertEqual(result.returncode, 1)
        self.assertIn("gradamp: expected 1, 2, 4, ... up to 8 ranks, one for each of the shards at most, got 3", result.stderr)
        result = run(2, "train", *SMALL, "--shards", "1", "--epochs", "1", "--run-folder", self.folder / "run")
        self.assertIn("gradamp: 2 ranks share the shards of each batch: expected 2 shards or a larger power of two, got 1", result.stderr)
        self.assertFalse((self.folder / "run").exists())

    def test_what_rank_0_refuses(self):
        (self.folder / "run").mkdir()
        (self.folder / "run" / "metrics.jsonl").write_text("another's\n", encoding="utf-8")
        result = run(4, "train", *SMALL, "--epochs", "1", "--run-folder", self.folder / "run")
        self.assertEqual(result.returncode, 1)
        lines = [line for line in result.stderr.splitlines() if line.startswith("gradamp: ")]
        self.assertEqual(len(lines), 1, result.stderr)

    def test_without_the_library_of_mpi(self):
        alone = self.folder / "gradamp"
        shutil.copy(program, alone)
        result = subprocess.run(["mpirun", "-n", "2", alone, "train", *SMALL], capture_output=True, text=True,
                                env=environment(), timeout=LIMIT)
        self.assertEqual(result.returncode, 1)
        lines = [line for line in result.stderr.splitlines() if line.startswith("gradamp: ")]
        self.assertEqual(len(lines), 1, result.stderr)
        self.assertIn(f"several ranks need libgradamp_mpi.so, which is neither {self.folder}/", lines[0])

    def test_an_mpi_for_the_first_thread_alone(self):
        """Asks for what synchronized batch norm needs, and is refused it."""
        source = self.folder / "shim.c"
        source.write_text("int PMPI_Init_thread(int *, char ***, int, int *);\n"
                          "int MPI_Init_thread(int *count, char ***words, int asked, int *given) {\n"
                          "  const int result = PMPI_Init_thread(count, words, asked, given);\n"
                          "  if (asked == 2 /* MPI_THREAD_SERIALIZED */) *given = 1 /* MPI_THREAD_FUNNELED */;\n"
                          "  return result;\n}\n")
        shim = self.folder / "shim.so"
        subprocess.run(["cc", "-shared", "-fPIC", "-o", shim, source], check=True)
        result = subprocess.run(["mpirun", "-n", "2", "env", f"LD_PRELOAD={shim}", program, "train", *SMALL],
                                capture_output=True, text=True, env=environment(), timeout=LIMIT)
        self.assertEqual(result.returncode, 1, result.stderr)
        lines = [line for line in result.stderr.splitlines() if line.startswith("gradamp: ")]
        self.assertEqual(len(lines), 1, result.stderr)
        self.assertIn("any thread may communicate (MPI_THREAD_SERIALIZED)", lines[0])

    def test_only_training_has_ranks(self):
        result = run(2, "evaluate", "--run", self.folder / "run")
        self.assertEqual(result.returncode, 2)
        lines = [line for line in result.stderr.splitlines() if line.startswith("gradamp: ")]
        self.assertEqual(lines, ["gradamp: a launcher (mpirun, srun) started 2 processes of this command, and only "
                                 "`gradamp train` is computed by several"])

    def test_a_mistake_on_the_command_line_is_said_once(self):
        result = run(2, "train", "--shrads", "2")
        self.assertEqual(result.returncode, 2)
        self.assertEqual(result.stderr.count("unknown option '--shrads'; did you mean '--shards'?"), 1)


def can_make_networks():
    return os.geteuid() == 0 and shutil.which("ip") is not None and subprocess.run(
        ["unshare", "--net", "true"], capture_output=True).returncode == 0


@unittest.skipUnless(can_make_networks(), "networks can be made by root alone, with iproute2")
class Network(RanksTest):
    """Two ranks in networks of their own, as on two machines."""

    NAMES = [f"gradamp{os.getpid()}{letter}" for letter in "ab"]  # of networks
    SUBNET = "10.77.201"

    def setUp(self):
        super().setUp()
        self.cables = [f"ga{os.getpid() % 100000}{letter}" for letter in "ab"]
        bridge = f"ga{os.getpid() % 100000}"
        self.ip("link", "add", bridge, "type", "bridge")
        self.addCleanup(self.ip, "link", "del", bridge)
        self.ip("address", "add", f"{self.SUBNET}.1/24", "dev", bridge)
        self.ip("link", "set", bridge, "up")
        for number, (name, cable) in enumerate(zip(self.NAMES, self.cables)):
            self.ip("netns", "add", name)
            self.addCleanup(self.remove, name, cable)
            self.ip("link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", name)
            self.ip("link", "set", cable, "master", bridge, "up")
            for command in (["link", "set", "lo", "up"], ["link", "set", "eth0", "up"],
                            ["address", "add", f"{self.SUBNET}.{number + 2}/24", "dev", "eth0"]):
                self.ip("-n", name, *command)
        self.agent = self.folder / "agent"  # in place of ssh: HOST COMMAND...
        self.agent.write_text(f"""#!/bin/bash
name={self.NAMES[0]}; [ "$1" = {self.SUBNET}.2 ] || name={self.NAMES[1]}
shift
exec ip netns exec $name sh -c "$*"
""", encoding="utf-8")
        self.agent.chmod(0o755)

    def ip(self, *arguments):
        subprocess.run(["ip", *arguments], check=True)

    def remove(self, name, cable):
        """Also what Open MPI has left running in the network."""
        running = subprocess.run(["ip", "netns", "pids", name], capture_output=True, text=True, check=True).stdout
        for process in running.split():
            os.kill(int(process), signal.SIGKILL)
        self.ip("link", "del", cable)
        self.ip("netns", "del", name)

    def started(self, *options):
        subnet = f"{self.SUBNET}.0/24"
        command = ["mpirun", "--mca", "plm_rsh_agent", self.agent, "--mca", "oob_tcp_if_include", subnet, "--mca",
                   "btl_tcp_if_include", subnet, "--mca", "btl", "tcp,self", "--host",
                   f"{self.SUBNET}.2:1,{self.SUBNET}.3:1", "-n", "2", program, "train", *SMALL, *options,
                   "--run-folder", self.folder / "run"]
        errors = (self.folder / "errors").open("w", encoding="utf-8")
        self.addCleanup(errors.close)
        process = subprocess.Popen(list(map(str, command)), stdout=errors, stderr=errors, env=environment(),
                                   start_new_session=True)
        self.addCleanup(lambda: process.poll() is None and os.killpg(process.pid, signal.SIGKILL))
        return process

    def running(self):
        found = []
        for folder in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                if str(self.folder / "run").encode() in (folder / "cmdline").read_bytes() and \
                        os.readlink(folder / "exe") == str(program):
                    found.append(folder.name)
            except OSError:
                continue
        return found

    def test_the_same_bits(self):
        self.assertEqual(self.started(*RECIPES["amplified"]).wait(timeout=LIMIT), 0)
        self.train(1, "alone", *RECIPES["amplified"])
        self.assertEqual(self.files("run"), self.files("alone"))

    def test_a_cut(self):
        self.started(*Failures.LONG, "--rank-timeout", "3")
        metrics = self.folder / "run" / "metrics.jsonl"
        wait_for(lambda: metrics.exists() and metrics.read_bytes().count(b"\n") >= 2, "the second epoch")
        self.ip("link", "set", self.cables[1], "down")
        begin = time.monotonic()
        wait_for(lambda: not self.running(), "the end of the ranks")  # mpirun waits longer for its other half
        self.assertLess(time.monotonic() - begin, 60)
        self.assertIn("gradamp: no answer for 3 s from rank 1 on ",
                      (self.folder / "errors").read_text(encoding="utf-8"))
        self.assertIn("no answer for 3 s", (self.folder / "run" / "failure.txt").read_text(encoding="utf-8"))
        self.succeeded(run(1, "train", "--resume", self.folder / "run", "--quiet", "--until", 4))


class Slurm(RanksTest):
    """srun instead of mpirun, on a Slurm of the test's own."""

    def test_the_same_bits_by_srun(self):
        try:
            with local_slurm.LocalSlurm() as slurm:
                command = ["srun", "--mpi=pmix", "--ntasks=4", program, "train", *SMALL, *RECIPES["amplified"],
                           "--run-folder", self.folder / "tasks"]
                result = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=LIMIT,
                                        env=environment() | slurm.environment)
        except local_slurm.Unavailable as reason:
            self.skipTest(str(reason))
        if "pmix" in result.stderr and not (self.folder / "tasks").exists():
            self.skipTest("this Slurm has no PMIx")
        self.succeeded(result)
        self.assertIn("ranks          4, ", result.stdout)
        self.train(1, "alone", *RECIPES["amplified"])
        self.assertEqual(self.files("tasks"), self.files("alone"))


class Sweeps(RanksTest):
    """Runs of a sweep that mpirun starts."""

    def sweep(self, name, *launcher, begin=subprocess.run):
        file = self.folder / "s.toml"
        file.write_text("network = resnet8\ntrain-images = 200\ntest-images = 20\nbatch-size = 20\nshards = 2\n"
                        "device = cpu\nthreads = 1\nstrategy = '2:0.05, 4:0.05:2'\n[amplified]\nthreshold = [0.5, 1]\n",
                        encoding="utf-8")
        command = [program, "sweep", file, "--folder", self.folder / name, "--quiet", *launcher]
        return begin(list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                     env=environment())

    def checkpoints(self, name):
        return {path.parent.name: path.read_bytes() for path in (self.folder / name).glob("c*/*/checkpoint.*")}

    def test_stopped_and_resumed_they_have_the_bits_of_one_process(self):
        self.succeeded(self.sweep("one"))
        ranks = ["--", "mpirun", "-n", "2"]
        process = self.sweep("two", *ranks, begin=subprocess.Popen)
        metrics = self.folder / "two" / "beginnings" / "beginning" / "metrics.jsonl"
        wait_for(lambda: metrics.exists() and metrics.stat().st_size > 0, "the first epoch")
        process.terminate()
        self.succeeded(ended(process), 128 + signal.SIGTERM)
        log = (self.folder / "two" / "logs" / "beginning.log").read_text(encoding="utf-8")
        self.assertIn("stopped by SIGUSR1", log)
        self.succeeded(self.sweep("two", *ranks))
        self.assertEqual(len(self.checkpoints("one")), 2)
        self.assertEqual(self.checkpoints("two"), self.checkpoints("one"))
        for log in (self.folder / "two" / "logs").glob("*.log"):
            self.assertIn(", by 2 ranks, ", log.read_text(encoding="utf-8"))

    def test_a_launcher_that_is_missing(self):
        result = self.sweep("none", "--", "no-such-launcher")
        self.assertEqual(result.returncode, 1)
        self.assertIn("ended with exit code 127; see ", result.stdout)
        log = (self.folder / "none" / "logs" / "beginning.log").read_text(encoding="utf-8")
        self.assertIn("no-such-launcher", log)


class Bench(unittest.TestCase):
    def test_the_tables(self):
        script = pathlib.Path(__file__).resolve().parents[2] / "bench" / "ranks_bench.py"
        result = subprocess.run([sys.executable, script, program, "--network", "resnet8", "--shards", "2", "--images",
                                 "32", "--batch-size", "16", "--rounds", "1"], capture_output=True, text=True,
                                env=environment(), timeout=LIMIT)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("ranks [1, 2] gave the same checkpoint", result.stdout)
        rows = [line.split("|")[1:-1] for line in result.stdout.splitlines() if line.startswith("| ")]
        self.assertEqual([row[0].strip() for row in rows],
                         ["shards, one process", "1", "2", "4", "8", "2 shards by ranks", "1", "2",
                          "weak scaling: ranks", "1", "2"])


if __name__ == "__main__":
    program = pathlib.Path(sys.argv[1]).resolve()
    del sys.argv[1]
    if shutil.which("mpirun") is None or not (program.parent / "libgradamp_mpi.so").exists():
        print("skipped: there is no MPI")
        sys.exit(77)
    unittest.main(verbosity=2)

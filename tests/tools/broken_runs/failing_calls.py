#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Lets each system call of a small training fail in turn, by strace: first each call of a whole run, then each call of
its resumption. Then the run goes on without failures, and must leave what an unbroken run leaves.

    failing_calls.py PROGRAM [--kinds reselection ...] [--cases N] [--seed 1] [--calls openat write ...] [--jobs 2]

A call returns an error, or the program is killed as it enters the call. In each case
- the program ends by itself, with exit code 0, or 1 and one line that begins with its name,
- after exit code 0 the files are those of an unbroken run,
- otherwise the same command, or --resume, continues it to the same files, logs included.
The dynamic linker's calls, before the program, are left out.
--cases takes a random part of the cases. Ends with 1 if something is wrong, and with 77 if strace cannot run."""

import argparse
import collections
import concurrent.futures
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile

import small_runs

# The error that each call returns. A call may have two names, one for each of the forms that systems have.
ERRORS = {"openat": "EMFILE", "read": "EIO", "pread64": "EIO", "write": "ENOSPC", "fsync": "EIO", "close": "EIO",
          "rename,renameat,renameat2": "EIO", "link,linkat": "EIO", "unlink,unlinkat": "EIO", "mkdir,mkdirat": "EACCES",
          "rmdir": "EIO", "fstat,newfstatat,statx,lstat,stat": "EIO", "flock": "EIO", "fchmod": "EPERM",
          "ftruncate": "EIO", "getdents64": "EIO", "lseek": "EIO", "fcntl": "EIO", "access,faccessat2": "EIO",
          "readlink,readlinkat": "EIO", "getcwd": "ENOENT", "mmap": "ENOMEM",
          "clone,clone3": "EAGAIN", "pipe2": "EMFILE", "sched_getaffinity": "EINVAL", "uname": "EFAULT",
          "getrandom": "EIO", "rt_sigaction": "EINVAL"}
LIMIT_SECONDS = 120

Case = collections.namedtuple("Case", "kind phase calls number mode")  # phase: run or resumption; mode: error or kill


def names(calls: str) -> str:
    return ",".join("?" + name for name in calls.split(","))  # "?": not every system has it


def strace(*options: str) -> list:
    return ["strace", "--follow-forks", "--quiet=all", *options]


class Injector:
    def __init__(self, args: argparse.Namespace, folder: pathlib.Path):
        self.maker = small_runs.Maker(args.program, folder)
        self.folder = folder
        self.expected = {}
        for kind in args.kinds:
            self.expected[kind] = self.maker.unbroken(kind)
            if small_runs.KINDS[kind].resume is None:
                half = folder / f"half-{kind}"
                self.maker.finish(kind, [*self.maker.begin(kind, half), "--until", "2"])

    def phases(self, kind: str) -> list:
        return ["run", "resumption"] if small_runs.KINDS[kind].resume is None else ["run"]

    def prepared(self, name: str, kind: str, phase: str) -> tuple:
        """Returns a fresh folder and the arguments that begin or resume a run in it."""
        folder = self.folder / name
        if phase == "run":
            return folder, self.maker.begin(kind, folder)
        shutil.copytree(self.folder / f"half-{kind}", folder)
        return folder, self.maker.go_on(kind, folder)

    def counted(self, kind: str, phase: str, calls: str) -> range:
        """Returns the numbers of the main thread's calls of these names, without those of the dynamic linker."""
        folder, arguments = self.prepared("counted", kind, phase)
        last = self.calls_of(arguments, calls)
        only_link = ["--env=LD_TRACE_LOADED_OBJECTS=1", "--env=LD_WARN=1"]  # as ldd -r does; it writes a list
        first = self.calls_of(arguments, calls, *only_link) if calls != "write" else 0
        shutil.rmtree(folder)
        return range(first + 1, last + 1)

    def calls_of(self, arguments: list, calls: str, *options: str) -> int:
        log = self.folder / "calls.log"
        process = self.maker.start(arguments, strace(*options, "--seccomp-bpf", f"--output={log}",
                                                     f"--trace={names(calls)}"))
        process.communicate(timeout=LIMIT_SECONDS)
        lines = [line.split()[:2] for line in log.read_text().splitlines()]
        return sum(1 for thread, call in lines if thread == lines[0][0] and call.split("(")[0] in calls.split(","))

    def tried(self, number: int, case: Case) -> tuple:
        """Returns how the program ended, and what is wrong, or an empty text."""
        folder, arguments = self.prepared(f"case-{number}", case.kind, case.phase)
        # With --seccomp-bpf it is faster, but does not deliver signals.
        is_error = case.mode == "error"
        how, faster = (f"error={ERRORS[case.calls]}", ["--seccomp-bpf"]) if is_error else ("signal=KILL", [])
        process = self.maker.start(arguments, strace(*faster, "--output=/dev/null", f"--trace={names(case.calls)}",
                                                     f"--inject={names(case.calls)}:{how}:when={case.number}"))
        try:
            message = process.communicate(timeout=LIMIT_SECONDS)[1].strip()
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            return "hangs", f"{case}: hangs"
        wrong = self.wrong_at_the_end(case, process.returncode, message) or self.wrong_files(
            case, folder, process.returncode == 0)
        if wrong:
            return process.returncode, f"{case}: {wrong} [ended with {process.returncode}: {message[-300:]}] {folder}"
        shutil.rmtree(folder, ignore_errors=True)
        return process.returncode, ""

    def wrong_at_the_end(self, case: Case, code: int, message: str) -> str:
        if code == 1 and case.kind == "sweep":
            return ""  # it reports its failed cells on standard output
        if code == 1:
            lines = [line for line in message.splitlines() if not line.startswith("warning: ")]
            name = pathlib.Path(self.maker.program).name
            return "" if len(lines) == 1 and lines[0].startswith(f"{name}: ") else "expected one line for exit code 1"
        # A sweep's processes make more or fewer calls in each run, so its last ones may not come: nothing was killed.
        expected = {"error": (0,), "kill": (-signal.SIGKILL, 0) if case.kind == "sweep" else (-signal.SIGKILL,)}
        return "" if code in expected[case.mode] else f"unexpected exit code {code}"

    def wrong_files(self, case: Case, folder: pathlib.Path, is_finished: bool) -> str:
        if not is_finished:
            process = self.maker.start(self.maker.go_on(case.kind, folder))
            message = process.communicate(timeout=LIMIT_SECONDS)[1].strip()
            if process.returncode != 0:
                return f"cannot go on: exit code {process.returncode}: {message}"
        differing = small_runs.differences(self.expected[case.kind], small_runs.result(folder))
        return f"other than unbroken: {', '.join(differing)}" if differing else ""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("--kinds", nargs="+", choices=small_runs.KINDS, default=["reselection"])
    parser.add_argument("--cases", type=int, default=0, help="0: all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--calls", nargs="+", choices=ERRORS, metavar="CALL", default=list(ERRORS))
    parser.add_argument("--modes", nargs="+", choices=["error", "kill"], default=["error", "kill"])
    parser.add_argument("--jobs", type=int, default=2, help="cases at once")
    parser.add_argument("--folder", type=pathlib.Path, help="for the runs; default: a temporary one")
    args = parser.parse_args()
    if not small_runs.can_run(strace("--seccomp-bpf", "--output=/dev/null")):
        print("skipped: strace cannot run here")
        return 77
    scratch = None if args.folder else tempfile.TemporaryDirectory()
    injector = Injector(args, (args.folder or pathlib.Path(scratch.name)).resolve())
    cases = []
    for kind in args.kinds:
        for phase in injector.phases(kind):
            counts = {calls: injector.counted(kind, phase, calls) for calls in args.calls}
            print(f"{kind}, {phase}: {sum(map(len, counts.values()))} calls: " +
                  ", ".join(f"{calls.split(',')[0]} {len(count)}" for calls, count in counts.items() if count),
                  flush=True)
            cases += [Case(kind, phase, calls, number, mode) for calls, count in counts.items()
                      for number in count for mode in args.modes
                      # strace fails a close() without closing, which Linux never does: a sweep would wait for its own
                      # locks.
                      if (kind, calls, mode) != ("sweep", "close", "error")]
    if args.cases:
        cases = random.Random(args.seed).sample(cases, min(args.cases, len(cases)))
    ends, wrong = collections.Counter(), 0
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        for code, message in pool.map(injector.tried, range(len(cases)), cases):
            ends[code] += 1
            if message:
                wrong += 1
                print(message, file=sys.stderr, flush=True)
    print(f"{len(cases)} failures: exit codes " + ", ".join(f"{code} ({count})" for code, count in ends.most_common()) +
          f"; {wrong} wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Kills runs at random moments, resumes them, kills them again, and compares what they leave in the end with what an
unbroken run leaves: checkpoints byte for byte, logs, summaries and event files without their times.

    kills.py PROGRAM [--kills 40 | --minutes M] [--seed 1] [--kinds plain sweep ...] [--folder FOLDER] [--jobs 2]

Runs: plain, amplified with selection, with selection every epoch, random selection, a run that branches off another,
and a sweep with two jobs. Half of them run as on a file system without hard links, if strace can make link(2) fail.
The kills are spread evenly over a run, so its first and last moments are among them. Ends with 1 if a run differs or
cannot be resumed; its folder is kept."""

import argparse
import concurrent.futures
import itertools
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import small_runs

WITHOUT_LINKS = ["strace", "--follow-forks", "--seccomp-bpf", "--quiet=all", "--output=/dev/null",
                 "--trace=link,linkat", "--inject=link,linkat:error=EPERM"]
MOST_KILLS_OF_A_RUN = 4


class Killer:
    def __init__(self, args: argparse.Namespace, folder: pathlib.Path):
        self.maker = small_runs.Maker(args.program, folder)
        self.expected = {}
        self.seconds = {}
        for kind in args.kinds:
            begun = time.monotonic()
            self.expected[kind] = self.maker.unbroken(kind)
            self.seconds[kind] = time.monotonic() - begun

    def broken(self, number: int, kind: str, prefix: list) -> tuple:
        """Begins a run, kills it some times and lets it finish. Returns the number of kills and what is wrong."""
        moments = random.Random(f"{number} {kind}")
        folder = self.maker.folder / f"{number}-{kind}"
        arguments = self.maker.begin(kind, folder)
        kills = 0
        for _ in range(MOST_KILLS_OF_A_RUN):
            process = self.maker.start(arguments, prefix)
            try:
                message = process.communicate(timeout=moments.uniform(0, 1.1 * self.seconds[kind]))[1]
                if process.returncode == 0:
                    break
                return kills, f"{folder}: exit code {process.returncode}: {message.strip()}"
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.communicate()
                kills += 1
            arguments = self.maker.go_on(kind, folder)
        return kills, self.wrong_after_the_end(kind, folder, prefix)

    def wrong_after_the_end(self, kind: str, folder: pathlib.Path, prefix: list) -> str:
        process = self.maker.start(self.maker.go_on(kind, folder), prefix)
        message = process.communicate(timeout=300)[1]
        if process.returncode != 0:
            return f"{folder}: cannot be resumed: exit code {process.returncode}: {message.strip()}"
        differing = small_runs.differences(self.expected[kind], small_runs.result(folder))
        if differing:
            return f"{folder}: other than unbroken: {', '.join(differing)}"
        shutil.rmtree(folder)
        return ""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("--kills", type=int, default=40)
    parser.add_argument("--minutes", type=float, help="go on so long, however many kills that are")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kinds", nargs="+", choices=small_runs.KINDS, default=list(small_runs.KINDS))
    parser.add_argument("--jobs", type=int, default=2, help="runs at once")
    parser.add_argument("--folder", type=pathlib.Path, help="for the runs; default: a temporary one")
    args = parser.parse_args()
    end = time.monotonic() + 60 * args.minutes if args.minutes else None
    scratch = None if args.folder else tempfile.TemporaryDirectory()
    killer = Killer(args, (args.folder or pathlib.Path(scratch.name)).resolve())
    prefixes = [[], WITHOUT_LINKS] if small_runs.can_run(WITHOUT_LINKS) else [[]]
    cases = itertools.cycle(itertools.product(args.kinds, prefixes))
    runs, kills, wrong = 0, {kind: 0 for kind in args.kinds}, []
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        while time.monotonic() < end if end else sum(kills.values()) < args.kills:
            batch = [(f"{args.seed}-{runs + k}", *next(cases)) for k in range(2 * args.jobs)]
            for (_, kind, _), (killed, message) in zip(batch, pool.map(lambda case: killer.broken(*case), batch)):
                runs += 1
                kills[kind] += killed
                if message:
                    wrong.append(message)
                    print(message, file=sys.stderr)
    each = ", ".join(f"{kind} {count}" for kind, count in kills.items())
    links = "half of them without hard links" if len(prefixes) == 2 else "all with hard links: strace does not run here"
    print(f"{sum(kills.values())} kills of {runs} runs ({each}; {links}), "
          f"{runs - len(wrong)} runs equal the unbroken ones, {len(wrong)} do not")
    if wrong and scratch:  # keep the folder
        kept = pathlib.Path(tempfile.mkdtemp(prefix="gradamp-kills-"))
        shutil.copytree(scratch.name, kept, dirs_exist_ok=True)
        print(f"the runs are in {kept}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

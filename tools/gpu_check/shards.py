#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs a GoogleTest program in several processes at once, for tools/gpu_check.sh.

    shards.py --shards N --limit SECONDS --log PREFIX [--filter FILTER] [--wrapper WORD]... PROGRAM [WORD...]

Each process runs its share of the tests; its output is in PREFIX-<index>.log. The wrapper's words come before the
program's when the tests are run (for example compute-sanitizer and its options), not when they are listed. Prints one
line, "STATUS<tab>MESSAGE", where STATUS is passed, failed or skipped (there is no such test), and then the lines of the
logs that explain a failure. A run counts as passed only if every listed test reported its end. Needs only Python 3.6.
"""

import argparse
import os
import re
import subprocess
import sys
import time

EXPLAINS = re.compile(r"^\[  FAILED  \]|^=========.*(ERROR|Error|hazard)")
KILL_AFTER = 10  # seconds between SIGTERM and SIGKILL


def last_line(text):
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:200] if lines else "no output"


def list_tests(program, test_filter, limit):
    """(number of tests, the reason why they could not be listed or None)"""
    command = program + ["--gtest_list_tests", "--gtest_filter=" + test_filter]
    try:
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True, timeout=limit
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return 0, str(error)
    if done.returncode != 0:
        return 0, "its tests cannot be listed: exit code {}: {}".format(done.returncode, last_line(done.stdout))
    return sum(line.startswith("  ") for line in done.stdout.splitlines()), None


def run_shards(command, shards, limit, prefix):
    """Exit codes by shard; None for a shard that exceeded the limit and was ended."""
    processes = []
    for index in range(shards):
        environment = dict(
            os.environ,
            GTEST_TOTAL_SHARDS=str(shards),
            GTEST_SHARD_INDEX=str(index),
            OMP_NUM_THREADS="2",
        )
        with open("{}-{}.log".format(prefix, index), "wb") as log:
            processes.append(subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT))
    end = time.monotonic() + limit
    codes = []
    for process in processes:
        try:
            codes.append(process.wait(timeout=max(0.0, end - time.monotonic())))
        except subprocess.TimeoutExpired:
            process.terminate()
            try:
                process.wait(timeout=KILL_AFTER)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            codes.append(None)
    return codes


def judge(count, codes, logs, limit):
    """(status, message) of a finished run of `count` tests."""
    text = "\n".join(logs)
    passed = len(re.findall(r"^\[       OK \].* ms\)", text, re.MULTILINE))
    skipped = len(re.findall(r"^\[  SKIPPED \].* ms\)", text, re.MULTILINE))
    problems = []
    for index, (code, log) in enumerate(zip(codes, logs)):
        if code is None:
            problems.append("shard {}: took longer than {} s".format(index, limit))
        elif code != 0:
            problems.append("shard {}: exit code {}: {}".format(index, code, last_line(log)))
    if not problems and passed + skipped != count:
        problems.append("the others did not end")
    if not problems and passed == 0:
        problems.append("none ran")
    if problems:
        return "failed", "{} of {} tests passed; {}".format(passed, count, "; ".join(problems))
    return "passed", "{} tests{}".format(passed, ", {} do not apply".format(skipped) if skipped else "")


def main(arguments):
    parser = argparse.ArgumentParser(description="Runs a GoogleTest program in several processes at once")
    parser.add_argument("--shards", type=int, required=True)
    parser.add_argument("--limit", type=int, required=True)
    parser.add_argument("--log", required=True)
    parser.add_argument("--filter", default="*")
    parser.add_argument("--wrapper", action="append", default=[])
    parser.add_argument("program", nargs=argparse.REMAINDER)
    options = parser.parse_args(arguments)
    start = time.monotonic()
    count, problem = list_tests(options.program, options.filter, options.limit)
    if problem:
        print("failed\t" + problem)
        return 0
    if count == 0:
        print("skipped\tthe filter {} leaves no test".format(options.filter))
        return 0
    shards = min(options.shards, count)
    command = options.wrapper + options.program + ["--gtest_filter=" + options.filter]
    left = max(1, int(options.limit - (time.monotonic() - start)))
    codes = run_shards(command, shards, left, options.log)
    logs = []
    for index in range(shards):
        with open("{}-{}.log".format(options.log, index), encoding="utf-8", errors="replace") as log:
            logs.append(log.read())
    status, message = judge(count, codes, logs, options.limit)
    print(status + "\t" + message)
    if status == "failed":
        lines = [line for log in logs for line in log.splitlines() if EXPLAINS.match(line)]
        for line in sorted(set(lines), key=lines.index)[:20]:
            print("    | " + line)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

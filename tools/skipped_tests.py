#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Lists the tests that were skipped according to ctest's results, and fails if a skip is not allowed.

Usage: skipped_tests.py RESULTS ALLOWED

RESULTS is the output of `ctest --output-junit`. ALLOWED has one line per kind of allowed skip: a pattern for the test's
name, a pattern for the reason that the test prints (both as in a shell), and why it is allowed, with " | " between
them. A test of which only a part was skipped counts as skipped. Exits with 1 if a skip is not allowed.
"""
import fnmatch
import pathlib
import re
import sys
import xml.etree.ElementTree as ElementTree
from typing import NamedTuple


class Skip(NamedTuple):
    name: str
    reason: str


class Allowed(NamedTuple):
    name: str
    reason: str
    why: str


def reason_in(output: str) -> str | None:
    """The reason that a test gives for skipping itself or a part of itself; None if it skipped nothing."""
    if match := re.search(r": Skipped\n(.*)", output):  # GoogleTest
        return match[1].strip() or "no reason"
    if match := re.search(r"^skipped: (.*)", output, re.MULTILINE):  # our scripts
        return match[1].strip()
    if match := re.search(r"^OK \((?:.*, )?skipped=(\d+)", output, re.MULTILINE):  # Python's unittest
        return f"{match[1]} of its tests"
    return None


def skips_in(results: str) -> list[Skip]:
    skips = []
    for case in ElementTree.fromstring(results).iter("testcase"):
        output = case.findtext("system-out", "")
        reason = reason_in(output)
        skipped = case.find("skipped")
        if skipped is not None or case.get("status") in ("notrun", "disabled"):
            message = skipped.get("message", "") if skipped is not None else ""
            skips.append(Skip(case.get("name", ""), reason or message or "no reason"))
        elif reason and case.get("status") == "run":
            skips.append(Skip(case.get("name", ""), reason))
    return skips


def read_allowed(text: str) -> list[Allowed]:
    lines = [line.strip() for line in text.splitlines()]
    allowed = []
    for line in lines:
        if line and not line.startswith("#"):
            columns = [column.strip() for column in line.split(" | ")]
            if len(columns) != 3 or not all(columns):
                sys.exit(f"expected NAME PATTERN | REASON PATTERN | WHY, got: {line}")
            allowed.append(Allowed(*columns))
    return allowed


def main(results: pathlib.Path, allowed_file: pathlib.Path) -> int:
    skips = skips_in(results.read_text())
    allowed = read_allowed(allowed_file.read_text())
    forbidden = 0
    print(f"{len(skips)} skipped tests{':' if skips else ''}")
    for skip in skips:
        entry = next((entry for entry in allowed if fnmatch.fnmatchcase(skip.name, entry.name) and
                      fnmatch.fnmatchcase(skip.reason, entry.reason)), None)
        verdict = f"allowed: {entry.why}" if entry else f"NOT ALLOWED by {allowed_file.name}"
        print(f"  {skip.name}: {skip.reason} ({verdict})")
        forbidden += entry is None
    if forbidden:
        print(f"{forbidden} of them must run, or must be added to {allowed_file} with a reason.")
    return 1 if forbidden else 0


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    sys.exit(main(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])))

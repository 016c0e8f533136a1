#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Records PyTorch's results, with which the C++ tests compare ours. Needs: pip install torch numpy

    tests/oracle/record.py                  everything: some minutes, 6 GB of memory
    tests/oracle/record.py resnet8_10 ...   these files only
    tests/oracle/record.py --list           the names

README.md in this folder says what is recorded and how a test makes the same inputs.
"""

import argparse
import json
import sys
import time
from pathlib import Path

try:
    import torch

    import method
    import philox
    import recipes
    import regularization
    import shards
    import sketch
    import training
except ModuleNotFoundError as error:
    sys.exit(f"record.py: {error.name} is missing; install with: pip install torch numpy")

TESTS = Path(__file__).resolve().parent.parent


def recordings():
    """The function that computes each file's content, and the file's folder under tests/."""
    result = {case.name: ("nets", lambda case=case: training.record(case)) for case in training.CASES}
    for module in (method, recipes):
        result.update({name: ("optim", function) for name, function in module.RECORDINGS.items()})
    result.update(regularization.RECORDINGS)
    result.update(shards.RECORDINGS)
    return result


def parse_arguments(names):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0], epilog="Needs: pip install torch numpy")
    parser.add_argument("names", nargs="*", metavar="NAME", help="files to record (default: all; see --list)")
    parser.add_argument("--list", action="store_true", help="print the names and stop")
    parser.add_argument(
        "--tests-folder",
        type=Path,
        default=TESTS,
        metavar="FOLDER",
        help="write FOLDER/{nets,optim,kernels}/recorded/*.json (default: the tests folder)",
    )
    parser.add_argument("--threads", type=int, metavar="N", help="CPU threads (default: PyTorch's choice)")
    arguments = parser.parse_args()
    for name in arguments.names:
        if name not in names:
            parser.error(f"unknown name '{name}': expected one of {', '.join(names)}")
    if arguments.threads is not None and arguments.threads < 1:
        parser.error(f"--threads: expected at least 1, got {arguments.threads}")
    return arguments


def main():
    known = recordings()
    arguments = parse_arguments(list(known))
    if arguments.list:
        print("\n".join(known))
        return
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    philox.self_check()
    for name in arguments.names or known:
        begin = time.monotonic()
        folder, compute = known[name]
        content = {"recorded_with": f"PyTorch {torch.__version__.partition('+')[0]}", **compute()}
        path = arguments.tests_folder / folder / "recorded" / f"{name}.json"
        sketch.write(path, content)
        size = path.stat().st_size
        print(f"{name}: {size:,} bytes in {time.monotonic() - begin:.1f} s", flush=True)
        if "float32" in content:
            print(f"  float32 against float64: {json.dumps(sketch.rounded(content['float32']))}", flush=True)


if __name__ == "__main__":
    main()

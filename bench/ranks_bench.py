#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Time of a run whose batch is cut into shards: in one process by the number of shards, and of some shards by the number
of ranks, with one thread each. First it checks that all ranks' checkpoints are equal, to the byte.

    ranks_bench.py PROGRAM [--network resnet20] [--shards 8] [--ranks 1 2] [--images 2048] [--batch-size 128] [--rounds 5]

Medians of interleaved rounds. Weak scaling has as many images and as large a batch per rank as one rank has."""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

VARIABLES = {"NO_COLOR": "1", "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
             "OMPI_MCA_rmaps_base_oversubscribe": "1"}


class Bench:
    def __init__(self, args: argparse.Namespace, folder: pathlib.Path):
        self.args = args
        self.folder = folder
        self.count = 0

    def run(self, ranks: int, shards: int, scale: int = 1, epochs: int = 1) -> tuple:
        """(images per second, share of the time in exchanges, bytes of the checkpoint)"""
        self.count += 1
        folder = self.folder / str(self.count)
        images = self.args.images * scale
        command = [*(["mpirun", "-n", str(ranks)] if ranks > 1 else []), self.args.program, "train", "--dataset",
                   "synthetic", "--network", self.args.network, "--train-images", images, "--test-images", 10,
                   "--batch-size", self.args.batch_size * scale, "--shards", shards, "--epochs", epochs, "--threads", 1,
                   "--run-folder", folder, "--quiet"]
        result = subprocess.run(list(map(str, command)), capture_output=True, text=True, env=os.environ | VARIABLES)
        if result.returncode != 0:
            sys.exit(f"{command}: {result.stderr}")
        shares = [line.split()[2] for line in result.stdout.splitlines() if line.startswith("  ranks ")]
        last = json.loads((folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()[-1])
        return (last["images_per_second"], float(shares[0].rstrip("%")) / 100 if shares else 0.0,
                (folder / "checkpoint.safetensors").read_bytes())

    def table(self, title: str, cases: dict):
        """`cases`: the arguments of run() by their names; the first is the reference."""
        rounds = {name: [] for name in cases}
        for _ in range(self.args.rounds):
            for name, arguments in cases.items():
                rounds[name].append(self.run(*arguments)[:2])
        print(f"\n| {title} | images/s | ratio | in exchanges |\n|---|---:|---:|---:|")
        reference = statistics.median(speed for speed, _ in next(iter(rounds.values())))
        for name, results in rounds.items():
            speed = statistics.median(speed for speed, _ in results)
            share = statistics.median(share for _, share in results)
            print(f"| {name} | {speed:.0f} | {speed / reference:.3f} | {share:.1%} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", type=pathlib.Path)
    parser.add_argument("--network", default="resnet20")
    parser.add_argument("--shards", type=int, default=8)
    parser.add_argument("--ranks", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--images", type=int, default=2048)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    args.program = args.program.resolve()
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(args, pathlib.Path(folder))
        checkpoints = {ranks: bench.run(ranks, args.shards)[2] for ranks in args.ranks}
        if len(set(checkpoints.values())) != 1:
            sys.exit("the ranks' checkpoints differ")
        print(f"{args.network}, {args.images} images, batch {args.batch_size}, one thread per rank, medians of "
              f"{args.rounds} rounds; ranks {args.ranks} gave the same checkpoint")
        bench.table("shards, one process", {str(s): (1, s) for s in (1, 2, 4, 8)})
        bench.table(f"{args.shards} shards by ranks", {str(r): (r, args.shards) for r in args.ranks})
        bench.table("weak scaling: ranks", {str(r): (r, args.shards, r) for r in args.ranks})


if __name__ == "__main__":
    main()

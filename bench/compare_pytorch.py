#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Training throughput beside PyTorch's CPU build, both sides in one run.

    bench/compare_pytorch.py [--program build/bench/training_step] [--networks resnet20 resnet18] [--rounds 5]

For each network: both sides take the same weights and the same batch, and their first losses must agree to 1e-4; then
they are timed in turn (A B A B ...), each round a median of a few steps, with the same number of threads. PyTorch runs
channels_last, with its default (foreach) SGD and the batch ready in memory; gradamp also gathers, crops, flips and
normalises its batch in every step. A third program accumulates gradient statistics: the cost of an analysed epoch.
Peak memory is a process's maximal resident set; PyTorch's is given with and without what importing it takes.

Needs the Python packages torch, numpy and safetensors (pip install torch numpy safetensors).
"""
import argparse
import json
import multiprocessing
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "oracle"))


def gradamp_steps(args, network: str, *extra: str) -> dict:
    command = [args.program, "--network", network, "--batch-size", str(args.batch_size), "--steps", str(args.steps),
               "--warmup", str(args.warmup), "--threads", str(args.threads), *extra]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def torch_worker(pipe, network: str, saved: str, threads: int) -> None:
    """Serves one network in a process of its own, so that its peak memory is its own."""
    import torch
    from safetensors.torch import load_file

    from networks import build

    def peak() -> float:
        status = pathlib.Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmHWM:"))

    torch.set_num_threads(threads)
    base = peak()
    tensors = load_file(saved)
    images = tensors.pop("batch.images").permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)
    labels = tensors.pop("batch.labels").long()
    model = build(network, 10)
    model.load_state_dict(tensors, strict=False)
    model.to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)

    def step() -> float:
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(images), labels)
        loss.backward()
        optimizer.step()
        return loss.item()

    pipe.send((step(), torch.__version__, base))
    while (steps := pipe.recv()) is not None:
        seconds = []
        for _ in range(steps):
            start = time.perf_counter()
            step()
            seconds.append(time.perf_counter() - start)
        pipe.send((seconds, peak()))


def compare(args, network: str) -> dict:
    with tempfile.TemporaryDirectory() as folder:
        saved = str(pathlib.Path(folder) / "start.safetensors")
        ours = gradamp_steps(args, network, "--save", saved)
        context = multiprocessing.get_context("spawn")
        here, there = context.Pipe()
        worker = context.Process(target=torch_worker, args=(there, network, saved, args.threads))
        worker.start()
        loss, version, base = here.recv()
    if abs(loss - ours["first_loss"]) > 1e-4 * abs(loss):
        sys.exit(f"{network}: the first losses disagree: gradamp {ours['first_loss']}, PyTorch {loss}")
    ratios, analysed, plain, theirs, memory, their_memory = [], [], [], [], [], []
    for _ in range(args.rounds):
        a = gradamp_steps(args, network)
        here.send(args.warmup + args.steps)
        seconds, peak = here.recv()
        c = gradamp_steps(args, network, "--analyze")
        plain.append(statistics.median(a["seconds_per_step"]))
        theirs.append(statistics.median(seconds[args.warmup:]))
        ratios.append(theirs[-1] / plain[-1])
        analysed.append(statistics.median(c["seconds_per_step"]) / plain[-1])
        memory.append(a["peak_memory_mib"])
        their_memory.append(peak)
    here.send(None)
    worker.join()
    return {"network": network, "gradamp": args.batch_size / statistics.median(plain),
            "pytorch": args.batch_size / statistics.median(theirs), "ratio": statistics.median(ratios),
            "range": (min(ratios), max(ratios)), "analysed": statistics.median(analysed), "memory": max(memory),
            "pytorch_memory": max(their_memory), "pytorch_base": base, "version": version, "backend": ours["backend"]}


def processor() -> str:
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default=str(ROOT / "build" / "bench" / "training_step"))
    parser.add_argument("--networks", nargs="+", default=["resnet20", "resnet18"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--warmup", type=int, default=2)
    parser.add_argument("--threads", type=int, default=multiprocessing.cpu_count())
    parser.add_argument("--batch-size", type=int, default=128)
    args = parser.parse_args()

    print(f"{processor()}, {args.threads} threads, batch {args.batch_size}, float32; {args.rounds} rounds, medians\n")
    print("| network | gradamp, images/s | PyTorch, images/s | ratio (lowest to highest round) | analysed / plain step | "
          "peak memory, MiB: gradamp | PyTorch (of it, its import) |")
    print("|---|---|---|---|---|---|---|")
    for network in args.networks:
        r = compare(args, network)
        print(f"| {r['network']} | {r['gradamp']:.0f} | {r['pytorch']:.0f} | {r['ratio']:.2f} ({r['range'][0]:.2f} to "
              f"{r['range'][1]:.2f}) | {r['analysed']:.3f} | {r['memory']:.0f} | {r['pytorch_memory']:.0f} "
              f"({r['pytorch_base']:.0f}) |", flush=True)
    print(f"\nPyTorch {r['version']}; gradamp on {r['backend']}")


if __name__ == "__main__":
    main()

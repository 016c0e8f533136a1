#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Compares training throughput with PyTorch's fastest way to train, both sides in one run.

    bench/compare_pytorch.py [--program build/bench/training_step] [--precision f32 bf16] [--networks resnet20 resnet18]
    bench/compare_pytorch.py --batch-size 1 8 32 128 512 --threads 1 2
    bench/compare_pytorch.py --device cuda [--precision bf16] [--networks resnet18] [--json FILE]

For each network both sides take the same weights and the same batch, and their first losses must agree. Then they are
timed in turn (A B A B ...); each round is a median of a few steps. gradamp also gathers, crops, flips and normalizes
its batch in every step; PyTorch's is ready in memory. Analyzed steps, which accumulate gradient statistics, are timed
too. A round in which other programs used more than --quiet of the processors is repeated, as often as there are rounds
at most; the result says how much they used.

PyTorch runs channels_last with its fused SGD, in float32, float32 with TF32, or bfloat16 autocast, according to
--precision, in several modes, each in a process of its own. The fastest mode of each round is the reference:
    eager            no compilation
    compile          torch.compile; on the CPU
    max-autotune     torch.compile, and all variants of every kernel are tried
    reduce-overhead  torch.compile, forward and backward each a CUDA graph; on cuda
    graph            torch.compile, and the whole step with the optimizer is one CUDA graph; on cuda
A mode that fails, or is not ready within --compile-limit seconds, is left out, and the result says so. On cuda cuDNN
searches for its fastest kernels. On the CPU the table has the maximum resident set of both processes too; PyTorch's is
of the fastest mode without compilation or with, and what its import takes is given.

Needs the Python packages torch, numpy and safetensors (pip install torch numpy safetensors). torch.compile on the CPU
needs a C++ compiler.
"""
import argparse
import itertools
import json
import multiprocessing
import os
import pathlib
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import traceback
import typing

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "oracle"))

EPOCH_IMAGES = 50_000
MODES = {"cpu": ("eager", "compile", "max-autotune"), "cuda": ("eager", "reduce-overhead", "max-autotune", "graph")}
MODES["emulated"] = MODES["cuda"]
# Relative, for the first losses: sums in another order; operands rounded to 11 bits; every activation rounded to 8.
LOSS_TOLERANCE = {"f32": 1e-4, "tf32": 2e-3, "bf16": 2e-2}


def gradamp_steps(args, case, *extra: str) -> dict:
    command = [args.program, "--network", case.network, "--device", args.device, "--precision", case.precision,
               "--batch-size", str(case.batch_size), "--steps", str(args.steps), "--warmup", str(args.warmup),
               "--block", str(args.block), "--epoch-steps", str(args.epoch_steps), "--threads", str(case.threads),
               *extra]
    if not pathlib.Path(args.program).exists():
        sys.exit(f"{args.program} is not there; build it first: cmake --build build --target training_step")
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)} failed: {done.stderr.strip()}")
    return json.loads(done.stdout)


def check_losses(network: str, precision: str, ours: float, theirs: float) -> None:
    if not abs(theirs - ours) <= LOSS_TOLERANCE[precision] * abs(theirs):
        sys.exit(f"{network}: the first losses disagree: gradamp {ours}, PyTorch {theirs}")


class Case(typing.NamedTuple):
    """What both sides train."""

    network: str
    precision: str
    batch_size: int
    threads: int  # on the CPU


class OthersLoad:
    """The share of the machine's processor time that other programs use from the construction on."""

    def __init__(self, workers):
        self.workers = workers
        self.begin = self.read()

    def read(self):
        """All processors' time and that in which they worked, and the time of our own processes, in seconds."""
        tick = os.sysconf("SC_CLK_TCK")
        fields = [int(word) for word in pathlib.Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
        total, idle = sum(fields), fields[3] + fields[4]
        own = 0.0
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN):
            usage = resource.getrusage(who)
            own += usage.ru_utime + usage.ru_stime
        for worker in self.workers:
            try:  # the fields after the name, which may have spaces: utime and stime are the 14th and 15th of all
                words = pathlib.Path(f"/proc/{worker.pid}/stat").read_text().rsplit(")", 1)[1].split()
                own += (int(words[11]) + int(words[12])) / tick
            except OSError:
                pass
        return total / tick, (total - idle) / tick, own

    def share(self) -> float:
        total, busy, own = (now - then for now, then in zip(self.read(), self.begin))
        return max(0.0, busy - own) / total if total > 0 else 0.0


class TorchStep:
    """A network's training step in PyTorch, in one of MODES."""

    def __init__(self, case: Case, saved: str, device: str):
        import torch
        from safetensors.torch import load_file

        from networks import build

        if device == "cpu":
            torch.set_num_threads(case.threads)
        self.imported = peak_memory_mib()
        self.torch, self.device, self.bf16 = torch, device, case.precision == "bf16"
        torch.backends.cudnn.benchmark = True
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = case.precision != "f32"
        tensors = load_file(saved)
        images = tensors.pop("batch.images").permute(0, 3, 1, 2)
        self.labels = tensors.pop("batch.labels").long().to(device)
        self.images = images.to(device, torch.bfloat16 if self.bf16 else torch.float32).contiguous(
            memory_format=torch.channels_last)
        self.model = build(case.network, 10)
        self.model.load_state_dict(tensors, strict=False)
        self.model.to(device, memory_format=torch.channels_last).train()
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4, fused=True)
        self.forward = self.compute_loss
        self.replay = None

    def compute_loss(self, images, labels):
        with self.torch.autocast(self.device, dtype=self.torch.bfloat16, enabled=self.bf16):
            return self.torch.nn.functional.cross_entropy(self.model(images), labels)

    def body(self):
        loss = self.forward(self.images, self.labels)
        loss.backward()
        self.optimizer.step()
        return loss

    def step(self):
        if self.replay:
            return self.replay()
        self.optimizer.zero_grad(set_to_none=True)
        return self.body()

    def first_loss(self) -> float:
        """The loss of the first step, which is computed before anything is compiled."""
        return float(self.step().item())

    def prepare(self, mode: str) -> None:
        if mode in ("reduce-overhead", "max-autotune"):
            self.forward = self.torch.compile(self.compute_loss, mode=mode)
        elif mode == "compile":
            self.forward = self.torch.compile(self.compute_loss)
        elif mode == "graph":
            self.forward = self.torch.compile(self.compute_loss)
            self.capture()
        for _ in range(5):
            self.step()
        self.synchronize()

    def capture(self) -> None:
        """Captures the whole step as one graph, after a few steps on a side stream (PyTorch's notes on CUDA graphs)."""
        cuda = self.torch.cuda
        stream = cuda.Stream()
        stream.wait_stream(cuda.current_stream())
        with cuda.stream(stream):
            for _ in range(4):
                self.step()
        cuda.current_stream().wait_stream(stream)
        self.optimizer.zero_grad(set_to_none=True)  # the graph's backward allocates gradients, which each replay writes
        graph = cuda.CUDAGraph()
        with cuda.graph(graph):
            self.body()
        self.replay = graph.replay

    def synchronize(self) -> None:
        if self.device == "cuda":
            self.torch.cuda.synchronize()

    def seconds(self, steps: int, block: int, warmup: int) -> list:
        """Seconds per step, over blocks of steps that are waited for once."""
        for _ in range(warmup):
            self.step()
        seconds = []
        for _ in range(0, steps, block):
            self.synchronize()
            start = time.perf_counter()
            for _ in range(block):
                self.step()
            self.synchronize()
            seconds.append((time.perf_counter() - start) / block)
        return seconds

    def facts(self) -> dict:
        facts = {"version": self.torch.__version__, "gpu": "none", "memory_mib": peak_memory_mib(),
                 "imported_mib": self.imported}
        if self.device == "cuda":
            facts["gpu"] = self.torch.cuda.get_device_name()
            facts["cudnn"] = self.torch.backends.cudnn.version()
            facts["memory_mib"] = self.torch.cuda.max_memory_reserved() / 2**20
        return facts


def peak_memory_mib() -> float:
    """This process's maximum resident set."""
    status = pathlib.Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmHWM:"))


def torch_mode_worker(pipe, case: Case, saved: str, device: str, mode: str) -> None:
    """Serves one network in one mode. Each mode has a process, so that a failure does not affect the others."""
    try:
        start = time.perf_counter()
        step = TorchStep(case, saved, device)
        loss = step.first_loss()
        step.prepare(mode)
        pipe.send(("ready", {"loss": loss, "prepare_seconds": time.perf_counter() - start, **step.facts()}))
        while (request := pipe.recv()) is not None:
            pipe.send(("seconds", (step.seconds(**request), step.facts()["memory_mib"])))
    except Exception as error:  # any exception of PyTorch: the parent reports it
        traceback.print_exc()
        lines = str(error).strip().splitlines() or [""]
        pipe.send(("error", f"{type(error).__name__}: {lines[0][:160]}"))


class Mode:
    """A worker and its answers."""

    def __init__(self, args, case: Case, saved: str, name: str):
        context = multiprocessing.get_context("spawn")
        self.name, self.note, self.facts, self.seconds = name, "", {}, []
        self.pipe, there = context.Pipe()
        device = "cuda" if args.device == "cuda" else "cpu"
        self.process = context.Process(target=torch_mode_worker, args=(there, case, saved, device, name))
        self.process.start()
        there.close()
        self.limit = args.compile_limit
        self.facts = self.answer() or {}

    def answer(self):
        """The worker's next message. None, and a note, if it fails or takes longer than the limit."""
        try:
            if not self.pipe.poll(self.limit):
                self.note = f"not ready within {self.limit:.0f} s"
            else:
                kind, value = self.pipe.recv()
                if kind != "error":
                    return value
                self.note = value
        except (EOFError, OSError):
            self.note = "its process ended"
        self.stop()
        return None

    def time(self, args) -> float:
        """Seconds per step, or 0 if the worker fails."""
        try:
            self.pipe.send({"steps": args.steps, "block": args.block, "warmup": args.warmup})
        except OSError:
            self.note = "its process ended"
            return 0.0
        answer = self.answer()
        if not answer:
            return 0.0
        seconds, self.facts["memory_mib"] = answer
        return statistics.median(seconds)

    def stop(self) -> None:
        if self.process.is_alive():
            self.process.terminate()
            self.process.join(10)
            if self.process.is_alive():
                self.process.kill()
        self.process.join()

    def end(self) -> None:
        """Ends the worker after its work is done."""
        if self.process.is_alive():
            try:
                self.pipe.send(None)
            except OSError:
                pass
            self.process.join(20)
        self.stop()

    def result(self, batch_size: int) -> dict:
        result = {"mode": self.name, "note": self.note, **self.facts}
        if self.seconds and not self.note:
            result["seconds_per_step"] = self.seconds
            result["images_per_second"] = batch_size / statistics.median(self.seconds)
        return result


class Round(typing.NamedTuple):
    """One round's seconds per step."""

    plain: float
    analyzed: float
    theirs: dict  # by mode
    others: float  # the share of the processors that other programs used


def time_round(args, case: Case, modes, last) -> Round:
    """`last` gets the results of the last run of gradamp."""
    load = OthersLoad([mode.process for mode in modes])
    last.update(gradamp_steps(args, case, "--compare"))
    theirs = {mode.name: seconds for mode in modes if not mode.note and (seconds := mode.time(args)) > 0}
    return Round(statistics.median(last["seconds_per_step"]), statistics.median(last["analyzed_seconds_per_step"]),
                 theirs, load.share())


def quiet_rounds(args, measure) -> list:
    """`args.rounds` rounds. The most disturbed are replaced by further ones, `args.rounds` at most."""
    rounds = [measure() for _ in range(args.rounds)]
    for _ in range(args.rounds):
        worst = max(rounds, key=lambda r: r.others)
        if worst.others <= args.quiet:
            break
        again = measure()
        if again.others < worst.others:
            rounds[rounds.index(worst)] = again
    return rounds


def compare(args, case: Case) -> dict:
    with tempfile.TemporaryDirectory() as folder:
        saved = str(pathlib.Path(folder) / "start.safetensors")
        ours = gradamp_steps(args, case, "--save", saved)
        modes = []
        for name in args.modes:
            modes.append(Mode(args, case, saved, name))
            print(f"{case.network}: {name}: {modes[-1].note or 'ready'}", file=sys.stderr, flush=True)
    try:
        for mode in modes:
            if mode.facts:
                check_losses(case.network, case.precision, ours["first_loss"], mode.facts["loss"])
        rounds = [r for r in quiet_rounds(args, lambda: time_round(args, case, modes, ours)) if r.theirs]
        for mode in modes:
            mode.seconds = [r.theirs[mode.name] for r in rounds if mode.name in r.theirs]
    finally:
        for mode in modes:
            mode.end()
    if not rounds:
        sys.exit(f"{case.network}: none of PyTorch's modes worked: " + "; ".join(f"{m.name}: {m.note}" for m in modes))
    seconds = statistics.median(r.plain for r in rounds)
    ratios = [min(r.theirs.values()) / r.plain for r in rounds]
    results = [mode.result(case.batch_size) for mode in modes]
    best = max((r for r in results if "images_per_second" in r), key=lambda r: r["images_per_second"])
    return {**case._asdict(), "backend": ours["backend"], "gradamp": case.batch_size / seconds,
            "gradamp_seconds_per_step": [r.plain for r in rounds],
            "epoch_seconds": seconds * -(-EPOCH_IMAGES // case.batch_size),
            "analyzed": statistics.median(r.analyzed / r.plain for r in rounds),
            "pytorch": best["images_per_second"], "pytorch_mode": best["mode"], "version": best["version"],
            "ratio": statistics.median(ratios), "range": (min(ratios), max(ratios)), "modes": results,
            "memory_mib": ours["device_memory_mib"], "peak_memory_mib": ours["peak_memory_mib"],
            "pytorch_memory_mib": best["memory_mib"], "pytorch_imported_mib": best["imported_mib"],
            "others": max(r.others for r in rounds)}


COLUMNS = [
    ("network", lambda r: r["network"]),
    ("precision", lambda r: r["precision"]),
    ("batch", lambda r: r["batch_size"]),
    ("gradamp, images/s", lambda r: f"{r['gradamp']:.0f}"),
    ("PyTorch's fastest, images/s", lambda r: f"{r['pytorch']:.0f}"),
    ("its mode", lambda r: r["pytorch_mode"]),
    ("ratio (lowest to highest round)", lambda r: f"{r['ratio']:.2f} ({r['range'][0]:.2f} to {r['range'][1]:.2f})"),
    ("analyzed / plain step", lambda r: f"{r['analyzed']:.3f}"),
]
CPU_COLUMNS = [
    ("threads", lambda r: r["threads"]),
    ("peak memory, MiB: gradamp", lambda r: f"{r['peak_memory_mib']:.0f}"),
    ("PyTorch (of it, its import)", lambda r: f"{r['pytorch_memory_mib']:.0f} ({r['pytorch_imported_mib']:.0f})"),
    ("others' share of the processors", lambda r: f"{100 * r['others']:.0f}%"),
]
CUDA_COLUMNS = [("an epoch, s", lambda r: f"{r['epoch_seconds']:.3f}")]


def print_comparisons(args) -> list:
    where = f"{processor()}; " if args.device == "cpu" else ""
    print(f"{where}{args.rounds} rounds in turn, medians; an epoch has {EPOCH_IMAGES} images\n")
    columns = COLUMNS + (CPU_COLUMNS if args.device == "cpu" else CUDA_COLUMNS)
    print("| " + " | ".join(name for name, _ in columns) + " |")
    print("|" + "---|" * len(columns))
    results = []
    for case in itertools.starmap(Case, itertools.product(args.networks, args.precision, args.batch_size, args.threads)):
        r = compare(args, case)
        results.append(r)
        print("| " + " | ".join(str(text(r)) for _, text in columns) + " |", flush=True)
        for mode in r["modes"]:
            text = mode["note"] or f"{mode['images_per_second']:.0f} images/s, ready in {mode['prepare_seconds']:.0f} s"
            print(f"{case.network}: {mode['mode']}: {text}", file=sys.stderr, flush=True)
    print(f"\nPyTorch {results[-1]['version']}; gradamp on {results[-1]['backend']}")
    return results


def processor() -> str:
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()


def parse_arguments(words=None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default=str(ROOT / "build" / "bench" / "training_step"))
    parser.add_argument("--device", choices=("cpu", "cuda", "emulated"), default="cpu",
                        help="emulated: as cuda, with PyTorch on the CPU, to see that all works")
    parser.add_argument("--precision", nargs="+", choices=("f32", "tf32", "bf16"),
                        help="default: f32 on the CPU, else bf16")
    parser.add_argument("--networks", nargs="+", help="default: resnet20 resnet18, on cuda resnet18")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, help="timed, in a round; default: 5, on cuda 100")
    parser.add_argument("--block", type=int, help="steps that are waited for once; default: 1, on cuda 50")
    parser.add_argument("--warmup", type=int, help="steps before; default: 2, on cuda 50")
    parser.add_argument("--epoch-steps", type=int, help="before gradamp's images come again; default: 8, on cuda 391")
    parser.add_argument("--threads", type=int, nargs="+", default=[len(os.sched_getaffinity(0))], help="on the CPU")
    parser.add_argument("--batch-size", type=int, nargs="+", default=[128])
    parser.add_argument("--modes", nargs="+", choices=sorted({*MODES["cpu"], *MODES["cuda"]}),
                        help="of PyTorch; default: all that the device has")
    parser.add_argument("--compile-limit", type=float, default=150, help="seconds for a mode to get ready")
    parser.add_argument("--quiet", type=float, default=0.05,
                        help="the share of the processors that other programs may use in a round")
    parser.add_argument("--json", help="write the results to this file too")
    args = parser.parse_args(words)
    on_cpu = args.device == "cpu"
    args.precision = args.precision or ["f32" if on_cpu else "bf16"]
    args.networks = args.networks or (["resnet20", "resnet18"] if on_cpu else ["resnet18"])
    args.modes = args.modes or list(MODES[args.device])
    missing = [mode for mode in args.modes if mode not in MODES[args.device]]
    if missing:
        parser.error(f"--modes: on {args.device} there are {', '.join(MODES[args.device])}, got {', '.join(missing)}")
    for name, cpu, gpu in (("steps", 5, 100), ("block", 1, 50), ("warmup", 2, 50), ("epoch_steps", 8, 391)):
        if getattr(args, name) is None:
            setattr(args, name, cpu if on_cpu else gpu)
    return args


def main() -> None:
    args = parse_arguments()
    results = print_comparisons(args)
    if args.json:
        pathlib.Path(args.json).write_text(json.dumps({"device": args.device, "comparisons": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Compares training throughput with PyTorch, both sides in one run.

    bench/compare_pytorch.py [--program build/bench/training_step] [--networks resnet20 resnet18] [--rounds 5]
    bench/compare_pytorch.py --device cuda [--precision bf16] [--networks resnet18] [--json FILE]

For each network both sides take the same weights and the same batch, and their first losses must agree. Then they are
timed in turn (A B A B ...); each round is a median of a few steps. gradamp also gathers, crops, flips and normalizes
its batch in every step; PyTorch's is ready in memory. Analyzed steps, which accumulate gradient statistics, are timed
too.

On the CPU PyTorch runs channels_last in float32 with its default (foreach) SGD, on the same number of threads. Peak
memory is a process's maximum resident set; PyTorch's is given with and without the memory that its import takes.

On cuda PyTorch runs channels_last with bfloat16 autocast (or float32, with or without TF32, according to --precision),
its fused SGD and cuDNN's search, in several modes. The fastest mode is the reference:
    eager            no compilation
    reduce-overhead  torch.compile, forward and backward each a CUDA graph
    max-autotune     the same, and all variants of every kernel are tried
    graph            torch.compile, and the whole step with the optimizer is one CUDA graph
A mode that fails, or is not ready within --compile-limit seconds, is left out, and the result says so.

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
import traceback

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "oracle"))

EPOCH_IMAGES = 50_000
MODES = ("eager", "reduce-overhead", "max-autotune", "graph")
# Relative, for the first losses: sums in another order; operands rounded to 11 bits; every activation rounded to 8.
LOSS_TOLERANCE = {"f32": 1e-4, "tf32": 2e-3, "bf16": 2e-2}


def gradamp_steps(args, network: str, *extra: str) -> dict:
    command = [args.program, "--network", network, "--device", args.device, "--precision", args.precision,
               "--batch-size", str(args.batch_size), "--steps", str(args.steps), "--warmup", str(args.warmup),
               "--block", str(args.block), "--epoch-steps", str(args.epoch_steps), "--threads", str(args.threads),
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


# ---- On the CPU ----


def torch_worker(pipe, network: str, saved: str, threads: int) -> None:
    """Serves one network in a separate process, so that its peak memory is measured alone."""
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
    check_losses(network, args.precision, ours["first_loss"], loss)
    ratios, analyzed, plain, theirs, memory, their_memory = [], [], [], [], [], []
    for _ in range(args.rounds):
        a = gradamp_steps(args, network)
        here.send(args.warmup + args.steps)
        seconds, peak = here.recv()
        c = gradamp_steps(args, network, "--analyze")
        plain.append(statistics.median(a["seconds_per_step"]))
        theirs.append(statistics.median(seconds[args.warmup:]))
        ratios.append(theirs[-1] / plain[-1])
        analyzed.append(statistics.median(c["seconds_per_step"]) / plain[-1])
        memory.append(a["peak_memory_mib"])
        their_memory.append(peak)
    here.send(None)
    worker.join()
    return {"network": network, "gradamp": args.batch_size / statistics.median(plain),
            "pytorch": args.batch_size / statistics.median(theirs), "ratio": statistics.median(ratios),
            "range": (min(ratios), max(ratios)), "analyzed": statistics.median(analyzed), "memory": max(memory),
            "pytorch_memory": max(their_memory), "pytorch_base": base, "version": version, "backend": ours["backend"]}


def main_cpu(args) -> list:
    print(f"{processor()}, {args.threads} threads, batch {args.batch_size}, float32; {args.rounds} rounds, medians\n")
    print("| network | gradamp, images/s | PyTorch, images/s | ratio (lowest to highest round) | analyzed / plain step "
          "| peak memory, MiB: gradamp | PyTorch (of it, its import) |")
    print("|---|---|---|---|---|---|---|")
    results = []
    for network in args.networks:
        r = compare(args, network)
        results.append(r)
        print(f"| {r['network']} | {r['gradamp']:.0f} | {r['pytorch']:.0f} | {r['ratio']:.2f} ({r['range'][0]:.2f} to "
              f"{r['range'][1]:.2f}) | {r['analyzed']:.3f} | {r['memory']:.0f} | {r['pytorch_memory']:.0f} "
              f"({r['pytorch_base']:.0f}) |", flush=True)
    print(f"\nPyTorch {results[-1]['version']}; gradamp on {results[-1]['backend']}")
    return results


# ---- On cuda ----


class TorchStep:
    """A network's training step in PyTorch, in one of MODES."""

    def __init__(self, network: str, saved: str, precision: str, device: str):
        import torch
        from safetensors.torch import load_file

        from networks import build

        self.torch, self.device, self.bf16 = torch, device, precision == "bf16"
        torch.backends.cudnn.benchmark = True
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = precision != "f32"
        tensors = load_file(saved)
        images = tensors.pop("batch.images").permute(0, 3, 1, 2)
        self.labels = tensors.pop("batch.labels").long().to(device)
        self.images = images.to(device, torch.bfloat16 if self.bf16 else torch.float32).contiguous(
            memory_format=torch.channels_last)
        self.model = build(network, 10)
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
        facts = {"version": self.torch.__version__, "gpu": "none", "memory_mib": 0.0}
        if self.device == "cuda":
            facts["gpu"] = self.torch.cuda.get_device_name()
            facts["cudnn"] = self.torch.backends.cudnn.version()
            facts["memory_mib"] = self.torch.cuda.max_memory_reserved() / 2**20
        return facts


def torch_mode_worker(pipe, network: str, saved: str, precision: str, device: str, mode: str) -> None:
    """Serves one network in one mode. Each mode has a process, so that a failure does not affect the others."""
    try:
        start = time.perf_counter()
        step = TorchStep(network, saved, precision, device)
        loss = step.first_loss()
        step.prepare(mode)
        pipe.send(("ready", {"loss": loss, "prepare_seconds": time.perf_counter() - start, **step.facts()}))
        while (request := pipe.recv()) is not None:
            pipe.send(("seconds", step.seconds(**request)))
    except Exception as error:  # any exception of PyTorch: the parent reports it
        traceback.print_exc()
        lines = str(error).strip().splitlines() or [""]
        pipe.send(("error", f"{type(error).__name__}: {lines[0][:160]}"))


class Mode:
    """A worker and its answers."""

    def __init__(self, args, network: str, saved: str, name: str):
        context = multiprocessing.get_context("spawn")
        self.name, self.note, self.facts, self.seconds = name, "", {}, []
        self.pipe, there = context.Pipe()
        device = "cuda" if args.device == "cuda" else "cpu"
        self.process = context.Process(target=torch_mode_worker,
                                       args=(there, network, saved, args.precision, device, name))
        self.process.start()
        there.close()
        self.facts = self.answer(args.compile_limit) or {}

    def answer(self, limit: float):
        """The worker's next message. None, and a note, if it fails or takes longer than `limit` seconds."""
        try:
            if not self.pipe.poll(limit):
                self.note = f"not ready within {limit:.0f} s"
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
        """Seconds per step in this round, or 0."""
        try:
            self.pipe.send({"steps": args.steps, "block": args.block, "warmup": args.warmup})
        except OSError:
            self.note = "its process ended"
            return 0.0
        seconds = self.answer(args.compile_limit)
        if not seconds:
            return 0.0
        self.seconds.append(statistics.median(seconds))
        return self.seconds[-1]

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


def compare_cuda(args, network: str) -> dict:
    with tempfile.TemporaryDirectory() as folder:
        saved = str(pathlib.Path(folder) / "start.safetensors")
        ours = gradamp_steps(args, network, "--save", saved)
        modes = []
        for name in args.modes:
            modes.append(Mode(args, network, saved, name))
            print(f"{network}: {name}: {modes[-1].note or 'ready'}", file=sys.stderr, flush=True)
    try:
        for mode in modes:
            if mode.facts:
                check_losses(network, args.precision, ours["first_loss"], mode.facts["loss"])
        plain, analyzed, ratios = [], [], []
        for _ in range(args.rounds):
            a = gradamp_steps(args, network, "--compare")
            plain.append(statistics.median(a["seconds_per_step"]))
            analyzed.append(statistics.median(a["analyzed_seconds_per_step"]) / plain[-1])
            theirs = [seconds for mode in modes if not mode.note and (seconds := mode.time(args)) > 0]
            if theirs:
                ratios.append(min(theirs) / plain[-1])
    finally:
        for mode in modes:
            mode.end()
    if not ratios:
        sys.exit(f"{network}: none of PyTorch's modes worked: " + "; ".join(f"{m.name}: {m.note}" for m in modes))
    seconds = statistics.median(plain)
    results = [mode.result(args.batch_size) for mode in modes]
    best = max((r for r in results if "images_per_second" in r), key=lambda r: r["images_per_second"])
    return {"network": network, "precision": args.precision, "batch_size": args.batch_size, "backend": a["backend"],
            "gradamp": args.batch_size / seconds, "gradamp_seconds_per_step": plain,
            "epoch_seconds": seconds * -(-EPOCH_IMAGES // args.batch_size), "analyzed": statistics.median(analyzed),
            "pytorch": best["images_per_second"], "pytorch_mode": best["mode"], "version": best["version"],
            "ratio": statistics.median(ratios), "range": (min(ratios), max(ratios)), "modes": results,
            "memory_mib": a["device_memory_mib"]}


def main_cuda(args) -> list:
    steps = -(-EPOCH_IMAGES // args.batch_size)
    print(f"batch {args.batch_size}, {args.precision}; {args.rounds} rounds in turn, medians; epochs of {steps} steps\n")
    print("| network | gradamp, images/s | an epoch, s | PyTorch's fastest, images/s | its mode | ratio (lowest to "
          "highest round) | analyzed / plain step |")
    print("|---|---|---|---|---|---|---|")
    results = []
    for network in args.networks:
        r = compare_cuda(args, network)
        results.append(r)
        print(f"| {network} | {r['gradamp']:.0f} | {r['epoch_seconds']:.3f} | {r['pytorch']:.0f} | {r['pytorch_mode']} "
              f"| {r['ratio']:.2f} ({r['range'][0]:.2f} to {r['range'][1]:.2f}) | {r['analyzed']:.3f} |", flush=True)
        for mode in r["modes"]:
            text = mode["note"] or f"{mode['images_per_second']:.0f} images/s, ready in {mode['prepare_seconds']:.0f} s"
            print(f"{network}: {mode['mode']}: {text}", file=sys.stderr, flush=True)
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
    parser.add_argument("--precision", choices=("f32", "tf32", "bf16"), help="default: f32 on the CPU, else bf16")
    parser.add_argument("--networks", nargs="+", help="default: resnet20 resnet18, on cuda resnet18")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, help="timed, in a round; default: 5, on cuda 100")
    parser.add_argument("--block", type=int, help="steps that are waited for once; default: 1, on cuda 50")
    parser.add_argument("--warmup", type=int, help="steps before; default: 2, on cuda 50")
    parser.add_argument("--epoch-steps", type=int, help="before gradamp's images come again; default: 8, on cuda 391")
    parser.add_argument("--threads", type=int, default=multiprocessing.cpu_count())
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--modes", nargs="+", choices=MODES, default=list(MODES), help="of PyTorch on cuda")
    parser.add_argument("--compile-limit", type=float, default=150, help="seconds for a mode to get ready")
    parser.add_argument("--json", help="write the results to this file too")
    args = parser.parse_args(words)
    on_cpu = args.device == "cpu"
    args.precision = args.precision or ("f32" if on_cpu else "bf16")
    args.networks = args.networks or (["resnet20", "resnet18"] if on_cpu else ["resnet18"])
    for name, cpu, gpu in (("steps", 5, 100), ("block", 1, 50), ("warmup", 2, 50), ("epoch_steps", 8, 391)):
        if getattr(args, name) is None:
            setattr(args, name, cpu if on_cpu else gpu)
    return args


def main() -> None:
    args = parse_arguments()
    results = main_cpu(args) if args.device == "cpu" else main_cuda(args)
    if args.json:
        pathlib.Path(args.json).write_text(json.dumps({"device": args.device, "comparisons": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()

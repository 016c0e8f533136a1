#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Compares one accumulation of gradient statistics with what can be written in PyTorch, on the CPU.

    bench/compare_statistics.py [--library build/kernels/statistics/libgradamp_statistics.so] [--threads 2]
                                [--models resnet18 resnet50 gpt2] [--rounds 7] [--quick]

All accumulate the sums of g and |g| of every parameter. Before they are timed, the sums of each are compared with those
in float64. They are timed in turn (A B C A B C ...), each round by the fastest of a few calls, and the result is the
median over the rounds:
    gradamp    gradamp.torch.GradientStatistics, with all that Python does, which also counts what is not finite and
               gathers norms, zeros and maxima
    foreach    torch._foreach_add_ and torch._foreach_abs
    loop       add_ for each parameter
    compiled   the loop under torch.compile; left out if it fails
    copy       a copy_ that moves as many bytes as an accumulation: it reads g and reads and writes both sums
The last column is gradamp's share of a training step of PyTorch (f32, 128 images of CIFAR's size, SGD), the faster of
two. gpt2 has the parameters of GPT-2 with 124 million of them, and no step. Needs torch and numpy.
"""
import argparse
import os
import pathlib
import statistics
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tools" / "python"), str(ROOT / "tests" / "oracle")]


def gpt2(torch, width=768, blocks=12):
    """The modules of GPT-2 that have parameters; the output shares the embedding's weight."""
    nn = torch.nn

    def block():
        return nn.ModuleList([nn.LayerNorm(width), nn.Linear(width, 3 * width), nn.Linear(width, width),
                              nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.Linear(4 * width, width)])

    return nn.ModuleList([nn.Embedding(50257, width), nn.Embedding(1024, width), *(block() for _ in range(blocks)),
                          nn.LayerNorm(width)])


def make_model(torch, name, quick):
    if name == "gpt2":
        return gpt2(torch, 64, 1) if quick else gpt2(torch)
    import networks
    return networks.build(name, 10)


def contenders(torch, model, quick):
    """{name: (function that accumulates once, function that returns the sums of |S| and of A)}."""
    import gradamp.torch
    parameters = list(model.parameters())
    gradients = [parameter.grad for parameter in parameters]
    ours = gradamp.torch.GradientStatistics(model, threads=torch.get_num_threads())

    def sums_of_ours():
        absolute = sum(row.l1 for row in ours.measure()) * ours.iterations
        return sum(row.g * row.l1 * ours.iterations for row in ours.measure()), absolute

    result = {"gradamp": (ours.accumulate, sums_of_ours)}

    def add(name, function):
        signed = [torch.zeros_like(gradient) for gradient in gradients]
        absolute = [torch.zeros_like(gradient) for gradient in gradients]
        result[name] = (lambda: function(signed, absolute),
                        lambda: (sum(s.double().abs().sum().item() for s in signed),
                                 sum(a.double().sum().item() for a in absolute)))

    def foreach(signed, absolute):
        torch._foreach_add_(signed, gradients)
        torch._foreach_add_(absolute, torch._foreach_abs(gradients))

    def loop(signed, absolute):
        for s, a, g in zip(signed, absolute, gradients):
            s.add_(g)
            a.add_(g.abs())

    add("foreach", foreach)
    add("loop", loop)
    if not quick:
        add("compiled", torch.compile(loop))
    return result


def training_step(torch, model, images):
    """The milliseconds of a step."""
    optimizer = torch.optim.SGD(model.parameters(), 0.01, momentum=0.9)
    inputs, labels = torch.randn(images, 3, 32, 32), torch.randint(10, (images,))
    begin = time.perf_counter()
    torch.nn.functional.cross_entropy(model(inputs), labels).backward()
    optimizer.step()
    return 1e3 * (time.perf_counter() - begin)


def compare(torch, name, args):
    torch.manual_seed(1)
    model = make_model(torch, name, args.quick)
    step = None if name == "gpt2" else min(training_step(torch, model, 4 if args.quick else 128) for _ in range(2))
    for parameter in model.parameters():
        parameter.grad = torch.randn_like(parameter)
    count = sum(parameter.numel() for parameter in model.parameters())
    # Twice the same gradient: |S| and A are both twice the sum of |g|.
    expected = 2 * sum(parameter.grad.double().abs().sum().item() for parameter in model.parameters())
    running, left_out = {}, {}
    for contender, (accumulate, sums) in contenders(torch, model, args.quick).items():
        try:
            accumulate()
            accumulate()
        except Exception as error:  # what torch.compile raises depends on its backend
            left_out[contender] = str(error).strip().splitlines()[0][:100]
            continue
        for got in sums():
            if abs(got - expected) > 1e-6 * expected:
                raise SystemExit(f"{contender} on {name}: expected sums of {expected}, got {got}")
        running[contender] = accumulate
    source, target = torch.ones(10 * count // 4), torch.zeros(10 * count // 4)  # 4 bytes are read, 4 are written
    running["copy"] = lambda: target.copy_(source)

    times = {contender: [] for contender in running}
    for _ in range(args.rounds):
        for contender, accumulate in running.items():
            calls = []
            for _ in range(args.calls):
                begin = time.perf_counter()
                accumulate()
                calls.append(time.perf_counter() - begin)
            times[contender].append(min(calls))
    median = {contender: 1e3 * statistics.median(rounds) for contender, rounds in times.items()}
    cells = [f"{median[contender]:.2f} ({median[contender] / median['gradamp']:.2f})" if contender in median else "-"
             for contender in ("foreach", "loop", "compiled", "copy")]
    cells.append(f"{100 * median['gradamp'] / step:.2f}%" if step else "-")
    print(f"| {name} | {count / 1e6:.1f} | {median['gradamp']:.2f} | " + " | ".join(cells) + " |", flush=True)
    for contender, reason in left_out.items():
        print(f"{contender} is left out: {reason}", file=sys.stderr)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--library", type=pathlib.Path,
                        default=ROOT / "build" / "kernels" / "statistics" / "libgradamp_statistics.so")
    parser.add_argument("--models", nargs="+", default=["resnet18", "resnet50", "gpt2"])
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--calls", type=int, default=10, help="per round, of which the fastest counts")
    parser.add_argument("--quick", action="store_true",
                        help="once, on small models and without compiling, to see that it works")
    args = parser.parse_args()
    if not args.library.is_file():
        parser.error(f"--library: there is no {args.library}; build the target gradamp_statistics")
    os.environ["GRADAMP_STATISTICS_LIBRARY"] = str(args.library.resolve())
    if args.quick:
        args.models, args.rounds, args.calls = ["resnet8", "gpt2"], 1, 1
    import torch
    torch.set_num_threads(args.threads)
    print(f"PyTorch {torch.__version__}, {args.threads} threads; ms, and in brackets times as long as gradamp\n")
    print("| model | million gradients | gradamp | foreach | loop | compiled | copy | of a step |\n"
          "|---|---|---|---|---|---|---|---|")
    for name in args.models:
        compare(torch, name, args)


if __name__ == "__main__":
    main()

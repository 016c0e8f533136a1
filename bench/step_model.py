#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Estimates the time of a training step in bf16 on GPUs that are not there, from the machine code of a build.

Usage: step_model.py BUILD [--network NAME] [--gpu NAME]... [--layers]

It is for comparing two versions of the kernels: its assumptions (GPUS, and the numbers in the functions below) are
frozen. If one is changed, compute both sides of a comparison again. bench/results/README.md has its error where a GPU
was measured.

Convolutions: the main loop of a kernel is replayed with the control codes of its own instructions (stall counts and
scoreboards), for as many blocks as a multiprocessor holds. All else: the bytes that an operation must move, at 85% of
the memory's rate, and at least 2 us. Each launch adds the gap between two kernels of a CUDA graph.

BUILD: a build folder with CUDA and with the tests, whose program `step_bytes` lists the operations of a step.
"""
import argparse
import collections
import dataclasses
import functools
import math
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT / "tests" / "kernels" / "cuda"))
import budgets  # noqa: E402  (how to read a build's machine code)


@dataclasses.dataclass(frozen=True)
class Gpu:
    """`hmma`: cycles of one mma m16n8k16 (bf16, f32 sums) in a quarter of a multiprocessor. `l2_rate`: bytes per cycle
    and multiprocessor from the second-level cache. `dram`: bytes per second that a copy reaches. `gap`: seconds between
    kernels of a graph."""
    architecture: str
    multiprocessors: int
    clock: float  # Hz
    hmma: float
    l2_rate: float
    dram: float
    shared_kib: int  # per multiprocessor
    gap: float


# A100: 312 TFLOP/s. H100, H200: mma.sync reaches about 62% of wgmma's rate (arXiv:2402.13499). RTX 4090: 165 TFLOP/s
# with f32 sums (NVIDIA, Ada GPU architecture, 2022). Rates of the second-level caches: as published microbenchmarks
# found them; the least certain of these numbers.
GPUS = {
    "A100": Gpu("sm_80", 108, 1.41e9, 8.0, 35.5, 1.61e12, 164, 1.5e-6),
    "H100": Gpu("sm_90", 132, 1.755e9, 6.4, 38.8, 3.0e12, 228, 1.2e-6),
    "H200": Gpu("sm_90", 132, 1.755e9, 6.4, 38.8, 4.1e12, 228, 1.2e-6),
    "RTX4090": Gpu("sm_80", 128, 2.52e9, 32.0, 16.4, 0.94e12, 100, 1.5e-6),
}
BATCH = 128


# ---- Machine code with its control codes ----

@dataclasses.dataclass(frozen=True)
class Instruction:
    address: int
    text: str
    stall: int           # cycles before the warp's next instruction
    write_barrier: int   # scoreboard that its result releases; 7: none
    read_barrier: int    # scoreboard that the end of its reads releases; 7: none
    wait_mask: int       # scoreboards that it waits for

    @functools.cached_property
    def kind(self):
        name = budgets.operation(self.text)
        if name in ("HMMA", "LDSM", "LDGSTS", "BAR"):
            return name
        if name in ("DEPBAR", "LDGDEPBAR"):
            return name
        if name in ("IMAD", "FFMA", "FMUL", "FADD"):
            return "FMA"
        if name in ("BRA", "BSSY", "BSYNC", "NOP", "CALL", "WARPSYNC", "EXIT"):
            return "BRANCH"
        if name in ("R2UR", "S2UR") or (name.startswith("U") and name != "ULDC"):
            return "UNIFORM"
        if name in ("LDS", "LDC", "ULDC", "LDG", "STS"):
            return "MEMORY"
        return "ALU"


FUNCTION = re.compile(r"^\s*Function : (\S+)")
FIRST_HALF = re.compile(r"^\s+/\*([0-9a-f]{4,})\*/\s+(.*?)\s*;\s+/\* (0x[0-9a-f]+) \*/")
SECOND_HALF = re.compile(r"^\s+/\* (0x[0-9a-f]+) \*/")


def read_instructions(text):
    """{function: [Instruction]} from the output of `cuobjdump -sass`. The second half of an encoding has the control
    codes."""
    functions, current, pending = {}, None, None
    for line in text.splitlines():
        if match := FUNCTION.match(line):
            current = functions.setdefault(match[1], [])
        elif current is not None and (match := FIRST_HALF.match(line)):
            pending = int(match[1], 16), match[2]
        elif pending and (match := SECOND_HALF.match(line)):
            code = int(match[1], 16)
            current.append(Instruction(*pending, code >> 41 & 15, code >> 46 & 7, code >> 49 & 7, code >> 52 & 63))
            pending = None
    return functions


def main_loop(instructions):
    pairs = [(instruction.address, instruction.text) for instruction in instructions]
    loop = budgets.main_loop(pairs)
    begin = next(i for i, instruction in enumerate(instructions) if instruction.address == loop[0][0])
    return instructions[begin:begin + len(loop)]


def simulate(loop, blocks, hmma, copy_cycles, iterations=30):
    """Cycles that an iteration of `loop` takes for all of `blocks` blocks of four warps on a multiprocessor.

    Simulates a quarter of it, with one warp of every block. An instruction is issued when its warp may (stall counts,
    scoreboards) and its pipe is free. The pipe of shared memory belongs to all four quarters, so an instruction takes
    it four times as long. `copy_cycles`: of the multiprocessor, for 512 bytes from the second-level cache.
    """
    position, iteration = [0] * blocks, [0] * blocks
    ready = [3.0 * warp for warp in range(blocks)]
    scoreboards = [[0.0] * 6 for _ in range(blocks)]
    groups = [collections.deque() for _ in range(blocks)]  # when the groups of copies arrive
    newest_copy = [0.0] * blocks
    pipes = collections.Counter()  # pipe: the cycle in which it is free
    time, turn, finished = 0.0, 0, 0

    def earliest(warp):
        x = loop[position[warp]]
        at = max([ready[warp]] + [scoreboards[warp][b] for b in range(6) if x.wait_mask >> b & 1])
        if x.kind in ("HMMA", "ALU", "FMA", "UNIFORM"):
            return max(at, pipes[x.kind])
        if x.kind in ("LDSM", "LDGSTS", "MEMORY"):
            return max(at, pipes["shared"] - 16)  # a queue of a few instructions
        if x.kind == "DEPBAR" and len(groups[warp]) >= 3:
            return max(at, groups[warp][-3])
        return at

    while finished < blocks:
        order = [(turn + k) % blocks for k in range(blocks)]
        warp = min((w for w in order if iteration[w] < iterations), key=earliest)  # the first of those that are
        at = earliest(warp)
        time = max(time, at)
        x = loop[position[warp]]
        if x.kind == "HMMA":
            pipes["HMMA"] = max(pipes["HMMA"], time) + hmma
            done = time + 33
        elif x.kind in ("ALU", "FMA", "UNIFORM"):
            pipes[x.kind] = time + 2
            done = time + (12 if x.kind == "UNIFORM" else 5)
        elif x.kind in ("LDSM", "LDGSTS"):
            begin = max(pipes["shared"], time)
            pipes["shared"] = begin + 16
            done = begin + (33 if x.kind == "LDSM" else 20)
            if x.kind == "LDGSTS":
                pipes["l2"] = max(pipes["l2"], begin) + 4 * copy_cycles
                newest_copy[warp] = max(newest_copy[warp], pipes["l2"] + 600)
        else:
            done = time + (30 if x.kind == "MEMORY" else 10)
        if x.kind == "LDGDEPBAR":
            groups[warp].append(newest_copy[warp])
        if x.write_barrier != 7:
            scoreboards[warp][x.write_barrier] = max(scoreboards[warp][x.write_barrier], done)
        if x.read_barrier != 7:
            scoreboards[warp][x.read_barrier] = max(scoreboards[warp][x.read_barrier], min(done, time + 20))
        ready[warp] = time + max(20 if x.kind == "BAR" else 1, x.stall)
        position[warp] = (position[warp] + 1) % len(loop)
        if position[warp] == 0:
            iteration[warp] += 1
            finished += iteration[warp] == iterations
        time += 1
        turn = (warp + 1) % blocks
    return time / iterations


# ---- Launches ----

@dataclasses.dataclass(frozen=True)
class Launch:
    """`kernel`: as budgets.py calls it. `grid`: blocks. `steps`: of the main loop, on average; None: not a tiled
    convolution. `bytes`: that it must move."""
    kernel: str
    grid: tuple
    bytes: int
    steps: float = None


@dataclasses.dataclass(frozen=True)
class Operation:
    name: str
    bytes: int
    shapes: list

    def elements(self, index):
        return math.prod(self.shapes[index]) if self.shapes[index] else 0


def read_operations(lines):
    """The operations that `step_bytes NETWORK` prints."""
    return [Operation(name, int(moved), [tuple(map(int, shape.split("x"))) if shape != "-" else None
                                         for shape in shapes])
            for name, moved, *shapes in map(str.split, lines)]


def divide_up(count, size):
    return -(-count // size)


def tile_width(rows, columns):
    """with_tile_width in convolution_tile.h."""
    for width in (128, 64):
        if columns > width // 2 and divide_up(rows, 128) * divide_up(columns, width) >= 112:
            return width
    return 32


def by_vectors(channels):
    return channels % 8 == 0


def forward_launches(x, weight, y, moved):
    out, r, s, channels = weight
    pixels, vectors = math.prod(y[:3]), by_vectors(channels) and by_vectors(out)
    width = tile_width(pixels, out) if vectors else 64
    return [Launch(f"convolution forward bf16 128x{width}" + ("" if vectors else " by elements"),
                   (divide_up(out, width) * divide_up(pixels, 128), 1, 1), moved, divide_up(r * s * channels, 32))]


def input_launches(grad_y, weight, grad_x, moved):
    out, r, s, channels = weight
    vectors, stride = by_vectors(channels) and by_vectors(out), grad_x[1] // grad_y[1]
    width = tile_width(math.prod(grad_x[:3]), channels) if vectors else 64
    whole = vectors and out % 32 == 0
    name = f"convolution backward input bf16 128x{width}" + ("" if vectors else " by elements")
    pixels = grad_x[0] * divide_up(grad_x[1], stride) * divide_up(grad_x[2], stride)
    tiles = divide_up(pixels, 128) * divide_up(channels, width)
    # The residues share the taps; a block without taps stores zeros.
    return [Launch(name + ("" if whole else " partial stages"), (tiles, stride * stride, 1), moved,
                   r * s * divide_up(out, 32) / (stride * stride))]


def filter_launches(x, grad_y, weight, moved):
    out, r, s, channels = weight
    vectors = by_vectors(channels) and by_vectors(out)
    rows, columns, pixels = (128 if vectors and out > 64 else 64), r * s * channels, math.prod(grad_y[:3])
    tiles, units = divide_up(out, rows) * divide_up(columns, 128), divide_up(pixels, 32)
    units_of_part = divide_up(units, min(max(264 // tiles, 1), max(1, units // 8)))
    parts = divide_up(units, units_of_part)
    suffix = "" if vectors else " x by elements" if by_vectors(out) else " grad_y x by elements"
    launches = [Launch(f"convolution backward filter bf16 {rows}x128{suffix}",
                       (divide_up(columns, 128), divide_up(out, rows), parts), moved, units_of_part)]
    if parts > 1:
        split, count = parts >= 16, out * columns
        elements = (4 if count % 4 == 0 else 1) * 256 // (8 if split else 1)
        launches.append(Launch("convolution sum of parts" + (" split" if split else ""),
                               (divide_up(count, elements), 1, 1), (parts + 1) * count * 4))
    return launches


def batch_norm_backward_launches(operation):
    """A reduction, unless a convolution has computed its sums, and an apply; with a residual, the first stores its
    gradient, which the second reads."""
    element = 2
    size = operation.elements(1) * element
    masked, residual, summed = (bool(operation.shapes[i]) for i in (6, 10, 11))
    if summed:
        return [Launch("batch norm backward apply", (), 3 * size)]
    first = (2 + masked + residual) * size
    second = (3 + (masked and not residual)) * size
    return [Launch("batch norm backward reduce", (), first), Launch("batch norm backward apply", (), second)]


def launches_of(operation):
    shapes, moved = operation.shapes, operation.bytes
    if operation.name == "conv2d_forward":
        return forward_launches(shapes[0], shapes[1], shapes[3], moved)
    if operation.name in ("conv2d_backward_input", "conv2d_add_backward_input"):
        return input_launches(shapes[0], shapes[1], shapes[2], moved)
    if operation.name == "conv2d_backward_filter":
        return filter_launches(shapes[0], shapes[1], shapes[2], moved)
    if operation.name == "batch_norm_backward":
        return batch_norm_backward_launches(operation)
    if operation.name == "sgd_step":  # the gradients are read by a first kernel, which looks for bad ones
        gradients = operation.elements(0) * 4
        return [Launch("optimizer find bad gradient", (), gradients), Launch("optimizer sgd", (), moved)]
    return [Launch(operation.name, (), moved)]


# ---- Times ----

@functools.lru_cache(None)
def convolutions_of(build_folder, architecture):
    """{kernel: (its main loop, its numbers in budgets.json)} of the tiled convolutions in bf16."""
    build = budgets.Build(build_folder)
    if architecture not in build.architectures:
        raise budgets.Unavailable(f"{build_folder} has no code for {architecture}: configure it with "
                                  f"-DCMAKE_CUDA_ARCHITECTURES={architecture[3:]}, or choose another --gpu")
    _, all_numbers, _ = budgets.read_budgets()  # which the build has, or the test cuda_budgets fails
    numbers = all_numbers[architecture]
    kernels = {}
    for file, rows in build.reports.items():
        if not any(" bf16 " in (budgets.readable_name(name)[1] or "")
                   for name in budgets.demangle(row.name for row in rows).values()):
            continue
        functions = read_instructions(build.dump("-sass", architecture, file.with_suffix("")))
        for mangled, demangled in budgets.demangle(functions).items():
            name = budgets.readable_name(demangled)[1] or ""
            if name.startswith("convolution ") and " bf16 " in name:
                kernels[name] = main_loop(functions[mangled]), numbers[name]
    return kernels


class Model:
    def __init__(self, build_folder, gpu):
        self.gpu = gpu
        self.kernels = convolutions_of(build_folder, gpu.architecture)

    @functools.lru_cache(None)
    def cycles_of_step(self, kernel, blocks):
        return simulate(self.kernels[kernel][0], blocks, self.gpu.hmma, 512 / self.gpu.l2_rate)

    def seconds_of_convolution(self, launch):
        """A block alone: 800 cycles until its first product, and 1.6 per instruction outside the loop. Resident blocks
        hide each other's waiting there, not their instructions."""
        loop, numbers = self.kernels[launch.kernel]
        outside = numbers["instructions"] - len(loop)
        shared = numbers["static_shared"] + numbers["dynamic_shared"] + 1024
        resident = max(1, min(numbers["resident_blocks"], (self.gpu.shared_kib << 10) // shared))

        def cycles(blocks):
            alone = 800 + 1.6 * outside + launch.steps * self.cycles_of_step(launch.kernel, 1)
            if blocks == 1:
                return alone
            return max(alone, 1.1 * blocks * outside + launch.steps * self.cycles_of_step(launch.kernel, blocks))

        per_multiprocessor = math.prod(launch.grid) / self.gpu.multiprocessors
        full = math.ceil(per_multiprocessor)
        total = cycles(full) if full <= resident else cycles(resident) * max(per_multiprocessor, resident) / resident
        return max(total / self.gpu.clock, launch.bytes / self.gpu.dram)

    def seconds(self, launch):
        """Without the gap behind it. The parts of a filter gradient are read from the second-level cache."""
        if launch.steps is not None:
            return self.seconds_of_convolution(launch)
        rate = 5e12 if "sum of parts" in launch.kernel else 0.85 * self.gpu.dram
        return max(2e-6, launch.bytes / rate)


def kind_of(kernel):
    """convolution forward, batch norm backward reduce, ...: without type and tile."""
    return re.sub(r" (bf16|split|by|partial).*", "", kernel)


def print_step(model, name, operations, layers):
    totals, counts = collections.Counter(), collections.Counter()
    for operation in operations:
        for launch in launches_of(operation):
            seconds = model.seconds(launch) + model.gpu.gap
            totals[kind_of(launch.kernel)] += seconds
            counts[kind_of(launch.kernel)] += 1
            if layers and launch.steps is not None:
                print(f"{seconds * 1e6:7.1f} us  {launch.kernel:50} grid {','.join(map(str, launch.grid))}")
    step = sum(totals.values())
    print(f"{name}: {sum(counts.values())} launches, {step * 1e3:.3f} ms a step of {BATCH} images, "
          f"{BATCH / step:,.0f} images/s (an estimate)")
    for kind, seconds in totals.most_common():
        print(f"{seconds * 1e6:9.0f} us  {counts[kind]:4} x  {kind}")


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("--network", default="resnet18")
    parser.add_argument("--gpu", action="append", choices=GPUS)
    parser.add_argument("--layers", action="store_true", help="also every convolution")
    arguments = parser.parse_args()
    try:
        lines = budgets.run_program(arguments.build / budgets.STEPS, arguments.network)
        models = {name: Model(arguments.build, GPUS[name]) for name in arguments.gpu or GPUS}
        for name, model in models.items():
            print_step(model, name, read_operations(lines), arguments.layers)
    except (budgets.Unavailable, RuntimeError) as error:
        print(f"step_model.py: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

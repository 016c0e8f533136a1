#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The costs of the hot kernels: instructions of the main loop, registers, shared memory, blocks per multiprocessor. And
the costs of a training step: operations, and bytes that they must move.

Usage: budgets.py update BUILD    writes budgets.json from the CUDA objects of the build folder BUILD
       budgets.py table BUILD     prints the convolution kernels as a table

The numbers come from the compiler's report (registers, spills, static shared memory), from the machine code
(cuobjdump: the loops, the launch bounds), from the program `kernel_facts` (dynamic shared memory, and the blocks that
NVIDIA's occupancy calculator finds) and from the program `step_bytes`. budgets_test.py compares a build with
budgets.json.
"""
import collections
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

from resources_test import read_report

BUDGETS = pathlib.Path(__file__).with_name("budgets.json")
OBJECTS = "kernels/cuda/CMakeFiles/gradamp_cuda.dir"  # below a build folder
HOPPER_OBJECTS = "kernels/cuda/CMakeFiles/gradamp_hopper.dir"
FACTS = "tests/kernel_facts"                          # below a build folder
STEPS = "tests/step_bytes"                            # below a build folder
ARCHITECTURES = ("sm_80", "sm_90", "sm_90a")


class Unavailable(Exception):
    """Something that is not part of the project is missing: a tool, or a build with CUDA."""


# ---- Names: from C++ to readable ones that survive a renaming in C++ ----

def one_of(*words):
    """For a template argument that is a number or false/true: its word. None: such a kernel is not hot."""
    def word(text):
        number = {"false": 0, "true": 1}.get(text)
        return words[int(re.search(r"\d+$", text)[0]) if number is None else number]
    return word


def tile(text):
    rows, columns = re.match(r"\w+<(\d+), (\d+),", text).groups()
    return f"{rows}x{columns}"


def number_in(text):
    """For a template argument that is a number, with or without its type: "(int)64"."""
    return re.search(r"\d+$", text)[0]


def vector(text):
    return None if text == "1" else ""  # only odd channel counts need kernels that copy single elements


PRECISION = one_of("f32", "tf32", "bf16")
TYPE = {"float": "f32", "__nv_bfloat16": "bf16"}.get
# Of the gather, only the kernel for bytes of three channels is hot.
CHANNELS = {"3": ""}.get
PIXEL = {"unsigned char": ""}.get
COPY = one_of("", "by elements")
SPLITS = {"1": "", "8": "split"}.get
MASK = one_of("", "mask from x", "mask from y")

# Kernel: its readable name, then the meaning of its template arguments.
KERNELS = {
    "forward_kernel": ("convolution forward", PRECISION, tile, COPY),
    "backward_input_kernel": ("convolution backward input", PRECISION, tile, COPY, one_of("partial stages", "")),
    "backward_filter_kernel": ("convolution backward filter", PRECISION, tile, one_of("", "grad_y"),
                               one_of("", "x by elements")),
    "hopper_forward_kernel": ("convolution forward hopper", lambda columns: f"128x{number_in(columns)}"),
    "hopper_backward_input_kernel": ("convolution backward input hopper", lambda columns: f"128x{number_in(columns)}"),
    "hopper_backward_filter_kernel": ("convolution backward filter hopper", lambda rows: f"{number_in(rows)}x128"),
    "sum_parts_kernel": ("convolution sum of parts", vector, SPLITS),
    "moments_kernel": ("batch norm moments", TYPE),
    "apply_kernel": ("batch norm apply", vector, TYPE, one_of(None, ""), one_of("", "relu"), one_of("", "residual")),
    "backward_reduce_kernel": ("batch norm backward reduce", vector, TYPE, MASK),
    "backward_apply_kernel": ("batch norm backward apply", vector, TYPE, MASK),
    "find_bad_gradient_kernel": ("optimizer find bad gradient",),
    "sgd_kernel": ("optimizer sgd", one_of("", "statistics"), one_of("", "nesterov"), one_of("", "bf16 copy")),
    "sgd_some_decay_kernel": ("optimizer sgd some decay", one_of("", "statistics"), one_of("", "bf16 copy")),
    "adamw_kernel": ("optimizer adamw", one_of("", "statistics"), one_of("", "bf16 copy")),
    "sum_squares_kernel": ("optimizer sum of squares",),
    "accumulate_kernel": ("optimizer accumulate sums",),
    "neuron_gradients_kernel": ("optimizer neuron gradients",),
    "layer_sums_kernel": ("selection layer sums",),
    "gather_kernel": ("gather", vector, CHANNELS, PIXEL, TYPE),
    "gather_cutout_kernel": ("gather cutout", vector, CHANNELS, PIXEL, TYPE),
    "max_pool_kernel": ("max pool", vector, TYPE),
    "max_pool_backward_kernel": ("max pool backward", vector, TYPE),
}
# Kernels whose work is not in a loop: for these the whole kernel counts as the main loop.
WITHOUT_LOOP = {"find_bad_gradient_kernel", "sgd_kernel", "sgd_some_decay_kernel", "adamw_kernel", "accumulate_kernel",
                "moments_kernel"}
# Kernels with dynamic shared memory. `kernel_facts` names it by the words of the name up to the tile.
WITH_DYNAMIC_SHARED = {"forward_kernel", "backward_input_kernel", "backward_filter_kernel", "hopper_forward_kernel",
                       "hopper_backward_input_kernel", "hopper_backward_filter_kernel"}


def split_arguments(text):
    """The template arguments of `text`, which begins after their '<'."""
    arguments, depth, begin = [], 0, 0
    for i, letter in enumerate(text):
        if depth == 0 and letter in ",>":
            arguments.append(text[begin:i].strip())
            begin = i + 1
            if letter == ">":
                return arguments
        depth += (letter in "<(") - (letter in ">)")
    raise RuntimeError(f"{text}: template arguments without an end")


def readable_name(demangled):
    """(kernel, readable name) of a demangled kernel; the name is None if the kernel is not hot."""
    text = re.sub(r"\(anonymous namespace\)::|\b(?:gradamp|cuda)::", "", demangled).removeprefix("void ")
    kernel = re.match(r"\w+", text)[0]
    if kernel not in KERNELS:
        return kernel, None
    name, *words = KERNELS[kernel]
    rest = text[len(kernel):]
    arguments = split_arguments(rest[1:]) if rest.startswith("<") else []
    if len(arguments) != len(words):
        raise RuntimeError(f"{demangled}: budgets.py expects {len(words)} template arguments. Update KERNELS there.")
    parts = [word(argument) for word, argument in zip(words, arguments)]
    return kernel, None if None in parts else " ".join([name] + [part for part in parts if part])


def demangle(names):
    names = list(names)
    text = subprocess.run(["c++filt"], input="\n".join(names), capture_output=True, text=True, check=True).stdout
    return dict(zip(names, text.splitlines()))


# ---- Machine code ----

FUNCTION = re.compile(r"^\s*Function : (\S+)")
INSTRUCTION = re.compile(r"^\s+/\*([0-9a-f]{4,})\*/\s+(.*?)\s*;")
BRANCH = re.compile(r"\bBRA\b.*\b0x([0-9a-f]+)$")
PREDICATE = re.compile(r"^@!?U?P\w+\s+")


def read_sass(text):
    """{function: [(address, instruction)]} from the output of `cuobjdump -sass`."""
    functions, current = {}, None
    for line in text.splitlines():
        if match := FUNCTION.match(line):
            current = functions.setdefault(match[1], [])
        elif current is not None and (match := INSTRUCTION.match(line)):
            current.append((int(match[1], 16), match[2]))
    return functions


def operation(instruction):
    """The opcode: LDG for "@!P0 LDG.E.128 R4, ..."."""
    return re.split(r"[.\s]", PREDICATE.sub("", instruction), maxsplit=1)[0]


def count(instructions):
    """The number of instructions by kind. `total` includes all others."""
    kinds = collections.Counter(operation(text) for _, text in instructions)
    # "@!PT LDS RZ, [RZ]" loads nothing: ptxas puts three of them before asynchronous copies.
    kinds["LDS"] -= sum(text.endswith("LDS RZ, [RZ]") for _, text in instructions)
    return {"total": len(instructions),
            "matrix": kinds["HMMA"] + kinds["HGMMA"],
            "fma": kinds["FFMA"],
            "shared_loads": kinds["LDSM"] + kinds["LDS"],
            "asynchronous_copies": kinds["LDGSTS"],
            "global_accesses": kinds["LDG"] + kinds["STG"],
            "barriers": kinds["BAR"]}


def without_padding(instructions):
    """Removes the NOPs at the end and the branch to itself before them."""
    end = len(instructions)
    while end and operation(instructions[end - 1][1]) == "NOP":
        end -= 1
    if end and (match := BRANCH.search(instructions[end - 1][1])) and int(match[1], 16) == instructions[end - 1][0]:
        end -= 1
    return instructions[:end]


def has_loads_and_products(instructions):
    """Of Hopper: TMA and wgmma, which are the work of different warps."""
    kinds = {operation(text) for _, text in instructions}
    return {"UTMALDG", "HGMMA"} <= kinds


def main_loop(instructions):
    """The loop that does the work: the one with most matrix instructions, then most multiplications, then most accesses
    to global memory, then fewest instructions. All instructions if there is no loop."""
    index = {address: i for i, (address, _) in enumerate(instructions)}
    loops = []
    for i, (address, text) in enumerate(instructions):
        match = BRANCH.search(text)
        begin = index.get(int(match[1], 16)) if match else None
        # Waits for mbarriers are repeated at the end of the code: seen as loops, they span all that lies between. Only
        # those have both tensor loads and products.
        if begin is not None and begin < i and not has_loads_and_products(instructions[begin:i + 1]):
            loops.append(instructions[begin:i + 1])
    def work(loop):
        counts = count(loop)
        return counts["matrix"], counts["fma"], counts["global_accesses"] + counts["asynchronous_copies"], -len(loop)
    return max(loops, key=work, default=instructions)


BOUNDS = re.compile(r"^\.nv\.info\.(\S+)$|EIATTR_MAX_THREADS\n.*\n\s*Value:\s*(.*?)\s*$", re.MULTILINE)


def read_launch_bounds(text):
    """{function: maximum threads per block} from the output of `cuobjdump -elf`: the attribute EIATTR_MAX_THREADS."""
    bounds, function = {}, None
    for match in BOUNDS.finditer(text):
        if match[1]:
            function = match[1]
        elif function:
            x, y, z = (int(number, 16) for number in match[2].split())
            bounds[function] = x * y * z
    return bounds


# ---- A build ----

def nvidia_tools(compiler):
    """Folders beside PATH that may have cuobjdump: nvcc's, and the Python environment's (nvidia-cuda-cuobjdump)."""
    folders = [pathlib.Path(compiler).resolve().parent] if compiler else []
    for entry in sys.path:
        folders += sorted(pathlib.Path(entry or ".").glob("nvidia/*/bin"))
    return os.pathsep.join([os.environ.get("PATH", "")] + [str(folder) for folder in folders])


def run_program(program, *arguments, text=""):
    """The lines that a program of the build prints."""
    if not program.is_file():
        raise RuntimeError(f"there is no {program}: build the target {program.name}")
    return subprocess.run([program, *arguments], input=text, capture_output=True, text=True,
                          check=True).stdout.splitlines()


class Build:
    """The CUDA objects below a build folder."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        compilers = sorted(self.folder.glob("CMakeFiles/*/CMakeCUDACompiler.cmake"))
        if not compilers or not (self.folder / OBJECTS).is_dir():
            raise Unavailable(f"{folder} has no CUDA objects: it was configured without CUDA, or not built")
        self.reports = {file: list(read_report(file.read_text(encoding="utf-8")))
                        for objects in (OBJECTS, HOPPER_OBJECTS)
                        for file in sorted((self.folder / objects).rglob("*.resources"))}
        self.architectures = {row.architecture for rows in self.reports.values() for row in rows} & set(ARCHITECTURES)
        if not self.architectures:
            raise Unavailable(f"{folder} has code for none of {', '.join(ARCHITECTURES)}")
        text = compilers[-1].read_text(encoding="utf-8")
        self.nvcc = re.search(r'CMAKE_CUDA_COMPILER_VERSION "([^"]+)"', text)[1]
        path = nvidia_tools(re.search(r'CMAKE_CUDA_COMPILER "([^"]+)"', text)[1])
        self.cuobjdump = shutil.which("cuobjdump", path=path)
        if not self.cuobjdump:
            raise Unavailable("there is no cuobjdump: not on PATH, not beside nvcc, not in this Python environment "
                              "(package nvidia-cuda-cuobjdump; it needs nvidia-cuda-nvdisasm beside it)")
        if not shutil.which("nvdisasm", path=path):
            raise Unavailable(f"{self.cuobjdump} needs nvdisasm (Python package nvidia-cuda-nvdisasm)")
        if not shutil.which("c++filt", path=path):
            raise Unavailable("c++filt (Debian package binutils) is not on PATH")
        self.environment = {**os.environ, "PATH": path}

    def dump(self, what, architecture, file):
        """The output of cuobjdump, which takes seconds. It is kept beside the object for the next test."""
        kept = file.with_name(f"{file.name}.{architecture}{what}")
        if kept.is_file() and kept.stat().st_mtime > file.stat().st_mtime:
            return kept.read_text(encoding="utf-8")
        result = subprocess.run([self.cuobjdump, what, "-arch", architecture, file], capture_output=True, text=True,
                                env=self.environment)
        if result.returncode != 0:
            raise RuntimeError(f"{self.cuobjdump} {what} {file}: {result.stderr.strip()}")
        with tempfile.NamedTemporaryFile("w", dir=file.parent, delete=False, encoding="utf-8") as whole:
            whole.write(result.stdout)
        os.replace(whole.name, kept)  # tests run beside each other
        return result.stdout

    def facts(self, *arguments, text=""):
        return run_program(self.folder / FACTS, *arguments, text=text)

    def measure(self):
        """{architecture: {readable name: numbers}} of the hot kernels."""
        names = demangle({row.name for rows in self.reports.values() for row in rows})
        hot = {mangled: readable_name(name) for mangled, name in names.items()}
        if missing := KERNELS.keys() - {kernel for kernel, _ in hot.values()}:
            raise RuntimeError(f"no kernel is called {', '.join(sorted(missing))}: budgets.py names it. Update KERNELS.")
        result = collections.defaultdict(dict)
        for file, rows in self.reports.items():
            for architecture in sorted({row.architecture for row in rows if hot[row.name][1]} & self.architectures):
                functions = read_sass(self.dump("-sass", architecture, file.with_suffix("")))
                bounds = read_launch_bounds(self.dump("-elf", architecture, file.with_suffix("")))
                for row in rows:
                    kernel, name = hot[row.name]
                    if name is None or row.architecture != architecture:
                        continue
                    if name in result[architecture]:
                        raise RuntimeError(f"two kernels are called {name}: budgets.py must tell them apart")
                    code = without_padding(functions[row.name])
                    loop = code if kernel in WITHOUT_LOOP else main_loop(code)
                    result[architecture][name] = {"instructions": len(code), "loop": count(loop),
                                                  "threads": bounds[row.name], "registers": row.registers,
                                                  "spilled_bytes": row.spilled, "static_shared": row.shared,
                                                  "kernel": kernel}
        self.add_shared_memory_and_blocks(result)
        return result

    def add_shared_memory_and_blocks(self, kernels):
        shared_memory = dict(line.rsplit(" ", 1) for line in self.facts("shared_memory"))
        rows = []
        for architecture, by_name in kernels.items():
            for name, numbers in by_name.items():
                dynamic = numbers["kernel"] in WITH_DYNAMIC_SHARED
                shape = re.match(r".*? \d+x\d+", name)[0] if dynamic else None
                numbers["dynamic_shared"] = int(shared_memory[shape]) if dynamic else 0
                rows.append((architecture, numbers))
        text = "".join(f"{architecture.removeprefix('sm_').rstrip('a')} {numbers['threads']} {numbers['registers']} "
                       f"{numbers['static_shared']} {numbers['dynamic_shared']}\n" for architecture, numbers in rows)
        for (_, numbers), blocks in zip(rows, self.facts("resident_blocks", text=text), strict=True):
            numbers["resident_blocks"] = int(blocks)


# ---- Training steps ----

def measure_steps(build_folder):
    """{"NETWORK TYPE KIND": {field: number}} of steps of 128 images."""
    lines = run_program(pathlib.Path(build_folder) / STEPS)
    return {" ".join(words): {"operations": int(operations), "bytes": int(bytes_moved)}
            for *words, operations, bytes_moved in map(str.split, lines)}


# ---- The file ----

LOOP_FIELDS = ("total", "matrix", "fma", "shared_loads", "asynchronous_copies", "global_accesses", "barriers")
FIELDS = (*(f"loop_{field}" for field in LOOP_FIELDS), "instructions", "registers", "spilled_bytes", "static_shared",
          "dynamic_shared", "threads", "resident_blocks")
TOLERANCE = 0.03


def as_fields(numbers):
    loop = {f"loop_{field}": value for field, value in numbers["loop"].items()}
    return {field: {**numbers, **loop}[field] for field in FIELDS}


def read_budgets(path=BUDGETS):
    """(nvcc's version, {architecture: {kernel: {field: number}}}, {step: {field: number}})."""
    file = json.loads(path.read_text(encoding="utf-8"))
    kernels = {architecture: {name: dict(zip(file["fields"], row, strict=True)) for name, row in rows.items()}
               for architecture, rows in file["kernels"].items()}
    return file["nvcc"], kernels, file["steps"]


def lines_of(rows, text_of):
    """The lines of a JSON object, one per name, with the values aligned."""
    width = max(len(json.dumps(name)) for name in rows)
    lines = [f"{json.dumps(name) + ':':{width + 1}} {text_of(rows[name])}," for name in sorted(rows)]
    return [*lines[:-1], lines[-1].removesuffix(",")]


def write_budgets(nvcc, kernels, steps, path=BUDGETS):
    lines = ["{", f'"nvcc": {json.dumps(nvcc)},', f'"fields": {json.dumps(FIELDS)},', '"kernels": {']
    for architecture in sorted(kernels):
        rows = kernels[architecture]
        widths = [max(len(str(row[field])) for row in rows.values()) for field in FIELDS]
        lines += [f"{json.dumps(architecture)}: {{",
                  *lines_of(rows, lambda row: "[" + ", ".join(f"{row[field]:{width}}"
                                                              for field, width in zip(FIELDS, widths)) + "]"),
                  "},"]
    lines[-1] = "}"
    lines += ["},", '"steps": {', *lines_of(steps, json.dumps), "}", "}"]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def differences(budgets, measured):
    """Lines for the user: what differs from its budget by more than 3%. Both are {name: {field: number}}."""
    for name in sorted(budgets.keys() | measured.keys()):
        if name not in measured:
            yield f"{name}: not in this build"
        elif name not in budgets:
            yield f"{name}: no budget"
        else:
            for field, budget in budgets[name].items():
                now = measured[name][field]
                if abs(now - budget) > TOLERANCE * budget:
                    yield f"{name}: {field} {now}, budget {budget}"


# ---- Commands ----

def update(build):
    if missing := set(ARCHITECTURES) - build.architectures:
        raise Unavailable(f"{build.folder} has no code for {', '.join(sorted(missing))}")
    measured = build.measure()
    write_budgets(build.nvcc, {architecture: {name: as_fields(numbers) for name, numbers in rows.items()}
                               for architecture, rows in measured.items()}, measure_steps(build.folder))
    print(f"{BUDGETS}: {len(measured[ARCHITECTURES[0]])} kernels, nvcc {build.nvcc}")


def table(build):
    for architecture, rows in sorted(build.measure().items()):
        print(f"{architecture}: main loop of one warp, per stage of 64 bytes; blocks of 128 threads. hopper: four wgmma "
              "are a stage of 128 bytes")
        print("| kernel and tile | instructions | matrix | fma | shared loads | copies | barriers | registers | "
              "shared memory | blocks per multiprocessor |\n|---|" + "---|" * 9)
        for name, numbers in sorted(rows.items()):
            if name.startswith("convolution ") and numbers["dynamic_shared"]:
                loop = numbers["loop"]
                print(f"| {name.removeprefix('convolution ')} | {loop['total']} | {loop['matrix']} | {loop['fma']} | "
                      f"{loop['shared_loads']} | {loop['asynchronous_copies']} | {loop['barriers']} | "
                      f"{numbers['registers']} | {numbers['static_shared']} + {numbers['dynamic_shared']} | "
                      f"{numbers['resident_blocks']} |")


def main(arguments):
    commands = {"update": update, "table": table}
    if len(arguments) != 2 or arguments[0] not in commands:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        commands[arguments[0]](Build(arguments[1]))
    except (Unavailable, RuntimeError) as error:
        print(f"budgets.py: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

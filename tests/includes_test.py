#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Enforces the dependencies of the tree: which folder may include which, and which libraries.

Usage: includes_test.py [ROOT]. Also checks that every source begins with its license, that headers are guarded and
that every differentiable operation is in the conformance table.
"""
import pathlib
import re
import sys
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent

# Room: the rooms that its files may include. A file is in the room with the longest matching name. Includes may only go
# down the list or stay in the room.
ROOMS = {
    "core": set(),
    "kernels": {"core"},
    "layers": {"core"},
    "data/files": {"core"},
    "data": {"core", "data/files"},
    "data/images": {"core", "data/files"},
    "data/cifar": {"core", "data/files", "data"},
    "data/registry": {"core", "data/files", "data", "data/cifar"},
    "data/download": {"core", "data/files", "data", "data/cifar"},
    "optim": {"core", "layers"},
    "nets": {"core", "layers"},
}
ENGINE = set(ROOMS) - {"data/download", "data/images"}
ROOMS["optim/training"] = ENGINE - {"nets", "data/registry"}
ENGINE.add("optim/training")
ROOMS["tools/settings"] = ENGINE
ROOMS["tools/ranks"] = {"core"}
ROOMS["tools/run"] = ROOMS["tools/settings"] | {"data/download", "data/images", "tools/settings"}
ROOMS["tools/slurm"] = ROOMS["tools/run"] | {"tools/run"}
ROOMS["tools/sweep"] = ROOMS["tools/slurm"] | {"tools/slurm"}
ROOMS["tools/emulate"] = {"core"}
ROOMS["tools/program"] = ROOMS["tools/sweep"] | {"tools/sweep", "tools/emulate", "tools/ranks"}
ROOMS["tests"] = set(ROOMS)
ROOMS["bench"] = set(ROOMS) - {"tests"}
# Separate projects, which include <gradamp/...> as a user does.
EXAMPLES = "tools/examples/"
# Programs of plain CUDA, as a user writes them.
PLAIN_CUDA = ("tests/tools/emulate/programs/", "tests/tools/emulate/faults/")
# The folders with sources: a new room must be listed above.
FOLDERS = ["core", "kernels", "layers", "data", "optim", "nets", "tools", "tests", "bench"]
# The only headers of kernels/ that the rest of the tree may include.
DOORS = {"kernels/backends.h", "kernels/self_check.h"}
# A backend: the other backends whose headers it may include. kernels/cuda includes CUDA or the emulator by one header.
NEIGHBORS = {"cuda": {"emulation"}, "statistics": {"cpu", "cuda"}}
# The tests of these backends may include the headers of both. Other tests may only set up the emulator.
GPU = {"cuda", "emulation"}
# The backends whose tests may include their headers.
OWN = {"cpu", "statistics"}
# The benchmarks' references on a GPU may include the headers of kernels/cuda, and so may the tests of the statistics there.
GPU_USERS = ("bench/cuda/", "tests/kernels/statistics/gpu/")
EMULATOR_SETUP = "kernels/emulation/config.h"
# Folder or file: the allowed beginnings of its <includes> of libraries, by the longest matching name; folders that are
# not here may include any library.
LIBRARIES = {
    "core": ("fmt/", "nlohmann/"),
    "core/processors.cpp": ("sched.h",),
    "core/thread_pool.cpp": ("linux/futex.h", "pthread.h", "sys/syscall.h", "unistd.h"),
    "kernels": ("fmt/", "nlohmann/"),
    "kernels/cpu": ("fmt/", "nlohmann/", "sys/"),
    "kernels/cpu/simd/bf16_pairs.h": ("immintrin.h",),
    "kernels/cpu/usable_instruction_sets.cpp": ("immintrin.h",),
    "kernels/cuda": ("fmt/", "cuda_runtime.h", "cuda_bf16.h", "cublas_v2.h", "dlfcn.h"),
    "kernels/cuda/ptx_hopper.h": ("cuda.h",),
    "kernels/emulation": ("fmt/", "math.h", "dlfcn.h", "execinfo.h", "signal.h", "ucontext.h", "unistd.h", "sys/",
                          "sanitizer/"),
    "kernels/statistics": ("stddef.h", "stdint.h"),
    "kernels/statistics/simd_gradient_sums.cpp": ("immintrin.h",),
    "layers": ("fmt/", "nlohmann/"),
    "optim": ("fmt/", "nlohmann/"),
    "nets": ("fmt/", "nlohmann/"),
}
CPP = (".h", ".cpp", ".cu", ".cuh")
SCRIPTS = (".py", ".sh")
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.MULTILINE)


def is_standard(name):
    """Whether <name> belongs to the C++ standard library, whose headers have neither folder nor suffix."""
    return "/" not in name and "." not in name


def backend_of(path):
    """The backend of a file of kernels/, or None."""
    parts = path.split("/")
    return parts[1] if parts[0] == "kernels" and len(parts) > 2 else None


def room_of(path):
    """The room of the file at `path`, or None."""
    rooms = [room for room in ROOMS if path.startswith(room + "/")]
    return max(rooms, key=len) if rooms else None


def may_enter(path, name):
    """Whether the file at `path`, outside kernels/, may include the header `name` of kernels/."""
    if name in DOORS or (path.startswith("tests/") and name == EMULATOR_SETUP):
        return True
    if path.startswith(GPU_USERS) and backend_of(name) == "cuda":
        return True
    tested = backend_of(path.removeprefix("tests/"))
    return (tested in GPU and backend_of(name) in GPU) or (tested in OWN and backend_of(name) == tested)


def quoted_violations(path, include, exists):
    name = include.removeprefix("gradamp/")
    room, target = room_of(path), room_of(name)
    if name == include or not exists(name):
        yield f'"{include}" is not "gradamp/" and a file from the top of the tree'
    elif target != room and target not in ROOMS[room] and not (target == "tests" and path.endswith("_test.cpp")):
        yield f'{room}/ may not include "{include}"'
    elif target == "kernels" and room != "kernels" and not may_enter(path, name):
        yield f'"{include}" belongs to one backend: outside kernels/ only {", ".join(sorted(DOORS))} are known'
    elif backend_of(path) and backend_of(name) not in {None, backend_of(path)} | NEIGHBORS.get(backend_of(path), set()):
        yield f'the backend {backend_of(path)} may not include "{include}" of another one'


def angled_violations(path, name, exists):
    if exists(name.removeprefix("gradamp/")):
        yield f'<{name}> is a file of this tree: include it with "..."'
    rules = [folder for folder in LIBRARIES if path == folder or path.startswith(folder + "/")]
    if rules and not is_standard(name) and not name.startswith(LIBRARIES[max(rules, key=len)]):
        yield f"{max(rules, key=len)}/ may not include the library header <{name}>"


def order_violations(path, text, exists):
    """A header that its source includes first is thereby compiled alone (tests/CMakeLists.txt compiles the others)."""
    first = INCLUDE.search(text)
    header = str(pathlib.PurePosixPath(path).with_suffix(".h"))
    if path.endswith((".cpp", ".cu")) and exists(header) and (not first or first[2] != "gradamp/" + header):
        yield f'does not include its own header "gradamp/{header}" first'


def violations(path, text, exists):
    """The violations of the file at `path` (from the root, with /); `exists` checks whether a path is a file."""
    lines = text.splitlines() or [""]
    if path.endswith(SCRIPTS):
        if "# SPDX-License-Identifier: MIT" not in lines[:2]:
            yield "does not begin with '# SPDX-License-Identifier: MIT' (below the #! line)"
        return
    if lines[0] != "// SPDX-License-Identifier: MIT":
        yield "does not begin with '// SPDX-License-Identifier: MIT'"
    if path.startswith((EXAMPLES, *PLAIN_CUDA)):
        return
    if room_of(path) is None:
        yield "is in no room (ROOMS in tests/includes_test.py)"
        return
    if path.endswith((".h", ".cuh")) and "#pragma once" not in lines:
        yield "has no '#pragma once'"
    yield from order_violations(path, text, exists)
    for kind, name in INCLUDE.findall(text):
        yield from (quoted_violations if kind == '"' else angled_violations)(path, name, exists)


def source_files():
    for folder in FOLDERS:
        for file in sorted((ROOT / folder).rglob("*")):
            if file.suffix in CPP + SCRIPTS and file.is_file():
                yield file.relative_to(ROOT).as_posix()


class TreeTest(unittest.TestCase):
    def test_every_file_keeps_the_rules(self):
        files = list(source_files())
        self.assertGreater(len(files), 20, f"too few files below {ROOT}")
        for path in files:
            for problem in violations(path, (ROOT / path).read_text(encoding="utf-8"),
                                      lambda name: (ROOT / name).is_file()):
                with self.subTest(path):
                    self.fail(f"{path} {problem}")

    def test_every_operation_is_in_the_conformance_table(self):
        declared = re.findall(r"^(?:Variable|Batch) (\w+)\(", (ROOT / "core/operations.h").read_text(), re.MULTILINE)
        table = (ROOT / "tests/kernels/operation_cases.cpp").read_text()
        self.assertGreater(len(declared), 10)
        for operation in declared:
            self.assertIn(f'"{operation}"', table, f"tests/kernels/operation_cases.cpp has no row for {operation}")


class RulesTest(unittest.TestCase):
    """The rules themselves: each must be able to fail."""

    FILES = {"core/tensor.h", "layers/module.h", "optim/optimizer.h", "nets/resnet.h", "kernels/backends.h", "kernels/self_check.h", "data/cifar/cifar.h", "data/dataset.h", "data/files/safetensors.h", "data/download/archive.h", "optim/training/trainer.h", "tools/run/run_folder.h",
             "kernels/cpu/cpu_backend.h", "kernels/cuda/stream.h", "kernels/emulation/config.h", "kernels/emulation/grid.h",
             "tools/settings/settings.h", "tests/core/test_support.h", "tests/core/error_of.h"}

    def problems(self, path, include, top="// SPDX-License-Identifier: MIT\n#pragma once\n"):
        own = path.removesuffix(".cpp") + ".h"
        first = f'#include "gradamp/{own}"\n' if path.endswith(".cpp") and own in self.FILES else ""
        return list(violations(path, f"{top}{first}#include {include}\n", lambda name: name in self.FILES))

    def test_good(self):
        for path, include in [
            ("core/autograd.cpp", '"gradamp/core/tensor.h"'), ("core/json.cpp", "<nlohmann/json.hpp>"),
            ("core/error.h", "<fmt/format.h>"), ("core/error.h", "<string>"),
            ("kernels/backends.cpp", '"gradamp/kernels/cpu/cpu_backend.h"'), ("bench/onednn_reference.cpp", "<oneapi/dnnl/dnnl.hpp>"),
            ("core/thread_pool.cpp", "<unistd.h>"), ("optim/optimizer.cpp", '"gradamp/layers/module.h"'),
            ("data/download/download.cpp", "<curl/curl.h>"), ("tools/run/training.cpp", '"gradamp/kernels/backends.h"'),
            ("tools/run/training.cpp", '"gradamp/kernels/self_check.h"'),
            ("tests/kernels/a_test.cpp", '"gradamp/tests/core/test_support.h"'),
            ("optim/training/trainer.cpp", '"gradamp/data/dataset.h"'), ("data/cifar/cifar.cpp", '"gradamp/data/dataset.h"'),
            ("tools/run/training.cpp", '"gradamp/tools/settings/settings.h"'), ("bench/step.cpp", '"gradamp/nets/resnet.h"'),
            ("kernels/cuda/a.cu", '"gradamp/kernels/emulation/grid.h"'), ("tests/tools/a_test.cpp", '"gradamp/kernels/emulation/config.h"'),
            ("tests/kernels/cuda/a_test.cpp", '"gradamp/kernels/cuda/stream.h"'),
            ("tests/kernels/emulation/a_test.cpp", '"gradamp/kernels/cuda/stream.h"'),
            ("bench/cuda/reference.cpp", '"gradamp/kernels/cuda/stream.h"'), ("bench/a_test.cpp", '"gradamp/tests/core/error_of.h"'),
            ("tests/kernels/cpu/a_test.cpp", '"gradamp/kernels/cpu/cpu_backend.h"'),
        ]:
            self.assertEqual(self.problems(path, include), [], (path, include))

    def test_bad(self):
        for path, include in [
            ("core/tensor.cpp", '"gradamp/layers/module.h"'), ("core/tensor.cpp", '"gradamp/kernels/backends.h"'),
            ("kernels/cpu/linear.cpp", '"gradamp/layers/module.h"'), ("kernels/backends.cpp", '"gradamp/data/cifar/cifar.h"'),
            ("kernels/cpu/linear.cpp", '"gradamp/kernels/cuda/stream.h"'), ("layers/layers.cpp", '"gradamp/kernels/backends.h"'),
            ("layers/layers.cpp", '"gradamp/optim/optimizer.h"'), ("optim/optimizer.cpp", '"gradamp/nets/resnet.h"'),
            ("nets/resnet.cpp", '"gradamp/optim/optimizer.h"'), ("data/cifar/cifar.cpp", '"gradamp/layers/module.h"'),
            ("tools/run/training.cpp", '"gradamp/tests/core/test_support.h"'), ("tools/run/training.cpp", '"gradamp/kernels/cpu/cpu_backend.h"'),
            ("tests/kernels/a_test.cpp", '"gradamp/kernels/cpu/cpu_backend.h"'),
            ("tests/kernels/cpu/a_test.cpp", '"gradamp/kernels/cuda/stream.h"'),
            ("tests/kernels/cuda/a_test.cpp", '"gradamp/kernels/cpu/cpu_backend.h"'), ("bench/step.cpp", '"gradamp/kernels/cpu/cpu_backend.h"'),
            ("kernels/emulation/grid.cpp", '"gradamp/kernels/cuda/stream.h"'), ("kernels/cpu/linear.cpp", '"gradamp/kernels/emulation/grid.h"'),
            ("bench/step.cpp", '"gradamp/kernels/cuda/stream.h"'), ("bench/cuda/reference.cpp", '"gradamp/kernels/emulation/grid.h"'),
            ("bench/step.cpp", '"gradamp/tests/core/error_of.h"'),
            ("tools/run/training.cpp", '"gradamp/kernels/emulation/config.h"'), ("tests/tools/a_test.cpp", '"gradamp/kernels/emulation/grid.h"'),
            ("core/tensor.cpp", '"tensor.h"'), ("core/tensor.cpp", "<core/tensor.h>"),
            ("kernels/cpu/convolution.cpp", "<oneapi/dnnl/dnnl.hpp>"), ("kernels/cpu/parallel.h", "<omp.h>"),
            ("kernels/emulation/grid.cpp", "<omp.h>"), ("core/thread_pool.cpp", "<omp.h>"), ("core/thread_pool.h", "<unistd.h>"),
            ("layers/layers.cpp", "<omp.h>"), ("optim/optimizer.cpp", "<curl/curl.h>"),
            ("kernels/cpu/linear.cpp", "<curl/curl.h>"), ("core/tensor.cpp", "<unistd.h>"),
            ("core/tensor.cpp", '"core/tensor.h"'), ("core/tensor.cpp", "<gradamp/core/tensor.h>"),
            ("optim/optimizer.cpp", '"gradamp/data/dataset.h"'), ("data/dataset.cpp", '"gradamp/data/cifar/cifar.h"'),
            ("data/cifar/cifar.cpp", '"gradamp/data/download/archive.h"'),
            ("optim/optimizer.cpp", '"gradamp/optim/training/trainer.h"'),
            ("optim/training/trainer.cpp", '"gradamp/data/download/archive.h"'),
            ("optim/training/trainer.cpp", '"gradamp/nets/resnet.h"'),
            ("tools/settings/settings.cpp", '"gradamp/tools/run/run_folder.h"'),
            ("tools/new_room/a.cpp", '"gradamp/core/tensor.h"'),
        ]:
            self.assertNotEqual(self.problems(path, include), [], (path, include))

    def test_beginnings(self):
        self.assertEqual(len(self.problems("core/tensor.h", "<string>", "#pragma once\n")), 1)
        self.assertEqual(len(self.problems("core/tensor.h", "<string>", "// SPDX-License-Identifier: MIT\n")), 1)
        self.assertEqual(self.problems("core/tensor.cpp", "<string>", "// SPDX-License-Identifier: MIT\n"), [])
        self.assertEqual(list(violations("tools/a.sh", "#!/bin/sh\n# SPDX-License-Identifier: MIT\n", None)), [])
        self.assertEqual(len(list(violations("tools/a.sh", "#!/bin/sh\nset -e\n", None))), 1)
        self.assertEqual(len(list(violations("tools/empty.py", "", None))), 1)

    def test_own_header_first(self):
        for includes, good in [('"gradamp/core/tensor.h"\n#include <string>', True), ('<string>\n#include "gradamp/core/tensor.h"', False),
                               ("<string>", False)]:
            text = f"// SPDX-License-Identifier: MIT\n#include {includes}\n"
            self.assertEqual(not list(violations("core/tensor.cpp", text, lambda name: name in self.FILES)), good, includes)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        ROOT = pathlib.Path(sys.argv.pop(1)).resolve()
    unittest.main(verbosity=1)

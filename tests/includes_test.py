#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Keeps the arrows of the tree: which folder may include which, and which libraries.

Usage: includes_test.py [ROOT]. Also checks that every source begins with its licence, that headers are guarded and
that every differentiable operation is in the conformance table.
"""
import pathlib
import re
import sys
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent

# Folder: the folders that its files may include.
ARROWS = {
    "core": {"core"},
    "kernels": {"core", "kernels"},
    "layers": {"core", "layers"},
    "optim": {"core", "layers", "optim"},
    "nets": {"core", "layers", "nets"},
    "data": {"core", "data"},
    "tools": {"core", "kernels", "layers", "optim", "nets", "data", "tools"},
    "tests": {"core", "kernels", "layers", "optim", "nets", "data", "tools", "tests"},
    "bench": {"core", "kernels", "layers", "optim", "nets", "data", "tools", "bench"},
}
# All that the rest of the tree may know of kernels/.
DOORS = {"kernels/backends.h", "kernels/self_check.h"}
# A backend: others whose headers it may include. kernels/cuda sees CUDA or the emulator through one header.
NEIGHBOURS = {"cuda": {"emulation"}}
# What a test may know beside the door: the headers of these in their own tests, and elsewhere how to set up the emulator.
GPU = {"cuda", "emulation"}
# The benchmarks' references on a GPU may know the headers of kernels/cuda.
GPU_BENCH = "bench/cuda/"
EMULATOR_SETUP = "kernels/emulation/config.h"
# Folder: what its <includes> of libraries begin with, by the longest folder that fits; folders not here may include
# any library.
LIBRARIES = {
    "core": ("fmt/", "nlohmann/"),
    "kernels": ("fmt/", "nlohmann/"),
    "kernels/cpu": ("fmt/", "nlohmann/", "oneapi/dnnl/", "omp.h", "immintrin.h", "sys/"),
    "kernels/cuda": ("fmt/", "cuda_runtime.h", "cuda_bf16.h", "cublas_v2.h", "dlfcn.h"),
    "kernels/emulation": ("fmt/", "omp.h", "math.h", "dlfcn.h", "signal.h", "ucontext.h", "unistd.h", "sys/", "sanitizer/"),
    "layers": ("fmt/", "nlohmann/"),
    "optim": ("fmt/", "nlohmann/"),
    "nets": ("fmt/", "nlohmann/"),
}
CPP = (".h", ".cpp", ".cu", ".cuh")
SCRIPTS = (".py", ".sh")
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.MULTILINE)


def is_standard(name):
    """Whether <name> is of the C++ standard library, whose headers have neither folder nor suffix."""
    return "/" not in name and "." not in name


def backend_of(path):
    """The backend that a file of kernels/ belongs to, or None."""
    parts = path.split("/")
    return parts[1] if parts[0] == "kernels" and len(parts) > 2 else None


def may_enter(path, name):
    """Whether the file at `path`, outside kernels/, may include the header `name` of kernels/."""
    if name in DOORS or (path.startswith("tests/") and name == EMULATOR_SETUP):
        return True
    if path.startswith(GPU_BENCH) and backend_of(name) == "cuda":
        return True
    return backend_of(path.removeprefix("tests/")) in GPU and backend_of(name) in GPU


def quoted_violations(path, name, exists):
    folder, target = path.split("/")[0], name.split("/")[0]
    if not exists(name):
        yield f'"{name}" is not a file, from the top of the tree'
    elif target not in ARROWS[folder]:
        yield f'{folder}/ may not include "{name}"'
    elif target == "kernels" and folder != "kernels" and not may_enter(path, name):
        yield f'"{name}" belongs to one backend: outside kernels/ only {", ".join(sorted(DOORS))} are known'
    elif backend_of(path) and backend_of(name) not in {None, backend_of(path)} | NEIGHBOURS.get(backend_of(path), set()):
        yield f'the backend {backend_of(path)} may not include "{name}" of another one'


def angled_violations(path, name, exists):
    if exists(name):
        yield f'<{name}> is a file of this tree: include it with "..."'
    rules = [folder for folder in LIBRARIES if path.startswith(folder + "/")]
    if rules and not is_standard(name) and not name.startswith(LIBRARIES[max(rules, key=len)]):
        yield f"{max(rules, key=len)}/ may not include the library header <{name}>"


def order_violations(path, text, exists):
    """A header that a source includes first is compiled alone by that (tests/CMakeLists.txt checks the others)."""
    first = INCLUDE.search(text)
    header = str(pathlib.PurePosixPath(path).with_suffix(".h"))
    if path.endswith((".cpp", ".cu")) and exists(header) and (not first or first[2] != header):
        yield f'does not include its own header "{header}" first'


def violations(path, text, exists):
    """What is wrong with the file at `path` (from the root, with /); `exists` tells of a path whether it is a file."""
    lines = text.splitlines() or [""]
    if path.endswith(SCRIPTS):
        if "# SPDX-License-Identifier: MIT" not in lines[:2]:
            yield "does not begin with '# SPDX-License-Identifier: MIT' (below the #! line)"
        return
    if lines[0] != "// SPDX-License-Identifier: MIT":
        yield "does not begin with '// SPDX-License-Identifier: MIT'"
    if path.endswith((".h", ".cuh")) and "#pragma once" not in lines:
        yield "has no '#pragma once'"
    yield from order_violations(path, text, exists)
    for kind, name in INCLUDE.findall(text):
        yield from (quoted_violations if kind == '"' else angled_violations)(path, name, exists)


def source_files():
    for folder in ARROWS:
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
        declared = re.findall(r"^Variable (\w+)\(", (ROOT / "core/operations.h").read_text(), re.MULTILINE)
        table = (ROOT / "tests/kernels/operation_cases.cpp").read_text()
        self.assertGreater(len(declared), 10)
        for operation in declared:
            self.assertIn(f'"{operation}"', table, f"tests/kernels/operation_cases.cpp has no row for {operation}")


class RulesTest(unittest.TestCase):
    """The rules themselves: each must be able to fail."""

    FILES = {"core/tensor.h", "layers/module.h", "optim/optimizer.h", "nets/resnet.h", "kernels/backends.h", "kernels/self_check.h", "data/cifar.h",
             "kernels/cpu/cpu_backend.h", "kernels/cuda/stream.h", "kernels/emulation/config.h", "kernels/emulation/grid.h",
             "tools/settings.h", "tests/core/test_support.h"}

    def problems(self, path, include, top="// SPDX-License-Identifier: MIT\n#pragma once\n"):
        own = path.removesuffix(".cpp") + ".h"
        first = f'#include "{own}"\n' if path.endswith(".cpp") and own in self.FILES else ""
        return list(violations(path, f"{top}{first}#include {include}\n", lambda name: name in self.FILES))

    def test_good(self):
        for path, include in [
            ("core/autograd.cpp", '"core/tensor.h"'), ("core/json.cpp", "<nlohmann/json.hpp>"),
            ("core/error.h", "<fmt/format.h>"), ("core/error.h", "<string>"),
            ("kernels/backends.cpp", '"kernels/cpu/cpu_backend.h"'), ("kernels/cpu/convolution.cpp", "<oneapi/dnnl/dnnl.hpp>"),
            ("kernels/cpu/convolution.cpp", "<omp.h>"), ("optim/optimizer.cpp", '"layers/module.h"'),
            ("data/download.cpp", "<curl/curl.h>"), ("tools/training.cpp", '"kernels/backends.h"'),
            ("tools/training.cpp", '"kernels/self_check.h"'),
            ("tests/kernels/a_test.cpp", '"tests/core/test_support.h"'), ("bench/step.cpp", '"nets/resnet.h"'),
            ("kernels/cuda/a.cu", '"kernels/emulation/grid.h"'), ("tests/tools/a_test.cpp", '"kernels/emulation/config.h"'),
            ("tests/kernels/cuda/a_test.cpp", '"kernels/cuda/stream.h"'),
            ("tests/kernels/emulation/a_test.cpp", '"kernels/cuda/stream.h"'),
            ("bench/cuda/reference.cpp", '"kernels/cuda/stream.h"'),
        ]:
            self.assertEqual(self.problems(path, include), [], (path, include))

    def test_bad(self):
        for path, include in [
            ("core/tensor.cpp", '"layers/module.h"'), ("core/tensor.cpp", '"kernels/backends.h"'),
            ("kernels/cpu/linear.cpp", '"layers/module.h"'), ("kernels/backends.cpp", '"data/cifar.h"'),
            ("kernels/cpu/linear.cpp", '"kernels/cuda/stream.h"'), ("layers/layers.cpp", '"kernels/backends.h"'),
            ("layers/layers.cpp", '"optim/optimizer.h"'), ("optim/optimizer.cpp", '"nets/resnet.h"'),
            ("nets/resnet.cpp", '"optim/optimizer.h"'), ("data/cifar.cpp", '"layers/module.h"'),
            ("tools/training.cpp", '"tests/core/test_support.h"'), ("tools/training.cpp", '"kernels/cpu/cpu_backend.h"'),
            ("tests/kernels/a_test.cpp", '"kernels/cpu/cpu_backend.h"'), ("bench/step.cpp", '"kernels/cpu/cpu_backend.h"'),
            ("kernels/emulation/grid.cpp", '"kernels/cuda/stream.h"'), ("kernels/cpu/linear.cpp", '"kernels/emulation/grid.h"'),
            ("bench/step.cpp", '"kernels/cuda/stream.h"'), ("bench/cuda/reference.cpp", '"kernels/emulation/grid.h"'),
            ("tools/training.cpp", '"kernels/emulation/config.h"'), ("tests/tools/a_test.cpp", '"kernels/emulation/grid.h"'),
            ("core/tensor.cpp", '"tensor.h"'), ("core/tensor.cpp", "<core/tensor.h>"),
            ("core/tensor.cpp", "<oneapi/dnnl/dnnl.hpp>"), ("kernels/backends.cpp", "<omp.h>"),
            ("layers/layers.cpp", "<omp.h>"), ("optim/optimizer.cpp", "<curl/curl.h>"),
            ("kernels/cpu/linear.cpp", "<curl/curl.h>"), ("core/tensor.cpp", "<unistd.h>"),
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
        for includes, good in [('"core/tensor.h"\n#include <string>', True), ('<string>\n#include "core/tensor.h"', False),
                               ("<string>", False)]:
            text = f"// SPDX-License-Identifier: MIT\n#include {includes}\n"
            self.assertEqual(not list(violations("core/tensor.cpp", text, lambda name: name in self.FILES)), good, includes)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        ROOT = pathlib.Path(sys.argv.pop(1)).resolve()
    unittest.main(verbosity=1)

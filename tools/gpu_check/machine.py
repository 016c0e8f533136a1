#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Facts about this machine for tools/gpu_check.sh.

    machine.py facts [PROGRAM]      lines "key<tab>value" about the GPU, for the report. nvidia-smi is asked first, then
                                    PROGRAM (gradamp); exits with 1 and a line on standard error if neither knows one
    machine.py usable PROGRAM...    what the program (gradamp) says about the GPU; exits with 1 if it cannot use one
    machine.py jobs CORES           how many processes that use the GPU fit its memory, at most CORES
    machine.py libraries PYTHON...  folders with CUDA's libraries (cuBLAS, cuDNN, the driver), joined by colons: those
                                    of the Python environments first, then the system's

Needs only Python 3.6.
"""

import glob
import json
import os
import pathlib
import re
import subprocess
import sys

# A test process holds a CUDA context, a cuBLAS handle and its tensors: about 0.6 GB, and more for the largest tensors.
PROCESS_MIB = 700
QUERY = ("name", "driver_version", "memory.total", "memory.free", "compute_cap")
LIBRARIES = ("libcublas.so.*", "libcudnn.so.*", "libcuda.so.1")
SYSTEM_FOLDERS = (
    "/usr/local/cuda/lib64",
    "/usr/local/cuda/lib",
    "/usr/local/cuda-*/lib64",
    "/usr/local/cuda*/targets/*/lib",
    "/opt/cuda/lib64",
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
    "/usr/lib64",
    "/usr/local/nvidia/lib64",  # the driver in many containers
    "/usr/lib/wsl/lib",
    "/run/opengl-driver/lib",
)


def output_of(command, any_code=False):
    """The command's standard output, or None if it cannot be run or fails (unless `any_code`)."""
    try:
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, universal_newlines=True, timeout=60
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if any_code or done.returncode == 0 else None


def gpu_by_nvidia_smi():
    """Values by the names of QUERY, for the first GPU that programs may use; None without one."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")[0].strip()
    chosen = ["-i", visible] if visible else []
    query = ["--query-gpu=" + ",".join(QUERY), "--format=csv,noheader"]
    for choice in (chosen, []):  # CUDA_VISIBLE_DEVICES can number GPUs differently from nvidia-smi
        printed = output_of(["nvidia-smi"] + choice + query)
        rows = [line.split(", ") for line in (printed or "").splitlines()]
        rows = [row for row in rows if len(row) == len(QUERY)]
        if rows:
            return dict(zip(QUERY, rows[0]))
    names = re.findall(r"^GPU \d+: (.*) \(UUID", output_of(["nvidia-smi", "--list-gpus"]) or "", re.MULTILINE)
    return {"name": names[0]} if names else None


def gpu_by_program(program):
    """The same from `gradamp info`, or the reason why the program cannot use a GPU. `program`: its command's words."""
    printed = output_of(program + ["info"], any_code=True)  # without HOME it fails after that line
    if not printed:
        return "{} info cannot be run".format(" ".join(program))
    for line in printed.splitlines():
        match = re.match(r"\s*(?:devices\s+)?cuda: (.*)", line)
        if match:
            usable = re.match(r"(.*?) \(compute capability ([0-9.]+)", match.group(1))
            return {"name": usable.group(1), "compute_cap": usable.group(2)} if usable else match.group(1)
    return "{} info says nothing about the device cuda".format(" ".join(program))


def facts(program):
    gpu = gpu_by_nvidia_smi()
    if gpu is None:
        gpu = gpu_by_program([program]) if program else "nvidia-smi is not there or lists none"
    if isinstance(gpu, str):
        print("gpu_check.sh: there is no GPU: {}; nothing was checked".format(gpu), file=sys.stderr)
        return 1
    names = {"gpu": "name", "driver": "driver_version", "memory": "memory.total", "compute capability": "compute_cap"}
    for key, name in names.items():
        if name in gpu:
            print("{}\t{}".format(key, gpu[name]))
    return 0


def usable(program):
    gpu = gpu_by_program(program)
    if isinstance(gpu, str):
        print(gpu)
        return 1
    print("{}, compute capability {}".format(gpu["name"], gpu["compute_cap"]))
    return 0


def jobs(cores):
    free = re.match(r"(\d+) MiB", (gpu_by_nvidia_smi() or {}).get("memory.free", ""))
    return max(1, min(cores, int(free.group(1)) // PROCESS_MIB)) if free else min(cores, 4)


def search_path(python):
    """The folders in which a Python finds its packages; none if it cannot be run."""
    printed = output_of([python, "-c", "import json, sys; print(json.dumps(sys.path))"])
    return json.loads(printed) if printed else []


def libraries(pythons):
    candidates = []
    for python in pythons:
        for folder in search_path(python):
            candidates += sorted(glob.glob(os.path.join(glob.escape(folder), "nvidia", "*", "lib")))
            candidates.append(os.path.join(folder, "torch", "lib"))
        candidates.append(os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(python))), "lib"))  # Conda's
    if "CUDA_PATH" in os.environ:
        candidates.append(os.path.join(os.environ["CUDA_PATH"], "lib64"))
    for pattern in SYSTEM_FOLDERS:
        candidates += sorted(glob.glob(pattern), reverse=True)
    found = []
    for folder in candidates:
        holds = "nvidia" in pathlib.PurePath(folder).parts[-3:-1] or any(
            glob.glob(os.path.join(glob.escape(folder), name)) for name in LIBRARIES
        )
        if holds and folder not in found:
            found.append(folder)
    return found


def main(arguments):
    if arguments[:1] == ["facts"] and len(arguments) <= 2:
        return facts(arguments[1] if len(arguments) == 2 else None)
    if arguments[:1] == ["usable"] and len(arguments) >= 2:
        return usable(arguments[1:])
    if arguments[:1] == ["jobs"] and len(arguments) == 2:
        print(jobs(int(arguments[1])))
        return 0
    if arguments[:1] == ["libraries"]:
        print(":".join(libraries(arguments[1:])))
        return 0
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

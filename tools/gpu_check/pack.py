#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes the archive of tools/gpu_check.sh --pack.

    pack.py FILE ROOT KEY=VALUE... -- NAME=PROGRAM...

FILE (.tar.xz) gets a folder gradamp-pack with the programs, stripped; the shared libraries that they need, with the C
library and its loader; the scripts of ROOT that check and report; and the tests' recorded data. KEY=VALUE are facts for
pack.tsv. Libraries in a program's folder are included.

Left out are the driver, which must be the machine's own, and cuBLAS and cuDNN, which are larger than all the rest;
every Python environment with PyTorch for CUDA has them. The C library is included because a program cannot run with an
older one than it was linked with, and many clusters have an older one; the driver's libraries are built for old C
libraries and accept ours. The archive is tar.xz, which Python alone can unpack. Its window has the size of two
programs, so the kernels, which are the same in every program, are stored once.
"""

import io
import lzma
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile

MAX_BYTES = 60_000_000
FOLDER = "gradamp-pack"
WINDOW = 192 << 20  # bytes; unpacking needs this much memory
SCRIPTS = (
    "tools/gpu_check.sh",
    "tools/gpu_check/*.sh",
    "tools/gpu_check/*.py",
    "bench/compare_pytorch.py",
    "tests/oracle/networks.py",
    "tests/oracle/philox.py",
    "tools/python/gradamp/networks.py",
    "LICENSE",
)
TEST_DATA = ("tests/nets/recorded/*.json", "tests/optim/recorded/*.json", "tests/kernels/recorded/*.json")
NOT_TAKEN = re.compile(r"lib(cuda|nvidia-.*|cublas|cublasLt|cudnn.*|nvrtc.*)\.so(\..*)?$")
# Parts of the C library that our programs need not link, but cuBLAS, cuDNN or the driver may. They must have the same
# version as the C library.
C_LIBRARY = (
    "libc.so.6",
    "libm.so.6",
    "libdl.so.2",
    "libpthread.so.0",
    "librt.so.1",
    "libutil.so.1",
    "libresolv.so.2",
    "libnss_files.so.2",
    "libnss_dns.so.2",
)
LAUNCHER = """#!/usr/bin/env bash
# Starts a program of this pack with the pack's loader and libraries.
root=$(cd "${BASH_SOURCE[0]%/*}/.." && pwd)
. "$root/tools/gpu_check/programs.sh"
set_places
GPU_CHECK_PROGRAMS=$root/programs
set_command "${BASH_SOURCE[0]##*/}" && exec "${command[@]}" "$@"
"""
RUN = """#!/usr/bin/env bash
# Checks and measures everything here, and writes gpu-report/report.md: ./run --help
exec bash "${BASH_SOURCE[0]%/*}/tools/gpu_check.sh" "$@"
"""
README = """gradamp for a machine with an NVIDIA GPU: programs, their libraries, and a script that checks and measures.

    ./run              everything; an hour at most. The report is gpu-report/report.md
    ./run --quick      everything in small, in a few minutes
    ./run --help       the parts and options
    programs/gradamp   the program itself; its commands sweep and report need a build from the sources

It needs bash, coreutils, python3 (3.6 or newer) and the NVIDIA driver; no root, no compiler, no network. cuBLAS and
cuDNN are looked for in the system, in Python environments (GRADAMP_PYTHON names one) and on LD_LIBRARY_PATH; what they
are needed for is left out without them. GRADAMP_PYTHON also names the Python that has PyTorch.
"""


class PackError(Exception):
    """A message for the user."""


def is_elf(path):
    with open(path, "rb") as file:
        return file.read(4) == b"\x7fELF"


def needed_libraries(program):
    """{name: path} of all shared libraries that the program needs, and its loader's path."""
    done = subprocess.run(["ldd", str(program)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        raise PackError(f"ldd {program}: {done.stdout.strip()}")
    libraries, loader = {}, None
    for line in done.stdout.splitlines():
        words = line.split()
        if "=>" in words:
            name, path = words[0], words[words.index("=>") + 1]
            if NOT_TAKEN.match(name):
                continue
            if path == "not":
                raise PackError(f"{program} needs {name}, which is not found")
            libraries[name] = pathlib.Path(path)
        elif words and words[0].startswith("/"):
            loader = pathlib.Path(words[0])
    return libraries, loader


def strip(path):
    """Removes symbols if there is a tool for it; the symbols that the loader needs remain."""
    if shutil.which("strip"):
        subprocess.run(["strip", "--strip-unneeded", str(path)], check=True)


def add_libraries(folder, programs):
    """Copies the programs' libraries into `folder`."""
    found, loader = {}, None
    for program in programs:
        if not is_elf(program):
            continue
        libraries, its_loader = needed_libraries(program)
        loader = its_loader or loader
        for name, path in libraries.items():
            if found.setdefault(name, path).resolve() != path.resolve():
                raise PackError(f"two libraries are called {name}: {found[name]} and {path}")
    for program in programs:
        for path in sorted(pathlib.Path(program).parent.glob("lib*.so*")):
            found[path.name] = path
    if "libc.so.6" in found:
        for name in C_LIBRARY:
            path = found["libc.so.6"].parent / name
            if path.exists():
                found.setdefault(name, path)
    for name, path in sorted(found.items()):
        shutil.copyfile(path, folder / name)
        strip(folder / name)
    if loader:
        shutil.copyfile(loader, folder / "loader")
        (folder / "loader").chmod(0o755)


def write_script(path, text):
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)


def fill(folder, root, facts, programs):
    """Creates all contents of the archive."""
    for name in ("programs/bin", "lib"):
        (folder / name).mkdir(parents=True)
    for name, path in programs.items():
        shutil.copyfile(path, folder / "programs" / "bin" / name)
        (folder / "programs" / "bin" / name).chmod(0o755)
        if is_elf(path):
            strip(folder / "programs" / "bin" / name)
        write_script(folder / "programs" / name, LAUNCHER)
    add_libraries(folder / "lib", [pathlib.Path(path) for path in programs.values()])
    for pattern in SCRIPTS + TEST_DATA:
        paths = sorted(root.glob(pattern))
        if not paths:
            raise PackError(f"there is no {root / pattern}")
        for path in paths:
            target = folder / path.relative_to(root)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
            target.chmod(0o755 if os.access(path, os.X_OK) else 0o644)
    write_script(folder / "run", RUN)
    (folder / "README.txt").write_text(README, encoding="utf-8")
    (folder / "pack.tsv").write_text("".join(f"{key}\t{value}\n" for key, value in facts.items()), encoding="utf-8")


def write_archive(folder, path):
    """Writes the archive. The same folder gives the same bytes."""
    size = sum(each.stat().st_size for each in folder.rglob("*") if each.is_file())
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 6, "dict_size": max(1 << 20, min(WINDOW, size))}]
    temporary = path.with_name(path.name + ".gradamp-tmp")
    try:
        with lzma.open(temporary, "wb", check=lzma.CHECK_CRC64, filters=filters) as packed:
            with tarfile.open(fileobj=packed, mode="w|", format=tarfile.GNU_FORMAT) as archive:
                for each in sorted(folder.rglob("*")):
                    if each.is_dir():
                        continue
                    entry = tarfile.TarInfo(f"{FOLDER}/{each.relative_to(folder)}")
                    data = each.read_bytes()
                    entry.size, entry.mode = len(data), each.stat().st_mode & 0o777
                    archive.addfile(entry, io.BytesIO(data))
        size = temporary.stat().st_size
        if size > MAX_BYTES:
            raise PackError(
                f"the archive has {size / 1e6:.1f} MB, more than {MAX_BYTES / 1e6:.0f}: fewer --architectures?"
            )
        os.replace(temporary, path)
    finally:
        if temporary.exists():
            temporary.unlink()
    return size


def main(arguments):
    if len(arguments) < 4 or "--" not in arguments[2:]:
        print(__doc__, file=sys.stderr)
        return 2
    path, root = pathlib.Path(arguments[0]).absolute(), pathlib.Path(arguments[1])
    split = arguments.index("--")
    facts = dict(word.split("=", 1) for word in arguments[2:split])
    programs = dict(word.split("=", 1) for word in arguments[split + 1 :])
    try:
        if not path.name.endswith(".tar.xz"):
            raise PackError(f"--pack: expected a name that ends with .tar.xz, got {path.name}")
        if not path.parent.is_dir():
            raise PackError(f"--pack: there is no folder {path.parent}")
        with tempfile.TemporaryDirectory() as temporary:
            folder = pathlib.Path(temporary) / FOLDER
            fill(folder, root, facts, programs)
            size = write_archive(folder, path)
            files = [each for each in folder.rglob("*") if each.is_file()]
            total = sum(each.stat().st_size for each in files)
    except (OSError, PackError, subprocess.CalledProcessError) as error:
        print(f"gpu_check.sh: {error}", file=sys.stderr)
        return 1
    print(f"{path}: {size / 1e6:.1f} MB, {len(files)} files, {total / 1e6:.0f} MB unpacked")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes PyTorch's CUDA package importable without the CUDA libraries that it links, which are four times its size.

This package is the only PyTorch for Linux with the usual name. Its CPU part calls none of those libraries, but the
loader needs each of them when torch is imported. For every library that is not installed, this script writes a stub
into torch/lib: it has the functions that torch's libraries need, with their versions, and each ends the process with a
message if it is called. Needs a C compiler and readelf (binutils).

Usage: torch_without_cuda.py SITE_PACKAGES
"""
import pathlib
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable

# The prefixes of CUDA's libraries. The driver's libcuda.so.1 is loaded explicitly and must not be replaced.
CUDA_LIBRARY = re.compile(r"lib(cu|nv|nccl)")
DRIVER = re.compile(r"lib(cuda|nvidia-ml)\.so")

SOURCE = r"""
#include <stdio.h>
#include <stdlib.h>
__attribute__((unused)) static void called(void) {
  fputs("gradamp's test environment has PyTorch for the CPU only: LIBRARY is not installed\n", stderr);
  abort();
}
"""


def readelf(option: str, library: pathlib.Path) -> str:
    return subprocess.run(["readelf", "-W", option, str(library)], check=True, capture_output=True, text=True).stdout


def needed_libraries(library: pathlib.Path) -> list[str]:
    return re.findall(r"\(NEEDED\).*\[(.+)\]", readelf("--dynamic", library))


def owners_of_versions(library: pathlib.Path) -> dict[str, str]:
    """{symbol version: its library}, for the versions that this library needs."""
    owners, owner = {}, ""
    for line in readelf("--version-info", library).splitlines():
        if match := re.search(r"Version: 1  File: (\S+)", line):
            owner = match[1]
        elif match := re.search(r"Name: (\S+)  Flags:", line):
            owners[match[1]] = owner
    return owners


def undefined_symbols(library: pathlib.Path) -> list[tuple[str, str]]:
    """(name, version or "") of the symbols that other libraries must define."""
    return re.findall(r" UND (\w+)(?:@(\S+))?", readelf("--dyn-syms", library))


def owner_by_name(symbol: str, libraries: Iterable[str]) -> str | None:
    """The library of a symbol without a version: the one whose name is the longest prefix of the symbol."""
    stems = {library: library.removeprefix("lib").split(".")[0].lower() for library in libraries}
    matching = [library for library in libraries if symbol.lower().startswith(stems[library])]
    return max(matching, key=lambda library: len(stems[library]), default=None)


def write_stub(file: pathlib.Path, symbols: dict[str, str]) -> None:
    """Writes a library of this name that defines the functions ({name: version or ""})."""
    source = SOURCE.replace("LIBRARY", file.name)
    source += "".join(f'void {name}(void) __attribute__((alias("called")));\n' for name in sorted(symbols))
    versions = sorted(set(symbols.values()) - {""})
    with tempfile.TemporaryDirectory() as folder:
        script = pathlib.Path(folder, "versions")
        script.write_text("".join(
            f"{version} {{ {' '.join(f'{name};' for name in sorted(symbols) if symbols[name] == version)} }};\n"
            for version in versions))
        subprocess.run(["cc", "-shared", "-fPIC", "-w", f"-Wl,-soname,{file.name}",
                        *([f"-Wl,--version-script={script}"] if versions else []), "-x", "c", "-", "-o", str(file)],
                       input=source, text=True, check=True)


def main(site_packages: pathlib.Path) -> None:
    folder = site_packages / "torch" / "lib"
    libraries = sorted(folder.glob("*.so"))
    if not libraries:
        sys.exit(f"there is no PyTorch in {site_packages}")
    installed = {file.name for file in [*folder.iterdir(), *site_packages.glob("nvidia/*/lib/*")]}
    stubs: dict[str, dict[str, str]] = {}
    for library in libraries:
        for name in needed_libraries(library):
            if CUDA_LIBRARY.match(name) and not DRIVER.match(name) and name not in installed:
                stubs.setdefault(name, {})
    for library in libraries:
        owners = owners_of_versions(library)
        for name, version in undefined_symbols(library):
            owner = owners.get(version) if version else owner_by_name(name, stubs)
            if owner in stubs:
                stubs[owner][name] = version
    for name, symbols in sorted(stubs.items()):
        write_stub(folder / name, symbols)
    print(f"empty in place of CUDA's: {', '.join(sorted(stubs)) or 'none'}")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(pathlib.Path(sys.argv[1]))

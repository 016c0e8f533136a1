#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes the Python package gradamp: one wheel for every Python from 3.9 on and every PyTorch.

Usage: make_wheel.py LIBRARY OUTPUT_FOLDER. LIBRARY is libgradamp_statistics.so. The wheel's name says the least glibc
that it needs. The same files give the same bytes. Prints the wheel's path.
"""

import base64
import ctypes
import hashlib
import pathlib
import platform
import re
import sys
import zipfile

PACKAGE = pathlib.Path(__file__).resolve().parent / "gradamp"
METADATA = """Metadata-Version: 2.1
Name: gradamp
Version: {version}
Summary: Per-layer gradient statistics and intelligent gradient amplification (arXiv:2305.18445) for PyTorch
License: MIT
Requires-Python: >=3.9
Provides-Extra: torch
Requires-Dist: torch; extra == "torch"
Requires-Dist: safetensors; extra == "torch"
Description-Content-Type: text/plain

gradamp.torch.GradientStatistics measures how steadily the gradients of each layer of a PyTorch model point one way, in
one pass over them. gradamp.torch.Amplifier selects layers by it and amplifies their updates. Both need PyTorch.
"""


def version_of(library: pathlib.Path) -> str:
    function = ctypes.CDLL(str(library)).gradamp_statistics_version
    function.restype = ctypes.c_char_p
    return function().decode()


def platform_of(library: pathlib.Path) -> str:
    """The tag of PEP 600: the newest version of glibc whose symbols the library needs."""
    newest = max(map(int, re.findall(rb"GLIBC_2\.(\d+)", library.read_bytes())))
    return f"manylinux_2_{newest}_{platform.machine()}"


def digest(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")


def make_wheel(library: pathlib.Path, folder: pathlib.Path) -> pathlib.Path:
    version, tag = version_of(library), f"py3-none-{platform_of(library)}"
    files = {f"gradamp/{path.name}": path.read_bytes() for path in sorted(PACKAGE.glob("*.py"))}
    files["gradamp/libgradamp_statistics.so"] = library.read_bytes()
    info = f"gradamp-{version}.dist-info"
    files[f"{info}/METADATA"] = METADATA.format(version=version).encode()
    files[f"{info}/WHEEL"] = f"Wheel-Version: 1.0\nGenerator: gradamp\nRoot-Is-Purelib: false\nTag: {tag}\n".encode()
    record = [f"{name},sha256={digest(data)},{len(data)}" for name, data in files.items()]
    files[f"{info}/RECORD"] = "\n".join([*record, f"{info}/RECORD,,"]).encode() + b"\n"
    wheel = folder / f"gradamp-{version}-{tag}.whl"
    folder.mkdir(parents=True, exist_ok=True)
    partial = wheel.with_suffix(".part")
    with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            entry = zipfile.ZipInfo(name)  # with a fixed time
            entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            archive.writestr(entry, data)
    partial.replace(wheel)
    return wheel


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    print(make_wheel(pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2])))

#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""extract_ptx.py OBJECT TARGET.ptx: extracts nvcc's PTX from an object file.

fat_binary.cpp has the layout of a fat binary. Its PTX is compressed; the program zstd decompresses it.
"""
import os
import struct
import subprocess
import sys

MAGIC = b"\x50\xed\x55\xba"
PTX = 1  # an entry's kind; 2 is a binary


def ptx_images(data):
    """Yields each PTX image of the fat binaries in `data`, as text."""
    at = 0
    while (at := data.find(MAGIC, at)) >= 0:
        _, _, header_bytes, bytes_of_all = struct.unpack_from("<IHHQ", data, at)
        entry, end = at + header_bytes, at + header_bytes + bytes_of_all
        while entry < end:
            kind, _, entry_header_bytes, stored, compressed = struct.unpack_from("<HHIQI", data, entry)
            if kind == PTX:
                packed = data[entry + entry_header_bytes:entry + entry_header_bytes + (compressed or stored)]
                if compressed:
                    packed = subprocess.run(["zstd", "-dc"], input=packed, capture_output=True, check=True).stdout
                yield packed.rstrip(b"\0").decode()
            entry += entry_header_bytes + stored
        at = end


def write_if_changed(path, text):
    """An unchanged file keeps its time, so that nothing that depends on it is built again."""
    if not os.path.exists(path) or open(path, encoding="utf-8").read() != text:
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)


def main(source, target):
    with open(source, "rb") as file:
        images = list(ptx_images(file.read()))
    if len(images) != 1:
        sys.exit(f"extract_ptx.py: expected one PTX image in {source}, found {len(images)}; "
                 "is one of CMAKE_CUDA_ARCHITECTURES without -real?")
    write_if_changed(target, images[0])


if __name__ == "__main__":
    main(*sys.argv[1:])

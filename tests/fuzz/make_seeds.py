#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes the seeds of tests/fuzz/corpus. Findings of the fuzzers are added there by hand. Needs numpy.

    python3 tests/fuzz/make_seeds.py
"""
import gzip
import io
import json
import pathlib
import pickle
import struct
import tarfile

import numpy

CORPUS = pathlib.Path(__file__).parent / "corpus"


def write(target: str, name: str, contents: bytes) -> None:
    folder = CORPUS / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(contents)


def safetensors(header: dict, data: bytes) -> bytes:
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + data


def tensor(dtype: str, shape: list, begin: int, end: int) -> dict:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def archive(form: int, names=("folder/data_batch_1.bin", "folder/other"), headers=None, link=None) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as tar:
        folder = tarfile.TarInfo("folder")
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)
        for name in names:
            member = tarfile.TarInfo(name)
            member.size = 20
            member.pax_headers = headers or {}
            tar.addfile(member, io.BytesIO(b"x" * 20))
        if link:
            member = tarfile.TarInfo("link")
            member.type = link
            member.linkname = "../../outside"
            tar.addfile(member)
    return buffer.getvalue().rstrip(b"\0") + b"\0" * 1024


def write_tensors() -> None:
    two = {"weight": tensor("F32", [2, 3], 0, 24), "bias": tensor("F32", [2], 24, 32)}
    write("safetensors", "two", safetensors(two, bytes(32)))
    write("safetensors", "kinds", safetensors(
        {"__metadata__": {"key": "value"}, "a": tensor("I64", [], 0, 8), "b": tensor("U8", [0, 3], 8, 8),
         "c": tensor("BF16", [1, 2], 8, 12), "d": tensor("F16", [2], 12, 16)}, bytes(16)))
    write("safetensors", "checksums", safetensors(
        {"__metadata__": {"crc32c": "00000000", "crc32c:a": "00000000"}, "a": tensor("F32", [1], 0, 4)}, bytes(4)))
    write("safetensors_header", "two", b"\x20" + json.dumps(two).encode())
    write("safetensors_header", "large", b"\x10" + json.dumps(
        {"a": tensor("U8", [2**63 - 1], 0, 2**63 - 1), "b": tensor("F64", [2**32, 2**32, 0, 1], 0, 0)}).encode())
    write("safetensors_header", "odd", b"\x10" + b'{"a":{"dtype":"F32","shape":[1e400,NaN,"\\ud800"],"data_offsets":[0.5,4]}}')
    write("weights", "plain", safetensors(two, bytes(32)))
    write("weights", "wrapped", safetensors({"module." + name: entry for name, entry in two.items()}, bytes(32)))
    write("weights", "f16", safetensors(
        {"weight": tensor("F16", [2, 3], 0, 12), "bias": tensor("F64", [2], 12, 28)}, bytes(28)))
    write("checkpoint", "as_saved", b"=\n=\n=\n=\n=\n")
    write("checkpoint", "other", b"2\nfalse\ngradamp checkpoint 1\ncpu 1\nsettings\n")


def write_pickles() -> None:
    batch = {b"batch_label": b"x", b"labels": [3], b"data": numpy.zeros((1, 3072), numpy.uint8), b"filenames": [b"a.png"]}
    small = {"labels": [3], "data": numpy.zeros((1, 3), numpy.uint8), "none": None, "true": True, "number": -5}
    hundred = {"fine_labels": [1], "coarse_labels": [2], "data": numpy.zeros((1, 3072), numpy.uint8)}
    names = {"label_names": list("abcdefghij"), "num": 10}
    for protocol in range(6):
        write("pickle", f"small_{protocol}", pickle.dumps(small, protocol))
        write("pickle", f"names_{protocol}", pickle.dumps(names, protocol))
        write("cifar", f"ten_{protocol}", bytes([4 + protocol % 2]) + pickle.dumps(batch, protocol))
        write("cifar", f"hundred_{protocol}", bytes([6 + protocol % 2]) + pickle.dumps(hundred, protocol))
    write("pickle", "array_labels", pickle.dumps({"labels": numpy.arange(3)}, 2))
    write("pickle", "column_major", pickle.dumps(
        {"data": numpy.asfortranarray(numpy.arange(6, dtype=numpy.uint8).reshape(2, 3))}, 2))
    for split in (0, 1):
        write("cifar", f"ten_binary_{split}", bytes([split]) + (b"\3" + bytes(3072)) * 2)
        write("cifar", f"hundred_binary_{split}", bytes([2 + split]) + (b"\3\5" + bytes(3072)) * 2)


def write_archives() -> None:
    for name, form in (("ustar", tarfile.USTAR_FORMAT), ("gnu", tarfile.GNU_FORMAT), ("pax", tarfile.PAX_FORMAT)):
        write("archive", name, archive(form))
        write("archive", name + "_gz", gzip.compress(archive(form), mtime=0))
    write("archive", "long_name", archive(tarfile.GNU_FORMAT, names=("a" * 150,)))
    write("archive", "outside", archive(tarfile.USTAR_FORMAT, names=("../outside", "/absolute")))
    write("archive", "pax_lies", archive(tarfile.PAX_FORMAT, headers={
        "path": "../../x", "GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "1000"}))
    write("archive", "link", archive(tarfile.USTAR_FORMAT, link=tarfile.SYMTYPE))
    write("archive", "hard_link", archive(tarfile.USTAR_FORMAT, link=tarfile.LNKTYPE))


def write_texts() -> None:
    write("config", "usual", b"# c\n[training]\nepochs = 3\nlr = \"0.1\"\n[data]\ndata = 'a b'\nlist = [a, \"b\\\"c\", 3]\n")
    write("config", "marks", b"\xef\xbb\xbfa=1\r\nb = +0.1\n")
    write("config", "utf16", "a = 1\n".encode("utf-16"))
    write("sweep", "usual", b"network = [resnet20, resnet32]\nstrategy = params_1\nseed = 1:2\n[original]\n[random]\n"
          b"random-fraction = 0.5\n[amplified]\nmeasure = [g, g-prime]\nthreshold = 0.7:2.5:0.1\n")
    write("sweep", "large_steps", b"strategy = \"2:0.1, 4:0.1:2\"\nepochs = 5\nreselect-every = 2\n[amplified]\n"
          b"threshold = -1e3:1e3:1e3\nplacement = [backprop, update]\n")
    write("strategy", "usual", struct.pack("<ii", 10, 2) + b"10:0.1, 20:0.1:2, 30:0.01")
    write("strategy", "named", struct.pack("<ii", 5, 0) + b"params_1")
    line = json.dumps({"schema": 2, "epoch": 1, "epochs": 3, "learning_rate": 0.1, "train_loss": 1.0,
                       "train_accuracy": 0.5, "test_loss": None, "test_accuracy": 0.5, "seconds": 1.0,
                       "images_per_second": None, "analyzed": False, "amplified": False,
                       "not_finite": {"test_loss": "nan", "images_per_second": "-inf"}}).encode() + b"\n"
    layer = json.dumps({"schema": 1, "epoch": 1, "layer": "conv1", "type": "conv", "parameters": 432, "g": 0.5,
                        "g_prime": None, "normalized_g": 0.5, "normalized_g_prime": "nan", "noise_floor": 0.1,
                        "selected": True, "factor": 2.0}).encode() + b"\n"
    write("run_folder", "config", b'\0{"schema": 1, "settings": {"network": "resnet8", "epochs": 3}}')
    write("run_folder", "metrics", b"\1" + line * 2)
    write("run_folder", "layers", b"\2" + layer * 2)
    write("run_folder", "summary", b'\3{"schema": 2, "completed": true, "epochs": 1}')
    version = b"\x09" + struct.pack("<d", 1.0) + b"\x1a\x0dbrain.Event:2"
    scalar = b"\x0a\x08\x0a\x04loss\x15\0\0\x80\x3f"
    event = b"\x09" + struct.pack("<d", 1.0) + b"\x10\x02" + b"\x2a" + bytes([len(scalar)]) + scalar
    write("event_file", "records", b"\x11" + b"".join(bytes([len(r)]) + r for r in (version, event, event)))
    write("event_file", "raw", b"\x10" + version)


if __name__ == "__main__":
    write_tensors()
    write_pickles()
    write_archives()
    write_texts()

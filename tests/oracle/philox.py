# SPDX-License-Identifier: MIT
"""Philox4x32-10 as in core/philox.h, over whole arrays, and the inputs that both sides draw from it."""

import math

import numpy as np

SEED = 2026
STREAM_TEST = 100  # RandomStream::kTest

SUBSTREAM_IMAGES = 0  # even ones; a batch's labels come from the next substream
SUBSTREAM_PARAMETERS = 1000
SUBSTREAM_EPOCH_IMAGES = 2000
SUBSTREAM_EPOCH_LABELS = 3000
SUBSTREAM_GRADIENTS = 10000
SUBSTREAM_SIGNS = 500000
SUBSTREAM_STATISTIC_SIGNS = 600000

_MASK = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)
_CHUNK = 1 << 16  # blocks per iteration: the temporaries stay in the cache


def philox_4x32_10(counter, key):
    """The blocks of four counter columns (uint64 arrays of 32-bit values) under a key of two words."""
    c0, c1, c2, c3 = (np.asarray(column, np.uint64) for column in counter)
    k0, k1 = key
    for _ in range(10):
        product0 = np.uint64(0xD2511F53) * c0
        product1 = np.uint64(0xCD9E8D57) * c2
        c0, c2 = (
            (product1 >> _HALF) ^ c1 ^ np.uint64(k0),
            (product0 >> _HALF) ^ c3 ^ np.uint64(k1),
        )
        c1, c3 = product1 & _MASK, product0 & _MASK
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return np.stack([c0, c1, c2, c3], axis=-1).astype(np.uint32)


def words(substream, count, seed=SEED, stream=STREAM_TEST):
    """The first `count` 32-bit words of a substream: element i is word i % 4 of block i / 4."""
    blocks = (count + 3) // 4
    key = (seed & 0xFFFFFFFF, seed >> 32)
    result = np.empty((blocks, 4), np.uint32)
    for begin in range(0, blocks, _CHUNK):
        index = np.arange(begin, min(begin + _CHUNK, blocks), dtype=np.uint64)
        counter = (index & _MASK, index >> _HALF, np.full_like(index, stream), np.full_like(index, substream))
        result[begin : begin + len(index)] = philox_4x32_10(counter, key)
    return result.reshape(-1)[:count]


def uniform(substream, shape):
    """float32 in [0, 1) from the upper 24 bits of each word: exact."""
    values = (words(substream, math.prod(shape)) >> np.uint32(8)).astype(np.float32)
    return (values * np.float32(2.0**-24)).reshape(shape)


def symmetric(substream, shape):
    """2u - 1 in float32: exact, in [-1, 1)."""
    return np.float32(2) * uniform(substream, shape) - np.float32(1)


def images(substream, batch):
    """(batch, 3, 32, 32), (u - 0.5) * 4 in float32: exact, in [-2, 2)."""
    return (uniform(substream, (batch, 3, 32, 32)) - np.float32(0.5)) * np.float32(4)


def labels(substream, batch, classes):
    """floor(u * classes), in integers, so without rounding."""
    upper = (words(substream, batch) >> np.uint32(8)).astype(np.int64)
    return (upper * classes) >> 24


def self_check():
    """Random123's known answers for Philox4x32-10."""
    known = {
        (0x00000000,) * 6: (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8),
        (0xFFFFFFFF,) * 6: (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD),
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344, 0xA4093822, 0x299F31D0): (
            0xD16CFE09,
            0x94FDCCEB,
            0x5001E420,
            0x24126EA1,
        ),
    }
    for numbers, expected in known.items():
        found = philox_4x32_10([[number] for number in numbers[:4]], numbers[4:])[0]
        if tuple(int(word) for word in found) != expected:
            raise SystemExit(f"philox: expected {expected} for counter and key {numbers}, got {found}")

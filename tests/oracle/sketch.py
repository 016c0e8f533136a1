# SPDX-License-Identifier: MIT
"""A tensor in a few numbers, from which the norm of a difference can be estimated, and the files with these numbers."""

import json

import numpy as np

import philox

_CHUNK = 1 << 18


def rounded(value):
    """Rounds floats to 9 significant digits, in lists and dictionaries: enough to restore a float32 exactly."""
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [rounded(item) for item in value]
    if isinstance(value, (float, np.floating)):
        return float(f"{float(value):.9g}") + 0.0  # + 0.0: no negative zero
    return value.item() if isinstance(value, np.generic) else value


def sketches(tensors, substream, projections):
    """One sketch per array, for float64 arrays of one shape, all with the same random signs.

    Projection k is the sum over i of ±x_i, in row-major order; the sign of element i is + if bit k of word i of the
    substream is set.
    """
    flat = np.stack([np.asarray(tensor, np.float64).reshape(-1) for tensor in tensors])
    bits = philox.words(substream, flat.shape[1])
    sums = np.zeros((projections, len(tensors)))
    for begin in range(0, flat.shape[1], _CHUNK):
        part = flat[:, begin : begin + _CHUNK]
        chunk = bits[begin : begin + _CHUNK]
        for k in range(projections):
            signs = ((chunk >> np.uint32(k)) & np.uint32(1)).astype(np.float64) * 2 - 1
            sums[k] += part @ signs
    return [
        {"norm": np.linalg.norm(row), "first": row[:4], "projections": sums[:, number]}
        for number, row in enumerate(flat)
    ]


def named_sketches(values):
    """One sketch per array of a dictionary, with its name; the arrays' signs are of substreams in their order."""
    return [
        {"name": name, **sketches([value], philox.SUBSTREAM_SIGNS + ordinal, 16)[0]}
        for ordinal, (name, value) in enumerate(values.items())
    ]


def relative_error(found, expected):
    """Norm of the difference divided by the norm of the expected values."""
    scale = np.linalg.norm(expected)
    return float(np.linalg.norm(np.asarray(found, np.float64) - expected) / scale) if scale > 0 else 0.0


def write(path, content):
    """JSON with one entry per line, and one element per line for the lists of objects in it."""
    lines = []
    for key, value in rounded(content).items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            items = ",\n".join(" " + json.dumps(item, separators=(",", ":")) for item in value)
            text = f"[\n{items}\n]"
        else:
            text = json.dumps(value, separators=(",", ":"))
        lines.append(f"{json.dumps(key)}: {text}")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="ascii")

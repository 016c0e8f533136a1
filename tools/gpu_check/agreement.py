#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Whether two runs of one training step agree, for tools/gpu_check.sh.

    agreement.py PRECISION REFERENCE RUN

REFERENCE and RUN are run folders of the same settings on two devices. Compared are the loss before the step, the loss
after it, and the tensors of the checkpoints: weights, running statistics, and the optimizer's momentum, which after one
step is the gradient with weight decay. Prints the largest differences; exits with 1 if one is above its tolerance.

Two devices add in different orders and contract different products and sums, so the last bits differ. In f32 this
changes a gradient of resnet8 by about 2e-6 (the CPU backend against the emulator). In tf32 and bf16 an operand that is
close to a rounding boundary can be rounded to either side, which changes it by 2^-11 or 2^-8; a sum's last bits decide
this for about one operand in a thousand. If an input of a ReLU thereby changes its sign, a piece of the gradient
changes by more: a change of 1.6e-2 in tf32 was seen between the emulator and nvcc's contracted code, which give the
same bits without contraction. If all operands are rounded anew, the gradient changes by 4e-2 and 1e-1 (the emulator's
tf32 and bf16 against its f32). This bounds the effect of rounding some operands, so these are the tolerances for the
momentum and for biases, which start at zero. A fault (a wrong layout, a lost term, a wrong mask) changes results by
their own size.
Needs only Python 3.6.
"""

import array
import json
import math
import pathlib
import struct
import sys

import run_log

# Largest relative difference of a piece of a tensor, in the 2-norm.
TOLERANCE = {"f32": 1e-4, "tf32": 1e-2, "bf16": 2e-2}
GRADIENT_TOLERANCE = {"f32": 1e-4, "tf32": 4e-2, "bf16": 1e-1}  # for gradients
GRADIENT = "gradamp.optimizer.momentum"
PIECE = 4096  # elements of a large tensor per comparison, so that a fault in a small layer is not hidden
FLOOR = 0.05  # a piece counts at least as this fraction of its tensor's root mean square


def read_tensors(path):
    """{name: values} of the float tensors in a safetensors file."""
    data = path.read_bytes()
    (length,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8 : 8 + length].decode("utf-8"))
    tensors = {}
    for name, entry in header.items():
        if name == "__metadata__" or entry["dtype"] not in ("F32", "F64"):
            continue
        begin, end = entry["data_offsets"]
        values = array.array("f" if entry["dtype"] == "F32" else "d")
        values.frombytes(data[8 + length + begin : 8 + length + end])
        tensors[name] = values
    return tensors


def norm(values):
    return math.sqrt(sum(value * value for value in values))


def difference(reference, values):
    """The largest relative difference of a piece of two tensors, in the 2-norm; infinite if a value is not finite."""
    if len(reference) != len(values) or not all(map(math.isfinite, values)):
        return math.inf
    mean_square = norm(reference) / math.sqrt(max(1, len(reference)))
    largest = 0.0
    for begin in range(0, len(reference), PIECE):
        one, other = reference[begin : begin + PIECE], values[begin : begin + PIECE]
        error = norm([a - b for a, b in zip(one, other)])
        size = max(norm(one), FLOOR * mean_square * math.sqrt(len(one)))
        if error > 0:
            largest = max(largest, error / size if size > 0 else math.inf)
    return largest


def is_gradient(name):
    """Whether the tensor is a scaled gradient after one step, because it was zero before."""
    return name == GRADIENT or name.endswith(".bias")


def compare(reference, run):
    """{what: relative difference} of two run folders. Error if one of them does not contain a step."""
    epochs = [run_log.read_metrics(folder)[0] for folder in (reference, run)]
    found = {}
    for key in ("train_loss", "test_loss"):
        one, other = (epoch[key] for epoch in epochs)
        if not all(isinstance(value, float) and math.isfinite(value) for value in (one, other)):
            raise ValueError("{} is {} and {}".format(key, one, other))
        found[key] = abs(one - other) / abs(one)
    ours, theirs = (read_tensors(folder / "checkpoint.safetensors") for folder in (run, reference))
    if set(ours) != set(theirs) or not ours:
        raise ValueError("the checkpoints do not hold the same tensors: " + ", ".join(sorted(set(ours) ^ set(theirs))))
    for name in theirs:
        found[name] = difference(theirs[name], ours[name])
    return found


def main(arguments):
    if len(arguments) != 3 or arguments[0] not in TOLERANCE:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        found = compare(*map(pathlib.Path, arguments[1:]))
    except (OSError, LookupError, ValueError, struct.error) as error:
        print("cannot be compared: {}".format(error))
        return 1
    tolerance = {
        name: (GRADIENT_TOLERANCE if is_gradient(name) else TOLERANCE)[arguments[0]] for name in found
    }
    worst = sorted(found, key=lambda name: found[name] / tolerance[name], reverse=True)
    wrong = [name for name in worst if not found[name] <= tolerance[name]]
    for name in worst:
        print("{:.2e}  {}".format(found[name], name))
    if wrong:
        text = ", ".join("{} by {:.1e}".format(name, found[name]) for name in wrong[:5])
        text = "{} of {} differ by more than {:g}: {}".format(len(wrong), len(found), tolerance[wrong[0]], text)
        print(text)
        return 1
    print(
        "{} tensors and losses; largest difference {:.1e} ({}), tolerance {:g}".format(
            len(found), found[worst[0]], worst[0], tolerance[worst[0]]
        )
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

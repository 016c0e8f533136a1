# SPDX-License-Identifier: MIT
"""Label smoothing by PyTorch over 20 steps, and the squares of cutout by a second implementation."""

import numpy as np
import torch
from torch.nn import functional

import networks
import philox
import training
from sketch import named_sketches, relative_error

STEPS = 20
NETWORK, BATCH, CLASSES = "resnet8", 4, 10
LABEL_SMOOTHING = 0.1


def train_smoothed(dtype):
    """Losses, first gradients and final weights of 20 steps from the clear start, with a new batch every step."""
    network = networks.made_network(NETWORK, CLASSES, "clear", dtype)
    optimizer = training.optimizer_for(network)
    losses = []
    for step in range(STEPS):
        images, labels = training.batch_of(
            BATCH, CLASSES, dtype, philox.SUBSTREAM_EPOCH_IMAGES + step, philox.SUBSTREAM_EPOCH_LABELS + step
        )
        optimizer.zero_grad()
        loss = functional.cross_entropy(network(images), labels, label_smoothing=LABEL_SMOOTHING)
        loss.backward()
        losses.append(loss.item())
        optimizer.step()
    return losses, {name: training.array(value) for name, value in network.named_parameters()}


def record_label_smoothing():
    network = networks.made_network(NETWORK, CLASSES, "clear", torch.float64)
    initial = {name: training.array(value) for name, value in network.named_parameters()}
    losses, weights = train_smoothed(torch.float64)
    single_losses, single_weights = train_smoothed(torch.float32)
    return {
        **training.header(NETWORK, network, CLASSES, BATCH),
        "start": "clear",
        "steps": STEPS,
        "label_smoothing": LABEL_SMOOTHING,
        "sgd": {**training.SGD, "nesterov": False},
        "parameters": training.initial_parameters(network, "clear", initial),
        "losses": losses,
        "float32": {
            "losses": relative_error(single_losses, losses),
            "weights": training.worst(
                {name: relative_error(single_weights[name], value) for name, value in weights.items()}
            ),
        },
        "weights": named_sketches(weights),
    }


STREAM_CUTOUT = 7  # RandomStream::kCutout

# (seed, epoch, position of the first image, height, width, side): odd and even sides, one pixel, a seed of more than 32
# bits, a square larger than the image, and CIFAR's size with the paper's side.
CUTOUTS = [
    (77, 2, 0, 9, 6, 3),
    (77, 3, 5, 9, 6, 4),
    (77, 3, 0, 6, 9, 1),
    (0x123456789ABCDEF, 1000, 2, 5, 7, 2),
    (4, 1, 1, 5, 5, 11),
    (1, 1, 100, 32, 32, 16),
]
CUTOUT_IMAGES = 12


def cutout_mask(seed, epoch, position, height, width, side):
    """The pixels of one image that become the mean: (height, width) of bool, from the distances to the center."""
    counter = [[position & 0xFFFFFFFF], [position >> 32], [STREAM_CUTOUT], [epoch]]
    random = philox.philox_4x32_10(counter, (seed & 0xFFFFFFFF, seed >> 32))[0]
    rows, columns = np.indices((height, width))
    inside = np.ones((height, width), bool)
    for axis, draw, extent in ((rows, random[0], height), (columns, random[1], width)):
        offset = axis - int(draw) * extent // 2**32  # from the center
        # An even side has one pixel more before the center than behind it.
        inside &= (offset >= -(side // 2)) & (offset <= (side - 1) // 2)
    return inside


def record_cutout():
    return {
        "images": CUTOUT_IMAGES,
        "cases": [
            {
                "seed": str(seed),
                "epoch": epoch,
                "position": position,
                "height": height,
                "width": width,
                "side": side,
                "masks": [
                    "".join(
                        ".#"[pixel]
                        for pixel in cutout_mask(seed, epoch, position + n, height, width, side).reshape(-1).astype(int)
                    )
                    for n in range(CUTOUT_IMAGES)
                ],
            }
            for seed, epoch, position, height, width, side in CUTOUTS
        ],
    }


RECORDINGS = {
    "label_smoothing": ("optim", record_label_smoothing),
    "cutout": ("kernels", record_cutout),
}

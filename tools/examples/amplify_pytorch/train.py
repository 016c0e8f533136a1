# SPDX-License-Identifier: MIT
"""Trains a small network on CIFAR-10 with PyTorch. The five lines that end in "# +" add intelligent gradient
amplification. Usage: train.py FOLDER [EPOCHS]; FOLDER has data_batch_1.bin and test_batch.bin of the binary version."""

import pathlib
import sys

import numpy
import torch
from torch import nn

import gradamp.torch  # +


def read(path):
    """(images in [-1, 1], labels) of a CIFAR-10 file."""
    records = torch.from_numpy(numpy.fromfile(path, numpy.uint8).reshape(-1, 3073))
    return records[:, 1:].reshape(-1, 3, 32, 32) / 127.5 - 1, records[:, 0].long()


def conv(inputs, outputs):
    convolution = nn.Conv2d(inputs, outputs, 3, stride=2, padding=1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU())


if len(sys.argv) not in (2, 3):
    print("usage: train.py FOLDER [EPOCHS]", file=sys.stderr)
    sys.exit(2)
folder, epochs = pathlib.Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 15
images, labels = read(folder / "data_batch_1.bin")
test_images, test_labels = read(folder / "test_batch.bin")
torch.manual_seed(1)
model = nn.Sequential(conv(3, 16), conv(16, 32), conv(32, 64), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)
amplifier = gradamp.torch.Amplifier(model, optimizer, strategy="params_1", threshold=1.0, epochs=epochs)  # +

for epoch in range(1, epochs + 1):
    model.train()
    amplifier.begin_epoch(epoch)  # +
    for batch in torch.randperm(len(images)).split(128):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(images[batch]), labels[batch]).backward()
        optimizer.step()
    if (measures := amplifier.end_epoch()) is not None:  # +
        print(measures)  # +
    model.eval()
    with torch.no_grad():
        accuracy = (model(test_images).argmax(1) == test_labels).float().mean().item()
    print(f"epoch {epoch}/{epochs}  test accuracy {100 * accuracy:.2f}%", flush=True)

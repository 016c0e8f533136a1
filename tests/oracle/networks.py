# SPDX-License-Identifier: MIT
"""The networks of nets/ in PyTorch (tools/python/gradamp/networks.py), and the initial values of the tests."""

import importlib.util
import math
import pathlib
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import nn
from torch.nn import functional

import philox

MODELS = pathlib.Path(__file__).resolve().parents[2] / "tools" / "python" / "gradamp" / "networks.py"


def _load_models():
    """The package's module alone: the package itself needs its library."""
    spec = importlib.util.spec_from_file_location("gradamp_networks", MODELS)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_models = _load_models()
NAMES, Block, build, parameter_count = _models.NAMES, _models.Block, _models.build, _models.parameter_count

LAYER_TYPES = {nn.Conv2d: "conv", nn.BatchNorm2d: "bn", nn.Linear: "linear"}


def layers(network):
    """The layers of optim/README.md: (name, type, module) of every module with its own parameters, in order."""
    return [
        (name, LAYER_TYPES[type(module)], module)
        for name, module in network.named_modules()
        if type(module) in LAYER_TYPES
    ]


@dataclass(frozen=True)
class Initial:
    """The rule by which a parameter's initial values follow from its random numbers. See README.md for the formulas."""

    scale: np.float32
    center: np.float32 = np.float32(0)
    paired: bool = False  # the filters of input channels 2j and 2j + 1 are each other's negative
    negative: bool = False  # the center is negated in the channels 6 and 7 of every 8

    def values(self, ordinal, shape):
        value = philox.symmetric(philox.SUBSTREAM_PARAMETERS + ordinal, shape) * self.scale
        if self.paired:
            value[:, 1::2] = -value[:, 0 : shape[1] - 1 : 2]
        center = np.full(shape, self.center)
        if self.negative:
            center[np.arange(shape[0]) % 8 >= 6] *= np.float32(-1)
        return center + value


def usual_initial(kind, tensor, shape):
    """Values like those at the start of a training: batch norm's outputs are centered at zero."""
    if kind == "bn":
        return Initial(np.float32(0.1), np.float32(1 if tensor == "weight" else 0))
    if tensor == "bias":
        return Initial(np.float32(0.1))
    fan_in = math.prod(shape[1:])
    return Initial(np.float32(math.sqrt((6 if kind == "conv" else 1) / fan_in)))


def clear_initial(kind, tensor, shape, feeds_sum):
    """Values that keep every ReLU's input away from zero, so that rounding cannot switch one on or off.

    Batch norm gives +-1 with std 1/8. Paired filters remove that mean again; otherwise the zeros around the image would
    be the strongest signal in it. The terms of a residual sum are positive in all channels, and one eighth of that, so
    that sums over many blocks stay small.
    """
    if kind == "bn":
        size = 1 / 8 if feeds_sum else 1
        if tensor == "weight":
            return Initial(np.float32(size / 64), np.float32(size / 8))
        return Initial(np.float32(size / 64), np.float32(size), negative=not feeds_sum)
    usual = usual_initial(kind, tensor, shape)
    return replace(usual, paired=kind == "conv" and tensor == "weight")


def feeds_residual_sum(network, module):
    block = network.get_submodule(module.rpartition(".")[0])
    if isinstance(block, Block):
        return module.endswith(f".bn{block.depth}")
    return ".shortcut." in module


def initials(network, kind_of_start):
    """(name, Initial) of every parameter in order, for the start "usual" or "clear"."""
    kinds = {name: kind for name, kind, _ in layers(network)}
    result = []
    for name, parameter in network.named_parameters():
        module, _, tensor = name.rpartition(".")
        kind, shape = kinds[module], tuple(parameter.shape)
        if kind_of_start == "usual":
            result.append((name, usual_initial(kind, tensor, shape)))
        else:
            feeds_sum = kind == "bn" and feeds_residual_sum(network, module)
            result.append((name, clear_initial(kind, tensor, shape, feeds_sum)))
    return result


def made_network(name, classes, start, dtype):
    """The network with these initial values: float32 values, whatever the type."""
    network = build(name, classes)
    with torch.no_grad():
        for ordinal, (parameter_name, initial) in enumerate(initials(network, start)):
            parameter = network.get_parameter(parameter_name)
            parameter.copy_(torch.from_numpy(initial.values(ordinal, tuple(parameter.shape))))
    return network.to(dtype)


class Margins:
    """Records how close a network's ReLU inputs are to zero, and the two largest values in a pooling window."""

    def __init__(self, network):
        self.relu, self.max_pool = math.inf, math.inf
        for module in network.modules():
            if isinstance(module, nn.ReLU):
                module.register_forward_hook(self._after_relu)
            elif isinstance(module, nn.MaxPool2d):
                module.register_forward_hook(self._after_max_pool)

    def _after_relu(self, _module, inputs, _output):
        self.relu = min(self.relu, inputs[0].detach().abs().min().item())

    def _after_max_pool(self, _module, inputs, _output):
        x = inputs[0].detach()
        windows = functional.unfold(x.flatten(0, 1).unsqueeze(1), 2, stride=2)  # 2x2 windows: (N * C, 4, windows)
        top = windows.topk(2, dim=1).values
        gaps = (top[:, 0] - top[:, 1])[top[:, 0] > 0]  # at zero, ReLU stops the gradient anyway
        self.max_pool = min(self.max_pool, gaps.min().item())

    def as_record(self):
        return {name: value for name, value in vars(self).items() if math.isfinite(value)}

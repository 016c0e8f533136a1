# SPDX-License-Identifier: MIT
"""The networks of the program gradamp as PyTorch modules, with the parameter names of the well-known CIFAR versions.

VGG-19 and ResNet-18/34/50/101 are named as in kuangliu/pytorch-cifar, resnet8/20/32/56/110 as in
akamaster/pytorch_resnet_cifar10 (shortcuts without parameters: option A of He et al.). Images are (N, 3, H, W).
"""

from torch import nn
from torch.nn import functional

PARAMETER_COUNTS = {  # for 10 classes: the paper's, and the usual counts of the small networks
    "vgg19": 20_040_522,
    "resnet18": 11_173_962,
    "resnet34": 21_282_122,
    "resnet50": 23_520_842,
    "resnet101": 42_512_970,
    "resnet20": 269_722,
    "resnet32": 464_154,
    "resnet56": 853_018,
    "resnet110": 1_727_962,
}


def conv(inputs, outputs, kernel, stride=1):
    return nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False)


class Vgg19(nn.Module):
    """Sixteen 3x3 convolutions with bias, each followed by batch norm and ReLU, in five stages that end in pooling."""

    STAGES = ((64, 2), (128, 2), (256, 4), (512, 4), (512, 4))  # (channels, convolutions)

    def __init__(self, classes):
        super().__init__()
        modules, channels = [], 3
        for width, repeats in self.STAGES:
            for _ in range(repeats):
                modules += [nn.Conv2d(channels, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU()]
                channels = width
            modules.append(nn.MaxPool2d(2, 2))
        modules.append(nn.AvgPool2d(1, 1))  # no effect, but it counts in the names of the modules
        self.features = nn.Sequential(*modules)
        self.classifier = nn.Linear(512, classes)

    def forward(self, x):
        return self.classifier(self.features(x).flatten(1))


class SubsampledShortcut(nn.Module):
    """Option A: every second pixel, and the same number of zero channels before and after."""

    def __init__(self, added_channels):
        super().__init__()
        self.pad = added_channels // 2

    def forward(self, x):
        return functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.pad, self.pad))


class Block(nn.Module):
    """A residual block: convolutions (outputs, kernel, stride) with batch norm, ReLU between them and after the sum."""

    def __init__(self, inputs, convolutions, make_shortcut):
        super().__init__()
        self.depth = len(convolutions)
        stride, channels = 1, inputs
        for number, (outputs, kernel, step) in enumerate(convolutions, start=1):
            self.add_module(f"conv{number}", conv(channels, outputs, kernel, step))
            self.add_module(f"bn{number}", nn.BatchNorm2d(outputs))
            self.add_module(f"relu{number}", nn.ReLU())
            channels, stride = outputs, stride * step
        self.shortcut = nn.Sequential()
        if stride != 1 or inputs != channels:
            self.shortcut = make_shortcut(inputs, channels, stride)

    def forward(self, x):
        out = x
        for number in range(1, self.depth + 1):
            out = getattr(self, f"bn{number}")(getattr(self, f"conv{number}")(out))
            if number == self.depth:
                out = out + self.shortcut(x)
            out = getattr(self, f"relu{number}")(out)
        return out


class ResNet(nn.Module):
    """A 3x3 stem, stages of blocks, global average pooling, one linear layer."""

    def __init__(self, stem, stages, convolutions, make_shortcut, classes):
        """stages: (width, blocks); convolutions(width, stride): a block's list for Block."""
        super().__init__()
        self.conv1 = conv(3, stem, 3)
        self.bn1 = nn.BatchNorm2d(stem)
        self.relu1 = nn.ReLU()
        channels = stem
        for number, (width, repeats) in enumerate(stages, start=1):
            blocks = []
            for position in range(repeats):
                stride = 2 if number > 1 and position == 0 else 1
                shape = convolutions(width, stride)
                blocks.append(Block(channels, shape, make_shortcut))
                channels = shape[-1][0]
            self.add_module(f"layer{number}", nn.Sequential(*blocks))
        self.depth = len(stages)
        self.linear = nn.Linear(channels, classes)

    def forward(self, x):
        out = self.relu1(self.bn1(self.conv1(x)))
        for number in range(1, self.depth + 1):
            out = getattr(self, f"layer{number}")(out)
        return self.linear(out.mean(dim=(2, 3)))


def basic(width, stride):
    return [(width, 3, stride), (width, 3, 1)]


def bottleneck(width, stride):
    return [(width, 1, 1), (width, 3, stride), (4 * width, 1, 1)]


def projection(inputs, outputs, stride):
    return nn.Sequential(conv(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs))


def subsampling(inputs, outputs, _stride):
    return SubsampledShortcut(outputs - inputs)


WIDE = {  # blocks per stage
    "resnet18": (basic, (2, 2, 2, 2)),
    "resnet34": (basic, (3, 4, 6, 3)),
    "resnet50": (bottleneck, (3, 4, 6, 3)),
    "resnet101": (bottleneck, (3, 4, 23, 3)),
}
SMALL = {"resnet8": 1, "resnet20": 3, "resnet32": 5, "resnet56": 9, "resnet110": 18}

NAMES = ("vgg19", *WIDE, *SMALL)


def build(name, classes=10):
    """The network in float32 with PyTorch's own initial values; its parameter count is checked."""
    if name not in NAMES:
        raise ValueError(f"expected a network of {', '.join(NAMES)}, got {name!r}")
    if name == "vgg19":
        network = Vgg19(classes)
    elif name in WIDE:
        convolutions, repeats = WIDE[name]
        stages = list(zip((64, 128, 256, 512), repeats, strict=True))
        network = ResNet(64, stages, convolutions, projection, classes)
    else:
        stages = [(width, SMALL[name]) for width in (16, 32, 64)]
        network = ResNet(16, stages, basic, subsampling, classes)
    count = parameter_count(network)
    if classes == 10 and count != PARAMETER_COUNTS.get(name, count):
        raise RuntimeError(f"{name}: expected {PARAMETER_COUNTS[name]} parameters, got {count}")
    return network


def parameter_count(network):
    return sum(parameter.numel() for parameter in network.parameters())

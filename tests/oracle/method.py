# SPDX-License-Identifier: MIT
"""The method (optim/README.md) in float64: for a synthetic epoch, for a real one, and with the placement `backprop`."""

from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

import networks
import philox
import training
from sketch import relative_error, sketches

STEPS = 20
THRESHOLDS = (0.0, 0.5, 0.7, 1.0, 1.5, 2.0)
GRANULARITIES = ("weight", "neuron")


class GradientSums:
    """S and A of every layer; a layer is a list of the names of its tensors."""

    def __init__(self, layers, granularity):
        self.layers, self.granularity = layers, granularity
        self.signed = [0.0] * len(layers)
        self.absolute = [0.0] * len(layers)

    def add(self, gradients):
        """gradients: one array per name, output channels or units first."""
        for number, names in enumerate(self.layers):
            if self.granularity == "weight":
                step = np.concatenate([gradients[name].reshape(-1) for name in names])
            else:  # a neuron's incoming weights: its row of the weight and its bias, or its gamma and beta
                step = sum(gradients[name].reshape(len(gradients[name]), -1).sum(axis=1) for name in names)
            self.signed[number] = self.signed[number] + step
            self.absolute[number] = self.absolute[number] + np.abs(step)

    def totals(self):
        return {
            "granularity": self.granularity,
            "counts": [len(layer) for layer in self.signed],
            "signed": [np.abs(layer).sum() for layer in self.signed],
            "absolute": [layer.sum() for layer in self.absolute],
        }

    def measure(self, name):
        """G (eq. 4) or G' (eq. 7) of every layer."""
        values = []
        for signed, absolute in zip(self.signed, self.absolute, strict=True):
            signed, absolute = np.abs(signed).astype(np.float64), absolute.astype(np.float64)
            if name == "G":
                total = absolute.sum()
                values.append(signed.sum() / total if total > 0 else 0.0)
            else:
                moved = absolute > 0
                values.append((signed[moved] / absolute[moved]).sum() / len(signed))
        return np.array(values)


def normalised(values):
    """Eq. 6 and 9, with the population standard deviation."""
    deviation = values.std()
    return (values - values.mean()) / deviation if deviation > 0 else np.zeros_like(values)


def measure_records(all_sums):
    records = []
    for sums in all_sums:
        for name in ("G", "G'"):
            values = sums.measure(name)
            records.append(
                {
                    "granularity": sums.granularity,
                    "measure": name,
                    "values": values,
                    "mean": values.mean(),
                    "deviation": values.std(),
                    "normalised": normalised(values),
                }
            )
    return records


def distance(records, threshold):
    """The smallest distance of a normalized value, or of its absolute value, from the threshold."""
    every = np.concatenate([record["normalised"] for record in records])
    return min(np.abs(every - threshold).min(), np.abs(np.abs(every) - threshold).min())


def clear_thresholds(records, margin):
    """The thresholds, raised in steps of 0.01 until no normalized value is within the margin."""
    result = []
    for threshold in THRESHOLDS:
        while distance(records, threshold) < margin:
            threshold = round(threshold + 0.01, 2)
        result.append(threshold)
    return result


def selection_records(records, thresholds):
    """Cases 1 and 2: the indices of the selected layers."""
    selections = []
    for record in records:
        for case in (1, 2):
            values = record["normalised"] if case == 1 else np.abs(record["normalised"])
            for threshold in thresholds:
                selections.append(
                    {
                        "granularity": record["granularity"],
                        "measure": record["measure"],
                        "case": case,
                        "threshold": threshold,
                        "selected": np.flatnonzero(values > threshold).tolist(),
                    }
                )
    return selections


# The synthetic epoch


@dataclass(frozen=True)
class MadeTensor:
    """A tensor whose gradients are random numbers plus a drift. Scales are powers of two: see README.md."""

    name: str
    shape: tuple
    scale: float
    drift: float
    alternating: bool = False  # an odd step has the negated random part of the previous step: nearly all cancels

    def gradient(self, ordinal, step):
        drawn = step - step % 2 if self.alternating else step
        values = philox.symmetric(philox.SUBSTREAM_GRADIENTS + 100 * drawn + ordinal, self.shape)
        if drawn != step:
            values = -values
        powers = np.array([1, 2, 4], np.float32)[np.arange(values.size) % 3].reshape(self.shape)
        return values * (np.float32(self.scale) * powers) + np.float32(self.drift)

    def initial(self, ordinal):
        return philox.symmetric(philox.SUBSTREAM_PARAMETERS + ordinal, self.shape) * np.float32(0.5)


MADE_TENSORS = [
    MadeTensor("conv1.weight", (8, 3, 3, 3), 1.0, 0.0),
    MadeTensor("conv1.bias", (8,), 0.5, 0.25),
    MadeTensor("bn1.weight", (8,), 0.5, 0.125),
    MadeTensor("bn1.bias", (8,), 2.0, -0.25),
    MadeTensor("conv2.weight", (16, 8, 3, 3), 1.0, 0.015625, alternating=True),
    MadeTensor("bn2.weight", (16,), 1.0, -0.5),
    MadeTensor("bn2.bias", (16,), 1.0, 0.5),
    MadeTensor("conv3.weight", (16, 16, 1, 1), 0.25, 0.125),
    MadeTensor("bn3.weight", (16,), 1.0, 0.0),
    MadeTensor("bn3.bias", (16,), 0.125, 0.0),
    MadeTensor("linear.weight", (10, 16), 0.5, 1.0),
    MadeTensor("linear.bias", (10,), 0.5, 0.5),
    MadeTensor("unused.weight", (4, 16, 1, 1), 0.0, 0.0),
]
MADE_AMPLIFIED = ("conv2", "linear")
FACTOR = 2.0


def made_layers():
    layers = {}
    for tensor in MADE_TENSORS:
        layers.setdefault(tensor.name.rpartition(".")[0], []).append(tensor.name)
    return layers


def made_weights(nesterov):
    """The tensors after the epoch's steps by torch.optim.SGD, with two layers amplified."""
    parameters = [
        torch.from_numpy(tensor.initial(ordinal).astype(np.float64)).requires_grad_()
        for ordinal, tensor in enumerate(MADE_TENSORS)
    ]
    optimizer = torch.optim.SGD(
        parameters,
        lr=training.SGD["learning_rate"],
        momentum=training.SGD["momentum"],
        weight_decay=training.SGD["weight_decay"],
        nesterov=nesterov,
    )
    for step in range(STEPS):
        for ordinal, (tensor, parameter) in enumerate(zip(MADE_TENSORS, parameters, strict=True)):
            factor = FACTOR if tensor.name.rpartition(".")[0] in MADE_AMPLIFIED else 1.0
            parameter.grad = factor * torch.from_numpy(tensor.gradient(ordinal, step).astype(np.float64))
        optimizer.step()
    return {
        tensor.name: training.array(parameter).reshape(-1)
        for tensor, parameter in zip(MADE_TENSORS, parameters, strict=True)
    }


def record_made_up_epoch():
    layers = made_layers()
    all_sums = [GradientSums(list(layers.values()), granularity) for granularity in GRANULARITIES]
    for step in range(STEPS):
        gradients = {
            tensor.name: tensor.gradient(ordinal, step).astype(np.float64)
            for ordinal, tensor in enumerate(MADE_TENSORS)
        }
        for sums in all_sums:
            sums.add(gradients)
    measures = measure_records(all_sums)
    for threshold in THRESHOLDS:
        if distance(measures, threshold) < 1e-3:
            raise SystemExit(f"made-up epoch: a normalised value is too near the threshold {threshold}")
    weights = [made_weights(nesterov) for nesterov in (False, True)]
    return {
        "seed": philox.SEED,
        "steps": STEPS,
        "sgd": training.SGD,
        "amplified": MADE_AMPLIFIED,
        "factor": FACTOR,
        "layers": [
            {"name": name, "type": name.rstrip("123").replace("unused", "conv"), "parameters": tensors}
            for name, tensors in layers.items()
        ],
        "tensors": [
            {
                "name": tensor.name,
                "shape": tensor.shape,
                "scale": tensor.scale,
                "drift": tensor.drift,
                "alternating": tensor.alternating,
                "initial_first": tensor.initial(ordinal).reshape(-1)[:4],
                "gradient_first": tensor.gradient(ordinal, 0).reshape(-1)[:4],
                "last_gradient_first": tensor.gradient(ordinal, STEPS - 1).reshape(-1)[:4],
            }
            for ordinal, tensor in enumerate(MADE_TENSORS)
        ],
        "sums": [sums.totals() for sums in all_sums],
        "measures": measures,
        "selections": selection_records(measures, THRESHOLDS),
        "weights": [
            {"name": tensor.name, "sgd": weights[0][tensor.name], "nesterov": weights[1][tensor.name]}
            for tensor in MADE_TENSORS
        ],
    }


# A real epoch

EPOCH_NETWORK = "resnet8"
EPOCH_BATCH = 8


def train_epoch(dtype):
    """Sums by weight and by neuron, losses and weights of a short epoch with a new batch every step.

    From the clear start: with the usual one, rounding would decide some ReLU input in twenty steps.
    """
    network = networks.made_network(EPOCH_NETWORK, 10, "clear", dtype)
    initial = {name: training.array(parameter) for name, parameter in network.named_parameters()}
    layers = [record["parameters"] for record in training.layer_records(network)]
    all_sums = [GradientSums(layers, granularity) for granularity in GRANULARITIES]
    optimizer = training.optimizer_for(network)
    losses = []
    for step in range(STEPS):
        images, labels = training.batch_of(
            EPOCH_BATCH, 10, dtype, philox.SUBSTREAM_EPOCH_IMAGES + step, philox.SUBSTREAM_EPOCH_LABELS + step
        )
        optimizer.zero_grad()
        loss = functional.cross_entropy(network(images), labels)
        loss.backward()
        losses.append(loss.item())
        gradients = {name: parameter.grad.numpy() for name, parameter in network.named_parameters()}
        for sums in all_sums:
            sums.add(gradients)
        optimizer.step()
    weights = {name: training.array(parameter) for name, parameter in network.named_parameters()}
    return network, initial, all_sums, losses, weights


def record_real_epoch():
    network, initial, all_sums, losses, weights = train_epoch(torch.float64)
    _, _, single_sums, single_losses, single_weights = train_epoch(torch.float32)
    measures, single = measure_records(all_sums), measure_records(single_sums)
    thresholds = clear_thresholds(measures, margin=1e-2)

    def largest(key):
        return max(float(np.abs(a[key] - b[key]).max()) for a, b in zip(measures, single, strict=True))

    return {
        **training.header(EPOCH_NETWORK, network, 10, EPOCH_BATCH),
        "start": "clear",
        "steps": STEPS,
        "sgd": {**training.SGD, "nesterov": False},
        "parameters": training.initial_parameters(network, "clear", initial),
        "losses": losses,
        "float32": {
            "losses": relative_error(single_losses, losses),
            "values": largest("values"),
            "normalised": largest("normalised"),
            "same_selections": selection_records(measures, thresholds) == selection_records(single, thresholds),
            "weights": training.worst(
                {name: relative_error(single_weights[name], value) for name, value in weights.items()}
            ),
        },
        "thresholds": thresholds,
        "nearest_to_a_threshold": min(distance(measures, threshold) for threshold in thresholds),
        "layers": training.layer_records(network),
        "sums": [sums.totals() for sums in all_sums],
        "measures": measures,
        "selections": selection_records(measures, thresholds),
        "weights": [
            {"name": name, **sketches([value], philox.SUBSTREAM_SIGNS + ordinal, 16)[0]}
            for ordinal, (name, value) in enumerate(weights.items())
        ],
    }


# The placement `backprop`

PLACEMENTS = {
    "layers": ("layer1.0.conv1", "layer2.0.bn2", "linear"),
    "relus": ("layer2.0.relu2", "layer3.0.relu1"),
}
PLACEMENT_CASE = next(case for case in training.CASES if case.name == "resnet8_10")


def placed_gradients(modules, dtype):
    """Gradients if the gradient that arrives at the output of each of the modules is multiplied."""
    case = PLACEMENT_CASE
    network = networks.made_network(case.network, case.classes, case.start, dtype)

    def amplify(_module, _inputs, output):
        output.register_hook(lambda gradient: FACTOR * gradient)

    for name in modules:
        network.get_submodule(name).register_forward_hook(amplify)
    images, labels = case.batch(dtype)
    functional.cross_entropy(network(images), labels).backward()
    return network, {name: training.array(value.grad) for name, value in network.named_parameters()}


def record_backprop():
    case = PLACEMENT_CASE
    placements = {}
    for placement, modules in PLACEMENTS.items():
        network, gradients = placed_gradients(modules, torch.float64)
        _, single = placed_gradients(modules, torch.float32)
        placements[f"{placement}_amplified"] = modules
        placements[f"{placement}_float32"] = training.worst(
            {name: relative_error(single[name], value) for name, value in gradients.items()}
        )
        placements[f"{placement}_gradients"] = [
            {
                "name": name,
                "shape": list(value.shape),
                **sketches([value], philox.SUBSTREAM_SIGNS + ordinal, case.projections)[0],
            }
            for ordinal, (name, value) in enumerate(gradients.items())
        ]
    return {
        **training.header(case.network, network, case.classes, training.BATCH),
        "start": case.start,
        "image_substream": case.images,
        "label_substream": case.images + 1,
        "projections": case.projections,
        "factor": FACTOR,
        **placements,
    }


RECORDINGS = {
    "made_up_epoch": record_made_up_epoch,
    "resnet8_epoch": record_real_epoch,
    "resnet8_backprop": record_backprop,
}

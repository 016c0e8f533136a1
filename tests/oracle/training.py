# SPDX-License-Identifier: MIT
"""The results of a network at batch 4: loss, gradients, five steps of SGD, batch norm's statistics, evaluation."""

from dataclasses import dataclass, field

import numpy as np
import torch
from torch.nn import functional

import networks
import philox
from sketch import relative_error, sketches

BATCH = 4
STEPS = 5
SGD = {"learning_rate": 0.01, "momentum": 0.9, "weight_decay": 5e-4}


@dataclass
class Case:
    """One recorded network."""

    network: str
    start: str = "clear"
    classes: int = 10
    nesterov: bool = False
    projections: int = 16
    images: int = philox.SUBSTREAM_IMAGES

    def batch(self, dtype):
        return batch_of(BATCH, self.classes, dtype, self.images, self.images + 1)

    @property
    def name(self):
        suffix = "_nesterov" if self.nesterov else ""
        return f"{self.network}_{self.classes}{suffix}"


# From the usual start, only the smallest networks have gradients that float32 can compute to better than 1e-3: in the
# others a few of a million ReLU inputs are so close to zero that rounding decides them. They have the clear start, and
# also record the first forward from the usual one, which such decisions hardly affect. If a decision can be close, the
# images are chosen (from some dozens) to maximize the first step's margins, with Nesterov (from 265) those of all steps:
# see "margins" in the files.
CASES = [
    Case("vgg19", images=8),
    Case("resnet18"),
    Case("resnet34"),
    Case("resnet50"),
    Case("resnet101", projections=8),
    Case("resnet8", start="usual", images=70),
    Case("resnet20", start="usual", images=116),
    Case("resnet32"),
    Case("resnet56"),
    Case("resnet110", projections=8),
    Case("resnet8", start="usual", images=70, classes=100),
    Case("resnet8", start="usual", images=146, nesterov=True),
]


@dataclass
class Run:
    """The results of one run, as float64 arrays in PyTorch's layout."""

    losses: list = field(default_factory=list)
    training_logits: np.ndarray = None
    gradients: dict = field(default_factory=dict)
    weights: dict = field(default_factory=dict)
    statistics: dict = field(default_factory=dict)
    evaluation_logits: np.ndarray = None
    evaluation_loss: float = 0.0
    margins: dict = field(default_factory=dict)  # of the first step, and of all


def array(tensor):
    return tensor.detach().to(torch.float64).numpy().copy()


def optimizer_for(network, nesterov=False):
    return torch.optim.SGD(
        network.parameters(),
        lr=SGD["learning_rate"],
        momentum=SGD["momentum"],
        weight_decay=SGD["weight_decay"],
        nesterov=nesterov,
    )


def batch_of(size, classes, dtype, image_substream, label_substream):
    images = torch.from_numpy(philox.images(image_substream, size)).to(dtype)
    return images, torch.from_numpy(philox.labels(label_substream, size, classes))


def statistics_of(network):
    """Running means and variances by name, in order: `num_batches_tracked` is left out."""
    return {name: array(value) for name, value in network.named_buffers() if value.is_floating_point()}


def train(case, dtype):
    network = networks.made_network(case.network, case.classes, case.start, dtype)
    margins = networks.Margins(network)
    images, labels = case.batch(dtype)
    optimizer = optimizer_for(network, case.nesterov)
    run = Run()
    network.train()
    for step in range(STEPS):
        optimizer.zero_grad()
        logits = network(images)
        loss = functional.cross_entropy(logits, labels)
        loss.backward()
        run.losses.append(loss.item())
        if step == 0:
            run.training_logits = array(logits)
            run.gradients = {name: array(value.grad) for name, value in network.named_parameters()}
            run.margins["first"] = margins.as_record()
        optimizer.step()
    run.weights = {name: array(value) for name, value in network.named_parameters()}
    run.statistics = statistics_of(network)
    run.margins["all"] = margins.as_record()
    network.eval()
    with torch.no_grad():
        logits = network(images)
        run.evaluation_logits = array(logits)
        run.evaluation_loss = functional.cross_entropy(logits, labels).item()
    return run


def first_forward(case, start):
    """Loss and logits of the first forward in training mode, in float64, and the error of float32."""
    results = []
    for dtype in (torch.float64, torch.float32):
        network = networks.made_network(case.network, case.classes, start, dtype)
        images, labels = case.batch(dtype)
        with torch.no_grad():
            logits = network(images)
            results.append((functional.cross_entropy(logits, labels).item(), array(logits)))
    (loss, logits), (single_loss, single_logits) = results
    return {
        "loss": loss,
        "logits": logits,
        "float32": {"loss": relative_error(single_loss, loss), "logits": relative_error(single_logits, logits)},
    }


def worst(errors):
    name = max(errors, key=errors.get)
    return {"max": errors[name], "where": name, "median": float(np.median(list(errors.values())))}


def vanishing(reference):
    """The parameters whose true gradient is zero, so that the computed one is rounding error; with a norm to compare.

    A constant that is added to a channel before batch norm changes nothing: such are the biases of VGG's convolutions,
    and those of batch norms before 1x1 convolutions. Their scale is the gradient of the weight in the same layer.
    """
    result = {}
    for name, gradient in reference.gradients.items():
        if name.endswith(".bias"):
            scale = np.linalg.norm(reference.gradients[name.removesuffix("bias") + "weight"])
            if np.linalg.norm(gradient) < 1e-9 * scale:
                result[name] = scale
    return result


def discrepancies(initial, run, reference):
    """The errors of PyTorch's float32 relative to its float64: a tolerance has to allow for them."""
    scales = vanishing(reference)
    gradients = {
        name: relative_error(run.gradients[name], expected)
        for name, expected in reference.gradients.items()
        if name not in scales
    }
    change = {
        name: relative_error(run.weights[name] - initial[name], expected - initial[name])
        for name, expected in reference.weights.items()
    }
    weights = {name: relative_error(run.weights[name], expected) for name, expected in reference.weights.items()}
    statistics = {name: relative_error(run.statistics[name], value) for name, value in reference.statistics.items()}
    together = [np.concatenate([*map(np.ravel, each.gradients.values())]) for each in (run, reference)]
    result = {
        "first_loss": relative_error(run.losses[0], reference.losses[0]),
        "losses": [relative_error(*pair) for pair in zip(run.losses, reference.losses, strict=True)],
        "gradients": worst(gradients),
        "all_gradients_together": relative_error(*together),
        "weights": worst(weights),
        "weight_changes": worst(change),
        "statistics": worst(statistics),
        "evaluation_logits": relative_error(run.evaluation_logits, reference.evaluation_logits),
    }
    if scales:
        result["vanishing_gradients"] = worst(
            {name: float(np.linalg.norm(run.gradients[name]) / scale) for name, scale in scales.items()}
        )
    return result


def initial_record(initial, value):
    return {
        "scale": initial.scale,
        "center": initial.center,
        "paired": initial.paired,
        "negative": initial.negative,
        "first": value.reshape(-1)[:4],
    }


def initial_parameters(network, start, initial):
    return [
        {"name": name, "shape": list(initial[name].shape), "initial": initial_record(how, initial[name])}
        for name, how in networks.initials(network, start)
    ]


def parameter_records(network, start, initial, run, projections):
    records = []
    scales = vanishing(run)
    for ordinal, (name, how) in enumerate(networks.initials(network, start)):
        weights = run.weights[name]
        gradient = np.zeros_like(weights) if name in scales else run.gradients[name]
        pair = sketches([gradient, weights], philox.SUBSTREAM_SIGNS + ordinal, projections)
        records.append(
            {
                "name": name,
                "shape": list(weights.shape),
                "initial": initial_record(how, initial[name]),
                "vanishing": name in scales,
                "gradient": pair[0],
                "weights": pair[1],
                "change_norm": np.linalg.norm(weights - initial[name]),
            }
        )
    return records


def layer_records(network):
    return [
        {"name": name, "type": kind, "parameters": [f"{name}.{tensor}" for tensor, _ in module.named_parameters()]}
        for name, kind, module in networks.layers(network)
    ]


def header(network_name, network, classes, batch):
    return {
        "network": network_name,
        "classes": classes,
        "batch": batch,
        "seed": philox.SEED,
        "parameter_count": networks.parameter_count(network),
    }


def record(case):
    """The content of one network's file."""
    network = networks.made_network(case.network, case.classes, case.start, torch.float64)
    initial = {name: array(value) for name, value in network.named_parameters()}
    reference = train(case, torch.float64)
    single = train(case, torch.float32)
    images, labels = case.batch(torch.float64)
    statistics = [
        {
            "name": name,
            "shape": list(value.shape),
            **sketches([value], philox.SUBSTREAM_STATISTIC_SIGNS + ordinal, case.projections)[0],
        }
        for ordinal, (name, value) in enumerate(reference.statistics.items())
    ]
    usual = {} if case.start == "usual" else {"usual_first_forward": first_forward(case, "usual")}
    return {
        **header(case.network, network, case.classes, BATCH),
        "start": case.start,
        "projections": case.projections,
        "sgd": {**SGD, "nesterov": case.nesterov, "steps": STEPS},
        "image_substream": case.images,
        "label_substream": case.images + 1,
        "images_first": array(images).reshape(-1)[:4],
        "labels": labels.tolist(),
        "losses": reference.losses,
        "training_logits": reference.training_logits,
        "evaluation_logits": reference.evaluation_logits,
        "evaluation_loss": reference.evaluation_loss,
        **usual,
        "margins": reference.margins,
        "float32": discrepancies(initial, single, reference),
        "layers": layer_records(network),
        "parameters": parameter_records(network, case.start, initial, reference, case.projections),
        "statistics": statistics,
    }

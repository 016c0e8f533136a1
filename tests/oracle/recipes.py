# SPDX-License-Identifier: MIT
"""Recipes of PyTorch's optimizers, schedules and clipping, over the synthetic gradients of method.py."""

import numpy as np
import torch
from torch.optim import lr_scheduler

import method
import philox
import training
from sketch import sketches

EPOCHS = 2
STEPS_PER_EPOCH = method.STEPS // EPOCHS
PROJECTIONS = 16
DEFAULTS = {
    "schedule": "phases",
    "strategy": "2:0.02",
    "peak_rate": 0.02,
    "warmup_steps": 0,
    "optimizer": "sgd",
    "momentum": 0.9,
    "nesterov": False,
    "weight_decay": 0.05,
    "beta1": 0.9,
    "beta2": 0.999,
    "epsilon": 1e-8,
    "decay_norm_bias": True,
    "clip_norm": 0.0,
}
RECIPES = {
    "cosine": {"schedule": "cosine"},
    "cosine after a warm-up": {"schedule": "cosine", "warmup_steps": 4, "strategy": "1:0.5, 2:0.1"},
    "one-cycle": {"schedule": "one-cycle", "nesterov": True},
    "phases with a warm-up": {"strategy": "1:0.02, 2:0.005", "warmup_steps": 13},
    "adamw": {"optimizer": "adamw", "weight_decay": 0.3},
    "adamw with other constants": {
        "optimizer": "adamw",
        "beta1": 0.6,
        "beta2": 0.95,
        "epsilon": 0.3,
        "schedule": "one-cycle",
    },
    "no decay of norms and biases": {"decay_norm_bias": False, "weight_decay": 0.5},
    "no decay of norms and biases, nesterov": {"decay_norm_bias": False, "weight_decay": 0.5, "nesterov": True},
    "clipping": {"clip_norm": 60.3},
    "adamw, everything": {
        "optimizer": "adamw",
        "epsilon": 0.01,
        "weight_decay": 0.5,
        "decay_norm_bias": False,
        "clip_norm": 20.0,
        "schedule": "cosine",
        "warmup_steps": 4,
    },
    "sgd, everything": {
        "nesterov": True,
        "weight_decay": 0.5,
        "decay_norm_bias": False,
        "clip_norm": 25.0,
        "schedule": "cosine",
        "warmup_steps": 4,
    },
}


def scheduler_of(recipe, optimizer):
    """Learning rates from step to step; recipe["strategy"] matters only to the schedule "phases"."""
    warmup = recipe["warmup_steps"]
    schedulers = []
    if warmup:
        schedulers.append(lr_scheduler.LinearLR(optimizer, start_factor=1 / (warmup + 1), total_iters=warmup))
    if recipe["schedule"] == "phases":
        rates = [float(phase.split(":")[1]) for phase in recipe["strategy"].split(",")]
        if len(rates) == 2:
            schedulers.append(lr_scheduler.MultiStepLR(optimizer, [STEPS_PER_EPOCH], gamma=rates[1] / rates[0]))
        return lr_scheduler.ChainedScheduler(schedulers) if schedulers else None
    if recipe["schedule"] == "one-cycle":
        return lr_scheduler.OneCycleLR(
            optimizer,
            max_lr=[group["lr"] for group in optimizer.param_groups], total_steps=method.STEPS,
            cycle_momentum=False,
        )
    schedulers.append(lr_scheduler.CosineAnnealingLR(optimizer, T_max=method.STEPS - warmup))
    return lr_scheduler.SequentialLR(optimizer, schedulers, milestones=[warmup]) if warmup else schedulers[0]


def is_amplified(name):
    return name.rpartition(".")[0] in method.MADE_AMPLIFIED


def optimizer_of(recipe, parameters):
    """One group per tensor. AdamW's factor multiplies a layer's update and not its decay: its learning rate is
    multiplied, and its decay divided, by the factor."""
    first = float(recipe["strategy"].split(",")[0].split(":")[1])
    rate = first if recipe["schedule"] == "phases" else recipe["peak_rate"]
    adamw = recipe["optimizer"] == "adamw"
    groups = []
    for tensor, parameter in zip(method.MADE_TENSORS, parameters, strict=True):
        decays = recipe["decay_norm_bias"] or len(tensor.shape) > 1
        factor = method.FACTOR if adamw and is_amplified(tensor.name) else 1.0
        groups.append(
            {
                "params": [parameter],
                "lr": rate * factor,
                "weight_decay": recipe["weight_decay"] / factor if decays else 0.0,
            }
        )
    if adamw:
        return torch.optim.AdamW(groups, betas=(recipe["beta1"], recipe["beta2"]), eps=recipe["epsilon"])
    return torch.optim.SGD(groups, lr=rate, momentum=recipe["momentum"], nesterov=recipe["nesterov"])


def run(recipe):
    """The learning rate of each step, and the tensors after all steps, in float64."""
    parameters = [
        torch.from_numpy(tensor.initial(ordinal).astype(np.float64)).requires_grad_()
        for ordinal, tensor in enumerate(method.MADE_TENSORS)
    ]
    optimizer = optimizer_of(recipe, parameters)
    scheduler = scheduler_of(recipe, optimizer)
    rates = []
    for step in range(method.STEPS):
        for ordinal, (tensor, parameter) in enumerate(zip(method.MADE_TENSORS, parameters, strict=True)):
            parameter.grad = torch.from_numpy(tensor.gradient(ordinal, step).astype(np.float64))
        if recipe["clip_norm"] > 0:  # the norms are between 59.3 and 62.2
            torch.nn.utils.clip_grad_norm_(parameters, recipe["clip_norm"])
        for tensor, parameter in zip(method.MADE_TENSORS, parameters, strict=True):
            if is_amplified(tensor.name) and recipe["optimizer"] == "sgd":
                parameter.grad *= method.FACTOR
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if scheduler:
            scheduler.step()
    return rates, [training.array(parameter) for parameter in parameters]


def record():
    recipes = []
    for name, changes in RECIPES.items():
        recipe = {**DEFAULTS, **changes}
        rates, weights = run(recipe)
        recipes.append(
            {
                "name": name,
                "options": recipe,
                "rates": rates,
                "weights": [
                    {"name": tensor.name, **sketches([value], philox.SUBSTREAM_SIGNS + ordinal, PROJECTIONS)[0]}
                    for ordinal, (tensor, value) in enumerate(zip(method.MADE_TENSORS, weights, strict=True))
                ],
            }
        )
    return {
        "seed": philox.SEED,
        "epochs": EPOCHS,
        "steps_per_epoch": STEPS_PER_EPOCH,
        "amplified": method.MADE_AMPLIFIED,
        "factor": method.FACTOR,
        "recipes": recipes,
    }


RECORDINGS = {"recipes": record}

# SPDX-License-Identifier: MIT
"""A batch in shards, by PyTorch's DistributedDataParallel: one process, a rank of gloo, computes each shard. And the
same batches whole, whose statistics shards have with synchronized batch norm."""

import os
import socket
import tempfile
from pathlib import Path

import numpy as np
import torch
from torch import distributed
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel

import networks
import philox
import training
from sketch import named_sketches, relative_error

STEPS = 5
NETWORK, SHARD, CLASSES = "resnet8", 4, 10  # SHARD: images
SHARDS = 4


def train_rank(rank, address, folder, dtype):
    """Five steps of one rank; its losses, weights and buffers go to a file."""
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=address, rank=rank, world_size=SHARDS)
    network = networks.made_network(NETWORK, CLASSES, "clear", dtype)
    parallel = DistributedDataParallel(network, broadcast_buffers=False)
    optimizer = training.optimizer_for(network)
    losses = []
    for step in range(STEPS):
        images, labels = training.batch_of(
            SHARD * SHARDS, CLASSES, dtype, philox.SUBSTREAM_EPOCH_IMAGES + step, philox.SUBSTREAM_EPOCH_LABELS + step
        )
        part = slice(rank * SHARD, (rank + 1) * SHARD)
        optimizer.zero_grad()
        loss = functional.cross_entropy(parallel(images[part]), labels[part])
        loss.backward()  # averages the gradients over the ranks
        losses.append(loss.item())
        optimizer.step()
    weights = {f"weight {name}": training.array(value) for name, value in network.named_parameters()}
    buffers = {f"buffer {name}": value for name, value in training.statistics_of(network).items()}
    np.savez(Path(folder) / f"{rank}.npz", losses=losses, **weights, **buffers)
    distributed.destroy_process_group()


def train(dtype):
    """(losses, weights, buffers): means over the ranks, whose weights are equal."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"tcp://localhost:{free.getsockname()[1]}"
    with tempfile.TemporaryDirectory() as folder:
        torch.multiprocessing.spawn(train_rank, (address, folder, dtype), nprocs=SHARDS)
        ranks = [dict(np.load(Path(folder) / f"{rank}.npz")) for rank in range(SHARDS)]
    means = {name: np.mean([rank[name] for rank in ranks], axis=0) for name in ranks[0]}
    losses = means.pop("losses")
    for name in means:
        if name.startswith("weight "):
            assert all(np.array_equal(rank[name], ranks[0][name]) for rank in ranks), name
    weights, buffers = (
        {name.partition(" ")[2]: value for name, value in means.items() if name.startswith(kind)}
        for kind in ("weight ", "buffer ")
    )
    return losses, weights, buffers


def train_whole(dtype):
    """(losses, weights, buffers) of a network that gets each batch as a whole."""
    network = networks.made_network(NETWORK, CLASSES, "clear", dtype)
    optimizer = training.optimizer_for(network)
    losses = []
    for step in range(STEPS):
        images, labels = training.batch_of(
            SHARD * SHARDS, CLASSES, dtype, philox.SUBSTREAM_EPOCH_IMAGES + step, philox.SUBSTREAM_EPOCH_LABELS + step
        )
        optimizer.zero_grad()
        loss = functional.cross_entropy(network(images), labels)
        loss.backward()
        losses.append(loss.item())
        optimizer.step()
    weights = {name: training.array(value) for name, value in network.named_parameters()}
    return np.array(losses), weights, training.statistics_of(network)


def outcome_of(train):
    """What `train` makes of float64, and how far float32 is from it."""
    losses, weights, buffers = train(torch.float64)
    single_losses, single_weights, single_buffers = train(torch.float32)
    return {
        "losses": losses,
        "float32": {
            "losses": relative_error(single_losses, losses),
            "weights": training.worst({name: relative_error(single_weights[name], weights[name]) for name in weights}),
            "statistics": training.worst(
                {name: relative_error(single_buffers[name], value) for name, value in buffers.items()}
            ),
        },
        "weights": named_sketches(weights),
        "statistics": named_sketches(buffers),
    }


def record_shards():
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    network = networks.made_network(NETWORK, CLASSES, "clear", torch.float64)
    initial = {name: training.array(value) for name, value in network.named_parameters()}
    return {
        **training.header(NETWORK, network, CLASSES, SHARD * SHARDS),
        "start": "clear",
        "steps": STEPS,
        "shards": SHARDS,
        "sgd": {**training.SGD, "nesterov": False},
        "parameters": training.initial_parameters(network, "clear", initial),
        **outcome_of(train),
        "whole": outcome_of(train_whole),
    }


RECORDINGS = {"shards": ("optim", record_shards)}

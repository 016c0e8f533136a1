#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Tests of gradamp.torch against the definitions in float64. Skipped if Python has no torch. Arguments: the library
libgradamp_statistics.so, and the tests to run."""

import copy
import dataclasses
import gc
import os
import pathlib
import pickle
import subprocess
import sys
import tempfile
import types
import unittest
import warnings
from unittest import mock

ROOT = pathlib.Path(__file__).resolve().parents[3]
if __name__ == "__main__":
    os.environ["GRADAMP_STATISTICS_LIBRARY"] = str(pathlib.Path(sys.argv.pop(1)).resolve())
sys.path[:0] = [str(ROOT / "tools" / "python"), str(ROOT / "tests" / "oracle")]
try:
    import numpy  # noqa: F401
    import torch
    import safetensors  # noqa: F401
except ImportError as missing:
    print(f"skipped: Python has no module {missing.name} (pip install torch numpy safetensors)")
    sys.exit(77)

import gradamp  # noqa: E402
import gradamp.torch  # noqa: E402
import networks  # noqa: E402


class Transformer(torch.nn.Module):
    """A small one, whose embedding and output share their weight."""

    def __init__(self):
        super().__init__()
        self.embedding = torch.nn.Embedding(50, 32)
        layer = torch.nn.TransformerEncoderLayer(32, 4, 64, dropout=0.0, batch_first=True)
        self.encoder = torch.nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.output = torch.nn.Linear(32, 50)
        self.output.weight = self.embedding.weight

    def forward(self, words):
        return self.output(self.encoder(self.embedding(words)))


def image_model():
    torch.manual_seed(1)
    return networks.build("resnet18", 10), lambda: torch.randn(4, 3, 16, 16), lambda: torch.randint(10, (4,))


def word_model():
    torch.manual_seed(2)
    return Transformer(), lambda: torch.randint(50, (4, 9)), lambda: torch.randint(50, (4, 9))


def backward(model, inputs, labels):
    model.zero_grad()
    logits = model(inputs)
    torch.nn.functional.cross_entropy(logits.reshape(-1, logits.shape[-1]), labels.reshape(-1)).backward()


class Reference:
    """[IGA] eq. 4 and 7, in float64, over the gradients that it was given. Layers as gradamp.torch has them."""

    def __init__(self, model, by_neuron):
        self.by_neuron, self.layers, seen = by_neuron, {}, set()
        for name, module in model.named_modules():
            own = [p for p in module.parameters(recurse=False) if p.requires_grad and id(p) not in seen]
            seen |= set(map(id, own))
            if own:
                self.layers[name] = own
        self.sums = {}

    def add(self):
        for name, parameters in self.layers.items():
            gradients = [torch.zeros_like(p).double() if p.grad is None else p.grad.double() for p in parameters]
            if self.by_neuron:
                rows = {}  # tensors with equally many rows have the same neurons
                for gradient in gradients:
                    of_rows = gradient.reshape(gradient.shape[0], -1).sum(1)
                    rows[len(of_rows)] = rows.get(len(of_rows), 0) + of_rows
                gradients = list(rows.values())
            flat = torch.cat([gradient.flatten() for gradient in gradients])
            signed, absolute = self.sums.get(name, (0, 0))
            self.sums[name] = signed + flat, absolute + flat.abs()

    def measures(self):
        g = [(s.abs().sum() / a.sum()).item() for s, a in self.sums.values()]
        g_prime = [torch.where(a > 0, s.abs() / a, 0).mean().item() for s, a in self.sums.values()]
        return g, g_prime


def normalized(values):
    values = torch.tensor(values, dtype=torch.float64)
    return ((values - values.mean()) / values.std(correction=0)).tolist()


class StatisticsTest(unittest.TestCase):
    def test_measures_are_their_definitions(self):
        for make in (image_model, word_model):
            for by_neuron in (False, True):
                with self.subTest(model=make.__name__, by_neuron=by_neuron):
                    model, inputs, labels = make()
                    statistics = gradamp.torch.GradientStatistics(model, by_neuron)
                    reference = Reference(model, by_neuron)
                    for _ in range(4):
                        backward(model, inputs(), labels())
                        statistics.accumulate()
                        reference.add()
                    measures = statistics.measure()
                    self.assertEqual([row.layer for row in measures], list(reference.layers))
                    g, g_prime = reference.measures()
                    for row, *expected in zip(measures, g, g_prime, normalized(g), normalized(g_prime), strict=True):
                        got = (row.g, row.g_prime, row.normalized_g, row.normalized_g_prime)
                        for ours, theirs, delta in zip(got, expected, (1e-6, 1e-6, 1e-4, 1e-4)):
                            self.assertAlmostEqual(ours, theirs, delta=delta, msg=row.layer)
                    self.assertEqual((statistics.iterations, statistics.noise_floor), (4, 0.5))

    def test_layers_of_some_classes(self):
        model, inputs, labels = image_model()
        whole = gradamp.torch.GradientStatistics(model)
        kinds = {name: type(module) for name, module in model.named_modules()}
        for types in (torch.nn.Conv2d, (torch.nn.BatchNorm2d, torch.nn.Linear)):
            some = gradamp.torch.GradientStatistics(model, types=types)
            wanted = [layer for layer in whole.layers if issubclass(kinds[layer], types)]
            self.assertTrue(0 < len(wanted) < len(whole.layers))
            self.assertEqual(some.layers, wanted)
            whole.reset()
            for _ in range(3):
                backward(model, inputs(), labels())
                whole.accumulate()
                some.accumulate()
            of_all = {row.layer: (row.g, row.g_prime, row.l2) for row in whole.measure()}
            measures = some.measure()
            self.assertEqual({row.layer: (row.g, row.g_prime, row.l2) for row in measures},
                             {layer: of_all[layer] for layer in wanted})
            for row, expected in zip(measures, normalized([row.g for row in measures]), strict=True):
                self.assertAlmostEqual(row.normalized_g, expected, delta=1e-4)  # among these layers
        tied = torch.nn.Sequential(torch.nn.Embedding(5, 4), torch.nn.Linear(4, 5, bias=False))
        tied[1].weight = tied[0].weight
        self.assertEqual(gradamp.torch.GradientStatistics(tied).layers, ["0"])
        self.assertEqual(gradamp.torch.GradientStatistics(tied, types=torch.nn.Linear).layers, ["1"])
        with self.assertRaisesRegex(ValueError, "requires a gradient in a layer of Conv3d, GRU, got none"):
            gradamp.torch.GradientStatistics(model, types=(torch.nn.Conv3d, torch.nn.GRU))
        for bad in ("conv", torch.nn.Linear(1, 1), (int,)):
            with self.assertRaisesRegex(TypeError, "types: expected classes of modules such as torch.nn.Conv2d, got "):
                gradamp.torch.GradientStatistics(model, types=bad)

    def test_types_and_formats_of_memory(self):
        torch.manual_seed(3)
        model = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.Conv2d(8, 4, 3))
        for by_neuron in (False, True):
            for convert in (torch.Tensor.bfloat16, torch.Tensor.half, torch.Tensor.double,
                            lambda g: g.contiguous(memory_format=torch.channels_last) if g.dim() == 4 else g,
                            lambda g: g.transpose(-1, 0).contiguous().transpose(-1, 0)):
                statistics = gradamp.torch.GradientStatistics(model, by_neuron)
                reference = Reference(model, by_neuron)
                for step in range(3):
                    for parameter in model.parameters():
                        gradient = torch.randn_like(parameter)
                        # The format may change between steps, the type may not without a change of the parameter's.
                        converted = convert(gradient) if step != 1 else convert(gradient).contiguous()
                        object.__setattr__(parameter, "grad", None)
                        parameter.grad = converted.float() if converted.dtype == torch.float64 else None
                        if parameter.grad is None:
                            parameter.data = parameter.data.to(converted.dtype)
                            parameter.grad = converted
                    statistics.accumulate()
                    reference.add()
                for row, g, g_prime in zip(statistics.measure(), *reference.measures(), strict=True):
                    self.assertAlmostEqual(row.g, g, delta=1e-6)
                    self.assertAlmostEqual(row.g_prime, g_prime, delta=1e-6)
                model.float()

    def test_what_is_frozen_or_received_no_gradient(self):
        model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.Linear(2, 2), torch.nn.Linear(2, 2))
        model[0].weight.requires_grad_(False)
        model[1].requires_grad_(False)
        statistics = gradamp.torch.GradientStatistics(model)
        self.assertEqual(statistics.layers, ["0", "2"])
        statistics.accumulate()  # no backward yet
        self.assertEqual([(row.g, row.count) for row in statistics.measure()], [(0, 2), (0, 6)])
        with self.assertRaisesRegex(ValueError, "a parameter that requires a gradient, got none"):
            gradamp.torch.GradientStatistics(torch.nn.ReLU())

    def test_sparse_and_complex_gradients_are_refused(self):
        model = torch.nn.Embedding(5, 3, sparse=True)
        model(torch.tensor([1])).sum().backward()
        with self.assertRaisesRegex(ValueError, "torch.sparse_coo .an embedding has dense ones without sparse=True"):
            gradamp.torch.GradientStatistics(model).accumulate()
        model = torch.nn.Linear(2, 2, dtype=torch.complex64)
        model(torch.ones(2, dtype=torch.complex64)).abs().sum().backward()
        with self.assertRaisesRegex(ValueError, "of real numbers, got one of layer Linear that is torch.complex64"):
            gradamp.torch.GradientStatistics(model).accumulate()

    def test_parameters_elsewhere_are_refused(self):
        with self.assertRaisesRegex(ValueError, "expected parameters on the CPU or a CUDA device, got meta"):
            gradamp.torch.GradientStatistics(torch.nn.Linear(2, 2, device="meta"))
        with self.assertRaisesRegex(ValueError, "expected parameters on one device, got some on cpu and meta"):
            gradamp.torch.GradientStatistics(torch.nn.Sequential(torch.nn.Linear(2, 2),
                                                                 torch.nn.Linear(2, 2, device="meta")))
        on_gpu = [types.SimpleNamespace(device=torch.device("cuda:1"))]
        with mock.patch.object(gradamp._library, "has_cuda", return_value=False):
            with self.assertRaisesRegex(ValueError, "built without CUDA, got cuda:1"):
                gradamp.torch._device_of(on_gpu)
        with mock.patch.object(gradamp._library, "has_cuda", return_value=True):
            self.assertEqual(gradamp.torch._device_of(on_gpu), torch.device("cuda:1"))

    def test_on_a_gpu_it_follows_torchs_stream(self):
        # There is no GPU here: what the library is asked for. Its work on a GPU has tests of its own.
        with mock.patch.object(gradamp.torch, "_device_of", return_value=torch.device("cuda:1")), \
                mock.patch.object(gradamp._library, "Statistics") as made, \
                mock.patch.object(torch.cuda, "current_stream", return_value=mock.Mock(cuda_stream=77)) as stream:
            gradamp.torch.GradientStatistics(torch.nn.Linear(2, 3)).accumulate()
        made.assert_called_once_with([(6, 3, 0), (3, 3, 0)], False, 0, gradamp._library.CUDA, 1)
        stream.assert_called_once_with(torch.device("cuda:1"))
        self.assertEqual([call[0] for call in made.return_value.method_calls], ["set_stream", "accumulate"])
        made.return_value.set_stream.assert_called_once_with(77)

    def test_a_parameter_without_elements_is_left_out(self):
        model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 0))
        self.assertEqual(gradamp.torch.GradientStatistics(model).layers, ["0"])

    def test_the_table(self):
        model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
        statistics = gradamp.torch.GradientStatistics(model)
        for parameter in model.parameters():
            parameter.grad = torch.ones_like(parameter)
        statistics.accumulate()
        self.assertRegex(str(statistics.measure()),
                         r"layer +G'  normalized .*\n  0 +1\.0000 .*\n  1 .*\nnoise floor .* 1\.0")

    def test_tensorboard_in_one_line(self):
        class Writer:  # as torch.utils.tensorboard.SummaryWriter
            points = {}

            def add_scalar(self, tag, value, step):
                self.points[tag] = value, step

        model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.Linear(2, 2))
        statistics = gradamp.torch.GradientStatistics(model)
        for parameter in model.parameters():
            parameter.grad = torch.ones_like(parameter)
        statistics.accumulate()
        measures = statistics.measure()
        measures[1].factor = 2.0
        measures.add_to(Writer(), 7)
        self.assertEqual(Writer.points, {"G/0": (1, 7), "G_prime/0": (1, 7), "selected/0": (0, 7),
                                         "G/1": (1, 7), "G_prime/1": (1, 7), "selected/1": (1, 7)})


def images_of(step, rank):
    """(images, labels) of one process in a step, in float64."""
    random = torch.Generator().manual_seed(10 * step + rank)
    return torch.randn(5, 6, generator=random, dtype=torch.float64), torch.randint(3, (5,), generator=random)


def train_in_parallel(rank, folder):
    """One of two processes: trains with DistributedDataParallel and writes its statistics to folder/RANK."""
    torch.distributed.init_process_group("gloo", f"file://{folder}/meeting", rank=rank, world_size=2)
    torch.manual_seed(3)
    model = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.Tanh(), torch.nn.Linear(8, 3))
    parallel = torch.nn.parallel.DistributedDataParallel(model)
    optimizer = torch.optim.SGD(parallel.parameters(), 1.0)
    amplifier = gradamp.torch.Amplifier(parallel, optimizer, "2:1e-12:2", threshold=0.5)
    amplifier.begin_epoch(1)
    for step in range(4):
        images, labels = images_of(step, rank)
        backward(parallel, images.float(), labels)
        optimizer.step()
    measures = amplifier.end_epoch()
    torch.save({"sums": amplifier.state_dict()["statistics"]["sums"], "factors": amplifier.factors,
                "g": [row.g for row in measures]}, pathlib.Path(folder) / str(rank))
    torch.distributed.destroy_process_group()


@dataclasses.dataclass
class Step:
    """Of each parameter, in order: its gradient after the backward and as step() got it; its values before and after."""

    epoch: int
    raw: list
    clipped: list
    before: list
    after: list


class AmplifierTest(unittest.TestCase):
    STRATEGY = "1:0.1, 4:0.1:2, 5:0.05"

    def train(self, make_optimizer, epochs, clip=None, **options):
        """Trains a small model. Returns it, the amplifier, each Step, and what end_epoch returned."""
        torch.manual_seed(5)
        model = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.Tanh(), torch.nn.Linear(8, 3))
        optimizer = make_optimizer(model.parameters())
        amplifier = gradamp.torch.Amplifier(model, optimizer, self.STRATEGY, threshold=0.5, **options)
        random = torch.Generator().manual_seed(7)
        steps, results = [], []
        for epoch in range(1, epochs + 1):
            amplifier.begin_epoch(epoch)
            for _ in range(3):
                backward(model, torch.randn(5, 6, generator=random), torch.randint(3, (5,), generator=random))
                raw = [p.grad.clone() for p in model.parameters()]
                if clip:
                    amplifier.accumulate()
                    torch.nn.utils.clip_grad_norm_(model.parameters(), clip)
                clipped = [p.grad.clone() for p in model.parameters()]
                before = [p.detach().clone() for p in model.parameters()]
                optimizer.step()
                steps.append(Step(epoch, raw, clipped, before, [p.detach().clone() for p in model.parameters()]))
            results.append(amplifier.end_epoch())
        return model, amplifier, steps, results

    def test_sgd_is_the_definition(self):
        make = lambda parameters: torch.optim.SGD(parameters, 1.0, momentum=0.9, weight_decay=0.01)  # noqa: E731
        model, amplifier, steps, results = self.train(make, 5)
        self.assertEqual([result is not None for result in results], [False, True, False, False, False])
        factors = [row.factor for row in results[1]]
        self.assertEqual(sorted(factors), [1, 2])  # of two layers, one is above the mean by one deviation
        torch.manual_seed(5)
        expected = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.Tanh(), torch.nn.Linear(8, 3)).double()
        velocities = [torch.zeros_like(p) for p in expected.parameters()]
        with torch.no_grad():
            for step in steps:
                for i, (w, v, g) in enumerate(zip(expected.parameters(), velocities, step.raw)):
                    factor = factors[i // 2] if step.epoch in (3, 4) else 1
                    v.mul_(0.9).add_(factor * g.double() + 0.01 * w)
                    w.sub_((0.1 if step.epoch < 5 else 0.05) * v)
        for ours, theirs in zip(model.parameters(), expected.parameters()):
            self.assertLess((ours - theirs).abs().max().item(), 1e-6)

    def test_adamw_is_the_definition(self):
        """METHOD: w <- w - rate (factor m / (sqrt(v) + epsilon) + decay w), in float64 from the weights of each step."""
        for kind, decay in ((torch.optim.AdamW, 0.1), (torch.optim.Adam, 0.0)):
            make = lambda parameters: kind(parameters, 1.0, weight_decay=decay)  # noqa: B023, E731
            _, _, steps, results = self.train(make, 5)
            factors = [row.factor for row in results[1]]
            moments = [(torch.zeros_like(w).double(), torch.zeros_like(w).double()) for w in steps[0].before]
            for t, step in enumerate(steps, 1):
                for i, ((m, v), g) in enumerate(zip(moments, step.raw)):
                    factor = factors[i // 2] if step.epoch in (3, 4) else 1
                    rate = 0.1 if step.epoch < 5 else 0.05
                    m.mul_(0.9).add_(0.1 * g.double())
                    v.mul_(0.999).add_(0.001 * g.double() ** 2)
                    update = (m / (1 - 0.9**t)) / ((v / (1 - 0.999**t)).sqrt() + 1e-8)
                    w = step.before[i].double()
                    expected = w - rate * (factor * update + decay * w)
                    self.assertLess((step.after[i] - expected).abs().max().item(), 1e-6, (kind.__name__, t))

    def test_clipping_is_after_the_statistics(self):
        make = lambda parameters: torch.optim.SGD(parameters, 1.0)  # noqa: E731
        _, _, steps, results = self.train(make, 2, clip=0.05)
        sums = [sum(step.raw[i] for step in steps if step.epoch == 2) for i in range(4)]
        absolute = [sum(step.raw[i].abs() for step in steps if step.epoch == 2) for i in range(4)]
        for layer, row in enumerate(results[1]):
            both = slice(2 * layer, 2 * layer + 2)
            g = sum(s.abs().sum() for s in sums[both]) / sum(a.sum() for a in absolute[both])
            self.assertAlmostEqual(row.g, g.item(), delta=1e-6)
        self.assertNotEqual(steps[0].raw[0].norm(), steps[0].clipped[0].norm())

    def test_mixed_precision(self):
        """The scaled gradients are unscaled first; a step whose gradients are not finite is not one."""
        torch.manual_seed(1)
        model = torch.nn.Linear(4, 2)
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        amplifier = gradamp.torch.Amplifier(model, optimizer, "2:0.1:2")
        scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
        amplifier.begin_epoch(1)
        for scale in (1.0, float("inf"), 1.0):
            optimizer.zero_grad()
            with torch.autocast("cpu", torch.bfloat16):
                loss = (model(torch.ones(3, 4)) * scale).float().sum()
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
        (row,) = amplifier.end_epoch()
        self.assertEqual((amplifier.statistics.iterations, row.not_finite, row.maximum), (2, 0, 3.0))

    def test_a_step_that_is_left_out_loses_no_other(self):
        """accumulate() is called by hand, and the second step is skipped, as GradScaler does."""
        model = torch.nn.Linear(4, 2)
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        amplifier = gradamp.torch.Amplifier(model, optimizer, "2:0.1:2")
        amplifier.begin_epoch(1)
        for step in range(4):
            optimizer.zero_grad()
            model(torch.ones(3, 4)).sum().backward()
            amplifier.accumulate()
            if step != 1:
                optimizer.step()
        self.assertEqual(amplifier.statistics.iterations, 4)

    def test_gradients_are_not_counted_twice(self):
        """accumulate() after each backward of a step that has several."""
        model = torch.nn.Linear(4, 2)
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        amplifier = gradamp.torch.Amplifier(model, optimizer, "2:0.1:2")
        amplifier.begin_epoch(1)
        for _ in range(2):  # the step forgets the last call
            model(torch.ones(3, 4)).sum().backward()
            amplifier.accumulate()
            model(torch.ones(3, 4)).sum().backward()
            with self.assertRaisesRegex(RuntimeError, "expected one call per step, after the last backward"):
                amplifier.accumulate()
            optimizer.step()
        self.assertEqual(amplifier.statistics.iterations, 2)

    def test_saved_and_restored_to_the_same_bits(self):
        make = lambda parameters: torch.optim.SGD(parameters, 1.0, momentum=0.9)  # noqa: E731
        for epoch in (1, 2, 3):
            model, amplifier, _, _ = self.train(make, epoch)
            state = copy.deepcopy((model.state_dict(), amplifier.optimizer.state_dict(), amplifier.state_dict()))
            with tempfile.TemporaryFile() as file:
                torch.save(state, file)
                file.seek(0)
                state = torch.load(file, weights_only=True)
            other = copy.deepcopy(model)
            optimizer = make(other.parameters())
            restored = gradamp.torch.Amplifier(other, optimizer, self.STRATEGY, threshold=0.5)
            other.load_state_dict(state[0])
            optimizer.load_state_dict(state[1])
            restored.load_state_dict(state[2])
            for of, network in ((amplifier, model), (restored, other)):
                torch.manual_seed(9)
                of.begin_epoch(epoch + 1)
                for _ in range(2):
                    backward(network, torch.randn(5, 6), torch.randint(3, (5,)))
                    of.optimizer.step()
                of.end_epoch()
            for ours, theirs in zip(other.parameters(), model.parameters()):
                self.assertTrue(torch.equal(ours, theirs))
            self.assertTrue(torch.equal(restored.state_dict()["statistics"]["sums"],
                                        amplifier.state_dict()["statistics"]["sums"]))
            self.assertEqual(restored.factors, amplifier.factors)

    def test_every_window_begins_with_empty_sums(self):
        make = lambda parameters: torch.optim.SGD(parameters, 1.0)  # noqa: E731
        self.STRATEGY = "2:0.1:2, 5:0.05:2"  # analyzed: epochs 1 and 3, and from there 4 alone
        _, _, _, results = self.train(make, 4, reselect_every=1)
        self.assertEqual([result and result.iterations for result in results], [3, None, 3, 3])

    def test_a_random_selection(self):
        make = lambda parameters: torch.optim.SGD(parameters, 1.0)  # noqa: E731
        _, amplifier, _, results = self.train(make, 2, random_fraction=0.5, seed=4)
        self.assertEqual(results, [None, None])
        self.assertEqual((len(amplifier.selected), amplifier.statistics.iterations), (1, 0))

    def test_only_layers_of_some_classes_are_amplified(self):
        model = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.BatchNorm1d(8), torch.nn.Linear(8, 3))
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        amplifier = gradamp.torch.Amplifier(model, optimizer, "2:0.1:2", threshold=-10.0, types=torch.nn.Linear)
        amplifier.begin_epoch(1)
        for step in range(4):
            images, labels = images_of(step, 0)
            backward(model, images.float(), labels)
            optimizer.step()
        self.assertEqual([row.layer for row in amplifier.end_epoch()], ["0", "2"])
        self.assertEqual(amplifier.selected, ["0", "2"])

    def test_torch_compile(self):
        torch.manual_seed(1)
        model = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.Linear(8, 3))
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        amplifier = gradamp.torch.Amplifier(torch.compile(model, backend="eager"), optimizer, "2:0.1:2")
        amplifier.begin_epoch(1)
        model(torch.ones(2, 6)).sum().backward()
        optimizer.step()
        self.assertEqual([row.layer for row in amplifier.end_epoch()], ["0", "1"])

    def test_of_several_processes_the_averaged_gradient(self):
        """Two processes with unlike images: both have the statistics, and the selection, of the averaged gradients."""
        with tempfile.TemporaryDirectory() as folder:
            torch.multiprocessing.spawn(train_in_parallel, (folder,), nprocs=2)
            first, second = (torch.load(pathlib.Path(folder) / str(rank)) for rank in range(2))
        self.assertTrue(torch.equal(first["sums"], second["sums"]))
        self.assertEqual(first["factors"], second["factors"])
        torch.manual_seed(3)
        model = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.Tanh(), torch.nn.Linear(8, 3)).double()
        signed = [torch.zeros_like(p) for p in model.parameters()]
        absolute = [torch.zeros_like(p) for p in model.parameters()]
        for step in range(4):  # the rate is so small that the weights stay
            backward(model, *map(torch.cat, zip(*(images_of(step, rank) for rank in range(2)))))
            for p, s, a in zip(model.parameters(), signed, absolute):
                s += p.grad
                a += p.grad.abs()
        for layer, g in enumerate(first["g"]):
            both = slice(2 * layer, 2 * layer + 2)
            expected = sum(s.abs().sum() for s in signed[both]) / sum(a.sum() for a in absolute[both])
            self.assertAlmostEqual(g, expected.item(), delta=1e-6)

    def test_other_optimizers_are_refused(self):
        model = torch.nn.Linear(2, 2)
        with self.assertRaisesRegex(TypeError, "expected an optimizer of torch.optim.SGD, Adam or AdamW, got RMSprop"):
            gradamp.torch.Amplifier(model, torch.optim.RMSprop(model.parameters()))

    def test_wrong_use(self):
        model = torch.nn.Linear(2, 2)
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        for options, message in (({"measure": "h"}, "expected one of g, g-prime, got 'h'"),
                                 ({"case": 3}, "expected 1 or 2"), ({"random_fraction": 2}, "above 0 and at most 1"),
                                 ({"epochs": 3}, "4 phases need 4 epochs"),
                                 ({"strategy": "3"}, "cannot read the phase '3'")):
            with self.assertRaisesRegex(ValueError, message):
                gradamp.torch.Amplifier(model, optimizer, **options)
        amplifier = gradamp.torch.Amplifier(model, optimizer)
        with self.assertRaisesRegex(RuntimeError, "begin_epoch"):
            optimizer.step()
        with self.assertRaisesRegex(ValueError, "an epoch from 1 to 150, got 151"):
            amplifier.begin_epoch(151)
        del amplifier
        gc.collect()
        optimizer.step()  # its hooks are gone


class UseTest(unittest.TestCase):
    """What a user can get wrong is said."""

    def setUp(self):
        torch.manual_seed(1)
        self.model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.Linear(2, 2))
        self.optimizer = torch.optim.SGD(self.model.parameters(), 0.1)
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.folder = pathlib.Path(scratch.name)

    def amplifier(self, strategy="2:0.1:2, 3:0.1", **options):
        return gradamp.torch.Amplifier(self.model, self.optimizer, strategy, **options)

    def step(self):
        self.optimizer.zero_grad()
        self.model(torch.randn(4, 3)).square().sum().backward()
        self.optimizer.step()

    def warnings_of(self, call):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            self.result = call()
        return [str(warning.message) for warning in caught]

    def test_the_learning_rate_is_not_overwritten_silently(self):
        self.optimizer = torch.optim.Adam(self.model.parameters(), 1e-3)
        (warning,) = self.warnings_of(self.amplifier)
        self.assertRegex(warning, "begin_epoch sets .* 0.1, .* optimizer's is 0.001.*sets_learning_rate=False")
        self.assertEqual(self.warnings_of(lambda: self.amplifier(sets_learning_rate=False)), [])
        self.optimizer = torch.optim.SGD([{"params": self.model[0].parameters(), "lr": 0.1},
                                          {"params": self.model[1].parameters(), "lr": 0.05}])
        (warning,) = self.warnings_of(self.amplifier)
        self.assertRegex(warning, "0.1, 0.05.*makes them equal.*sets_learning_rate=False")

    def test_a_rate_that_a_scheduler_changed(self):
        amplifier = self.amplifier("5:0.1")
        self.assertEqual(self.warnings_of(lambda: amplifier.begin_epoch(1)), [])
        self.optimizer.param_groups[0]["lr"] = 0.07
        (warning,) = self.warnings_of(lambda: amplifier.begin_epoch(2))
        self.assertRegex(warning, "changed .* from 0.1 to 0.07 .*overwritten.*sets_learning_rate=False")
        self.optimizer.param_groups[0]["lr"] = 0.07
        self.assertEqual(self.warnings_of(lambda: amplifier.begin_epoch(3)), [])  # once

    def test_connected_to_nothing(self):
        other = torch.optim.SGD(torch.nn.Linear(3, 2).parameters(), 0.1)
        with self.assertRaisesRegex(ValueError, "expected an optimizer of the model's parameters, got one .* none"):
            gradamp.torch.Amplifier(self.model, other)
        amplifier = self.amplifier()
        amplifier.begin_epoch(1)
        with self.assertRaisesRegex(RuntimeError, r"no optimizer.step\(\) was seen since begin_epoch: expected the "
                                                  "optimizer that was given to Amplifier"):
            amplifier.end_epoch()
        (warning,) = self.warnings_of(lambda: amplifier.begin_epoch(2))
        self.assertIn("epoch 1 had no end_epoch", warning)
        amplifier = self.amplifier()
        (warning,) = self.warnings_of(lambda: amplifier.begin_epoch(3))
        self.assertIn("epochs 1 to 2 were skipped", warning)

    def test_a_second_amplifier_of_an_optimizer(self):
        first = self.amplifier()
        second = self.amplifier()
        for amplifier in (first, second):
            with self.assertRaisesRegex(ValueError, r"another Amplifier .*close\(\)"):
                amplifier.begin_epoch(1)
        del amplifier
        first.close()
        second.begin_epoch(1)
        self.step()
        self.assertEqual((first.statistics.iterations, second.statistics.iterations), (0, 1))
        with self.assertRaisesRegex(RuntimeError, "closed"):
            first.begin_epoch(1)
        second = self.amplifier()  # a name that is bound again
        second.begin_epoch(1)
        with second:
            self.step()
        self.step()
        self.assertEqual(second.statistics.iterations, 1)

    def test_a_phase_that_is_too_short(self):
        make = lambda **options: self.amplifier("1:0.1, 2:0.1:2, 4:0.01", **options)  # noqa: E731
        expected = "the phase of epoch 2 amplifies nothing: its first epoch is analyzed, and it has no other"
        self.assertEqual(self.warnings_of(make), [expected])
        self.assertEqual(self.warnings_of(lambda: make(random_fraction=0.5)), [])

    def test_gradients_that_are_not_finite_are_counted_below_the_table(self):
        statistics = gradamp.torch.GradientStatistics(self.model)
        for parameter in self.model.parameters():
            parameter.grad = torch.ones_like(parameter)
        statistics.accumulate()
        self.assertNotIn("not finite", str(statistics.measure()))
        self.model[0].weight.grad[0, 0] = float("nan")
        self.model[1].bias.grad[:] = float("inf")
        statistics.accumulate()
        self.assertEqual(str(statistics.measure()).splitlines()[-1],
                         "not finite: 1 gradient of layer 0, 2 gradients of layer 1 (left out)")

    def test_arguments_are_checked(self):
        for options, error, message in (
                ({"threshold": "1"}, TypeError, "threshold: expected a finite number, got '1'"),
                ({"threshold": float("nan")}, ValueError, "threshold: expected a finite number, got nan"),
                ({"epochs": 4.5}, TypeError, "epochs: expected a whole number, got 4.5"),
                ({"random_fraction": 0}, ValueError, "above 0 and at most 1, got 0"),
                ({"random_fraction": "0.5"}, TypeError, "above 0 and at most 1, got '0.5'"),
                ({"strategy": "5:0.1:0"}, ValueError, "finite amplification factor above 0 .* got 0"),
                ({"strategy": None}, TypeError, "strategy: expected a string, .* got None"),
                ({"strategy": "step"}, ValueError, "'step' is a strategy of the program gradamp.*write .*phases")):
            with self.assertRaisesRegex(error, message):
                self.amplifier(**options)

    def test_messages(self):
        with self.assertRaisesRegex(TypeError, "expected a torch.nn.Module, got list"):
            gradamp.torch.GradientStatistics([])
        statistics, amplifier = gradamp.torch.GradientStatistics(self.model), self.amplifier()
        for of, missing in ((statistics, "layers, sums"), (amplifier, "epoch, factors, strategy, statistics")):
            with self.assertRaisesRegex(ValueError, f"a state of state_dict.*, got one without {missing}"):
                of.load_state_dict({})
            for copied in (copy.deepcopy, pickle.dumps):
                with self.assertRaisesRegex(TypeError, r"use state_dict\(\)"):
                    copied(of)
        with self.assertRaisesRegex(ValueError, "by_neuron"):
            gradamp.torch.GradientStatistics(self.model, by_neuron=True).load_state_dict(statistics.state_dict())
        with self.assertRaisesRegex(TypeError, "expected a whole number, got '1'"):
            amplifier.begin_epoch("1")

    def test_files_that_are_not_weights(self):
        file = self.folder / "words.txt"
        file.write_text("no weights")
        with self.assertRaisesRegex(ValueError, "words.txt: expected a file of safetensors"):
            gradamp.torch.load_weights(self.model, file)
        for path in (self.folder, self.folder / "missing" / "weights"):
            with self.assertRaises(OSError) as caught:
                gradamp.torch.save_weights(self.model, path)
            self.assertEqual(caught.exception.filename, str(path))
            self.assertNotIn(".gradamp-", str(caught.exception))

    def test_a_state_of_other_settings_is_refused(self):
        amplifier = self.amplifier()
        state = amplifier.state_dict()
        amplifier.close()
        for options in ({"measure": "g"}, {"threshold": 0.5}, {"case": 2}, {"reselect_every": 1}, {"by_neuron": True}):
            (name,) = options
            with self.assertRaisesRegex(ValueError, f"expected a state with {name} .*, got one with"):
                self.amplifier(**options).load_state_dict(state)
        for name in ("measure", "threshold", "case", "reselect_every"):  # as the earlier form
            del state[name]
        del state["statistics"]["by_neuron"]
        self.amplifier().load_state_dict(state)

    def test_names_of_the_root(self):
        class Net(torch.nn.Module):
            def __init__(self, child):
                super().__init__()
                self.scale = torch.nn.Parameter(torch.ones(1))
                setattr(self, child, torch.nn.Linear(2, 2))

        self.assertEqual(gradamp.torch.GradientStatistics(Net("head")).layers, ["Net", "head"])
        self.assertEqual(gradamp.torch.GradientStatistics(Net("Net")).layers, ["(root)", "Net"])

    def test_torch_is_imported_when_it_is_used(self):
        program = ("import sys, gradamp; assert 'torch' not in sys.modules; gradamp.torch.Amplifier; "
                   "assert 'torch' in sys.modules; assert not hasattr(gradamp, 'other')")
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True,
                              env=os.environ | {"PYTHONPATH": str(ROOT / "tools" / "python")})
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_examples_say_how_they_are_used(self):
        for name in ("amplify_pytorch", "amplify_transformer"):
            done = subprocess.run([sys.executable, ROOT / "tools" / "examples" / name / "train.py"], text=True,
                                  capture_output=True, env=os.environ | {"PYTHONPATH": str(ROOT / "tools" / "python")})
            self.assertEqual(done.returncode, 2, done.stderr)
            self.assertRegex(done.stderr, r"^usage: train.py [A-Z]+ \[EPOCHS\]\n$")

    def test_shown_in_one_line(self):
        amplifier = self.amplifier()
        self.assertEqual(repr(amplifier.strategy), "Strategy('2:0.1:2, 3:0.1')")
        self.assertEqual(repr(amplifier.statistics), "GradientStatistics(2 layers, 0 iterations)")
        self.assertEqual(repr(amplifier), "Amplifier(SGD, '2:0.1:2, 3:0.1', g-prime > 1.0, epoch 0, 0 of 2 layers "
                                          "selected)")


class BenchTest(unittest.TestCase):
    def test_the_comparison_verifies_and_times(self):
        command = [sys.executable, ROOT / "bench" / "compare_statistics.py"]
        done = subprocess.run([*command, "--library", os.environ["GRADAMP_STATISTICS_LIBRARY"], "--quick"], text=True,
                              capture_output=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(done.stdout, r"\n\| resnet8 \| 0\.1 \| [\d.]+ \|.* [\d.]+% \|\n\| gpt2 \| 3\.3 \| .*\) \| - \|\n")
        done = subprocess.run([*command, "--library", "missing"], text=True, capture_output=True)
        self.assertEqual(done.returncode, 2)
        self.assertIn("there is no missing", done.stderr)


if __name__ == "__main__":
    unittest.main()

# SPDX-License-Identifier: MIT
"""Gradient statistics and amplification for PyTorch models, on the CPU and, if the library was built with CUDA, on a GPU.

    amplifier = gradamp.torch.Amplifier(model, optimizer, strategy="params_1", epochs=20)
    for epoch in range(1, amplifier.strategy.epochs + 1):
        amplifier.begin_epoch(epoch)
        for images, labels in loader:
            optimizer.zero_grad()
            loss(model(images), labels).backward()
            optimizer.step()
        if (measures := amplifier.end_epoch()) is not None:
            print(measures)

A layer is a module with parameters of its own that require a gradient: a convolution, a batch norm, a linear layer. All
its parameters are measured and amplified together. A parameter that several modules share belongs to the first.
Statistics are of the gradients that optimizer.step() gets: after GradScaler's unscaling, and averaged over processes.
With clip_grad_norm_, call amplifier.accumulate() between backward and clipping: statistics are of raw gradients.

network(name) is a network of the program gradamp; load_weights and save_weights exchange weights with it.
"""

import dataclasses
import errno
import gc
import math
import numbers
import os
import pathlib
import tempfile
import warnings
import weakref

import torch

from gradamp import _library, runs
from gradamp.networks import build as network
from gradamp.strategy import Strategy, whole_number

__all__ = ["Amplifier", "GradientStatistics", "LayerRow", "Measures", "load_weights", "network", "save_weights"]

_TYPES = {torch.float32: _library.F32, torch.bfloat16: _library.BF16, torch.float16: _library.F16}
_AMPLIFIERS = weakref.WeakKeyDictionary()  # of every optimizer, those that are alive and not closed


def _warn(message):
    warnings.warn(message, stacklevel=3)


def _check_keys(state, keys):
    missing = [key for key in keys if key not in state]
    if missing:
        raise ValueError(f"expected a state of state_dict(), got one without {', '.join(missing)}")


def _without_compile(name):
    """The name that the module had before torch.compile."""
    return ".".join(part for part in name.split(".") if part != "_orig_mod")


class _NotCopied:
    def __reduce_ex__(self, _protocol):
        raise TypeError(f"{type(self).__name__} cannot be copied or pickled: use state_dict() and load_state_dict()")


@dataclasses.dataclass
class LayerRow:
    """A layer's measures; gradamp_statistics.h says what each is. `factor`: not 1 if it is selected."""

    layer: str
    g: float
    g_prime: float
    normalized_g: float
    normalized_g_prime: float
    l1: float
    l2: float
    maximum: float
    mean: float
    zeros: float
    sign_agreement: float
    count: int
    not_finite: int
    factor: float = 1.0


class Measures(list):
    """A LayerRow for every layer, in the model's order. pandas.DataFrame takes it. str() is a table."""

    def __init__(self, rows, iterations, noise_floor):
        super().__init__(rows)
        self.iterations, self.noise_floor = iterations, noise_floor

    def add_to(self, writer, step):
        """Adds G, G' and whether it is selected of every layer to TensorBoard, by a SummaryWriter, with the tags of the
        program gradamp."""
        for row in self:
            for tag, value in (("G", row.g), ("G_prime", row.g_prime), ("selected", float(row.factor != 1))):
                writer.add_scalar(f"{tag}/{row.layer}", value, step)

    def __str__(self):
        width = max(len(row.layer) for row in self)
        lines = [f"  {'layer':{width}}      G'  normalized       G  normalized"]
        lines += [f"{'*' if row.factor != 1 else ' '} {row.layer:{width}}  {row.g_prime:.4f}  "
                  f"{row.normalized_g_prime:+10.3f}  {row.g:.4f}  {row.normalized_g:+10.3f}" for row in self]
        lines.append(f"noise floor of G and G' {self.noise_floor:.4f}, {self.iterations} iterations")
        left_out = [f"{row.not_finite} gradient{'s' if row.not_finite != 1 else ''} of layer {row.layer}"
                    for row in self if row.not_finite]
        if left_out:
            lines.append(f"not finite: {', '.join(left_out)} (left out)")
        return "\n".join(lines)


def _device_of(parameters):
    """The device of all parameters. ValueError unless there is one, and it is one that the library has."""
    devices = list(dict.fromkeys(parameter.device for parameter in parameters))
    if len(devices) != 1:
        raise ValueError(f"expected parameters on one device, got some on {' and '.join(map(str, devices[:2]))}")
    if devices[0].type not in ("cpu", "cuda"):
        raise ValueError(f"expected parameters on the CPU or a CUDA device, got {devices[0]}")
    if devices[0].type == "cuda" and not _library.has_cuda():
        raise ValueError("expected parameters on the CPU, since this library was built without CUDA, got "
                         f"{devices[0]}; build gradamp with the CUDA toolkit for others")
    return devices[0]


def _classes(types):
    """`types` as isinstance takes it. TypeError unless they are classes of modules."""
    classes = (torch.nn.Module,) if types is None else types if isinstance(types, (tuple, list)) else (types,)
    for kind in classes:
        if not (isinstance(kind, type) and issubclass(kind, torch.nn.Module)):
            raise TypeError(f"types: expected classes of modules such as torch.nn.Conv2d, got {kind!r}")
    return tuple(classes)


class GradientStatistics(_NotCopied):
    """The sums of the gradients of a model's layers: `layers`, their names, and `parameters`, those of each layer."""

    def __init__(self, model, by_neuron=False, threads=0, *, types=None):
        """`by_neuron`: of each output channel or unit instead of each weight. `threads`: 0 for all processors.
        `types`: only layers of these classes, such as torch.nn.Conv2d or a tuple; None: of all."""
        if not isinstance(model, torch.nn.Module):
            raise TypeError(f"expected a torch.nn.Module, got {type(model).__name__}")
        wanted = _classes(types)
        self.layers, self.parameters, self._parameters, tensors, seen = [], [], [], [], set()
        modules = [(_without_compile(name), module) for name, module in model.named_modules()]
        names = {name for name, _ in modules}
        for name, module in modules:
            if not isinstance(module, wanted):
                continue
            own = [parameter for parameter in module.parameters(recurse=False)
                   if parameter.requires_grad and parameter.numel() > 0 and id(parameter) not in seen]
            for parameter in own:
                seen.add(id(parameter))
                self._parameters.append(parameter)
                tensors.append((parameter.numel(), parameter.shape[0] if parameter.dim() else 1, len(self.layers)))
            if own:
                kind = type(module).__name__  # the model itself has no name
                self.layers.append(name or ("(root)" if kind in names else kind))
                self.parameters.append(own)
        if not self.layers:
            of_types = "" if types is None else f" in a layer of {', '.join(kind.__name__ for kind in wanted)}"
            raise ValueError(f"expected a model with a parameter that requires a gradient{of_types}, got none")
        self._layer_of = [layer for _, _, layer in tensors]
        self._formats = [None] * len(tensors)
        self.by_neuron = bool(by_neuron)
        self._device = _device_of(self._parameters)
        on_gpu = self._device.type == "cuda"
        self._sums = _library.Statistics(tensors, by_neuron, threads, _library.CUDA if on_gpu else _library.CPU,
                                         (self._device.index or 0) if on_gpu else 0)

    def __repr__(self):
        return f"GradientStatistics({len(self.layers)} layers, {self.iterations} iterations)"

    def _in_memory(self, index, gradient):
        """The gradient with elements beside each other, in the order in which it had them first."""
        if gradient.layout != torch.strided or gradient.is_complex():
            raise ValueError(f"expected dense gradients of real numbers, got one of layer "
                             f"{self.layers[self._layer_of[index]]} that is {gradient.dtype}, {gradient.layout} (an "
                             "embedding has dense ones without sparse=True)")
        if gradient.dtype not in _TYPES:
            gradient = gradient.float()
        if self._formats[index] is None:
            last = gradient.dim() == 4 and not gradient.is_contiguous() and gradient.is_contiguous(
                memory_format=torch.channels_last)
            self._formats[index] = torch.channels_last if last else torch.contiguous_format
        return gradient.contiguous(memory_format=self._formats[index])

    @torch.no_grad()
    def accumulate(self):
        """Adds the gradients that the parameters have, as one iteration. A parameter without one counts as zeros."""
        gradients, addresses, types = [], [], []
        for index, parameter in enumerate(self._parameters):
            gradient, address, kind = parameter.grad, None, _library.F32
            if gradient is not None:
                kind = _TYPES.get(gradient.dtype)
                # Nearly all are as they are wanted, which costs less to find out here.
                if (kind is None or self._formats[index] is not torch.contiguous_format
                        or gradient.layout is not torch.strided or not gradient.is_contiguous()):
                    gradient = self._in_memory(index, gradient)
                    kind = _TYPES[gradient.dtype]
                address = gradient.data_ptr()
            gradients.append(gradient)  # a copy must live until it has been read
            addresses.append(address)
            types.append(kind)
        if self._device.type == "cuda":  # in the order of what computed the gradients
            self._sums.set_stream(torch.cuda.current_stream(self._device).cuda_stream)
        self._sums.accumulate(addresses, types)

    def measure(self):
        """The Measures of all layers since the last reset."""
        return self._rows(self._sums.measure())

    def _rows(self, measures, factors=None):
        fields = [name for name, _ in _library.LayerMeasures._fields_]
        rows = [LayerRow(layer, *(getattr(of, name) for name in fields), factor)
                for layer, of, factor in zip(self.layers, measures, factors or [1.0] * len(self.layers))]
        return Measures(rows, self.iterations, self.noise_floor)

    def reset(self):
        self._sums.reset()

    @property
    def iterations(self):
        return self._sums.iterations

    @property
    def noise_floor(self):
        return self._sums.noise_floor

    def state_dict(self):
        return {"layers": list(self.layers), "by_neuron": self.by_neuron,
                "sums": torch.frombuffer(bytearray(self._sums.save()), dtype=torch.uint8)}

    def load_state_dict(self, state):
        _check_keys(state, ("layers", "sums"))
        if state.get("by_neuron", self.by_neuron) != self.by_neuron:
            raise ValueError(f"expected a state with by_neuron {self.by_neuron}, got one with {state['by_neuron']}")
        if [_without_compile(layer) for layer in state["layers"]] != self.layers:
            raise ValueError(f"expected the state of a model with the layers {', '.join(self.layers)[:200]}, got one "
                             f"with {', '.join(state['layers'])[:200]}")
        self._sums.restore(state["sums"].numpy().tobytes())


def _scales_gradient(optimizer):
    """True for SGD; False for optimizers whose update is amplified, Adam and AdamW."""
    if isinstance(optimizer, torch.optim.SGD):
        return True
    if isinstance(optimizer, (torch.optim.Adam, torch.optim.AdamW)):
        return False
    raise TypeError(f"expected an optimizer of torch.optim.SGD, Adam or AdamW, got {type(optimizer).__name__}")


class Amplifier(_NotCopied):
    """Measures the gradients of a model in the epochs that its strategy says, selects layers, and amplifies their
    updates by the strategy's factor: SGD's gradient, or the update of Adam and AdamW without AdamW's decay. It acts
    whenever optimizer.step() is called. With SGD, p.grad of an amplified layer stays multiplied after the step."""

    def __init__(self, model, optimizer, strategy="params_1", measure="g-prime", threshold=1.0, *, case=1, epochs=None,
                 reselect_every=0, by_neuron=False, random_fraction=None, seed=0, sets_learning_rate=True, threads=0,
                 types=None):
        """`measure`: "g" or "g-prime". `case`: 1: normalized > threshold; 2: |normalized| > threshold. `epochs`: the
        strategy is scaled to them. `random_fraction`: layers are drawn at random instead of measured. `types`: as for
        GradientStatistics; layers of other classes are not selected, and do not count in normalized values.
        `sets_learning_rate`: begin_epoch sets the strategy's in all parameter groups."""
        if measure not in _library.MEASURES:
            raise ValueError(f"measure: expected one of {', '.join(_library.MEASURES)}, got {measure!r}")
        if case not in (1, 2):
            raise ValueError(f"case: expected 1 or 2, got {case!r}")
        for name, value, holds, expected in (
                ("threshold", threshold, math.isfinite, "a finite number"),
                ("random_fraction", 1 if random_fraction is None else random_fraction, lambda value: 0 < value <= 1,
                 "a number above 0 and at most 1")):
            is_number = isinstance(value, numbers.Real) and not isinstance(value, bool)
            if not (is_number and holds(value)):
                raise (ValueError if is_number else TypeError)(f"{name}: expected {expected}, got {value!r}")
        self._scales_gradient = _scales_gradient(optimizer)
        self.strategy = Strategy(strategy, epochs, reselect_every)
        self.statistics = GradientStatistics(model, by_neuron, threads, types=types)
        own = {id(parameter) for parameter in self.statistics._parameters}
        if not any(id(parameter) in own for group in optimizer.param_groups for parameter in group["params"]):
            raise ValueError("expected an optimizer of the model's parameters, got one that has none of them")
        self.optimizer, self.measure, self.case, self.threshold = optimizer, measure, case, threshold
        self.random_fraction, self.seed, self.sets_learning_rate = random_fraction, seed, sets_learning_rate
        self.factors = [1.0] * len(self.statistics.layers)
        self._plan, self._epoch, self._has_accumulated, self._before = None, 0, False, []
        self._accumulated = lambda: None  # the first gradient of the last accumulate(), while it lives
        self._set_rate, self._has_warned_of_rate, self._open, self._ended = None, False, True, True
        self._iterations_before = 0
        for first in self.strategy.phases_too_short() if random_fraction is None else []:
            _warn(f"the phase of epoch {first} amplifies nothing: its first epoch is analyzed, and it has no other")
        if sets_learning_rate and (problem := self._rate_problem()):
            _warn(problem)
        # The optimizer must not keep the amplifier alive, nor the other way round.
        me = weakref.ref(self)
        hooks = [optimizer.register_step_pre_hook(lambda *_: me() and me()._before_step()),
                 optimizer.register_step_post_hook(lambda *_: me() and me()._after_step())]
        self._finalizers = [weakref.finalize(self, hook.remove) for hook in hooks]
        _AMPLIFIERS.setdefault(optimizer, weakref.WeakSet()).add(self)

    def __repr__(self):
        sign = f"{self.measure} > {self.threshold}" if self.case == 1 else f"|{self.measure}| > {self.threshold}"
        return (f"Amplifier({type(self.optimizer).__name__}, {str(self.strategy)!r}, {sign}, epoch {self._epoch}, "
                f"{len(self.selected)} of {len(self.factors)} layers selected)")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """Disconnects from the optimizer, which another Amplifier can use then."""
        for finalizer in self._finalizers:
            finalizer()
        self._open = False
        _AMPLIFIERS.get(self.optimizer, weakref.WeakSet()).discard(self)

    def _rate_problem(self):
        """Why begin_epoch would change the optimizer's rates by much, or None."""
        rates = list(dict.fromkeys(float(group["lr"]) for group in self.optimizer.param_groups))
        if len(rates) > 1:
            return (f"the parameter groups have different learning rates ({', '.join(f'{r:g}' for r in rates)}), and "
                    "begin_epoch makes them equal; sets_learning_rate=False keeps them")
        rate = self.strategy.phases[0].learning_rate
        if max(rate, rates[0]) > 10.0001 * min(rate, rates[0]):
            return (f"begin_epoch sets the strategy's learning rate {rate:g}, and the optimizer's is {rates[0]:g}, "
                    "more than 10 times away; sets_learning_rate=False keeps the optimizer's")
        return None

    def begin_epoch(self, epoch):
        """Prepares for an epoch, counted from 1. Sets the strategy's learning rate unless sets_learning_rate=False.

        Errors: ValueError if the optimizer has another Amplifier that is not closed."""
        epoch = whole_number("epoch", epoch)
        self.strategy.plan(epoch)  # an error changes nothing
        if not self._open:
            raise RuntimeError("expected an Amplifier that is open, got one that was closed")
        if len(_AMPLIFIERS[self.optimizer]) > 1:
            gc.collect()  # those that nothing refers to any more
        if len(_AMPLIFIERS[self.optimizer]) > 1:
            raise ValueError("expected one Amplifier per optimizer, but another Amplifier of this one is alive: call "
                             "its close() first")
        if epoch > self._epoch + 1:
            _warn(f"epochs {self._epoch + 1} to {epoch - 1} were skipped: layers that they would have selected are not")
        if not self._ended:
            _warn(f"epoch {self._epoch} had no end_epoch, so it selected no layers")
        if self._set_rate is not None and not self._has_warned_of_rate:
            for rate in (float(group["lr"]) for group in self.optimizer.param_groups):
                if rate != self._set_rate and not self._has_warned_of_rate:
                    self._has_warned_of_rate = True
                    _warn(f"the learning rate was changed since begin_epoch, from {self._set_rate:g} to {rate:g} (by a "
                          "scheduler?), and is overwritten; sets_learning_rate=False keeps it")
        self._begin(epoch)
        if self.sets_learning_rate:
            self._set_rate = self._plan.learning_rate
            for group in self.optimizer.param_groups:
                group["lr"] = self._set_rate

    def _begin(self, epoch):
        plan = self.strategy.plan(epoch)
        if self.random_fraction is not None:
            plan = dataclasses.replace(plan, analyzed=False, clear_sums=False, select=False, amplified=plan.amplifies)
        self._plan, self._epoch = plan, epoch
        if plan.phase_start:
            self.factors = [1.0] * len(self.factors)
        if plan.clear_sums:
            self.statistics.reset()
        if self.random_fraction is not None and plan.phase_start and plan.amplifies:
            count = len(self.factors)
            drawn = min(count, max(1, int(self.random_fraction * count + 0.5)))
            self.factors = _library.select_random(count, drawn, self.seed, epoch, plan.factor)
        self._ended, self._iterations_before = not plan.select, self.statistics.iterations

    def accumulate(self):
        """Adds the gradients of this step to the sums, if the epoch is analyzed. Only needed before something that
        changes them, as clip_grad_norm_; otherwise optimizer.step() does it. Call it once per step,
        after the last backward; with a GradScaler after scaler.unscale_(optimizer). RuntimeError if it is called again
        for the same gradients (with zero_grad(set_to_none=False) also after a step that the GradScaler skipped)."""
        if self._plan is None:
            raise RuntimeError("expected begin_epoch(1) before the first step")
        # After a step that a GradScaler skipped, zero_grad() has made other tensors.
        gradient = next((p.grad for p in self.statistics._parameters if p.grad is not None), None)
        if self._has_accumulated and gradient is not None and gradient is self._accumulated():
            raise RuntimeError("accumulate() was called again before optimizer.step() and zero_grad(): expected one call "
                               "per step, after the last backward")
        if self._plan.analyzed:
            self.statistics.accumulate()
        self._has_accumulated = True
        self._accumulated = (lambda: None) if gradient is None else weakref.ref(gradient)

    def end_epoch(self):
        """Selects layers, if the epoch's plan says so. Returns the Measures then, else None."""
        if self._plan is None:
            raise RuntimeError("expected begin_epoch before end_epoch")
        if self._plan.analyzed and self.statistics.iterations == self._iterations_before:
            raise RuntimeError("no optimizer.step() was seen since begin_epoch: expected the optimizer that was given "
                               "to Amplifier to take a step in every epoch")
        if not self._plan.select:
            return None
        self._ended = True
        measures = self.statistics._sums.measure()
        self.factors = _library.select(measures, self.measure, self.case == 2, self.threshold, self._plan.factor)
        return self.statistics._rows(measures, self.factors)

    @property
    def selected(self):
        """The names of the selected layers."""
        return [layer for layer, factor in zip(self.statistics.layers, self.factors) if factor != 1]

    def _amplified(self):
        """(parameter, factor) of the layers that are amplified in this step."""
        if not self._plan.amplified:
            return []
        return [(parameter, factor) for parameters, factor in zip(self.statistics.parameters, self.factors)
                if factor != 1 for parameter in parameters if parameter.grad is not None]

    @torch.no_grad()
    def _before_step(self):
        if not self._has_accumulated:
            self.accumulate()
        self._has_accumulated = False
        if self._scales_gradient:
            for parameter, factor in self._amplified():
                parameter.grad.mul_(factor)
        else:
            self._before = [(parameter, factor, parameter.detach().clone()) for parameter, factor in self._amplified()]

    @torch.no_grad()
    def _after_step(self):
        """w = w0 (1 - rate decay) - f rate u, where the step has computed w1 = w0 (1 - rate decay) - rate u."""
        kept = {id(parameter): (factor, before) for parameter, factor, before in self._before}
        self._before = []
        for group in self.optimizer.param_groups if kept else []:
            decays = isinstance(self.optimizer, torch.optim.AdamW) or group.get("decoupled_weight_decay", False)
            decay = float(group["lr"]) * group["weight_decay"] if decays else 0.0
            for parameter in group["params"]:
                if id(parameter) in kept:
                    factor, before = kept[id(parameter)]
                    decayed = before.mul_(1 - decay)
                    parameter.copy_(decayed + factor * (parameter - decayed))

    def state_dict(self):
        return {"epoch": self._epoch, "factors": list(self.factors), "strategy": str(self.strategy),
                **self._settings(), "statistics": self.statistics.state_dict()}

    def _settings(self):
        return {"measure": self.measure, "threshold": float(self.threshold), "case": self.case,
                "reselect_every": self.strategy.reselect_every}

    def load_state_dict(self, state):
        """Restores the state after an epoch: go on with begin_epoch(state["epoch"] + 1). Inside an epoch, the rest of
        its steps can follow at once."""
        _check_keys(state, ("epoch", "factors", "strategy", "statistics"))
        for name, value in self._settings().items():
            if state.get(name, value) != value:  # earlier states lack them
                raise ValueError(f"expected a state with {name} {value}, got one with {state[name]}")
        if state["strategy"] != str(self.strategy):
            raise ValueError(f"expected the state of the strategy {self.strategy}, got one of {state['strategy']}")
        self.statistics.load_state_dict(state["statistics"])  # an error changes nothing
        if state["epoch"] > 0:
            self._begin(state["epoch"])
            self.statistics.load_state_dict(state["statistics"])  # begin_epoch may have reset it
        self.factors = list(state["factors"])
        self._set_rate, self._ended, self._iterations_before = None, True, 0


def _safetensors():
    try:
        import safetensors.torch
    except ImportError as error:
        raise ImportError("weights are files of safetensors: pip install safetensors") from error
    return safetensors.torch


def load_weights(model, path):
    """Loads weights into the model: from a run's folder, or from a file of the program or of save_weights.

    Errors: ValueError if the model has other parameters, or of other shapes, than the file.
    """
    path = pathlib.Path(path)
    file = path
    if path.is_dir():  # of a finished run with --keep weights, there is no checkpoint
        file = path / "checkpoint.safetensors"
        file = file if file.exists() or not (path / "weights.safetensors").exists() else path / "weights.safetensors"
    load_file = _safetensors().load_file
    from safetensors import SafetensorError
    try:
        weights = {name: tensor for name, tensor in load_file(file).items() if not name.startswith("gradamp.")}
    except SafetensorError as error:
        raise ValueError(f"{file}: expected a file of safetensors, got one that cannot be read: {error}") from None
    own = {name: tensor for name, tensor in model.state_dict().items() if not name.endswith("num_batches_tracked")}
    given = {name for name in weights if not name.endswith("num_batches_tracked")}
    for names, reason in ((own.keys() - given, "lacks"), (given - own.keys(), "has, and the model lacks,")):
        if names:
            raise ValueError(f"{file}: expected the model's weights, but the file {reason} {sorted(names)[0]}"
                             f"{f' and {len(names) - 1} more' if len(names) > 1 else ''}")
    for name, tensor in own.items():
        if weights[name].shape != tensor.shape:
            raise ValueError(f"{file}: expected {name} of shape {tuple(tensor.shape)}, got "
                             f"{tuple(weights[name].shape)}")
    model.load_state_dict(weights, strict=False)


def normalize(images, run):
    """Images as the run's network expects them: (pixel - mean) / std per channel. `images`: (N, C, H, W) or (C, H, W),
    bytes or, of a dataset whose pixels are floating-point numbers, those. `run`: a run's folder, or what load_run gave.

    Errors: ValueError if the run was begun by a release that did not store its normalization, or has other channels.
    """
    run = run if isinstance(run, runs.Run) else runs.load_run(run)
    if run.normalization is None:
        raise ValueError("expected a run that stores its normalization, got one that an earlier release began: its "
                         "images are normalized by the mean and standard deviation of its training images")
    mean, std = (torch.tensor(run.normalization[key], dtype=torch.float32, device=images.device).view(-1, 1, 1)
                 for key in ("mean", "std"))
    if images.dim() not in (3, 4) or images.shape[-3] != len(mean):
        raise ValueError(f"expected images of {len(mean)} channels, (N, {len(mean)}, H, W), got {tuple(images.shape)}")
    pixels = images.float() / 255 if images.dtype == torch.uint8 else images.float()
    return (pixels - mean) / std


def save_weights(model, path):
    """Writes the model's weights for `gradamp train --weights FILE` and `evaluate --weights FILE`. A file that is there
    is replaced when the new one is complete."""
    path = pathlib.Path(path)
    if path.is_dir() or not path.absolute().parent.is_dir():
        number = errno.EISDIR if path.is_dir() else errno.ENOENT
        raise OSError(number, os.strerror(number), str(path))
    with tempfile.TemporaryDirectory(dir=path.absolute().parent, prefix=".gradamp-") as folder:
        written = pathlib.Path(folder) / path.name
        _safetensors().save_file({name: tensor.contiguous() for name, tensor in model.state_dict().items()}, written)
        os.replace(written, path)

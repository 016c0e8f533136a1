# SPDX-License-Identifier: MIT
"""Training strategies ([IGA] section 4), as the engine has them in optim/strategy.h: phases, and an epoch's plan."""

from __future__ import annotations  # for Python 3.9

import dataclasses
import math
import operator

NAMED = {"params_1": "50:0.1, 100:0.1:2, 130:0.01:2, 150:0.01", "params_2": "10:0.1, 100:0.1:2, 145:0.01:2, 150:0.01"}
GRAMMAR = ("expected phases end_epoch:learning_rate[:factor] such as '50:0.1, 100:0.1:2, 150:0.01', or " +
           " or ".join(NAMED))


@dataclasses.dataclass(frozen=True)
class Phase:
    """It begins after the end of the one before. A phase with a factor amplifies."""

    end_epoch: int
    learning_rate: float
    factor: float | None = None


@dataclasses.dataclass(frozen=True)
class Plan:
    """What an epoch does. A window of analyzed epochs begins with `clear_sums` and ends with `select`."""

    learning_rate: float
    factor: float
    phase_start: bool
    amplifies: bool  # its phase does
    analyzed: bool = False
    clear_sums: bool = False
    select: bool = False
    amplified: bool = False


def whole_number(what, value):
    """The value as an int. TypeError if it is none."""
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(f"{what}: expected a whole number, got {value!r}") from None


class Strategy:
    def __init__(self, text, epochs=None, reselect_every=0):
        """`text`: "params_1", "params_2" or phases. `epochs`: its ends are scaled to them. `reselect_every` k > 0: from
        a phase's second epoch on, layers are selected anew after every k epochs."""
        if not isinstance(text, str):
            raise TypeError(f"strategy: expected a string, {GRAMMAR.removeprefix('expected ')}; got {text!r}")
        if text.strip() == "step":
            raise ValueError("strategy: 'step' is a strategy of the program gradamp alone; write its phases instead, "
                             "such as '24:0.1, 30:0.01'")
        if epochs is not None:
            epochs = whole_number("epochs", epochs)
        reselect_every = whole_number("reselect_every", reselect_every)
        if reselect_every < 0:
            raise ValueError(f"strategy: expected to reselect every k epochs with k at least 0, got {reselect_every}")
        self.reselect_every = reselect_every
        self.phases = [_phase(part.strip()) for part in NAMED.get(text.strip(), text).split(",")]
        previous = 0
        for phase in self.phases:
            if phase.end_epoch <= previous:
                raise ValueError(f"strategy: expected end epochs that rise from 1 on, got {phase.end_epoch} after "
                                 f"{previous}")
            factor = 1.0 if phase.factor is None else phase.factor
            for what, value in (("learning rate", phase.learning_rate), ("amplification factor", factor)):
                if not (math.isfinite(value) and value > 0):
                    raise ValueError(f"strategy: expected a finite {what} above 0 up to epoch {phase.end_epoch}, got "
                                     f"{value}")
            previous = phase.end_epoch
        if epochs is not None:
            self._scale_to(epochs)

    @property
    def epochs(self):
        return self.phases[-1].end_epoch

    def phases_too_short(self):
        """The only epochs of phases that would amplify and have no other: the first epoch of a phase is analyzed."""
        firsts = [1, *(phase.end_epoch + 1 for phase in self.phases)]
        return [first for first, phase in zip(firsts, self.phases)
                if phase.factor is not None and phase.end_epoch == first]

    def _scale_to(self, epochs):
        count, old = len(self.phases), self.epochs
        if epochs < count:
            raise ValueError(f"strategy: {count} phases need {count} epochs at least, got {epochs}")
        # A phase has at least one epoch, an amplifying one two, since its first is not amplified; the last ones get one
        # if there are too few epochs.
        least = [1 if phase.factor is None else 2 for phase in self.phases]
        for i in reversed(range(count)):
            if sum(least) > epochs:
                least[i] = 1
        ends = []
        for phase, length in zip(self.phases, least):
            ends.append(max((2 * phase.end_epoch * epochs + old) // (2 * old), (ends[-1] if ends else 0) + length))
        ends[-1] = epochs
        for i in reversed(range(1, count)):
            ends[i - 1] = min(ends[i - 1], ends[i] - least[i])
        self.phases = [dataclasses.replace(phase, end_epoch=end) for phase, end in zip(self.phases, ends)]

    def plan(self, epoch):
        """The plan of an epoch, counted from 1."""
        epoch = whole_number("epoch", epoch)
        if not 1 <= epoch <= self.epochs:
            raise ValueError(f"strategy: expected an epoch from 1 to {self.epochs}, got {epoch}")
        number = next(i for i, phase in enumerate(self.phases) if epoch <= phase.end_epoch)
        phase, first = self.phases[number], self.phases[number - 1].end_epoch + 1 if number else 1
        plan = Plan(phase.learning_rate, phase.factor or 1.0, epoch == first, phase.factor is not None)
        if phase.factor is None:
            return plan
        if epoch == first:
            return dataclasses.replace(plan, analyzed=True, clear_sums=True, select=True)
        if self.reselect_every == 0:
            return dataclasses.replace(plan, amplified=True)
        place = (epoch - first - 1) % self.reselect_every  # in its window
        left = self.reselect_every - 1 - place
        analyzed = left < phase.end_epoch - epoch
        return dataclasses.replace(plan, amplified=True, analyzed=analyzed, clear_sums=analyzed and place == 0,
                                   select=analyzed and left == 0)

    def __repr__(self):
        return f"Strategy({str(self)!r})"

    def __str__(self):
        return ", ".join(f"{phase.end_epoch}:{phase.learning_rate:g}" + (f":{phase.factor:g}" if phase.factor else "")
                         for phase in self.phases)


def _phase(text):
    parts = [part.strip() for part in text.split(":")]
    try:
        if len(parts) not in (2, 3):
            raise ValueError
        return Phase(int(parts[0]), float(parts[1]), float(parts[2].removeprefix("x")) if len(parts) == 3 else None)
    except ValueError:
        raise ValueError(f"strategy: {GRAMMAR}; cannot read the phase '{text[:60]}'") from None

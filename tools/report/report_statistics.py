# SPDX-License-Identifier: MIT
"""Means with confidence intervals, and differences of means, for the report. Needs nothing but Python."""

import dataclasses
import math
import statistics

CONFIDENCE = 0.95


@dataclasses.dataclass(frozen=True)
class Estimate:
    """The mean of n values in their own unit. `deviation` is the sample deviation (n - 1), `low` and `high` the ends
    of the mean's 95% confidence interval; all three are None where n = 1."""

    n: int
    mean: float
    deviation: float | None
    low: float | None
    high: float | None


@dataclasses.dataclass(frozen=True)
class Difference:
    """A mean less another. Paired: over the `n` seeds that both have. Otherwise of all `n` against all `base_n` values.
    `low` and `high` are the ends of its 95% confidence interval, None where there are too few values for one."""

    mean: float
    low: float | None
    high: float | None
    paired: bool
    n: int
    base_n: int


def mean(values):
    """The same number in whatever order the values come, so that equal sets of values tie."""
    return math.fsum(values) / len(values)


def incomplete_beta(a, b, x):
    """The regularised incomplete beta function I_x(a, b), by its continued fraction (modified Lentz)."""
    if x <= 0 or x >= 1:
        return 0.0 if x <= 0 else 1.0
    if x > (a + 1) / (a + b + 2):  # the fraction converges fast below this only
        return 1 - incomplete_beta(b, a, 1 - x)
    tiny = 1e-300
    front = math.exp(
        a * math.log(x) + b * math.log1p(-x) + math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) - math.log(a)
    )
    c, d = 1.0, 1 / (1 - (a + b) * x / (a + 1) or tiny)
    fraction = d
    for m in range(1, 10_000):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        before = fraction
        for term in (even, odd):
            d = 1 / (1 + term * d or tiny)
            c = 1 + term / c or tiny
            fraction *= c * d
        if abs(fraction - before) <= 1e-15 * abs(fraction):
            break
    return front * fraction


def t_probability(t, freedom):
    """P(T <= t) of Student's t with `freedom` degrees of freedom, which need not be whole."""
    tail = incomplete_beta(freedom / 2, 0.5, freedom / (freedom + t * t)) / 2
    return 1 - tail if t > 0 else tail


def t_quantile(probability, freedom):
    """The t with P(T <= t) = probability, by bisection. ValueError unless 0 < probability < 1 and freedom > 0."""
    if not 0 < probability < 1 or not freedom > 0:
        raise ValueError(f"expected a probability in (0, 1) and freedom above 0, got {probability} and {freedom}")
    if probability < 0.5:
        return -t_quantile(1 - probability, freedom)
    low, high = 0.0, 1.0
    while t_probability(high, freedom) < probability and high < 1e12:
        low, high = high, 2 * high
    for _ in range(200):
        middle = (low + high) / 2
        if t_probability(middle, freedom) < probability:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def half_width(error, freedom):
    """Half of the confidence interval of a mean whose standard error is `error`."""
    return t_quantile((1 + CONFIDENCE) / 2, freedom) * error if error > 0 else 0.0


def estimate(values):
    """Of one value or more."""
    n, middle = len(values), mean(values)
    if n == 1:
        return Estimate(1, middle, None, None, None)
    deviation = statistics.stdev(values)
    half = half_width(deviation / math.sqrt(n), n - 1)
    return Estimate(n, middle, deviation, middle - half, middle + half)


def difference(ours, base):
    """`ours` less `base`, each {seed: value} with a value at least. Paired where two seeds or more are in both;
    otherwise of the means, with Welch's interval where both have two values or more."""
    common = sorted(ours.keys() & base.keys())
    if len(common) >= 2:
        pairs = estimate([ours[seed] - base[seed] for seed in common])
        return Difference(pairs.mean, pairs.low, pairs.high, True, pairs.n, pairs.n)
    a, b = estimate(list(ours.values())), estimate(list(base.values()))
    between = a.mean - b.mean
    if a.n == 1 or b.n == 1:
        return Difference(between, None, None, False, a.n, b.n)
    first, second = a.deviation**2 / a.n, b.deviation**2 / b.n
    half = 0.0
    if first + second > 0:
        freedom = (first + second) ** 2 / (first**2 / (a.n - 1) + second**2 / (b.n - 1))
        half = half_width(math.sqrt(first + second), freedom)
    return Difference(between, between - half, between + half, False, a.n, b.n)

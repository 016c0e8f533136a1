# SPDX-License-Identifier: MIT
"""Means with confidence intervals, and differences of means, for the report. Needs only Python's standard library."""

import dataclasses
import functools
import math
import statistics

CONFIDENCE = 0.95


@dataclasses.dataclass(frozen=True)
class Estimate:
    """The mean of n values, in their unit. `deviation` is the sample standard deviation (with n - 1). `low` and `high`
    are the ends of the mean's 95% confidence interval. All three are None if n = 1, and NaN if a value is not
    finite."""

    n: int
    mean: float
    deviation: float | None
    low: float | None
    high: float | None


@dataclasses.dataclass(frozen=True)
class Difference:
    """The difference of two means. If paired, it is over the `n` seeds that both have, else between all `n` and all
    `base_n` values. `low` and `high` are the ends of its 95% confidence interval, or None if there are too few
    values."""

    mean: float
    low: float | None
    high: float | None
    paired: bool
    n: int
    base_n: int


def total(values):
    """The sum. It does not depend on the order of the values. If one is not finite, neither is the sum."""
    return math.fsum(values) if all(map(math.isfinite, values)) else sum(values)  # fsum refuses infinity - infinity


def mean(values):
    """The mean. It does not depend on the order of the values, so equal sets of values have exactly equal means. If a
    value is not finite, neither is the mean."""
    return total(values) / len(values)


def incomplete_beta(a, b, x):
    """The regularized incomplete beta function I_x(a, b), by its continued fraction (modified Lentz algorithm)."""
    if x <= 0 or x >= 1:
        return 0.0 if x <= 0 else 1.0
    if x > (a + 1) / (a + b + 2):  # the fraction converges fast only below this value
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
    """P(T <= t) of Student's t distribution with `freedom` degrees of freedom, which may be fractional."""
    tail = incomplete_beta(freedom / 2, 0.5, freedom / (freedom + t * t)) / 2
    return 1 - tail if t > 0 else tail


@functools.cache
def t_quantile(probability, freedom):
    """The t with P(T <= t) = probability, by bisection. ValueError unless 0 < probability < 1 and freedom > 0."""
    if not 0 < probability < 1 or not freedom > 0:
        raise ValueError(f"expected a probability in (0, 1) and freedom above 0, got {probability} and {freedom}")
    if probability < 0.5:
        return -t_quantile(1 - probability, freedom)
    low, high = 0.0, 1.0
    while t_probability(high, freedom) < probability and high < 1e12:
        low, high = high, 2 * high
    while low < (middle := (low + high) / 2) < high:  # until there is no number between them
        if t_probability(middle, freedom) < probability:
            low = middle
        else:
            high = middle
    return middle


def half_width(error, freedom):
    """Half of the confidence interval of a mean whose standard error is `error`."""
    return 0.0 if error == 0 else t_quantile((1 + CONFIDENCE) / 2, freedom) * error


def estimate(values):
    """The Estimate of at least one value."""
    n, middle = len(values), mean(values)
    if n == 1:
        return Estimate(1, middle, None, None, None)
    deviation = statistics.stdev(values) if math.isfinite(middle) else math.nan
    half = half_width(deviation / math.sqrt(n), n - 1)
    return Estimate(n, middle, deviation, middle - half, middle + half)


def difference(ours, base):
    """The Difference `ours` - `base`. Each is {seed: value} with at least one value. The difference is paired if both
    have at least two seeds in common. Otherwise it is between the means, with Welch's interval if both have at least
    two values."""
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

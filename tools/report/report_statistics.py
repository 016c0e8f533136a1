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
    """The difference of two means, of which `base` is the second. If paired, they are over the `n` seeds that both
    have, else over all `n` and all `base_n` values. `low` and `high` are the ends of its 95% confidence interval and `p`
    is its two-sided p-value. `variance` is the sample variance of the difference of two runs; the interval and p use at
    least `floor`, the test set's binomial variance. All but the means are None if there are too few values."""

    mean: float
    base: float
    low: float | None
    high: float | None
    paired: bool
    n: int
    base_n: int
    variance: float | None = None
    floor: float | None = None
    p: float | None = None


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


def p_value(t, freedom):
    """The two-sided p-value P(|T| >= |t|) of Student's t distribution. NaN if t is not a number."""
    if math.isnan(t):
        return math.nan
    return 0.0 if math.isinf(t) else incomplete_beta(freedom / 2, 0.5, freedom / (freedom + t * t))


def half_width(error, freedom):
    """Half of the confidence interval of a mean whose standard error is `error`."""
    return 0.0 if error == 0 else t_quantile((1 + CONFIDENCE) / 2, freedom) * error


def binomial_variance(accuracy, images):
    """The variance, in points^2, of an accuracy in % that is measured on this number of images: 100^2 p (1 - p) / n. So
    that it is not 0 if all images are classified correctly or none, p is (correct + 1) / (images + 2). 0 if the number
    of images is unknown (None)."""
    if not images or not math.isfinite(accuracy):
        return 0.0
    p = (min(max(accuracy / 100, 0), 1) * images + 1) / (images + 2)
    return 100**2 * p * (1 - p) / images


def inside(low, high, bounds):
    """The interval without the part outside the bounds. NaN stays."""
    return max(low, bounds[0]) if low == low else low, min(high, bounds[1]) if high == high else high


def estimate(values, images=None, bounds=(-math.inf, math.inf)):
    """The Estimate of at least one value. If `images` is given, the values are accuracies in % on this number of
    images, and the variance of one is at least the binomial variance. The interval is cut to `bounds`."""
    n, middle = len(values), mean(values)
    if n == 1:
        return Estimate(1, middle, None, None, None)
    deviation = statistics.stdev(values) if math.isfinite(middle) else math.nan
    variance = max(deviation**2, binomial_variance(middle, images)) if deviation == deviation else math.nan
    half = half_width(math.sqrt(variance / n), n - 1)
    return Estimate(n, middle, deviation, *inside(middle - half, middle + half, bounds))


def paired_difference(ours, base, seeds, images):
    """The paired Difference over `seeds`. The variance of one seed's difference is at least the binomial variance."""
    differences = [ours[seed] - base[seed] for seed in seeds]
    between, n = mean(differences), len(seeds)
    middle = mean([base[seed] for seed in seeds])
    if n == 1:
        return Difference(between, middle, None, None, True, 1, 1)
    variance = statistics.variance(differences) if math.isfinite(between) else math.nan
    floor = binomial_variance(middle + between / 2, images)
    error = math.sqrt(max(variance, floor) / n) if variance == variance else math.nan
    return judged(error, n - 1, Difference(between, middle, None, None, True, n, n, variance, floor))


def unpaired_difference(ours, base, images):
    """Welch's Difference. Each run contributes at least half of the binomial variance, so that the difference of two
    runs has at least the variance that it has in a pair."""
    a, b = estimate(list(ours.values())), estimate(list(base.values()))
    between = a.mean - b.mean
    if a.n == 1 or b.n == 1:
        return Difference(between, b.mean, None, None, False, a.n, b.n)
    floor = binomial_variance((a.mean + b.mean) / 2, images) / 2
    first, second = (max(e.deviation**2, floor) / e.n for e in (a, b))
    freedom = a.n + b.n - 2
    if first + second > 0:
        freedom = (first + second) ** 2 / (first**2 / (a.n - 1) + second**2 / (b.n - 1))
    variance = a.deviation**2 + b.deviation**2
    result = Difference(between, b.mean, None, None, False, a.n, b.n, variance, 2 * floor)
    return judged(math.sqrt(first + second), freedom, result)


def judged(error, freedom, result):
    """`result` with its interval, which is cut to what accuracies from 0 to 100% allow, and its p-value."""
    between, half = result.mean, half_width(error, freedom)
    low, high = inside(between - half, between + half, (-result.base, 100 - result.base))
    t = between / error if error else math.copysign(math.inf, between) if between else 0.0
    return dataclasses.replace(result, low=low, high=high, p=p_value(t, freedom))


def difference(ours, base, images=None):
    """The Difference `ours` - `base` of accuracies in % on this number of test images. Each is {seed: value} with at
    least one value. The difference is over the common seeds only if there are at least two; otherwise it is Welch's, if
    both have at least two values; otherwise it is that of the common seed, or of the means, without an interval."""
    common = sorted(ours.keys() & base.keys())
    if len(common) >= 2 or common and min(len(ours), len(base)) == 1:
        return paired_difference(ours, base, common, images)
    return unpaired_difference(ours, base, images)


# ---- Several comparisons, and power ----


def holm(p_values):
    """Holm's adjusted p-values, in the order of the given ones. A hypothesis is rejected at level a if its adjusted
    p-value is below a; the probability of any false rejection is then at most a (Holm 1979)."""
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    adjusted, highest = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = highest
    return adjusted


def normal_cdf(x):
    return math.erfc(-x / math.sqrt(2)) / 2


@functools.cache
def power(effect, variance, floor, seeds, level):
    """The probability that a paired difference over this number of seeds is significant at `level`, two-sided. `effect`
    is the true difference and `variance` the true variance of one seed's difference; the test takes its sample
    variance, but at least `floor`. Without a floor, this is the power of the t-test (noncentral t distribution)."""
    freedom = seeds - 1
    critical = t_quantile(1 - level / 2, freedom)
    center, least = effect * math.sqrt(seeds / variance), math.sqrt(floor / variance)
    constant = math.log(2) + freedom / 2 * math.log(freedom / 2) - math.lgamma(freedom / 2)

    def density(s):  # of the sample deviation / the true one
        if s <= 0:
            return math.exp(constant) if freedom == 1 else 0.0
        return math.exp(constant + (freedom - 1) * math.log(s) - freedom * s * s / 2)

    def rejected(s):
        border = critical * max(s, least)
        return density(s) * (normal_cdf(center - border) + normal_cdf(-center - border))

    width = 9 / math.sqrt(2 * freedom)
    low, high = max(0.0, 1 - width), 1 + width
    cuts = [low, least, high] if low < least < high else [low, high]  # the integrand has a kink at `least`
    return math.fsum(simpson(rejected, a, b) for a, b in zip(cuts, cuts[1:]))


def simpson(function, low, high, steps=400):
    """The integral of a smooth function, by Simpson's rule with an even number of steps."""
    width = (high - low) / steps
    values = [function(low + width * step) for step in range(steps + 1)]
    return width / 3 * (values[0] + values[-1] + 4 * math.fsum(values[1:-1:2]) + 2 * math.fsum(values[2:-1:2]))


def seeds_for(effect, variance, floor, level, wanted=0.8, most=10_000):
    """The smallest number of seeds, at least 2, whose power() is at least `wanted`. None if it is above `most`."""
    low, high = 1, 2
    while power(effect, variance, floor, high, level) < wanted:
        low, high = high, 2 * high
        if low >= most:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if power(effect, variance, floor, middle, level) >= wanted else (middle, high)
    return high

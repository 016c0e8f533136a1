#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Tests of the report's statistics. The class LongTest simulates reports with and without an effect."""

import math
import pathlib
import random
import statistics
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tools" / "report"))

import report_answer  # noqa: E402
import report_statistics  # noqa: E402
import report_tables  # noqa: E402


class StatisticsTest(unittest.TestCase):
    def test_quantiles_of_t_are_the_published_ones(self):
        # NIST/SEMATECH e-Handbook of Statistical Methods, 1.3.6.7.2.
        for freedom, at_95, at_975, at_99, at_999 in [
            (1, 6.314, 12.706, 31.821, 318.309),
            (2, 2.920, 4.303, 6.965, 22.327),
            (3, 2.353, 3.182, 4.541, 10.215),
            (4, 2.132, 2.776, 3.747, 7.173),
            (9, 1.833, 2.262, 2.821, 4.297),
            (30, 1.697, 2.042, 2.457, 3.385),
            (100, 1.660, 1.984, 2.364, 3.174),
        ]:
            for probability, value in [(0.95, at_95), (0.975, at_975), (0.99, at_99), (0.999, at_999)]:
                self.assertAlmostEqual(report_statistics.t_quantile(probability, freedom), value, delta=6e-4)

    def test_quantiles_of_t_in_closed_form(self):
        for p in (0.6, 0.9, 0.975, 0.9995):
            self.assertAlmostEqual(report_statistics.t_quantile(p, 1) / math.tan(math.pi * (p - 0.5)), 1, places=10)
            exact = (2 * p - 1) * math.sqrt(2 / (1 - (2 * p - 1) ** 2))
            self.assertAlmostEqual(report_statistics.t_quantile(p, 2) / exact, 1, places=10)
            self.assertEqual(report_statistics.t_quantile(1 - p, 2), -report_statistics.t_quantile(1 - (1 - p), 2))
        self.assertAlmostEqual(report_statistics.t_quantile(0.975, 1e7), 1.959964, places=5)  # as for the normal one
        self.assertAlmostEqual(report_statistics.t_quantile(0.5, 5), 0, places=12)

    def test_quantiles_refuse_what_has_none(self):
        for probability, freedom in [(0, 3), (1, 3), (0.9, 0)]:
            with self.assertRaises(ValueError):
                report_statistics.t_quantile(probability, freedom)

    def test_estimate(self):
        e = report_statistics.estimate([92.0, 94.0, 93.0, 95.0])
        self.assertEqual((e.n, e.mean), (4, 93.5))
        self.assertAlmostEqual(e.deviation, math.sqrt(5 / 3))
        self.assertAlmostEqual(e.high - e.mean, 3.182446 * math.sqrt(5 / 3) / 2, places=5)
        self.assertAlmostEqual(e.mean - e.low, e.high - e.mean)

    def test_one_value_has_no_interval(self):
        e = report_statistics.estimate([92.0])
        self.assertEqual((e.n, e.mean, e.deviation, e.low, e.high), (1, 92.0, None, None, None))

    def test_paired_difference_is_over_the_common_seeds(self):
        d = report_statistics.difference({1: 53.0, 2: 55.0, 3: 50.0}, {1: 52.0, 2: 53.0, 7: 10.0})
        self.assertTrue(d.paired)
        self.assertEqual((d.n, d.mean), (2, 1.5))  # of 1 and 2
        self.assertAlmostEqual(d.high - d.mean, 12.7062 * math.sqrt(0.5) / math.sqrt(2), places=4)

    def test_unpaired_difference_is_welchs(self):
        d = report_statistics.difference({1: 10.0, 2: 12.0, 3: 14.0}, {4: 5.0, 5: 6.0})
        self.assertFalse(d.paired)
        self.assertEqual((d.n, d.base_n, d.mean), (3, 2, 6.5))
        first, second = 4 / 3, 0.5 / 2
        freedom = (first + second) ** 2 / (first**2 / 2 + second**2 / 1)  # 2.633
        half = report_statistics.t_quantile(0.975, freedom) * math.sqrt(first + second)
        self.assertAlmostEqual(d.high - d.mean, half)
        self.assertAlmostEqual(half, 4.34, delta=0.03)  # with t = 3.45, between the values for 2 and 3 degrees

    def test_difference_of_single_values(self):
        d = report_statistics.difference({1: 93.0}, {1: 92.0, 2: 93.0})
        self.assertEqual((d.mean, d.low, d.high, d.p, d.paired), (1.0, None, None, None, True))  # of the common seed
        d = report_statistics.difference({3: 93.0}, {1: 92.0, 2: 93.0})
        self.assertEqual((d.mean, d.low, d.high, d.p, d.paired), (0.5, None, None, None, False))

    def test_values_that_are_not_finite(self):
        self.assertTrue(math.isnan(report_statistics.mean([math.inf, -math.inf])))
        self.assertEqual(report_statistics.mean([math.inf, 1.0]), math.inf)
        for values in ([math.nan, 1.0], [math.inf, 1.0], [math.inf, -math.inf]):
            e = report_statistics.estimate(values)
            self.assertFalse(math.isfinite(e.mean))
            self.assertTrue(all(map(math.isnan, (e.deviation, e.low, e.high))), values)

    def test_differences_and_p_values_are_scipys(self):
        # scipy 1.17.1: scipy.stats.ttest_rel and ttest_ind(equal_var=False), with confidence_interval().
        ours = dict(enumerate([93.1, 92.4, 94.0, 93.3]))
        paired = report_statistics.difference(ours, dict(enumerate([92.0, 92.6, 92.9, 92.2])))
        welch = report_statistics.difference(ours, dict(enumerate([91.7, 92.9, 92.1], 10)))
        for d, p, low, high in (
            (paired, 0.09721212186431367, -0.2592950492171928, 1.80929504921719),
            (welch, 0.10576780215828639, -0.30226158077422727, 2.235594914107536),
        ):
            self.assertAlmostEqual(d.p, p, places=10)
            self.assertAlmostEqual(d.low, low, places=10)
            self.assertAlmostEqual(d.high, high, places=10)

    def test_p_values_are_scipys(self):
        # scipy 1.17.1: 2 * scipy.stats.t.sf(t, freedom).
        for t, freedom, p in [
            (2.5, 4, 0.06676654481198814),
            (0.3, 1.7, 0.7968029183974501),
            (-8, 2, 0.01526807216533814),
            (12, 30, 5.580185415199261e-13),
            (0.001, 9, 0.9992239303259733),
        ]:
            self.assertAlmostEqual(report_statistics.p_value(t, freedom) / p, 1, places=10)
        self.assertEqual(report_statistics.p_value(math.inf, 3), 0)
        self.assertTrue(math.isnan(report_statistics.p_value(math.nan, 3)))

    def test_holm_is_that_of_statsmodels(self):
        # statsmodels 0.15.0: statsmodels.stats.multitest.multipletests(p, method="holm").
        expected = [0.04, 0.09, 0.09, 0.025, 0.2]
        for ours, theirs in zip(report_statistics.holm([0.01, 0.04, 0.03, 0.005, 0.2]), expected, strict=True):
            self.assertAlmostEqual(ours, theirs, places=12)
        self.assertEqual(report_statistics.holm([0.7, 0.8]), [1.0, 1.0])
        self.assertEqual(report_statistics.holm([]), [])

    def test_power_is_scipys(self):
        # scipy 1.17.1, with c = t.ppf(1 - level / 2, n - 1) and d = effect * sqrt(n / variance):
        # nct.sf(c, n - 1, d) + nct.cdf(-c, n - 1, d).
        for effect, variance, seeds, level, power in [
            (1, 1, 11, 0.05, 0.8475299771221279),
            (1, 0.5, 5, 0.0125, 0.3194193690428673),
            (0.5, 0.3, 3, 0.05, 0.15900393198401036),
            (2, 0.8, 2, 0.05, 0.1959770044120509),
            (0.2, 0.25, 60, 0.01, 0.6683037242867301),
        ]:
            self.assertAlmostEqual(report_statistics.power(effect, variance, 0.0, seeds, level), power, places=6)
        # A floor takes power away, and one that is always above the sample variance makes the test one of the normal
        # distribution.
        self.assertLess(report_statistics.power(1, 1, 0.9, 11, 0.05), 0.83)
        border = report_statistics.t_quantile(0.975, 10) * 3
        normal = statistics.NormalDist(math.sqrt(11))
        exact = 1 - normal.cdf(border) + normal.cdf(-border)
        self.assertAlmostEqual(report_statistics.power(1, 1, 9, 11, 0.05), exact, places=6)

    def test_the_number_of_seeds_is_the_smallest(self):
        for level in (0.05, 0.05 / 4):
            seeds = report_statistics.seeds_for(1, 1, 0.1, level)
            self.assertGreaterEqual(report_statistics.power(1, 1, 0.1, seeds, level), 0.8)
            self.assertLess(report_statistics.power(1, 1, 0.1, seeds - 1, level), 0.8)
        self.assertEqual(report_statistics.seeds_for(1, 1, 0, 0.05), 10)
        self.assertIsNone(report_statistics.seeds_for(0.001, 1, 0, 0.05))

    def test_no_interval_has_zero_width(self):
        d = report_statistics.difference({1: 93.0, 2: 93.0, 3: 93.0}, {1: 92.0, 2: 92.0, 3: 92.0}, 10_000)
        variance = 100**2 * 0.925 * 0.075 / 10_000  # of one seed's difference
        self.assertAlmostEqual(d.high - 1, 4.302653 * math.sqrt(variance / 3), places=3)
        self.assertAlmostEqual(1 - d.low, d.high - 1)
        self.assertGreater(d.p, 0)
        unpaired = report_statistics.difference({1: 93.0, 2: 93.0}, {3: 92.0, 4: 92.0}, 10_000)
        self.assertAlmostEqual(unpaired.high - 1, 4.302653 * math.sqrt(variance / 2), places=3)
        e = report_statistics.estimate([93.0, 93.0], 10_000)
        self.assertGreater(e.high - e.low, 1)
        perfect = report_statistics.difference({1: 100.0, 2: 100.0}, {1: 100.0, 2: 100.0}, 500)
        self.assertLess(perfect.low, 0)

    def test_a_larger_variance_than_the_binomial_one_stays(self):
        ours, base = {1: 93.0, 2: 95.0}, {1: 92.0, 2: 91.0}
        self.assertEqual(report_statistics.difference(ours, base, 10_000).p, report_statistics.difference(ours, base).p)

    def test_intervals_end_where_accuracies_end(self):
        e = report_statistics.estimate([93.0, 95.0], 10_000, (0, 100))
        self.assertEqual(e.high, 100)
        self.assertAlmostEqual(e.low, 81.29, places=2)
        d = report_statistics.difference({1: 93.0, 2: 95.0}, {1: 92.0, 2: 92.0}, 10_000)
        self.assertEqual(d.high, 8)
        self.assertAlmostEqual(d.low, -10.71, places=2)
        d = report_statistics.difference({1: 10.0, 2: 2.0}, {1: 3.0, 2: 1.0}, 10_000)
        self.assertEqual(d.low, -2)
        nan = report_statistics.difference({1: math.nan, 2: 95.0}, {1: 92.0, 2: 92.0}, 10_000)
        self.assertTrue(math.isnan(nan.low) and math.isnan(nan.high) and math.isnan(nan.p))


class SimulatedRun:
    """What the tables need of a run."""

    def __init__(self, seed, test, validation):
        self.seed, self.test_accuracy, self.validation_accuracy, self.test_images = seed, test, validation, 10_000


class Simulation:
    """Reports of a network with random numbers: each run has an accuracy of its own, which is normal around 93% with
    `spread` points, and the test and held-out images add binomial noise. `effect` is added to the first column."""

    def __init__(self, seeds, columns, thresholds, spread, held_out=True, effect=0.0, start=1):
        self.seeds, self.columns, self.thresholds, self.spread = seeds, columns, thresholds, spread
        self.held_out, self.effect, self.random = held_out, effect, random.Random(start)

    def run(self, seed, effect=0.0):
        gauss = self.random.gauss
        quality = 93 + gauss(0, self.spread)
        test, validation = (gauss(0, 100 * math.sqrt(0.93 * 0.07 / images)) for images in (10_000, 5_000))
        return SimulatedRun(seed, quality + effect + test, quality + effect + validation if self.held_out else None)

    def rows(self, seeds=None):
        numbers = range(seeds or self.seeds)
        columns = {"original": {None: [self.run(seed) for seed in numbers]}}
        for index, name in enumerate(report_tables.MEASURED[: self.columns]):
            effect = self.effect if index == 0 else 0.0
            choices = [0.7 + 0.1 * place for place in range(self.thresholds)]
            columns[name] = {choice: [self.run(seed, effect) for seed in numbers] for choice in choices}
        return [report_tables.Row("cifar10", "simulated", "simulated", {}, columns)]

    def share(self, count, is_hit):
        """The share of `count` reports whose comparisons fulfill `is_hit`."""
        return sum(bool(is_hit(report_answer.compare(self.rows()))) for _ in range(count)) / count


def says_effect(comparisons):
    return any(comparison.is_effect for comparison in comparisons)


class SimulationTest(unittest.TestCase):
    def test_the_plan_is_for_the_same_number_of_comparisons(self):
        found = report_answer.plan(report_answer.compare(Simulation(400, 4, 1, 0.5).rows()))
        self.assertEqual((found.level, found.present), (0.05 / 4, 400))
        self.assertAlmostEqual(found.variance, 2 * (0.5**2 + 100**2 * 0.93 * 0.07 / 10_000), delta=0.07)
        self.assertAlmostEqual(found.floor, 100**2 * 0.93 * 0.07 / 10_000, delta=0.01)
        self.assertEqual(found.seeds, report_statistics.seeds_for(1.0, found.variance, found.floor, 0.05 / 4))

    def test_the_sentence_says_what_the_comparisons_are(self):
        for simulation in (Simulation(5, 2, 2, 0.3), Simulation(5, 2, 1, 0.2, effect=2.0)):
            for _ in range(20):
                rows = simulation.rows()
                text = report_answer.sentence(rows)
                self.assertEqual("no column differs" in text, not says_effect(report_answer.compare(rows)), text)


class LongTest(unittest.TestCase):
    def test_reports_without_an_effect_seldom_say_that_there_is_one(self):
        for simulation in (
            Simulation(10, 3, 1, 0.5),  # the largest share that is possible: no choice among thresholds
            Simulation(10, 2, 13, 0.5),  # the choice on held-out images favors runs that are better by chance
            Simulation(5, 4, 3, 0.5, held_out=False),
            Simulation(3, 5, 1, 0.1),
        ):
            share = simulation.share(10_000, says_effect)
            with self.subTest(**vars(simulation)):
                self.assertLessEqual(share, 0.055)
            if simulation.thresholds == 1 and simulation.seeds == 10:
                self.assertGreater(share, 0.03)  # the test is not needlessly weak

    def test_the_power_is_what_the_sentence_promises(self):
        for columns, spread in ((1, 0.5), (4, 0.5), (2, 0.0), (3, 1.0)):
            simulation = Simulation(2, columns, 1, spread, effect=report_answer.EFFECT)
            # Enough seeds to estimate the variance.
            found = report_answer.plan(report_answer.compare(simulation.rows(3000)))
            simulation.seeds = found.seeds
            promised = report_statistics.power(
                report_answer.EFFECT, found.variance, found.floor, found.seeds, found.level
            )
            share = simulation.share(6000, lambda comparisons: comparisons[0].is_effect)
            with self.subTest(columns=columns, spread=spread, seeds=found.seeds):
                self.assertGreaterEqual(promised, 0.8)
                self.assertLess(abs(share - promised), 0.03)


if __name__ == "__main__":
    unittest.main()

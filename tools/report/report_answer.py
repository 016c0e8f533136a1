# SPDX-License-Identifier: MIT
"""The answer to "does it help?" for the runs of one dataset: every network's columns are compared with the original,
the p-values are corrected for the number of comparisons, and one sentence says what was found and how many seeds would
find an effect."""

import dataclasses
import math

import report_paper
import report_statistics
import report_tables
from report_text import signed

LEVEL = 0.05  # the probability of any false effect in a dataset's sentence
EFFECT = 1.0  # points, the effect that the sentence states the number of seeds for
POWER = 0.8


@dataclasses.dataclass(frozen=True)
class Comparison:
    """A column of a row against the original. `p` is the p-value of the shown cell times the number of choices that it
    was chosen among; `adjusted` is Holm's, over all comparisons of the dataset. Both are None without an interval.
    `paper` is the paper's gain in points, or None."""

    row: report_tables.Row
    column: str
    cell: report_tables.Cell
    p: float | None
    adjusted: float | None
    paper: float | None

    @property
    def difference(self):
        return self.cell.difference

    @property
    def is_effect(self):
        return self.adjusted is not None and self.adjusted < LEVEL

    @property
    def name(self):
        return report_tables.COLUMNS[self.column]


def paper_gain(row, column):
    ours, base = (
        report_paper.figure(report_paper.ACCURACY, row.dataset, row.network, name) for name in (column, "original")
    )
    return None if ours is None or base is None else ours - base


def chosen_p(cell):
    """The p-value of a cell that was chosen among k. The choice favors runs that were lucky, also on held-out images,
    because a run that is better by chance is better on both sets. So p is multiplied by k (Bonferroni)."""
    p = cell.difference.p
    return None if p is None or math.isnan(p) else min(1.0, cell.choices * p)


def compare(rows):
    """The Comparisons of a dataset, in the order of rows and columns. A row without an original has none."""
    found = []
    for row in rows:
        for column in row.columns:
            cell = report_tables.shown_cell(row, column)
            if cell.difference:
                found.append(Comparison(row, column, cell, chosen_p(cell), None, paper_gain(row, column)))
    judged = [comparison for comparison in found if comparison.p is not None]
    adjusted = report_statistics.holm([comparison.p for comparison in judged])
    by_place = {id(comparison): value for comparison, value in zip(judged, adjusted)}
    return [dataclasses.replace(comparison, adjusted=by_place.get(id(comparison))) for comparison in found]


# ---- Seeds that would show an effect ----


@dataclasses.dataclass(frozen=True)
class Plan:
    """What a repetition with thresholds that are fixed beforehand would need. `variance` is that of the paired
    difference of one seed, pooled over the comparisons; `level` is the first threshold of Holm's procedure. `seeds`
    would show EFFECT with a power of at least POWER; None if too many. `power` is that of the present number of
    seeds."""

    variance: float
    floor: float
    level: float
    seeds: int | None
    present: int
    power: float


def plan(comparisons):
    """The Plan, or None if no comparison has an interval."""
    judged = [c for c in comparisons if c.adjusted is not None]
    if not judged:
        return None
    weights = [max(c.difference.n - 1, 1) for c in judged]
    floor = report_statistics.mean([c.difference.floor for c in judged])
    pooled = math.fsum(w * c.difference.variance for w, c in zip(weights, judged)) / sum(weights)
    variance, level = max(pooled, floor), LEVEL / len(judged)
    if variance == 0:
        return None
    present = min(c.difference.n for c in judged)
    seeds = report_statistics.seeds_for(EFFECT, variance, floor, level, POWER)
    return Plan(
        variance, floor, level, seeds, present, report_statistics.power(EFFECT, variance, floor, present, level)
    )


# ---- The sentence ----


def effect_text(difference, digits=None):
    """A difference with its interval: "+1.1 (−1.5 to +3.7)". Two decimals if the interval is narrow."""
    if difference.low is None:
        return signed(difference.mean, 2)
    digits = digits or (1 if difference.high - difference.low >= 2 else 2)
    return "{} ({} to {})".format(*(signed(v, digits) for v in (difference.mean, difference.low, difference.high)))


def p_text(p):
    return "–" if p is None else "< 0.001" if p < 0.001 else f"{p:.3f}" if p < 0.1 else f"{p:.2f}"


def seeds_text(rows):
    cells = [report_tables.shown_cell(row, column) for row in rows for column in row.columns]
    counts = sorted({len(cell.runs) for cell in cells})
    text = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    return f"{text} seed{'s' * (counts != [1])}"


def named(comparison, rows):
    return f"{comparison.row.label} {comparison.name}" if len(rows) > 1 else comparison.name


def verdict(comparisons, rows):
    """What was found: the columns with an effect, or that there is none and the largest difference."""
    effects = [c for c in comparisons if c.is_effect]
    if effects:
        listed = "; ".join(f"{named(c, rows)} {effect_text(c.difference)}" for c in effects[:4])
        listed += f"; and {len(effects) - 4} more" if len(effects) > 4 else ""
        verb = "differs" if len(effects) == 1 else "differ"
        count = f"{len(effects)} of {len(comparisons)} columns {verb}"
        return f"{count} from the original by more than chance, Holm-corrected: {listed}"
    largest = max(comparisons, key=lambda c: c.difference.mean)
    what = "no column differs" if len(comparisons) > 1 else "the column does not differ"
    where = f", {named(largest, rows)}" if len(comparisons) > 1 else ""
    size = effect_text(largest.difference)
    return f"{what} from the original by more than chance, Holm-corrected; largest {size}{where}"


def plan_text(found, chosen):
    fixed = ", with thresholds fixed beforehand," if chosen else ""
    percent = f"{100 * POWER:.0f}%"
    if found.seeds is None:
        return "more than 10,000 seeds would be needed to show 1 point"
    if found.present >= found.seeds:
        power = min(math.floor(100 * found.power), 99)
        return f"this number of seeds shows 1 point{fixed} at {power}% power"
    return f"about {found.seeds} seeds{fixed} would show 1 point at {percent} power"


def sentence(rows, comparisons=None):
    """The sentence that answers for the rows of a dataset."""
    comparisons = compare(rows) if comparisons is None else comparisons
    seeds = seeds_text(rows)
    if not comparisons:
        kind = "the original alone" if all(row.original for row in rows) else "no runs without amplification"
        return f"{seeds}: {kind}, so there is nothing to compare."
    judged = [c for c in comparisons if c.adjusted is not None]
    if not judged:
        largest = max(comparisons, key=lambda c: c.difference.mean)
        return (
            f"{seeds}: nothing can be told from chance, because an interval needs at least two seeds; largest "
            f"{effect_text(largest.difference)} ({named(largest, rows)})."
        )
    text = f"{seeds}: {verdict(judged, rows)}"
    found = plan(comparisons)
    if found:
        text += f"; {plan_text(found, any(c.cell.choices > 1 for c in judged))}"
    return text + "."


def accuracies(comparison):
    """"81.9% instead of 81.6%": the means of the column and of the original, over the seeds that are compared."""
    original = comparison.difference.base
    return f"{original + comparison.difference.mean:.1f}% instead of {original:.1f}%"


def answer(rows, comparisons=None):
    """The answer in everyday words, before the sentence that is exact. "" if there is nothing to compare."""
    comparisons = compare(rows) if comparisons is None else comparisons
    judged = [c for c in comparisons if c.adjusted is not None]
    if not comparisons:
        return ""
    effects = sorted((c for c in judged if c.is_effect), key=lambda c: -c.difference.mean)
    parts = []
    for verb, found in (
        ("Amplification helped", [c for c in effects if c.difference.mean > 0]),
        ("Amplification did harm", [c for c in reversed(effects) if c.difference.mean <= 0]),
    ):
        if found:
            more = f" (and in {len(found) - 1} more)" if len(found) > 1 else ""
            parts.append(f"{verb}: {named(found[0], rows)} has {accuracies(found[0])}{more}.")
    if parts:
        return " ".join(parts)
    best = max(judged or comparisons, key=lambda c: c.difference.mean)
    at_best = "at best, " if len(comparisons) > 1 else ""
    why = "which may be chance" if judged else "of a single seed, which may be chance"
    return f"No effect of amplification was found: {at_best}{named(best, rows)} has {accuracies(best)}, {why}."


def explanation(rows, comparisons):
    """How the sentence and the forest plot were computed, as paragraphs."""
    found = plan(comparisons)
    parts = [
        "A point is the mean difference from the original over the seeds that both have, in percentage points of test "
        "accuracy after the last epoch. The line is its 95% interval (Student t over the seeds; Welch if fewer than "
        "two seeds are common), for this comparison alone. The variance of one seed's difference is taken to be at "
        "least p(1 − p)/n, the binomial variance of an accuracy p on n test images. Intervals end where accuracies "
        "from 0 to 100% end.",
        "p is two-sided, multiplied by the number of thresholds that the cell was chosen among, and corrected by "
        f"Holm's method over the {len([c for c in comparisons if c.adjusted is not None])} comparisons of this "
        f"dataset. A difference is called an effect if p is below {LEVEL:g}: if there is no effect anywhere, a report "
        "says that there is one in at most 5 of 100 cases. An interval can exclude zero and still not be an effect.",
    ]
    if found:
        parts.append(
            f"The number of seeds is for a new sweep with the same comparisons and one threshold for each, which is "
            f"fixed beforehand, if one column has an effect of 1 point. It is computed from the variance of one seed's "
            f"difference, {found.variance:.3f} points² here (standard deviation {math.sqrt(found.variance):.2f}), "
            f"which is itself uncertain if there are few seeds."
        )
    if any(not row.has_validation and row.has_choices for row in rows):
        parts.append(
            "Without held-out images the threshold is chosen on the test set, so the difference is biased upwards. The "
            "multiplication of p accounts for it, but the interval does not."
        )
    if any(c.paper is not None for c in comparisons):
        parts.append(
            f"Hollow diamonds: the gain that the paper reports ({report_paper.TITLE}), at the threshold that was best "
            "on its test set."
        )
    return parts

# SPDX-License-Identifier: MIT
"""The numbers of the report's tables, computed from completed runs: which runs are compared, how a threshold is chosen,
and the results. Accuracies are test accuracies after the last epoch, in %."""

import dataclasses
import functools
import itertools
import math
import statistics

import report_runs
import report_statistics

COLUMNS = {
    "original": "original",
    "random": "random",
    "g-1": "G, case 1",
    "g-2": "G, case 2",
    "g-prime-1": "G', case 1",
    "g-prime-2": "G', case 2",
}
MEASURED = tuple(COLUMNS)[2:]
NETWORKS = (
    "vgg19",
    "resnet8",
    "resnet18",
    "resnet20",
    "resnet32",
    "resnet34",
    "resnet50",
    "resnet56",
    "resnet101",
    "resnet110",
)


@dataclasses.dataclass
class Row:
    """Runs of one network that differ only in seed and selection. `columns` is {column: {choice: runs in the order of
    seeds}}, with choices as in Run.choice, and does not change. `label` is the network and the settings that
    distinguish this row from other rows of the dataset."""

    dataset: str
    network: str
    label: str
    settings: dict
    columns: dict

    def runs(self, column):
        return [run for runs in self.columns.get(column, {}).values() for run in runs]

    @functools.cached_property
    def original(self):
        return self.runs("original")

    @functools.cached_property
    def has_validation(self):
        return all(run.validation_accuracy is not None for column in self.columns for run in self.runs(column))

    @functools.cached_property
    def has_choices(self):
        """Whether a column's best is chosen among several cells."""
        return any(len(candidates(self, column)) > 1 for column in self.columns)

    @functools.cached_property
    def cells(self):
        """{column: its Cells, one per choice, in order}."""
        return {column: [make_cell(self, column, choice) for choice in self.columns[column]] for column in self.columns}


@dataclasses.dataclass(frozen=True)
class Cell:
    """The results of one choice in a column, from `runs`. `choices` is the number of choices in the column that the
    best is chosen among. `difference` is the difference to the original. It is None in the original's column, or if the
    original was not run."""

    choice: object
    choices: int
    estimate: report_statistics.Estimate
    validation: float | None
    difference: report_statistics.Difference | None
    runs: tuple = ()


def choice_name(choice):
    """The text of a choice: a threshold, or the fraction and types of random selection."""
    if choice is None:
        return ""
    return f"{choice:g}" if isinstance(choice, (int, float)) else f"{100 * choice[0]:g}% of {choice[1]}"


def network_order(network):
    return (NETWORKS.index(network) if network in NETWORKS else len(NETWORKS), network)


# ---- Rows ----


def base_key(run):
    """A key that is equal for runs that are compared with the same originals."""
    base = run.without(*report_runs.NEUTRAL, *report_runs.AMPLIFICATION, *report_runs.SCHEDULE)
    base.pop("seed", None)
    return (report_runs.key_of(base), run.learning_rates)


def drawn_key(run):
    """For a run that selects by a measure, the key of the way of random selections with the same placement and the same
    phases."""
    return report_runs.key_of({key: value for key, value in run.way.items() if run.kinds.get(key) != "measured"})


def rows_of_base(runs):
    """The rows of runs that have the same originals: one row per way of amplifying, each with these originals. Random
    selection does not measure, so it is in every row that has the same placement and the same phases."""
    measured, drawn = {}, {}
    for run in runs:
        if run.column in MEASURED:
            measured.setdefault(report_runs.key_of(run.way), []).append(run)
        elif run.column == "random":
            drawn.setdefault(report_runs.key_of(run.way), []).append(run)
    originals = [run for run in runs if run.column == "original"]
    rows, placed = [], set()
    for members in measured.values():
        key = drawn_key(members[0])
        placed.add(key)
        rows.append(members + drawn.get(key, []) + originals)
    rows += [members + originals for key, members in drawn.items() if key not in placed]
    return rows or [originals]


def make_row(members):
    columns = {}
    for run in sorted(members, key=lambda run: run.seed):
        columns.setdefault(run.column, {}).setdefault(run.choice, []).append(run)
    columns = {c: dict(sorted(columns[c].items(), key=lambda item: item[0] or 0)) for c in COLUMNS if c in columns}
    first = members[0]
    left_out = (*report_runs.AXES, "seed", "network", "dataset")
    unused = {"original": report_runs.AMPLIFICATION, "random": ("measured",)}.get(first.column, ())
    settings = {
        key: value for key, value in first.without(*report_runs.NEUTRAL, *unused).items() if key not in left_out
    }
    if settings.get("strategy") != "step":
        settings.pop("learning_rate", None)
    return Row(first.dataset, first.network, first.network, settings, columns)


def make_rows(runs):
    """{dataset: rows} of completed runs, in the order of the datasets' names and of the networks."""
    bases = {}
    for run in runs:
        bases.setdefault(base_key(run), []).append(run)
    rows = [make_row(members) for base in bases.values() for members in rows_of_base(base)]
    rows.sort(key=lambda row: (row.dataset, network_order(row.network)))
    for _, group in itertools.groupby(rows, key=lambda row: (row.dataset, row.network)):
        label_rows(list(group))
    return {dataset: [row for row in rows if row.dataset == dataset] for dataset in {r.dataset: 0 for r in rows}}


def label_rows(rows):
    """Sets the labels of a network's rows: its name, and the settings that are not equal in all of them."""
    values = {}
    for row in rows:
        for key, value in row.settings.items():
            values.setdefault(key, set()).add(value)
    for row in rows:
        telling = [f"{key} {value}" for key, value in sorted(row.settings.items()) if len(values[key]) > 1]
        row.label = f"{row.network} ({', '.join(telling)})" if telling else row.network


# ---- Cells ----


def by_seed(runs):
    return {run.seed: run.test_accuracy for run in runs}


def images_of(runs):
    """The number of test images of runs that are compared: the smallest, or None if one is unknown."""
    counts = [run.test_images for run in runs]
    return None if None in counts else min(counts)


def make_cell(row, column, choice):
    runs = row.columns[column][choice]
    base = row.original if column != "original" else []
    images = images_of([*runs, *base])
    return Cell(
        choice,
        len(complete_choices(row.columns[column])),
        report_statistics.estimate([run.test_accuracy for run in runs], images, (0, 100)),
        report_statistics.mean([run.validation_accuracy for run in runs]) if row.has_validation else None,
        report_statistics.difference(by_seed(runs), by_seed(base), images) if base else None,
        tuple(runs),
    )


def every_choice(row, column):
    """One cell per choice in the column, in order. Empty if the column was not run."""
    return row.cells.get(column, [])


def complete_choices(choices):
    """The choices of a column that have runs of all its seeds, or if there is none, those with the most seeds. A choice
    with fewer seeds can have the highest mean just because a bad seed is missing."""
    count = len({run.seed for runs in choices.values() for run in runs})
    if not any(len(runs) == count for runs in choices.values()):
        count = max(len(runs) for runs in choices.values())
    return [choice for choice, runs in choices.items() if len(runs) == count]


def candidates(row, column):
    """The cells that the best is chosen among."""
    if column not in row.columns:
        return []
    complete = complete_choices(row.columns[column])
    return [cell for cell in every_choice(row, column) if cell.choice in complete]


def best_on_test(row, column):
    """The candidate with the highest mean test accuracy. Among equal ones it is the first (the lowest threshold). None
    if the column was not run. The accuracy of this cell is biased upwards, because it was also used for the choice."""
    return max(candidates(row, column), key=lambda cell: cell.estimate.mean, default=None)


def best_by_validation(row, column):
    """The candidate with the highest mean validation accuracy. Among equal ones it is the first; one without a number
    comes last. Its test accuracy does not affect the choice. None if the column was not run or a run of the row has no
    validation images."""
    if not row.has_validation:
        return None

    def rank(cell):
        return -math.inf if math.isnan(cell.validation) else cell.validation

    return max(candidates(row, column), key=rank, default=None)


def shown_cell(row, column):
    """The cell that the answer and the figures show: chosen by validation if there are validation images, else the best
    on the test set. None if the column was not run."""
    return best_by_validation(row, column) or best_on_test(row, column)


def shown_choice(row, column):
    """The choice of shown_cell()."""
    return shown_cell(row, column).choice


def common_seeds(row, column):
    """(the runs of the column's shown cell, the original's runs): only those of common seeds, if there are any."""
    runs = row.columns[column][shown_choice(row, column)]
    common = {run.seed for run in runs} & {run.seed for run in row.original}
    if not common:
        return runs, row.original
    return [run for run in runs if run.seed in common], [run for run in row.original if run.seed in common]


def uneven(row):
    """One line per column with choices that were not candidates for the best, because they lack seeds."""
    lines = []
    for column, choices in row.columns.items():
        complete = complete_choices(choices)
        fewer = [f"{choice_name(c)} ({len(runs)})" for c, runs in choices.items() if c not in complete]
        most = len(choices[complete[0]])
        if fewer:
            lines.append(
                f"{row.label}, {COLUMNS[column]}: fewer than {most} runs at {', '.join(fewer)}, so not chosen from."
            )
    return lines


# ---- Times ----


@dataclasses.dataclass(frozen=True)
class EpochCost:
    """Seconds of an epoch, as means over runs of each run's median, or None if there are no such epochs: of epochs that
    are neither analyzed nor amplified, only amplified, and analyzed. `ratio` is the mean over runs of analyzed / plain,
    where a run without plain epochs is compared with its amplified ones."""

    plain: float | None
    amplified: float | None
    analyzed: float | None
    ratio: float | None
    runs: int


def median_seconds(run):
    """{"plain", "amplified" or "analyzed": the median seconds of the run's epochs of this kind}. The first epoch is
    left out if there are others, because it includes one-time work."""
    found = {}
    for epoch in run.epochs:
        kind = "analyzed" if epoch["analyzed"] else "amplified" if epoch["amplified"] else "plain"
        found.setdefault(kind, []).append(epoch)
    result = {}
    for kind, epochs in found.items():
        seconds = [epoch["seconds"] for epoch in epochs if epoch["epoch"] > 1] or [epoch["seconds"] for epoch in epochs]
        result[kind] = statistics.median(seconds)
    return result


def epoch_cost(row, column):
    """The EpochCost of a column's runs. None if no epoch of them was analyzed."""
    medians = [median_seconds(run) for run in row.runs(column)]
    if not any("analyzed" in found for found in medians):
        return None

    def mean_of(kind):
        values = [found[kind] for found in medians if kind in found]
        return report_statistics.mean(values) if values else None

    ratios = []
    for found in medians:
        base = found.get("plain", found.get("amplified"))
        if base and "analyzed" in found:
            ratios.append(found["analyzed"] / base)
    ratio = report_statistics.mean(ratios) if ratios else None
    return EpochCost(mean_of("plain"), mean_of("amplified"), mean_of("analyzed"), ratio, len(medians))


@dataclasses.dataclass(frozen=True)
class Minutes:
    """The minutes of a column's runs. `ratio` is their mean divided by the original's, or None if there is no such
    ratio."""

    estimate: report_statistics.Estimate
    ratio: float | None


def minutes(row, column):
    """The Minutes of a column, or None if it was not run."""
    runs = row.runs(column)
    if not runs:
        return None
    ours = report_statistics.estimate([run.minutes for run in runs])
    base = [run.minutes for run in row.original]
    comparable = base and column != "original" and report_statistics.mean(base) > 0
    return Minutes(ours, ours.mean / report_statistics.mean(base) if comparable else None)

# SPDX-License-Identifier: MIT
"""The report's tables as text: the contents of cells, captions, and tables.md. The page (report_html.py) shows the same
tables."""

import dataclasses
import re
import unicodedata

import report_paper
import report_tables
from report_tables import COLUMNS

BIASED = "best on test (biased)"
ONLY = "at the only threshold"
CHOSEN = "chosen on held-out images"
NO_VALIDATION = "no held-out images, so only the best on test, which is biased upwards"


@dataclasses.dataclass(frozen=True)
class Entry:
    """A cell of a table: lines of text, of which the first is its number, and the runs that it was computed from. The
    page links each run's seed."""

    lines: tuple
    runs: tuple = ()

    def texts(self):
        seeds = (
            [f"seed{'s' * (len(self.runs) > 1)} {', '.join(str(run.seed) for run in self.runs)}"] if self.runs else []
        )
        return [*self.lines, *seeds]


NOTHING = Entry(("–",))


def entry(*lines, runs=()):
    return Entry(lines, tuple(runs))


@dataclasses.dataclass
class Table:
    """A table. `caption` is a list of paragraphs on how it was computed. `rows` are (heading, sub-heading, cells); rows
    with the same heading are adjacent. A cell is an Entry."""

    title: str
    caption: list
    head: list
    rows: list
    notes: list
    strong: bool = False  # whether the first line of a cell is emphasized


def printable(text):
    """The text for a page, a file or a terminal. Control characters, marks of writing direction and bytes of a path
    that are not UTF-8 (surrogates) are escaped as in Python: "\\n", "\\x1b", "\\u202e"."""
    unsafe = ("Cc", "Cf", "Cs", "Zl", "Zp")
    return "".join(c.encode("unicode_escape").decode() if unicodedata.category(c) in unsafe else c for c in text)


def markdown_text(text):
    """The text as plain text in Markdown: no character of it is markup, of HTML neither."""
    return re.sub(r"([\\`*_{}\[\]<>#|~&!])", r"\\\1", printable(text))


def minus(text):
    return text.replace("-", "\N{MINUS SIGN}")


def signed(value, digits=2):
    return minus(f"{round(value, digits) + 0.0:+.{digits}f}")  # + 0.0: no negative zero


def span(low, high):
    return minus(f"{low:.2f} to {high:.2f}")


def difference_text(difference):
    """ "+2.00 (−0.50 to +4.50)"."""
    if difference.low is None:
        return f"{signed(difference.mean)} (no interval)"
    return f"{signed(difference.mean)} ({signed(difference.low)} to {signed(difference.high)})"


def accuracy_entry(cell):
    if cell is None:
        return NOTHING
    e = cell.estimate
    lines = [f"{e.mean:.2f}%" if e.n == 1 else f"{e.mean:.2f}% ± {e.deviation:.2f}"]
    if cell.difference:
        lines.append(difference_text(cell.difference))
    if cell.choice is not None:
        kind = "" if isinstance(cell.choice, tuple) else "threshold "
        among = f" (of {cell.choices})" if cell.choices > 1 else ""
        lines.append(f"{kind}{report_tables.choice_name(cell.choice)}{among}")
    return Entry(tuple(lines), cell.runs)


def shown_columns(rows):
    """The columns that were run or, if a network is in the paper, all columns."""
    if any(report_paper.figure(report_paper.ACCURACY, row.dataset, row.network, "original") for row in rows):
        return list(COLUMNS)
    return [column for column in COLUMNS if column == "original" or any(column in row.columns for row in rows)]


def paper_rows(row, table):
    """The paper's row of a network, or no row."""
    values = [report_paper.figure(table, row.dataset, row.network, column) for column in COLUMNS]
    if values[0] is None:
        return []
    cells = []
    for column, value in zip(COLUMNS, values):
        if value is None:
            cells.append(NOTHING)
        elif column == "original":
            cells.append(entry(f"{value:.2f}"))
        else:
            gain = (
                signed(value - values[0])
                if table is report_paper.ACCURACY
                else f"{value / values[0]:.3f} of the original"
            )
            cells.append(entry(f"{value:.2f}", gain))
    return [(row.label, "paper", cells)]


def accuracy_caption(dataset):
    paper = report_paper.ACCURACY_TABLE.get(dataset)
    caption = [
        "A cell has the test accuracy after the last epoch in %, as mean over seeds ± sample standard deviation; the "
        "difference from the original in points with its 95% interval, over the seeds that both have if there are at "
        "least two, else by Welch’s method; the threshold and the number of thresholds that it was chosen among; and "
        "the seeds.",
        f"“{CHOSEN}”: at the threshold with the highest mean validation accuracy after the last epoch; the test set "
        f"had no part in the choice. “{BIASED}”: at the threshold with the highest mean test accuracy. A threshold "
        "that is chosen on the test set by which it is judged looks too good, the more the more thresholds there are. "
        f"“{ONLY}”: nothing was chosen. Only thresholds that have runs of all seeds are chosen from; of equal ones the lowest is taken. The intervals "
        "do not account for the choice.",
    ]
    if paper:
        caption.append(
            f"“paper”: {paper} of {report_paper.TITLE}, also a best on test. The paper does not say how many runs each "
            "threshold has."
        )
    return caption


def accuracy_table(dataset, rows):
    result, notes, columns = [], [], shown_columns(rows)
    for row in rows:
        if row.has_validation:
            cells = [accuracy_entry(report_tables.best_by_validation(row, column)) for column in columns]
            result.append((row.label, CHOSEN, cells))
        elif row.has_choices:
            notes.append(f"{row.label}: {NO_VALIDATION}.")
        cells = [accuracy_entry(report_tables.best_on_test(row, column)) for column in columns]
        if row.has_validation and row.original:
            cells[0] = entry("as above")
        result.append((row.label, BIASED if row.has_choices else ONLY, cells))
        result += paper_rows(row, report_paper.ACCURACY)
    notes += [line for row in rows for line in report_tables.uneven(row)]
    head = ["network", "figure", *(COLUMNS[column] for column in columns)]
    return Table(f"Accuracy on {dataset}", accuracy_caption(dataset), head, result, notes, True)


def minutes_entry(timed):
    if timed is None:
        return NOTHING
    e, digits = timed.estimate, 2 if timed.estimate.mean >= 1 else 4
    spread = "" if e.n == 1 else f" ± {e.deviation:.{digits}f}"
    lines = [f"{e.mean:.{digits}f}{spread} min"]
    lines += [f"{timed.ratio:.3f} of the original"] if timed.ratio is not None else []
    return entry(*lines, f"{e.n} run{'s' * (e.n > 1)}")


def minutes_table(dataset, rows):
    caption = [
        "Minutes of a run, all its epochs together: mean over all thresholds and seeds, ± sample standard deviation, "
        "and the mean over the original's. Runs that share a beginning each include its seconds, as if they had "
        "trained it themselves. Minutes can be compared only if the machine did nothing else."
    ]
    if dataset in report_paper.MINUTES_TABLE:
        caption.append(f"“paper”: {report_paper.MINUTES_TABLE[dataset]}, 150 epochs on one V100.")
    result, columns = [], shown_columns(rows)
    for row in rows:
        result.append((row.label, "measured", [minutes_entry(report_tables.minutes(row, c)) for c in columns]))
        result += paper_rows(row, report_paper.MINUTES)
    head = ["network", "figure", *(COLUMNS[column] for column in columns)]
    return Table(f"Minutes on {dataset}", caption, head, result, [], True)


def seconds_text(value):
    return "–" if value is None else f"{value:.3g} s"


def cost_table(dataset, rows):
    """The seconds of analyzed epochs beside the others. No rows if nothing was analyzed."""
    result = []
    for row in rows:
        for column in row.columns:
            cost = report_tables.epoch_cost(row, column)
            if cost:
                cells = [seconds_text(value) for value in (cost.plain, cost.amplified, cost.analyzed)]
                cells += ["–" if cost.ratio is None else f"{cost.ratio:.3f}", str(cost.runs)]
                result.append((row.label, COLUMNS[column], [entry(text) for text in cells]))
    caption = [
        "Seconds of an epoch with its evaluation: the mean over runs of each run's median. The first epoch is left "
        "out, because it includes one-time work. The ratio is analyzed to plain, and analyzed to amplified for runs "
        "without plain epochs. Seconds can be compared only if the machine did nothing else."
    ]
    notes = []
    if any(run.measures for row in rows for column in row.columns for run in row.runs(column)):
        notes.append(
            "Some of these runs measured in every epoch (--measure-every), so their other epochs cost more, too."
        )
    head = ["network", "column", "plain epoch", "amplified epoch", "analyzed epoch", "ratio", "runs"]
    return Table(f"Cost of an analyzed epoch on {dataset}", caption, head, result, notes)


def choices_table(dataset, rows):
    """The table with the means of every threshold, from which the best was chosen."""
    result = []
    for row in rows:
        for column in row.columns:
            for cell in report_tables.every_choice(row, column):
                e, d = cell.estimate, cell.difference
                cells = [
                    report_tables.choice_name(cell.choice) or "–",
                    f"{e.mean:.2f}",
                    "–" if e.n == 1 else f"{e.deviation:.2f}",
                    "–" if e.n == 1 else span(e.low, e.high),
                    "–" if cell.validation is None else f"{cell.validation:.2f}",
                    difference_text(d) if d else "–",
                    "–" if d is None or d.p is None else f"{d.p:.3f}",
                ]
                result.append((row.label, COLUMNS[column], [*map(entry, cells), entry(runs=cell.runs)]))
    head = ["network", "column", "threshold", "test %", "±", "95%", "validation %", "from the original", "p", "runs"]
    caption = [
        "Test and validation accuracy after the last epoch at every threshold: what the best is chosen from. p is of "
        "this difference alone, without any correction."
    ]
    return Table(f"Every threshold on {dataset}", caption, head, result, [])


def tables(rows_of):
    """The tables of every dataset, in order. `rows_of` is the result of report_tables.make_rows."""
    makers = (accuracy_table, minutes_table, cost_table, choices_table)
    made = [make(dataset, rows) for dataset, rows in rows_of.items() for make in makers]
    return [table for table in made if table.rows]


def markdown(tables, paragraphs=()):
    """The text of tables.md: the paragraphs, and the tables."""
    lines = ["# gradamp: tables", ""]
    for paragraph in paragraphs:
        lines += [markdown_text(paragraph), ""]
    for table in tables:
        lines += [f"## {markdown_text(table.title)}", ""]
        lines += [line for paragraph in table.caption for line in (markdown_text(paragraph), "")]
        lines += ["| " + " | ".join(map(markdown_text, table.head)) + " |", "|" + "---|" * len(table.head)]
        for heading, sub_heading, cells in table.rows:
            texts = [[heading], [sub_heading], *(cell.texts() for cell in cells)]
            lines.append("| " + " | ".join("<br>".join(map(markdown_text, text)) for text in texts) + " |")
        lines += ["", *(f"- {markdown_text(note)}" for note in table.notes), *([""] if table.notes else [])]
    return "\n".join(lines)

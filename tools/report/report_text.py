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
UNBIASED = "by validation (unbiased)"
NO_VALIDATION = "no validation part: only the biased figure"


@dataclasses.dataclass
class Table:
    """A table. `caption` is a list of paragraphs. `rows` are (heading, sub-heading, cells); rows with the same heading
    are adjacent. A cell is a list of lines, of which the first is its number. A row with one cell is a remark that
    spans the table."""

    title: str
    caption: list
    head: list
    rows: list
    notes: list


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


def signed(value):
    return minus(f"{value:+.2f}")


def span(low, high):
    return minus(f"{low:.2f} to {high:.2f}")


def difference_lines(difference):
    how = f"paired, n = {difference.n}" if difference.paired else f"unpaired, n = {difference.n}, {difference.base_n}"
    interval = difference.low is not None
    ends = f"{signed(difference.low)} to {signed(difference.high)}" if interval else ""
    return [f"{signed(difference.mean)} ({how})", f"95%: {ends}" if interval else "no interval"]


def accuracy_lines(cell):
    if cell is None:
        return ["–"]
    e = cell.estimate
    lines = [f"{e.mean:.2f}%"]
    lines += ["n = 1, no interval"] if e.n == 1 else [f"± {e.deviation:.2f}, n = {e.n}", f"95%: {span(e.low, e.high)}"]
    if cell.difference:
        lines += difference_lines(cell.difference)
    if cell.choice is not None:
        kind = "" if isinstance(cell.choice, tuple) else "threshold "
        lines.append(f"{kind}{report_tables.choice_name(cell.choice)} (of {cell.choices})")
    return lines


def paper_rows(row, table):
    """The paper's row of a network, or no row."""
    values = [report_paper.figure(table, row.dataset, row.network, column) for column in COLUMNS]
    if values[0] is None:
        return []
    cells = [["–"] if value is None else [f"{value:.2f}"] for value in values]
    for cell, value in zip(cells[1:], values[1:]):
        if value is not None and table is report_paper.ACCURACY:
            cell.append(signed(value - values[0]))
        elif value is not None:
            cell.append(f"{value / values[0]:.3f} of the original")
    return [(row.label, "paper", cells)]


def accuracy_table(dataset, rows):
    paper = report_paper.ACCURACY_TABLE.get(dataset)
    caption = [
        "Test accuracy after the last epoch, in %: mean over seeds, ± the sample deviation, n runs, the mean's 95% "
        "confidence interval (Student t), and the difference to the original with its 95% interval: paired over the "
        "seeds that both have, where there are two at least, else unpaired (Welch).",
        f"“{BIASED}”: at the threshold with the highest mean test accuracy (of equal ones the lowest); “(of n)” says "
        "how many there were to choose from. A threshold "
        "chosen on the test set by which it is then judged flatters itself, the more the more thresholds there are, "
        "and neither interval knows of the choice.",
        f"“{UNBIASED}”: at the threshold with the highest mean validation accuracy after the last epoch; the test set "
        "had no part in the choice.",
    ]
    if paper:
        caption.append(
            f"“paper”: {paper} of {report_paper.TITLE}; a best on test as well. It does not say of how many runs at a "
            "threshold."
        )
    result = []
    for row in rows:
        result.append((row.label, BIASED, [accuracy_lines(report_tables.best_on_test(row, c)) for c in COLUMNS]))
        if row.has_validation:
            cells = [accuracy_lines(report_tables.best_by_validation(row, column)) for column in COLUMNS]
            cells[0] = ["as above"] if row.original else ["–"]
            result.append((row.label, UNBIASED, cells))
        else:
            result.append((row.label, UNBIASED, [[NO_VALIDATION]]))
        result += paper_rows(row, report_paper.ACCURACY)
    notes = [line for row in rows for line in report_tables.uneven(row)]
    return Table(f"Accuracy on {dataset}", caption, ["network", "figure", *COLUMNS.values()], result, notes)


def minutes_lines(timed):
    if timed is None:
        return ["–"]
    e, digits = timed.estimate, 2 if timed.estimate.mean >= 1 else 4
    lines = [f"{e.mean:.{digits}f} min"]
    lines.append("n = 1" if e.n == 1 else f"± {e.deviation:.{digits}f}, n = {e.n}")
    return lines + ([f"{timed.ratio:.3f} of the original"] if timed.ratio is not None else [])


def minutes_table(dataset, rows):
    caption = [
        "Minutes of a run, all its epochs together: mean over all thresholds and seeds, ± the sample deviation, and "
        "the mean over the original's. Runs that share a beginning each carry its seconds, as if they had trained it "
        "themselves. Minutes compare only where the machine did nothing else."
    ]
    if dataset in report_paper.MINUTES_TABLE:
        caption.append(f"“paper”: {report_paper.MINUTES_TABLE[dataset]}, 150 epochs on one V100.")
    result = []
    for row in rows:
        result.append((row.label, "measured", [minutes_lines(report_tables.minutes(row, c)) for c in COLUMNS]))
        result += paper_rows(row, report_paper.MINUTES)
    return Table(f"Minutes on {dataset}", caption, ["network", "figure", *COLUMNS.values()], result, [])


def choices_table(dataset, rows):
    """The table with the means of every threshold, from which the best was chosen."""
    result = []
    for row in rows:
        for column in row.columns:
            for cell in report_tables.every_choice(row, column):
                e, d = cell.estimate, cell.difference
                cells = [
                    report_tables.choice_name(cell.choice) or "–",
                    str(e.n),
                    f"{e.mean:.2f}",
                    "–" if e.n == 1 else f"{e.deviation:.2f}",
                    "–" if e.n == 1 else span(e.low, e.high),
                    "–" if cell.validation is None else f"{cell.validation:.2f}",
                    "; ".join(difference_lines(d)) if d else "–",
                ]
                result.append((row.label, COLUMNS[column], [[text] for text in cells]))
    head = ["network", "column", "threshold", "n", "test %", "±", "95%", "validation %", "to the original"]
    caption = ["Test and validation accuracy after the last epoch at every threshold: what the best is chosen from."]
    return Table(f"Every threshold on {dataset}", caption, head, result, [])


def tables(rows_of):
    """The tables of every dataset, in order. `rows_of` is the result of report_tables.make_rows."""
    makers = (accuracy_table, minutes_table, choices_table)
    return [make(dataset, rows) for dataset, rows in rows_of.items() for make in makers]


def markdown(rows_of):
    """The text of tables.md."""
    lines = ["# gradamp: tables", ""]
    for table in tables(rows_of):
        lines += [f"## {markdown_text(table.title)}", ""]
        lines += [line for paragraph in table.caption for line in (markdown_text(paragraph), "")]
        lines += ["| " + " | ".join(map(markdown_text, table.head)) + " |", "|" + "---|" * len(table.head)]
        for heading, sub_heading, cells in table.rows:
            cells = cells + [[""]] * (len(table.head) - 2 - len(cells))
            texts = [[heading], [sub_heading], *cells]
            lines.append("| " + " | ".join("<br>".join(map(markdown_text, text)) for text in texts) + " |")
        lines += ["", *(f"- {markdown_text(note)}" for note in table.notes), *([""] if table.notes else [])]
    return "\n".join(lines)

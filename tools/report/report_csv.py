# SPDX-License-Identifier: MIT
"""tables.csv of the report: the unrounded numbers of its tables and of every threshold, one per line."""

import csv
import io
import math
import re

import report_paper
import report_tables

FIELDS = (
    "table dataset network row column rule threshold_or_choice choices n mean deviation low95 high95 validation_mean "
    "difference difference_low95 difference_high95 paired p ratio paper not_finite"
).split()


def accuracy_record(row, column, rule, cell):
    e, d = cell.estimate, cell.difference
    record = {
        "table": "accuracy_percent",
        "dataset": row.dataset,
        "network": row.network,
        "row": row.label,
        "column": column,
        "rule": rule,
        "threshold_or_choice": report_tables.choice_name(cell.choice),
        "choices": cell.choices,
        "n": e.n,
        "mean": e.mean,
        "deviation": e.deviation,
        "low95": e.low,
        "high95": e.high,
        "validation_mean": cell.validation,
    }
    if d:
        record |= {"difference": d.mean, "difference_low95": d.low, "difference_high95": d.high}
        record |= {"paired": d.paired, "p": d.p}
    if rule == "best on test":
        record["paper"] = report_paper.figure(report_paper.ACCURACY, row.dataset, row.network, column)
    return record


def minutes_record(row, column, timed):
    e = timed.estimate
    return {
        "table": "minutes",
        "dataset": row.dataset,
        "network": row.network,
        "row": row.label,
        "column": column,
        "rule": "all runs",
        "n": e.n,
        "mean": e.mean,
        "deviation": e.deviation,
        "low95": e.low,
        "high95": e.high,
        "ratio": timed.ratio,
        "paper": report_paper.figure(report_paper.MINUTES, row.dataset, row.network, column),
    }


def records(rows):
    """Every number in the tables of a dataset's rows, as {field: value} with the keys FIELDS. Fields without a value
    may be missing."""
    result = []
    for row in rows:
        for column in row.columns:
            result.append(accuracy_record(row, column, "best on test", report_tables.best_on_test(row, column)))
            if row.has_validation:
                result.append(
                    accuracy_record(row, column, "by validation", report_tables.best_by_validation(row, column))
                )
            result += [accuracy_record(row, column, "each", cell) for cell in report_tables.every_choice(row, column)]
            result.append(minutes_record(row, column, report_tables.minutes(row, column)))
    return result


def with_reasons(record):
    """The record with empty values for numbers that are not finite. Its field not_finite names them: "mean=nan"."""
    reasons = {key: value for key, value in record.items() if isinstance(value, float) and not math.isfinite(value)}
    text = " ".join(f"{key}={value}" for key, value in reasons.items())
    return record | dict.fromkeys(reasons) | {"not_finite": text}


def plain(value):
    """The value of a cell such that a spreadsheet does not compute it. A spreadsheet takes a text for a formula if it
    begins with one of =, +, -, @, a tab or a carriage return, and some skip blanks before it. An apostrophe before the
    text prevents that. Names of networks, datasets and sweeps come from the user. Numbers stay as they are."""
    if not isinstance(value, str) or re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", value, re.ASCII):
        return value
    return "'" + value if re.match(r"[\t\r]|\s*[=+\-@\uff1d\uff0b\uff0d\uff20]", value) else value


def comma_separated(rows_of):
    """The text of tables.csv: the numbers of the tables and of every threshold, unrounded."""
    text = io.StringIO()
    writer = csv.DictWriter(text, FIELDS, lineterminator="\n")
    writer.writeheader()
    for rows in rows_of.values():
        writer.writerows(
            {field: plain(value) for field, value in with_reasons(record).items()} for record in records(rows)
        )
    return text.getvalue()

#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The answer, figures and tables from runs.

    report.py FOLDER... [--out DIR]

FOLDER is the folder of a run or a sweep, or any folder above runs. The report is written to DIR, or to FOLDER/report of
the first FOLDER (FOLDER/comparison if two runs are compared):

    report.html        the whole report on one page, which needs no network
    tables.md          its tables
    tables.csv         the same numbers and those of every threshold, unrounded
    figures/           its figures as .svg

Two folders of runs, FOLDER FOLDER, are compared with each other: their curves, and the settings that differ.

A run is included if its summary.json says that it is completed; the page lists the others. The exit code is 1 if a file
is damaged (the report then contains the other runs), if no run is completed, or if something cannot be written.

Needs only Python's standard library.
"""

import argparse
import os
import pathlib
import sys

import report_answer
import report_compare
import report_csv
import report_figures
import report_forest
import report_html
import report_layer_figures
import report_runs
import report_tables
import report_text


def draw(rows_of):
    """({dataset: its forest plot or None}, {dataset: its other figures})."""
    forests, figures_of = {}, {}
    for dataset, rows in rows_of.items():
        forests[dataset] = report_forest.draw(dataset, report_answer.compare(rows))
        figures = []
        for row in rows:
            figures += [report_figures.draw_thresholds(row)]
            figures += [report_figures.draw_courses(row, kind) for kind in ("accuracy", "loss")]
            figures += report_layer_figures.draw_heats(row)
            figures += [report_layer_figures.draw_measures(row), *report_layer_figures.draw_selections(row)]
        figures += [
            report_figures.draw_schedule(dataset, run, labels, place)
            for place, (run, labels) in enumerate(report_figures.schedules(rows), 1)
        ]
        figures_of[dataset] = [figure for figure in figures if figure]
    return forests, figures_of


def write_whole(path, data):
    """Writes bytes or text to a file. An existing file is replaced only after everything is written."""
    partial = path.with_name(path.name + ".gradamp-tmp")
    partial.write_bytes(data if isinstance(data, bytes) else data.encode(errors="backslashreplace"))
    os.replace(partial, path)


def write_files(out, figures, markdown, table, page):
    """Writes all files of a report to the folder `out`."""
    (out / "figures").mkdir(parents=True, exist_ok=True)
    for figure in figures:
        write_whole(out / "figures" / f"{figure.name}.svg", figure.svg)
    write_whole(out / "tables.md", markdown)
    write_whole(out / "tables.csv", table)
    write_whole(out / "report.html", page)


def write_report(collection, out):
    """Writes the report of runs. `collection` must contain at least one completed run. Returns the sentences of the
    datasets."""
    rows_of = report_tables.make_rows(collection.completed)
    forests, figures_of = draw(rows_of)
    sentences = []
    for dataset, rows in rows_of.items():
        comparisons = report_answer.compare(rows)
        parts = report_answer.answer(rows, comparisons), report_answer.sentence(rows, comparisons)
        sentences.append(f"{dataset}: {' '.join(part for part in parts if part)}")
    table = report_csv.comma_separated(rows_of)
    figures = [figure for figure in forests.values() if figure] + sum(figures_of.values(), [])
    page = report_html.page(collection, rows_of, forests, figures_of, table, out)
    write_files(out, figures, report_text.markdown(report_text.tables(rows_of), sentences), table, page)
    return sentences


def write_comparison(folders, out):
    """Writes the comparison of two runs. Returns its sentence in a list."""
    runs = [report_runs.read_run(folder, may_be_incomplete=True) for folder in folders]
    comparison = report_compare.Comparison(*runs)
    figures = comparison.figures()
    page = report_compare.page(comparison, figures, out)
    tables = [comparison.results_table(), comparison.settings_table()]
    write_files(out, figures, report_text.markdown(tables, [comparison.sentence()]), comparison.comma_separated(), page)
    return [comparison.sentence()]


def summary_line(collection):
    parts = [f"{len(collection.completed)} completed"]
    for entries, name in (
        (collection.incomplete, "incomplete"),
        (collection.repeated, "repeated"),
        (collection.damaged, "damaged"),
    ):
        if entries:
            parts.append(f"{len(entries)} {name}, not counted")
    parts += [f"{len(collection.failed)} failed"] if collection.failed else []
    parts += [f"{len(collection.removed)} removed"] if collection.removed else []
    return f"runs: {'; '.join(parts)}"


def print_result(lines, out):
    for line in [*lines, f"The report is {out / 'report.html'}"]:
        print(report_text.printable(line))


def fail(message):
    print(report_text.printable(str(message)), file=sys.stderr)
    return 1


def main(arguments=None):
    parser = argparse.ArgumentParser(
        prog="report.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", metavar="FOLDER", nargs="+", type=pathlib.Path)
    parser.add_argument("--out", metavar="DIR", type=pathlib.Path)
    options = parser.parse_args(arguments)
    act, name = (compare, "comparison") if is_pair(options.folders) else (report, "report")
    out = options.out or options.folders[0] / name
    try:
        return act(options.folders, out)
    except (report_runs.DamagedError, report_runs.IncompleteError) as error:
        return fail(error)
    except OSError as error:
        return fail(f"{error.filename or out}: cannot be written: {error.strerror}")


def is_pair(folders):
    """Whether the folders are those of two different runs."""
    return (
        len(folders) == 2
        and all(map(report_runs.is_run_folder, folders))
        and os.path.realpath(folders[0]) != os.path.realpath(folders[1])
    )


def compare(folders, out):
    print_result(write_comparison(folders, out), out)
    return 0


def report(folders, out):
    collection = report_runs.collect(folders)
    for message in collection.damaged:
        fail(message)
    if not collection.completed:
        found = f"{len(collection.incomplete)} incomplete, {len(collection.damaged)} damaged"
        return fail(f"no completed run in {', '.join(map(str, folders))} ({found}): nothing to report")
    sentences = write_report(collection, out)
    print_result([summary_line(collection), *sentences], out)
    return 1 if collection.damaged else 0


if __name__ == "__main__":
    sys.exit(main())

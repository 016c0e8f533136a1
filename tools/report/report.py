#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Tables and figures from runs.

    report.py FOLDER... [--out DIR]

FOLDER is the folder of a run or a sweep, or any folder above runs. The report is written to DIR, or to FOLDER/report of
the first FOLDER:

    report.html        the whole report on one page, which needs no network
    tables.md          its tables
    tables.csv         the same numbers and those of every threshold, unrounded
    figures/           its figures as .png and .svg

A run is included if its summary.json says that it is completed; the page lists the others. The exit code is 1 if a file
is damaged (the report then contains the other runs), if no run is completed, or if something cannot be written.

Needs matplotlib (Debian, Ubuntu: apt-get install python3-matplotlib).
"""

import argparse
import os
import pathlib
import sys

import report_csv
import report_html
import report_runs
import report_tables
import report_text


def draw(rows_of):
    """Returns {dataset: its figures}."""
    import report_drawing
    import report_figures
    import report_layer_figures

    figures_of = {}
    with report_drawing.plt.rc_context(report_drawing.STYLE):
        for dataset, rows in rows_of.items():
            figures = [
                report_figures.draw_schedule(dataset, run, labels, place)
                for place, (run, labels) in enumerate(report_figures.schedules(rows), 1)
            ]
            for row in rows:
                figures += [report_figures.draw_thresholds(row), report_figures.draw_courses(row)]
                figures += [report_layer_figures.draw_measures(row), *report_layer_figures.draw_selections(row)]
            figures_of[dataset] = [figure for figure in figures if figure]
    return figures_of


def write_whole(path, data):
    """Writes bytes or text to a file. An existing file is replaced only after everything is written."""
    partial = path.with_name(path.name + ".gradamp-tmp")
    partial.write_bytes(data if isinstance(data, bytes) else data.encode(errors="backslashreplace"))
    os.replace(partial, path)


def write_report(collection, out):
    """Writes all files of the report to the folder `out`. `collection` must contain at least one completed run."""
    rows_of = report_tables.make_rows(collection.completed)
    figures_of = draw(rows_of)
    (out / "figures").mkdir(parents=True, exist_ok=True)
    for figure in (figure for figures in figures_of.values() for figure in figures):
        write_whole(out / "figures" / f"{figure.name}.svg", figure.svg)
        write_whole(out / "figures" / f"{figure.name}.png", figure.png)
    write_whole(out / "tables.md", report_text.markdown(rows_of))
    write_whole(out / "tables.csv", report_csv.comma_separated(rows_of))
    write_whole(out / "report.html", report_html.page(collection, rows_of, figures_of))


def summary_line(collection, out):
    parts = [f"{len(collection.completed)} completed"]
    for entries, name in (
        (collection.incomplete, "incomplete"),
        (collection.repeated, "repeated"),
        (collection.damaged, "damaged"),
    ):
        if entries:
            parts.append(f"{len(entries)} {name}, not counted")
    return f"runs: {'; '.join(parts)}\nThe report is {report_text.printable(str(out / 'report.html'))}"


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
    out = options.out or options.folders[0] / "report"
    try:
        collection = report_runs.collect(options.folders)
    except report_runs.DamagedError as error:
        return fail(error)
    for message in collection.damaged:
        fail(message)
    if not collection.completed:
        found = f"{len(collection.incomplete)} incomplete, {len(collection.damaged)} damaged"
        return fail(f"no completed run in {', '.join(map(str, options.folders))} ({found}): nothing to report")
    try:
        write_report(collection, out)
    except ModuleNotFoundError as error:
        if error.name != "matplotlib":
            raise
        return fail(
            f"{sys.executable} has no matplotlib, which draws the figures: apt-get install python3-matplotlib (for "
            f"/usr/bin/python3), or {sys.executable} -m pip install matplotlib"
        )
    except OSError as error:
        return fail(f"{error.filename or out}: cannot be written: {error.strerror}")
    print(summary_line(collection, out))
    return 1 if collection.damaged else 0


if __name__ == "__main__":
    sys.exit(main())

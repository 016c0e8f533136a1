# SPDX-License-Identifier: MIT
"""report.html of the report: one file that needs nothing else, no network and no scripts."""

import base64
import html
import itertools
import os
import urllib.parse

import report_answer
import report_overview
import report_paper
import report_svg
import report_text

CSS = """
:root { color-scheme: light dark; --text: #1b1f24; --quiet: #57606a; --back: #ffffff; --line: #d0d7de;
  --head: #f3f5f7; }
@media (prefers-color-scheme: dark) {
  :root { --text: #e6edf3; --quiet: #9aa5b1; --back: #14181d; --line: #343b44; --head: #1f252c; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 78rem; padding: .6rem 1.25rem 4rem; color: var(--text); background: var(--back);
  font: 1rem/1.5 system-ui, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; overflow-wrap: break-word; }
h1 { font-size: 1rem; margin: 0 1.5rem 0 0; font-weight: 600; color: var(--quiet); display: inline; }
h2 { font-size: 1.3rem; margin: 2.4rem 0 .6rem; border-bottom: 1px solid var(--line); padding-bottom: .3rem; }
h3 { font-size: 1.05rem; margin: 1.8rem 0 .4rem; }
a { color: inherit; text-decoration-color: var(--quiet); text-underline-offset: .15em; }
nav { display: inline; font-size: .9rem; }
nav a { margin-right: 1rem; }
p, li, figcaption { max-width: 62rem; }
p.answer { font-size: 1.2rem; line-height: 1.4; margin: .7rem 0; max-width: none; }
p.answer strong { margin-right: .35em; }
p.exact { margin: -.3rem 0 .7rem; max-width: none; }
.caption, figcaption, .note { color: var(--quiet); font-size: .9rem; margin: .5rem 0; }
.wide { overflow-x: auto; border: 1px solid var(--line); border-radius: 6px; }
table { border-collapse: collapse; width: 100%; font-size: .875rem; font-variant-numeric: tabular-nums; }
th, td { padding: .4rem .6rem; text-align: left; vertical-align: top; border-top: 1px solid var(--line); }
thead th { border-top: 0; background: var(--head); white-space: nowrap; }
tbody th { font-weight: 600; }
tbody th.sub { font-weight: 400; color: var(--quiet); min-width: 6.5rem; }
td { white-space: nowrap; }
td.text { white-space: normal; overflow-wrap: anywhere; min-width: 8rem; }
td span { color: var(--quiet); font-size: .8rem; }
tbody tr.same > * { border-top-style: dotted; }
figure { margin: .6rem 0 1.4rem; }
.panels { display: flex; flex-wrap: wrap; gap: .5rem 1.5rem; align-items: flex-start; }
.panels svg { flex: 0 1 auto; width: 100%; height: auto; display: block; }
.panels.two svg { width: calc(50% - .75rem); }
.narrow { display: none; }
@media (max-width: 46rem) {
  body { padding: .5rem .8rem 3rem; }
  p.answer { font-size: 1.05rem; }
  .panels.two svg { width: 100%; }
  .panels.both { display: none; }
  .narrow { display: flex; }
}
ul.legend { list-style: none; display: flex; flex-wrap: wrap; gap: .1rem 1.2rem; margin: .3rem 0 0; padding: 0;
  font-size: .875rem; }
ul.legend svg { width: 28px; height: 12px; margin-right: .4rem; vertical-align: -1px; }
details { margin: .6rem 0; }
summary { cursor: pointer; font-weight: 600; }
summary.small { font-weight: 400; font-size: .9rem; color: var(--quiet); }
code { overflow-wrap: anywhere; font-size: .9em; }
"""
OPEN_TABLE = 60  # rows; a longer table is folded


def escape(value):
    return html.escape(report_text.printable(str(value)))


# ---- Tables ----


def address(path, out):
    """The relative address of a folder, from a page in the folder `out`."""
    relative = os.path.relpath(os.path.realpath(path), os.path.realpath(out))
    return urllib.parse.quote(os.fsencode(relative)) + "/"


def entry_html(cell, out, strong):
    lines = [escape(line) for line in cell.lines]
    if cell.runs:
        links = " ".join(f'<a href="{escape(address(run.path, out))}">{run.seed}</a>' for run in cell.runs)
        lines.append(f"seed{'s' * (len(cell.runs) > 1)} {links}")
    if strong:
        lines[0] = f"<strong>{lines[0]}</strong>"
    return lines[0] + "".join(f"<br><span>{line}</span>" for line in lines[1:])


def table_html(table, out):
    rows = []
    for heading, group in itertools.groupby(table.rows, key=lambda row: row[0]):
        group = list(group)
        for place, (_, sub, cells) in enumerate(group):
            first = f'<th scope="rowgroup" rowspan="{len(group)}">{escape(heading)}</th>' if place == 0 else ""
            same = ' class="same"' if place > 0 else ""
            body = "".join(f"<td>{entry_html(cell, out, table.strong)}</td>" for cell in cells)
            rows.append(f'<tr{same}>{first}<th scope="row" class="sub">{escape(sub)}</th>{body}</tr>')
    head = "".join(f'<th scope="col">{escape(text)}</th>' for text in table.head)
    notes = "".join(f'<p class="note">{escape(note)}</p>' for note in table.notes)
    # A wide table scrolls separately from the page. With tabindex it can have the focus and be scrolled by keyboard.
    return (
        f'<div class="wide" tabindex="0" role="region" aria-label="{escape(table.title)}"><table><thead><tr>{head}</tr>'
        f"</thead><tbody>{''.join(rows)}</tbody></table></div>{notes}"
    )


def pairs_html(pairs):
    """A table of two or more columns without a head: the first text is the heading of its row."""
    rows = "".join(
        f'<tr><th scope="row">{escape(key)}</th>'
        + "".join(f'<td class="text"><code>{escape(value)}</code></td>' for value in values)
        + "</tr>"
        for key, *values in pairs
    )
    return f'<div class="wide"><table><tbody>{rows}</tbody></table></div>'


def how_html(paragraphs):
    body = "".join(f'<p class="caption">{escape(paragraph)}</p>' for paragraph in paragraphs)
    return f'<details><summary class="small">How this was computed</summary>{body}</details>'


def titled_table_html(table, out, anchor=""):
    place = f' id="{escape(anchor)}"' if anchor else ""
    return f"<h2{place}>{escape(table.title)}</h2>{table_html(table, out)}{how_html(table.caption)}"


def folded_table_html(table, out):
    body = f"{table_html(table, out)}{how_html(table.caption)}"
    return f"<details><summary>{escape(table.title)}</summary>{body}</details>"


# ---- Figures ----


def panels_html(panels, alt, kind=""):
    two = " two" if len(panels) > 1 else ""
    body = "".join(panel.svg() for panel in panels)
    return f'<div class="panels{two}{kind}" role="img" aria-label="{escape(alt)}">{body}</div>'


def legend_html(legend):
    items = "".join(
        f'<li><svg class="plot" viewBox="0 0 28 12" aria-hidden="true">{entry.drawn()}</svg>{escape(entry.label)}</li>'
        for entry in legend
    )
    return f'<ul class="legend">{items}</ul>' if items else ""


def figure_html(figure, titled=True):
    title = f"<h3>{escape(figure.title)}</h3>" if titled else ""
    body = panels_html(figure.panels, figure.alt, " both" if figure.narrow else "")
    if figure.narrow:
        body += panels_html(figure.narrow, figure.alt, " narrow")
    caption = f"<figcaption>{escape(figure.caption)}</figcaption>" if figure.caption else ""
    return f"{title}<figure>{body}{legend_html(figure.legend)}{caption}</figure>"


# ---- Parts of the page ----


def answers_html(rows_of, forests):
    """The answer and the exact sentence of each dataset, and the forest plots."""
    compared = {dataset: report_answer.compare(rows) for dataset, rows in rows_of.items()}
    parts = []
    for dataset, rows in rows_of.items():
        answer = report_answer.answer(rows, compared[dataset])
        sentence = report_answer.sentence(rows, compared[dataset])
        first, rest = (answer, f'<p class="exact">{escape(sentence)}</p>') if answer else (sentence, "")
        parts.append(f'<p class="answer"><strong>{escape(dataset)}</strong> {escape(first)}</p>{rest}')
    for dataset, rows in rows_of.items():
        if forests.get(dataset):
            parts.append(f"<h3>{escape(forests[dataset].title)}</h3>" if len(rows_of) > 1 else "")
            parts.append(figure_html(forests[dataset], titled=False))
            parts.append(how_html(report_answer.explanation(rows, compared[dataset])))
    return "".join(parts)


def dataset_html(dataset, rows, figures, out):
    parts = [titled_table_html(report_text.accuracy_table(dataset, rows), out, dataset)]
    parts.append(folded_table_html(report_text.choices_table(dataset, rows), out))
    parts.append(f'<h2 id="{escape(dataset)}-figures">Figures on {escape(dataset)}</h2>')
    parts += map(figure_html, figures)
    parts.append(titled_table_html(report_text.minutes_table(dataset, rows), out))
    cost = report_text.cost_table(dataset, rows)
    return "".join(parts) + (titled_table_html(cost, out) if cost.rows else "")


def settings_html(runs):
    equal, varying = report_overview.settings_of(runs)
    axes = [(key, ", ".join(map(report_overview.setting_text, values))) for key, values in varying.items()]
    parts = ['<h2 id="settings">Settings and versions</h2>']
    if axes:
        parts.append(f"<h3>What varies</h3>{pairs_html(axes)}")
    same = pairs_html((key, report_overview.setting_text(value)) for key, value in equal.items())
    parts.append(f"<details><summary>The same in all runs</summary>{same}</details>")
    found = report_overview.versions(runs)
    versions = "".join(f"<li>{escape(key)}: {report_overview.counted(count)}</li>" for key, count in found.items())
    return "".join(parts) + f"<h3>Versions</h3><ul>{versions}</ul>"


def left_out_html(collection):
    """The runs that are left out of the report, each with the reason."""
    parts = []
    for title, entries in (
        ("Failed cells of a sweep", collection.failed),
        ("Removed cells of a sweep", collection.removed),
        ("Incomplete runs", collection.incomplete),
        ("Repeated runs, counted once", collection.repeated),
    ):
        if entries:
            items = "".join(f"<li><code>{escape(path)}</code>: {escape(why)}</li>" for path, why in entries)
            parts.append(f"<h3>{title}</h3><ul>{items}</ul>")
    if collection.damaged:
        items = "".join(f"<li>{escape(line)}</li>" for line in collection.damaged)
        parts.append(f"<h3>Damaged files</h3><ul>{items}</ul>")
    if collection.beginnings:
        parts.append(f"<p>Beginnings that a sweep's cells share, which are no results: {collection.beginnings}.</p>")
    return '<h2 id="left-out">Runs that are not counted</h2>' + ("".join(parts) or "<p>None.</p>")


def download_html(table):
    """A link that saves tables.csv, whose text is `table`."""
    data = base64.b64encode(table.encode(errors="backslashreplace")).decode()
    return f'<a download="tables.csv" href="data:text/csv;charset=utf-8;base64,{data}">Download all numbers (CSV)</a>'


def document(title, body):
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><title>{escape(title)}</title>'
        f"<style>{CSS}{report_svg.CSS}</style></head>\n<body>\n" + "\n".join(body) + "\n</body></html>\n"
    )


def page(collection, rows_of, forests, figures_of, table, out):
    """The text of the page. `forests` is {dataset: forest plot or None}, `figures_of` is {dataset: other figures},
    `table` is the text of tables.csv, and `out` is the page's folder."""
    links = "".join(
        f'<a href="#{escape(d)}">Tables on {escape(d)}</a><a href="#{escape(d)}-figures">Figures</a>' for d in rows_of
    )
    links += f'<a href="#settings">Settings</a><a href="#left-out">Not counted</a>{download_html(table)}'
    body = [
        f"<header><h1>gradamp: report of runs</h1><nav>{links}</nav></header>",
        answers_html(rows_of, forests),
        f"<p>{escape(' '.join(report_overview.what_was_run(collection)))}</p>",
        *(dataset_html(dataset, rows, figures_of[dataset], out) for dataset, rows in rows_of.items()),
        settings_html(collection.completed),
        left_out_html(collection),
        f'<p class="note">The method and the paper’s figures: <a href="{report_paper.ADDRESS}">'
        f"{escape(report_paper.TITLE)}</a>.</p>",
    ]
    return document("gradamp: report of runs", body)

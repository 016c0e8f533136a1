# SPDX-License-Identifier: MIT
"""report.html of the report: one file that needs nothing else, no network and no scripts."""

import base64
import html
import itertools

import report_overview
import report_paper
import report_text

CSS = """
:root { color-scheme: light dark; --text: #1b1f24; --quiet: #57606a; --back: #ffffff; --line: #d0d7de;
  --head: #f3f5f7; }
@media (prefers-color-scheme: dark) {
  :root { --text: #e6edf3; --quiet: #9aa5b1; --back: #14181d; --line: #343b44; --head: #1f252c; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 84rem; padding: 1rem 1.25rem 4rem; color: var(--text); background: var(--back);
  font: 1rem/1.5 system-ui, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
h1 { font-size: 1.7rem; margin: .6rem 0; }
h2 { font-size: 1.3rem; margin: 2.4rem 0 .6rem; border-bottom: 1px solid var(--line); padding-bottom: .3rem; }
h3 { font-size: 1.05rem; margin: 1.8rem 0 .4rem; }
a { color: inherit; }
nav a { margin-right: 1rem; }
p, li, figcaption { max-width: 62rem; }
.caption, figcaption, .note { color: var(--quiet); font-size: .9rem; margin: .5rem 0; }
.wide { overflow-x: auto; border: 1px solid var(--line); border-radius: 6px; }
table { border-collapse: collapse; width: 100%; font-size: .875rem; font-variant-numeric: tabular-nums; }
th, td { padding: .45rem .6rem; text-align: left; vertical-align: top; border-top: 1px solid var(--line); }
thead th { border-top: 0; background: var(--head); white-space: nowrap; }
tbody th { font-weight: 600; }
tbody th.sub { font-weight: 400; color: var(--quiet); min-width: 6.5rem; }
td.number { min-width: 10rem; }
td.number span { color: var(--quiet); font-size: .8rem; }
tbody tr.same > * { border-top-style: dotted; }
figure { margin: 1rem 0 2rem; }
figure div { overflow-x: auto; background: #ffffff; border: 1px solid var(--line); border-radius: 6px; padding: .5rem; }
figure img { display: block; margin: 0 auto; max-width: 100%; height: auto; min-width: min(40rem, 100%); }
@media (max-width: 50rem) { figure img { max-width: none; width: 44rem; } }
details { margin: 1rem 0; }
summary { cursor: pointer; font-weight: 600; }
code { overflow-wrap: anywhere; font-size: .9em; }
"""


def escape(value):
    return html.escape(report_text.printable(str(value)))


def table_html(table):
    rows, width = [], len(table.head) - 2
    for heading, group in itertools.groupby(table.rows, key=lambda row: row[0]):
        group = list(group)
        for place, (_, sub, cells) in enumerate(group):
            first = f'<th scope="rowgroup" rowspan="{len(group)}">{escape(heading)}</th>' if place == 0 else ""
            same = ' class="same"' if place > 0 else ""
            span = f' colspan="{width}"' if len(cells) == 1 and width > 1 else ' class="number"' if width < 7 else ""
            body = "".join(f"<td{span}>{cell_html(cell, len(cells) > 1 and width < 7)}</td>" for cell in cells)
            rows.append(f'<tr{same}>{first}<th scope="row" class="sub">{escape(sub)}</th>{body}</tr>')
    head = "".join(f'<th scope="col">{escape(text)}</th>' for text in table.head)
    notes = "".join(f'<p class="note">{escape(note)}</p>' for note in table.notes)
    # A wide table scrolls separately from the page. With tabindex it can have the focus and be scrolled by keyboard.
    return (
        f'<div class="wide" tabindex="0" role="region" aria-label="{escape(table.title)}"><table><thead><tr>{head}</tr>'
        f"</thead><tbody>{''.join(rows)}</tbody></table></div>{notes}"
    )


def cell_html(lines, strong):
    first = f"<strong>{escape(lines[0])}</strong>" if strong else escape(lines[0])
    return first + "".join(f"<br><span>{escape(line)}</span>" for line in lines[1:])


def figure_html(figure):
    data = base64.b64encode(figure.svg).decode()
    return (
        f'<h3>{escape(figure.title)}</h3><figure><div tabindex="0" role="group" aria-label="{escape(figure.title)}">'
        f'<img alt="{escape(figure.alt)}" src="data:image/svg+xml;base64,{data}"></div>'
        f"<figcaption>{escape(figure.caption)}</figcaption></figure>"
    )


def caption_html(table):
    return "".join(f'<p class="caption">{escape(paragraph)}</p>' for paragraph in table.caption)


def dataset_html(dataset, rows, figures):
    accuracy = report_text.accuracy_table(dataset, rows)
    minutes = report_text.minutes_table(dataset, rows)
    every = report_text.choices_table(dataset, rows)
    parts = [f'<h2 id="{escape(dataset)}">{escape(accuracy.title)}</h2>']
    parts += [caption_html(accuracy), table_html(accuracy)]
    parts.append(f"<details><summary>{escape(every.title)}</summary>")
    parts += [caption_html(every), table_html(every), "</details>"]
    parts += [f"<h2>{escape(minutes.title)}</h2>", caption_html(minutes), table_html(minutes)]
    parts += [f'<h2 id="{escape(dataset)}-figures">Figures on {escape(dataset)}</h2>']
    return "".join(parts) + "".join(map(figure_html, figures))


def settings_html(runs):
    equal, varying = report_overview.settings_of(runs)

    def rows(pairs):
        return "".join(
            f'<tr><th scope="row">{escape(key)}</th><td><code>{escape(value)}</code></td></tr>' for key, value in pairs
        )

    axes = [(key, ", ".join(map(report_overview.setting_text, values))) for key, values in varying.items()]
    parts = ['<h2 id="settings">Settings and versions</h2>']
    if axes:
        parts.append(f'<h3>What varies</h3><div class="wide"><table><tbody>{rows(axes)}</tbody></table></div>')
    same = rows((key, report_overview.setting_text(value)) for key, value in equal.items())
    parts.append(f'<h3>The same in all runs</h3><div class="wide"><table><tbody>{same}</tbody></table></div>')
    found = report_overview.versions(runs)
    versions = "".join(f"<li>{escape(key)}: {report_overview.counted(count)}</li>" for key, count in found.items())
    return "".join(parts) + f"<h3>Versions</h3><ul>{versions}</ul>"


def left_out_html(collection):
    """The runs that are left out of the report, each with the reason."""
    parts = []
    for title, entries in (
        ("Incomplete runs", [(path, why) for path, why in collection.incomplete]),
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


def page(collection, rows_of, figures_of):
    """The text of the page. `figures_of` is {dataset: figures}."""
    links = "".join(
        f'<a href="#{escape(d)}">Tables on {escape(d)}</a><a href="#{escape(d)}-figures">Figures</a>' for d in rows_of
    )
    body = [
        "<h1>gradamp: report of runs</h1>",
        f"<p>{escape(' '.join(report_overview.what_was_run(collection)))}</p>",
        f'<nav>{links}<a href="#settings">Settings</a><a href="#left-out">Not counted</a></nav>',
        *(dataset_html(dataset, rows, figures_of[dataset]) for dataset, rows in rows_of.items()),
        settings_html(collection.completed),
        left_out_html(collection),
        f'<p class="note">The method and the paper’s figures: <a href="{report_paper.ADDRESS}">'
        f"{escape(report_paper.TITLE)}</a>.</p>",
    ]
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><title>gradamp: report of runs</title>'
        f"<style>{CSS}</style></head>\n<body>\n" + "\n".join(body) + "\n</body></html>\n"
    )

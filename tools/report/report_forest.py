# SPDX-License-Identifier: MIT
"""The forest plot of a dataset: the difference from the original and its interval for every network and column, beside
zero and the paper's gain."""

import report_answer
import report_svg
from report_svg import Entry, Figure, Panel, coordinate

LABELS, NUMBERS = 236, 226  # widths of the texts at the sides of the wide form


def limits(comparisons):
    """(low, high) of the axis in points. It has all differences, zero and the paper's gains. An interval that is much
    wider than the typical one may leave it."""
    ends = [c.difference.mean for c in comparisons] + [c.paper for c in comparisons if c.paper is not None] + [0.0]
    halves = sorted(
        max(c.difference.mean - c.difference.low, c.difference.high - c.difference.mean)
        for c in comparisons
        if c.difference.low is not None
    )
    typical = 1.5 * halves[len(halves) // 2] if halves else 0.0
    for c in comparisons:
        if c.difference.low is not None:
            ends.append(max(c.difference.low, c.difference.mean - typical))
            ends.append(min(c.difference.high, c.difference.mean + typical))
    low, high = report_svg.finite_range(ends, 0.05)
    return min(low, -0.1), max(high, 0.1)


def axis(panel, y):
    """The zero line and the ticks. The panel's area ends at y."""
    for tick in report_svg.nice_ticks(*panel.x, 9):
        x = coordinate(panel.sx(tick))
        style = 's-ink" stroke-width="1.6' if tick == 0 else "s-grid"
        panel.add(f'<path class="{style}" d="M{x} {panel.top}V{coordinate(y)}"/>')
        label = report_svg.report_text.minus(f"{tick:+g}") if tick else "0"
        half = report_svg.text_width(label) / 2
        inside = min(max(panel.sx(tick), half), panel.width - half)
        panel.text(inside, y + 15, label, "middle", "quiet")
    panel.text((panel.left + panel.right) / 2, y + 32, "difference from the original (points)", "middle", "quiet")


def interval(panel, comparison, y):
    """The interval with the point on it and the paper's gain."""
    difference = comparison.difference
    if difference.low is not None and difference.low == difference.low:
        low, high = panel.x
        a, b = panel.sx(max(difference.low, low)), panel.sx(min(difference.high, high))
        path = f"M{coordinate(a)} {y}H{coordinate(b)}"
        path += f"M{coordinate(a)} {y - 4}v8" if difference.low >= low else f"M{coordinate(a + 6)} {y - 5}l-6 5l6 5"
        path += f"M{coordinate(b)} {y - 4}v8" if difference.high <= high else f"M{coordinate(b - 6)} {y - 5}l6 5l-6 5"
        panel.add(f'<path class="s-{color_of(comparison)}" stroke-width="2" d="{path}"/>')
    if comparison.paper is not None:
        panel.mark(comparison.paper, y, "diamond", "random", hollow=True, size=4)
    shape = "square" if comparison.is_effect else "circle"
    panel.mark(difference.mean, y, shape, color_of(comparison), size=5)


def color_of(comparison):
    return "random" if comparison.column == "random" else "amplified"


class RowPanel(Panel):
    """A panel whose y values are pixels from the top."""

    def sy(self, value):
        return value


def numbers_text(comparison):
    """(the difference with its interval, Holm's p)."""
    p = report_answer.p_text(comparison.adjusted)
    points = report_answer.effect_text(comparison.difference, 2)
    return points, f"p {p}" if comparison.adjusted is not None else "no interval"


def groups(comparisons):
    """[(label of the row, its comparisons)]."""
    found = {}
    for comparison in comparisons:
        found.setdefault(id(comparison.row), (comparison.row.label, []))[1].append(comparison)
    return list(found.values())


def wide(comparisons, width=1040):
    """Label, interval and numbers of a comparison beside each other."""
    step = 26 if len(comparisons) <= 12 else 19
    grouped = groups(comparisons)
    top = 26
    height = top + step * len(comparisons) + 8 * len(grouped) + 40
    panel = RowPanel(width, height, limits(comparisons), (0, 1), left=LABELS, right=NUMBERS, top=top, bottom=40)
    axis(panel, panel.bottom)
    panel.text(panel.width - NUMBERS + 14, 16, "points (95% interval)", "start", "quiet")
    panel.text(panel.width - 4, 16, "Holm’s p", "end", "quiet")
    y = top + 4 + step / 2
    for index, (label, members) in enumerate(grouped):
        if index:
            panel.add(f'<path class="s-grid" d="M4 {coordinate(y - step / 2 - 2)}H{width - 4}"/>')
        panel.text(4, y + 4, report_svg.shortened(label, 150), bold=True)
        for comparison in members:
            panel.text(LABELS - 14, y + 4, comparison.name, "end")
            interval(panel, comparison, y)
            points, p = numbers_text(comparison)
            panel.text(width - NUMBERS + 14, y + 4, points, bold=comparison.is_effect)
            panel.text(width - 4, y + 4, p.removeprefix("p "), "end", bold=comparison.is_effect)
            y += step
        y += 8
    return panel


def narrow(comparisons, width=350):
    """For a phone: the texts of a comparison above its interval."""
    grouped = groups(comparisons)
    height = 8 + 44 * len(comparisons) + 24 * len(grouped) + 40
    panel = RowPanel(width, height, limits(comparisons), (0, 1), left=12, right=12, top=4, bottom=40)
    axis(panel, panel.bottom)
    y = 18.0
    for label, members in grouped:
        panel.text(4, y, report_svg.shortened(label, width), bold=True, halo=True)
        y += 20
        for comparison in members:
            points, p = numbers_text(comparison)
            panel.text(4, y, comparison.name, bold=comparison.is_effect, halo=True)
            panel.text(width - 4, y, f"{points}, {p}", "end", bold=comparison.is_effect, halo=True)
            interval(panel, comparison, y + 16)
            y += 44
        y += 4
    return panel


def draw(dataset, comparisons):
    """The Figure, or None if nothing is compared."""
    if not comparisons:
        return None
    legend = [
        Entry("marker", "amplified", "circle", "difference from the original, 95% interval"),
        Entry("marker", "amplified", "square", "more than chance, Holm-corrected"),
    ]
    if any(c.column == "random" for c in comparisons):
        legend.append(Entry("marker", "random", "circle", "random selection"))
    if any(c.paper is not None for c in comparisons):
        legend.append(Entry("marker", "random", "diamond", "the paper’s gain", hollow=True))
    words = "; ".join(f"{c.row.label}, {c.name} {report_answer.effect_text(c.difference)}" for c in comparisons)
    return Figure(
        report_svg.file_name(dataset, "forest"),
        f"Differences from the original on {dataset}",
        "",
        f"Forest plot of the differences from the original in points of test accuracy, with 95% intervals: {words}.",
        [wide(comparisons)],
        legend,
        [narrow(comparisons)],
    )

# SPDX-License-Identifier: MIT
"""Drawing of the report's figures as SVG. Needs only Python's standard library.

A figure is one or more panels and a legend. On the page the panels stand beside each other or, on a narrow screen,
below each other; as a file they are one SVG. Colors are classes, so that they follow the dark mode of the reader's
system, and every line, marker and area also differs in dashes, shape or hatching. The same runs give the same files,
byte for byte."""

import dataclasses
import html
import math
import zlib

import report_text

# Class: (color on white, color on black). Blue and red as in the paper; all can be told apart with the common kinds of
# color blindness.
COLORS = {
    "original": ("#0057b7", "#79b8ff"),
    "amplified": ("#c8102e", "#ff8f7a"),
    "random": ("#4d4d4d", "#c4ccd4"),
    "train": ("#00755e", "#56d4b0"),
    "second": ("#7b3294", "#d5a6f0"),
    "third": ("#8a5a00", "#e3b341"),
    "ink": ("#1b1f24", "#e6edf3"),
    "quiet": ("#57606a", "#9aa5b1"),
    "grid": ("#d9dee4", "#2f363f"),
    "paper": ("#ffffff", "#14181d"),
}
BAND = ("#fdeadf", "#3a2720")  # behind amplified epochs
LEVELS = 12  # of a heat map
DASHES = {"solid": "", "dashed": "6 4", "dotted": "1.5 3.5", "dashdot": "8 3 2 3"}
CHARACTER = 0.56  # mean width of a character / font size


def mixed(low, high, share):
    """The color "#rrggbb" between two colors."""
    parts = [(int(low[i : i + 2], 16), int(high[i : i + 2], 16)) for i in (1, 3, 5)]
    return "#" + "".join(f"{round(a + (b - a) * share):02x}" for a, b in parts)


def heat_colors(dark):
    """The colors of a heat map from the lowest to the highest value: the lightness alone orders them."""
    anchors = ("#1d2733", "#2f6f9f", "#f4e58a") if dark else ("#f2f6fa", "#5c9bc9", "#0b2545")
    steps = [level / (LEVELS - 1) * 2 for level in range(LEVELS)]
    return [mixed(*(anchors[:2] if s <= 1 else anchors[1:]), s if s <= 1 else s - 1) for s in steps]


def color_rules(dark):
    index = int(dark)
    rules = []
    for name, colors in COLORS.items():
        rules += [f".plot .s-{name}{{stroke:{colors[index]}}}", f".plot .f-{name}{{fill:{colors[index]}}}"]
    rules.append(f".plot .band{{fill:{BAND[index]}}}")
    rules += [f".plot .h{level}{{stroke:{color}}}" for level, color in enumerate(heat_colors(dark))]
    return "".join(rules)


SHAPES = (
    ".plot{font-family:system-ui,'Segoe UI',Roboto,'DejaVu Sans',Arial,sans-serif;font-size:12px}"
    ".plot path,.plot line{fill:none}.plot .area{stroke:none}"
    + "".join(f".plot .d-{name}{{stroke-dasharray:{dash}}}" for name, dash in DASHES.items() if dash)
)
CSS = f"{SHAPES}{color_rules(False)}@media (prefers-color-scheme:dark){{{color_rules(True)}}}"
FILE_CSS = (
    f"svg{{background:{COLORS['paper'][0]}}}@media (prefers-color-scheme:dark)"
    f"{{svg{{background:{COLORS['paper'][1]}}}}}{CSS}"
)


def escape(text):
    return html.escape(report_text.printable(str(text)))


def coordinate(value):
    """The value with at most one decimal."""
    return f"{value:.1f}".removesuffix(".0")


def text_width(text, size=12):
    return len(text) * size * CHARACTER


def nice_ticks(low, high, most=6):
    """Round numbers from low to high, at most about `most`."""
    span = high - low
    if not span > 0:
        return [low]
    power = 10 ** math.floor(math.log10(span / most))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if span / (power * factor) <= most)
    return [
        round(step * index, 12) for index in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)
    ]


def epoch_ticks(count, most=8):
    """Whole epochs from 1 to count, at most about `most`."""
    return sorted({max(1, int(tick)) for tick in nice_ticks(1, count, most) if tick == int(tick)} | {1})


def thinned(names, most):
    """(indices, names): every n-th name, such that there are at most `most` names."""
    step = max(math.ceil(len(names) / most), 1)
    return list(range(0, len(names), step)), names[::step]


def finite_range(values, margin=0.06):
    """(low, high) of the finite values with a margin. (0, 1) if there are none."""
    found = [value for value in values if value is not None and math.isfinite(value)]
    if not found:
        return 0.0, 1.0
    low, high = min(found), max(found)
    pad = (high - low) * margin or abs(high) * 0.02 or 1.0
    return low - pad, high + pad


@dataclasses.dataclass
class Entry:
    """A line of a legend: a sample with a class name of COLORS, and its label. `kind` is "line", "marker", "band" or
    "hatch"; `style` is the dash of a line or the shape of a marker."""

    kind: str
    color: str
    style: str
    label: str
    hollow: bool = False

    def drawn(self):
        """The sample, within 28 x 12."""
        if self.kind == "line":
            return f'<path class="s-{self.color} d-{self.style}" stroke-width="2" d="M1 6h26"/>'
        if self.kind == "marker":
            return marker(14, 6, self.style, self.color, self.hollow, 2.0 if self.style == "ring" else 4.0)
        shape = '<rect class="band" x="1" y="0" width="26" height="12"/>'
        return shape if self.kind == "band" else hatched(1, 0, 26, 12)


def hatched(x, y, width, height, step=8):
    """Diagonal lines in a rectangle, which mark analyzed epochs."""
    lines = []
    for index in range(math.ceil((width + height) / step)):
        offset = index * step
        x1, y1 = (x + offset, y) if offset <= width else (x + width, y + offset - width)
        x2, y2 = (x, y + offset) if offset <= height else (x + offset - height, y + height)
        lines.append(f"M{coordinate(x1)} {coordinate(y1)}L{coordinate(x2)} {coordinate(y2)}")
    return f'<path class="s-second" stroke-width="1" opacity=".4" d="{"".join(lines)}"/>'


def marker(x, y, shape, color, hollow=False, size=4.0):
    """A marker with its center at (x, y): a circle, square, diamond, triangle or ring."""
    hollow = hollow or shape == "ring"
    paint = f'class="s-{color}" stroke-width="1.6" style="fill:none"' if hollow else f'class="f-{color}"'
    if shape in ("circle", "ring"):
        radius = size + 3 if shape == "ring" else size
        return f'<circle {paint} cx="{coordinate(x)}" cy="{coordinate(y)}" r="{coordinate(radius)}"/>'
    s = size
    outline = {
        "square": [(-s, -s), (s, -s), (s, s), (-s, s)],
        "diamond": [(0, -1.4 * s), (1.4 * s, 0), (0, 1.4 * s), (-1.4 * s, 0)],
        "triangle": [(0, -1.2 * s), (1.2 * s, s), (-1.2 * s, s)],
    }[shape]
    points = " ".join(f"{coordinate(x + dx)},{coordinate(y + dy)}" for dx, dy in outline)
    return f'<polygon {paint} points="{points}"/>'


class Panel:
    """A drawing area with axes. Values are mapped linearly, or logarithmically for y if `log` is true, from the ranges
    `x` and `y` to the area within the margins."""

    def __init__(self, width, height, x, y, left=52, right=14, top=26, bottom=40, log=False):
        self.width, self.height, self.x, self.y, self.log = width, height, x, y, log
        self.left, self.right, self.top, self.bottom = left, width - right, top, height - bottom
        self.parts = []

    def sx(self, value):
        low, high = self.x
        return self.left + (value - low) / ((high - low) or 1) * (self.right - self.left)

    def sy(self, value):
        low, high = self.y
        if self.log:
            low, high, value = math.log(low), math.log(high), math.log(value)
        return self.bottom - (value - low) / ((high - low) or 1) * (self.bottom - self.top)

    def add(self, part):
        self.parts.append(part)

    def text(self, x, y, text, anchor="start", color="ink", size=12, bold=False, turn=0, halo=False):
        """A line of text. With a halo, no line crosses its letters."""
        outline = ' s-paper" stroke-width="4" paint-order="stroke' if halo else ""
        turned = f' transform="rotate({turn} {coordinate(x)} {coordinate(y)})"' if turn else ""
        weight = ' font-weight="600"' if bold else ""
        self.add(
            f'<text class="f-{color}{outline}" x="{coordinate(x)}" y="{coordinate(y)}" text-anchor="{anchor}" '
            f'font-size="{size}"{weight}{turned}>{escape(text)}</text>'
        )

    def axes(self, title, x_label, y_label, x_ticks, y_ticks):
        """Grid lines, tick labels and titles. Ticks are values, or (value, label)."""
        for tick in y_ticks:
            value, label = tick if isinstance(tick, tuple) else (tick, f"{tick:g}")
            y = coordinate(self.sy(value))
            self.add(f'<path class="s-grid" d="M{self.left} {y}H{coordinate(self.right)}"/>')
            self.text(self.left - 6, self.sy(value) + 4, report_text.minus(label), "end", "quiet")
        for tick in x_ticks:
            value, label = tick if isinstance(tick, tuple) else (tick, f"{tick:g}")
            x = coordinate(self.sx(value))
            self.add(f'<path class="s-quiet" d="M{x} {coordinate(self.bottom)}v4"/>')
            self.text(self.sx(value), self.bottom + 17, report_text.minus(label), "middle", "quiet")
        self.add(f'<path class="s-quiet" d="M{self.left} {coordinate(self.bottom)}H{coordinate(self.right)}"/>')
        self.text(self.left, 16, title, bold=True)
        if x_label:
            self.text((self.left + self.right) / 2, self.height - 6, x_label, "middle", "quiet")
        if y_label:
            self.text(13, (self.top + self.bottom) / 2, y_label, "middle", "quiet", turn=-90)

    def line(self, xs, ys, color, dash="solid", width=2.0, opacity=None):
        """A line through the points; one that is not finite, or below 0 on a logarithmic axis, leaves a gap."""
        path, pen = [], "M"
        for x, y in zip(xs, ys):
            if y is None or not math.isfinite(y) or self.log and y <= 0:
                pen = "M"
                continue
            path.append(f"{pen}{coordinate(self.sx(x))} {coordinate(self.clamped(y))}")
            pen = "L"
        faint = f' opacity="{opacity}"' if opacity else ""
        if len(path) == 1:
            path.append("h.1")  # with round caps, a dot
        if path:
            self.add(
                f'<path class="s-{color} d-{dash}" stroke-width="{width:g}" stroke-linejoin="round" '
                f'stroke-linecap="{"round" if dash == "solid" else "butt"}"{faint} d="{"".join(path)}"/>'
            )

    def clamped(self, y):
        """The coordinate of y, which is at most a little outside the area."""
        return min(max(self.sy(y), self.top - 6), self.bottom + 6)

    def mark(self, x, y, shape, color, hollow=False, size=4.0):
        if y is not None and math.isfinite(y):
            self.add(marker(self.sx(x), self.sy(y), shape, color, hollow, size))

    def across(self, low, high):
        """A band from x = low to x = high."""
        x, width = self.sx(low), self.sx(high) - self.sx(low)
        return coordinate(x), coordinate(self.top), coordinate(width), coordinate(self.bottom - self.top)

    def band(self, low, high):
        x, y, width, height = self.across(low, high)
        self.add(f'<rect class="band" x="{x}" y="{y}" width="{width}" height="{height}"/>')

    def hatch(self, low, high):
        self.add(hatched(*map(float, self.across(low, high))))

    def inner(self):
        return "".join(self.parts)

    def svg(self):
        """The panel as an SVG element of the page."""
        return (
            f'<svg class="plot" viewBox="0 0 {coordinate(self.width)} {coordinate(self.height)}" '
            f'style="max-width:{coordinate(self.width * 1.15)}px" aria-hidden="true">{self.inner()}</svg>'
        )


def heat_panel(title, names, columns, values, marks=(), x_label="epoch", width=440, note=None, limits=None):
    """A Panel with a heat map. `values` has one list per name with a value per column, None or not finite: no cell.
    `marks` contains (row, column) of marked cells. `note` is (value, text), a mark on the color scale. `limits` are the
    values of the lowest and the highest color."""
    size = 14 if len(names) <= 30 else max(3.2, 420 / len(names))
    left = int(min(max(text_width(name, 10) for name in names) + 12, 150))
    height = 30 + size * len(names) + 96
    panel = Panel(width, height, (0, len(columns)), (len(names), 0), left=left, top=30, bottom=96)
    panel.text(4, 16, title, bold=True)
    cell = (panel.right - panel.left) / len(columns)
    found = [value for line in values for value in line if value is not None and math.isfinite(value)]
    low, high = limits or (min(found, default=0.0), max(found, default=1.0))
    panel.add(heat_cells(values, low, high, panel.left, panel.top, cell, size))
    dots = "".join(
        f"M{coordinate(panel.left + (column + 0.5) * cell)} {coordinate(panel.top + (row + 0.5) * size)}h.01"
        for row, column in marks
    )
    if dots:
        radius = min(5.0, 0.55 * size, 0.8 * cell)
        for color, thickness in (("paper", 1.0), ("amplified", 0.66)):
            panel.add(
                f'<path class="s-{color}" stroke-linecap="round" stroke-width="{radius * thickness:.2f}" d="{dots}"/>'
            )
    for index, name in zip(*thinned(names, max(int(size * len(names) / 10.5), 1))):
        panel.text(left - 5, panel.top + (index + 0.5) * size + 3.5, shortened(name, left - 10), "end", "quiet", 10)
    most = max(int((panel.right - panel.left) / 34), 1)
    for index, name in zip(*thinned(columns, most)):
        panel.text(left + (index + 0.5) * cell, panel.bottom + 14, name, "middle", "quiet", 11)
    panel.text((panel.left + panel.right) / 2, panel.bottom + 30, x_label, "middle", "quiet")
    color_scale(panel, low, high, note)
    return panel


def shortened(name, width):
    most = max(int(width / (10 * CHARACTER)), 4)
    return name if len(name) <= most else "…" + name[1 - most :]


def heat_cells(values, low, high, left, top, cell, size):
    """One path per color; neighbors of the same color in a row are one piece."""
    pieces = {level: [] for level in range(LEVELS)}
    for row, line in enumerate(values):
        start, before = 0, None
        levels = [level_of(value, low, high) for value in line] + [None]
        for column, level in enumerate(levels):
            if level == before:
                continue
            if before is not None:
                x, y = left + start * cell, top + (row + 0.5) * size
                pieces[before].append(f"M{coordinate(x)} {y:.2f}h{(column - start) * cell:.2f}")
            start, before = column, level
    width = f"{size:.2f}"
    return "".join(
        f'<path class="h{level}" stroke-width="{width}" d="{"".join(found)}"/>'
        for level, found in pieces.items()
        if found
    )


def level_of(value, low, high):
    if value is None or not math.isfinite(value):
        return None
    share = (value - low) / (high - low) if high > low else 0.5
    return min(int(min(max(share, 0), 1) * LEVELS), LEVELS - 1)


def color_scale(panel, low, high, note):
    y, width = panel.bottom + 62, (panel.right - panel.left) / LEVELS
    for level in range(LEVELS):
        x = coordinate(panel.left + level * width)
        panel.add(f'<path class="h{level}" stroke-width="10" d="M{x} {coordinate(y)}h{width + 0.3:.1f}"/>')
    panel.text(panel.left, y + 20, f"{low:.3g}", "start", "quiet", 11)
    panel.text(panel.right, y + 20, f"{high:.3g}", "end", "quiet", 11)
    if note and low <= note[0] <= high and high > low:
        x = panel.left + (note[0] - low) / (high - low) * (panel.right - panel.left)
        panel.add(f'<path class="s-ink" stroke-width="2" d="M{coordinate(x)} {coordinate(y - 7)}v14"/>')
        half = text_width(note[1], 11) / 2
        panel.text(min(max(x, panel.left + half), panel.right - half), y - 11, note[1], "middle", "quiet", 11)


@dataclasses.dataclass
class Figure:
    """A figure. `alt` describes it in words. `narrow` are the panels for narrow screens, if they are others."""

    name: str
    title: str
    caption: str
    alt: str
    panels: list
    legend: list
    narrow: list | None = None

    @property
    def svg(self):
        """The bytes of the figure as a file: at most two panels beside each other, and the legend below them."""
        across = 1 if len(self.panels) == 1 else 2
        parts, y, width = [], 0.0, 0.0
        for first in range(0, len(self.panels), across):
            x, line = 0.0, self.panels[first : first + across]
            for panel in line:
                parts.append(f'<g transform="translate({coordinate(x)} {coordinate(y)})">{panel.inner()}</g>')
                x += panel.width + 16
            width, y = max(width, x - 16), y + max(panel.height for panel in line) + 10
        legend, height = self.legend_drawn(width, y)
        return (
            '<?xml version="1.0" encoding="utf-8"?>\n'
            f'<svg xmlns="http://www.w3.org/2000/svg" class="plot" viewBox="0 0 {coordinate(width)} '
            f'{coordinate(height)}" width="{coordinate(width)}" height="{coordinate(height)}" role="img">'
            f"<title>{escape(self.title)}</title><desc>{escape(self.alt)}</desc><style>{FILE_CSS}</style>"
            f"{''.join(parts)}{legend}</svg>\n"
        ).encode()

    def legend_drawn(self, width, y):
        """(the legend's elements, the y below it)."""
        parts, x = [], 8.0
        for entry in self.legend:
            space = 44 + text_width(entry.label)
            if x > 8 and x + space > width:
                x, y = 8.0, y + 20
            parts.append(f'<g transform="translate({coordinate(x)} {coordinate(y)})">{entry.drawn()}')
            parts.append(f'<text class="f-ink" x="34" y="10">{escape(entry.label)}</text></g>')
            x += space
        return "".join(parts), y + (24 if self.legend else 0)


def file_name(*parts):
    text = "-".join(str(part) for part in parts).replace("'", "-prime")
    name = "".join(c if c.isalnum() or c in "-_." else "-" for c in text).strip("-").lower()
    return name if len(name) <= 120 else f"{name[:110]}-{zlib.crc32(name.encode(errors='replace')):08x}"

"""Draw scores of sets as a picture in SVG: for each set a row, for each method a mark."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from model.stories.score import SetScore

ROW, LEFT, WIDTH, GAP, TOP = 26, 230, 260, 40, 70
"""Heights and widths in pixels: of a row, of the names, of a panel, between two panels, above the first row."""
COLOURS = ("#1b6ca8", "#d1495b", "#6a994e", "#8d6a9f", "#c98a1b")
PANELS = (
    ("found", "share of the attack in one incident", 1.0, 0.9),
    ("foreign", "share of foreign alerts in it", 1.0, 0.05),
    ("false_per_1000", "noise-only incidents a 1,000 (to 20)", 20.0, 2.0),
)
"""Field of the score, title, right end of the axis, and the aim, which is drawn as a line."""


def draw(rows: Sequence[tuple[str, Mapping[str, SetScore]]]) -> str:
    """Return the picture.

    Args:
        rows: Name of each set, and its score by method.
    """
    methods = list(dict.fromkeys(method for _, scores in rows for method in scores))
    height = TOP + ROW * len(rows) + 20
    width = LEFT + len(PANELS) * (WIDTH + GAP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="sans-serif">',
        f'<g font-size="12"><rect width="{width}" height="{height}" fill="white"/>',
    ]
    for number, method in enumerate(methods):
        x = 12 + number * 170
        parts.append(f'<circle cx="{x}" cy="16" r="5" fill="{_colour(number)}"/>')
        parts.append(f'<text x="{x + 10}" y="20">{escape(method)}</text>')
    for index, (field, title, end, aim) in enumerate(PANELS):
        left = LEFT + index * (WIDTH + GAP)
        parts.append(f'<text x="{left}" y="{TOP - 18}">{escape(title)}</text>')
        at = left + WIDTH * aim / end
        parts.append(
            f'<line x1="{at}" x2="{at}" y1="{TOP - 10}" y2="{height - 20}" stroke="#999" stroke-dasharray="3"/>'
        )
        for row, (_, scores) in enumerate(rows):
            y = TOP + ROW * row + ROW / 2
            parts.append(f'<line x1="{left}" x2="{left + WIDTH}" y1="{y}" y2="{y}" stroke="#ddd"/>')
            for number, method in enumerate(methods):
                value = getattr(scores.get(method), field, None)
                if value is not None:
                    x = left + WIDTH * min(value / end, 1.0)
                    parts.append(f'<circle cx="{x:.1f}" cy="{y}" r="5" fill="{_colour(number)}" fill-opacity="0.8"/>')
    parts += [
        f'<text x="8" y="{TOP + ROW * row + ROW / 2 + 4}">{escape(name)}</text>' for row, (name, _) in enumerate(rows)
    ]
    return "\n".join([*parts, "</g></svg>\n"])


def _colour(number: int) -> str:
    return COLOURS[number % len(COLOURS)]

"""Draw the floors of `app/` and the imports between its packages as SVG."""

from __future__ import annotations

import html
from collections import defaultdict
from typing import TYPE_CHECKING

from devtools.house.imports import FLOORS, arrows, floor_of, package_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from devtools.house.imports import Import

WIDTH_PX, FLOOR_PX, BOX_PX = 980, 64, 30
TITLE_PX = 210  # the column of the floors' titles
CHARACTER_PX, PADDING_PX, GAP_PX = 7.3, 9, 14  # of the monospaced names

STYLE = """\
text{font:12px ui-monospace,Menlo,Consolas,monospace;fill:#1f2933}
.title{font:12px system-ui,sans-serif;fill:#52606d}
rect{fill:#fff;stroke:#3e4c59;rx:4}
.floor{fill:#f5f7fa;stroke:none;rx:0}
path{fill:none;stroke:#829ab1;stroke-width:1.2}"""


def draw(files: dict[str, Path], found: Iterable[Import]) -> str:
    """Return the picture: a row a floor, a box a package, a line for each import that no longer path implies.

    Packages of the lowest floor have no lines: every package may import them, and most do.
    """
    boxes = _boxes({package_of(name, files) for name in files if name not in {"app", "app.domains"}})
    height = FLOOR_PX * (len({y for _, y, _ in boxes.values()}))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH_PX} {height}" role="img">',
        "<title>The packages under app/ by floor; lines go from a package to those that it imports</title>",
        f"<style>{STYLE}</style>",
    ]
    for y, title in sorted({(y, FLOORS[floor_of(package)].title) for package, (_, y, _) in boxes.items()}):
        parts += [
            f'<rect class="floor" x="0" y="{y}" width="{WIDTH_PX}" height="{FLOOR_PX - 4}"/>',
            f'<text class="title" x="10" y="{y + FLOOR_PX // 2 + 2}">{html.escape(title)}</text>',
        ]
    for importer, imported in _direct(set(arrows(files, found))):
        if floor_of(imported) < len(FLOORS) - 1 and floor_of(importer) < floor_of(imported):
            parts.append(_line(boxes[importer], boxes[imported]))
    for package, (x, y, width) in sorted(boxes.items()):
        top = y + (FLOOR_PX - 4 - BOX_PX) / 2
        parts += [
            f'<rect x="{x:.0f}" y="{top:.0f}" width="{width:.0f}" height="{BOX_PX}"/>',
            f'<text x="{x + PADDING_PX:.0f}" y="{top + BOX_PX / 2 + 4:.0f}">{package}</text>',
        ]
    return "\n".join([*parts, "</svg>", ""])


def _boxes(packages: Iterable[str]) -> dict[str, tuple[float, int, float]]:
    """Return each package's left edge, the top of its floor, and its width, in pixels; empty floors take no room."""
    rows: dict[int, list[str]] = defaultdict(list)
    for package in sorted(packages):
        rows[floor_of(package)].append(package)
    boxes = {}
    for row, (_, names) in enumerate(sorted(rows.items())):
        widths = [len(name) * CHARACTER_PX + 2 * PADDING_PX for name in names]
        x = TITLE_PX + (WIDTH_PX - TITLE_PX - sum(widths) - GAP_PX * (len(names) - 1)) / 2
        for name, width in zip(names, widths, strict=True):
            boxes[name] = (x, row * FLOOR_PX, width)
            x += width + GAP_PX
    return boxes


def _direct(pairs: set[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the pairs that no path through other pairs implies."""
    after: dict[str, set[str]] = defaultdict(set)
    for importer, imported in pairs:
        after[importer].add(imported)

    def leads(start: str, end: str) -> bool:
        return any(step == end or leads(step, end) for step in below(start))

    def below(package: str) -> set[str]:
        return {each for each in after.get(package, ()) if floor_of(each) > floor_of(package)}

    return sorted(
        (importer, imported)
        for importer, imported in pairs
        if not any(leads(step, imported) for step in below(importer) - {imported})
    )


def _line(start: tuple[float, int, float], end: tuple[float, int, float]) -> str:
    x1, y1 = start[0] + start[2] / 2, start[1] + (FLOOR_PX - 4 + BOX_PX) / 2
    x2, y2 = end[0] + end[2] / 2, end[1] + (FLOOR_PX - 4 - BOX_PX) / 2
    middle = (y2 - y1) / 2
    return f'<path d="M{x1:.0f} {y1:.0f} C{x1:.0f} {y1 + middle:.0f} {x2:.0f} {y2 - middle:.0f} {x2:.0f} {y2:.0f}"/>'

"""Measure incidents on stories, this version beside older ones and plain ways, as a table, JSON and a picture."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from app.settings import read_settings
from model.stories import engine as engine_module
from model.stories.engine import Engine, Found
from model.stories.peers import host_and_day, risk_by_entity
from model.stories.picture import draw
from model.stories.score import SetScore, StoryScore, score_set, score_story
from model.stories.story import Story, make_story

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from app.domains.alerts.alert import EnrichedAlert

MILLRACE = "Millrace"
COLUMNS = (
    ("found", "in one incident", True),
    ("found_worst_tenth", "worst tenth", True),
    ("foreign", "foreign", True),
    ("foreign_worst_tenth", "worst tenth", True),
    ("pieces", "pieces", False),
    ("right", "edges right", True),
    ("clustered", "in clusters", True),
    ("false_per_1000", "noise-only incidents a 1,000", False),
    ("false_per_day", "a day", False),
)
"""Field of `SetScore`, title of the column, and whether it is a share."""


@dataclass(frozen=True)
class StorySet:
    """Stories of one kind, as `make_story` takes them.

    Attributes:
        name: Name in the table.
        source: Source of the plans.
        noise: Everyday alerts.
        pace: Pace of the attack.
        days: Days of everyday alerts.
        attacks: Attacks at once.
    """

    name: str
    source: str
    noise: int
    pace: str
    days: float = 0.0
    attacks: int = 1

    def stories(self, count: int, split: str, folder: Path | None) -> Iterable[Story]:
        """Yield the first stories of the set; large ones are fewer."""
        for seed in range(max(1, count if self.noise <= LARGE else count // 4)):
            yield make_story(
                seed,
                source=self.source,
                noise=self.noise,
                pace=self.pace,
                days=self.days,
                attacks=self.attacks,
                split=split,
                folder=folder,
            )


LARGE = 3_000  # everyday alerts from which on a set has a quarter of the stories
SETS = (
    StorySet("flows, 2 hours, 200", "corpus", 200, "hours"),
    StorySet("flows, 2 hours, 1,000", "corpus", 1_000, "hours"),
    StorySet("flows, 15 minutes, 1,000", "corpus", 1_000, "fast"),
    StorySet("flows, a day, 1,000", "corpus", 1_000, "day"),
    StorySet("flows, 5 days, 1,000", "corpus", 1_000, "days"),
    StorySet("flows, 5 days in 30, 1,000", "corpus", 1_000, "days", 30),
    StorySet("flows, 5 days in 30, 10,000", "corpus", 10_000, "days", 30),
    StorySet("flows, a day in 2, 10,000", "corpus", 10_000, "day", 2),
    StorySet("recorded, 200", "recorded", 200, "recorded"),
    StorySet("recorded, 1,000", "recorded", 1_000, "recorded"),
    StorySet("recorded in a day, 1,000", "recorded", 1_000, "recorded", 1),
    StorySet("two flows, a day, 1,000", "corpus", 1_000, "day", 0, 2),
    StorySet("noise, a day, 1,000", "own", 1_000, "hours", 1, 0),
    StorySet("noise, 30 days, 10,000", "own", 10_000, "hours", 30, 0),
)
OWN_SETS = (
    StorySet("own, 2 hours, 200", "own", 200, "hours"),
    StorySet("own, 5 days, 1,000", "own", 1_000, "days"),
    *SETS[-2:],
)
"""Sets that need no file."""


class SetResult(msgspec.Struct, frozen=True):
    """The scores of one set.

    Attributes:
        set: Its name.
        methods: Score by the method's name.
    """

    set: str
    methods: dict[str, SetScore]


def evaluate(
    count: int, split: str, folder: Path | None, others: Sequence[tuple[str, Path]], only: str = ""
) -> list[SetResult]:
    """Return the scores of all sets.

    Args:
        count: Stories of a set.
        split: `fit` or `test`.
        folder: Folder of the corpus and of the recorded attacks; without it the own plans are measured.
        others: Names and source trees of other versions.
        only: Part of the names of the sets to measure; empty for all.
    """
    engine = Engine(read_settings({"LOG_LEVEL": "ERROR"}))
    peers: dict[str, Callable[[Story, Sequence[EnrichedAlert]], Found]] = {
        "risk by entity": risk_by_entity,
        "machine and day": host_and_day,
    }
    results = []
    for each in SETS if folder else OWN_SETS:
        if only not in each.name:
            continue
        scores: dict[str, list[StoryScore]] = {}
        stories = list(each.stories(count, split, folder))
        for story in stories:
            alerts = engine.enrich(story.lines())
            scores.setdefault(MILLRACE, []).append(score_story(story, engine.find(alerts)))
            for name, peer in peers.items():
                scores.setdefault(name, []).append(score_story(story, peer(story, alerts)))
        for name, tree in others:
            found = _of_tree(tree, stories)
            scores[name] = [score_story(story, of) for story, of in zip(stories, found, strict=True)]
        results.append(SetResult(each.name, {name: score_set(of) for name, of in scores.items()}))
        print(table([results[-1]], heads=len(results) == 1), flush=True)
    return results


def write(results: Sequence[SetResult], folder: Path) -> list[Path]:
    """Write the table, the figures and the picture into a folder; return the files."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {
        "stories.md": table(results).encode() + b"\n",
        "stories.json": msgspec.json.format(msgspec.json.encode(results)),
        "stories.svg": draw([(each.set, each.methods) for each in results]).encode(),
    }
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return [folder / name for name in files]


def table(results: Iterable[SetResult], *, heads: bool = True) -> str:
    """Return the scores as a table in Markdown."""
    lines = []
    if heads:
        lines += ["| set | method | " + " | ".join(title for _, title, _ in COLUMNS) + " |"]
        lines += ["|---|---|" + "--:|" * len(COLUMNS)]
    for each in results:
        for method, score in each.methods.items():
            cells = [_cell(getattr(score, field), share=share) for field, _, share in COLUMNS]
            lines.append(f"| {each.set} | {method} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(value: float | None, *, share: bool) -> str:
    return "" if value is None else f"{value:.3f}" if share else f"{value:.1f}"


def _of_tree(tree: Path, stories: Sequence[Story]) -> list[Found]:
    """Return what another version finds, which runs in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for number, story in enumerate(stories):
            path = Path(folder) / f"{number}.jsonl"
            path.write_bytes(b"".join(line + b"\n" for line in story.lines()))
            paths.append(str(path))
        made = subprocess.run(  # noqa: S603 - our own script
            [sys.executable, str(Path(engine_module.__file__)), *paths],
            check=True,
            capture_output=True,
            cwd=tree,
            env={**os.environ, "PYTHONPATH": str(tree)},
        )
    return msgspec.json.decode(b"[" + b",".join(made.stdout.splitlines()) + b"]", type=list[Found])

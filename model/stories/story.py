"""Make a story: attacks among the everyday alerts of a company, as products write them, with the truth beside them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import msgspec

from model.stories.attacks import PACES_S, stage
from model.stories.network import DAY_S, chance_of, make_network
from model.stories.noise import make_noise
from model.stories.plans import plans_of
from model.stories.products import Products

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence
    from pathlib import Path

    from model.stories.events import Event
    from model.stories.network import Host, Network
    from model.stories.plans import PlannedStep
    from model.stories.products.site import Record

BEGIN_S = 1_767_571_200.0  # Monday 5 January 2026, 00:00 UTC
SHORTEST_S = 3_600.0  # of a story
MACHINES = ((300, 40), (3_000, 120))
"""Number of machines for up to so many everyday alerts; a larger story has 400."""
ON_VICTIMS = 0.03  # of everyday alerts are at the victims while the attack goes on, besides those by chance


class Label(msgspec.Struct, frozen=True):
    """The truth about one record.

    Attributes:
        line: Its line in the file, from 1.
        attack: Id of its attack; empty for noise.
        step: Number of its step in the order of the attack, from 1; 0 for noise.
        host: Short name of the machine where it happened.
    """

    line: int
    attack: str = ""
    step: int = 0
    host: str = ""


class AttackTruth(msgspec.Struct, frozen=True):
    """The truth about an attack.

    Attributes:
        id: Its id.
        plan: Name of its plan.
        techniques: Technique of each step, by its number.
        edges: Pairs of steps of which the second follows from the first.
        hosts: Short names of the machines with alerts of it.
    """

    id: str
    plan: str
    techniques: dict[int, str]
    edges: tuple[tuple[int, int], ...]
    hosts: tuple[str, ...]


@dataclass(frozen=True)
class Story:
    """Alerts in order of time.

    Attributes:
        records: As the products write them.
        labels: The truth, one for each record.
        attacks: The attacks.
        network: The company.
        begin_s: Start, seconds since 1970.
        span_s: Length in seconds.
    """

    records: list[Record]
    labels: list[Label]
    attacks: list[AttackTruth]
    network: Network
    begin_s: float
    span_s: float

    def lines(self) -> list[bytes]:
        """Return the records as lines of a file."""
        return [each.encode() if isinstance(each, str) else msgspec.json.encode(each) for each in self.records]


def make_story(
    seed: int,
    *,
    source: str = "own",
    noise: int = 200,
    pace: str = "hours",
    days: float = 0.0,
    attacks: int = 1,
    split: str = "test",
    folder: Path | None = None,
) -> Story:
    """Return a story; always the same for the same arguments.

    Args:
        seed: Another seed is another company, attack and noise.
        source: Where plans of attacks come from: `own`, `corpus` or `recorded`.
        noise: Number of everyday alerts.
        pace: How long an attack lasts: a key of `PACES_S`, or `recorded`.
        days: Days of everyday alerts; 0 for a little longer than the attack.
        attacks: Number of attacks at once; 0 for everyday alerts alone.
        split: `fit` or `test`: plans, titles, everyday types and seeds of the two are different.
        folder: Folder with the corpus and the recorded attacks.
    """
    chance = chance_of("story", split, source, pace, noise, days, attacks, seed)
    lasts = PACES_S.get(pace, PACES_S["hours"])
    span = max(days * DAY_S, lasts * 1.2, SHORTEST_S)
    begin = BEGIN_S + chance.uniform(0, DAY_S)
    network = make_network(chance, _machines(noise), int(span // DAY_S) + 1)
    plans = plans_of(source, split, folder)
    events: list[Event] = []
    truths: list[AttackTruth] = []
    taken: list[Host] = []
    for number in range(1, attacks + 1):
        plan = plans[(seed + number - 1) % len(plans)]
        start = begin + chance.uniform(0, max(span - lasts, 0.0))
        steps, found = stage(chance, plan, network, avoid=taken, begin_s=start, pace=pace, split=split)
        events += [replace(event, attack=f"a{number}") for event in found]
        truths.append(_truth(f"a{number}", plan.name, steps, found))
        taken += [event.host for event in found]
    everyday = make_noise(chance, network, noise, begin_s=begin, span_s=span, split=split)
    events += _with_victims(chance, everyday, events)
    events.sort(key=lambda event: event.time)
    products = Products(chance, network, begin)
    labels = [Label(line, each.attack, each.step, each.host.name) for line, each in enumerate(events, 1)]
    return Story([products.write(event) for event in events], labels, truths, network, begin, span)


def write_story(story: Story, file: Path) -> Path:
    """Write the records as lines, and the truth beside them; return the file of the truth."""
    file.write_bytes(b"".join(line + b"\n" for line in story.lines()))
    truth = file.with_suffix(".truth.json")
    truth.write_bytes(msgspec.json.encode({"attacks": story.attacks, "labels": story.labels}))
    return truth


def _machines(noise: int) -> int:
    return next((machines for most, machines in MACHINES if noise <= most), 400)


def _truth(attack: str, plan: str, steps: Sequence[PlannedStep], events: Sequence[Event]) -> AttackTruth:
    """Return the truth about an attack; a step that nobody saw hands its parents on to its followers."""
    seen = {event.step for event in events}
    parents: dict[int, set[int]] = {}
    edges: list[tuple[int, int]] = []
    for number, step in enumerate(steps, 1):
        above = {parent + 1 for parent in step.parents}
        found = {each for each in above if each in seen}
        for each in above - found:
            found |= parents.get(each, set())
        parents[number] = found
        if number in seen:
            edges += [(parent, number) for parent in sorted(found)]
    techniques = {number: step.technique for number, step in enumerate(steps, 1) if number in seen}
    return AttackTruth(attack, plan, techniques, tuple(edges), tuple(dict.fromkeys(each.host.name for each in events)))


def _with_victims(chance: random.Random, noise: list[Event], attack: Sequence[Event]) -> list[Event]:
    """Return the everyday alerts, some of them moved to a victim and into the attack's time."""
    if not attack:
        return noise
    moved = []
    for each in noise:
        event = each
        if event.kind in {"host", "login"} and chance.random() < ON_VICTIMS:
            beside = chance.choice(attack)
            host = beside.host
            event = replace(event, host=host, user=host.user, time=beside.time + chance.uniform(-900, 900))
        moved.append(event)
    return moved

"""Find the incidents of files of alerts as `millrace alerts run` does, and print them as JSON, a line a file.

It imports nothing but `app`, so that it can run any version: `PYTHONPATH=TREE python model/stories/engine.py FILE…`.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from app.domains.alerts.alert import AlertFault
from app.domains.alerts.cli.work import Work, enrich
from app.domains.alerts.formats import read_alert_bytes
from app.domains.alerts.techniques.resolver import TechniqueResolver
from app.settings import read_settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.domains.alerts.alert import EnrichedAlert
    from app.settings import Settings


class Incident(msgspec.Struct, frozen=True):
    """An incident by the positions of its alerts in the file, from 0.

    Attributes:
        alerts: Its alerts.
        edges: The first alert of a step, the first of another that follows from it, and the edge's probability.
        probability: That its alerts belong together, 0 to 1.
        severity: 0 to 100.
        risk: Sum of the risks of its steps.
        tactics: Number of different tactics of its steps.
    """

    alerts: tuple[int, ...]
    edges: tuple[tuple[int, int, float], ...] = ()
    probability: float = 1.0
    severity: int = 0
    risk: float = 0.0
    tactics: int = 0


class Found(msgspec.Struct, frozen=True):
    """What was found in a file.

    Attributes:
        incidents: The incidents.
        clustered: Positions of the alerts in clusters of two or more.
    """

    incidents: tuple[Incident, ...]
    clustered: tuple[int, ...] = ()


class Engine:
    """Finds incidents; the models are loaded once."""

    def __init__(self, settings: Settings) -> None:
        """Load the models."""
        self._settings, self._resolver = settings, TechniqueResolver.open(settings)

    def enrich(self, lines: Sequence[bytes]) -> list[EnrichedAlert]:
        """Return the alerts of lines, with their techniques."""
        return enrich([read_alert_bytes(line) for line in lines], self._resolver)

    def find(self, alerts: Sequence[EnrichedAlert | None]) -> Found:
        """Return the incidents at the end of the input; None stands for an alert that cannot be read."""
        work = Work(self._settings, with_ids=True)
        for _ in work.observe([each for each in alerts if each is not None]):
            pass
        positions: dict[int | str, list[int]] = {}
        for position, each in enumerate(alerts):
            if each is not None:
                positions.setdefault(each.alert.id, []).append(position)
        incidents, clustered = [], []
        for name, tenant in work.tenants.items():
            files = tenant.files(name)
            rows = {row["flow_id"]: row["ids"] for row in msgspec.json.decode(files["flow.json"])}
            for row in msgspec.json.decode(files["cluster.json"]):
                clustered += [at for key in row["ids"] for at in positions[key]] if row["alerts"] > 1 else []
            for flow in tenant.flows():
                members = sorted({at for key in rows[flow.flow_id] for at in positions[key]})
                first = {node.id: positions[node.step.first_id][0] for node in flow.nodes}
                edges = [(first[each.source], first[each.target], each.probability) for each in flow.edges]
                incidents.append(
                    Incident(
                        tuple(members),
                        tuple(edges),
                        flow.cluster_prob,
                        getattr(flow, "severity", 0),  # versions before incidents had neither
                        getattr(flow, "risk", 0.0),
                        len({node.tactic for node in flow.nodes} - {"", "unknown"}),
                    )
                )
        return Found(tuple(incidents), tuple(sorted(set(clustered))))


def main() -> None:
    """Print what is found in each file."""
    engine = Engine(read_settings({"LOG_LEVEL": "ERROR"}))
    for path in sys.argv[1:]:
        alerts: list[EnrichedAlert | None] = []
        for line in Path(path).read_bytes().splitlines():
            try:
                alerts += engine.enrich([line])
            except AlertFault:  # of a format that this version does not know
                alerts.append(None)
        sys.stdout.buffer.write(msgspec.json.encode(engine.find(alerts)) + b"\n")


if __name__ == "__main__":
    main()

"""Replace the lookup table by corrections in a dictionary, and the clock by one that is set by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.domains.alerts.lookups.corrections import beyond
from app.errors import CloudError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from app.domains.alerts.lookups.corrections import Correction

NOW = 1_700_000_000.0


class HandClock:
    """A clock that only `sleep` moves."""

    def __init__(self) -> None:
        self.passed = 0.0

    def time(self) -> float:
        return NOW + self.passed

    def monotonic(self) -> float:
        return self.passed

    def sleep(self, seconds: float) -> None:
        self.passed += seconds


class MemoryCorrections:
    """Keeps the newest correction of each key, `most` at most, like the real tables; it counts its calls."""

    def __init__(self, most: int = 100_000) -> None:
        self.most = most
        self.rows: dict[str, Correction] = {}
        self.updates = 0
        self.loads: list[list[str]] = []
        self.asked_version = 0
        self.is_down = False
        self.rejected = ()

    def version(self) -> str:
        self.asked_version += 1
        self._answer()
        return str(self.updates)

    def tenants(self) -> frozenset[str]:
        return frozenset(each.tenant for each in self.rows.values() if each.tenant)

    def load(self, keys: Iterable[str]) -> Mapping[str, Correction]:
        self._answer()
        self.loads.append(list(keys))
        return {key: self.rows[key] for key in self.loads[-1] if key in self.rows}

    def store(self, corrections: Sequence[Correction]) -> frozenset[str]:
        self._answer()
        assert len({each.key for each in corrections}) == len(corrections)
        outdated = set()
        for each in corrections:
            held = self.rows.get(each.key)
            if held is not None and held.outranks(each):
                outdated.add(each.key)
            else:
                self.rows[each.key] = each
        for _, key in beyond(((each.tenant, (each.time, each.key)) for each in self.rows.values()), self.most):
            del self.rows[key]
        self.updates += 1
        return frozenset(outdated)

    def remove(self, key: str) -> bool:
        self._answer()
        self.updates += 1
        return self.rows.pop(key, None) is not None

    def _answer(self) -> None:
        if self.is_down:
            raise CloudError("lookup table: gone")

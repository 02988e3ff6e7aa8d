"""Which techniques an alert has, and who says so.

The order, in which the first that knows something is believed:

    alert      the alert's own ids, those that ATT&CK knows; none of them is as good as none at all
    lookup     what analysts said of this alert text
    catalogue  the rule that fired, by its id, then by its title
    model      what the text says
    unknown    nothing that is sure enough
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, cast

import msgspec

from app.cache import RecentCache
from app.domains.alerts.alert import LONGEST_NAME, RULE_ID, Alert, Techniques
from app.domains.alerts.attack import AttackTable, attack_table
from app.domains.alerts.lookups.table import LookupTable, open_lookup
from app.domains.alerts.settings import AlertSettings
from app.domains.alerts.techniques.catalogue import Catalogue, shipped_catalogue
from app.domains.alerts.techniques.features import text_of
from app.domains.alerts.text import fold
from app.inference.bundle import find_bundle

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from app.domains.alerts.lookups.corrections import Correction
    from app.settings import Settings

BUNDLE = "technique"

REMEMBERED = 16_384  # names, and texts of the model: a large site has a few thousand a day
LONGEST_REMEMBERED = 1_024  # characters; a longer one is worked out each time: at worst 33 MB of each are remembered
MOST_DROPPED = 32  # ids that are shown as dropped; whoever wants all of them has the alert
LONGEST_DROPPED = 64  # characters of each

UNKNOWN = Techniques((), Techniques.UNKNOWN, 0.0)
"""Nothing is known, and no model was there to be asked."""


class Told(Protocol):
    """What a model says of one text: `ids` above its threshold, the surest first, and the `best` confidence of all."""

    @property
    def ids(self) -> Sequence[str]:
        """Techniques, the surest first; none where no confidence reaches the threshold."""

    @property
    def confidences(self) -> Sequence[float]:
        """One for each id."""

    @property
    def best(self) -> float:
        """The highest confidence of all techniques, whether it reached the threshold or not."""


class Predicts(Protocol):
    """What is asked of a model."""

    def predict(self, texts: Sequence[str], threshold: float | None = None, /) -> Sequence[Told]:
        """What it says of each text; it does not depend on the texts beside it. None is its own threshold."""


class TechniqueResolver:
    """Tells the techniques of alerts, a batch at a time."""

    def __init__(
        self,
        lookup: LookupTable | None,
        catalogue: Catalogue | None,
        model: Predicts | None,
        table: AttackTable | None = None,
        least_confidence: float | None = None,
    ) -> None:
        """Takes the sources; one that is None is passed over.

        Args:
            lookup: What analysts said.
            catalogue: Known rules.
            model: For texts that neither knows.
            table: ATT&CK; the shipped one without.
            least_confidence: From which on the model answers, 0 to 1; None is its own threshold.
        """
        self._lookup, self._catalogue, self._model = lookup, catalogue, model
        self._table = attack_table() if table is None else table
        self._carried: RecentCache[tuple[str, ...], Techniques] = RecentCache(REMEMBERED)
        self._names: RecentCache[str, Techniques] = RecentCache(REMEMBERED)
        self._texts: RecentCache[str, Techniques] = RecentCache(REMEMBERED)
        self._generation = -1
        self._least_confidence = least_confidence

    @classmethod
    def open(cls, settings: Settings) -> TechniqueResolver:
        """The resolver that the settings describe; of the lookup table nothing is read yet.

        Raises:
            ModelError: There is no such bundle, or it cannot be used.
            SettingsError: `LOOKUP_TABLE` names no table.
        """
        from app.domains.alerts.techniques.model import TechniqueModel  # noqa: PLC0415 - a resolver without a model needs none

        variables = settings.read(AlertSettings)
        lookup = open_lookup(variables.lookup_table)
        model = TechniqueModel.load(find_bundle(BUNDLE, variables.technique_run_id, settings.model_location))
        return cls(lookup, shipped_catalogue(), model, least_confidence=variables.technique_least_confidence)

    def resolve(self, alerts: Sequence[Alert]) -> list[Techniques]:
        """The techniques of each alert; but for corrections, it does not matter which alerts come together.

        Raises:
            CloudError: The lookup table does not answer: an alert is not labelled as if nobody had corrected it.
            LocationError: The lookup table's file cannot be read.
        """
        self._see_corrections()
        told: list[Techniques | None] = []
        named, unnamed = self._names.get, []
        dropped: dict[int, tuple[str, ...]] = {}
        for place, alert in enumerate(alerts):
            if alert.tech:
                own = self._own(alert.tech)
                if own.ids:
                    told.append(own)
                    continue
                dropped[place] = own.dropped
            known = named(alert.name)
            if known is None:
                unnamed.append(place)
            else:
                known = self._with_rule(alert, known)
            told.append(known)
        if unnamed:
            names = self._learn(dict.fromkeys(alerts[place].name for place in unnamed))
            for place in unnamed:
                told[place] = self._with_rule(alerts[place], names[alerts[place].name])
        self._ask(alerts, [place for place, known in enumerate(told) if known is UNKNOWN], told)
        for place, ids in dropped.items():
            told[place] = msgspec.structs.replace(told[place] or UNKNOWN, dropped=ids)
        return cast("list[Techniques]", told)

    def _see_corrections(self) -> None:
        """Forgets names if an analyst may have said something of them since they were remembered."""
        if self._lookup is not None:
            generation = self._lookup.refresh()
            if generation != self._generation:
                self._names.clear()
                self._generation = generation

    def _own(self, ids: list[str]) -> Techniques:
        """What an alert's own ids say; without ids where ATT&CK knows none of them."""
        key = tuple(ids)
        found = self._carried.get(key)
        if found is None:
            current = {each: self._table.current(each) for each in key}
            known = tuple(dict.fromkeys(each for each in current.values() if each is not None))
            unknown = [each[:LONGEST_DROPPED] for each, now in current.items() if now is None and each.strip()]
            dropped = tuple(dict.fromkeys(unknown))[:MOST_DROPPED]
            found = Techniques(known, Techniques.ALERT, 1.0 if known else 0.0, (1.0,) * len(known), dropped)
            if sum(map(len, key)) + len(key) <= LONGEST_REMEMBERED:
                self._carried.put(key, found)
        return found

    def _with_rule(self, alert: Alert, known: Techniques) -> Techniques:
        """What its name says of an alert, or what its rule's id does, which knows better than a title."""
        if known.source is _LOOKUP or self._catalogue is None:
            return known
        rule_id = alert.other_attributes.get(RULE_ID)
        if not rule_id or not isinstance(rule_id, str):
            return known
        return self._catalogue.by_rule(rule_id) or known

    def _learn(self, names: Iterable[str]) -> dict[str, Techniques]:
        """What the lookup table and the catalogue say of names; `UNKNOWN` where they say nothing."""
        folded = {name: fold(name[:LONGEST_NAME]) for name in names}
        corrections = {} if self._lookup is None else self._lookup.find(dict.fromkeys(filter(None, folded.values())))
        learned: dict[str, Techniques] = {}
        for name, text in folded.items():
            correction = corrections.get(text)
            if correction is not None:
                known = _corrected(correction)
            else:
                known = (self._catalogue and self._catalogue.by_title(text)) or UNKNOWN
            learned[name] = known
            if len(name) <= LONGEST_REMEMBERED:
                self._names.put(name, known)
        return learned

    def _ask(self, alerts: Sequence[Alert], places: list[int], told: list[Techniques | None]) -> None:
        """Asks the model once for all texts that it was not asked lately."""
        model = self._model
        if model is None or not places:
            return
        asked: dict[str, list[int]] = {}
        for place in places:
            text = text_of(alerts[place])
            known = self._texts.get(text)
            if known is not None:
                told[place] = known
            elif text:
                asked.setdefault(text, []).append(place)
        if not asked:
            return
        predictions = model.predict(list(asked), self._least_confidence)
        for (text, alike), prediction in zip(asked.items(), predictions, strict=True):
            known = _predicted(prediction)
            for place in alike:
                told[place] = known
            if len(text) <= LONGEST_REMEMBERED:
                self._texts.put(text, known)


_LOOKUP = Techniques.LOOKUP


def _corrected(correction: Correction) -> Techniques:
    """A correction as an answer; of one that says "none", that is what is sure."""
    confidences = (correction.confidence,) * len(correction.techniques)
    return Techniques(correction.techniques, _LOOKUP, correction.confidence, confidences)


def _predicted(prediction: Told) -> Techniques:
    if not prediction.ids:
        return Techniques((), Techniques.UNKNOWN, float(prediction.best))
    confidences = tuple(map(float, prediction.confidences))
    return Techniques(tuple(prediction.ids), Techniques.MODEL, confidences[0], confidences)

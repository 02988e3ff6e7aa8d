"""Resolve the techniques of alerts.

The first of these sources that has an answer is used:

lookup     a correction that overrides what the alert carries
alert      the alert's own ids, if ATT&CK knows at least one of them
lookup     analysts' corrections of the alert's rule, then of its text: those of its tenant, then those for all
catalogue  the detection rule, by its id, then by its title, one's own rules before those that Millrace ships; a network
           signature, by its name, then by sid and classtype; a finding of GuardDuty or notice of Zeek, by its type
model      the technique model, if its confidence reaches the threshold
unknown    no techniques
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, NamedTuple, Protocol, cast

import msgspec

from app.cache import RecentCache
from app.domains.alerts.alert import DEFAULT_TENANT, LONGEST_NAME, RULE_ID, Alert, Techniques
from app.domains.alerts.attack import AttackTable, attack_table
from app.domains.alerts.lookups.corrections import rule_key, tenant_key
from app.domains.alerts.lookups.table import LookupTable, open_lookup
from app.domains.alerts.settings import AlertSettings
from app.domains.alerts.techniques.catalogue import Catalogue, open_catalogue
from app.domains.alerts.techniques.features import text_of
from app.domains.alerts.techniques.findings import techniques_of_finding
from app.domains.alerts.techniques.signatures import Signatures, shipped_signatures
from app.domains.alerts.text import fold
from app.inference.bundle import find_bundle

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from app.domains.alerts.lookups.corrections import Correction
    from app.settings import Settings

BUNDLE = "technique"

CACHE_SIZE = 16_384  # of each cache: a large site has a few thousand names a day
LONGEST_CACHED = 1_024  # characters; longer texts are not cached, so each cache has at most 33 MB
MOST_DROPPED = 32  # dropped ids that are shown; all of them are in the alert
LONGEST_DROPPED = 64  # characters of each

UNKNOWN = Techniques((), Techniques.UNKNOWN, 0.0)
"""No source has an answer, and no model was asked."""


class TechniquePrediction(Protocol):
    """A model's prediction for one text."""

    @property
    def ids(self) -> Sequence[str]:
        """Return technique ids, the surest first; none if no confidence reaches the threshold."""

    @property
    def confidences(self) -> Sequence[float]:
        """Return one confidence for each id, 0 to 1."""

    @property
    def best(self) -> float:
        """Return the highest confidence of any technique, even below the threshold."""


class Candidate(NamedTuple):
    """A technique that an alert may have, with its confidence, 0 to 1."""

    id: str
    confidence: float


class TechniquePredictor(Protocol):
    """A model of techniques."""

    def predict(self, texts: Sequence[str], threshold: float | None = None, /) -> Sequence[TechniquePrediction]:
        """Return a prediction for each text, independent of the others; None stands for the model's own threshold."""

    def candidates(self, texts: Sequence[str], count: int, /) -> Sequence[TechniquePrediction]:
        """Return the `count` most probable techniques of each text, whatever their confidence."""


class TechniqueResolver:
    """Resolves the techniques of alerts, a batch at a time.

    Attributes:
        lookup: Analysts' corrections, if there are any.
    """

    def __init__(
        self,
        lookup: LookupTable | None,
        catalogue: Catalogue | None,
        model: TechniquePredictor | None,
        table: AttackTable | None = None,
        least_confidence: float | None = None,
        *,
        signatures: Signatures | None = None,
        tenant: str = DEFAULT_TENANT,
    ) -> None:
        """Use these sources; None leaves one out.

        Args:
            lookup: Analysts' corrections.
            catalogue: Detection rules.
            model: The technique model.
            table: ATT&CK; by default the table that Millrace ships.
            least_confidence: The model's threshold, 0 to 1; None stands for its own.
            signatures: Names of network signatures.
            tenant: The tenant of alerts that name none.
        """
        self._tenant = tenant
        self.lookup, self._catalogue, self._model = lookup, catalogue, model
        self._signatures = signatures
        self._table = attack_table() if table is None else table
        self._own_ids: RecentCache[tuple[str, ...], Techniques] = RecentCache(CACHE_SIZE)
        self._folded: RecentCache[str, str] = RecentCache(CACHE_SIZE)
        self._names: RecentCache[str, Techniques] = RecentCache(CACHE_SIZE)
        self._texts: RecentCache[str, Techniques] = RecentCache(CACHE_SIZE)
        self._least_confidence = least_confidence

    @classmethod
    def open(cls, settings: Settings) -> TechniqueResolver:
        """Return the resolver that the settings describe; the lookup table is not read yet.

        Raises:
            ModelError: The model bundle, or the one of one's own rules, is missing or unusable.
            SettingsError: `LOOKUP_TABLE` names no table.
        """
        from app.domains.alerts.techniques.model import TechniqueModel  # noqa: PLC0415 - a resolver without a model needs no numpy

        variables = settings.read(AlertSettings)
        lookup = open_lookup(variables.lookup_table)
        bundle = find_bundle(BUNDLE, variables.technique_run_id, settings.model_location, settings.model_keys)
        model = bundle.load(TechniqueModel.load)
        catalogue = open_catalogue(variables.rules_run_id, settings.model_location, settings.model_keys)
        least = variables.technique_least_confidence
        shipped, tenant = shipped_signatures(), variables.alerts_tenant
        return cls(lookup, catalogue, model, least_confidence=least, signatures=shipped, tenant=tenant)

    @classmethod
    def without_model(cls, settings: Settings) -> TechniqueResolver:
        """Return the resolver that the settings describe, without its model.

        Raises:
            ModelError: The bundle of one's own rules is missing or unusable.
            SettingsError: `LOOKUP_TABLE` names no table.
        """
        variables = settings.read(AlertSettings)
        catalogue = open_catalogue(variables.rules_run_id, settings.model_location, settings.model_keys)
        lookup, tenant = open_lookup(variables.lookup_table), variables.alerts_tenant
        return cls(lookup, catalogue, None, signatures=shipped_signatures(), tenant=tenant)

    def resolve(self, alerts: Sequence[Alert], tenants: Sequence[str] | None = None) -> list[Techniques]:
        """Return the techniques of each alert; they do not depend on the other alerts of the call.

        Args:
            alerts: The alerts.
            tenants: The tenant of each; by default those that they name.

        Raises:
            CloudError: The lookup table does not answer. It is not ignored: corrected alerts would get wrong labels.
            LocationError: The lookup table's file cannot be read.
        """
        corrections = self._corrections(alerts, tenants)
        found: list[Techniques | None] = []
        named, unnamed = self._names.get, []
        dropped: dict[int, tuple[str, ...]] = {}
        for index, alert in enumerate(alerts):
            correction = corrections.get(index)
            if alert.tech and (correction is None or not correction.override):
                own = self._own(alert.tech)
                if own.ids:
                    found.append(own)
                    continue
                dropped[index] = own.dropped
            if correction is not None:
                found.append(_corrected(correction))
                continue
            known = named(alert.name)
            if known is None:
                unnamed.append(index)
            else:
                known = self._with_rule(alert, known)
            found.append(known)
        if unnamed:
            names = self._resolve_names(dict.fromkeys(alerts[index].name for index in unnamed))
            for index in unnamed:
                found[index] = self._with_rule(alerts[index], names[alerts[index].name])
        self._predict(alerts, [index for index, known in enumerate(found) if known is UNKNOWN], found)
        for index, ids in dropped.items():
            found[index] = msgspec.structs.replace(found[index] or UNKNOWN, dropped=ids)
        return cast("list[Techniques]", found)

    def candidates(self, alerts: Sequence[Alert], found: Sequence[Techniques], count: int) -> list[list[Candidate]]:
        """Return up to `count` techniques of each alert: those it was resolved to, then the model's most probable ones.

        Args:
            alerts: The alerts.
            found: What `resolve` returned for them.
            count: The most candidates of an alert, 1 or more.
        """
        predictions = self._model.candidates([text_of(alert) for alert in alerts], count) if self._model else ()
        ranked: list[list[Candidate]] = []
        for known, prediction in itertools.zip_longest(found, predictions):
            own = dict(zip(known.ids, known.confidences, strict=True))
            if prediction is not None:
                for technique, confidence in zip(prediction.ids, prediction.confidences, strict=True):
                    own.setdefault(technique, confidence)
            ranked.append(list(itertools.starmap(Candidate, own.items()))[:count])
        return ranked

    def _corrections(self, alerts: Sequence[Alert], tenants: Sequence[str] | None) -> dict[int, Correction]:
        """Return the corrections of alerts by their index: that of the alert's rule, else that of its text."""
        if self.lookup is None:
            return {}
        keys = [[key for key in (_rule_key(alert), self._fold(alert.name)) if key] for alert in alerts]
        self.lookup.refresh()
        if own := self.lookup.tenants:
            if tenants is None:
                tenants = [alert.tenant or self._tenant for alert in alerts]
            keys = [
                [*(tenant_key(tenant, key) for key in each), *each] if tenant in own else each
                for tenant, each in zip(tenants, keys, strict=True)
            ]
        found = self.lookup.find(dict.fromkeys(key for each in keys for key in each))
        if not found:
            return {}
        return {index: found[key] for index, each in enumerate(keys) for key in reversed(each) if key in found}

    def _fold(self, name: str) -> str:
        folded = self._folded.get(name)
        if folded is None:
            folded = fold(name[:LONGEST_NAME])
            if len(name) <= LONGEST_CACHED:
                self._folded.put(name, folded)
        return folded

    def _own(self, ids: list[str]) -> Techniques:
        """Return the techniques of an alert's own ids; no ids if ATT&CK knows none of them."""
        key = tuple(ids)
        found = self._own_ids.get(key)
        if found is None:
            current = {each: self._table.current(each) for each in key}
            known = tuple(dict.fromkeys(each for each in current.values() if each is not None))
            unknown = [each[:LONGEST_DROPPED] for each, now in current.items() if now is None and each.strip()]
            dropped = tuple(dict.fromkeys(unknown))[:MOST_DROPPED]
            found = Techniques(known, Techniques.ALERT, 1.0 if known else 0.0, (1.0,) * len(known), dropped)
            if sum(map(len, key)) + len(key) <= LONGEST_CACHED:
                self._own_ids.put(key, found)
        return found

    def _with_rule(self, alert: Alert, known: Techniques) -> Techniques:
        """Return the techniques of the alert's rule by its id, more reliable than a title, else those given."""
        attributes = alert.other_attributes
        if not attributes:
            return known
        rule_id = attributes.get(RULE_ID)
        if rule_id and isinstance(rule_id, str) and self._catalogue is not None:
            named = " " in rule_id  # Splunk's and Falco's rules have names as their ids
            rule = self._catalogue.by_rule(rule_id, alert.name)
            known = rule or (self._catalogue.by_title(self._fold(rule_id)) if named else None) or known
        if known is UNKNOWN and self._signatures is not None:
            known = techniques_of_finding(attributes) or self._signatures.by_attributes(attributes) or known
        return known

    def _resolve_names(self, names: Iterable[str]) -> dict[str, Techniques]:
        """Return the techniques of names from the catalogue or the signatures; `UNKNOWN` if neither has any."""
        resolved: dict[str, Techniques] = {}
        for name in names:
            known = self._of_rule(self._fold(name)) or UNKNOWN
            resolved[name] = known
            if len(name) <= LONGEST_CACHED:
                self._names.put(name, known)
        return resolved

    def _of_rule(self, folded: str) -> Techniques | None:
        found = self._catalogue.by_title(folded) if self._catalogue else None
        return found or (self._signatures.by_name(folded) if self._signatures else None)

    def _predict(self, alerts: Sequence[Alert], indexes: list[int], found: list[Techniques | None]) -> None:
        """Fill in the techniques of some alerts by one call of the model for all texts that are not cached."""
        model = self._model
        if model is None or not indexes:
            return
        new: dict[str, list[int]] = {}
        for index in indexes:
            text = text_of(alerts[index])
            known = self._texts.get(text)
            if known is not None:
                found[index] = known
            elif text:
                new.setdefault(text, []).append(index)
        if not new:
            return
        predictions = model.predict(list(new), self._least_confidence)
        for (text, alike), prediction in zip(new.items(), predictions, strict=True):
            known = _predicted(prediction)
            for index in alike:
                found[index] = known
            if len(text) <= LONGEST_CACHED:
                self._texts.put(text, known)


def _rule_key(alert: Alert) -> str:
    rule = alert.other_attributes.get(RULE_ID)
    return rule_key(rule) if rule and isinstance(rule, str) else ""


def _corrected(correction: Correction) -> Techniques:
    """Return a correction as techniques; the confidence of an empty one is that there are none."""
    confidences = (correction.confidence,) * len(correction.techniques)
    return Techniques(correction.techniques, Techniques.LOOKUP, correction.confidence, confidences)


def _predicted(prediction: TechniquePrediction) -> Techniques:
    if not prediction.ids:
        return Techniques((), Techniques.UNKNOWN, float(prediction.best))
    confidences = tuple(map(float, prediction.confidences))
    return Techniques(tuple(prediction.ids), Techniques.MODEL, confidences[0], confidences)

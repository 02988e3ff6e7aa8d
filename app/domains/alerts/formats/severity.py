"""Severities of the products' own scales as one of 0 to 100, and its bands.

The bands are those of AWS Security Hub for its own 0 to 100 (ASFF, `Severity.Normalized`). A product's bands are mapped
onto bands of the same name, and within a band in proportion, so that High is high whatever the product. A word alone
stands for the middle of its band.
"""

from __future__ import annotations

import itertools
import math

import msgspec

from app.domains.alerts.formats.values import number

INFORMATIONAL, LOW, MEDIUM, HIGH, CRITICAL = 0, 20, 55, 80, 95
"""Severity of each word: the middle of its band."""
_BANDS = ((90, "critical"), (70, "high"), (40, "medium"), (1, "low"), (0, "informational"))
"""The least severity of each band."""
_LONGEST_WORD = 32  # characters

WORDS = {
    **dict.fromkeys(("informational", "information", "info", "debug", "none", "benign"), INFORMATIONAL),
    **dict.fromkeys(("low", "minor", "notice", "very low"), LOW),
    **dict.fromkeys(("medium", "moderate", "warning", "warn"), MEDIUM),
    **dict.fromkeys(("high", "major", "important", "error", "severe"), HIGH),
    **dict.fromkeys(("critical", "very high", "fatal", "alert", "emergency"), CRITICAL),
}
"""Severity by a product's word, in small letters and with blanks; others, such as `unknown`, state none."""


class Scale(msgspec.Struct, frozen=True):
    """A product's scale of severity; each also takes the words in `WORDS`.

    Attributes:
        title: The name for `Alert.severity_from`: "CEF severity".
        points: Values of the product with their severity, in ascending order. Between two of them the severity is in
            proportion, and a value beyond the ends is taken as the end.
        of: Added to the value in `Alert.severity_from`: " of 10".
        values: Severity of single values, the text in small letters; with it, no other value states a severity.
        least: Values below it state no severity, since they are of another scale.
    """

    title: str
    points: tuple[tuple[float, float], ...] = ()
    of: str = ""
    values: dict[str, int] = {}
    least: float = -math.inf

    def read(self, value: object) -> tuple[int, str] | None:
        """Return the severity of a product's value, 0 to 100, and the words for it; None if it states none."""
        found = number(value)
        if found is None:
            return self._of_word(value)
        shown = f"{found:g}" if isinstance(found, float) and abs(found) < 1e9 else str(found)  # noqa: PLR2004 - short
        if self.values:
            known = self.values.get(shown)
            return None if known is None else (known, f"{self.title} {shown} ({word(known).capitalize()})")
        if not self.points or found < self.least:
            return None
        least, most = self.points[0][0], self.points[-1][0]
        within = min(max(found, least), most)
        taken = "" if within == found else f", taken as {within:g}"
        return self._between(within), f"{self.title} {shown}{self.of}{taken}"

    def _between(self, value: float) -> int:
        for (low, low_severity), (high, high_severity) in itertools.pairwise(self.points):
            if value <= high:
                return round(low_severity + (high_severity - low_severity) * (value - low) / (high - low))
        return round(self.points[-1][1])

    def _of_word(self, value: object) -> tuple[int, str] | None:
        if not isinstance(value, str) or not 0 < len(value) <= _LONGEST_WORD:
            return None
        folded = value.strip().lower().replace("-", " ").replace("_", " ")
        known = self.values.get(folded, WORDS.get(folded))
        return None if known is None else (known, f"{self.title} {value.strip()}")


def word(severity: float) -> str:
    """Return the band of a severity: informational, low, medium, high or critical."""
    return next((name for least, name in _BANDS if severity >= least), _BANDS[-1][1])


CEF = Scale("CEF severity", ((0, 5), (8, 85), (9, 92), (10, 100)), " of 10")
"""ArcSight's CEF guide: 0 to 3 is low, 4 to 6 medium, 7 and 8 high, 9 and 10 very high."""
WAZUH = Scale("Wazuh level", ((0, 0), (6, 39), (7, 40), (11, 69), (12, 70), (14, 89), (15, 95)), " of 15")
"""Wazuh's dashboard: 0 to 6 is low, 7 to 11 medium, 12 to 14 high, 15 critical."""
OCSF = Scale(
    "OCSF severity_id",
    values={"1": INFORMATIONAL, "2": LOW, "3": MEDIUM, "4": HIGH, "5": CRITICAL, "6": 100},
)
"""OCSF's dictionary: 1 is informational, 2 low, 3 medium, 4 high, 5 critical, 6 fatal; 0 and 99 state none."""
OCSF_WORD = Scale("OCSF severity")
SURICATA = Scale("Suricata priority", ((1, HIGH), (2, MEDIUM), (3, LOW), (4, 5)), " of 3")
"""classification.config, and Snort's manual: 1 is high, 2 medium, 3 low, 4 very low."""
SNORT = msgspec.structs.replace(SURICATA, title="Snort priority")
GUARDDUTY = Scale("GuardDuty severity", ((0, 0), (10, 100)))
"""GuardDuty's guide: 1.0 to 3.9 is low, 4.0 to 6.9 medium, 7.0 to 8.9 high, 9.0 to 10.0 critical: our bands by ten."""
ASFF_LABEL = Scale("ASFF Severity.Label")
ASFF_NORMALIZED = Scale("ASFF Severity.Normalized", ((0, 0), (100, 100)), " of 100")
ELASTIC = Scale("Elastic severity")
ELASTIC_RISK = Scale("Elastic risk score", ((0, 0), (21, LOW), (47, MEDIUM), (73, HIGH), (99, CRITICAL)), " of 100")
"""Elastic's detection rules: 21 is low, 47 medium, 73 high, 99 critical."""
ECS = msgspec.structs.replace(ELASTIC_RISK, title="event.severity", least=11)
"""ECS leaves the scale to the source: above 10 it is Elastic's own, and below it may be any, so that it states none."""
SYSLOG = Scale(
    "syslog severity",
    values={"0": 100, "1": CRITICAL, "2": CRITICAL, "3": HIGH, "4": MEDIUM, "5": LOW, "6": INFORMATIONAL, "7": 0},
)
"""RFC 5424: 0 is emergency, 7 debug."""
STATED = Scale("severity", ((0, 0), (100, 100)), " of 100")
"""Ours: a record that has a field `severity` of 0 to 100."""

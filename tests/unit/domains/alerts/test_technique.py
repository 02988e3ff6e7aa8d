"""Order of the sources of an alert's techniques."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from app.domains.alerts.alert import COMMAND_LINE, RULE_ID, Alert, Techniques
from app.domains.alerts.attack import attack_table
from app.domains.alerts.lookups.corrections import Correction
from app.domains.alerts.lookups.table import REFRESH_S, LookupTable, update
from app.domains.alerts.techniques.catalogue import RULE_CONFIDENCE, TITLE_CONFIDENCE, Catalogue
from app.domains.alerts.techniques.resolver import (
    CACHE_SIZE,
    LONGEST_CACHED,
    LONGEST_DROPPED,
    MOST_DROPPED,
    UNKNOWN,
    TechniqueResolver,
)
from app.errors import CloudError, SettingsError, UnknownRunError
from app.settings import read_settings
from model.catalogue.derive import Row, derive
from tests.alerts_lookup_for_tests import NOW, HandClock, MemoryCorrections

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from app.domains.alerts.techniques.resolver import TechniquePrediction

RULES = [
    Row("sigma", "Curl Download", ["T1105"], "Rule-1", "Ann"),
    Row("sigma", "Log Cleared", ["T1685.005"], "rule-2", "Ann"),
]


class Said(msgspec.Struct, frozen=True):
    """What the model below says."""

    ids: tuple[str, ...]
    confidences: tuple[float, ...]
    best: float


class WordModel:
    """Says T1003 of a text with "dump" in it, surely, and nothing of others; it notes what it is asked."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []

    def predict(self, texts: Sequence[str], _threshold: float | None = None, /) -> Sequence[TechniquePrediction]:
        self.asked.append([*texts])
        return [Said(("T1003", "T1059"), (0.9, 0.6), 0.9) if "dump" in text else Said((), (), 0.2) for text in texts]

    def candidates(self, texts: Sequence[str], count: int, /) -> Sequence[TechniquePrediction]:
        return [Said(("T1003", "T1059", "T1105")[:count], (0.4, 0.3, 0.1)[:count], 0.4) for _ in texts]


def alert(name: str = "", *tech: str, **attributes: Any) -> Alert:
    return Alert(id=1, time=0.0, src="a", dst="b", name=name, tech=[*tech], other_attributes=attributes)


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def kept() -> MemoryCorrections:
    return MemoryCorrections()


@pytest.fixture
def lookup(kept: MemoryCorrections, clock: HandClock) -> LookupTable:
    return LookupTable(kept, clock)


@pytest.fixture
def model() -> WordModel:
    return WordModel()


@pytest.fixture
def resolver(lookup: LookupTable, model: WordModel) -> TechniqueResolver:
    return TechniqueResolver(lookup, Catalogue(derive(RULES, attack_table())), model)


def resolved(resolver: TechniqueResolver, *alerts: Alert) -> list[tuple[str, tuple[str, ...]]]:
    return [(each.source, each.ids) for each in resolver.resolve(alerts)]


def test_each_source_answers_with_its_confidence(resolver: TechniqueResolver, lookup: LookupTable) -> None:
    update(lookup, [Correction("Odd login", ("T1078",), NOW, confidence=0.7)])
    alerts = [
        alert("x", "T1059.001", "T1562.001"),
        alert("ODD  login"),
        alert("x", **{RULE_ID: "rule-1"}),
        alert("Sigma: Curl download"),
        alert("dump"),
        alert("x"),
        alert(""),
    ]
    assert resolver.resolve(alerts) == [
        Techniques(("T1059.001", "T1685"), "alert", 1.0, (1.0, 1.0)),
        Techniques(("T1078",), "lookup", 0.7, (0.7,)),
        Techniques(("T1105",), "catalogue", RULE_CONFIDENCE, (RULE_CONFIDENCE,)),
        Techniques(("T1105",), "catalogue", TITLE_CONFIDENCE, (TITLE_CONFIDENCE,)),
        Techniques(("T1003", "T1059"), "model", 0.9, (0.9, 0.6)),
        Techniques((), "unknown", 0.2),
        UNKNOWN,
    ]


def test_the_first_source_that_knows_something_is_believed(resolver: TechniqueResolver, lookup: LookupTable) -> None:
    everything = {"name": "Curl Download dump", RULE_ID: "rule-2"}
    update(lookup, [Correction("curl download dump", ("T1078",), NOW)])
    by_name, by_rule = everything["name"], {RULE_ID: everything[RULE_ID]}
    assert resolved(resolver, alert(by_name, "T1110", **by_rule)) == [("alert", ("T1110",))]
    assert resolved(resolver, alert(by_name, **by_rule)) == [("lookup", ("T1078",))]
    assert resolved(resolver, alert("Curl Download", **by_rule)) == [("catalogue", ("T1685.005",))]  # not by its title
    assert resolved(resolver, alert("Curl Download", **{RULE_ID: "another's"})) == [("catalogue", ("T1105",))]
    assert resolved(resolver, alert("other dump", **by_rule)) == [("catalogue", ("T1685.005",))]
    assert resolved(resolver, alert("other dump")) == [("model", ("T1003", "T1059"))]


def test_an_alert_with_an_empty_list_gets_what_the_lookup_table_has(
    resolver: TechniqueResolver, lookup: LookupTable, model: WordModel
) -> None:
    """The system before took an empty list for an answer: such an alert stayed without techniques."""
    update(lookup, [Correction("ET DNS Query for .cc TLD", ("T1071",), NOW)])
    carried = msgspec.json.decode(
        b'[{"id": 1, "time": 1.0, "src": "a", "dst": "b", "name": " ET DNS Query for .cc TLD ", "tech": []},'
        b'{"id": 1, "time": 1.0, "src": "a", "dst": "b", "name": " ET DNS Query for .cc TLD "}]',
        type=list[Alert],
    )
    for _ in range(2):
        assert resolved(resolver, *carried) == [("lookup", ("T1071",))] * 2
    assert model.asked == []


def test_ids_that_nobody_knows_are_dropped_and_the_others_count(resolver: TechniqueResolver) -> None:
    assert resolver.resolve([alert("dump", "T9999", "t1110", "T1110", "nonsense", " ")]) == [
        Techniques(("T1110",), "alert", 1.0, (1.0,), ("T9999", "nonsense"))
    ]


def test_an_alert_with_unknown_ids_alone_is_as_one_with_none(resolver: TechniqueResolver, lookup: LookupTable) -> None:
    update(lookup, [Correction("odd login", ("T1078",), NOW)])
    for _ in range(2):
        answers = resolver.resolve([alert("odd login", "T1064"), alert("dump", "T9999"), alert("x", "?"), alert("x")])
        assert [(each.source, each.dropped) for each in answers] == [
            ("lookup", ("T1064",)),
            ("model", ("T9999",)),
            ("unknown", ("?",)),
            ("unknown", ()),
        ]


def test_what_is_shown_as_dropped_is_bounded(resolver: TechniqueResolver) -> None:
    [answer] = resolver.resolve([alert("x", *(f"id {number} {'x' * 1_000}" for number in range(1_000)))])
    assert len(answer.dropped) == MOST_DROPPED
    assert max(map(len, answer.dropped)) == LONGEST_DROPPED


@pytest.mark.parametrize("rule_id", [5710, None, ["rule-1"], {"id": "rule-1"}, ""])
def test_a_rule_id_that_is_no_text_says_nothing(resolver: TechniqueResolver, rule_id: object) -> None:
    assert resolved(resolver, alert("dump", **{RULE_ID: rule_id})) == [("model", ("T1003", "T1059"))]


def test_an_analysts_word_that_there_is_none_stands_against_catalogue_and_model(
    resolver: TechniqueResolver, lookup: LookupTable
) -> None:
    update(lookup, [Correction("Curl Download", (), NOW), Correction("dump", (), NOW)])
    answers = resolver.resolve([alert("Curl Download", **{RULE_ID: "rule-1"}), alert("dump")])
    assert answers == [Techniques((), "lookup", 1.0)] * 2


def test_a_rules_correction_holds_for_all_its_alerts_and_before_that_of_a_text(
    resolver: TechniqueResolver, lookup: LookupTable
) -> None:
    update(
        lookup,
        [Correction("odd login", ("T1078",), NOW), Correction("seen at the door", ("T1110",), NOW, rule="Rule-9")],
    )
    of_rule = {RULE_ID: " rule-9"}
    answers = resolved(resolver, alert("Odd login", **of_rule), alert("Odd login"), alert("Seen at the door"))
    assert answers == [("lookup", ("T1110",)), ("lookup", ("T1078",)), ("unknown", ())]
    assert resolved(resolver, alert("anything", "T1003", **of_rule)) == [("alert", ("T1003",))]


def test_a_correction_may_override_what_the_alert_carries(resolver: TechniqueResolver, lookup: LookupTable) -> None:
    failed = {RULE_ID: "5760"}  # Wazuh's rule of a failed SSH login names T1531 besides T1110.001
    assert resolved(resolver, alert("sshd: failed", "T1531", **failed)) == [("alert", ("T1531",))]
    update(lookup, [Correction("", ("T1110.001",), NOW, rule="5760", override=True)])
    assert resolved(resolver, alert("sshd: failed", "T1531", **failed)) == [("lookup", ("T1110.001",))]
    update(lookup, [Correction("Backup done", (), NOW, override=True)])
    assert resolved(resolver, alert("backup done", "T1005")) == [("lookup", ())]
    assert resolved(resolver, alert("backup done", "T1005", "nonsense")) == [("lookup", ())]


def test_a_correction_holds_for_what_differs_in_numbers_alone(resolver: TechniqueResolver, lookup: LookupTable) -> None:
    update(lookup, [Correction("Login from 10.0.0.1 port 22", ("T1078",), NOW)])
    assert resolved(resolver, alert("Login from 10.9.9.9 port 4711")) == [("lookup", ("T1078",))]


def test_a_correction_made_elsewhere_changes_names_that_were_told_before(
    resolver: TechniqueResolver, kept: MemoryCorrections, clock: HandClock
) -> None:
    assert resolved(resolver, alert("dump"), alert("Curl Download")) == [
        ("model", ("T1003", "T1059")),
        ("catalogue", ("T1105",)),
    ]
    kept.store([Correction("dump", ("T1005",), NOW), Correction("curl download", ("T1071",), NOW)])
    clock.passed += REFRESH_S
    assert resolved(resolver, alert("dump"), alert("Curl Download")) == [("lookup", ("T1005",)), ("lookup", ("T1071",))]
    kept.store([Correction("dump", ("T1006",), NOW + 1)])
    clock.passed += REFRESH_S
    assert resolved(resolver, alert("dump")) == [("lookup", ("T1006",))]


def test_a_table_that_is_down_labels_nothing(
    resolver: TechniqueResolver, kept: MemoryCorrections, clock: HandClock
) -> None:
    assert resolved(resolver, alert("dump")) == [("model", ("T1003", "T1059"))]
    kept.is_down = True
    with pytest.raises(CloudError):
        resolver.resolve([alert("dump"), alert("new dump")])
    clock.passed += REFRESH_S
    with pytest.raises(CloudError):
        resolver.resolve([alert("dump")])
    kept.is_down = False
    assert resolved(resolver, alert("new dump")) == [("model", ("T1003", "T1059"))]


def test_a_batch_asks_the_table_and_the_model_once_and_each_text_once(
    resolver: TechniqueResolver, kept: MemoryCorrections, model: WordModel
) -> None:
    alerts = [alert(f"dump {letter} {n}") for letter in "abcab" for n in range(3)]
    resolver.resolve(alerts)
    resolver.resolve(alerts)
    assert kept.loads == [["dump a <number>", "dump b <number>", "dump c <number>"]]
    assert model.asked == [[f"dump {letter} {n}" for letter in "abc" for n in range(3)]]


def test_the_model_reads_what_it_wants_of_an_alert(resolver: TechniqueResolver, model: WordModel) -> None:
    alerts = [alert("x"), alert("x", **{COMMAND_LINE: "dump"}), alert("x")]
    assert resolved(resolver, *alerts) == [("unknown", ()), ("model", ("T1003", "T1059")), ("unknown", ())]
    assert model.asked == [["x", "x\ndump"]]


def test_sources_that_are_not_there_are_passed_over(model: WordModel) -> None:
    alerts = [alert("Curl Download", **{RULE_ID: "rule-1"}), alert("x", "T1110"), alert("y", "T9999")]
    bare = TechniqueResolver(None, None, None)
    for _ in range(2):
        assert bare.resolve(alerts) == [
            UNKNOWN,
            Techniques(("T1110",), "alert", 1.0, (1.0,)),
            msgspec.structs.replace(UNKNOWN, dropped=("T9999",)),
        ]
    assert resolved(TechniqueResolver(None, None, model), alert("dump")) == [("model", ("T1003", "T1059"))]


def test_candidates_begin_with_the_answer(resolver: TechniqueResolver) -> None:
    alerts = [alert("Curl download"), alert("x")]
    ranked = resolver.candidates(alerts, resolver.resolve(alerts), 3)
    assert ranked == [
        [("T1105", TITLE_CONFIDENCE), ("T1003", 0.4), ("T1059", 0.3)],
        [("T1003", 0.4), ("T1059", 0.3), ("T1105", 0.1)],
    ]
    bare = TechniqueResolver(None, None, None)
    assert bare.candidates(alerts, bare.resolve(alerts), 3) == [[], []]


def test_no_alerts_are_no_answers(resolver: TechniqueResolver) -> None:
    assert resolver.resolve([]) == []


def test_what_is_remembered_is_bounded(resolver: TechniqueResolver, monkeypatch: pytest.MonkeyPatch) -> None:
    remembered = (resolver._names, resolver._texts, resolver._own_ids)
    for each in remembered:
        assert each.size == CACHE_SIZE
        monkeypatch.setattr(each, "size", 10)
    for part in range(8):
        resolver.resolve([alert(f"{part} {n}", f"x{part} {n}") for n in range(10)])
    assert [10 <= len(each) <= 20 for each in remembered] == [True] * 3
    long = "dump" * LONGEST_CACHED
    for _ in range(2):
        assert resolved(resolver, alert(long, long)) == [("model", ("T1003", "T1059"))]
    assert all(long not in each._young for each in (resolver._names, resolver._texts))
    assert (long,) not in resolver._own_ids._young


class TestOpen:
    def test_the_confidence_from_which_the_model_answers_is_a_setting(self) -> None:
        texts = ["Something happened on a host", "LSASS memory read by an unknown process"]
        own, always, never = (
            TechniqueResolver.open(read_settings({"TECHNIQUE_LEAST_CONFIDENCE": least})).resolve(
                [alert(text) for text in texts]
            )
            for least in ("", "0.0", "1.0")
        )
        assert [each.source for each in own] == ["unknown", "model"]
        assert [each.source for each in always] == ["model", "model"]
        assert [each.source for each in never] == ["unknown", "unknown"]
        assert [each.confidence for each in always] == [each.confidence for each in own]
        assert always[1] == own[1]

    def test_a_bundle_that_is_not_there_is_one_clear_error(self, tmp_path: Path) -> None:
        pytest.importorskip("app.domains.alerts.techniques.model")
        with pytest.raises(UnknownRunError, match="technique"):
            TechniqueResolver.open(read_settings({"MODEL_LOCATION": str(tmp_path), "TECHNIQUE_RUN_ID": "none"}))

    def test_a_table_that_can_be_none_is_one_clear_error(self) -> None:
        pytest.importorskip("app.domains.alerts.techniques.model")
        with pytest.raises(SettingsError, match="LOOKUP_TABLE"):
            TechniqueResolver.open(read_settings({"LOOKUP_TABLE": "s3://a/b.csv"}))

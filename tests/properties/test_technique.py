"""Folding, CSV rows, corrections and resolving, for whatever comes."""

from __future__ import annotations

import io
from itertools import pairwise
from typing import TYPE_CHECKING

import msgspec
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.cache import RecentCache
from app.domains.alerts.alert import RULE_ID, Alert, Techniques
from app.domains.alerts.attack import TECHNIQUE_ID, attack_table
from app.domains.alerts.lookups.corrections import Correction, CorrectionFault, RejectedRow, checked
from app.domains.alerts.lookups.csv_file import read_corrections, write_corrections
from app.domains.alerts.lookups.table import LookupTable, update, update_from_csv
from app.domains.alerts.techniques.catalogue import Catalogue
from app.domains.alerts.techniques.resolver import TechniqueResolver
from app.domains.alerts.text import fold
from model.catalogue.derive import Row, derive
from tests.alerts_lookup_for_tests import NOW, HandClock, MemoryCorrections

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.domains.alerts.techniques.resolver import TechniquePrediction

pieces = st.sampled_from(
    [
        "1.1.1.1", "/24", "/a/b/", "c:\\", "\\", "\\\\", "::", "fe80", "a@b.c", "@", "0x1f", "http://", "a1" * 16, "-",
        ".", ",", ">", "<", "<ip>", "2024-01-02", "T10:00", "5", " ", "CVE-2020-1234", "aa:bb:cc:dd:ee:ff", ":", "/",
        "x", "_", "é", "İ", "Σ", "ß", "ms17-010", "+", "g", "\0", "\u2028", "\x1f",
        "01234567-89ab-cdef-0123-456789abcdef", "a" * 70,
    ]
)  # fmt: skip
texts = st.one_of(
    st.text(max_size=60),
    st.text(st.characters(codec=None), max_size=20),  # halves of surrogate pairs too
    st.text('a1f:/\\.-<>@, 0xTZ"+é_', max_size=20),
    st.lists(pieces, max_size=8).map("".join),
)
plain_texts = texts.filter(lambda text: text.isprintable() and text.isascii())


@given(texts)
@settings(max_examples=1_000)
@example("1.1.1.1/a/b/")
@example("0a" * 32 + "-a@b.c")
@example("aa:bb:cc:dd:ee:ff::1")
@example(":::0x1")
@example("a::http://x")
@example("1::\\\\x\\y")
def test_a_folded_text_is_not_changed_by_folding_it_again(text: str) -> None:
    folded = fold(text)
    assert fold(folded) == folded
    assert folded == folded.strip()
    assert "\n" not in folded


@given(
    texts, st.sampled_from([str.upper, str.title, lambda text: f"  {text}\n", lambda text: text.replace(" ", " \t")])
)
def test_case_and_blanks_make_no_other_text(text: str, otherwise: object) -> None:
    assert callable(otherwise)
    text = "".join(character for character in text if character.isascii())  # "ß" has another capital
    assert fold(otherwise(text)) == fold(text)


@given(st.integers(0, 255), st.integers(0, 10**9))
def test_numbers_and_addresses_make_no_other_text(octet: int, number: int) -> None:
    assert fold(f"login {number} from 10.0.{octet}.1") == "login <number> from <ip>"


@given(st.lists(st.one_of(st.text(max_size=12), st.from_regex(TECHNIQUE_ID, fullmatch=True)), max_size=5))
def test_an_id_of_today_is_in_the_table_and_stays(ids: list[str]) -> None:
    table = attack_table()
    for each in ids:
        current = table.current(each)
        assert current is None or (current in table.techniques and table.current(current) == current)


corrections = st.builds(
    Correction,
    text=st.one_of(texts, st.sampled_from(["a b", "A  b", "login 1", "login 2", "=x", "'=x", "''@", '"', 'a",b'])),
    techniques=st.lists(st.sampled_from(["T1003", "T1562.001", "T1685", "t1059.001", "T9999"]), max_size=3).map(tuple),
    time=st.one_of(st.sampled_from([0.0, 1.0, 2.0, NOW]), st.floats()),
    author=st.text(max_size=5),
    confidence=st.one_of(st.just(1.0), st.floats()),
)


def taken(correction: Correction) -> Correction | None:
    try:
        return checked(correction, attack_table(), NOW)
    except CorrectionFault:
        return None


@given(corrections)
def test_a_correction_that_was_taken_is_taken_again_as_it_is(correction: Correction) -> None:
    once = taken(correction)
    assert once is None or taken(once) == once


@given(st.lists(corrections, max_size=10))
def test_corrections_written_as_csv_are_read_as_they_were(given_ones: list[Correction]) -> None:
    right = [each for each in map(taken, given_ones) if each is not None]
    assert [row for _, row in read_corrections(io.BytesIO(write_corrections(right)), 0.0)] == right


@given(st.lists(corrections, max_size=12), st.lists(st.integers(0, 11), max_size=3), st.integers(1, 12))
def test_the_newest_of_each_text_is_kept_however_corrections_are_cut_and_repeated(
    given_ones: list[Correction], cuts: list[int], most: int
) -> None:
    right = [each for each in map(taken, given_ones) if each is not None]
    whole, cut = MemoryCorrections(100), MemoryCorrections(100)
    report = update(LookupTable(whole, HandClock()), given_ones)
    assert report.taken + len(report.rejected) == len(given_ones)
    assert report.taken <= len(right)
    ends = [0, *sorted(cuts), len(given_ones)]
    table = LookupTable(cut, HandClock())
    for _ in range(2):
        for begin, end in pairwise(ends):
            update(table, given_ones[begin:end])
    newest = {text: max(each.time for each in right if each.text == text) for text in {each.text for each in right}}
    assert {text: row.time for text, row in whole.rows.items()} == newest
    assert {text: row.time for text, row in cut.rows.items()} == newest
    bounded = MemoryCorrections(most)
    update(LookupTable(bounded, HandClock()), given_ones)
    assert sorted(row.time for row in bounded.rows.values()) == sorted(newest.values())[-most:]


GOOD = b'"et dns, \n query","[""T1071""]"\n'
lines = st.one_of(
    st.sampled_from([GOOD, b'"', b'""', b'"x\n', b"a,[]\n", b"=x,[]\n", b'x,"[""T9"']),
    st.binary(max_size=20).map(lambda data: data.replace(b"\n", b"") + b"\n"),
    st.text('",[]T1071\na=\0', max_size=20).map(str.encode),
)


@given(st.lists(lines, max_size=12))
@settings(max_examples=300)
def test_every_row_of_a_poisoned_csv_is_taken_or_reported_and_a_right_one_before_it_is_never_lost(
    poison: list[bytes],
) -> None:
    data = b"alerts,techniques\n" + GOOD + b"".join(poison)
    rows = list(read_corrections(io.BytesIO(data), NOW))
    assert rows[0] == (2, Correction("et dns, \n query", ("T1071",), NOW))
    numbers = [number for number, _ in rows]
    assert numbers == sorted(set(numbers))
    kept = MemoryCorrections()
    report = update_from_csv(LookupTable(kept, HandClock()), data, NOW)
    assert report.taken + len(report.rejected) + report.unreported + report.outdated == len(rows)
    assert all(row.reason and row.message and 2 <= row.line <= data.count(b"\n") + 1 for row in report.rejected)


@given(st.lists(st.binary(max_size=10).map(lambda data: data.replace(b"\n", b"")), max_size=6))
@settings(max_examples=300)
def test_a_row_that_has_its_own_line_survives_whatever_stands_around_it(around: list[bytes]) -> None:
    """The right rows are more than a text may have lines: an open quote reaches over none of them."""
    right = [f'word {chr(97 + n % 26)}{chr(97 + n // 26)},"[""T1003""]"'.encode() for n in range(70)]
    data = b"\n".join([b"alerts,techniques", *around, *right])
    rows = [row for _, row in read_corrections(io.BytesIO(data), NOW)]
    assert {row.text for row in rows if isinstance(row, Correction)} >= {line.split(b",")[0].decode() for line in right}


@given(st.binary(max_size=60))
def test_any_bytes_are_a_file_or_one_clear_reason(data: bytes) -> None:
    report = update_from_csv(LookupTable(MemoryCorrections(), HandClock()), data, NOW)
    assert report.taken or all(isinstance(row, RejectedRow) for row in report.rejected)


class Said(msgspec.Struct, frozen=True):
    """What the model below says."""

    ids: tuple[str, ...] = ()
    confidences: tuple[float, ...] = ()
    best: float = 0.1


class LengthModel:
    """Says something of longer texts."""

    def predict(self, texts: Sequence[str], _threshold: float | None = None, /) -> Sequence[TechniquePrediction]:
        assert len(set(texts)) == len(texts)
        return [Said(("T1003",), (0.8,), 0.8) if len(text) > 3 else Said() for text in texts]

    def candidates(self, texts: Sequence[str], _count: int, /) -> Sequence[TechniquePrediction]:
        return self.predict(texts)


names = st.one_of(texts, st.sampled_from(["Curl Download", "login 1", "login 2", "Wazuh: Log cleared.", "aaaa", "b"]))
alerts = st.builds(
    Alert,
    id=st.integers(),
    time=st.just(0.0),
    src=st.just("a"),
    dst=st.just("b"),
    name=names,
    tech=st.lists(st.sampled_from(["T1003", "T1562.001", "T9999", "", "x"]), max_size=2),
    other_attributes=st.dictionaries(st.just(RULE_ID), st.sampled_from(["rule-1", "RULE-2", 5, None, []]), max_size=1),
)
KNOWN = Catalogue(
    derive([Row("sigma", "Curl Download", ["T1105"], "rule-1"), Row("sigma", "Log Cleared", ["T1070"])], attack_table())
)


@given(st.lists(alerts, max_size=12), st.lists(st.integers(0, 12), max_size=3))
def test_it_does_not_matter_how_alerts_are_cut_into_batches(given_ones: list[Alert], cuts: list[int]) -> None:
    def a_resolver() -> TechniqueResolver:
        lookup = LookupTable(MemoryCorrections(), HandClock())
        update(lookup, [Correction("login 7", ("T1078",), NOW), Correction("b", (), NOW)])
        return TechniqueResolver(lookup, KNOWN, LengthModel())

    whole = a_resolver().resolve(given_ones)
    ends = [0, *sorted(cuts), len(given_ones)]
    resolver = a_resolver()
    for _ in range(2):
        parts = [resolver.resolve(given_ones[begin:end]) for begin, end in pairwise(ends)]
        assert [each for part in parts for each in part] == whole
    for each in whole:
        assert len(each.ids) == len(each.confidences)
        assert set(each.ids) <= set(attack_table().techniques)
        assert 0 <= each.confidence <= 1
        assert each.ids == () or each.confidence == each.confidences[0]
        assert (each.source == Techniques.UNKNOWN) <= (each.ids == ())


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 9)), max_size=60), st.integers(1, 4))
@example([(True, 1), (True, 2), (False, 1), (True, 3), (True, 4)], 2)
def test_the_last_keys_are_remembered_and_never_more_than_twice_as_many(
    uses: list[tuple[bool, int]], size: int
) -> None:
    recent: RecentCache[int, str] = RecentCache(size)
    used: list[int] = []
    for is_put, key in uses:
        if is_put:
            recent.put(key, str(key))
        elif recent.get(key) is None:
            continue
        assert recent.get(key) == str(key)
        used = [*(other for other in used if other != key), key]
        assert set(used[-size:]) <= {*recent._young, *recent._old}
        assert len(recent) <= 2 * size
    recent.clear()
    assert len(recent) == 0

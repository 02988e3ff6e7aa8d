"""The lookup table: corrections checked, read from CSV, remembered and seen in time."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from app.budgets import MOST_FAULTS_KEPT
from app.domains.alerts.attack import attack_table
from app.domains.alerts.lookups import csv_file
from app.domains.alerts.lookups.corrections import (
    LOOKUP_ROWS,
    MOST_TECHNIQUES,
    Correction,
    CorrectionFault,
    RejectedRow,
    Report,
    checked,
    rule_key,
    similar_techniques,
)
from app.domains.alerts.lookups.csv_file import (
    LARGEST_ROW_BYTES,
    MOST_LINES,
    FileCorrections,
    read_corrections,
    write_corrections,
)
from app.domains.alerts.lookups.table import (
    OLDEST_S,
    REFRESH_S,
    REPORTED_ROWS,
    LookupTable,
    open_lookup,
    update,
    update_from_csv,
)
from app.errors import CloudError, LocationError, SettingsError
from tests.alerts_lookup_for_tests import NOW, HandClock, MemoryCorrections

if TYPE_CHECKING:
    from pathlib import Path

DNS = b'"ET DNS Query for .cc TLD","[""T1071""]"\n'


def made(text: str, *techniques: str, time: float = NOW, author: str = "", confidence: float = 1.0) -> Correction:
    return Correction(text, techniques, time, author, confidence)


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def kept() -> MemoryCorrections:
    return MemoryCorrections()


@pytest.fixture
def table(kept: MemoryCorrections, clock: HandClock) -> LookupTable:
    return LookupTable(kept, clock)


def csv_of(*rows: bytes) -> bytes:
    return b"alerts,techniques\n" + b"".join(rows)


def reasons(report: Report) -> list[tuple[int, str]]:
    return [(row.line, row.reason) for row in report.rejected]


class TestChecks:
    def test_a_correction_is_taken_with_its_text_folded_and_its_ids_of_today(self) -> None:
        given = made("Login from 10.0.0.1", " t1562.001 ", "T1685", "T1078", author=" Ann\n\0 B ", confidence=0.5)
        assert checked(given, attack_table(), NOW) == made(
            "login from <ip>", "T1685", "T1078", author="Ann B", confidence=0.5
        )

    def test_no_technique_is_a_correction_too(self) -> None:
        assert checked(made("Backup done"), attack_table(), NOW).techniques == ()

    @pytest.mark.parametrize(
        ("correction", "reason"),
        [
            (made("a" * 4097, "T1003"), "text_too_long"),
            (made(" \n ", "T1003"), "empty_text"),
            (made("10.0.0.1 - 4711", "T1003"), "too_general"),
            (made("half \ud800", "T1003"), "not_text"),
            (made("nul \0", "T1003"), "not_text"),
            (made("x", *["T1003"] * (MOST_TECHNIQUES + 1)), "too_many_techniques"),
            (made("x", "T9999"), "unknown_technique"),
            (made("x", "T1003", "no id"), "unknown_technique"),
            (made("x", "T1059.999"), "unknown_technique"),  # a mistyped id is not taken for its parent
            (made("x", "T1064"), "unknown_technique"),  # retired, with nothing in its place
            (made("x", "T1003", time=float("nan")), "bad_time"),
            (made("x", "T1003", time=float("inf")), "bad_time"),
            (made("x", "T1003", time=-1.0), "bad_time"),
            (made("x", "T1003", time=NOW + 2 * 86_400), "bad_time"),  # no later correction could overrule it
            (made("x", "T1003", confidence=0.0), "bad_confidence"),
            (made("x", "T1003", confidence=1.5), "bad_confidence"),
            (made("x", "T1003", confidence=float("nan")), "bad_confidence"),
        ],
    )
    def test_what_would_do_harm_is_refused(self, correction: Correction, reason: str) -> None:
        with pytest.raises(CorrectionFault) as raised:
            checked(correction, attack_table(), NOW)
        assert raised.value.reason == reason

    def test_similar_techniques_are_suggested(self) -> None:
        assert similar_techniques("T1059.019", attack_table())[0].startswith("T1059.01")
        assert similar_techniques("power shell", attack_table())[0] == "T1059.001"
        assert similar_techniques("?", attack_table()) == []

    def test_of_two_corrections_the_newer_outranks_and_of_one_moment_always_the_same(self) -> None:
        assert made("x", "T1003", time=2).outranks(made("x", "T1078", time=1))
        assert not made("x", "T1003", time=1).outranks(made("x", "T1078", time=2))
        assert made("x", "T1078").outranks(made("x", "T1003"))
        assert not made("x", "T1003").outranks(made("x", "T1078"))
        assert not made("x", "T1003").outranks(made("x", "T1003"))


class TestTable:
    def test_a_text_is_asked_for_once_found_or_not(self, table: LookupTable, kept: MemoryCorrections) -> None:
        kept.rows["a"] = made("a", "T1003")
        for _ in range(3):
            assert table.find(["a", "b"]) == {"a": made("a", "T1003")}
        assert kept.loads == [["a", "b"]]

    def test_a_correction_made_elsewhere_is_seen_within_the_told_time(
        self, table: LookupTable, kept: MemoryCorrections, clock: HandClock
    ) -> None:
        assert table.find(["a"]) == {}
        kept.store([made("a", "T1003")])
        clock.passed += REFRESH_S - 1
        assert table.find(["a"]) == {}
        clock.passed += 1
        assert table.find(["a"]) == {"a": made("a", "T1003")}

    def test_while_nothing_changes_nothing_is_read_again(
        self, table: LookupTable, kept: MemoryCorrections, clock: HandClock
    ) -> None:
        table.find(["a"])
        for _ in range(5):
            clock.passed += REFRESH_S
            table.find(["a"])
        assert len(kept.loads) == 1
        assert kept.asked_version == 6

    def test_what_an_update_left_unsaid_is_seen_when_it_is_too_old(
        self, table: LookupTable, kept: MemoryCorrections, clock: HandClock
    ) -> None:
        table.find(["a"])
        kept.rows["a"] = made("a", "T1003")  # written, but the update broke off before it said so
        clock.passed += OLDEST_S
        assert "a" in table.find(["a"])

    def test_its_own_process_sees_a_correction_at_once(self, table: LookupTable) -> None:
        assert table.find(["a b"]) == {}
        update(table, [made("A  B", "T1003")])
        assert table.find(["a b"]) == {"a b": made("a b", "T1003")}

    def test_a_table_that_is_down_is_an_error_and_no_answer(
        self, table: LookupTable, kept: MemoryCorrections, clock: HandClock
    ) -> None:
        table.find(["a"])
        kept.is_down = True
        assert table.find(["a"]) == {}  # it is known not to be there
        with pytest.raises(CloudError):
            table.find(["b"])
        clock.passed += REFRESH_S
        for _ in range(2):
            with pytest.raises(CloudError):
                table.find(["a"])
        kept.is_down = False
        assert table.find(["b"]) == {}

    def test_the_cache_is_bounded(self, kept: MemoryCorrections, clock: HandClock) -> None:
        table = LookupTable(kept, clock, cached=10)
        for number in range(1_000):
            table.find([f"text {number}"])
        assert len(table._keys) <= 20
        table.find(["a" * 5_000])
        table.find(["a" * 5_000])
        assert kept.loads[-2:] == [["a" * 5_000]] * 2  # too long to remember

    def test_an_empty_name_is_no_table(self) -> None:
        assert open_lookup("") is None

    @pytest.mark.parametrize("name", ["s3://bucket/table.csv", "no table", "ab", "x" * 256])
    def test_a_name_that_is_neither_table_nor_file_is_refused(self, name: str) -> None:
        with pytest.raises(SettingsError, match=r"LOOKUP_TABLE .* DynamoDB table's name, or a local file"):
            open_lookup(name)

    def test_100_000_corrections_are_kept(self, tmp_path: Path) -> None:
        assert LOOKUP_ROWS == 100_000
        lookup = open_lookup(str(tmp_path / "a.csv"))
        assert lookup is not None
        assert lookup.most == LOOKUP_ROWS


class TestUpdate:
    def test_the_newest_correction_counts_in_whatever_order_they_come(self, table: LookupTable) -> None:
        assert update(table, [made("a", "T1003", time=NOW)]) == Report(1)
        assert update(table, [made("a", "T1078", time=NOW - 1)]) == Report(0, outdated=1)
        assert table.find(["a"])["a"].techniques == ("T1003",)
        assert update(table, [made("a", "T1105", time=NOW + 1)]) == Report(1)
        assert table.find(["a"])["a"].techniques == ("T1105",)

    def test_the_same_corrections_again_change_nothing(self, table: LookupTable, kept: MemoryCorrections) -> None:
        corrections = [made("a", "T1003"), made("b")]
        assert update(table, corrections) == update(table, corrections) == Report(2)
        assert kept.rows == {"a": made("a", "T1003"), "b": made("b")}

    def test_a_wrong_one_is_reported_by_its_place_and_harms_no_other(self, table: LookupTable) -> None:
        report = update(table, [made("a", "T1003"), made("b", "T9999"), made("c", "T1105")])
        assert report.taken == 2
        assert reasons(report) == [(2, "unknown_technique")]
        assert set(table.find("abc")) == {"a", "c"}

    def test_of_two_that_differ_the_older_is_reported(self, table: LookupTable) -> None:
        report = update(
            table,
            [
                made("a", "T1003", time=2),
                made("A", "T1078", time=1),
                made("a", "T1105", time=3),
            ],
        )
        assert report == Report(
            1,
            (
                RejectedRow(1, "conflict", "line 3 applies: it has other techniques for this text"),
                RejectedRow(2, "conflict", "line 1 applies: it has other techniques for this text"),
            ),
        )

    def test_of_repetitions_the_newest_moment_counts(self, table: LookupTable, kept: MemoryCorrections) -> None:
        assert update(table, [made("a", "T1003", time=moment) for moment in (2.0, 3.0, 1.0)]) == Report(3)
        assert kept.rows["a"].time == 3.0

    def test_only_the_newest_have_room(self, clock: HandClock) -> None:
        kept = MemoryCorrections(most=10)
        table = LookupTable(kept, clock)
        report = update(table, [made(f"a{chr(97 + n)}", "T1003", time=n) for n in range(26)])
        assert report.taken == 10
        assert reasons(report) == [(line, "no_room") for line in range(1, 17)]
        assert min(row.time for row in kept.rows.values()) == 16

    def test_a_table_that_is_down_is_an_error(self, table: LookupTable, kept: MemoryCorrections) -> None:
        kept.is_down = True
        with pytest.raises(CloudError):
            update(table, [made("a", "T1003")])


class TestCsv:
    def test_the_form_of_the_system_before(self, table: LookupTable) -> None:
        report = update_from_csv(table, csv_of(DNS, b"Backup done,[]\r\n"), NOW, author="ann")
        assert report == Report(2)
        assert table.find(["et dns query for .cc tld", "backup done"]) == {
            "et dns query for .cc tld": made("et dns query for .cc tld", "T1071", author="ann"),
            "backup done": made("backup done", author="ann"),
        }

    @pytest.mark.parametrize(
        ("row", "reason"),
        [
            (b'"=cmd|\' /C calc\'!A0","[""T1003""]"', "formula"),
            (b'@SUM(1+1),"[""T1003""]"', "formula"),
            (b'" +1-2 x","[""T1003""]"', "formula"),
            (b'x,"[""T9999""]"', "unknown_technique"),
            (b'x,"[""T1003"",""nonsense""]"', "unknown_technique"),
            (b"x,[1003]", "unknown_technique"),
            (b"x,", "bad_techniques"),
            (b"x,;", "bad_techniques"),
            (b'x,"{""id"": ""T1003""}"', "bad_techniques"),
            (b"x,T1003;nonsense", "unknown_technique"),
            (b"x,T1003,T1078", "wrong_columns"),
            (b"x," + b"[" * 5_000, "bad_techniques"),
            (b"x", "wrong_columns"),
            (b'a, b,"[""T1003""]"', "wrong_columns"),
            (b',"[""T1003""]"', "empty_text"),
            (b'4711,"[""T1003""]"', "too_general"),
            (b'x\0y,"[""T1003""]"', "nul"),
            (b'\xff\xfe,"[""T1003""]"', "not_utf8"),
            (b'"x"y,"[""T1003""]"', "bad_quotes"),
            (b'"never closed,"[""T1003""]"', "unbalanced_quotes"),
            (b'a"b,"[""T1003""]"', "unbalanced_quotes"),
            (b"a" * 5_000 + b',"[""T1003""]"', "text_too_long"),
            (b"a" * 1_000_000 + b',"[""T1003""]"', "row_too_large"),
            (b'"' + b"a" * 1_000_000, "row_too_large"),
            (b'x,"[' + b",".join([b'""T1003""'] * 33) + b']"', "too_many_techniques"),
        ],
    )
    def test_a_wrong_row_has_one_reason_and_costs_itself_alone(
        self, table: LookupTable, row: bytes, reason: str
    ) -> None:
        data = csv_of(DNS, row + b"\n", b'"last one","[""T1105""]"\n')
        report = update_from_csv(table, data, NOW)
        assert reasons(report) == [(3, reason)]
        assert report.rejected[0].message
        assert report.taken == 2
        assert set(table.find(["et dns query for .cc tld", "last one"])) == {"et dns query for .cc tld", "last one"}

    @pytest.mark.parametrize(
        "data",
        [
            b"",
            b"\n\n",
            DNS,
            b"alert,technique\n" + DNS,
            b"alerts\n" + DNS,
            b"alerts,techniques,more\n" + DNS,
            b"alerts,techniques,alerts\n" + DNS,
            b"techniques,time\n" + DNS,
            "alerts,techniques\n".encode("utf-16") + DNS,
            b'"alerts,techniques\n' + DNS,
            b"\x1f\x8b\x08\x00" + DNS,
        ],
    )
    def test_nothing_is_written_when_the_header_is_wrong(
        self, table: LookupTable, kept: MemoryCorrections, data: bytes
    ) -> None:
        report = update_from_csv(table, data, NOW)
        assert report.taken == 0
        assert reasons(report) == [(1, "bad_header")]
        assert "alerts,techniques" in report.rejected[0].message
        assert kept.updates == 0

    @pytest.mark.parametrize("header", [b"\xef\xbb\xbfalerts,techniques\r\n", b'"Alerts", techniques \n'])
    def test_a_header_that_a_spreadsheet_wrote_is_taken(self, table: LookupTable, header: bytes) -> None:
        assert update_from_csv(table, header + DNS, NOW) == Report(1)

    @pytest.mark.parametrize(
        "cell",
        [
            b"T1071.001;T1573", b'"T1071.001, T1573"', b"T1071.001 T1573", b"T1071.001|T1573", b" t1071.001 ; t1573 ;",
            b'"[""T1071.001"", ""T1573""]"', b"\"['T1071.001', 'T1573']\"", b'"T1071.001\nT1573"',
        ],
    )  # fmt: skip
    def test_techniques_as_people_write_them(self, table: LookupTable, cell: bytes) -> None:
        assert update_from_csv(table, csv_of(b"some text," + cell + b"\n"), NOW) == Report(1)
        assert table.find(["some text"])["some text"].techniques == ("T1071.001", "T1573")

    @pytest.mark.parametrize("cell", [b"none", b"[]", b"[ ]", b" none "])
    def test_no_technique_is_written_out(self, table: LookupTable, cell: bytes) -> None:
        assert update_from_csv(table, csv_of(b"some text," + cell + b"\n"), NOW) == Report(1)
        assert table.find(["some text"])["some text"].techniques == ()

    def test_columns_in_any_order_with_rules_and_what_overrides(self, table: LookupTable) -> None:
        data = b"rule,override,techniques\n5710,yes,T1110.001\n 2024897 ,,T1071\nx,perhaps,T1071\n"
        report = update_from_csv(table, data, NOW)
        assert (report.taken, reasons(report)) == (2, [(4, "bad_override")])
        found = table.find([rule_key("5710"), rule_key("2024897")])
        assert [(each.rule, each.override) for each in found.values()] == [("5710", True), ("2024897", False)]

    def test_a_rule_and_a_text_of_the_same_letters_are_two_corrections(self, table: LookupTable) -> None:
        assert update_from_csv(table, b"alerts,rule,techniques\nabc,,T1003\n,ABC,T1105\n", NOW) == Report(2)
        found = table.find(["abc", rule_key("abc")])
        assert [each.techniques for each in found.values()] == [("T1003",), ("T1105",)]

    def test_a_text_may_have_line_ends_within_quotes(self, table: LookupTable) -> None:
        report = update_from_csv(table, csv_of(b'"one\n\ntwo","[""T1003""]"\n', b"\n", DNS, b"x\n"), NOW)
        assert report.taken == 2
        assert reasons(report) == [(7, "wrong_columns")]
        assert set(table.find(["one two"])) == {"one two"}

    def test_a_quote_that_never_closes_swallows_no_neighbours(self, table: LookupTable) -> None:
        words = [f"alert {chr(97 + n % 26)}{chr(97 + n // 26)}" for n in range(3 * MOST_LINES)]
        rows = [f'{word},"[""T1003""]"\n'.encode() for word in words]
        report = update_from_csv(table, csv_of(b'"open,[]\n', *rows, b'"open too,[]\n'), NOW)
        assert report.taken == len(rows)
        assert reasons(report) == [(2, "unbalanced_quotes"), (len(rows) + 3, "unbalanced_quotes")]

    def test_two_open_quotes_do_not_make_a_row_of_what_is_between(self, table: LookupTable) -> None:
        report = update_from_csv(table, csv_of(b'"open,[]\n', DNS, b'"open too,[]\n', b"last,[]\n"), NOW)
        assert report.taken == 2
        assert reasons(report) == [(2, "unbalanced_quotes"), (4, "unbalanced_quotes")]

    def test_of_rows_that_differ_the_last_counts_and_the_others_are_reported(self, table: LookupTable) -> None:
        rows = (b'from 10.0.0.1,"[""T1078""]"\n', b'from 10.0.0.2,"[""T1078""]"\n', b'from 10.0.0.3,"[""T1110""]"\n')
        report = update_from_csv(table, csv_of(*rows), NOW)
        assert report.taken == 1
        assert reasons(report) == [(2, "conflict"), (3, "conflict")]
        assert "line 4" in report.rejected[0].message
        assert table.find(["from <ip>"])["from <ip>"].techniques == ("T1110",)

    def test_a_report_is_bounded_and_counts_what_it_does_not_show(self, table: LookupTable) -> None:
        report = update_from_csv(table, csv_of(b"x\n" * (REPORTED_ROWS + 5), DNS), NOW)
        assert len(report.rejected) == REPORTED_ROWS
        assert (report.unreported, report.taken) == (5, 1)

    def test_more_rows_than_there_is_room_for_leave_the_last(self, clock: HandClock) -> None:
        kept = MemoryCorrections(most=100)
        words = [f"{chr(97 + n % 26)}{chr(97 + n // 26 % 26)}{chr(97 + n // 676)}" for n in range(10_000)]
        rows = b"".join(f'{word},"[""T1003""]"\n'.encode() for word in words)
        report = update_from_csv(LookupTable(kept, clock), csv_of(rows), NOW)
        assert report.taken == 100
        assert len(report.rejected) + report.unreported == 9_900
        assert {row.reason for row in report.rejected} == {"no_room"}
        assert set(kept.rows) == set(words[-100:])

    def test_a_file_is_read_where_it_is(self, table: LookupTable, tmp_path: Path) -> None:
        (tmp_path / "a.csv").write_bytes(csv_of(DNS))
        assert update_from_csv(table, tmp_path / "a.csv", NOW) == Report(1)
        with pytest.raises(LocationError, match=r"no\.csv: cannot be read"):
            update_from_csv(table, tmp_path / "no.csv", NOW)

    def test_the_longer_form_keeps_all_there_is(self) -> None:
        corrections = [
            made("=cmd", "T1003", time=1.5, author="@ann", confidence=0.25),
            made("'=cmd", time=NOW),
            made('a "b", c', "T1003", "T1059.001"),
            Correction("", ("T1110",), NOW, "", 1.0, "5710", override=True),
        ]
        data = write_corrections(corrections)
        assert b"\n=" not in data
        assert b",@" not in data
        assert [row for _, row in read_corrections(io.BytesIO(data), 0.0)] == corrections

    @pytest.mark.parametrize(
        ("ending", "reason"),
        [(b"x,,", "bad_time"), (b"nan,,", "bad_time"), (b"1,,x", "bad_confidence"), (b"1,,7", "bad_confidence")],
    )
    def test_wrong_numbers_of_the_longer_form(self, table: LookupTable, ending: bytes, reason: str) -> None:
        data = b"alerts,techniques,time,author,confidence\nx,[]," + ending + b"\ny,[],,,\n"
        report = update_from_csv(table, data, NOW)
        assert reasons(report) == [(2, reason)]
        assert table.find(["y"])["y"].time == NOW

    def test_a_line_of_a_row_is_never_read_whole_when_it_is_too_long(self) -> None:
        class Endless(io.BytesIO):
            def readline(self, size: int | None = -1, /) -> bytes:
                assert size is not None
                assert 0 < size <= LARGEST_ROW_BYTES + 1
                return super().readline(size)

        rows = list(read_corrections(Endless(csv_of(b"a" * 300_000 + b"\n", DNS)), NOW))
        assert [line for line, _ in rows] == [2, 3]


class TestFile:
    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        return tmp_path / "lookup.csv"

    @pytest.fixture
    def lookup(self, path: Path) -> LookupTable:
        table = open_lookup(str(path))
        assert table is not None
        return table

    def test_a_file_that_is_not_there_is_an_error_until_something_is_written(
        self, lookup: LookupTable, path: Path
    ) -> None:
        with pytest.raises(LocationError, match=r"lookup\.csv: No such file .* alerts,techniques"):
            lookup.find(["a"])
        assert update(lookup, [made("a b", "T1003", author="ann")]) == Report(1)
        assert lookup.find(["a b"])["a b"].author == "ann"
        assert path.read_bytes().startswith(b"alerts,techniques,time,author,confidence,rule,override\n")

    def test_a_file_of_the_short_form_is_a_table(self, lookup: LookupTable, path: Path) -> None:
        path.write_bytes(csv_of(DNS, b'from 10.0.0.1,"[""T1078""]"\n', b'from 10.0.0.2,"[""T1110""]"\n'))
        assert lookup.find(["from <ip>"])["from <ip>"].techniques == ("T1110",)  # the later line
        update(lookup, [made("ET DNS query for .cc TLD", "T1105", time=1.0)])
        assert lookup.find(["et dns query for .cc tld"])["et dns query for .cc tld"].techniques == ("T1105",)
        assert lookup.find(["from <ip>"])["from <ip>"].techniques == ("T1110",)

    def test_another_process_is_seen(self, path: Path) -> None:
        clock = HandClock()
        here, there = LookupTable(FileCorrections(path), clock), LookupTable(FileCorrections(path), clock)
        update(there, [made("a", "T1003")])
        assert here.find(["a"])["a"].techniques == ("T1003",)
        update(there, [made("a", "T1105", time=NOW + 1)])
        clock.passed += REFRESH_S
        assert here.find(["a"])["a"].techniques == ("T1105",)
        assert update(here, [made("a", "T1078", time=NOW)]) == Report(0, outdated=1)

    def test_updates_side_by_side_lose_nothing(self, path: Path) -> None:
        def one(number: int) -> Report:
            return update(LookupTable(FileCorrections(path), HandClock()), [made(f"text {chr(97 + number)}", "T1003")])

        with ThreadPoolExecutor(6) as pool:
            assert list(pool.map(one, range(24))) == [Report(1)] * 24
        assert len(path.read_bytes().splitlines()) == 25

    def test_a_correction_is_removed_once(self, lookup: LookupTable, path: Path) -> None:
        update(lookup, [made("a b", "T1003"), made("c d", "T1003")])
        assert lookup.remove("a b")
        assert set(lookup.find(["a b", "c d"])) == {"c d"}
        written = path.read_bytes()
        assert not lookup.remove("a b")
        assert path.read_bytes() == written

    def test_only_the_newest_are_kept(self, path: Path) -> None:
        lookup = LookupTable(FileCorrections(path, most=2), HandClock())
        update(lookup, [made("a", "T1003", time=1), made("b", "T1003", time=3)])
        update(lookup, [made("c", "T1003", time=2)])
        assert set(lookup.find("abc")) == {"b", "c"}

    def test_a_wrong_row_is_passed_over_and_never_written_over(
        self, lookup: LookupTable, path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        written = csv_of(b"secret text,nonsense\n", DNS)
        path.write_bytes(written)
        assert len(lookup.find(["et dns query for .cc tld"])) == 1
        assert "secret" not in caplog.text
        with pytest.raises(LocationError, match=r"lookup\.csv: line 2: ATT&CK .* no technique 'nonsense'"):
            update(lookup, [made("a", "T1003")])
        assert path.read_bytes() == written

    def test_a_wrong_header_is_an_error(self, lookup: LookupTable, path: Path) -> None:
        path.write_bytes(DNS)
        with pytest.raises(LocationError, match="the first line must be alerts,techniques"):
            lookup.find(["a"])
        with pytest.raises(LocationError, match="the first line must be alerts,techniques"):
            update(lookup, [made("a", "T1003")])
        assert path.read_bytes() == DNS

    def test_a_path_that_cannot_be_is_one_clear_error(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_bytes(b"")
        with pytest.raises(LocationError, match="cannot be written"):
            update(LookupTable(FileCorrections(tmp_path / "file" / "b.csv"), HandClock()), [made("a", "T1003")])

    def test_many_faulty_rows_are_counted_and_few_are_kept(self, tmp_path: Path) -> None:
        path = tmp_path / "table.csv"
        path.write_bytes(b"alerts,techniques\n" + b"port scan,T99\n" * (2 * MOST_FAULTS_KEPT))
        file = FileCorrections(path)
        assert file.load(["port scan"]) == {}
        assert len(file.rejected) == MOST_FAULTS_KEPT

    def test_more_than_fits_into_memory_is_refused(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = tmp_path / "table.csv"
        path.write_bytes(
            b"alerts,techniques\n" + b"".join(b"port scan of %c,T1046\n" % each for each in b"abcdefghijk")
        )
        assert len(FileCorrections(path, most=4).load(["port scan of a", "port scan of k"])) == 2
        with pytest.raises(LocationError, match=f"{path}: more than .* or 10 corrections: leave the newest 2, or name"):
            FileCorrections(path, most=2).load(["port scan"])
        monkeypatch.setattr(csv_file, "LARGEST_TABLE_BYTES", 100)
        with pytest.raises(LocationError, match="more than 100 bytes or"):
            FileCorrections(path).load(["port scan"])

    def test_a_device_or_a_pipe_is_no_table(self, tmp_path: Path, table: LookupTable) -> None:
        path = tmp_path / "table.csv"
        path.symlink_to("/dev/zero")
        with pytest.raises(LocationError, match="not a regular file"):
            FileCorrections(path).load(["port scan"])
        with pytest.raises(LocationError, match="not a regular file"):
            update_from_csv(table, path, NOW)

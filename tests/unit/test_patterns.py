"""Every regular expression takes steps in proportion to the text, also on one that is made to keep it busy.

The patterns are found in the sources, so that a new one is tested without being named here; the hostile texts are made
of each pattern's own parts. Steps are counted by `devtools.steps`: no clock decides.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domains.alerts.files.layout import LAYOUT
from app.domains.alerts.techniques.signatures import shipped_signatures
from devtools.steps.families import Family, families
from devtools.steps.machine import Machine, TooManySteps
from devtools.steps.sources import Use, uses

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SIGNATURES = shipped_signatures()
FUZZERS = "devtools/fuzz/"  # read what they made themselves, and no service waits for them
USES = [use for use in uses(Path(__file__).parents[2], "app", "devtools", "model") if not use.name.startswith(FUZZERS)]
NO_OUTSIDE_TEXT = {
    "app/aws.py:endpoint": "botocore's patterns of regions, on the region that this process is set to",
    "app/handlers/base.py:LambdaHandler.__init_subclass__": "the name of a class",
    "devtools/docs/schema_tables.py:_ATTRIBUTE": "our own docstrings",
    "devtools/docs/schema_tables.py:_CONTINUED": "our own docstrings",
}
"""The patterns that meet no text from outside, and why."""
KNOWN_AT_RUN_TIME: dict[str, tuple[str, Callable[[], list[re.Pattern[str]]]]] = {
    "app/domains/alerts/techniques/signatures.py:Signatures.__init__": ("match", lambda: [SIGNATURES._without]),
    "app/domains/alerts/techniques/signatures.py:Signatures.__init__#2": (
        "search",
        lambda: [words for words, *_ in SIGNATURES._phrases],
    ),
    "app/domains/alerts/techniques/signatures.py:Signatures.__init__#3": (
        "search",
        lambda: [then for _, then, *_ in SIGNATURES._phrases],
    ),
    "app/inference/models.py:TextModel.__init__": ("findall", lambda: [re.compile(r"(?u)\b\w\w+\b")]),
    "app/jobs/layout.py:Layout.__init__": ("finditer", lambda: [LAYOUT._top]),
}
"""The patterns that are made when a program runs, as they are made of what is shipped."""
FREE_STEPS = 8  # a character: no text on which a pattern takes fewer is looked at further
MOST_STEPS = 500  # a character: alternatives times bounds of repeats


def found_patterns() -> list[Use]:
    found = []
    for use in USES:
        if use.name in KNOWN_AT_RUN_TIME:
            method, patterns = KNOWN_AT_RUN_TIME[use.name]
            found += [Use(use.name, each, frozenset({method})) for each in patterns()]
        elif use.name not in NO_OUTSIDE_TEXT:
            found.append(use)
    return found


def slow_texts(use: Use, growth: float, *lengths: int) -> Iterator[str]:
    """Yield the hostile families on which a pattern takes more steps a character the longer the text is.

    Args:
        use: The pattern.
        growth: Of the steps a character, at four times the length: 1 where steps are linear, 4 where quadratic.
        lengths: Characters. Up to the bounds of its repeats steps may well grow faster: all lengths must show it.
    """
    assert use.pattern, f"{use.name} is known at run time: name it in NO_OUTSIDE_TEXT or KNOWN_AT_RUN_TIME"
    machine = Machine(use.pattern)
    for family in families(use.pattern):
        for how in use.methods:
            if all(is_slower(machine, how, family, length, growth) for length in lengths):
                yield f"{how}: {family}"


def is_slower(machine: Machine, how: str, family: Family, length: int, growth: float) -> bool:
    many = steps_a_character(machine, how, family.text(4 * length))
    if many <= FREE_STEPS:
        return False
    return many == math.inf or many > growth * steps_a_character(machine, how, family.text(length))


def steps_a_character(machine: Machine, how: str, text: str) -> float:
    given: Any = text.encode("latin-1", "replace") if machine.is_bytes else text
    try:
        return machine.run(how, given, MOST_STEPS * len(given)).steps / len(given)
    except TooManySteps:
        return math.inf


PATTERNS = found_patterns()


@pytest.mark.parametrize("use", PATTERNS, ids=lambda use: use.name)
def test_a_pattern_takes_steps_in_proportion_to_a_hostile_text(use: Use) -> None:
    assert not next(slow_texts(use, 2, 50, 250), None)


@pytest.mark.slow
@pytest.mark.parametrize("use", PATTERNS, ids=lambda use: use.name)
def test_a_pattern_takes_steps_in_proportion_to_a_long_hostile_text(use: Use) -> None:
    assert not next(slow_texts(use, 1.2, 250, 2_000), None)


def test_the_lists_name_patterns_that_are_there() -> None:
    assert {*NO_OUTSIDE_TEXT, *KNOWN_AT_RUN_TIME} <= {use.name for use in USES}


@pytest.mark.parametrize(
    ("pattern", "method"),
    [
        (r"(a+)+$", "search"),
        (r"(a|a)*b", "match"),
        (r"\s+$", "sub"),
        (r"<[^>]*>", "findall"),
        (r"\$\{([^!][^}]*)\}", "sub"),  # a template's names
        (r"\b(?=[a-f-]*[0-9])[0-9a-f]{8}-", "sub"),  # a lookahead that goes on to the end from every word
        (r"^(.*) - at (?:`key` in )?`(\$.*)`$", "search"),
        (r"Credential=[^/]+/\d{8}/", "search"),
        (r"a[^(\n]*\n?[ \t]*\(", "match"),
        (r"(\w+\s?)*!", "fullmatch"),
        (r".*,.*,.*;", "match"),
        (r"(?:[a-z]+\.?)+@", "search"),
    ],
)
def test_a_pattern_that_takes_more_is_found(pattern: str, method: str) -> None:
    assert next(slow_texts(Use("", re.compile(pattern), frozenset({method})), 2, 50, 250))


@given(st.sampled_from([use for use in PATTERNS if use.pattern]), st.data())
def test_steps_are_counted_on_the_way_that_re_takes(use: Use, data: st.DataObject) -> None:
    pattern: Any = use.pattern
    machine = Machine(pattern)
    pieces = sorted({part for family in families(pattern) for part in family if part})
    drawn = data.draw(st.lists(st.sampled_from(pieces) | st.characters(codec="latin-1"), max_size=5))
    text: Any = "".join(drawn).encode("latin-1", "replace") if machine.is_bytes else "".join(drawn)
    assert machine.run("finditer", text).spans == [found.span() for found in pattern.finditer(text)]
    for method in ("search", "match", "fullmatch"):
        found = getattr(pattern, method)(text)
        assert machine.run(method, text).spans == ([found.span()] if found else [])


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        (r"(?:a*)*b", "aaab"),
        (r"(?:a|b?)+?c", "abc"),
        (r"^(?:ab?)*+b", "abab"),
        (r"(?>a+|b)c", "aac"),
        (r"(?<!a)b+?(?=c|a)", "abba"),
        (r"(.)\1+", "abba"),
        (r"(?:(a)|b)*(?(1)c|d)", "bad bac bd"),
        (r"(?:a{1,2}){2}b", "aaaab"),
        (r"(?i:A)b*?c", "abbc"),
        (r"(?:|a)+b", "aab"),
        (r"x*", "axxb"),
        (r"(?!)", "a"),
        (r"(?ms)^a.c$", "a\nc\na"),
    ],
)
def test_the_way_is_that_of_re_for_each_operation(pattern: str, text: str) -> None:
    for each in (text, f"{text}{text}", text[:-1], ""):
        found = [found.span() for found in re.finditer(pattern, each)]
        assert Machine(re.compile(pattern)).run("finditer", each).spans == found


def test_a_file_that_hides_its_patterns_is_refused(tmp_path: Path) -> None:
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "hidden.py").write_text("from re import compile as pattern_of\n")
    with pytest.raises(ValueError, match=r"hidden\.py: write `import re`"):
        uses(tmp_path, "app")


def test_a_pattern_is_found_where_it_stands_with_the_methods_that_use_it(tmp_path: Path) -> None:
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "words.py").write_text(
        "import re\n_A = re.compile('a', re.DOTALL)\nB = re.compile('b')\n"
        "def words(text):\n    _A.sub('', text)\n    return re.split('c', text)\n"
    )
    (tmp_path / "app" / "other.py").write_text("from app.words import B\nB.search('')\n")
    found = [(use.name, use.pattern and use.pattern.pattern, *use.methods) for use in uses(tmp_path, "app")]
    assert found == [
        ("app/words.py:_A", "a", "sub"),
        ("app/words.py:B", "b", "search"),
        ("app/words.py:words", "c", "split"),
    ]


def test_steps_of_an_exponential_pattern_end_at_the_ceiling() -> None:
    with pytest.raises(TooManySteps):
        Machine(re.compile(r"(a+)+$")).run("search", "a" * 100 + "b", most=10_000)

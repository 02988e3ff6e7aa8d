"""The tree of errors: as its docstring draws it, and with exit codes that tell each from all others."""

from __future__ import annotations

import re

import pytest

from app import errors
from app.errors import LocationError, MillraceError, RequestError

SHELLS_OWN = {0, 2, 130}
COMMANDS_OWN = {3, 60}
FIRST_SIGNAL = 126  # from here on a shell tells of signals, and of what it cannot run

LINE = re.compile(
    r"^    (?P<branch>[│├└─ ]*)(?P<name>\w+Error) +(?P<code>\d+)(?:   (?P<about>[^(]*?)(?:\((?P<status>\d+)\))?)?$",
    re.MULTILINE,
)


def classes() -> list[type[MillraceError]]:
    """Those that the module defines."""
    found: list[type[MillraceError]] = [
        member for member in vars(errors).values() if isinstance(member, type) and issubclass(member, MillraceError)
    ]
    assert MillraceError in found
    return found


def drawn() -> dict[str, tuple[str, int, int]]:
    """What the docstring draws: of each class its parent, exit code and HTTP status; none said is the parent's."""
    tree: dict[str, tuple[str, int, int]] = {}
    above: list[str] = []
    for line in LINE.finditer(errors.__doc__ or ""):
        depth = len(line["branch"]) // 4
        parent = above[depth - 1] if depth else "Exception"
        inherited = tree[parent][2] if depth else 500
        tree[line["name"]] = (parent, int(line["code"]), int(line["status"] or inherited))
        above[depth:] = [line["name"]]
    return tree


def test_the_drawing_is_the_tree() -> None:
    tree = {error.__name__: (error.__bases__[0].__name__, error.exit_code, error.status) for error in classes()}
    assert drawn() == tree


def test_an_exit_code_tells_one_error_from_all_others() -> None:
    codes = [error.exit_code for error in classes()]
    assert len(set(codes)) == len(codes)
    assert not set(codes) & (SHELLS_OWN | COMMANDS_OWN)
    assert all(0 < code < FIRST_SIGNAL for code in codes)
    assert all("exit_code" in vars(error) for error in classes())


def test_a_status_is_an_errors() -> None:
    assert {error.status for error in classes()} <= set(range(400, 600))


@pytest.mark.parametrize("error", classes(), ids=lambda error: error.__name__)
def test_each_is_made_from_its_one_line(error: type[MillraceError]) -> None:
    assert str(error("where: what; do this")) == "where: what; do this"


def test_a_request_error_has_the_field_at_fault() -> None:
    assert (RequestError("x").field, RequestError("x").known) == ("", "")
    assert (RequestError("x", "$.a").field, RequestError("x", "$.a").known) == ("$.a", "$.a")
    assert RequestError("x", "$.a", "$").known == "$"


def test_a_message_is_one_line_whatever_is_in_the_names_it_tells() -> None:
    assert LocationError("s3://b/in\nput: is not there").line == "s3://b/in put: is not there"

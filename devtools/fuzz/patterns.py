"""The regular expressions of `app/`, with their steps counted."""

from __future__ import annotations

from pathlib import Path

from devtools.fuzz.target import BrokenPromiseError
from devtools.fuzz.text import LONGEST, text_of
from devtools.steps.machine import Machine, TooManySteps
from devtools.steps.sources import uses

MOST_STEPS = 500  # a character: alternatives times bounds of repeats

_MACHINES = [(each, Machine(each.pattern)) for each in uses(Path(__file__).parents[2], "app") if each.pattern]


def check_pattern(data: bytes) -> None:
    """Search a text with one pattern, which the first byte chooses: steps in proportion to the text's length."""
    if not data:
        return
    use, machine = _MACHINES[data[0] % len(_MACHINES)]
    text = data[1 : LONGEST + 1] if machine.is_bytes else text_of(data[1 : LONGEST + 1])
    for how in use.methods:
        try:
            machine.run(how, text, MOST_STEPS * (len(text) + 1))
        except TooManySteps:
            raise BrokenPromiseError(f"{use.name} takes more than {MOST_STEPS} steps a character") from None

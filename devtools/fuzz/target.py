"""What a target is, and the promises that several targets check: memory by the byte, errors of ours alone."""

from __future__ import annotations

import contextlib
import gc
import importlib
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

Check = Callable[[bytes], None]

SEEDS = Path(__file__).parent / "seeds"
_HERE = __package__

TARGETS = {
    "fold": "text:check_folding",
    "patterns": "patterns:check_pattern",
    "renderers": "text:check_renderers",
    "alerts": "alerts:check_alert",
    "documents": "alerts:check_document",
    "tenants": "alerts:check_tenants",
    "events": "stream:check_event",
    "payloads": "stream:check_payload",
    "aggregates": "stream:check_aggregate",
    "templates": "templates:check_template",
    "bundles": "stored:check_bundle",
    "states": "stored:check_state",
    "http": "http:check_requests",
}
"""Module and function of each target; modules are imported when they run, so that atheris sees the code they call."""


class BrokenPromiseError(AssertionError):
    """A target's input breaks its promise: which, in one line."""


def load(name: str) -> Check:
    """Return the function of a target."""
    module, _, function = TARGETS[name].partition(":")
    check: Check = getattr(importlib.import_module(f"{_HERE}.{module}"), function)
    return check


def seeds_of(name: str) -> list[Path]:
    """Return the kept cases of a target, sorted."""
    return sorted(path for path in (SEEDS / name).glob("*") if path.is_file())


def promise(holds: object, message: str) -> None:
    """Raise a `BrokenPromiseError` unless something holds."""
    if not holds:
        raise BrokenPromiseError(message)


@contextlib.contextmanager
def ours_alone(*faults: type[Exception]) -> Iterator[None]:
    """Let errors pass that a reader may raise: these, and Millrace's own if they have one clear line."""
    from app.errors import MillraceError  # noqa: PLC0415 - atheris sees no code that is imported before it

    try:
        yield
    except MillraceError as error:
        promise(str(error).strip() and "\n" not in error.line, f"{type(error).__name__} without a line")
    except faults as fault:
        promise(str(fault).strip(), f"{type(fault).__name__} without a message")


@contextlib.contextmanager
def memory(base_bytes: int, a_byte: float, size: int) -> Iterator[None]:
    """Hold the peak of allocated memory to a budget.

    Args:
        base_bytes: What may be taken whatever the input's size.
        a_byte: What may be taken for each byte of the input.
        size: Bytes of the input.
    """
    started = not tracemalloc.is_tracing()
    if started:
        gc.collect()
        tracemalloc.start()
    tracemalloc.reset_peak()
    before, _ = tracemalloc.get_traced_memory()
    try:
        yield
    finally:
        _, peak = tracemalloc.get_traced_memory()
        if started:
            tracemalloc.stop()
    allowed = base_bytes + a_byte * size
    promise(peak - before <= allowed, f"{peak - before} bytes of memory for {size}; the budget is {allowed:.0f}")

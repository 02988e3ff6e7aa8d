"""Run the checker in a process that reads one module with a change, and tell what noticed it.

`python -m devtools.mutants.trial < trial.json`: the parent gives the change, this prints the answer as JSON.
"""

from __future__ import annotations

import contextlib
import importlib.abc
import importlib.machinery
import importlib.util
import itertools
import logging
import os
import signal
import sys
import time
import traceback
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from types import CodeType, FrameType, ModuleType

    import pytest

HISTORY_S = 20  # processor time of one history; a usual one takes some ten milliseconds


class Trial(msgspec.Struct):
    """A trial to run.

    Attributes:
        module: The module with the change; empty for none.
        source: Its text with the change.
        histories: Seeds from 1 on.
        seconds: Time for all of them.
        left_out: Seeds that fail without a change too.
        controls: Whether to play the controls' scenarios too (`benchmarks/controls`).
        tests: Tests to run too, as pytest names them.
    """

    module: str = ""
    source: str = ""
    histories: int = 500
    seconds: float = 60.0
    left_out: list[int] = []
    controls: bool = True
    tests: tuple[str, ...] = ()


class Caught(msgspec.Struct):
    """The result of a trial.

    Attributes:
        by: The broken invariant, or the exception; empty if nothing noticed the change.
        details: Its message.
        seed: The history's.
        histories: How many ran, that one included.
    """

    by: str = ""
    details: str = ""
    seed: int = 0
    histories: int = 0


class _EndlessError(BaseException):
    """A history does not end; nothing in the spine catches it."""


class _Changed(importlib.machinery.SourceFileLoader):
    """Loads one module from another text."""

    text = ""

    def get_code(self, fullname: str) -> CodeType:
        """Compile the text; no compiled file is read or written."""
        return compile(self.text, self.get_filename(fullname), "exec", dont_inherit=True)


class _Finder(importlib.abc.MetaPathFinder):
    def __init__(self, module: str, text: str) -> None:
        self._module, self._text = module, text

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != self._module:
            return None
        found = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if found is None or found.origin is None:
            return None
        loader = _Changed(fullname, found.origin)
        loader.text = self._text
        return importlib.util.spec_from_file_location(fullname, found.origin, loader=loader)


def run(trial: Trial) -> Caught:
    """Run histories, and then the controls, until one of them notices the change."""
    signal.signal(signal.SIGVTALRM, _end)
    ends_s = time.monotonic() + trial.seconds
    ran = 0
    for seed in itertools.islice((seed for seed in itertools.count(1) if seed not in trial.left_out), trial.histories):
        ran += 1
        if found := _noticed(seed):
            return Caught(*found, seed, ran)
        if time.monotonic() > ends_s:
            break
    found = (_noticed_by_controls() if trial.controls else None) or _noticed_by_tests(trial.tests)
    return Caught(*found, 0, ran) if found else Caught(histories=ran)


def failing_seeds(seeds: Iterable[int]) -> list[int]:
    """Return the seeds whose histories fail in this process."""
    signal.signal(signal.SIGVTALRM, _end)
    return [seed for seed in seeds if _noticed(seed)]


def _noticed(seed: int) -> tuple[str, str] | None:
    """Run the history of a seed; return the broken invariant, or the exception that ended it."""
    from app.stream.testing.checker import check  # noqa: PLC0415 - imported with the change
    from app.stream.testing.history import make_history  # noqa: PLC0415 - as above

    signal.setitimer(signal.ITIMER_VIRTUAL, HISTORY_S)
    try:
        broken = check(make_history(seed)).violations
    except _EndlessError:
        return "does not end", f"{HISTORY_S} s of processor time"
    except Exception as error:  # noqa: BLE001 - a change may raise anything, and that is noticed
        where = traceback.extract_tb(error.__traceback__)[-1].name
        return type(error).__name__, f"in {where}: {error}"
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    return (broken[0].invariant, broken[0].details) if broken else None


def _noticed_by_controls() -> tuple[str, str] | None:
    from benchmarks.controls import ours, plan  # noqa: PLC0415 - as above

    os.environ.update(AWS_ACCESS_KEY_ID="none", AWS_SECRET_ACCESS_KEY="none", AWS_DEFAULT_REGION="us-east-1")  # noqa: S106 - nothing is called
    for scenario in plan.SCENARIOS:
        for seed in (1, 2, 3):
            verdict = plan.judge(ours.play(scenario, seed))
            if verdict.lost or verdict.doubled or verdict.unordered or verdict.stuck:
                return f"controls: {scenario}", str(verdict)
    return None


class _FirstFailure:
    """A plugin of pytest that keeps the first test that fails."""

    name = ""

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed and not self.name:
            self.name = report.nodeid


def _noticed_by_tests(tests: Sequence[str]) -> tuple[str, str] | None:
    if not tests:
        return None
    import pytest  # noqa: PLC0415 - few trials need it

    logging.disable(logging.NOTSET)
    kept = _FirstFailure()
    with contextlib.redirect_stdout(sys.stderr):
        # An installed plugin's package is imported by pytest itself, to rewrite its assertions: without the change.
        os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
        pytest.main(["-q", "-x", "-p", "no:cacheprovider", *tests], plugins=[kept])
    return (f"test: {kept.name.rpartition('::')[2]}", kept.name) if kept.name else None


def _end(_number: int, _frame: FrameType | None) -> None:
    raise _EndlessError


def main() -> None:
    """Read a trial, and print its result."""
    trial = msgspec.json.decode(sys.stdin.buffer.read(), type=Trial)
    if trial.module:
        sys.meta_path.insert(0, _Finder(trial.module, trial.source))
    logging.disable(logging.CRITICAL)
    sys.stdout.buffer.write(msgspec.json.encode(run(trial)))


if __name__ == "__main__":
    main()

"""Run histories without a change, and print the lines of the spine that they run: `python -m …baseline HISTORIES`."""

from __future__ import annotations

import logging
import sys

import coverage
import msgspec

from devtools.mutants.generated import MODULES, ROOT

LINE_HISTORIES = 150  # measuring is slow, and later histories run hardly any line for the first time


def main(histories: int) -> None:
    """Measure the first histories, and run all."""
    logging.disable(logging.CRITICAL)
    files = {str(ROOT / (module.replace(".", "/") + ".py")): module for module in MODULES}
    measured = coverage.Coverage(include=list(files), data_file=None, config_file=False)
    measured.start()
    from devtools.mutants.trial import failing_seeds  # noqa: PLC0415 - what it imports is measured

    failing = failing_seeds(range(1, min(histories, LINE_HISTORIES) + 1))
    measured.stop()
    failing += failing_seeds(range(LINE_HISTORIES + 1, histories + 1))
    lines, statements = {}, {}
    for file, module in files.items():
        _, every, _, missing, _ = measured.analysis2(file)
        lines[module], statements[module] = sorted({*every} - {*missing}), len(every)
    found = {"lines": lines, "statements": statements, "failing": failing}
    sys.stdout.buffer.write(msgspec.json.encode(found))


if __name__ == "__main__":
    main(int(sys.argv[1]))

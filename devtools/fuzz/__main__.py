"""The command: run targets for a while, two at a time, and say what each found."""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

from devtools.fuzz.target import SEEDS, TARGETS, load, seeds_of

SECONDS = 60  # a target, in CI; a person gives it hours
SEED = 1  # of the inputs: a change that fails in CI fails again at home, and none fails by another's luck
LONGEST_BYTES = 16_384  # of an input: quadratic time and memory by the element show far below it
SLOWEST_S = 25  # an input: what is timed is steps and bytes, this only ends a loop without an end
MOST_MEMORY_MIB = 1024
FOUND = Path("fuzz-found")
MOST_LINES, LONGEST_LINE = 60, 400  # of what a process says that ended on a broken promise
_RUNS = re.compile(rb"Done (\d+) runs|#(\d+)\s")
_BRANCHES = re.compile(rb"cov: (\d+)")


def main() -> None:
    """Run; exit with 1 where a promise was broken, and 3 where atheris is not installed."""
    parser = argparse.ArgumentParser(
        prog="python -m devtools.fuzz",
        description="Fuzz what reads input from outside: each target runs for some seconds and reports what it found.",
        epilog=f"A found case is written to {FOUND}/TARGET-…; put it into devtools/fuzz/seeds/TARGET/"
        " once it is mended: the unit tests run it from then on.",
    )
    parser.add_argument("targets", nargs="*", metavar="TARGET", help="all of them without: " + ", ".join(TARGETS))
    parser.add_argument("--seconds", type=int, default=SECONDS, help="for each target (default: %(default)s)")
    parser.add_argument(
        "--seed", type=int, default=SEED, help="of the inputs; 0: another each time (default: %(default)s)"
    )
    parser.add_argument("--jobs", type=int, default=2, help="targets at a time (default: %(default)s)")
    parser.add_argument("--replay", type=Path, metavar="FILE", help="give one target this input, and no others")
    parser.add_argument("--worker", metavar="FOLDER", help=argparse.SUPPRESS)  # run here, with inputs in this folder
    options = parser.parse_args()
    if unknown := [name for name in options.targets if name not in TARGETS]:
        parser.error(f"no target {unknown[0]!r}; there are {', '.join(TARGETS)}")
    if options.replay:
        if len(options.targets) != 1:
            parser.error("--replay takes one target")
        try:
            data = options.replay.read_bytes()
        except OSError as error:
            parser.error(f"{options.replay}: cannot be read: {error.strerror}")
        load(options.targets[0])(data)
        _show("the promise holds")
    elif find_spec("atheris") is None:
        _show("atheris is not installed: it comes with scripts/fuzz.sh, for Python 3.11 to 3.13 on Linux")
        sys.exit(3)
    elif options.worker:
        _work(options.targets[0], options.seconds, options.seed, options.worker)
    else:
        names = options.targets or list(TARGETS)
        with ThreadPoolExecutor(options.jobs) as jobs:
            held = list(jobs.map(lambda name: _run(name, options.seconds, options.seed), names))
        sys.exit(not all(held))


def _run(name: str, seconds: int, seed: int) -> bool:
    """Run a target in a process of its own, print a line about it, and return whether its promise held."""
    from app.text import printable  # noqa: PLC0415 - atheris sees no code that is imported before it, in the worker

    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable,
            "-m",
            "devtools.fuzz",
            "--worker",
            folder,
            "--seconds",
            str(seconds),
            "--seed",
            str(seed),
        ]
        done = subprocess.run([*command, name], capture_output=True, check=False)  # noqa: S603 - this module itself
    runs = max((int(one or other) for one, other in _RUNS.findall(done.stderr)), default=0)
    branches = max(map(int, _BRANCHES.findall(done.stderr)), default=0)
    has_held = done.returncode == 0
    _show(f"{name:<12}{runs:>10,} inputs{branches:>8,} branches  {'held' if has_held else 'BROKEN'}")
    if not has_held:
        lines = (done.stdout + done.stderr).decode(errors="replace").splitlines()
        shown = [printable(line, LONGEST_LINE) for line in lines if not line.startswith(("#", "INFO", "WARNING"))]
        _show("\n".join(shown[-MOST_LINES:]))
    return has_held


def _show(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - the command's results


def _work(name: str, seconds: int, seed: int, folder: str) -> None:
    """Let atheris run a target in this process, which it ends."""
    import atheris  # noqa: PLC0415 - of its own group of packages

    with atheris.instrument_imports(include=["app", "devtools.steps.machine"], enable_loader_override=False):
        check = load(name)
    tracemalloc.start()  # once: to start it for each input takes longer than most inputs do
    FOUND.mkdir(exist_ok=True)
    atheris.Setup(
        [
            name, folder, *([str(SEEDS / name)] if seeds_of(name) else []),
            f"-seed={seed}", f"-max_total_time={seconds}", f"-max_len={LONGEST_BYTES}", f"-timeout={SLOWEST_S}",
            f"-rss_limit_mb={MOST_MEMORY_MIB}", f"-artifact_prefix={FOUND}/{name}-", "-print_final_stats=1",
        ],
        check,
    )  # fmt: skip
    atheris.Fuzz()


if __name__ == "__main__":
    main()

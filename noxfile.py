"""The everyday commands by name: `nox --list`. Each is a call of the project's scripts, which make what they need."""

from __future__ import annotations

import nox

nox.options.sessions = ["style", "types", "unit"]
nox.options.default_venv_backend = "none"  # the scripts have environments of their own, from the locked sets


@nox.session
def fix(session: nox.Session) -> None:
    """Mend the style of the code where a tool can."""
    session.run(".venv/bin/ruff", "check", "--fix", ".", external=True)
    session.run(".venv/bin/ruff", "format", ".", external=True)


@nox.session
def style(session: nox.Session) -> None:
    """Check the style of code and scripts."""
    session.run("scripts/test.sh", "style", external=True)


@nox.session
def types(session: nox.Session) -> None:
    """Check the types, strictly."""
    session.run("scripts/test.sh", "types", external=True)


@nox.session
def unit(session: nox.Session) -> None:
    """Run the unit tests and the examples; what follows `--` goes to pytest."""
    if session.posargs:
        session.run(".venv/bin/python", "-m", "pytest", *session.posargs, external=True)
    else:
        session.run("scripts/test.sh", "unit", external=True)


@nox.session
def test(session: nox.Session) -> None:
    """Run all tests but the slow ones, or the stages of scripts/test.sh that follow `--`."""
    session.run("scripts/test.sh", *session.posargs, external=True)


@nox.session
def docs(session: nox.Session) -> None:
    """Draw the picture of the architecture and build the documentation into site/."""
    session.run(".venv/bin/python", "-m", "devtools.house", "--draw", external=True)
    session.run("scripts/test.sh", "docs", external=True)


@nox.session
def lock(session: nox.Session) -> None:
    """Lock the versions of the Pipfile and write requirements/."""
    session.run("scripts/lock.sh", *session.posargs, external=True)


@nox.session
def demo(session: nox.Session) -> None:
    """Show the main job end to end on this machine."""
    session.run("scripts/demo.sh", *session.posargs, external=True)


@nox.session
def ci(session: nox.Session) -> None:
    """Run what CI runs."""
    session.run(".ci/run", external=True)

"""Derive the ATT&CK table that Millrace ships: `python -m model.attack.derive attack_enterprise_v19.0_slim.json`.

Ids, names, tactics and retirements are facts of ATT&CK; descriptions are not copied.
"""

from __future__ import annotations

import sys
from pathlib import Path  # noqa: TC003 - the command line reads the annotations
from typing import Annotated, Any

import msgspec
import typer

from app.domains.alerts.attack import TABLE, AttackTable, Tactic, Technique
from app.errors import LocationError, MillraceError
from app.storage.location import read_location, write_location

NOTICE = (
    "© 2026 The MITRE Corporation. "
    "This work is reproduced and distributed with the permission of The MITRE Corporation."
)


def derive(source: dict[str, Any]) -> AttackTable:
    """Return the table of a slim matrix: techniques keep the order of their tactics, retirements are followed.

    Raises:
        KeyError: The matrix lacks a key.
    """
    techniques = {
        key: Technique(key, value["name"], tuple(value["tactics"]), value["stix_id"])
        for key, value in sorted(source["techniques"].items())
    }
    retired = {key: _end_of(key, source["retired"]) for key in sorted(source["retired"])}
    return AttackTable(
        version=source["attack_version"],
        notice=NOTICE,
        tactics=tuple(
            Tactic(source["tactics"][name][0], name, source["tactics"][name][1]) for name in source["tactic_order"]
        ),
        techniques=techniques,
        retired={key: value if value in techniques else "" for key, value in retired.items() if key not in techniques},
    )


def main(
    source: Annotated[Path, typer.Argument(help="the slim matrix of ATT&CK, as JSON")],
    out: Annotated[Path, typer.Option(help="the file to write the table to")] = TABLE,
) -> None:
    """Derive the table and write it."""
    try:
        table = derive(msgspec.json.decode(read_location(str(source))))
    except (msgspec.DecodeError, KeyError, TypeError, AttributeError) as error:
        raise LocationError(f"{source}: is not a slim matrix of ATT&CK: {type(error).__name__}: {error}") from None
    write_location(str(out), msgspec.json.format(msgspec.json.encode(table), indent=1) + b"\n")
    print(f"{out.name}: {len(table.techniques)} techniques, {len(table.retired)} retired")


def _end_of(key: str, retired: dict[str, str | None]) -> str:
    seen = {key}
    while (follower := retired.get(key)) and follower not in seen:
        key = follower
        seen.add(key)
    return key


if __name__ == "__main__":
    try:
        typer.run(main)
    except MillraceError as fault:
        print(f"derive: {fault}", file=sys.stderr)
        sys.exit(fault.exit_code)

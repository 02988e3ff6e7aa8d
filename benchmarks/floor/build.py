"""Build the floor, or name the missing package."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

SOURCE = Path(__file__).with_name("floor.cpp")
FLAGS = ("-std=c++17", "-O3", "-march=native", "-ffp-contract=off")
LIBRARIES = ("-lsimdjson", "-lcrypto")
_PACKAGES = {"simdjson": "libsimdjson-dev", "ssl": "libssl-dev", "crypto": "libssl-dev"}


def build(folder: Path) -> tuple[Path | None, str]:
    """Compile the floor into a folder.

    Returns:
        The program and an empty string, or None and the missing package by its Debian name.
    """
    compiler = shutil.which("g++")
    if compiler is None:
        return None, "no g++ (apt-get install g++ libsimdjson-dev libssl-dev)"
    program = folder / "floor"
    built = subprocess.run(  # noqa: S603 - the compiler and our own source
        [compiler, *FLAGS, str(SOURCE), "-o", str(program), *LIBRARIES],
        capture_output=True,
        text=True,
        check=False,
    )
    if built.returncode == 0:
        return program, ""
    fault = next((line for line in built.stderr.splitlines() if "error" in line or "cannot find" in line), "")
    package = next((package for word, package in _PACKAGES.items() if word in fault), None)
    return None, f"no {package} (apt-get install {package})" if package else f"does not compile: {fault[-120:]}"

"""Write the pages that come from the code, in the folder with `docs/`."""

from __future__ import annotations

from pathlib import Path

from devtools.docs import PAGES

for name, make in PAGES.items():
    Path(name).write_text(make(), encoding="utf-8")

"""Measure and draw the code under `app/` from its imports: `python -m devtools.house --help`."""

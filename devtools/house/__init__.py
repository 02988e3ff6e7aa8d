"""The measure and the picture of the code under `app/`, read from its imports: `python -m devtools.house --help`."""

"""Run `python -m devtools.mutants`."""

from devtools.mutants.cli import main

if __name__ == "__main__":
    main()

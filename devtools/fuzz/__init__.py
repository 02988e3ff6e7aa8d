"""Fuzz what reads input from outside: `python -m devtools.fuzz --help`.

A target is a function of bytes that returns where a promise holds and raises where it does not. atheris makes up the
bytes, led by the lines of `app/` that they reach; cases that once broke a promise are kept in `seeds/`, and the unit
tests run each of them, without atheris.
"""

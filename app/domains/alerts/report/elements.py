"""Elements of HTML and SVG, whose texts and attributes are escaped when they are written.

Alert texts are an attacker's: no page is put together from strings. Each text is made printable here, too.
"""

from __future__ import annotations

from xml.etree.ElementTree import Element, SubElement, tostring

from app.text import printable_lines

LONGEST_TEXT = 20_000  # characters of one element


def add(parent: Element, tag: str, text: str = "", **attributes: object) -> Element:
    """Return a new element within another.

    Args:
        parent: The element around it.
        tag: Its tag.
        text: Its text, shown as it is.
        attributes: Attributes; `class_` is `class`, and an underscore a hyphen.
    """
    made = SubElement(parent, tag, _attributes(attributes))
    made.text = printable_lines(text, LONGEST_TEXT)
    return made


def root(tag: str, **attributes: object) -> Element:
    """Return a new element that stands in no other."""
    return Element(tag, _attributes(attributes))


def html(element: Element) -> bytes:
    """Return an element as an HTML document."""
    page: bytes = tostring(element, encoding="utf-8", method="html")
    return b"<!DOCTYPE html>\n" + page + b"\n"


def _attributes(attributes: dict[str, object]) -> dict[str, str]:
    return {
        name.rstrip("_").replace("_", "-"): printable_lines(str(value), LONGEST_TEXT)
        for name, value in attributes.items()
    }

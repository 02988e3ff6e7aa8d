r"""Read Wazuh's rules: XML with several roots, `<rule id="5710"><mitre><id>T1110</id></mitre>…`.

https://documentation.wazuh.com/current/user-manual/ruleset/ruleset-xml-syntax/rules.html

A root is put around the file, so a document type, and with it any entity, is a syntax error. Wazuh's own parser is less
strict than XML: comments may hold `--`, and texts `&` and `\<`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET
from xml.parsers.expat import ErrorString

from model.rules.rule import LONGEST_TITLE, WAZUH, Fault, Rule, line_numbers, line_of, techniques_in, texts_of

if TYPE_CHECKING:
    from collections.abc import Iterator

RULES = re.compile(r"<(?:group|rule|var)\b[^<>]*>")
"""An element that a file of rules begins with."""
_RULE = re.compile(r"<rule[\s>]")
_DECLARATION = re.compile(r"^\s*<\?xml[^>]*\?>")
_LOOSE = re.compile(r"&(?!(?:amp|lt|gt|quot|apos|#\d{1,7}|#x[0-9a-fA-F]{1,6});)|\\<")
_CONTROLS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f]")
_VARIABLE = re.compile(r"\$\([^()]{1,256}\)")
_LOOKED_FOR = ("match", "regex", "field", "decoded_as", "if_group", "category", "program_name", "url", "group")


def read_wazuh(text: str) -> Iterator[Rule | Fault]:
    """Yield the rules of a file; of one that is no XML, those that are closed before the fault."""
    parser: ET.XMLPullParser[ET.Element] = ET.XMLPullParser(["end"])
    fault: ET.ParseError | None = None
    text = _tidy(text)
    lines = line_numbers(text, (each.start() for each in _RULE.finditer(text)))
    parser.feed(f"<rules>{text}</rules>")  # what is wrong is raised by `read_events`, behind what was right
    try:
        parser.close()
    except ET.ParseError as error:
        fault = error
    try:
        for _, element in parser.read_events():  # type: ignore[misc]  # typeshed: of any event
            if isinstance(element, ET.Element) and element.tag == "rule":
                yield _read(element, next(lines, 0))
    except ET.ParseError as error:
        fault = error
    if fault is not None:
        yield Fault(f"no XML: {ErrorString(fault.code)}", fault.position[0], WAZUH)


def _tidy(text: str) -> str:
    """Return text as XML; each line stays where it is."""
    text = _DECLARATION.sub(lambda found: "\n" * found[0].count("\n"), text)
    text = "".join(_without_comments(text))
    return _LOOSE.sub(lambda found: "&amp;" if found[0] == "&" else "&lt;", _CONTROLS.sub(" ", text))


def _without_comments(text: str) -> Iterator[str]:
    """Yield the parts of a text outside comments, and the line ends within; a comment that has no end stays."""
    end = 0
    while (start := text.find("<!--", end)) >= 0 and (close := text.find("-->", start)) >= 0:
        yield text[end:start]
        yield "\n" * text.count("\n", start, close)
        end = close + 3
    yield text[end:]


def _read(element: ET.Element, line: int) -> Rule | Fault:
    rule_id = (element.get("id") or "").strip()
    description = " ".join(each.text or "" for each in element.findall("description"))
    if not rule_id.isdecimal():
        return Fault("a rule has no number as its id", line, WAZUH)
    title = line_of(_VARIABLE.sub("", description), LONGEST_TITLE)
    looked_for = [each.text or "" for tag in _LOOKED_FOR for each in element.findall(tag)]
    return Rule(
        kind=WAZUH,
        titles=texts_of(title),
        ids=texts_of(rule_id),
        techniques=techniques_in(each.text or "" for each in element.findall("mitre/id")),
        detection=line_of(" ".join(looked_for)),
    )

"""Each place that reads a file, standard input, JSON or a compressed stream is bounded, or is listed with its reason.

Whoever writes a new one uses `read_regular`, `open_regular`, `read_location` or `read_standard_input`, and counts a
text's elements before it becomes objects; or adds it here, with the reason why nothing from outside comes there.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
READS = frozenset({"read_bytes", "read_text"})
PARSES = frozenset(
    {"msgspec.json.decode", "msgspec.json.Decoder", "orjson.loads", "json.loads", "json.load", "json_decoder"}
)
INFLATES = frozenset({"decompress", "decompressobj", "GzipFile", "ZipFile"})
COUNTS = frozenset({"is_over_elements", "check_elements", "decode_chunk", "is_over_elements_at"})
"""A function that calls one of these counts elements before it parses."""
OF_ONE_LEVEL = ("msgspec.Raw", "list[msgspec.Raw]", "str")  # types that a text of any size becomes few objects of
CALLED = re.compile(r"\b(read_bytes|read_text|open|stdin|decode|[dD]ecoder|loads?|decompress(obj)?|GzipFile|ZipFile)\b")
"""A module without any of these has no such call."""

OURS = "a file of this package"
TYPED = "a typed struct without open fields: at most a few times its text, which is bounded where it is read"
WRITTEN = "a text that this program wrote"
COUNTED = "its callers count the elements"
HOSTED = "an answer of AWS, over its client"
PIECE = "a piece of a document or a record, within the budget of one alert"
ROWS = "read row by row, or part by part, within a budget"
"""The reasons, in short."""


def name_of(node: ast.expr) -> str:
    """Return a dotted name; where it follows a call or an index, only what is behind that."""
    parts = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    parts.append(node.id if isinstance(node, ast.Name) else "")
    return ".".join(reversed(parts))


def kind_of(call: ast.Call) -> str | None:
    """Return what a call does: reads, parses or inflates."""
    name = name_of(call.func)
    if isinstance(call.func, ast.IfExp):  # one function or another
        either = [kind_of(ast.Call(each, call.args, [])) for each in (call.func.body, call.func.orelse)]
        return next(filter(None, either), None)
    last = name.rpartition(".")[2]
    if last in READS or name == "sys.stdin.buffer.read" or (last == "open" and is_reading(call, name)):
        return "reads"
    if name in PARSES:
        kinds = [ast.unparse(each.value) for each in call.keywords if each.arg == "type"]
        given = kinds or [ast.unparse(each) for each in call.args[:1] if name.endswith("ecoder")]
        return None if given and given[0] in OF_ONE_LEVEL else "parses"
    return "inflates" if last in INFLATES else None


def is_reading(call: ast.Call, name: str) -> bool:
    """Return whether `open` opens a file to be read: a handler's, a pipeline's and a shard's `open` do not."""
    modes = [each.value for each in call.args if isinstance(each, ast.Constant) and isinstance(each.value, str)]
    return name in {"open", "gzip.open", "bz2.open", "lzma.open"} or any(set(mode) <= set("rbt") for mode in modes)


def counts(function: ast.FunctionDef) -> bool:
    return any(isinstance(each, ast.Call) and name_of(each.func) in COUNTS for each in ast.walk(function))


class Finder(ast.NodeVisitor):
    """Finds the calls of a module, by the function that they are in."""

    def __init__(self, module: str) -> None:
        self.found: set[tuple[str, str]] = set()
        self._where, self._functions = [module], list[ast.FunctionDef]()

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self._where.append(node.name)
        self._functions.append(node)
        self.generic_visit(node)
        self._where.pop()
        self._functions.pop()

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self._where.append(node.name)
        self.generic_visit(node)
        self._where.pop()

    def visit_Call(self, node: ast.Call) -> None:
        kind = kind_of(node)
        if kind is not None and not (kind == "parses" and any(map(counts, self._functions))):
            self.found.add((".".join(self._where), kind))
        self.generic_visit(node)


def unbounded() -> set[tuple[str, str]]:
    found: set[tuple[str, str]] = set()
    for path in sorted((ROOT / "app").rglob("*.py")):
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        if module.startswith("app.stream.testing"):  # the test kit reads what it has written
            continue
        text = path.read_text("utf-8")
        if CALLED.search(text):
            finder = Finder(module)
            finder.visit(ast.parse(text))
            found |= finder.found
    return found


LISTED: dict[tuple[str, str], str] = {
    ("app.cli.mapping._json", "parses"): "an option's text, or a file of 4 MiB at the most",
    ("app.doctor.here._pins", "reads"): OURS,
    ("app.domains.alerts.ait_ads.read_rows", "reads"): ROWS,
    ("app.domains.alerts.attack.attack_table", "parses"): OURS,
    ("app.domains.alerts.attack.attack_table", "reads"): OURS,
    ("app.domains.alerts.files.external._read_lines", "parses"): ROWS,
    ("app.domains.alerts.flows.causality.technique_order", "parses"): OURS,
    ("app.domains.alerts.flows.causality.technique_order", "reads"): OURS,
    ("app.domains.alerts.formats.envelopes._decoded", "inflates"): PIECE,
    ("app.domains.alerts.formats.envelopes._forgiving", "parses"): PIECE,
    ("app.domains.alerts.formats.parts._object", "parses"): PIECE,
    ("app.domains.alerts.formats.inflate._members", "inflates"): ROWS,
    ("app.domains.alerts.formats.pieces._text_of", "parses"): PIECE,
    ("app.domains.alerts.formats.products.microsoft.parsed", "parses"): PIECE,
    ("app.domains.alerts.lookups.dynamodb", "parses"): TYPED,
    ("app.domains.alerts.records", "parses"): WRITTEN,
    ("app.domains.alerts.report.page._style", "reads"): OURS,
    ("app.domains.alerts.state_bytes.unpack_state", "inflates"): "it inflates to a limit",
    ("app.domains.alerts.techniques.catalogue.shipped_catalogue", "parses"): OURS,
    ("app.domains.alerts.techniques.catalogue.shipped_catalogue", "reads"): OURS,
    ("app.domains.alerts.techniques.findings.shipped_finding_types", "reads"): OURS,
    ("app.domains.alerts.techniques.signatures.shipped_signatures", "reads"): OURS,
    ("app.domains.bike.handlers", "parses"): COUNTED,
    ("app.domains.bike.pipeline.BikePipeline.explain", "parses"): WRITTEN,
    ("app.domains.general.handlers._encoded", "parses"): WRITTEN,
    ("app.domains.model.pipeline.ModelPipeline.explain", "parses"): WRITTEN,
    ("app.handlers.api.binding._decoder", "parses"): COUNTED,
    ("app.handlers.api.binding._strict", "parses"): COUNTED,
    ("app.handlers.api.lambda_events", "parses"): COUNTED,
    ("app.handlers.request.TextDecoder.__init__", "parses"): COUNTED,
    ("app.handlers.sources.kinesis.HandlerPipeline.__init__", "parses"): COUNTED,
    ("app.handlers.sources.kinesis._UndecodedDecoder.__init__", "parses"): COUNTED,
    ("app.inference.manifest.read_manifest", "parses"): TYPED,
    ("app.jobs.head._head_in", "parses"): WRITTEN,
    ("app.jobs.plan.decoded", "parses"): TYPED,
    ("app.storage.archive.open_archive", "inflates"): "it opens an archive, whose readers inflate to a limit",
    ("app.storage.collecting", "parses"): WRITTEN,
    ("app.storage.location.read_standard_input", "reads"): "it reads to a limit",
    ("app.stream.event", "parses"): TYPED,
    ("app.stream.mapping.checkpoint.CheckpointFile.load", "parses"): TYPED,
    ("app.stream.mapping.filters._read_json", "parses"): COUNTED,
    ("app.stream.outcomes.readable", "parses"): WRITTEN,
    ("app.stream.payload._inflate", "inflates"): "it inflates to a limit",
    ("app.stream.payload.json_decoder", "parses"): COUNTED,
    ("app.stream.processor.Processor.__init__", "parses"): COUNTED,
    ("app.stream.putrecords", "parses"): HOSTED,
    ("app.stream.putrecords.SignedPutRecords.record_limit_bytes", "parses"): HOSTED,
    ("app.stream.putrecords._fault_of", "parses"): HOSTED,
    ("app.stream.record_rows", "parses"): TYPED,
    ("app.stream.replay.QuarantinedRecords.__iter__", "parses"): WRITTEN,
    ("app.stream.replay._read", "parses"): TYPED,
    ("app.text.decode_json", "parses"): COUNTED,
}


def test_what_is_read_from_outside_is_bounded_or_has_a_reason() -> None:
    found = unbounded()
    assert found - set(LISTED) == set(), "bound it, or list it with the reason why it needs no bound"
    assert set(LISTED) - found == set(), "it is bounded or gone: take it off the list"


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("def f(path): return path.read_bytes()", "reads"),
        ("def f(path): return open(path)", "reads"),
        ("def f(path): return path.open('rb').read()", "reads"),
        ("def f(path): return (gzip.open if path.suffix else open)(path)", "reads"),
        ("def f(): return sys.stdin.buffer.read()", "reads"),
        ("def f(text): return msgspec.json.decode(text)", "parses"),
        ("def f(text): return orjson.loads(text)", "parses"),
        ("decode = msgspec.json.Decoder().decode", "parses"),
        ("def f(data): return zlib.decompress(data)", "inflates"),
        ("def f(data): return zipfile.ZipFile(data)", "inflates"),
        ("def f(text): return None if is_over_elements(text) else msgspec.json.decode(text)", None),
        ("def f(text): return msgspec.json.decode(text, type=list[msgspec.Raw])", None),
        ("def f(path): return read_regular(path, 10)", None),
        ("def f(path): return path.open('wb')", None),
    ],
)
def test_a_new_reader_is_found(code: str, kind: str | None) -> None:
    finder = Finder("m")
    finder.visit(ast.parse(code))
    assert {each for _, each in finder.found} == ({kind} if kind else set())

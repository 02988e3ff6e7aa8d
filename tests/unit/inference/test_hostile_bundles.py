"""Bundles whose files were damaged, or made to do harm, under a manifest with the right digests: one line each."""

from __future__ import annotations

import ast
import hashlib
import io
import os
import random
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pytest

from app import inference
from app.domains.alerts.clusters.affinity import Affinity, AlertType
from app.domains.alerts.techniques.model import TechniqueModel
from app.domains.bike.model import BikeModel
from app.domains.bike.pipeline import BikePipeline
from app.domains.model.pipeline import ModelPipeline
from app.errors import DigestMismatchError, LocationError, MillraceError, ModelError
from app.inference.arrays import MOST_ARRAY_BYTES, read_arrays
from app.inference.bundle import Bundle, find_bundle, list_bundles
from app.inference.manifest import MANIFEST, MOST_MANIFEST_BYTES, Field, File, Manifest, Target, read_manifest
from app.storage.objects import MemoryObjects

if TYPE_CHECKING:
    from collections.abc import Callable

APP = Path(inference.__file__).parents[1]
FIND_ARGUMENTS = 4  # the last is who must have signed the bundle
FIELDS = [Field(f"f{index}", "float", required=False) for index in range(8)]


def npz(**arrays: Any) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


LINEAR = npz(coef=np.ones(8), intercept=np.array(0.5))


def manifest(files: dict[str, bytes], **changes: Any) -> Manifest:
    digests = {name: File(hashlib.sha256(data).hexdigest(), len(data)) for name, data in files.items()}
    made = Manifest("toy", "a", "toy", "2026-01-01", FIELDS, {}, "", "", digests, Target("cnt"))
    return msgspec.structs.replace(made, **changes)


def bundle(**files: bytes) -> Bundle:
    named = {name.replace("_", "."): data for name, data in files.items()}
    return Bundle(manifest(named), MemoryObjects(named))


def predict_bike(found: Bundle) -> None:
    pipeline = found.load(lambda each: BikePipeline(BikeModel.load(each), each.manifest))
    for time in ({"timestamp": "2016-12-25T14:00:00"}, {}):
        features = {"t1": 14.0, "t2": 2.0, "hum": 50.0, "weather_code": 1.0, "wind_speed": 3.0, **time}
        pipeline.explain(msgspec.convert({"features": features, "pred_id": 1}, pipeline.record_type))


def predict_technique(found: Bundle) -> None:
    model = found.load(TechniqueModel.load)
    model.predict(["powershell mimikatz", "a scan of ports\nof a host"])


def compare_types(found: Bundle) -> None:
    affinity = found.load(Affinity.load)
    affinity.between(AlertType("web scan"), AlertType("port scan"))
    affinity.weight("web scan")


def predict_own(found: Bundle) -> None:
    pipeline = found.load(ModelPipeline)
    pipeline.explain(msgspec.convert({"features": {"f0": 1.0}, "pred_id": 1}, pipeline.record_type))


@dataclass
class Attack:
    """A bundle whose files are to be damaged."""

    manifest: Manifest
    files: dict[str, bytes]
    use: Callable[[Bundle], object]
    tries: int

    def used(self, **changed: bytes) -> MillraceError | None:
        """Loads it with other files and predicts; the error of a refusal."""
        files = self.files | {name.replace("_", "."): data for name, data in changed.items()}
        described = manifest(files).files
        try:
            self.use(Bundle(msgspec.structs.replace(self.manifest, files=described), MemoryObjects(files)))
        except ModelError as error:
            assert str(error).startswith("memory")  # the bundle's location
            assert "\n" not in str(error)
            return error
        return None


def shipped(name: str, use: Callable[[Bundle], object], tries: int) -> Attack:
    found = find_bundle(name)
    files = {file: found.read(file) for file in found.manifest.files if file.endswith((".npz", ".onnx", ".json"))}
    return Attack(found.manifest, files, use, tries)


def own(tries: int) -> Attack:
    return Attack(manifest({}), {"model.npz": LINEAR}, predict_own, tries)


def damaged(data: bytes, chance: random.Random) -> bytes:
    """A file with bits flipped in its first bytes or anywhere, cut off, or with a part gone, doubled or moved."""
    start, stop = sorted(chance.choices(range(len(data) + 1), k=2))
    how = chance.randrange(6)
    if how < 2:
        changed = bytearray(data)
        changed[chance.randrange(min(200, len(data)) if how else len(data))] ^= 1 << chance.randrange(8)
        return bytes(changed)
    if how == 2:
        return data[:stop]
    if how == 3:
        return data[:start] + data[start + 40 :]
    if how == 4:
        return data[:stop] + data[start : start + 100] + data[stop:]
    return remade(data, chance) if data.startswith(b"PK") else data[stop:] + data[:stop]


def remade(data: bytes, chance: random.Random) -> bytes:
    """An `.npz` with two arrays exchanged, or one of another type or shape: right to zip and numpy."""
    with np.load(io.BytesIO(data)) as archive:
        arrays = {name: archive[name] for name in archive.files}
    one, other = chance.choices(list(arrays), k=2)
    arrays[one], arrays[other] = arrays[other], arrays[one]
    changes: list[Callable[[Any], Any]] = [
        lambda array: array.astype(chance.choice(["i8", "U3", "?", "u1"])),
        lambda array: array.reshape(-1)[: chance.randrange(array.size + 1)],
        lambda array: array[None],
        lambda array: array.T,
    ]
    arrays[one] = chance.choice(changes)(arrays[one])
    return npz(**arrays)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize(
    "attack",
    [
        lambda: shipped("bike", predict_bike, 30),
        lambda: shipped("cluster", compare_types, 30),
        lambda: shipped("technique", predict_technique, 2),
        lambda: own(40),
    ],
    ids=["bike", "cluster", "technique", "own"],
)
def test_a_damaged_bundle_is_one_line_or_a_model(attack: Callable[[], Attack], seed: int) -> None:
    whole, chance = attack(), random.Random(seed)
    assert whole.used() is None
    refused = 0
    for _ in range(whole.tries):
        name = chance.choice(list(whole.files))
        refused += whole.used(**{name: damaged(whole.files[name], chance)}) is not None
    assert refused or whole.tries < 10


def test_a_bundle_is_cut_at_every_length() -> None:
    whole = own(0)
    for length in range(len(LINEAR)):
        assert whole.used(model_npz=LINEAR[:length]) is not None


def test_a_fault_of_any_kind_is_one_line_with_the_bundles_location() -> None:
    def build(fault: BaseException) -> Callable[[Bundle], None]:
        def raises(_: Bundle) -> None:
            raise fault

        return raises

    faults = [KeyError("x"), RecursionError(), MemoryError(), OverflowError(), zipfile.BadZipFile("a\nb")]
    for fault in faults:
        with pytest.raises(ModelError, match=rf"^memory: cannot be used \({type(fault).__name__}\): .*$") as refused:
            bundle().load(build(fault))
        assert "\n" not in str(refused.value)
    with pytest.raises(ModelError, match=r"^memory/weights: are none$"):
        bundle().load(build(ModelError("weights: are none")))
    with pytest.raises(LocationError):  # no fault of the bundle's
        bundle().load(build(LocationError("elsewhere")))


def test_files_become_models_in_one_way() -> None:
    """Whoever finds a bundle uses it through `load` alone, or asks what its manifest and its location say."""
    callers = 0
    for path in APP.rglob("*.py"):
        text = path.read_text()
        if path.parent.name == "inference" or "find_bundle" not in text:
            continue
        for function in ast.walk(ast.parse(text)):
            if not isinstance(function, ast.FunctionDef):
                continue
            finds = [each for each in ast.walk(function) if isinstance(each, ast.Call) and _finds(each)]
            if not finds:
                continue
            callers += 1
            assert all(len(each.args) == FIND_ARGUMENTS for each in finds), f"{path}: find_bundle without MODEL_KEYS"
            used = {
                each.attr
                for each in ast.walk(function)
                if isinstance(each, ast.Attribute) and (each.value in finds or _is_bundle(each.value))
            }
            passed = [
                each
                for each in ast.walk(function)
                if isinstance(each, ast.Call) and any(given in finds or _is_bundle(given) for given in each.args)
            ]
            assert used <= {"load", "manifest", "objects"}, f"{path}: {function.name}"
            assert not passed, f"{path}: {function.name}"
    assert callers >= 5


READERS = {
    "np.load(": set[str](),
    "read_array(": {"app/inference/arrays.py"},
    "ZipFile(": {"app/storage/archive.py"},
    "InferenceSession(": {"app/inference/models.py"},
    "zlib.decompress(": set[str](),  # it has no bound
    "pickle.load": set[str](),
}


def test_what_reads_untrusted_forms_stands_in_one_place() -> None:
    for path in (*APP.rglob("*.py"), *(APP.parent / "model").rglob("*.py")):
        text, name = path.read_text(), path.relative_to(APP.parent).as_posix()
        for call, places in READERS.items():
            assert call not in text or name in places, f"{name}: {call}…) is for {places or 'nobody'}"


def _is_bundle(value: ast.expr) -> bool:
    return isinstance(value, ast.Name) and value.id == "bundle"


def _finds(call: ast.Call) -> bool:
    return isinstance(call.func, ast.Name) and call.func.id in {"find_bundle", "find_bundle_if_any"}


def claiming(shape: str, descr: str = "<f8", content: bytes = b"", version: int = 1) -> bytes:
    """An `.npz` with one array whose header claims a shape."""
    header = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}".encode()
    size = len(header).to_bytes(2 if version == 1 else 4, "little")
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("coef.npy", b"\x93NUMPY" + bytes([version, 0]) + size + header + content)
    return file.getvalue()


def lying(data: bytes, size: int) -> bytes:
    """A zip whose directory and header claim another size for its first member."""
    changed = bytearray(data)
    changed[22:26] = size.to_bytes(4, "little")
    entry = data.index(b"PK\x01\x02")
    changed[entry + 24 : entry + 28] = size.to_bytes(4, "little")
    return bytes(changed)


def with_many_members(count: int) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for index in range(count):
            archive.writestr(f"{index}.npy", b"")
    return file.getvalue()


def stored_by(method: int) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive, archive.open("coef.npy", "w") as member:
        np.save(member, np.zeros(10))
    return file.getvalue()


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (claiming("(10000000000,)"), "does not come to its size"),
        (claiming("(-1,)"), "does not come to its size"),
        (claiming("(0, 1000000000000000)"), "more than 256 MB"),
        (claiming("(1000000000000,)", "<U0"), "neither numbers nor text"),
        (claiming("(1,)", "|O", b"\x80\x04N."), "neither numbers nor text"),
        (claiming("(1,)", "<M8[s]", bytes(8)), "neither numbers nor text"),
        (claiming("(1,)", "<f8", np.float64("inf").tobytes()), "no finite number"),
        (claiming("(" * 3000), ""),
        (claiming(f"({'9' * 5000},)"), ""),
        (claiming("(1,)", content=bytes(8), version=3)[:-1], ""),
        (lying(claiming("(3,)", content=bytes(24)), 2**31), "does not come to its size"),
        (lying(claiming("(3,)", content=bytes(9000)), 96), ""),
        (with_many_members(1001), "more than 1000 members"),
        (stored_by(zipfile.ZIP_BZIP2), "another method than deflate"),
        (stored_by(zipfile.ZIP_LZMA), "another method than deflate"),
        (b"", "not a zip file"),
    ],
)
def test_an_npz_is_refused_before_it_takes_memory(data: bytes, why: str) -> None:
    with pytest.raises(ModelError, match=f"^weights.npz: not an .npz of plain arrays: .*{why}") as refused:
        read_arrays(data, "weights.npz", {"coef"})
    assert "\n" not in str(refused.value)


def test_two_arrays_of_one_name_are_refused() -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("coef", b"")
        archive.writestr("coef.npy", b"")
    with pytest.raises(ModelError, match="two arrays of one name"):
        read_arrays(file.getvalue(), "weights.npz", {"coef"})


def test_arrays_of_zeros_are_counted_as_a_model_holds_them() -> None:
    most = MOST_ARRAY_BYTES // 8
    bomb = npz(coef=np.zeros(most + 1, np.uint8))
    assert len(bomb) < 50_000
    with pytest.raises(ModelError, match="more than 256 MB of arrays"):
        read_arrays(bomb, "weights.npz", {"coef"})
    with pytest.raises(ModelError, match="lacks intercept"):  # what no model asks for is not read
        read_arrays(npz(other=np.zeros(most + 1, np.uint8), coef=np.ones(2)), "weights.npz", {"coef", "intercept"})


PLAIN = msgspec.to_builtins(manifest({"model.npz": LINEAR}))
WHOLE = {"sha256": "0" * 64, "size_bytes": 1}


def with_files(*names: str, size: int = 1) -> dict[str, Any]:
    return {"files": {name: {**WHOLE, "size_bytes": size} for name in names}}


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        *((with_files(name), "not a file that a bundle may hold") for name in ("CON.npz", "nul.json", "Lpt1.onnx")),
        *(
            (with_files(name), "not a file that a bundle may hold")
            for name in ("a\n.npz", "a\x1b[0m.npz", "..npz", "a:b.npz")
        ),
        *(
            (with_files(name), "not a file that a bundle may hold")
            for name in ("manifest.json", "Manifest.JSON", ".a.npz")
        ),
        *(
            (with_files(name), "not a file that a bundle may hold")
            for name in ("a\\b.npz", "a/b.npz", "\uff4d.npz", "a" * 200 + ".npz")
        ),
        (with_files("a.npz", "A.npz"), "where case does not count"),
        (with_files(*(f"{index}.npz" for index in range(101))), "up to 100 files"),
        (with_files("a.npz", size=2**29 + 1), "of 512 MB in all"),
        (with_files("a.npz", size=-1), "of 512 MB in all"),
        *(
            ({"run_id": run_id}, "cannot be a folder")
            for run_id in ("", "..", "a/b", "a\\b", ".a", "a\x1b", "\u202e", "x" * 129)
        ),
        *(({"name": name}, "cannot be a folder") for name in ("", "../x", "a\n")),
        *(({"created": time}, "make the bundle again") for time in ("", "soon", "9" * 30)),
        ({"signature": [{"name": str(index), "type": "double"} for index in range(10_001)]}, "up to 10,000 inputs"),
        ({"attribution": [[]] * 600_000}, "elements: restore the bundle"),
        ({"more": [True] * 600_000}, "elements: restore the bundle"),
    ],
)
def test_a_manifest_is_refused_in_one_line(changes: dict[str, Any], why: str) -> None:
    with pytest.raises(ModelError, match=f"^here/manifest.json: .*(?:{why})") as refused:
        read_manifest(msgspec.json.encode(PLAIN | changes), "here")
    assert str(refused.value).isprintable()


@pytest.mark.parametrize(
    "text",
    [
        msgspec.json.encode(PLAIN)[:-1] + b',"run_id":"b"}',
        msgspec.json.encode(PLAIN).replace(b'"metrics":{}', b'"metrics":{"a":1,"a":2}'),
        msgspec.json.encode(PLAIN).replace(b'"metrics":{}', b'"metrics":{"a":NaN}'),
        msgspec.json.encode(PLAIN).replace(b'"metrics":{}', b'"metrics":{"a":1e999}'),
        msgspec.json.encode(PLAIN)[:-1] + b',"more":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b"[" * 100_000,
    ],
)
def test_a_manifest_can_be_read_in_one_way_alone(text: bytes) -> None:
    with pytest.raises(ModelError, match=r"^here/manifest\.json: ") as refused:
        read_manifest(text, "here")
    assert "\n" not in str(refused.value)


def put(location: Path, run_id: str, created: str = "2026-01-01", size: int = 0) -> Path:
    folder = location / "toy" / run_id
    folder.mkdir(parents=True)
    text = msgspec.json.encode(manifest({"model.npz": LINEAR}, run_id=run_id, created=created))
    (folder / MANIFEST).write_bytes(text + b" " * size)
    (folder / "model.npz").write_bytes(LINEAR)
    return folder


def test_a_location_may_have_any_number_of_bundles_where_the_run_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.inference.bundle.MOST_BUNDLES", 5)
    for index in range(6):
        put(tmp_path, f"run{index}")
    for find in (lambda: find_bundle("toy", location=str(tmp_path)), lambda: list_bundles(str(tmp_path))):
        with pytest.raises(ModelError, match="has more than 5 bundles: set the run id"):
            find()
    assert find_bundle("toy", "run3", str(tmp_path)).manifest.run_id == "run3"


def test_only_a_regular_file_of_a_bounded_size_is_a_manifest(tmp_path: Path) -> None:
    folder = put(tmp_path, "a", size=MOST_MANIFEST_BYTES)
    with pytest.raises(ModelError, match="has more than 4 MB"):
        find_bundle("toy", location=str(tmp_path))
    (folder / MANIFEST).unlink()
    os.mkfifo(folder / MANIFEST)
    for location in (tmp_path, folder):
        with pytest.raises(MillraceError, match=r"not a regular file|holds no bundle of toy"):
            find_bundle("toy", "a", str(location))


def test_a_file_is_read_no_further_than_its_manifest_says(tmp_path: Path) -> None:
    with (put(tmp_path, "a") / "model.npz").open("ab") as file:
        file.truncate(2**40)  # a hole
    with pytest.raises(DigestMismatchError):
        find_bundle("toy", location=str(tmp_path))


def test_the_newest_is_the_latest_moment_and_one_of_the_future_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    put(tmp_path, "a", "2026-01-02T00:00:00+14:00")
    put(tmp_path, "b", "2026-01-01T23:00:00+00:00")
    assert find_bundle("toy", location=str(tmp_path)).manifest.run_id == "b"  # 13 hours after the other
    assert "in the future" not in caplog.text
    put(tmp_path, "c", "2999-01-01")
    assert find_bundle("toy", location=str(tmp_path)).manifest.run_id == "c"
    assert "the newest bundle is dated in the future: set its run id" in caplog.text

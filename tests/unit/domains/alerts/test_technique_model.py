import io
import subprocess
import sys
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from app.domains.alerts.alert import COMMAND_LINE, DESCRIPTION, LONGEST_NAME, PRODUCT, Alert
from app.domains.alerts.attack import attack_table
from app.domains.alerts.techniques import features
from app.domains.alerts.techniques import model as served
from app.domains.alerts.techniques.decision import Calibration, Curve, DecisionSettings, Prediction
from app.domains.alerts.techniques.features import (
    FORMS,
    KINDS,
    LONG_WORDS,
    LONGEST_WORD,
    MOST_WORDS,
    form_of,
    pairs_of,
    parts_of,
    runs_of,
    text_of,
    views_of,
    words_of,
)
from app.domains.alerts.techniques.model import SETTINGS, WEIGHTS, TechniqueModel
from app.errors import DigestMismatchError, ModelError
from app.inference.bundle import Bundle, find_bundle, write_bundle
from app.inference.manifest import MANIFEST, Manifest
from app.storage.objects import FolderObjects

Features = dict[str, tuple[float, dict[int, float]]]
"""By name: a feature's scale, and what it adds to which labels."""
LABELS = ("T1003", "T1003.001", "T1003.002", "T1059.001")


def line(least: float = 0.0) -> Curve:
    """A curve on which a score of 0.5 is right half of the time, or more often."""
    return Curve(-2.0 + least, 4.0)


def odds_of(confidence: float) -> float:
    return float(np.log(confidence / (1 - confidence)))


def settings(**changed: Any) -> DecisionSettings:
    plain = DecisionSettings(
        LABELS,
        (0.0,) * len(LABELS),
        dict.fromkeys(FORMS, Calibration(line(), line(), line())),
        dict.fromkeys(KINDS, 0.0),
        threshold=0.5,
        family_threshold=0.9,
        relative=0.6,
        most=5,
    )
    return msgspec.structs.replace(plain, **changed)


def forms(**curves: Curve) -> dict[str, Calibration]:
    """Calibrations of all forms with some curves replaced."""
    return {name: msgspec.structs.replace(each, **curves) for name, each in settings().forms.items()}


def arrays(words: Features, runs: Features, most: int = 2) -> dict[str, NDArray[Any]]:
    """The arrays of a model of a few features."""
    features = {**words, **runs}
    coefficients = np.zeros((len(features), most), np.float16)
    columns = np.zeros((len(features), most), np.uint16)
    for row, (_, says) in enumerate(features.values()):
        for column, (index, weight) in enumerate(says.items()):
            columns[row, column], coefficients[row, column] = index, weight
    return {
        "words": np.frombuffer("\n".join(words).encode(), np.uint8),
        "runs": np.frombuffer("\n".join(runs).encode(), np.uint8),
        "scales": np.array([scale for scale, _ in features.values()], np.float16),
        "coefficients": coefficients,
        "places": columns,
    }


WORDS: Features = {
    "mimikatz": (2.0, {1: 0.5, 2: 0.25}),
    "powershell": (1.0, {3: 1.0}),
    "credential dumping": (2.0, {0: 0.5}),
    "exe": (1.0, {2: 0.25}),
}
RUNS: Features = {"\0": (0.0, {})}
"""A run that no word has: an `.npz` of no runs at all is not what training writes."""


def small(**changed: Any) -> TechniqueModel:
    return TechniqueModel(arrays(WORDS, RUNS), settings(**changed))


@pytest.fixture(scope="module")
def shipped() -> TechniqueModel:
    return TechniqueModel.load(find_bundle("technique"))


def alert(name: str, **attributes: Any) -> Alert:
    return Alert(id=1, time=0.0, src="a", dst="b", name=name, other_attributes=attributes)


def test_a_score_is_the_sum_of_what_tokens_say_by_the_root_of_their_squares() -> None:
    scores = small().scores(["Mimikatz: PowerShell!"])
    assert scores[0] == pytest.approx(np.array([0, 1.0, 0.5, 1.0]) / np.sqrt(5))


def test_a_word_counts_once_however_often_it_stands_there() -> None:
    once, thrice = small().scores(["mimikatz", "mimikatz mimikatz mimikatz"])
    assert once == pytest.approx(thrice)


def test_a_pair_counts_beside_its_words_and_only_in_that_order() -> None:
    there, not_there = small().scores(["credential dumping", "dumping credential"])
    assert there[0] == pytest.approx(0.5)
    assert not not_there.any()


def test_a_part_of_a_joined_word_counts() -> None:
    assert small().scores(["tool.exe"])[0, 2] == pytest.approx(0.25)


def test_a_run_of_characters_counts_in_a_word_that_is_not_known() -> None:
    model = TechniqueModel(arrays({"zz": (1.0, {})}, {"mim": (2.0, {1: 0.5})}), settings())
    assert model.scores(["mimikittenz"])[0, 1] == pytest.approx(0.5)


def test_the_best_technique_stands_alone_where_no_other_is_near_it() -> None:
    [found] = small().predict(["powershell"])
    assert found == Prediction(("T1059.001",), (found.best,), found.best)
    assert odds_of(found.best) == pytest.approx(2.0)


def test_a_technique_beside_the_best_one_is_given_when_it_is_near_enough() -> None:
    ids = [small(relative=relative).predict(["mimikatz"], 0)[0].ids for relative in (0.5, 0.6)]
    assert ids == [("T1003.001", "T1003.002"), ("T1003.001",)]


def test_no_more_techniques_are_given_than_the_settings_say() -> None:
    assert len(small(relative=0.1, most=1).predict(["mimikatz powershell"], 0)[0].ids) == 1


def test_techniques_of_one_score_stand_in_the_order_of_their_ids() -> None:
    model = TechniqueModel(arrays({"x": (1.0, {2: 0.75, 0: 0.75})}, RUNS), settings())
    assert model.predict(["x"])[0].ids == ("T1003", "T1003.002")


def test_below_the_threshold_nothing_is_given_but_how_sure_the_best_one_was() -> None:
    assert small(threshold=0.51).predict(["mimikatz"]) == [Prediction((), (), 0.5)]


def test_a_confidence_at_the_threshold_is_enough() -> None:
    assert small(threshold=0.5).predict(["mimikatz"])[0].ids[0] == "T1003.001"


def test_the_parent_is_given_where_its_sub_techniques_are_sure_together_and_none_is_alone() -> None:
    [found] = small(threshold=0.6, family_threshold=0.7).predict(["mimikatz"])
    assert found.ids == ("T1003",)
    assert odds_of(found.best) == pytest.approx(4 * 0.75 - 2)


def test_the_parent_is_not_given_below_its_own_threshold() -> None:
    assert small(threshold=0.6, family_threshold=0.8).predict(["mimikatz"])[0].ids == ()


def test_a_sub_technique_that_is_denied_takes_nothing_from_its_parent() -> None:
    parts = arrays({"x": (1.0, {1: 0.75, 2: -0.5})}, RUNS)
    unsure = settings(forms=forms(best=line(-2.0)), threshold=0.6, family_threshold=0.7)
    [found] = TechniqueModel(parts, unsure).predict(["x"])
    assert found.ids == ("T1003",)
    assert odds_of(found.best) == pytest.approx(4 * 0.75 - 2)


def test_no_technique_is_surer_than_the_best_one() -> None:
    [found] = small(relative=0.1, forms=forms(other=line(5.0))).predict(["mimikatz"], 0)
    assert found.confidences == (0.5, 0.5)


def test_a_threshold_of_the_caller_takes_the_place_of_the_models_own() -> None:
    model = small(threshold=0.1, family_threshold=0.1)
    assert model.predict(["mimikatz"], threshold=0.9)[0].ids == ()


def test_a_confidence_follows_from_score_lead_record_and_kind() -> None:
    by_lead = forms(best=Curve(-1.0, 2.0, 4.0))
    records, kinds = (0.0, 0.25, 0.0, 0.0), {"host": 0.0, "cloud": -0.5, "signature": -1.0}
    model = small(forms=by_lead, records=records, kinds=kinds)
    found = model.predict(["mimikatz", "mimikatz aws", "ET POLICY mimikatz"], 0)
    host = -1.0 + 2.0 * 0.5 + 4.0 * 0.25 + 0.25
    assert [odds_of(each.best) for each in found] == pytest.approx([host, host - 0.5, host - 1.0])
    assert {each.ids[0] for each in found} == {"T1003.001"}


def test_each_form_of_text_has_a_calibration_of_its_own() -> None:
    curves = {name: Calibration(line(least), line(), line()) for least, name in enumerate(FORMS)}
    model = small(forms=curves)
    texts = ["mimikatz", "mimikatz" + " x" * LONG_WORDS, "mimikatz\nx", "mimikatz\nx\ny"]
    scores = model.scores(texts).max(axis=1)
    expected = [4 * score - 2 + least for least, score in enumerate(scores)]
    assert [odds_of(each.best) for each in model.predict(texts, 0)] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(
    ("text", "form", "kind"),
    [
        ("Mimikatz was run", "title", "host"),
        ("word " * 30, "long", "host"),
        ("Mimikatz was run\nA tool", "described", "host"),
        ("Mimikatz was run\nA tool\nmimikatz.exe", "full", "host"),
        ("AWS root login", "title", "cloud"),
        ("Odd login\nA user of Okta", "described", "cloud"),
        ("laws and paws3", "title", "host"),
        ("ET POLICY odd thing", "title", "signature"),
        ("GPL FTP odd\nthing", "described", "signature"),
        ("POLICY-OTHER Odd thing", "title", "signature"),
        ("et cetera", "title", "host"),
        ("", "title", "host"),
    ],
)
def test_forms_of_texts(text: str, form: str, kind: str) -> None:
    found = form_of(text)
    assert (FORMS[found.form], KINDS[found.kind]) == (form, kind)


@pytest.mark.parametrize("text", ["", " ", "…", "qqq", "\0", "\ud800"])
def test_a_text_that_says_nothing_is_unknown_even_without_a_threshold(text: str) -> None:
    assert small().predict([text], threshold=0) == [Prediction((), (), 0.0)]


def test_no_texts_give_no_answers() -> None:
    assert small().predict([]) == []


@given(st.lists(st.text("mikatz powershel.exe\ncdntiug", max_size=60), max_size=12), st.randoms(use_true_random=False))
def test_an_answer_does_not_depend_on_the_texts_beside_it(texts: list[str], random: Random) -> None:
    alone = [small().scores([text])[0].tobytes() for text in texts]
    shuffled = random.sample(range(len(texts)), len(texts))
    model = small()
    together = model.scores([texts[index] for index in shuffled])
    assert [row.tobytes() for row in together] == [alone[index] for index in shuffled]


def test_of_the_shipped_model_as_well(shipped: TechniqueModel) -> None:
    texts = [
        f"{one} {other}" for one in ("Mimikatz", "Scheduled task created", "x") for other in ("LSASS dump", "")
    ] * 40
    together = shipped.scores(texts)
    alone = np.array([shipped.scores([text])[0] for text in texts])
    fresh = TechniqueModel.load(find_bundle("technique")).scores(texts[::-1])[::-1]
    assert together.tobytes() == alone.tobytes() == fresh.tobytes()


def test_what_was_forgotten_is_worked_out_again(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [f"mimikatz word{number} powershell" for number in range(50)] + ["credential dumping"]
    expected = small().predict(texts, 0)
    monkeypatch.setattr(served, "_ROWS", 8)
    assert small().predict(texts, 0) == expected


def test_a_token_that_fails_does_not_stay_to_fail_the_next_text(monkeypatch: pytest.MonkeyPatch) -> None:
    def runs_but_of_one(word: str) -> list[str]:
        if word == "mimikatz":
            raise MemoryError
        return runs_of(word)

    model = small()
    monkeypatch.setattr(features, "runs_of", runs_but_of_one)
    with pytest.raises(MemoryError):
        model.predict(["mimikatz"])
    assert model.predict(["powershell"])[0].ids == ("T1059.001",)
    monkeypatch.undo()
    assert model.predict(["mimikatz"], 0) == small().predict(["mimikatz"], 0)


@pytest.mark.parametrize(
    ("text", "technique"),
    [
        ("Mimikatz credential dumping from LSASS memory", "T1003.001"),
        ("Suspicious PowerShell download cradle", "T1059.001"),
        ("Scheduled task created via schtasks.exe", "T1053.005"),
        ("Shadow copies deleted by vssadmin", "T1490"),
    ],
)
def test_the_shipped_model_knows_what_everybody_knows(shipped: TechniqueModel, text: str, technique: str) -> None:
    assert shipped.predict([text], threshold=0)[0].ids[0] == technique


def test_the_shipped_models_answers_are_current_techniques_and_the_surest_stands_first(shipped: TechniqueModel) -> None:
    texts = ["powershell mimikatz", "dns tunnel exfiltration", "schtasks runas service", "brute force ssh login"] * 3
    for found in shipped.predict(texts, threshold=0):
        assert all(attack_table().current(each) == each for each in found.ids)
        assert list(found.confidences) == sorted(found.confidences, reverse=True)
        assert 0 <= found.confidences[-1] <= found.confidences[0] == found.best < 1
        assert len(found.ids) == len(found.confidences) == len(set(found.ids))


def test_the_shipped_bundle_has_at_most_12_megabytes() -> None:
    bundle = find_bundle("technique")
    assert sum(each.size_bytes for each in bundle.manifest.files.values()) <= 12_000_000


def test_the_shipped_bundle_names_its_sources_and_their_licences() -> None:
    manifest = find_bundle("technique").manifest
    for needed in ("SigmaHQ", "Detection Rule License 1.1", "© The MITRE Corporation", "Apache-2.0", "MIT", "CC0"):
        assert needed in manifest.attribution


def test_serving_needs_neither_scipy_nor_scikit_learn_nor_onnx() -> None:
    code = (
        "import sys, app.domains.alerts.techniques.model as _; "
        "print({'scipy', 'sklearn', 'onnxruntime'} & sys.modules.keys())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("Memory was read. Detects a tool that reads memory", "Memory was read.\nDetects a tool that reads memory"),
        ("Memory was read\nby a tool\nof sorts", "Memory was read\nby a tool of sorts"),
        ("Is it an attack? Somebody has to look at it", "Is it an attack?\nSomebody has to look at it"),
        ("rundll32.exe was run. It has no arguments here", "rundll32.exe was run.\nIt has no arguments here"),
        ("Tools, e.g. Mimikatz by a user of ours", "Tools, e.g. Mimikatz by a user of ours"),
        ("A title. And more", "A title. And more"),
        ("Dovecot brute force attack (many failures).", "Dovecot brute force attack (many failures)."),
        ("Started. Nobody knows who has done it", "Started. Nobody knows who has done it"),
        ("one line. of lower case as logs have it", "one line. of lower case as logs have it"),
    ],
)
def test_one_line_of_title_and_description_is_read_as_both(name: str, text: str) -> None:
    assert text_of(alert(name)) == text


def test_a_description_of_its_own_leaves_the_title_whole() -> None:
    read = text_of(alert("Memory was read. Detects a tool that reads", description="A tool"))
    assert read == "Memory was read. Detects a tool that reads\nA tool"


def test_candidates_are_the_most_probable_techniques_whatever_their_confidence() -> None:
    [found] = small(threshold=1.0).candidates(["mimikatz powershell"], 2)
    assert len(found.ids) == 2
    assert set(found.ids) <= {"T1003.001", "T1059.001"}
    assert list(found.confidences) == sorted(found.confidences, reverse=True)
    assert small().candidates(["nothing known"], 3) == [Prediction((), (), 0.0)]


def test_an_alerts_text_is_its_name_alone_when_it_has_nothing_else() -> None:
    assert text_of(alert("Mimikatz", priority=1, url="http://x")) == "Mimikatz"


def test_an_alerts_text_has_its_description_product_and_command_line() -> None:
    given_ = {COMMAND_LINE: "reg add", PRODUCT: ["windows", "sysmon"], DESCRIPTION: "A tool"}
    assert text_of(alert("Mimikatz", **given_)) == "Mimikatz\nA tool\nwindows sysmon reg add"


def test_each_of_an_alerts_texts_is_one_line() -> None:
    assert text_of(alert("Mimi\n katz", description="one\r\ntwo")) == "Mimi katz\none two"
    assert text_of(alert("Mimikatz", command_line="x")) == "Mimikatz\nx"


def test_a_text_is_read_by_its_lines_one_by_one_its_first_two_and_as_a_whole() -> None:
    assert views_of("a") == ("a",)
    assert views_of("a\nb") == ("a", "b", "a\nb")
    assert views_of("a\nb\nc\nd") == ("a", "b", "c\nd", "a\nb", "a\nb\nc\nd")
    assert views_of("\nb") == ("\nb",)
    assert views_of("a\n\nc") == ("a", "c", "a\nc")


def test_the_score_of_a_text_of_lines_is_the_mean_of_those_of_its_views() -> None:
    model = small()
    both = model.scores(["credential dumping", "powershell\nmimikatz", "powershell"])
    parts = model.scores(["powershell", "mimikatz", "powershell mimikatz"])
    assert both[1] == pytest.approx(parts.sum(axis=0) / 3)
    assert both[0].tobytes() == model.scores(["credential dumping"])[0].tobytes()


def test_an_attribute_of_another_type_is_passed_over() -> None:
    assert text_of(alert("Mimikatz", description=7, command_line={"a": 1})) == "Mimikatz"


def test_a_name_is_read_to_its_longest() -> None:
    assert len(text_of(alert("x" * 10_000))) == LONGEST_NAME


def test_words_keep_dots_and_dashes_inside_and_lose_what_else_is_around() -> None:
    assert words_of('"C:\\Tools\\Proc-Dump.exe" -ma lsass.exe...') == ["c", "tools", "proc-dump.exe", "ma", "lsass.exe"]


def test_a_text_has_so_many_words_and_a_word_so_many_characters() -> None:
    assert len(words_of("a b " * 4000)) == MOST_WORDS
    assert words_of("a" * 100 + " b") == ["a" * LONGEST_WORD, "b"]


def test_the_features_of_a_word() -> None:
    assert parts_of("a-run.dll") == ["a-run.dll", "run", "dll"]
    assert pairs_of(["a", "b", "c"]) == ["a b", "b c"]
    assert runs_of("abab") == [" ab", "aba", "bab", "ab ", " aba", "abab", "bab ", " abab", "abab "]
    assert runs_of("aaaa") == [" aa", "aaa", "aa ", " aaa", "aaaa", "aaa ", " aaaa", "aaaa "]


def bundle(folder: Path, **files: bytes | None) -> Bundle:
    given_ = {SETTINGS: msgspec.json.encode(settings()), WEIGHTS: packed(arrays(WORDS, RUNS)), **files}
    kept = {name: data for name, data in given_.items() if data is not None}
    manifest = Manifest("technique", "r", "m", "2026-01-01T00:00:00+00:00", [], {}, "", "", {})
    return write_bundle(FolderObjects(folder), manifest, kept)


def packed(parts: dict[str, NDArray[Any]]) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, **parts)  # type: ignore[arg-type]  # numpy's stubs take it for a flag
    return file.getvalue()


def test_a_bundle_is_loaded(tmp_path: Path) -> None:
    assert TechniqueModel.load(bundle(tmp_path)).predict(["powershell"])[0].ids == ("T1059.001",)


@pytest.mark.parametrize(
    ("name", "data", "complaint"),
    [
        (SETTINGS, b"[]", "technique.json: Expected `object`"),
        (SETTINGS, b"\xff", "technique.json: "),
        (SETTINGS, None, "technique.json is missing"),
        (SETTINGS, msgspec.json.encode(settings(labels=("T1003", "T9999"))), "T9999 is no technique of ATT&CK"),
        (SETTINGS, msgspec.json.encode(settings(labels=("T1562.001",))), "T1562.001 is no technique of ATT&CK"),
        (SETTINGS, msgspec.json.encode(settings(labels=LABELS[::-1])), "labels must be sorted"),
        (SETTINGS, msgspec.json.encode(settings(labels=())), "labels must be sorted"),
        (SETTINGS, msgspec.json.encode(settings(labels=LABELS[:2], records=(0.0, 0.0))), "parts do not fit"),
        (SETTINGS, msgspec.json.encode(settings(records=())), "a record for each label; train again"),
        (SETTINGS, msgspec.json.encode(settings(forms={})), "its forms of text and kinds of source are others"),
        (SETTINGS, msgspec.json.encode(settings(kinds={"host": 0.0})), "are others; train again"),
        (SETTINGS, b'{"labels": [], "scores": []}', "missing required field `records`; restore the bundle"),
        (WEIGHTS, b"PK", "weights.npz: not an .npz"),
        (WEIGHTS, packed({"words": np.zeros(1, np.uint8)}), "weights.npz: lacks "),
        (WEIGHTS, packed({**arrays(WORDS, RUNS), "scales": np.ones(2, np.float16)}), "parts do not fit"),
        (WEIGHTS, packed({**arrays(WORDS, RUNS), "words": np.frombuffer(b"one", np.uint8)}), "parts do not fit"),
        (WEIGHTS, packed({**arrays(WORDS, RUNS), "words": np.frombuffer(b"\xff", np.uint8)}), "weights.npz: "),
        (WEIGHTS, packed({**arrays(WORDS, RUNS), "places": np.zeros((5, 2))}), "parts do not fit"),
        (WEIGHTS, packed({**arrays(WORDS, RUNS), "coefficients": np.zeros(5, np.float16)}), "parts do not fit"),
    ],
)
def test_a_bundle_whose_parts_do_not_fit_is_refused_in_one_line(
    tmp_path: Path, name: str, data: bytes | None, complaint: str
) -> None:
    with pytest.raises(ModelError) as raised:
        TechniqueModel.load(bundle(tmp_path, **{name: data}))
    assert complaint in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_file_that_was_changed_is_refused(tmp_path: Path) -> None:
    found = bundle(tmp_path)
    (tmp_path / WEIGHTS).write_bytes(packed(arrays({"other": (1.0, {})}, RUNS)))
    with pytest.raises(DigestMismatchError):
        TechniqueModel.load(Bundle(found.manifest, FolderObjects(tmp_path)))
    assert (tmp_path / MANIFEST).is_file()

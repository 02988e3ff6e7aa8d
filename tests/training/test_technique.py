from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from app.domains.alerts.techniques.features import views_of
from app.domains.alerts.techniques.model import TechniqueModel
from app.errors import SettingsError
from app.inference.bundle import find_bundle

for package in ("scipy", "sklearn"):
    pytest.importorskip(package, reason=f"{package}: install requirements/training.txt", exc_type=ImportError)

from model.technique import data as texts  # noqa: E402 - as they import what may be missing
from model.technique.calibrate import VIEWS, before, calibrate, see, served  # noqa: E402 - as they import what may be missing
from model.technique.fit import Corpus, Options, fit  # noqa: E402 - as they import what may be missing
from model.technique.measure import Seen, credit, document_f1, hierarchical_f1, is_right, score  # noqa: E402 - as they import what may be missing
from model.technique.tram import _surest, report_f1  # noqa: E402 - as they import what may be missing

ROOT = Path(__file__).parents[2]
KINDS = {
    "T1003.001": "mimikatz lsass dump",
    "T1059.001": "powershell download cradle",
    "T1053.005": "scheduled task created",
    "T1190": "webshell exploit upload",
}
HOSTS = ("server", "laptop", "gateway", "mailbox", "printer", "kiosk", "desktop", "phone")


def rules() -> list[dict[str, object]]:
    """Rules of four years, whose titles tell the technique, and some of another source."""
    rows: list[dict[str, object]] = [
        {"src": "sigma", "title": f"{title} {host} {year}", "desc": f"on a {host}", "techs": [technique], "det": title,
         "date": f"{year}-01-01"}
        for year in (2021, 2022, 2023, 2024)
        for technique, title in KINDS.items()
        for host in HOSTS
    ]  # fmt: skip
    rows.append({"src": "splunk", "title": "mimikatz lsass dump kiosk 2024", "techs": ["T1190"]})
    rows.append({"src": "splunk", "title": "no technique", "techs": ["T9999"]})
    rows.append({"src": "splunk", "title": "retired", "techs": ["T1562.001"]})
    return rows


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The training texts, made up."""
    examples = [{"text": f"{about} has used mimikatz", "label": "T1003.001", "src": about} for about in HOSTS]
    detections = [{"text": "webshell seen", "label": "T1190"}]
    for name, rows in (
        (texts.RULES, rules()),
        (texts.EXAMPLES, examples),
        (texts.DETECTIONS, detections),
    ):
        (tmp_path / name).write_bytes(gzip.compress("\n".join(map(json.dumps, rows)).encode()))
    return tmp_path


def train(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "model.technique.train", *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )


def test_training_writes_a_bundle_that_serves_and_gives_it_the_same_id_again(folder: Path, tmp_path: Path) -> None:
    done = train("--data", str(folder), "--out", str(tmp_path / "one" / "technique"))
    assert done.returncode == 0, done.stderr
    bundle = find_bundle("technique", location=str(tmp_path / "one"))
    assert TechniqueModel.load(bundle).predict(["Mimikatz LSASS dump"], 0)[0].ids[0] == "T1003.001"
    assert bundle.manifest.metrics["sigma_2023_2024_title_f1"] > 0.9
    assert bundle.manifest.training_data_sha256 == texts.digest(folder)
    assert "© The MITRE Corporation" in bundle.read("card.md").decode()
    again = train("--data", str(folder), "--out", str(tmp_path / "other" / "technique"))
    assert again.stdout.splitlines()[-1] == done.stdout.splitlines()[-1] == f"RUN_ID={bundle.manifest.run_id}"


@pytest.mark.parametrize(
    ("data", "complaint"), [((), "give their folder with --data"), (("--data", "nowhere"), "cannot be read")]
)
def test_what_is_missing_is_said_in_one_line(data: tuple[str, ...], complaint: str) -> None:
    done = train(*data)
    assert done.returncode
    assert complaint in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_file_of_another_kind_is_said_in_one_line(folder: Path) -> None:
    (folder / texts.RULES).write_bytes(gzip.compress(b"not JSON"))
    with pytest.raises(SettingsError, match="not JSON lines"):
        texts.read_samples(folder)
    (folder / texts.REPORTS).write_bytes(gzip.compress(b"{}"))
    with pytest.raises(SettingsError, match="not TRAM's sentences"):
        texts.read_reports(folder)


def test_samples_have_current_ids_and_a_rule_has_three_views(folder: Path) -> None:
    samples = texts.read_samples(folder)
    assert not any(sample.views[0] == "no technique" for sample in samples)
    assert next(sample for sample in samples if sample.views[0] == "retired").labels == ("T1685",)
    first = samples[0]
    assert first.views[0] == "mimikatz lsass dump server 2021"
    assert first.views[1] == f"{first.views[0]}\non a server"
    assert first.views[2].endswith("mimikatz lsass dump")
    assert (first.year, first.source) == (2021, "sigma")
    assert sum(sample.source == texts.NAMES_SOURCE for sample in samples) > 600


def test_a_year_is_told_without_later_rules_and_without_what_others_have_of_it(folder: Path) -> None:
    corpus = Corpus(texts.read_samples(folder))
    chosen = [corpus.samples[each] for each in before(corpus, (2024,))]
    assert {each.year for each in chosen if each.source == "sigma"} == {2021, 2022, 2023}
    assert not any(each.views[0] == "mimikatz lsass dump kiosk 2024" for each in chosen)
    with_copies = [corpus.samples[each] for each in before(corpus, (2024,), copies=True)]
    assert {each.views[0] for each in with_copies} - {each.views[0] for each in chosen} == {
        "mimikatz lsass dump kiosk 2024"
    }


def test_a_copy_is_known_by_its_title_and_description_too(folder: Path) -> None:
    rows = [
        *rules(),
        {"src": "splunk", "title": "mimikatz lsass", "desc": "dump phone 2024 on a phone", "techs": ["T1190"]},
    ]
    (folder / texts.RULES).write_bytes(gzip.compress("\n".join(map(json.dumps, rows)).encode()))
    corpus = Corpus(texts.read_samples(folder))
    chosen = [corpus.samples[each].views[0] for each in before(corpus, (2024,))]
    assert "mimikatz lsass" not in chosen
    assert "mimikatz lsass" in [corpus.samples[each].views[0] for each in before(corpus, (2024,), copies=True)]


def test_a_rule_is_learnt_as_the_mean_of_the_texts_that_serving_reads(folder: Path) -> None:
    corpus = Corpus(texts.read_samples(folder))
    first, second = corpus.first[:2]
    assert second - first == len(views_of(corpus.samples[0].views[-1])) == 5
    assert corpus.views(np.array([0])).toarray()[0, first:second] == pytest.approx(0.2)


def test_what_is_served_is_what_was_learnt(folder: Path) -> None:
    """Without pruning, scores are the product of the texts as training saw them with the coefficients."""
    corpus = Corpus(texts.read_samples(folder))
    fitted = fit(corpus, before(corpus, (2024,)), Options(run_samples=2, per_feature=1000))
    model = served(fitted)
    assert fitted.arrays["coefficients"].shape[1] == len(fitted.labels)
    dense = np.zeros((len(fitted.arrays["places"]), len(fitted.labels)), np.float32)
    np.put_along_axis(dense, fitted.arrays["places"].astype(np.int64), fitted.arrays["coefficients"], 1)
    words = bytes(fitted.arrays["words"]).decode().split("\n")
    scales = fitted.arrays["scales"].astype(np.float32)
    row = words.index("cradle")
    runs = bytes(fitted.arrays["runs"]).decode().split("\n")
    rows = [
        row,
        *(len(words) + runs.index(run) for run in (" cradle "[i : i + n] for n in (3, 4, 5) for i in range(9 - n))),
    ]
    expected = (dense[rows] * scales[rows, None]).sum(axis=0) / np.sqrt((scales[rows] ** 2).sum())
    assert model.scores(["cradle"])[0] == pytest.approx(expected, abs=1e-5)


def test_confidence_is_how_often_such_a_score_was_right(folder: Path) -> None:
    corpus = Corpus(texts.read_samples(folder))
    model = served(fit(corpus, before(corpus, (2024,)), Options(run_samples=2)))
    seen = [see(model, [each for each in corpus.samples if each.year == 2024], view) for view in range(VIEWS)]
    found = calibrate(seen)
    assert score(seen[0], found).f1 == pytest.approx(1)
    assert score(seen[0], found).confidence > 0.5
    shuffled = [with_other_truth(each) for each in seen]
    assert score(shuffled[0], calibrate(shuffled)).confidence < 0.5


def with_other_truth(seen: Seen) -> Seen:
    """Return the scores with the truth of other texts."""
    return Seen(seen.scores, seen.labels, seen.truth[::-1], seen.forms)


@pytest.mark.parametrize(
    ("found", "truth", "expected"),
    [
        (["T1003"], ["T1003"], 1.0),
        (["T1003.001"], ["T1003"], 1.0),
        (["T1003"], ["T1003.001"], 0.75),
        (["T1003.002"], ["T1003.001"], 0.0),
        (["T1003", "T1059"], ["T1003"], 2 / 3),
        (["T1003.001", "T1003.002"], ["T1003"], 2 / 3),
        (["T1003", "T1003.001"], ["T1003.001", "T1059"], 0.5),
        ([], ["T1003"], 0.0),
    ],
)
def test_hierarchical_f1(found: list[str], truth: list[str], expected: float) -> None:
    assert hierarchical_f1(found, truth) == pytest.approx(expected)


def test_who_is_right() -> None:
    assert is_right("T1003.001", ["T1059", "T1003"])
    assert not is_right("T1003", ["T1003.001"])
    assert credit("T1003", "T1003.001") == 0.75
    assert credit("T10031", "T1003") == 0


def test_a_documents_f1_leaves_out_documents_without_labels() -> None:
    truth = np.array([[True, True], [False, False]])
    assert document_f1(np.array([[True, False], [True, True]]), truth) == pytest.approx(2 / 3)


def test_a_report_that_tells_of_a_technique_twice_is_surer_of_it() -> None:
    scores = np.array([[0.9, 0.9], [0.0, 0.5], [0.0, 0.1]], np.float32)
    assert _surest(scores) == pytest.approx([0.63, 0.78])
    assert _surest(scores[:1]) == pytest.approx([0.9, 0.9])


def test_reports_are_told_by_their_sentences(tmp_path: Path) -> None:
    rows = [(f"{words} {host}", [label], f"{label} {host}") for label, words in KINDS.items() for host in HOSTS]
    rows += [("nothing\nto see here", [], report) for _, _, report in rows]
    rows.reverse()  # a sentence of two lines before the others is still one
    table = {
        name: {str(place): row[column] for place, row in enumerate(rows)}
        for column, name in enumerate(("sentence", "labels", "doc_title"))
    }
    (tmp_path / texts.REPORTS).write_bytes(gzip.compress(json.dumps(table).encode()))
    assert report_f1(tmp_path) > 0.95

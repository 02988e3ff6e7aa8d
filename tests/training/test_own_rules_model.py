"""The technique model is trained further on one's own rules."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pytest

from app.domains.alerts.alert import Alert
from app.domains.alerts.attack import attack_table
from app.domains.alerts.techniques.catalogue import TABLE, Rules
from app.domains.alerts.techniques.model import ARRAYS, WEIGHTS, TechniqueModel
from app.domains.alerts.techniques.resolver import TechniqueResolver
from app.inference.arrays import read_arrays
from app.inference.bundle import find_bundle
from app.settings import read_settings

pytest.importorskip("scipy", reason="scipy: install requirements/training.txt", exc_type=ImportError)

from model.rules.learn import learn
from model.rules.rule import SIGMA, SURICATA, Rule
from model.rules.update import MOST_SAMPLES, samples_of, settings_for, update
from model.technique.data import Sample

if TYPE_CHECKING:
    from pathlib import Path

PLACES = ("oven", "mixer", "cellar", "counter", "freezer", "van")
DEEDS = {"grumbled": "T1053.005", "snorkeled": "T1567.002", "yodelled": "T1021.001"}
"""Words that mean nothing to the shipped model, each with a technique."""


@pytest.fixture(scope="module")
def rules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rules")
    for number, place in enumerate(PLACES):
        for deed, technique in DEEDS.items():
            for time in ("morning", "evening"):
                (folder / f"{place}-{deed}-{time}.json").write_text(
                    json.dumps({
                        "name": f"The {place} {deed} in the {time}",
                        "rule_id": f"{number}-{deed}-{time}",
                        "description": f"Somebody {deed} near the {place}.",
                        "threat": [{"technique": [{"id": technique}]}],
                    })
                )  # fmt: skip
    return folder


@pytest.fixture(scope="module")
def location(rules: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    said: list[str] = []
    learned = learn([rules], str(tmp_path_factory.mktemp("bundles")), said.append, train=True)
    assert set(learned.bundles) == {"rules", "technique"}
    assert any(line.startswith("  own") for line in said)
    return learned.location


def first(model: TechniqueModel, text: str) -> str:
    return model.predict([text], 0)[0].ids[0]


def test_words_of_one_s_own_rules_are_learned_and_the_rest_is_kept(location: str) -> None:
    own, shipped = (
        TechniqueModel.load(find_bundle("technique", location=location)),
        TechniqueModel.load(find_bundle("technique")),
    )
    for deed, technique in DEEDS.items():
        assert first(own, f"the baker {deed} at noon") == technique
        assert first(shipped, f"the baker {deed} at noon") != technique
    texts = ["Mimikatz Execution", "LSASS memory read by an unknown process", "Port scan from an outside address"]
    assert [first(own, text) for text in texts] == [first(shipped, text) for text in texts]
    assert np.abs(own.scores(texts) - shipped.scores(texts)).max() < 0.1


def test_a_technique_that_the_shipped_model_lacks_is_learned() -> None:
    bundle = find_bundle("technique")
    shipped = TechniqueModel.load(bundle)
    arrays = read_arrays(bundle.read(WEIGHTS), WEIGHTS, ARRAYS)
    lacking = sorted({*attack_table().techniques} - {*shipped.settings.labels})
    technique = lacking[0] if lacking else "T1001"
    samples = [
        Sample((f"The {place} snorkeled at {time}",), (technique,), SIGMA) for place in PLACES for time in "abcd"
    ]
    fitted = update(arrays, shipped.settings.labels, samples)
    own = TechniqueModel(fitted.arrays, settings_for(shipped.settings, fitted.labels))
    assert first(own, "the baker snorkeled") == technique
    texts = ["LSASS memory read by an unknown process", "Port scan from an outside address"]
    for one, other in zip(own.predict(texts), shipped.predict(texts), strict=True):
        assert one.ids == other.ids
        assert one.confidences == pytest.approx(other.confidences, abs=0.01)


def test_a_bundle_says_what_it_is_of_and_how_good(location: str) -> None:
    bundle = find_bundle("technique", location=location)
    assert bundle.manifest.model == "attack_technique_own"
    assert "for its own use" in bundle.manifest.attribution
    assert "SigmaHQ" in bundle.manifest.attribution  # of the shipped model's texts
    assert bundle.manifest.metrics["own_right"] > bundle.manifest.metrics["shipped_right"]
    assert "Elastic 36" in bundle.read("card.md").decode()


def test_alerts_are_resolved_by_the_newest_model_at_the_location(location: str) -> None:
    resolver = TechniqueResolver.open(read_settings({"MODEL_LOCATION": location, "TECHNIQUE_LEAST_CONFIDENCE": "0.2"}))
    found = resolver.resolve([Alert(id=1, time=0, src="a", dst="b", name="The baker yodelled near the van")])[0]
    assert (found.ids[0], found.source) == ("T1021.001", "model")


def test_training_again_starts_from_the_shipped_model(rules: Path, location: str) -> None:
    before = find_bundle("technique", location=location).manifest.run_id
    assert learn([rules], location, lambda _: None, train=True).bundles["technique"] == before


def test_rules_that_the_shipped_model_knows_and_too_few_others_are_not_trained_on(rules: Path, tmp_path: Path) -> None:
    known = [title for title in shipped_titles() if len(title.split()) > 3][:40]
    for number, title in enumerate(known):
        (tmp_path / f"{number}.json").write_text(
            json.dumps({"name": title, "rule_id": str(number), "threat": [{"technique": [{"id": "T1105"}]}]})
        )
    said: list[str] = []
    learned = learn([next(rules.iterdir()), tmp_path], str(tmp_path / "bundles"), said.append, train=True)
    assert set(learned.bundles) == {"rules"}
    assert any(line.startswith("no training: 1 rules name a technique and are new") for line in said)


def shipped_titles() -> list[str]:
    return [rule.title for rule in msgspec.json.decode(TABLE.read_bytes(), type=Rules).rules if rule.key is not None]


def test_a_frequent_kind_does_not_crowd_out_the_others() -> None:
    signatures = [
        Rule(kind=SURICATA, titles=(f"signature {number}",), techniques=("T1071",))
        for number in range(MOST_SAMPLES + 9)
    ]
    sigma = [Rule(kind=SIGMA, titles=(f"rule {number}",), techniques=("T1053", "T9999")) for number in range(100)]
    samples = samples_of([*signatures, *sigma, *sigma, Rule(kind=SIGMA, titles=("none",))])
    assert len(samples) == MOST_SAMPLES
    assert sum(sample.source == SIGMA for sample in samples) == 100
    assert {sample.labels for sample in samples} == {("T1071",), ("T1053",)}

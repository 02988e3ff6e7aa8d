"""Calibrate scores: measure how often answers are right on rules that training had not seen.

The rules are Sigma's of later years, each window of years scored by a model of earlier samples, and those of other
vendors, scored by a model without them. Logistic regressions have, for each form of text, the effects of the score and
of its lead, the effect of the kind of source, and for each technique its record: some are right more often than others
of equal score.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np
from scipy import sparse
from sklearn.linear_model import LogisticRegression

from app.domains.alerts.attack import parent_of
from app.domains.alerts.techniques.decision import Calibration, Curve, Decider, DecisionSettings, lead_of_best
from app.domains.alerts.techniques.features import FORMS, KINDS, form_of, title_and_rest
from app.domains.alerts.techniques.model import TechniqueModel
from model.technique.data import SIGMA
from model.technique.fit import fit
from model.technique.measure import Seen, is_right

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from model.technique.data import Sample
    from model.technique.fit import Corpus, Fitted, Options

WANTED_PRECISION = 0.85  # of the best technique at the threshold: the aim of 0.80, with a margin for later years
FAMILY_PRECISION = 0.95  # of a parent instead of its sub-technique: it is seldom the true technique itself
SIGNATURE_SHIFT = -1.0
"""Log-odds of names of network signatures: none with labels are at hand, and the model has never read one. Such a name
is answered if it would have a confidence of 0.89 as another title, where others need 0.75."""
VENDORS = ("splunk", "chronicle", "panther", "falco", "mdec")
"""Sources of rules of other vendors, whose wording and labels differ from Sigma's."""
VIEWS = 4
"""Of a rule: its title; with the description; in full; the description alone."""
RELATIVE = 0.75  # of the best score; README.md has the results of other shares
MOST = 5  # techniques of a text
ALIKE = 0.5  # of the tokens of two texts together
RECORD_SCALE = 0.25
"""Scale of the techniques' columns, which draws their records to zero: with 0.5 and more they fitted the years of the
calibration, and were worse on other vendors' rules."""
_CURVE_SCALE = 10.0  # of the other columns, so that they are hardly drawn to zero
_FEWEST = 50  # texts of a form; a form with fewer is calibrated as a title

_RISING = Curve(0.0, 1.0)


def plain(labels: tuple[str, ...] = ()) -> DecisionSettings:
    """Return settings whose confidences rise with the score, for before the calibration."""
    forms = dict.fromkeys(FORMS, Calibration(_RISING, _RISING, _RISING))
    return DecisionSettings(
        labels, (0.0,) * len(labels), forms, dict.fromkeys(KINDS, 0.0), 0.0, 0.0, RELATIVE, MOST
    )  # fmt: skip


def served(fitted: Fitted, settings: DecisionSettings | None = None) -> TechniqueModel:
    """Return the fitted model in the class that serves it."""
    return TechniqueModel(fitted.arrays, settings or plain(fitted.labels))


def before(corpus: Corpus, years: tuple[int, ...], *, copies: bool = False) -> NDArray[np.int64]:
    """Return the samples before some years: without Sigma's rules since then, and without others' copies of theirs.

    The other sources' texts have no usable dates, and copy rules from each other: a sample is left out if its title, or
    its title with the description, shares half of its tokens with a rule of those years.
    """
    dated, year_of = _sources(corpus) == SIGMA, _years(corpus)
    copied = np.zeros(len(corpus.samples), bool)
    others = np.flatnonzero(~dated)
    copied[others] = _copies(corpus, others, np.flatnonzero(dated & np.isin(year_of, years)))
    return np.flatnonzero(np.where(dated, year_of < min(years), ~copied | copies))


def _sources(corpus: Corpus) -> NDArray[np.str_]:
    return np.array([sample.source for sample in corpus.samples])


def _years(corpus: Corpus) -> NDArray[np.int64]:
    return np.array([sample.year for sample in corpus.samples])


def _copies(corpus: Corpus, samples: NDArray[np.int64], tested: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which samples copy one of the tested ones, by their titles or by their titles with the descriptions."""
    found = np.zeros(len(samples), bool)
    for described in (False, True):
        found |= _alike(corpus, _rows(corpus, samples, described), _rows(corpus, tested, described))
    return found


def _rows(corpus: Corpus, chosen: NDArray[np.int64], described: bool) -> NDArray[np.int64]:
    """Return the row of each sample's title, or of its first two lines, which follow the single lines."""
    count = corpus.first[chosen + 1] - corpus.first[chosen]
    return np.asarray(corpus.first[chosen] + np.where(described & (count > 1), (count + 1) // 2, 0), np.int64)


def _alike(corpus: Corpus, rows: NDArray[np.int64], tested: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which texts share at least `ALIKE` of their joint tokens with one of the tested texts."""
    ours, theirs = corpus.text_tokens[rows], corpus.text_tokens[tested]
    shared = (ours @ theirs.T).toarray()
    both = np.asarray(ours.sum(axis=1)) + np.asarray(theirs.sum(axis=1)).T - shared
    return np.asarray((shared >= ALIKE * both).any(axis=1))


def rules_of(corpus: Corpus, years: tuple[int, ...]) -> list[Sample]:
    """Return the Sigma rules of some years."""
    return [sample for sample in corpus.samples if sample.source == SIGMA and sample.year in years]


def unseen(corpus: Corpus, options: Options, years: tuple[int, ...], *, copies: bool = False) -> list[Seen]:
    """Return the scores of each view of some years' Sigma rules, by a model of earlier samples.

    Args:
        corpus: All samples.
        options: The options of the fit.
        years: The years of the tested rules.
        copies: Whether to train on other sources' copies of those years' rules.
    """
    model, rules = served(fit(corpus, before(corpus, years, copies=copies), options)), rules_of(corpus, years)
    return [see(model, rules, view) for view in range(VIEWS)]


def unseen_vendors(corpus: Corpus, options: Options, until: int) -> list[Seen]:
    """Return the scores of each view of other vendors' rules, by a model without them.

    Args:
        corpus: All samples.
        options: The options of the fit.
        until: The first year of Sigma's rules that are not trained on, either.
    """
    of_vendors = np.isin(_sources(corpus), VENDORS)
    train, tested = np.flatnonzero(~of_vendors & (_years(corpus) < until)), np.flatnonzero(of_vendors)
    new = tested[~_copies(corpus, tested, train)]
    model = served(fit(corpus, train, options))
    return [see(model, [corpus.samples[each] for each in new], view) for view in range(VIEWS)]


def see(model: TechniqueModel, rules: Sequence[Sample], view: int) -> Seen:
    """Return the scores of one view of some rules; of descriptions alone, of those that are one long line."""
    pairs = [(text_of_view(rule, view), rule.labels) for rule in rules]
    if view == VIEWS - 1:
        long = FORMS.index("long")
        pairs = [(text, truth) for text, truth in pairs if text and form_of(text).form == long]
    texts = [text for text, _ in pairs]
    return Seen(model.scores(texts), model.settings.labels, [truth for _, truth in pairs], [*map(form_of, texts)])


def text_of_view(rule: Sample, view: int) -> str:
    """Return a view of a rule as the text that is served for it; empty if the rule has no description of its own."""
    if view < VIEWS - 1:
        return rule.views[min(view, len(rule.views) - 1)]
    lines = rule.views[-1].split("\n")
    return "\n".join(filter(None, title_and_rest(lines[1]))) if len(lines) > 1 else ""


class _Answers(NamedTuple):
    """Techniques of texts, with what their confidence depends on; all of one length.

    Attributes:
        score: The score of each.
        lead: Its lead over the best other one.
        label: Its column.
        form: The text's form.
        kind: The text's kind of source.
        right: Whether it is right.
    """

    score: NDArray[np.float64]
    lead: NDArray[np.float64]
    label: NDArray[np.int64]
    form: NDArray[np.int64]
    kind: NDArray[np.int64]
    right: NDArray[np.bool_]


def calibrate(years: Sequence[Seen], vendors: Sequence[Seen] = ()) -> DecisionSettings:
    """Return settings from scores of texts that training had not seen, by models of the same labels.

    Args:
        years: Of rules of later years.
        vendors: Of other vendors' rules. The threshold is the higher of those that both need.
    """
    found = [*years, *vendors]
    labels = found[0].labels
    best = _joined([_best(seen) for seen in found])
    kinds = sparse.csr_matrix(best.kind == KINDS.index("cloud"), dtype=np.float64).T
    curves, rest = _logistic(best, [kinds * _CURVE_SCALE, _one_hot(best.label, len(labels)) * RECORD_SCALE])
    cloud, records = rest[0] * _CURVE_SCALE, rest[1:] * RECORD_SCALE
    others, _ = _logistic(_joined([_others(seen) for seen in found]))
    settings = msgspec.structs.replace(
        plain(labels),
        records=tuple(records.round(4).tolist()),
        forms={
            name: Calibration(best, other, _RISING) for name, best, other in zip(FORMS, curves, others, strict=True)
        },
        kinds={"host": 0.0, "cloud": round(float(cloud), 4), "signature": SIGNATURE_SHIFT},
        family_threshold=FAMILY_PRECISION,
    )
    threshold = max(_threshold(settings, each) for each in (years, vendors) if each)
    families, _ = _logistic(_joined([_families(seen, settings, threshold) for seen in found]))
    forms = {
        name: msgspec.structs.replace(settings.forms[name], family=family)
        for name, family in zip(FORMS, families, strict=True)
    }
    family_threshold = max(threshold, FAMILY_PRECISION)
    return msgspec.structs.replace(settings, forms=forms, threshold=threshold, family_threshold=family_threshold)


def _best(seen: Seen) -> _Answers:
    """Return the best technique of each text."""
    return _answers(seen, seen.scores.argmax(axis=1)[:, None], np.array(lead_of_best(seen.scores))[:, :, None])


def _others(seen: Seen) -> _Answers:
    """Return the techniques after the best one of each text."""
    order = np.argsort(-seen.scores, axis=1, kind="stable")[:, :MOST]
    ranked = np.take_along_axis(seen.scores, order, 1).astype(np.float64)
    return _answers(seen, order[:, 1:], np.array([ranked[:, 1:], ranked[:, 1:] - ranked[:, :1]]))


def _answers(seen: Seen, columns: NDArray[np.int64], values: NDArray[np.float64]) -> _Answers:
    right = [
        is_right(seen.labels[each], truth)
        for row, truth in zip(columns.tolist(), seen.truth, strict=True)
        for each in row
    ]
    form, kind = np.repeat(_forms(seen), columns.shape[1], axis=0).T
    return _Answers(values[0].ravel(), values[1].ravel(), columns.ravel(), form, kind, np.array(right, bool))


def _families(seen: Seen, settings: DecisionSettings, threshold: float) -> _Answers:
    """Return the best family of each text with no technique above the threshold; its label is not used."""
    decider = Decider(settings)
    low = np.flatnonzero(decider.confidences(seen.scores, seen.forms) < threshold)
    names, sums = decider.families(seen.scores[low])
    right = [
        name in {parent_of(label) for label in seen.truth[each]} for name, each in zip(names, low.tolist(), strict=True)
    ]
    form, kind = _forms(seen)[low].T
    return _Answers(sums.astype(np.float64), np.zeros(len(low)), low, form, kind, np.array(right, bool))


def _forms(seen: Seen) -> NDArray[np.int64]:
    """Return the form and the kind of each text, shape (texts, 2)."""
    return np.array(seen.forms, np.int64).reshape(-1, 2)


def _joined(parts: Sequence[_Answers]) -> _Answers:
    return _Answers(*(np.concatenate(each) for each in zip(*parts, strict=True)))


def _logistic(answers: _Answers, more: Sequence[Any] = ()) -> tuple[list[Curve], NDArray[np.float64]]:
    """Return the curve of each form, and the weights of the further columns."""
    own = [np.count_nonzero(answers.form == each) >= _FEWEST for each in range(len(FORMS))]
    form = np.where(np.array(own)[answers.form], answers.form, 0)
    is_of = _one_hot(form, len(FORMS))
    columns = [is_of.multiply(each[:, None]) for each in (np.ones(len(form)), answers.score, answers.lead)]
    design = sparse.hstack([*(each * _CURVE_SCALE for each in columns), *more]).tocsr()
    if answers.right.all() or not answers.right.any():  # as of made-up rules: there is nothing to tell apart
        sign = 1.0 if answers.right.any() else -1.0
        return [Curve(sign, 1.0)] * len(FORMS), np.zeros(sum(each.shape[1] for each in more))
    # liblinear's order of steps is fixed: equal samples give equal weights.
    found = LogisticRegression(fit_intercept=False, solver="liblinear", max_iter=1000, random_state=0)
    weights = found.fit(design, answers.right).coef_[0]
    size = 3 * len(FORMS)
    of_forms = (weights[:size] * _CURVE_SCALE).reshape(3, len(FORMS)).T.round(4).tolist()
    return [Curve(*of_forms[each if own[each] else 0]) for each in range(len(FORMS))], weights[size:]


def _one_hot(columns: NDArray[np.int64], width: int) -> Any:  # noqa: ANN401 - scipy ships no types for its matrices
    rows = np.arange(len(columns))
    return sparse.csr_matrix((np.ones(len(columns)), (rows, columns)), shape=(len(columns), width))


def _threshold(settings: DecisionSettings, found: Sequence[Seen]) -> float:
    """Return the least confidence at which the answers above it are right as often as wanted, over all forms."""
    decider = Decider(settings)
    sures = np.concatenate([decider.confidences(seen.scores, seen.forms) for seen in found])
    right = np.concatenate([_best(seen).right for seen in found])
    order = np.argsort(-sures)
    enough = np.flatnonzero(np.cumsum(right[order]) / np.arange(1, len(order) + 1) >= WANTED_PRECISION)
    return round(float(sures[order[enough[-1]]] if len(enough) else sures.max()), 4)

"""Models from data-only files, run on columns: linear (`.npz`), text (`.npz`) and anything in ONNX.

Each is loaded from bytes with a checked digest, holds its arrays in the layout that its maths reads fastest, and gives
the same result for a row however rows are batched.
"""

from __future__ import annotations

import functools
import math
import os
import re
from collections import Counter
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from app.errors import ModelError
from app.inference.arrays import read_arrays
from app.inference.graphs import check_graph

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from app.inference.bundle import Bundle


MOST_GRAPH_BYTES = 1024 * 1024 * 1024
"""Memory of all graphs of a process while they run: a batch that takes more raises, and is halved."""


class ColumnModel(Protocol):
    """A model of numeric features.

    Attributes:
        dtype: The type of its features.
    """

    dtype: type[np.floating[Any]]

    def predict(self, features: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
        """Return predictions for a matrix of shape (rows, features): shape (rows,) or (rows, outputs)."""


class LinearModel:
    """`features @ coef + intercept`, a classifier's optionally through softmax, in float64 as in scikit-learn."""

    dtype: type[np.floating[Any]] = np.float64

    def __init__(self, coef: NDArray[np.float64], intercept: NDArray[np.float64], *, softmax: bool = False) -> None:
        """Take coefficients of shape (features,) or (features, outputs)."""
        self._coef, self._intercept, self._softmax = coef, intercept, softmax

    def predict(self, features: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """Return predictions of shape (rows,) or (rows, outputs)."""
        outputs = self._coef.shape[1:]
        found = np.empty((len(features), *outputs))
        found[:] = self._intercept
        with np.errstate(over="ignore", invalid="ignore"):  # who asks looks for what is no finite number
            # A column at a time: a matrix product sums in an order that depends on how many rows there are.
            for column, weight in zip(features.T, self._coef, strict=True):
                found += column[:, None] * weight if outputs else column * weight
            if self._softmax:
                found -= found.max(axis=1, keepdims=True)
                np.exp(found, out=found)
                found /= found.sum(axis=1, keepdims=True)
        return found


class OnnxModel:
    """An ONNX graph that takes one matrix; its first output is the prediction.

    Attributes:
        dtype: The type of its features.
        features: The number of its features; None if any number will do.
    """

    def __init__(self, graph: bytes, *, rows_alone: bool = False) -> None:
        """Load a graph to run on one thread, since a small function has less than one processor.

        Args:
            graph: The graph's bytes.
            rows_alone: Whether to run each row by itself, for a graph whose sums depend on the neighbouring rows.

        Raises:
            ModelError: The graph is none that may be run (`check_graph`), or that ONNX Runtime runs.
        """
        check_graph(graph)
        os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # it reports to its maker by default
        import onnxruntime  # noqa: PLC0415 - 90 ms that a linear model need not pay

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4  # fatal ones only: its errors come as exceptions
        options.add_session_config_entry("session.use_env_allocators", "1")  # see `_limit_memory`
        options.add_session_config_entry("session.load_model_format", "ONNX")  # it has a format of its own, unchecked
        try:
            _limit_memory()
            self._session: Any = onnxruntime.InferenceSession(
                graph,
                options,
                providers=["CPUExecutionProvider"],
                enable_fallback=0,  # with one it prints what is wrong
                disabled_optimizers=["ConstantFolding"],  # it computes at the start, without a limit
            )
        except Exception as error:  # onnxruntime's exceptions share no base but this
            raise ModelError(f"not an ONNX graph that this ONNX Runtime runs: {type(error).__name__}") from error
        given = self._session.get_inputs()[0]
        self._input: str = given.name
        self._output: str = self._session.get_outputs()[0].name
        self.features: int | None = given.shape[1] if isinstance(given.shape[1], int) else None
        self.dtype: type[np.floating[Any]] = np.float64 if given.type == "tensor(double)" else np.float32
        self._rows_alone = rows_alone

    def predict(self, features: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
        """Return predictions; a single output column comes back as shape (rows,)."""
        features = features.astype(self.dtype, copy=False)
        if self._rows_alone and len(features) > 1:
            return np.concatenate([self.predict(row[None]) for row in features])
        # A row alone goes in twice: for one row, ONNX Runtime sums in another order than for two.
        rows = features.repeat(2, axis=0) if len(features) == 1 else features
        found: NDArray[np.floating[Any]] = self._session.run([self._output], {self._input: rows})[0]
        if not isinstance(found, np.ndarray) or found.shape[:1] != (len(rows),):
            raise ValueError(f"the graph does not give an array of {len(rows)} rows")
        found = found[: len(features)]
        return found[:, 0] if found.ndim > 1 and found.shape[1] == 1 else found


class TextModel:
    """TF-IDF over words and a linear layer: scikit-learn's `TfidfVectorizer` and linear classifier, in numpy.

    The maths is scikit-learn's default (smooth idf, l2 norm, optional sublinear tf):
    https://scikit-learn.org/stable/modules/feature_extraction.html#tfidf-term-weighting
    """

    def __init__(self, arrays: dict[str, NDArray[Any]]) -> None:
        """Take the arrays of a text bundle.

        Args:
            arrays: `vocabulary` (terms, str), `idf` (terms,), `coef` (classes, terms), `intercept` (classes,),
                `classes` (classes, str), `ngrams` (2,: fewest and most words of a term), `sublinear` (bool),
                `token_pattern` (str).
        """
        self._terms = {str(term): row for row, term in enumerate(arrays["vocabulary"])}
        self._idf = arrays["idf"].astype(np.float32)
        # One row a term: a text gathers its rows side by side; the other order is 25 times slower for one text.
        self._weights = np.ascontiguousarray(arrays["coef"].T, np.float32)
        self._intercept = arrays["intercept"].astype(np.float32)
        self.classes = [str(name) for name in arrays["classes"]]
        self._fewest, self._most = (int(words) for words in arrays["ngrams"])
        self._sublinear = bool(arrays["sublinear"])
        self._words = re.compile(str(arrays["token_pattern"]))

    def scores(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return decision values of shape (texts, classes)."""
        found = np.tile(self._intercept, (len(texts), 1))
        for row, text in enumerate(texts):
            terms, weights = self._weigh(text)
            if terms:
                found[row] += weights @ self._weights[terms]
        return found

    def predict(self, texts: Sequence[str]) -> list[str]:
        """Return the class with the highest score for each text."""
        return [self.classes[best] for best in self.scores(texts).argmax(axis=1)] if texts else []

    def _weigh(self, text: str) -> tuple[list[int], NDArray[np.float32]]:
        """Return a text's known terms and their normalised weights."""
        words = self._words.findall(text.lower())
        found: Counter[int] = Counter()
        for length in range(self._fewest, self._most + 1):
            for start in range(len(words) - length + 1):
                term = self._terms.get(" ".join(words[start : start + length]))
                if term is not None:
                    found[term] += 1
        terms = list(found)
        counts = np.fromiter(found.values(), np.float32, len(terms))
        weights = (1 + np.log(counts) if self._sublinear else counts) * self._idf[terms]
        norm = math.sqrt(float(weights @ weights))
        return terms, weights / norm if norm else weights


@functools.cache
def _limit_memory() -> None:
    """Give all graphs of the process one arena of bounded size: a hundred bytes of a graph can ask for terabytes."""
    import onnxruntime  # noqa: PLC0415 - see `OnnxModel`

    kind = onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR
    memory = onnxruntime.OrtMemoryInfo("Cpu", kind, 0, onnxruntime.OrtMemType.DEFAULT)
    onnxruntime.create_and_register_allocator(memory, onnxruntime.OrtArenaCfg(MOST_GRAPH_BYTES, -1, -1, -1))


def load_columns(bundle: Bundle, file: str) -> ColumnModel:
    """Load the numeric model in a bundle's file: `.onnx`, or `.npz` with `coef`, `intercept` and perhaps `softmax`.

    Raises:
        ModelError: The file is of another kind.
    """
    target = bundle.manifest.target
    return open_columns(file, bundle.read(file), rows_alone=target is not None and target.rows_alone)


def open_columns(file: str, data: bytes, *, rows_alone: bool = False) -> ColumnModel:
    """Load the numeric model in a file's bytes; see `load_columns`."""
    if file.endswith(".onnx"):
        return OnnxModel(data, rows_alone=rows_alone)
    arrays = read_arrays(data, file, {"coef", "intercept", "softmax?"})
    softmax = bool(arrays.get("softmax", False))
    return LinearModel(arrays["coef"].astype(np.float64), arrays["intercept"].astype(np.float64), softmax=softmax)


def load_text(bundle: Bundle, file: str) -> TextModel:
    """Load the text model in a bundle's `.npz` file.

    Raises:
        ModelError: The file is of another kind.
    """
    names = {"vocabulary", "idf", "coef", "intercept", "classes", "ngrams", "sublinear", "token_pattern"}
    return TextModel(read_arrays(bundle.read(file), file, names))

"""The sentiment estimator: TF-IDF with a linear model on it, its search, its ONNX graph and its evaluation.

Multinomial naive Bayes, logistic regression and a linear SVM all answer by a sum of weights, one for each term of the
text. So whichever is chosen, the graph is the same: look each term up, add its numbers, and squash the sum.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bentos.common import classification, evaluation, tuning
from bentos.common import pictures as common_pictures
from bentos.common.classification import Judged
from bentos.common.estimator import Arrays, Candidate, Figure, Fold, Picture, Predict, Range, Run, Split, Trial
from bentos.sentiment.contract import Masked
from bentos.sentiment.features import arrays

SPLIT = Split(by="hash", train=0.64, dev=0.16)
METRIC = "accuracy"
FOLDS = 5
_TERMS: Mapping[str, Sequence[Any]] = {"longest_term": (1, 2), "fewest_texts": (1, 2), "unit_length": (False, True)}
"""Terms of up to so many words, which stand in so many training texts or more; whether a text is scaled to length 1."""
CANDIDATES = (
    Candidate("naive_bayes", {**_TERMS, "alpha": Range(0.1, 3.0, log=True)}),
    Candidate("logistic_regression", {**_TERMS, "c": Range(0.01, 30.0, log=True)}),
    Candidate("linear_svm", {**_TERMS, "c": Range(0.001, 3.0, log=True)}),
)
MOST_WORDS_SHOWN = 30
POSITIVE, NEGATIVE, UNKNOWN = 1, 0, -1

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Fitted:
    """A fitted vectorizer and classifier, and the line (Platt 1999) that makes probabilities of its decisions."""

    vectorizer: Any
    classifier: Any
    unit_length: bool
    slope: float = 1.0
    offset: float = 0.0

    def terms(self, texts: Sequence[str]) -> tuple[Any, NDArray[np.bool_]]:
        """The matrix [texts, terms], and which texts hold any term that is known.

        Scaling divides by the root of the sum of the squared weight of each occurrence of a term, not of each distinct
        one as scikit-learn does: the same unless a term repeats, and a plain sum over the text.
        """
        counted = self.vectorizer.transform(texts)
        squared = counted @ self.vectorizer.idf_
        if self.unit_length:
            counted = counted.multiply(1 / np.sqrt(np.where(squared > 0, squared, 1))[:, None]).tocsr()
        return counted, squared > 0

    def decision(self, texts: Sequence[str]) -> Floats:
        """Positive for positive texts; scikit-learn's own answer."""
        return _decision(self.classifier, self.terms(texts)[0])


def search(seed: int) -> tuning.OptunaSearch:
    """Trials of all three kinds."""
    return tuning.OptunaSearch(CANDIDATES, seed)


def folds(train: Sequence[Masked], dev: Sequence[Masked], seed: int) -> Sequence[Fold]:
    """Cross-validation over the four in five sentences that are not for the test."""
    known = [*train, *dev]
    return tuning.stratified_folds(known, [sentence.label for sentence in known], FOLDS, seed)


def fit(trial: Trial, train: Sequence[Masked], seed: int) -> Fitted:
    """Terms and weights learned from these sentences; probabilities are not calibrated yet."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.naive_bayes import MultinomialNB
    from sklearn.svm import LinearSVC

    params = trial.params
    vectorizer = TfidfVectorizer(
        ngram_range=(1, params["longest_term"]),
        min_df=params["fewest_texts"],
        norm=None,
        lowercase=False,
        tokenizer=str.split,
        token_pattern=None,
    )
    texts, labels = _texts(train), _labels(train)
    vectorizer.fit(texts)
    make = {
        "naive_bayes": lambda: MultinomialNB(alpha=params["alpha"]),
        "logistic_regression": lambda: LogisticRegression(C=params["c"], solver="liblinear", random_state=seed),
        "linear_svm": lambda: LinearSVC(C=params["c"], random_state=seed),
    }
    fitted = Fitted(vectorizer, make[trial.candidate](), params["unit_length"])
    fitted.classifier.fit(fitted.terms(texts)[0], labels)
    return fitted


def score(fitted: Fitted, dev: Sequence[Masked], seed: int) -> float:
    """Accuracy."""
    return float(((fitted.decision(_texts(dev)) > 0) == _labels(dev)).mean())


def finish(trial: Trial, train: Sequence[Masked], dev: Sequence[Masked], seed: int) -> Fitted:
    """Fitted on train and dev together, its probabilities by Platt's method: a logistic regression on the decisions
    that models of the other folds make of each fold."""
    from sklearn.linear_model import LogisticRegression

    parts = folds(train, dev, seed)
    unseen = np.concatenate([fit(trial, part.train, seed).decision(_texts(part.dev)) for part in parts])
    labels = np.concatenate([_labels(part.dev) for part in parts])
    line = LogisticRegression(C=1e6).fit(unseen[:, None], labels)
    fitted = fit(trial, [*train, *dev], seed)
    return replace(fitted, slope=float(line.coef_[0, 0]), offset=float(line.intercept_[0]))


def convert(fitted: Fitted) -> bytes:
    """Standard ONNX, in float64: input `text`, outputs `label` and `score`.

    scikit-learn's converter makes a dense row of the whole vocabulary for each text. Here each term of a text is looked
    up and only its own numbers are added: time goes by the length of the texts, not by the size of the vocabulary.
    """
    from onnx import TensorProto, helper, numpy_helper

    from bentos.common.graph_merging import IR_VERSION, OPSETS

    terms = fitted.vectorizer.get_feature_names_out().tolist()
    weights, intercept = _weights(fitted.classifier)
    idf = fitted.vectorizer.idf_
    # A row for each term: what it adds to the decision, and to the squared length. Row 0 is any other term's.
    table = np.zeros((len(terms) + 1, 2))
    table[1:, 0], table[1:, 1] = idf * weights, idf**2
    constants = {
        "table": table,
        "zero": np.array(0),
        "one": np.array(1),
        "begin": np.array([0]),
        "second": np.array([1]),
        "last": np.array([-1]),
        "end": np.array([np.iinfo(np.int64).max]),
        "two": np.array([2]),
        "space": np.array([" "], dtype=object),
        "nothing": np.array(0.0),
        "unscaled": np.array(1.0),
        "intercept": np.array(intercept),
        "slope": np.array(fitted.slope),
        "offset": np.array(fitted.offset),
        "half": np.array(0.5),
        "unknown": np.array(UNKNOWN),
    }

    nodes = [*_words(), *_terms(terms, fitted.vectorizer.ngram_range[1]), *_sums(), *_answers(fitted.unit_length)]
    graph = helper.make_graph(
        nodes,
        "sentiment",
        [helper.make_tensor_value_info("text", TensorProto.STRING, ["rows_asked"])],
        [
            helper.make_tensor_value_info("label", TensorProto.INT64, ["rows_asked"]),
            helper.make_tensor_value_info("score", TensorProto.FLOAT, ["rows_asked"]),
        ],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    opsets = [helper.make_opsetid(domain, version) for domain, version in OPSETS.items()]
    return bytes(helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION).SerializeToString())


def reference(fitted: Fitted, items: Sequence[Masked]) -> Arrays:
    """scikit-learn's own answer."""
    matrix, known = fitted.terms(_texts(items))
    logit = fitted.slope * _decision(fitted.classifier, matrix) + fitted.offset
    probability = 1 / (1 + np.exp(-logit))
    label = np.where(known, (probability >= 0.5).astype(np.int64), UNKNOWN)
    return {"label": label, "score": probability.astype(np.float32)}


def figures(predict: Predict, test: Sequence[Masked], seed: int) -> Mapping[str, Figure]:
    """All of a classifier's, the share of texts that it knows no word of, and accuracy for each source."""
    judged, unknown = _judged(predict, test)
    found = classification.figures(judged, seed)
    weights = evaluation.replicates(len(test), seed)
    found["unknown_rate"] = evaluation.figure(evaluation.mean(unknown, weights), greater_is_better=False)
    right = judged.flagged == judged.truth
    for source in sorted({sentence.source for sentence in test}):
        of_source = np.array([sentence.source == source for sentence in test])
        found[f"accuracy_{source}"] = evaluation.figure(evaluation.mean(right[of_source], weights[:, of_source]))
    return found


def compare(candidate: Predict, champion: Predict, test: Sequence[Masked], seed: int) -> Mapping[str, Figure]:
    """How much more often it is right than the champion, and how often they agree."""
    return classification.gains(_judged(candidate, test)[0], _judged(champion, test)[0], seed)


def importance(run: Run, test: Sequence[Masked], seed: int) -> Mapping[str, float]:
    """How far each word moves the probability, on average over all texts, when it is left out of those that hold it."""
    texts = _texts(test)
    left_out = [
        (place, word, " ".join(other for other in text.split() if other != word))
        for place, text in enumerate(texts)
        for word in dict.fromkeys(text.split())
    ]
    whole = run({"text": np.array(texts, dtype=object)})["score"]
    without = run({"text": np.array([text for _, _, text in left_out], dtype=object)})["score"]
    moved: dict[str, float] = {}
    for (place, word, _), answer in zip(left_out, without, strict=True):
        moved[word] = moved.get(word, 0.0) + abs(float(answer - whole[place])) / len(texts)
    return dict(sorted(moved.items(), key=lambda item: item[1], reverse=True)[:MOST_WORDS_SHOWN])


def pictures(predict: Predict, test: Sequence[Masked], seed: int) -> Sequence[Picture]:
    """The usual ones of a classifier, and where the two classes score."""
    judged, _ = _judged(predict, test)
    scores = {
        name: (tuple(judged.probability[judged.truth == actual]), ())
        for name, actual in ((judged.negative, False), (judged.positive, True))
    }
    histogram = Picture("Scores of held-out sentences", "histogram", "probability of positive", "sentences", scores)
    return (*common_pictures.of_classes(judged), histogram)


def _node(operator: str, inputs: str, outputs: str, **attributes: Any) -> Any:
    from onnx import helper

    return helper.make_node(operator, inputs.split(), outputs.split(), **attributes)


def _words() -> list[Any]:
    """Every `word` there is, and `text_of`, the place of the text that it stands in.

    The split pads each text with empty words to the longest one's length; these are left out at once, or one long text
    would make every other one as long.
    """
    return [
        _node("StringSplit", "text", "padded counts", delimiter=" "),
        _node("Shape", "padded", "widths", start=1, end=2),
        _node("Squeeze", "widths", "width"),
        _node("Range", "zero width one", "columns"),
        _node("Unsqueeze", "counts second", "limits"),
        _node("Less", "columns limits", "held"),
        _node("NonZero", "held", "places"),
        _node("Gather", "places zero", "text_of", axis=0),
        _node("Reshape", "held last", "held_flat"),
        _node("Compress", "padded held_flat", "word"),
    ]


def _terms(known: Sequence[str], longest: int) -> list[Any]:
    """The row of the table of each term, `row_of_term`, and the place of its text, `text_of_term`. Two words that
    follow one another are a term too where terms have two words and both stand in the same text."""
    lookup = {"keys_strings": known, "values_int64s": range(1, len(known) + 1), "default_int64": 0}
    lookup |= {"domain": "ai.onnx.ml"}
    if longest == 1:
        return [
            _node("LabelEncoder", "word", "row_of_term", **lookup),
            _node("Identity", "text_of", "text_of_term"),
        ]
    return [
        _node("Slice", "word begin last", "former"),
        _node("Slice", "word second end", "latter"),
        _node("StringConcat", "former space", "spaced"),
        _node("StringConcat", "spaced latter", "pair"),
        _node("Slice", "text_of begin last", "text_of_former"),
        _node("Slice", "text_of second end", "text_of_latter"),
        _node("Equal", "text_of_former text_of_latter", "together"),
        _node("Compress", "pair together", "pair_in_text", axis=0),
        _node("Compress", "text_of_former together", "text_of_pair", axis=0),
        _node("Concat", "word pair_in_text", "term", axis=0),
        _node("Concat", "text_of text_of_pair", "text_of_term", axis=0),
        _node("LabelEncoder", "term", "row_of_term", **lookup),
    ]


def _sums() -> list[Any]:
    """The `sum` and the `squared` length of each text, and whether any of its terms is `known`."""
    from onnx import TensorProto, helper

    nothing = helper.make_tensor("value", TensorProto.DOUBLE, [1], [0.0])
    return [
        _node("Gather", "table row_of_term", "numbers", axis=0),
        _node("Unsqueeze", "text_of_term second", "owners"),
        _node("Shape", "counts", "rows"),
        _node("Concat", "rows two", "shape", axis=0),
        _node("ConstantOfShape", "shape", "empty", value=nothing),
        _node("ScatterND", "empty owners numbers", "sums", reduction="add"),
        _node("Gather", "sums zero", "sum", axis=1),
        _node("Gather", "sums one", "squared", axis=1),
        _node("Greater", "squared nothing", "known"),
    ]


def _answers(unit_length: bool) -> list[Any]:
    """`label` and `score`."""
    from onnx import TensorProto

    scaling = [
        _node("Where", "known squared unscaled", "divisible"),
        _node("Sqrt", "divisible", "length"),
        _node("Div", "sum length", "scaled"),
    ]
    return [
        *(scaling if unit_length else ()),
        _node("Add", f"{'scaled' if unit_length else 'sum'} intercept", "decision"),
        _node("Mul", "decision slope", "sloped"),
        _node("Add", "sloped offset", "logit"),
        _node("Sigmoid", "logit", "probability"),
        _node("Cast", "probability", "score", to=TensorProto.FLOAT),
        _node("GreaterOrEqual", "probability half", "is_positive"),
        _node("Cast", "is_positive", "called", to=TensorProto.INT64),
        _node("Where", "known called unknown", "label"),
    ]


def _judged(predict: Predict, test: Sequence[Masked]) -> tuple[Judged, NDArray[np.bool_]]:
    """Truth and answers, and which texts are unknown: those count as wrong, whichever class they are of."""
    answered = predict(test)
    truth = _labels(test)
    unknown = answered["label"] == UNKNOWN
    flagged = np.where(unknown, ~truth, answered["label"] == POSITIVE)
    return Judged(truth, flagged, answered["score"].astype(np.float64), "negative", "positive"), unknown


def _decision(classifier: Any, matrix: Any) -> Floats:
    if hasattr(classifier, "decision_function"):
        return np.asarray(classifier.decision_function(matrix), dtype=np.float64)
    joint = classifier.predict_joint_log_proba(matrix)
    return np.asarray(joint[:, 1] - joint[:, 0], dtype=np.float64)


def _weights(classifier: Any) -> tuple[Floats, float]:
    """What each term adds to the decision, and what it begins with."""
    if hasattr(classifier, "coef_"):
        return classifier.coef_[0], float(classifier.intercept_[0])
    likelihoods, priors = classifier.feature_log_prob_, classifier.class_log_prior_
    return likelihoods[1] - likelihoods[0], float(priors[1] - priors[0])


def _texts(items: Sequence[Masked]) -> list[str]:
    texts: list[str] = arrays(items)["text"].tolist()
    return texts


def _labels(items: Sequence[Masked]) -> NDArray[np.bool_]:
    return np.array([sentence.label == "positive" for sentence in items])

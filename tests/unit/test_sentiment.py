"""The sentiment room: what a word is, what a text may be, and a graph that answers as scikit-learn does."""

from __future__ import annotations

import json
import random
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from bentos.common.estimator import Trial
from bentos.common.masking import masker
from bentos.common.scrubbing import scrub
from bentos.common.session import OnnxModel
from bentos.sentiment import estimator
from bentos.sentiment.checks import frame
from bentos.sentiment.contract import MOST_CHARACTERS, Masked, Record, Request, record_id
from bentos.sentiment.features import arrays, words
from tests.sentences import TRIAL, fitted, read_sentences, write_sentences
from tools import derive_sentiment

TRIALS = (
    TRIAL,
    Trial("naive_bayes", {"alpha": 0.4, "longest_term": 2, "fewest_texts": 1, "unit_length": True}),
    Trial("linear_svm", {"c": 0.01, "longest_term": 1, "fewest_texts": 2, "unit_length": False}),
)


@pytest.fixture(scope="module")
def sentences(tmp_path_factory: pytest.TempPathFactory) -> list[Masked]:
    return read_sentences(tmp_path_factory.mktemp("sentences"), 1, 2)


@pytest.fixture(scope="module")
def model(sentences: list[Masked]) -> estimator.Fitted:
    """Of all sentences but the last ones, which are left for tests."""
    return fitted(sentences[:2_400])


def sentence(text: str) -> Masked:
    return Masked.model_construct(sentence_id="yelp-1", source="yelp", text=text, label="positive")


def graph(model: estimator.Fitted, folder: Path) -> OnnxModel:
    path = folder / "model.onnx"
    path.write_bytes(estimator.convert(model))
    return OnnxModel(path)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Great phone!", "great phone"),
        ("Naïve  CAFÉ", "naive cafe"),
        ("don't DON\u2019T dont", "dont dont dont"),
        ("Straße ﬁne ２４", "strasse fine 24"),
        ("Это хорошо", "это хорошо"),
        ("とても良い", "とても良い"),
        ("snake_case, 3.5 stars", "snake case 3 5 stars"),
        ("İstanbul \u212a", "istanbul k"),
        ("\x00\x01 \t\n", ""),
        ("🎉🎉 …!?", ""),
        ("\ud800 lone", "lone"),
    ],
)
def test_a_word_is_a_run_of_letters_or_digits_without_case_accent_or_apostrophe(text: str, found: str) -> None:
    assert words(text) == found


@pytest.mark.parametrize("text", ["Wow... Loved this place.", "Naïve İ \u1e9e ﬀ", "a\u0345\u0301 Σς"])
def test_the_words_of_words_are_the_same_words(text: str) -> None:
    assert words(words(text)) == words(text)


def test_sentences_of_equal_words_are_one_record() -> None:
    one, other, third = (sentence(text) for text in ("Great phone!", "great  phone.", "Great phones!"))
    assert record_id(one) == record_id(other) != record_id(third)


@pytest.mark.parametrize("text", ["", "x" * (MOST_CHARACTERS + 1), 5, None, ["Great"]])
def test_a_text_that_is_none_is_refused(text: Any) -> None:
    with pytest.raises(ValidationError):
        Request.model_validate_json(json.dumps({"text": text}))


def test_a_text_may_come_as_a_string_alone() -> None:
    assert Request.model_validate_json('"Great phone"') == Request(text="Great phone")


@pytest.mark.parametrize(
    "text",
    [
        "Write to ada@example.com, they answer!",
        "Call 020 7946 0018 or +44 20 7946 0018. Great people.",
        "Paid with 4111 1111 1111 1111 and was charged twice.",
        "123 456 7890 012 345 678 is not a good name.",
        "Great phone, bought on 12.03.2024 for 199.99.",
        "Großartig: ада@пример.рф, ２０２ ５５５ ０１ ２３ ４５",
    ],
)
def test_a_text_is_read_alike_before_and_after_it_was_masked(text: str) -> None:
    """Training reads what masking left, the service what somebody sent: one word must not become another."""
    raw = Record(sentence_id="yelp-1", source="yelp", text=text, label="positive")
    masked = Masked.model_validate(masker(Record, b"k" * 32)(raw))
    assert arrays([raw])["text"].tolist() == arrays([masked])["text"].tolist()
    assert arrays([Request(text=text)])["text"].tolist() == arrays([masked])["text"].tolist()


def test_any_text_is_read_alike_before_and_after_it_was_masked() -> None:
    """Runs of digits, gaps and address signs, in which one mark makes room for the next."""
    generator = random.Random(1)
    signs = "0123456789" * 3 + " .()/-_+@,;a٣２é"
    for _ in range(20_000):
        text = "".join(generator.choices(signs, k=generator.randrange(1, 40)))
        once = scrub(text)
        assert arrays([sentence(text)])["text"].tolist() == arrays([sentence(once)])["text"].tolist(), text


def test_no_address_or_number_of_a_person_is_a_word() -> None:
    said = arrays([sentence("Mail ada.lovelace@example.com or call 020 7946 0018, good")])["text"].tolist()
    assert said == ["mail email or call phone good"]


def test_an_unknown_label_or_source_is_refused() -> None:
    document = {"sentence_id": "yelp-1", "source": "yelp", "text": "Good.", "label": "positive"}
    Record.model_validate(document)
    for changed in ({"label": "neutral"}, {"source": "elsewhere"}, {"sentence_id": "ada@example.com"}):
        with pytest.raises(ValidationError):
            Record.model_validate(document | changed)


@pytest.mark.parametrize("trial", TRIALS, ids=lambda trial: trial.candidate)
def test_the_graph_answers_ten_thousand_strings_of_any_signs_as_scikit_learn_does(
    trial: Trial, sentences: list[Masked], tmp_path: Path
) -> None:
    """Known words among signs of every plane, of any length from none on; labels equal, scores to the last float32."""
    model = fitted(sentences[:1_000], trial)
    fuzzed = [sentence(text) for text in _fuzzed(sentences[:1_000], 10_000)]
    wanted = estimator.reference(model, fuzzed)
    answered = graph(model, tmp_path).run(arrays(fuzzed))
    assert (answered["label"] == wanted["label"]).all()
    assert np.abs(answered["score"] - wanted["score"]).max() <= 1e-6
    assert set(wanted["label"]) == {-1, 0, 1}


def _fuzzed(sentences: list[Masked], count: int) -> list[str]:
    generator = random.Random(0)
    known = [word for one in sentences for word in one.text.split()]

    def sign() -> str:
        plane = generator.choice((0x80, 0x250, 0x3000, 0x10000, sys.maxunicode + 1))
        return chr(generator.randrange(plane))

    def piece() -> str:
        kind = generator.random()
        if kind < 0.5:
            return generator.choice(known)
        return "".join(sign() for _ in range(generator.randrange(1, 8)))

    return [
        generator.choice(("", " ", "\n")).join(piece() for _ in range(generator.randrange(20))) for _ in range(count)
    ]


@pytest.mark.parametrize("trial", TRIALS, ids=lambda trial: trial.candidate)
def test_every_candidate_tells_clear_sentences_apart(trial: Trial, sentences: list[Masked], tmp_path: Path) -> None:
    model = graph(fitted(sentences[:1_500], trial), tmp_path)
    asked = ["This is great, I love it!", "Terrible. The worst I ever bought.", "Это хорошо", "..."]
    assert model.run(arrays([sentence(text) for text in asked]))["label"].tolist() == [1, 0, -1, -1]


def test_texts_answered_together_are_answered_as_each_alone(model: estimator.Fitted, tmp_path: Path) -> None:
    onnx = graph(model, tmp_path)
    texts = [sentence(text) for text in ("", "great", "not a good phone at all", "..." * 100, "bad " * 1_000)]
    together = onnx.run(arrays(texts))["score"]
    alone = np.concatenate([onnx.run(arrays([text]))["score"] for text in texts])
    assert (together == alone).all()


def test_an_unknown_text_counts_as_wrong_whatever_it_is(sentences: list[Masked]) -> None:
    def knows_nothing(items: Any) -> dict[str, Any]:
        return {"label": np.full(len(items), -1), "score": np.full(len(items), 0.5, dtype=np.float32)}

    found = estimator.figures(knows_nothing, sentences[:60], seed=0)
    assert found["accuracy"].value == 0
    assert found["unknown_rate"].value == 1


def test_probabilities_are_calibrated_on_sentences_that_were_not_learned(
    sentences: list[Masked], model: estimator.Fitted
) -> None:
    test = sentences[2_400:]
    found = estimator.figures(lambda items: estimator.reference(model, items), test, seed=0)
    assert found["calibration_error"].value < 0.1
    assert found["accuracy"].value > 0.75


def test_importance_names_the_words_that_move_the_answer(
    sentences: list[Masked], model: estimator.Fitted, tmp_path: Path
) -> None:
    moved = estimator.importance(graph(model, tmp_path).run, sentences[:300], seed=0)
    assert list(moved.values()) == sorted(moved.values(), reverse=True)
    assert {"not", "great"} <= set(moved)


def test_the_shipped_batches_come_out_of_the_source_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Signs that Python takes for line ends, quotes, and a last line without an end stay in the sentence."""
    for name in derive_sentiment.SOURCES.values():
        (tmp_path / name).write_text('He said "no\x85 way".  \t0\nGood\u2028one.\t1', encoding="utf-8")
    made = list(derive_sentiment.sentences(tmp_path / "imdb_labelled.txt", "imdb"))
    assert [one["text"] for one in made] == ['He said "no\x85 way".', "Good\u2028one."]
    assert [one["label"] for one in made] == ["negative", "positive"]
    monkeypatch.setattr("sys.argv", ["derive", str(tmp_path), "--to", str(tmp_path / "out")])
    assert derive_sentiment.main() == 0
    first = (tmp_path / "out/batch-1.ndjson").read_text(encoding="utf-8")
    assert [json.loads(line)["sentence_id"] for line in first.split("\n")[:-1]] == [
        f"{source}-{number}" for source in derive_sentiment.SOURCES for number in (1, 2)
    ]


def test_the_table_that_is_checked_has_a_row_for_each_sentence(tmp_path: Path) -> None:
    table = frame(write_sentences(tmp_path / "masked.ndjson", 2))
    assert len(table) == 899
    assert table["is_positive"].mean() == pytest.approx(0.5, abs=0.05)
    assert (table["length"] >= 1).mean() > 0.99


def test_one_long_text_does_not_make_the_others_long(model: estimator.Fitted, tmp_path: Path) -> None:
    """A thousand texts beside the longest that the contract takes: padded alike they would be 2.5 million words."""
    onnx = graph(model, tmp_path)
    texts = arrays([sentence("a " * (MOST_CHARACTERS // 2)), *[sentence("good phone")] * 999])["text"]
    answered = onnx.run({"text": texts})
    assert (answered["score"][1:] == onnx.run({"text": texts[1:2]})["score"][0]).all()
    began = time.perf_counter()
    onnx.run({"text": texts})
    assert time.perf_counter() - began < 5

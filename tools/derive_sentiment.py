"""Make data/sentiment/batch-1.ndjson and batch-2.ndjson from the Sentiment Labelled Sentences of UCI.

    python -m tools.derive_sentiment FOLDER

FOLDER holds the three files of the data set. The same files give the same bytes again.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bakehouse import workspace

SOURCES = {"amazon": "amazon_cells_labelled.txt", "imdb": "imdb_labelled.txt", "yelp": "yelp_labelled.txt"}
LABELS = {"0": "negative", "1": "positive"}
FIRST_BATCH = 700
"""How many sentences of each source make the first batch; the second has the rest."""


def main() -> int:
    """Write both batches."""
    parser = argparse.ArgumentParser(prog="python -m tools.derive_sentiment", description="Make the sentiment batches.")
    parser.add_argument("folder", type=Path, help="where the three text files are")
    parser.add_argument("--to", type=Path, default=workspace.root() / "data" / "sentiment", help="where to write")
    given = parser.parse_args()
    given.to.mkdir(parents=True, exist_ok=True)
    batches: tuple[list[dict[str, Any]], list[dict[str, Any]]] = ([], [])
    for source, name in SOURCES.items():
        for number, sentence in enumerate(sentences(given.folder / name, source)):
            batches[number >= FIRST_BATCH].append(sentence)
    for number, batch in enumerate(batches, start=1):
        lines = (json.dumps(sentence, ensure_ascii=False, separators=(",", ":")) + "\n" for sentence in batch)
        (given.to / f"batch-{number}.ndjson").write_text("".join(lines), encoding="utf-8", newline="\n")
        print(f"batch-{number}.ndjson: {len(batch)} sentences")
    return 0


def sentences(file: Path, source: str) -> Iterator[dict[str, Any]]:
    """The sentences of one file, in its order. Their text keeps its quotes; spaces around it go."""
    # Some lines hold U+0085, which str.splitlines would take for the end of one.
    for number, line in enumerate(file.read_text(encoding="utf-8").split("\n"), start=1):
        if line:
            text, label = line.rsplit("\t", 1)
            yield {
                "sentence_id": f"{source}-{number}",
                "source": source,
                "text": text.strip(),
                "label": LABELS[label.strip()],
            }


if __name__ == "__main__":
    raise SystemExit(main())

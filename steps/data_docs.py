"""Great Expectations' page of data docs, made to stand alone: it asks no other host and runs no script.

Holds what is taken out of the page and the style that it gets instead. What the page says is Great Expectations' own.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

# Its scripts filter and fold by libraries from other hosts; its navigation leads to pages that nobody wrote.
REMOVED = re.compile(
    r"<(script|style|footer)\b.*?</\1>|<(?:link|img)\b[^>]*>|<title></title>", re.DOTALL | re.IGNORECASE
)
LINK_TO_ANOTHER_PAGE = re.compile(r'<a\b[^>]*href="(?!#)[^"]*"[^>]*>(.*?)</a>', re.DOTALL | re.IGNORECASE)
ICON = re.compile(r'<i class="fas? fa-([a-z-]+)[^>]*></i>')
ICON_BESIDE_ITS_WORD = re.compile(r'<i class="fas? [^>]*aria-hidden="true"[^>]*></i>')
WORDS = {"check-circle": "met", "times": "missed", "exclamation-triangle": "not evaluated"}
STYLE = """<style>
  body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #1c1c1c; }
  table { border-collapse: collapse; width: 100%; margin: .5rem 0; }
  th, td { text-align: left; padding: .3rem .6rem; border-bottom: 1px solid #ddd; vertical-align: top; }
  .badge { background: #eee; border-radius: .3rem; padding: 0 .3rem; }
  .status-check-circle { color: #1b6e35; }
  .status-times, .status-exclamation-triangle { color: #b3261e; }
  .sticky, body > nav, [data-toggle=collapse] { display: none; }
  @media (prefers-color-scheme: dark) {
    body { background: #1c1c1c; color: #eee; } .badge { background: #444; } th, td { border-color: #555; }
    .status-check-circle { color: #7fd79a; } .status-times, .status-exclamation-triangle { color: #ff8a80; }
  }
</style>
"""


def data_docs(result: Path) -> str:
    """The page for a validation result. It is read from its JSON file, since numpy's numbers defeat the renderer."""
    from great_expectations.core.expectation_validation_result import expectationSuiteValidationResultSchema
    from great_expectations.render.renderer import ValidationResultsPageRenderer
    from great_expectations.render.view import DefaultJinjaPageView

    as_told = expectationSuiteValidationResultSchema.load(json.loads(result.read_text()))
    return _standing_alone(DefaultJinjaPageView().render(ValidationResultsPageRenderer().render(as_told)))


def _standing_alone(page: str) -> str:
    page = LINK_TO_ANOTHER_PAGE.sub(r"\1", REMOVED.sub("", page))
    page = ICON.sub(_word, ICON_BESIDE_ITS_WORD.sub("", page))
    return page.replace("</head>", STYLE + "</head>", 1)


def _word(icon: re.Match[str]) -> str:
    name = icon[1]
    return f'<strong class="status-{name}">{WORDS.get(name, name)}</strong>'

"""The governance report: one HTML page by itself. Formats what a check found, and judges nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from html import escape

from terraform.policies.access_matrix import STRANGER, Access, matrix, models, roles, stores
from terraform.policies.catalogue import Entry, catalogue
from terraform.policies.costs import Cost, monthly_costs, prices
from terraform.policies.estate import Estate
from terraform.policies.evidence import SOURCES, Check
from terraform.policies.rules import Result

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --good: #18794e; --bad: #cd2b31; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 78rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { margin-top: 2.5rem; } h3 { margin-top: 1.5rem; }
table { border-collapse: collapse; width: 100%; margin: .5rem 0 1rem; display: block; overflow-x: auto; }
th, td { border-bottom: 1px solid var(--line); padding: .3rem .7rem; text-align: left; vertical-align: top; }
.good { color: var(--good); } .bad { color: var(--bad); font-weight: 600; } small { opacity: .75; }
code { font-size: .9em; overflow-wrap: anywhere; }
"""


def render(check: Check, made_at: datetime) -> str:
    """The page. The same check and time give the same bytes."""
    parts = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>Bakehouse governance</title><style>{_STYLE}</style></head><body>",
        "<h1>Bakehouse governance</h1>",
        *_summary(check, made_at),
        *_failures(check),
        *_rules(check),
        *_waivers(check),
        *(part for name in check.evidence for part in _environment(check, name)),
        "</body></html>",
    ]
    return "\n".join(parts) + "\n"


def _summary(check: Check, made_at: datetime) -> Iterator[str]:
    good = check.outcome.passed
    count = len(check.outcome.failures) + len(check.outcome.faults)
    verdict = "Every rule is kept." if good else f"{count} {'failure' if count == 1 else 'failures'}."
    yield f'<p class="{"good" if good else "bad"}">{verdict}</p>'
    judged = sum(len(result.judgements) for every in check.results.values() for result in every)
    yield f"<p>{judged} judgements by {len(catalogue())} rules, made at {escape(made_at.isoformat())}.</p>"
    yield "<ul><li>sources: every root and module under <code>terraform/</code></li>"
    for name, found in check.evidence.items():
        what = "plans and the states after their apply" if found.recorded else "plans only"
        yield f"<li>{escape(name)}: {what}, account {escape(found.context.account_id)}</li>"
    yield "</ul>"
    for name in sorted(set(check.results) - {SOURCES} - set(check.evidence)):
        yield f'<p class="bad">{escape(name)} was not judged: there is no plan of it.</p>'


def _failures(check: Check) -> Iterator[str]:
    rows = [
        (
            failure.environment,
            failure.rule,
            failure.judgement.subject,
            failure.judgement.verdict.value,
            failure.judgement.message,
        )
        for failure in check.outcome.failures
    ] + [("waivers", "", "", "broken", fault) for fault in check.outcome.faults]
    if rows:
        yield "<h2>Failures</h2>"
        yield from _table(("where", "rule", "subject", "verdict", "what"), rows, code=(2,))


def _rules(check: Check) -> Iterator[str]:
    yield "<h2>Rules</h2>"
    names = list(check.results)
    rows = []
    for entry in catalogue().values():
        cells = [_cell(entry, check.results[name]) for name in names]
        rows.append((entry.id, entry.title, entry.why, "; ".join(entry.controls), entry.source, *cells))
    yield from _table(
        ("rule", "says", "why", "serves", "thresholds", *names), rows, raw=tuple(range(5, 5 + len(names)))
    )


def _cell(entry: Entry, results: Iterable[Result]) -> str:
    for result in results:
        if result.rule == entry.id:
            if result.passed:
                return f'<span class="good">kept by {len(result.judgements)}</span>'
            return f'<span class="bad">{len(result.failures)} of {len(result.judgements)} fail</span>'
    return ""


def _waivers(check: Check) -> Iterator[str]:
    yield "<h2>Waivers</h2>"
    if not check.waivers:
        yield "<p>None: nothing is borne.</p>"
        return
    rows = [
        (item.rule, item.environment, item.subject, item.owner, item.reason, str(item.written), str(item.expires))
        for item in check.waivers
    ]
    yield from _table(("rule", "where", "subject", "owner", "reason", "written", "expires"), rows, code=(2,))


def _environment(check: Check, name: str) -> Iterator[str]:
    found = check.evidence[name]
    estate = found.recorded or found.planned
    assert estate is not None
    yield f"<h2>{escape(name)}</h2><h3>Who can reach which data</h3>"
    if found.recorded:
        yield from _access(found.recorded)
    else:
        yield '<p class="bad">Not evaluated: a plan does not know the roles yet. It takes the states.</p>'
    yield "<h3>What it costs</h3>"
    yield from _costs(monthly_costs(estate))
    yield "<h3>Resources</h3>"
    counts = Counter((resource.root, resource.type) for resource in estate.resources)
    rows = [(root, kind, str(count)) for (root, kind), count in sorted(counts.items())]
    yield f"<p>{len(estate.resources)} resources.</p>"
    yield from _table(("root", "type", "count"), rows, code=(1,))


def _access(estate: Estate) -> Iterator[str]:
    yield (
        "<p>Found by evaluating each role's policies and boundary, each bucket's policy and each key's policy: reading "
        "takes the object and the key's decryption, writing the object and a data key. A bucket is named by what it is "
        "for, with the class of its data.</p>"
    )
    every = list(matrix(estate))
    classes = {store.purpose: store.data_class for store in stores(estate)}
    rows = []
    for role in roles(estate):
        own = [access for access in every if access.role == role.name]
        cells = [_reach([access for access in own if access.purpose == purpose], models(estate)) for purpose in classes]
        rows.append((role.name, role.workload, *cells))
    buckets = (f"{purpose} ({data_class})" for purpose, data_class in classes.items())
    yield from _table(("role", "workload", *buckets), rows, code=(0,))
    hidden = {policy for role in roles(estate) for policy in role.opaque}
    if hidden:
        yield f"<p><small>? : AWS keeps a policy of this role ({escape(', '.join(sorted(hidden)))}).</small></p>"


def _reach(found: Sequence[Access], known: Sequence[str]) -> str:
    said = []
    for verb in ("read", "write", "delete"):
        reached = {access.model for access in found if getattr(access, verb)}
        if STRANGER in reached:
            said.append(f"{verb} every model's")
        elif reached:
            said.append(f"{verb} {', '.join(sorted(reached, key=list(known).index))}")
    if not said and any(access.read is None for access in found):
        return "?"
    return "; ".join(said)


def _costs(found: Sequence[Cost]) -> Iterator[str]:
    total = sum(cost.monthly_usd for cost in found)
    rows = [(cost.what, str(cost.count), f"{cost.each_usd:,.2f}", f"{cost.monthly_usd:,.2f}") for cost in found]
    yield from _table(("what", "count", "USD a month each", "USD a month"), rows)
    listed = prices()
    yield (
        f"<p><b>{total:,.0f} USD a month</b> at the list prices of {escape(listed.region)} noted on {listed.noted_on}. "
        f"<small>{escape(listed.source)} {escape(listed.without)}</small></p>"
    )


def _table(
    head: Sequence[str], rows: Sequence[Sequence[str]], code: tuple[int, ...] = (), raw: tuple[int, ...] = ()
) -> Iterator[str]:
    yield "<table><thead><tr>" + "".join(f"<th>{escape(name)}</th>" for name in head) + "</tr></thead><tbody>"
    for row in rows:
        cells = []
        for index, text in enumerate(row):
            shown = text if index in raw else escape(text)
            cells.append(f"<td><code>{shown}</code></td>" if index in code and shown else f"<td>{shown}</td>")
        yield "<tr>" + "".join(cells) + "</tr>"
    yield "</tbody></table>"

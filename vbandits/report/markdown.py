"""The report in Markdown: the page's tables and texts, without its figures."""

import re
from collections.abc import Iterable

from vbandits.report.page import Facts, File, Report, Section, Verdict
from vbandits.report.tables import Entry, Table


def render(report: Report) -> str:
    """Returns the report in Markdown."""
    parts = [f"# {escape(report.name)}", report.lead, *_sections(report.opening)]
    if report.failures or (report.warnings and not report.concluded):
        parts += ["## Failed" if report.failures else "## Incomplete", *map(escape, report.warnings)]
    if report.failures:
        lines = [f"- {escape(failure.reason)}: {escape(', '.join(failure.places))}" for failure in report.failures]
        parts.append("\n".join(lines))
    parts += [*_sections(report.sections), "## How this was made", _facts(report.facts)]
    parts += _items(report.made)
    parts += ["### What the numbers are", _facts(report.definitions)]
    for title, entries in report.settings:
        parts += [f"### {title}", *(f"**{escape(label)}**\n\n{_facts(facts)}" for label, facts in entries)]
    return "\n\n".join(part for part in parts if part) + "\n"


def escape(text: str) -> str:
    """Returns text that Markdown shows as it is, on one line."""
    return re.sub(r"([\\`*_\[\]<>|#~$])", r"\\\1", re.sub(r"\s+", " ", text))


def _sections(sections: Iterable[Section]) -> list[str]:
    parts = []
    for section in sections:
        own = [part for part in _items(section.items) if part]
        parts += [f"## {escape(section.title)}", *own] if own else []  # some are of figures alone
    return parts


def _items(items: Iterable[object]) -> list[str]:
    parts = []
    for item in items:
        own = item.item if isinstance(item, File) else item
        if isinstance(own, str):
            parts.append(escape(own))
        elif isinstance(own, Verdict):
            parts += [*map(escape, own.sentences), _facts(own.evidence)]
        elif isinstance(own, Table):
            parts += [f"### {escape(own.title)}" if own.title else "", _table(own)]
    return parts


def _table(table: Table) -> str:
    heads = [
        f"{escape(head.text)}, {escape(head.detail)}" if head.detail else escape(head.text) for head in table.heads
    ]
    rank = ["Rank"] if table.ranked else []
    lines = [[*rank, table.what, *heads], [*(["---:"] * len(rank)), "---", *(["---:"] * len(heads))]]
    lines += [
        [*([row.rank] if table.ranked else []), escape(row.label), *(_entry(entry) for entry in row.entries)]
        for row in table.rows
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _entry(entry: Entry) -> str:
    text = escape(entry.text)
    number = f"**{text}**" if entry.strong or entry.alarm else text
    return f"{number} {entry.interval}".strip()


def _facts(facts: Facts) -> str:
    return "\n".join(f"- {escape(name)}: {escape(text)}" for name, text in facts)

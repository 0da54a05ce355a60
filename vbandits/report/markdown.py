"""The report in Markdown: the page's tables and texts, without its figures."""

import re

from vbandits.report.content import Facts, Report
from vbandits.report.tables import Entry, Table
from vbandits.report.wording import DEFINITIONS


def render(report: Report) -> str:
    """Returns the report in Markdown."""
    parts = [f"# {escape(report.name)}", report.lead, "## Ranking", _table(report.ranking_table)]
    parts += [escape(note) for note in report.notes]
    if report.warnings:
        parts += ["## Failed" if report.failures else "## Incomplete", *map(escape, report.warnings)]
    if report.failures:
        lines = [f"- {escape(failure.reason)}: {escape(', '.join(failure.places))}" for failure in report.failures]
        parts.append("\n".join(lines))
    for section in report.sections:
        parts += [f"## {escape(section.label)}", *map(escape, section.notes), _table(section.table)]
    parts += ["## Cost", _table(report.cost), "## How this was made", _facts(report.facts)]
    parts += ["### What the numbers are", _facts(DEFINITIONS)]
    for title, entries in (("Agents", report.agents), ("Environments", report.environments)):
        parts += [f"### {title}", *(f"**{escape(label)}**\n\n{_facts(facts)}" for label, facts in entries)]
    return "\n\n".join(part for part in parts if part) + "\n"


def escape(text: str) -> str:
    """Returns text that Markdown shows as it is, on one line."""
    return re.sub(r"([\\`*_\[\]<>|#~$])", r"\\\1", re.sub(r"\s+", " ", text))


def _table(table: Table) -> str:
    heads = [
        f"{escape(head.text)}, {escape(head.detail)}" if head.detail else escape(head.text) for head in table.heads
    ]
    rank = ["Rank"] if table.ranked else []
    lines = [[*rank, "Agent", *heads], [*(["---:"] * len(rank)), "---", *(["---:"] * len(heads))]]
    lines += [
        [*([row.rank] if table.ranked else []), escape(row.agent), *(_entry(entry) for entry in row.entries)]
        for row in table.rows
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _entry(entry: Entry) -> str:
    number = f"**{entry.text}**" if entry.strong or entry.alarm else entry.text
    return f"{number} {entry.interval}".strip()


def _facts(facts: Facts) -> str:
    return "\n".join(f"- {escape(name)}: {escape(text)}" for name, text in facts)

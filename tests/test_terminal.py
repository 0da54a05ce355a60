from dataclasses import replace

import pytest
from rich.console import Console
from test_report import MIXED, results

from vbandits.experiment.report import terminal
from vbandits.report.terminal import LONGEST


def printed(given, width):
    console = Console(width=width, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(terminal(given))
    console.file.close()
    return console.export_text().splitlines()


@pytest.mark.parametrize("width", [40, 60, 80, 120, 200])
def test_numbers_are_whole_at_any_width(width):
    given = results(**MIXED)
    lines = printed(given, width)
    assert max(len(line) for line in lines) <= width
    rows = [line for line in lines if line.startswith(("good", "bad", "uniform"))]
    assert len(rows) == 9  # one line each
    assert "…" not in "".join(lines)


def test_agents_are_ranked_with_intervals_at_80_columns():
    given = results()
    lines = printed(given, 80)
    start = lines.index(next(line for line in lines if line.startswith("linear")))
    assert [line.split()[0] for line in lines[start + 2 : start + 5]] == ["good", "bad", "uniform"]
    row = given.summary().query("environment == 'linear' and agent == 'good'").iloc[0]
    assert f"{row.relative_regret:.1f}" in lines[start + 2]
    assert f"[{row.relative_regret_low:.1f}, {row.relative_regret_high:.1f}]" in lines[start + 2]


def test_failures_stay_in_sight_and_reward_stands_in_for_regret():
    lines = printed(results(**MIXED), 44)
    assert any(line.startswith("bad") and line.rstrip().endswith("5") for line in lines)
    shop = lines[next(i for i, line in enumerate(lines) if line.startswith("shop")) + 1]
    assert "reward" in shop
    assert "regret" not in shop


def test_labels_are_text_and_cut():
    label = "[red]a rather long label of an agent[/red]"
    lines = printed(results(slopes={label: 0.2, "uniform": 1.0}), 80)
    assert any(line.startswith(label[: LONGEST - 1] + "…") for line in lines)


def test_one_seed_has_no_interval():
    assert "[" not in "".join(printed(results(seeds=[3]), 120))


def test_seeds_are_counted_where_methods_have_not_as_many_as_each_other():
    whole = terminal(results())
    assert "seeds" not in [column.name for column in whole.columns]
    fewer = whole.summary.copy()
    fewer.loc[fewer["agent"] == "bad", "seeds"] -= 1
    assert next(column.name for column in replace(whole, summary=fewer).columns) == "seeds"

"""What a page of logs says."""

from dataclasses import replace

import numpy as np
import pytest

import vbandits
from tests.logs import made
from tests.test_offline import ran
from vbandits.data.logs import load_log


def test_the_report_says_what_the_log_can_tell(tmp_path):
    results = ran(made(1200), ["linear-ts", {"id": "always", "arm": ["0", "1", "2"]}])
    text = results.report(tmp_path).with_name("report.md").read_text()
    assert "What this log can tell" in text
    assert "held-out rows" in text
    assert "4 seeds" in text
    assert "6 policies" in text
    assert "policys" not in text
    assert "Rows count as independent" in text
    assert "the positions of one impression of the Open Bandit Dataset" in text
    assert results.figure("estimators", log="arrays") is not None


def test_where_a_log_has_too_little_a_reader_is_warned(tmp_path):
    results = ran(made(200), [{"id": "always", "arm": "0"}])
    assert "less than 100 effective rows per seed tell of always 0" in results.report(tmp_path).read_text()


def test_several_logs_are_compared_in_percent_of_the_uniform_policy():
    scaled = load_log((made().context, made().action, 100 * made().reward, 1 / 3))
    logs = [{"id": made(), "label": "a"}, {"id": scaled, "label": "b"}]
    results = vbandits.run(logs=logs, policies=["linear-ts"], seeds=4, folds=4, workers=1)
    by_log = [results.compared_loss(log, "linear-ts").to_numpy() for log in ("a", "b")]
    np.testing.assert_allclose(by_log[0], by_log[1], rtol=0.05)
    assert by_log[0].mean() < -120
    assert results.compared_loss("b", "uniform").mean() == pytest.approx(-100)


def test_results_of_one_log_are_compared_beside_what_always_runs():
    one, other = (ran(made(400), ["linear-ts"], **more) for more in ({}, {"training_rows": 40}))
    found = vbandits.compare(a=one, b=other)
    assert found.labels("policy") == ["linear-ts (a)", "uniform", "logging", "linear-ts (b)"]
    assert not [note for note in found.experiment["compared"]["notes"] if "does not have the same runs" in note]
    records = other.records.assign(value=lambda table: table["value"] + (table["estimator"] == "snips"))
    moved = vbandits.compare(a=one, b=replace(other, data=records))
    assert [note for note in moved.experiment["compared"]["notes"] if "uniform does not have the same runs" in note]

"""Supervised experiments: what they leave, how they resume, what they refuse, what their numbers mean."""

import json
import re
import shutil
import tomllib

import numpy as np
import pandas as pd
import pytest
import torch

import vbandits
from tests.bandit_results import words
from tests.test_running import markers
from tests.test_running import vbandits as command
from vbandits.agents import saving
from vbandits.benchmarks.supervised.report import report as report_of
from vbandits.benchmarks.supervised.results import SupervisedResults
from vbandits.benchmarks.supervised.run import Learner, fitted_temperature
from vbandits.experiment import resources
from vbandits.experiment.benchmark import UNHEARD, Progress
from vbandits.experiment.checkpoints import Checkpoints
from vbandits.experiment.resolve import resolve
from vbandits.experiment.store import Store
from vbandits.metrics import intervals
from vbandits.predictive import Classes
from vbandits.report import markdown, page

FILE = """
name = "small"
seeds = 3
steps = 120
batch_size = 32

[[datasets]]
id = "digits"
[datasets.kwargs]
rows = 300
validation_rows = 200
corrupted_rows = 40
corruptions = ["noise", "blur"]
severities = [1, 4]
out_of_distribution = ["tiles"]

[[methods]]
id = "deterministic"
network = { kind = "mlp", hidden = [24] }
optimizer = { learning_rate = 0.2 }

[[methods]]
id = "temperature-scaled"
network = { kind = "mlp", hidden = [24] }
optimizer = { learning_rate = 0.2 }
"""
DOCUMENT = tomllib.loads(FILE)
SETTINGS = [("none", 0), ("noise", 1), ("noise", 4), ("blur", 1), ("blur", 4)]


def cell(method=0, seeds=(0, 1, 2), **changes):
    """A cell of the experiment, with some of its keys changed."""
    made = [*resolve(DOCUMENT | {"seeds": list(seeds)} | changes).jobs()]
    return made[method]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The folder of a finished run."""
    path = tmp_path_factory.mktemp("supervised")
    file = path / "small.toml"
    file.write_text(FILE)
    assert command("run", file, "--workers", 1, "--out", path / "out") == 0
    return path / "out"


@pytest.fixture(scope="module")
def results(folder) -> SupervisedResults:
    """What it left."""
    return vbandits.load(folder)


def test_a_run_leaves_its_jobs_its_experiment_and_its_report(folder):
    assert len(markers(folder)) == 2
    experiment = json.loads((folder / "experiment.json").read_text())
    assert experiment["kind"] == "supervised"
    assert experiment["methods"][1]["temperature"] == "fit"
    assert experiment["methods"][0]["optimizer"]["decay_steps"] == 120  # as many as there are steps
    assert experiment["datasets"][0]["kwargs"]["severities"] == [1, 4]
    marker = json.loads(next((folder / "cells").glob("digits--temperature-scaled--0-2--*.json")).read_text())
    assert (marker["dataset"], marker["method"], marker["steps"]) == ("digits", "temperature-scaled", 120)
    assert set(marker["seconds"]) == {"training", "prediction"}
    assert min(marker["seconds"].values()) > 0
    assert 50 < marker["memory_mb"] < 2000
    left = {path.name for path in (folder / "report").iterdir()}
    assert left == {"index.html", "report.md", "summary.csv", "figures", "tables"}


def test_records_are_one_row_per_seed_and_setting(results):
    part = results.parts["digits", "temperature-scaled"]
    found = [*part[["corruption", "severity", "seed"]].itertuples(index=False, name=None)]
    assert found == [(*setting, seed) for seed in range(3) for setting in SETTINGS]
    assert part["error"].between(0, 1).all()
    assert part.groupby("seed")["temperature"].nunique().tolist() == [1, 1, 1]
    assert part["temperature"].nunique() == 3  # one per seed
    plain = results.parts["digits", "deterministic"]
    np.testing.assert_allclose(part["nll_unscaled"], plain["nll"], rtol=1e-6)  # the same network at temperature 1
    assert plain["nll_unscaled"].isna().all()
    for name in ("nll", "brier"):
        np.testing.assert_allclose(part[f"{name}_calibration"] + part[f"{name}_refinement"], part[name], rtol=1e-9)
    np.testing.assert_allclose(part["risk_100"], part["error"])
    assert (part["ece_null_low"] < part["ece_null"]).all()
    assert (part["ece_null"] < part["ece_null_high"]).all()
    rows = part[[f"rows_{bin:02d}" for bin in range(1, 16)]].sum(axis=1)
    assert rows.tolist() == ([359] + [40] * 4) * 3  # a fifth of the digits; corrupted, the 40 asked for
    assert part.loc[part["corruption"] == "none", "auroc_tiles"].between(0.55, 1).all()  # 0.5 is chance


def test_summary_separates_the_clean_test_set_from_corruptions(results):
    row = results.summary().set_index("method").loc["deterministic"]
    part = results.parts["digits", "deterministic"]
    clean = part[part["corruption"] == "none"].set_index("seed")["nll"]
    corrupted = part[part["corruption"] != "none"].groupby("seed")["nll"].mean()
    severest = part[part["severity"] == 4].groupby("seed")["nll"].mean()
    for prefix, values in (("", clean), ("corrupted_", corrupted), ("severest_", severest)):
        assert row[f"{prefix}nll"] == pytest.approx(values.mean())
        low, high = intervals.mean_interval(values.to_numpy())
        assert (row[f"{prefix}nll_low"], row[f"{prefix}nll_high"]) == pytest.approx((low, high))
    assert row["error"] < min(0.2, row["corrupted_error"])
    assert row["seconds"] > 0
    assert results.summary()["nll"].is_monotonic_increasing


@pytest.mark.slow
def test_a_finished_experiment_is_not_computed_again_and_a_missing_cell_is(folder, results, tmp_path):
    file, folder = folder.parent / "small.toml", shutil.copytree(folder, tmp_path / "out")
    before = markers(folder)
    assert command("run", file, "--workers", 1, "--out", folder) == 0
    assert markers(folder) == before
    next((folder / "cells").glob("digits--deterministic*.json")).unlink()
    assert command("run", file, "--workers", 1, "--out", folder) == 0
    after = markers(folder)
    assert after.keys() == before.keys()
    assert sum(after[name] != before[name] for name in before) == 1
    assert_same(Store(folder).load().records, results.records)


def assert_same(*records):
    order = ["method", "corruption", "severity", "seed"]
    pd.testing.assert_frame_equal(*(part.sort_values(order).reset_index(drop=True) for part in records))


@pytest.mark.slow
def test_two_workers_do_what_one_does(folder, results, tmp_path):
    assert command("run", folder.parent / "small.toml", "--workers", 2, "--out", tmp_path / "two") == 0
    assert_same(Store(tmp_path / "two").load().records, results.records)


def test_a_changed_experiment_is_computed_again_and_says_why(folder, tmp_path, capsys):
    file, folder = folder.parent / "small.toml", shutil.copytree(folder, tmp_path / "out")
    before = markers(folder)
    changed = ("--methods", "deterministic", "--set", "kwargs.corrupted_rows=20", "--workers", 1)
    assert command("run", file, *changed, "--out", folder) == 0
    assert "datasets.digits.kwargs.corrupted_rows 40 -> 20" in " ".join(capsys.readouterr().err.split())
    after = markers(folder)
    assert len(after) == len(before) + 1, "one job of the new content, and the others stay on disk"
    assert {name: after[name] for name in before} == before
    assert Store(folder).load().records["method"].unique().tolist() == ["deterministic"]


def test_where_the_data_lie_is_no_part_of_the_experiment(tmp_path):
    here, there = (resolve(DOCUMENT, data_dir=place) for place in (None, tmp_path))
    assert there.problems[0].data_dir == str(tmp_path)
    assert here.document() == there.document()


@pytest.mark.parametrize("method", [0, 1])
def test_a_seed_alone_is_the_seed_in_a_block(method):
    alone, block = (cell(method, seeds).run().records for seeds in ((2,), (0, 1, 2)))
    mine = block[block["seed"] == 2].reset_index(drop=True)
    pd.testing.assert_frame_equal(alone, mine, check_exact=True)
    assert block.groupby("seed")["nll"].mean().nunique() == 3


def test_a_fitted_temperature_keeps_the_error_and_lowers_the_validation_nll():
    spec = resolve(DOCUMENT)
    split = spec.problems[0].load()
    x, y = split.validation

    def nll(learner):
        return -np.take_along_axis(learner.predict(x), y[None, :, None], 2).mean((1, 2))

    plain, scaled = (Learner(method, split, (0, 1, 2), 120, 32, "cpu") for method in spec.methods)
    for learner in (plain, scaled):
        learner.train(split, UNHEARD, Checkpoints(next(spec.jobs()), None, saving.KNOWN))
    scaled.fit_temperature(split)
    np.testing.assert_array_equal(plain.predict(x).argmax(2), scaled.predict(x).argmax(2))
    best, fitted = nll(scaled), scaled.temperature
    assert (best < nll(plain) - 1e-4).all()
    for factor in (0.97, 1.03):  # least on these very rows, which no test image is among
        scaled.temperature = factor * fitted
        assert (nll(scaled) > best).all()


def test_fitted_temperature_is_the_one_that_labels_were_drawn_with():
    random = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(20_000, 5, generator=random)
    labels = torch.multinomial((logits / 3.0).softmax(1), 1, generator=random).squeeze(1)
    assert fitted_temperature(logits[None], labels) == pytest.approx(3.0, rel=0.05)
    two = torch.stack([logits, logits.roll(1, 0)])  # of a mixture, it is the whole mixture's that is least
    best = fitted_temperature(two, labels)

    def nll(temperature):
        found = Classes(two[None], temperature).log_probabilities()[0]
        return -float(found.gather(1, labels[:, None]).double().mean())

    assert nll(best) < min(nll(0.98 * best), nll(1.02 * best))


def test_training_rows_are_shared_and_held_out_rows_are_others():
    kwargs = ({"rows": rows, "validation_rows": 400} for rows in (1000, 500))
    split, shorter = (
        resolve(DOCUMENT | {"datasets": [{"id": "digits", "kwargs": given}]}).problems[0].load() for given in kwargs
    )
    rows = {row.tobytes() for row in split.train[0]}
    assert not rows & {row.tobytes() for row in split.validation[0]}
    assert not rows & {row.tobytes() for row in split.test[0]}
    np.testing.assert_array_equal(split.train[0][:500], shorter.train[0])
    np.testing.assert_array_equal(split.validation[1], shorter.validation[1])
    assert split.standardised(split.train[0]).mean() == pytest.approx(0, abs=1e-4)
    assert split.standardised(split.train[0]).std() == pytest.approx(1, abs=1e-4)


def test_inputs_are_in_memory_once_for_all_seeds():
    spec = resolve(DOCUMENT)
    split = spec.problems[0].load()
    learner = Learner(spec.methods[0], split, (0, 1, 2), 1, 8, "cpu")
    assert learner._inputs(split.train[0]).stride(0) == 0


def test_a_diverged_seed_counts_as_a_failure_and_is_scored_as_nothing():
    outcome = cell(seeds=(0, 1), methods=[DOCUMENT["methods"][0] | {"optimizer": {"learning_rate": 1e30}}]).run(UNHEARD)
    assert outcome.diverged == (0, 1)
    assert outcome.records[["error", "nll", "ece", "ece_null", "auroc_tiles", "risk_050"]].isna().to_numpy().all()


@pytest.mark.parametrize("steps", [1, 7, 53, 120])
def test_all_steps_are_taken_and_told(steps):
    told = []

    class Heard(Progress):
        def __call__(self, step, values=dict, seeds=None):
            told.append(step)

    cell(seeds=(0,), steps=steps, methods=DOCUMENT["methods"][:1]).run(Heard())
    assert told[-1] == steps
    assert max(np.diff([0, *told])) <= 50


def test_methods_and_datasets_can_be_chosen(folder, tmp_path):
    file, out = folder.parent / "small.toml", tmp_path / "out"
    assert (
        command(
            "run",
            file,
            "--methods",
            "deterministic",
            "--datasets",
            "digits",
            "--seeds",
            2,
            "--steps",
            20,
            "--set",
            "kwargs.corrupted_rows=0",
            "--set",
            "temperature=2.0",
            "--out",
            out,
        )
        == 0
    )
    results = vbandits.load(out)
    assert set(results.records["corruption"]) == {"none"}
    assert set(results.records["temperature"]) == {2.0}
    assert results.summary()["seeds"].tolist() == [2]
    text = (out / "report" / "report.md").read_text()
    assert "Under corruption\n" not in text


def test_python_runs_the_same_experiment(results):
    given = {"block": 2, "workers": 1, "batch_size": 32}
    again = vbandits.run(datasets=DOCUMENT["datasets"], methods=DOCUMENT["methods"], seeds=3, steps=120, **given)
    order = ["method", "corruption", "severity", "seed"]
    pd.testing.assert_frame_equal(
        *(r.sort_values(order).reset_index(drop=True) for r in (again.records, results.records))
    )
    assert "temperature-scaled" in repr(again)


def test_the_report_says_what_the_summary_says(results, folder):
    report = report_of(results)
    html, text = (folder / "report" / "index.html").read_text(), (folder / "report" / "report.md").read_text()
    assert text == markdown.render(report)
    assert page.render(report) == html
    digits = next(section for section in report.sections if section.title == "digits")
    clean, trust, corrupted, severest = digits.tables.values()
    assert [head.text for head in clean.heads] == [
        "Error",
        "NLL",
        "NLL",
        "Brier score",
        "ECE",
        "ECE if perfect",
        "AUROC",
        "Temperature",
        "Temperature",
        "Failures",
    ]
    assert [head.text for head in corrupted.heads] == [head.text for head in clean.heads[:7]]
    assert corrupted.heads == severest.heads
    assert (trust.heads[0].text, trust.heads[0].detail) == ("NLL from", "miscalibration")
    summary = results.summary()
    assert [row.label for row in clean.rows] == summary["method"].tolist()
    assert [row.entries[0].text for row in clean.rows] == [f"{100 * error:.1f}" for error in summary["error"]]
    assert sum(row.entries[0].strong for row in clean.rows) == 2  # the same error: neither is worse
    for made, name in ((corrupted, "corrupted_error"), (severest, "severest_error")):
        assert [row.entries[0].text for row in made.rows] == [f"{100 * error:.1f}" for error in summary[name]]
    seen = words(html)
    for part in ("In distribution", "Under corruption", "temperature-scaled", "How this was made", "tiles"):
        assert part in seen
        assert part in text
    assert not re.search(r"\bnan\b", seen + text, re.IGNORECASE)
    pd.testing.assert_frame_equal(pd.read_csv(folder / "report" / "summary.csv"), summary, rtol=1e-9, check_dtype=False)


def test_the_page_stands_alone_with_its_figures_described(folder):
    html = (folder / "report" / "index.html").read_text()
    links = set(re.findall(r"""(?:src|href)=["'](?!#|data:)([^"']*)""", html))
    assert all((folder / "report" / link).is_file() for link in links)
    assert not re.findall(r"url\((?!#)|@import|https?://|<script[^>]+src", html)
    svgs = re.findall(r'<svg class="figure" role="img" aria-label="([^"]*)"', html)
    svgs = svgs[next(i for i, label in enumerate(svgs) if label.startswith("Error, ")) :]
    assert [label.split()[0] for label in svgs] == [
        *("Error,", "NLL,", "ECE,"),
        *["Accuracy"] * 4,  # two methods, clean and corrupted
        *["Error"] * 2,
        "Seconds",
    ]
    ids = re.findall(r'\bid="([^"]*)"', html)
    assert len(ids) == len(set(ids)) > 50


def test_failed_jobs_are_in_the_report(results, tmp_path):
    failed = {"status": "failed", "reason": "MemoryError: too many images", "failures": 3}
    broken = [marker if marker["method"] == "deterministic" else marker | failed for marker in results.jobs]
    records = results.records[results.records["method"] == "deterministic"]
    given = SupervisedResults(results.experiment, broken, records)
    seen = words(given.report(tmp_path).read_text())
    assert "1 job failed, and with it 3 of 6 runs: these have no results." in seen
    assert "digits · temperature-scaled (seeds 0–2)" in seen  # noqa: RUF001
    nothing = SupervisedResults(results.experiment, [], pd.DataFrame())
    assert "There are no results here" in words(nothing.report(tmp_path).read_text())


def test_the_terminal_shows_a_table_per_dataset(folder, capsys):
    assert command("report", folder) == 0
    shown = capsys.readouterr().out
    assert "digits" in shown
    assert re.search(r"method +error %", shown)
    assert re.search(r"^temperature-scaled +\d+\.\d\d", shown, re.MULTILINE)


def test_memory_is_the_cells_own():
    held = np.ones(60_000_000)  # 480 MB
    before = resources.peak("cpu")
    del held
    again = vbandits.run(datasets=DOCUMENT["datasets"], methods=DOCUMENT["methods"][:1], seeds=1, steps=5, workers=1)
    assert again.jobs[0]["memory_mb"] < before - 300

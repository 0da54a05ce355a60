"""Environments of a user's that misbehave cost their own jobs, with a reason, and change nothing of others."""

from pathlib import Path

import pytest

from tests.misbehaving_environments import FAILS, HARMLESS
from tests.test_running import vbandits
from vbandits.experiment.store import Store

GOOD = '"vbandits/LinearBandit-v0"'
SETTINGS = 'name = "x"\nseeds = 2\nsteps = 40\nagents = ["linear-ts"]\n'


def tables(folder):
    return {path.name: path.read_bytes() for path in Path(folder, "cells").glob("LinearBandit*.parquet")}


@pytest.mark.slow
def test_they_fail_with_a_reason_and_others_are_the_same(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("misbehaving.py").write_bytes(Path(__file__).with_name("misbehaving_environments.py").read_bytes())
    Path("good.toml").write_text(f"{SETTINGS}environments = [{GOOD}]\n")
    assert vbandits("run", "good.toml", "--out", "alone", "--workers", 1) == 0
    own = [
        f'{{ id = "misbehaving:Misbehaves", label = "{how}", kwargs = {{ how = "{how}" }} }}'
        for how in FAILS | HARMLESS
    ]
    Path("all.toml").write_text(f"{SETTINGS}environments = [\n" + ",\n".join([GOOD, *own]) + "\n]\n")
    capsys.readouterr()
    assert vbandits("run", "all.toml", "--out", "all", "--workers", 2, "--timeout", 20) == 1
    assert "Traceback" not in capsys.readouterr().err
    assert tables("all") == tables("alone")
    assert len(tables("all")) > 0
    markers = list(Store("all").markers())
    assert len(markers) == 2 * (1 + len(FAILS) + len(HARMLESS))
    states = {(marker["environment"], marker["status"]) for marker in markers}
    assert states == {(how, "failed") for how in FAILS} | {(how, "done") for how in [*HARMLESS, "LinearBandit-v0"]}
    for marker in markers:
        assert (marker["status"] == "failed") == bool(marker["reason"])
        assert len(str(marker)) < 40_000
    assert vbandits("report", "all") == 1, "some have failed"

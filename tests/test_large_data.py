"""Large datasets: read in bounded memory, and held once however many lanes gather from them."""

import json
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pytest

from vbandits.data import PUBLISHED

SCRIPT = """
import json, sys
from dataclasses import replace
from vbandits.experiment import resources
from vbandits.data import PUBLISHED, loading
PUBLISHED["covertype"] = replace(PUBLISHED["covertype"], counts=(tuple(json.loads(sys.argv[2])),))
from vbandits.envs.classification import Classification
import torch
peak = lambda: resources.peak("cpu")  # not ru_maxrss, which a process inherits from the one that starts it
environment = Classification(num_envs=1, dataset="covertype", data_dir=sys.argv[1])
loaded = peak()
many = Classification(num_envs=64, dataset="covertype", data_dir=sys.argv[1])
contexts, _ = many.reset(seed=0)
for _ in range(300):
    contexts, *_ = many.step(torch.zeros(64, dtype=torch.long))
print(json.dumps([loaded, peak(), list(contexts.shape), str(contexts.dtype)]))
"""


@pytest.mark.slow
def test_covertype_takes_less_than_a_gigabyte_and_64_lanes_hardly_more_than_one(tmp_path):
    rows, width = PUBLISHED["covertype"].size, 54
    random = np.random.default_rng(0)
    columns = [random.integers(0, 4000 if i < 10 else 2, rows, dtype=np.int16) for i in range(width)]
    labels = random.integers(1, 8, rows)
    table = pa.table([*columns, labels], [str(i) for i in range(width + 1)])
    pa.csv.write_csv(table, tmp_path / "covtype.data", pa.csv.WriteOptions(include_header=False))
    counts = json.dumps(np.bincount(labels)[1:].tolist())
    done = subprocess.run([sys.executable, "-c", SCRIPT, tmp_path, counts], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    loaded, with_lanes, shape, kind = json.loads(done.stdout)
    assert loaded < 1024, "MiB, of which 300 are libraries and 120 the features"
    assert (shape, kind) == ([64, width], "torch.float32")
    # 64 orders of 581,012 rows as int32 are 142 MiB; 64 copies of the features were 7,600
    assert with_lanes - loaded < 400

#!/usr/bin/env bash
# Beforehand, where there is a network: what a machine with Python 3.12, torch, NumPy, pandas, pyarrow, scikit-learn,
# seaborn, rich, joblib and jaxtyping lacks, as wheels in the ignored folder .gpu-wheels (8 MB).
set -euo pipefail
cd "$(dirname "$0")/../.."
pinned() { for name in "$@"; do grep -i "^$name==" constraints.txt || echo "$name"; done; }
mkdir -p .gpu-wheels
pip download -q -d .gpu-wheels --only-binary=:all: --no-deps --python-version 3.12 --platform manylinux2014_x86_64 \
  --platform manylinux_2_17_x86_64 --platform any $(pinned gymnasium Farama-Notifications pydantic pydantic_core \
  annotated-types typing-inspection typing_extensions cyclopts docstring_parser rich-rst attrs cloudpickle wadler_lindig \
  safetensors iniconfig pluggy pytest pytest-xdist execnet pytest-timeout hypothesis sortedcontainers beartype)
du -sh .gpu-wheels

#!/usr/bin/env bash
# On a machine with a GPU, from the project's root: bash experiments/gpu/run.sh [cuda|cpu]. Under eight minutes; one JSON,
# $OUT/gpu.json (OUT is gpu-out by default). Installs nothing but the wheels of .gpu-wheels, see fetch_wheels.sh.
set -euo pipefail
cd "$(dirname "$0")/../.."
OUT=${OUT:-gpu-out}
mkdir -p "$OUT"
site=$(mktemp -d) # not in $OUT, of which few files may come back
trap 'rm -rf "$site"' EXIT
if ! python3 -c "import gymnasium, pydantic, cyclopts" 2>/dev/null; then # wheels of another Python would hide what is there
  for wheel in .gpu-wheels/*.whl; do [ ! -e "$wheel" ] || python3 -m zipfile -e "$wheel" "$site"; done
fi
version=$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
mkdir -p "$site/vbandits-$version.dist-info" # what the package asks of itself
printf 'Metadata-Version: 2.1\nName: vbandits\nVersion: %s\n' "$version" >"$site/vbandits-$version.dist-info/METADATA"
for folder in envs agents; do [ -e "vbandits/$folder" ] || ln -s "../$folder" "vbandits/$folder"; done
export PYTHONPATH=$PWD:$site${PYTHONPATH:+:$PYTHONPATH} OMP_NUM_THREADS=4
timeout -k 5 465 python3 experiments/gpu/measure.py "$OUT/gpu.json" "${1:-cuda}" 2>&1 | tee "$OUT/log.txt"

#!/usr/bin/env bash
# An experiment as a job array: every task takes its share of the jobs and writes into one folder, which all tasks see.
#   sbatch experiments/cluster/slurm.sh experiments/showdown.toml results/showdown
# A task that is killed, or has come to its time limit, loses the jobs that it was at: submit the same again, and only
# what is missing is computed. When all have ended:
#   vbandits report results/showdown
#SBATCH --job-name=vbandits
#SBATCH --array=1-8
#SBATCH --cpus-per-task=4
#SBATCH --mem=8G
#SBATCH --time=04:00:00
#SBATCH --requeue
set -euo pipefail
file=$1
out=$2
shift 2
exec vbandits run "$file" --out "$out" --shard "$SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT" \
    --workers "${SLURM_CPUS_PER_TASK:-1}" "$@"

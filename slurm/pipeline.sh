#!/usr/bin/env bash
# From raw recordings to a table and reports, as a chain of SLURM jobs; prints their ids.
#     slurm/pipeline.sh OUTPUT RECORDINGS SHARDS.yaml PRETRAIN.yaml RUNS.txt
# such as configs/shards/ptbxl.yaml, configs/pretrain/small.yaml, and a file with the settings of an
# evaluation in each line: `configs/finetune/ptbxl_superclass.yaml seed=0`.
#     OUTPUT/shards    OUTPUT/pretrain    OUTPUT/sweep/0, 1, ...    OUTPUT/sweep/table.md
# The same command goes on with what an earlier one has left. PARTS=16 builds shards in so many
# tasks. sbatch reads options for all jobs from SBATCH_ACCOUNT, SBATCH_PARTITION and the like; those
# for one kind are given as SHARDS_SBATCH, PRETRAIN_SBATCH="--nodes=2 --gpus-per-node=8" and
# FINETUNE_SBATCH.
set -euo pipefail
(($# == 5)) || { sed -n '2,/^set /{/^#/p}' "$0" >&2; exit 2; }
cd "$(dirname "${BASH_SOURCE[0]}")/.."
output=$1 source=$2 shards=$3 pretrain=$4 runs=$5
for file in "$shards" "$pretrain" "$runs"; do
  [[ -s $file ]] || { echo "error: $file is missing or empty; paths count from $PWD" >&2; exit 2; }
done
[[ ! -e $output/sweep/runs.txt ]] || cmp -s "$runs" "$output/sweep/runs.txt" || {
  echo "error: $output/sweep holds a sweep of other runs; name another OUTPUT" >&2; exit 2; }
mkdir -p "$output/logs" "$output/sweep"
cp "$runs" "$output/sweep/runs.txt"

submit() { # NAME SBATCH_OPTIONS... -- SCRIPT_ARGUMENTS...: leaves the number of the job in `id`
  local name=$1 options=()
  shift
  while [[ $1 != -- ]]; do options+=("$1"); shift; done
  id=$(sbatch --parsable --kill-on-invalid-dep=yes "${options[@]}" "slurm/$name.sbatch" "${@:2}")
  id=${id%%;*} # its cluster may be named behind it
  printf '%-8s %s\n' "$name" "$id"
}

array_log=$output/logs/%x-%A_%a.log log=$output/logs/%x-%j.log
# shellcheck disable=SC2086
{
  submit shards --output="$array_log" --array=0-$((${PARTS:-1} - 1)) ${SHARDS_SBATCH:-} -- \
    "$shards" source="$source" output="$output/shards"
  submit merge --output="$log" --dependency="afterok:$id" ${SHARDS_SBATCH:-} -- "$output/shards"
  submit pretrain --output="$log" --dependency="afterok:$id" ${PRETRAIN_SBATCH:-} -- \
    "$pretrain" data="$output/shards" run_dir="$output/pretrain" resume=true
  submit finetune --output="$array_log" --dependency="afterok:$id" ${FINETUNE_SBATCH:-} \
    --array=0-$(($(grep -c "" "$runs") - 1)) -- \
    "$output/sweep" encoder="$output/pretrain" data="$output/shards"
  submit collect --output="$log" --dependency="afterany:$id" -- "$output/sweep"
}

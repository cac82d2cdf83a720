"""Options of episodes, of the trajectories in them, and of learning from them."""

from trokens.config.option import ClipOption, MachineOption, ModelOption, Option

EPISODES = [
    "FEW_SHOT: the shape of an episode, and matching",
    Option("FEW_SHOT.N_WAY", 5, "Classes in an episode.", least=1),
    Option("FEW_SHOT.K_SHOT", 1, "Support clips of each class.", least=1),
    Option("FEW_SHOT.TRAIN_QUERY_PER_CLASS", 6, "Query clips of each class in a training episode.", least=1),
    Option("FEW_SHOT.TEST_QUERY_PER_CLASS", 1, "Query clips of each class in a validation or test episode.", least=1),
    Option("FEW_SHOT.TRAIN_EPISODES", 100000, "Training episodes an epoch; see FEW_SHOT.TRAIN_OG_EPISODES.", least=1),
    Option("FEW_SHOT.TEST_EPISODES", 10000, "Episodes of a validation or test, over all processes.", least=1),
    Option("FEW_SHOT.EPISODE_SEED", -1, "Seed of the episodes of validations and tests; -1 = RNG_SEED. Trainings with "
           "several seeds are then compared on the same episodes.", least=-1),
    Option("FEW_SHOT.TRAIN_OG_EPISODES", False, "True: every process runs TRAIN_EPISODES steps an epoch; False: the "
           "total is divided by the number of processes."),
    Option("FEW_SHOT.PATCH_TOKENS_AGG", "spatial", "Tokens that are matched: spatial (mean over points), temporal "
           "(mean over frames) or no_agg (all).", choices=("spatial", "temporal", "no_agg"), weights=True),
    Option("FEW_SHOT.DIST_NORM", "none", "Distances of a query to all classes: none (as they are), max_div (over their "
           "maximum), max_sub (minus it).", choices=("none", "max_div", "max_sub"), weights=True),
    Option("FEW_SHOT.PROTOTYPE", "published", "Class prototype: published (mean of tokens over shots, then ReLU) or "
           "per_clip (ReLU, aggregation, then the mean).", choices=("published", "per_clip"), weights=True),
    Option("FEW_SHOT.MATCHER", "bi_mhm", "Matcher of query and class: bi_mhm (bidirectional mean Hausdorff), hyrsm, "
           "otam, prototype_cosine, prototype_squared, team, trx, tsn, or any other that is registered.", weights=True),
    Option("FEW_SHOT.TRX_WIDTH", 1152, "Width of the keys and values of matcher trx.", least=1, weights=True),
    Option("FEW_SHOT.TEAM_PATTERNS", 8, "Learned patterns that matcher team compares clips by.", least=1, weights=True),
    Option("FEW_SHOT.CLASS_LOSS_LAMBDA", 1.0, "Weight of the class loss.", least=0),
    Option("FEW_SHOT.Q2S_LOSS_LAMBDA", 1.0, "Weight of the match loss (query to support).", least=0),
    Option("FEW_SHOT.MOLO_LOSS_LAMBDA", 0.0, "Weight of MoLo's long-short contrast beside the match loss; 0 = none.",
           least=0),

    "POINT_INFO: trajectories",
    ModelOption("POINT_INFO.NAME", "", "Name of a set of point files: the folder below DATA.PATH_TO_TROKEN_PT_DATA."),
    ModelOption("POINT_INFO.NUM_POINTS_TO_SAMPLE", 256, "Trajectories taken from a clip's point file, N.", least=1),
    ModelOption("POINT_INFO.SAMPLING_TYPE", "random", "How they are chosen: cluster_sample (every semantic cluster has "
                "its share), random, stratified (by distance traveled), hod (by motion) or hod_obj_id (by the "
                "clusters' motion).", choices=("cluster_sample", "random", "stratified", "hod", "hod_obj_id")),
    ClipOption("POINT_INFO.RESAMPLE", True, "Draw them anew whenever training looks at a clip; False: a clip's points "
               "are fixed, those that evaluation shows."),
    ModelOption("POINT_INFO.USE_CORRELATION", False, "Points without tracker and point files: patches of the backbone "
                "that are each other's nearest from sampled frame to sampled frame."),
    ModelOption("POINT_INFO.USE_PT_QUERY_MASK", False, "Attend to a point only from its query frame on. The published "
                "numbers were made without."),
    ModelOption("POINT_INFO.OBJ_ID_KEY", "obj_ids", "Key of the cluster ids in a point file."),
    ModelOption("POINT_INFO.COORDS", "published", "Pixels to [-1, 1]: published (2x/W - 1) or centered (2x/(W-1) - 1, "
                "exact at pixel centers).", choices=("published", "centered")),
    ModelOption("POINT_INFO.TRACK_DTYPE", "auto", "Precision of that arithmetic: auto (float16 for point files that "
                "keep positions so, as the published ones do and as the published code computes, else float32), "
                "float16 or float32.", choices=("auto", "float16", "float32")),
    ModelOption("POINT_INFO.HOD.NUM_BINS", 32, "Direction bins of the histogram of oriented displacements.", least=2),
    ModelOption("POINT_INFO.HOD.NUM_CLUSTERS", 16, "Groups that SAMPLING_TYPE hod and hod_obj_id split the points "
                "into.", least=1),
    ModelOption("POINT_INFO.HOD.TEMPORAL_PYRAMID", False, "Concatenate sums over the whole clip, its halves, its "
                "quarters, ... instead of one histogram a frame."),
    ModelOption("POINT_INFO.HOD.TEMPORAL_PYRAMID_LEVELS", 3, "Levels of that pyramid; level l has 2^l parts.", least=1),
    ModelOption("POINT_INFO.HOD.PRESERVE_TEMPORAL", True, "One histogram a frame; False sums over frames."),
    ModelOption("POINT_INFO.HOD.BINNING", "published", "A displacement's share of its two bins: published (swapped; "
                "trained weights need it) or linear (interpolated).", choices=("published", "linear")),

    "SOLVER: optimizer and schedule",
    Option("SOLVER.BASE_LR", 0.1, "Learning rate after the warm-up; never scaled by the number of processes.", least=0),
    Option("SOLVER.LR_POLICY", "cosine", "Learning rate over epochs: cosine (to SOLVER.COSINE_END_LR) or "
           "steps_with_relative_lrs (SOLVER.STEPS, SOLVER.LRS).", choices=("cosine", "steps_with_relative_lrs")),
    Option("SOLVER.COSINE_END_LR", 0.0, "Learning rate at the end of the cosine.", least=0),
    Option("SOLVER.COSINE_AFTER_WARMUP", False, "The cosine begins after the warm-up; False: at epoch 0."),
    Option("SOLVER.STEPS", [], "Epochs at which SOLVER.LRS change, ascending, the first 0.", items=int),
    Option("SOLVER.LRS", [], "Factor of SOLVER.BASE_LR from each of SOLVER.STEPS on.", items=float),
    Option("SOLVER.MAX_EPOCH", 300, "Epochs of training.", least=1),
    Option("SOLVER.ACCUMULATE", 1, "Episodes whose gradients are averaged for one step of the optimizer, of each "
           "process.", least=1),
    Option("SOLVER.MOMENTUM", 0.9, "Momentum of sgd.", least=0),
    Option("SOLVER.DAMPENING", 0.0, "Dampening of sgd's momentum.", least=0),
    Option("SOLVER.NESTEROV", True, "Nesterov's momentum for sgd."),
    Option("SOLVER.WEIGHT_DECAY", 1e-4, "Weight decay of every trainable parameter but the class token.", least=0),
    Option("SOLVER.WARMUP_EPOCHS", 0, "Epochs of linear warm-up, fewer than SOLVER.MAX_EPOCH; the rate is set once an "
           "epoch.", least=0),
    Option("SOLVER.WARMUP_START_LR", 0.01, "Learning rate at the start of the warm-up.", least=0),
    Option("SOLVER.OPTIMIZING_METHOD", "sgd", "Optimizer: sgd, adam or adamw (betas 0.9 and 0.999, eps 1e-8).",
           choices=("sgd", "adam", "adamw")),
    Option("SOLVER.ZERO_WD_1D_PARAM", False, "No weight decay on biases and other one-dimensional parameters."),
    Option("SOLVER.CLIP_GRAD_VAL", None, "Clip every entry of the gradient to this magnitude; None = no clipping.",
           above=0),
    Option("SOLVER.CLIP_GRAD_L2NORM", None, "Without SOLVER.CLIP_GRAD_VAL: clip the gradient to this L2 norm; None = "
           "no clipping.", above=0),
    Option("SOLVER.TEMPRATURE", 1.0, "Temperature that divides the class logits and the match logits in training.",
           above=0),

    "WANDB: Weights & Biases",
    MachineOption("WANDB.ENABLE", "auto", "Log there: auto (when WANDB.ID or WANDB.EXP_NAME is set), always or never.",
                  choices=("auto", "always", "never"), synonyms={"true": "always", "false": "never"}),
    MachineOption("WANDB.PROJECT", "trokens", "Project."),
    MachineOption("WANDB.ENTITY", "", "User or team; \"\" = the account's own."),
    MachineOption("WANDB.ID", "", "Run id; the same id continues a run."),
    MachineOption("WANDB.EXP_NAME", "", "Name of the run."),

    "TENSORBOARD: TensorBoard",
    MachineOption("TENSORBOARD.ENABLE", False, "Write event files into OUTPUT_DIR."),
]

"""Every option Trokens reads: its published name, its published default, and what it means.

``docs/CONFIG.md`` is rendered from the comments. Our own values are in ``configs/trokens``.
"""

from yacs.config import CfgNode as CN

_C = CN()

# ---------------------------------------------------------------------------
# Run -- where and how a run takes place
# ---------------------------------------------------------------------------
# What the model is trained for; only few_shot is offered, and left unset it means few_shot.
_C.TASK = "classification"
# Processes on this machine, one a GPU; 0 = CPU. Under torchrun its WORLD_SIZE wins.
_C.NUM_GPUS = 1
# Folder of checkpoints, logs, the full config and results.
_C.OUTPUT_DIR = "./tmp"
# Seed of initial weights, episodes and every other draw, from 0.
_C.RNG_SEED = 1
# Training steps between two log lines.
_C.LOG_PERIOD = 10
# Log the model's layers and parameter counts before training.
_C.LOG_MODEL_INFO = False
# torch.distributed backend on GPUs: nccl or gloo. CPU runs always take gloo.
_C.DIST_BACKEND = "nccl"
# Minutes without a sign of life after which a process of the run counts as lost, and the others name it and end: it was
# stopped, or its machine is gone. Work takes as long as it likes. 0 = never.
_C.DIST_TIMEOUT = 10.0
# TCP port at which processes find each other where torchrun has not set one, 1 to 65535.
_C.MASTER_PORT = 8888

# ---------------------------------------------------------------------------
# TRAIN -- training and validation
# ---------------------------------------------------------------------------
_C.TRAIN = CN()
# Train; False goes straight to the test.
_C.TRAIN.ENABLE = True
# Dataset of the train and validation splits, in any case: ssv2, hmdb51, ucf101, k400, finegym, or folder (own clips).
_C.TRAIN.DATASET = "kinetics"
# Epochs between two validations.
_C.TRAIN.EVAL_PERIOD = 10
# Epochs between two checkpoints.
_C.TRAIN.CHECKPOINT_PERIOD = 10
# Keep the checkpoint of every n-th epoch, besides the best one and the newest two; 0 = only those, 1 = all.
_C.TRAIN.KEEP_EVERY = 0
# Continue from the newest checkpoint in OUTPUT_DIR.
_C.TRAIN.AUTO_RESUME = True
# Checkpoint (ours or of the published code) whose weights training starts from; "" = fresh weights.
_C.TRAIN.CHECKPOINT_FILE_PATH = ""
# Start at epoch 0 with TRAIN.CHECKPOINT_FILE_PATH; False continues at the epoch and optimizer state it holds.
_C.TRAIN.CHECKPOINT_EPOCH_RESET = False
# Train in bf16, or fp16 with loss scaling where the GPU has no bf16; without effect on a CPU.
_C.TRAIN.MIXED_PRECISION = False
# Evaluate on the validation split and stop.
_C.TRAIN.VAL_ONLY = False
# Split that chooses the best checkpoint: val, or test, where the published code validates (to test the last epoch then,
# see TEST.TEST_EPOCH_NUM).
_C.TRAIN.VAL_SPLIT = "val"

# ---------------------------------------------------------------------------
# TEST -- the final test
# ---------------------------------------------------------------------------
_C.TEST = CN()
# Test after training (or alone, with TRAIN.ENABLE False).
_C.TEST.ENABLE = True
# Dataset of the test split; see TRAIN.DATASET.
_C.TEST.DATASET = "kinetics"
# Split that is tested: train, val or test.
_C.TEST.SPLIT = "test"
# Checkpoint to test; "" = the one chosen by validation in OUTPUT_DIR.
_C.TEST.CHECKPOINT_FILE_PATH = ""
# Test the checkpoint of this epoch (from 1); -1 = the chosen one.
_C.TEST.TEST_EPOCH_NUM = -1
# Evaluate weights on classes or clips that they were trained on, which is refused otherwise; results.json names them.
_C.TEST.ALLOW_TRAINED_CLASSES = False
# Path of a further copy of results.json; "" = none.
_C.TEST.SAVE_RESULTS_PATH = ""
# Numbers of shots to test in one go, from one look at each clip; [] = FEW_SHOT.K_SHOT.
_C.TEST.K_SHOTS = []
# Where embedded clips are kept, in tests and validations: memory; disk (all tokens in one file, which the processes of
# a node share and a later test of the same weights, options and clips uses again); auto = memory where they take less
# than half of what is available.
_C.TEST.BANK = "auto"
# Folder of banks on disk, one a split: another replaces it. "" = OUTPUT_DIR/bank.
_C.TEST.BANK_DIR = ""
# Numbers of the bank: float (32 bits) or half (16 bits: half the room and time, rounded to 3 digits).
_C.TEST.BANK_DTYPE = "float"

# ---------------------------------------------------------------------------
# MODEL -- backbone, tokens and loss
# ---------------------------------------------------------------------------
_C.MODEL = CN()
# Only Pointformer, the trajectory transformer, is offered; left unset it means Pointformer.
_C.MODEL.MODEL_NAME = "SlowFast"
# Width of the classifier; the train split's class ids are below it. 0 = the number of train classes.
_C.MODEL.NUM_CLASSES = 400
# Class loss: label_smoothing_cross_entropy (by MIXUP.LABEL_SMOOTH_VALUE) or cross_entropy (without).
_C.MODEL.LOSS_FUNC = "cross_entropy"
# Backbone: dino (MODEL.DINO_CONFIG), timm (MODEL.TIMM_NAME), or none (patch features come from the caller).
_C.MODEL.FEAT_EXTRACTOR = "dino"
# DINOv2 model: dinov2_vits14, dinov2_vitb14, dinov2_vitl14, dinov2_vitg14, or one of them with _reg (registers).
_C.MODEL.DINO_CONFIG = "dinov2_vits14"
# Name of a timm model, transformer or CNN; read with MODEL.FEAT_EXTRACTOR timm.
_C.MODEL.TIMM_NAME = ""
# Feature stage of a CNN: timm's out_indices, -1 = the last.
_C.MODEL.TIMM_STAGE = -1
# Local file of backbone weights, or package:NAME (an installed Python package that carries them); "" = look in
# TORCH_HOME, then in the Hugging Face cache and hub.
_C.MODEL.BACKBONE_WEIGHTS = ""
# Clips a pass of the backbone; 0 = all of an episode in training, 8 in evaluation, and 1 where a frozen backbone runs
# on a CPU.
_C.MODEL.BACKBONE_BATCH = 0
# Memory for the backbone features of training clips, kept when training runs without augmentation, in GB; 0 = never.
_C.MODEL.CACHE_GB = 4.0
# Folder that keeps those features on disk instead, for validation clips too: later runs with the same backbone, and all
# processes, read them from there; "" = none.
_C.MODEL.FEATURE_CACHE = ""
# Width D of the tokens; a learned linear projection where the backbone's differs. 0 = the backbone's width.
_C.MODEL.EMBED_DIM = 0
# Train the backbone too; False keeps it frozen and in eval mode.
_C.MODEL.TRAIN_BACKBONE = False
# Compute the transformer's tokens and blocks again in the backward pass, instead of keeping them: less memory, more
# time.
_C.MODEL.ACT_CHECKPOINT = False
# torch.compile the blocks of the transformer: the first steps take a minute more.
_C.MODEL.COMPILE = False
# How the feature map is read at a point: nearest, bilinear or bicubic.
_C.MODEL.FEAT_EXTRACT_MODE = "nearest"
# Leave the sampled features out (zeros), so that only the motion modules speak.
_C.MODEL.APPEARANCE_MODULE_DISABLE = False
_C.MODEL.MOTION_MODULE = CN()
# Relations between trajectories: differences of positions between all points of a frame.
_C.MODEL.MOTION_MODULE.USE_CROSS_MOTION_MODULE = False
# Motion within a trajectory: the histogram of oriented displacements (POINT_INFO.HOD).
_C.MODEL.MOTION_MODULE.USE_HOD_MOTION_MODULE = False

# ---------------------------------------------------------------------------
# MF -- the trajectory transformer
# ---------------------------------------------------------------------------
_C.MF = CN()
# Add learned spatial and temporal embeddings to the patch features.
_C.MF.USE_BASE_POS_EMBED = True
# Without MF.USE_BASE_POS_EMBED: sample a learned map at the points and add it to the tokens.
_C.MF.USE_PT_SPACE_POS_EMBED = True
# Blocks of divided space-time attention.
_C.MF.DEPTH = 1
# Attention heads; divides the token width.
_C.MF.NUM_HEADS = 8
# Hidden width of MLPs over the token width.
_C.MF.MLP_RATIO = 4
# Bias of the linear layer that gives queries, keys and values.
_C.MF.QKV_BIAS = True
# Dropout after projections and in MLPs, a probability.
_C.MF.DROP = 0.0
# Stochastic depth of the last block, rising linearly from 0 at the first; a probability.
_C.MF.DROP_PATH = 0.2
# Dropout in front of the classifier, a probability.
_C.MF.HEAD_DROPOUT = 0.0
# Dropout after the position embeddings, a probability.
_C.MF.POS_DROPOUT = 0.0
# Dropout of attention weights, a probability.
_C.MF.ATTN_DROPOUT = 0.0
# Activation between the class token's linear layer and the classifier: tanh, gelu or relu.
_C.MF.HEAD_ACT = "tanh"
# Attend only to points where they are visible; POINT_INFO.USE_PT_QUERY_MASK comes first.
_C.MF.USE_PT_VISIBILITY = False

# ---------------------------------------------------------------------------
# DATA -- videos and lists
# ---------------------------------------------------------------------------
_C.DATA = CN()
# Folder of the videos.
_C.DATA.PATH_TO_DATA_DIR = ""
# Folder that holds few_shot_info/ and the point files, <POINT_INFO.NAME>/<dataset>/feat_dump/.
_C.DATA.PATH_TO_TROKEN_PT_DATA = ""
# CSV path,label,split of the folder dataset; "" = root/{train,val,test}/<class>/*.
_C.DATA.SPLIT_CSV = ""
# Part of a split's clips that may lack a video or a point file, in [0, 1); they are left out.
_C.DATA.ALLOW_MISSING = 0.0
# Frames sampled from a clip, T.
_C.DATA.NUM_FRAMES = 8
# Side of the square the frames are resized to, in pixels; a multiple of the backbone's patch.
_C.DATA.TRAIN_CROP_SIZE = 224
# Video reader of the whole run: pyav (torchvision is accepted and means pyav) or decord.
_C.DATA.DECODING_BACKEND = "pyav"
# A video in which the decoder meets damage: refuse, the run ends and names it; or warn, and take what the decoder makes
# up, which costs a look at all frames of each video. decord notices next to none.
_C.DATA.DAMAGED_VIDEO = "refuse"
# A video that has less than it promises, as one that was not fetched to its end: refuse, or warn and take what is
# there.
_C.DATA.SHORT_VIDEO = "refuse"
# RandAugment on training clips: photometric, one draw a clip (AUG.AA_TYPE).
_C.DATA.USE_RAND_AUGMENT = False
# A video that is not the one its points were extracted from: error, warn (videos that were encoded or scaled anew on
# purpose), or ignore. Published point files do not tell.
_C.DATA.CHANGED_VIDEO = "error"
# Folder that keeps the frames clips show, so that later epochs open no video; "" = none. Kept are resized frames, or
# those of full size where they are augmented first (AUG.ORDER published).
_C.DATA.CLIP_CACHE = ""
# How they are kept: raw (the same to the last bit) or jpeg (quality 95: an eighth of the space, slightly other frames).
_C.DATA.CLIP_CACHE_FORMAT = "raw"
# Space for them in GB; a full cache takes nothing more.
_C.DATA.CLIP_CACHE_GB = 100.0

# ---------------------------------------------------------------------------
# DATA_LOADER -- loader processes
# ---------------------------------------------------------------------------
_C.DATA_LOADER = CN()
# Loader processes of each training process, at most one a core; 0 = read in the training process itself.
_C.DATA_LOADER.NUM_WORKERS = 8
# Keep batches in page-locked memory, for faster copies to a GPU.
_C.DATA_LOADER.PIN_MEMORY = True
# Seconds that a batch is waited for before the run ends and names the loader process; one that is stopped is given up
# after half a minute. 0 = for ever.
_C.DATA_LOADER.TIMEOUT = 1800

# ---------------------------------------------------------------------------
# AUG -- augmentation
# ---------------------------------------------------------------------------
_C.AUG = CN()
# RandAugment in timm's notation: m magnitude of 10, n operations a clip, mstd noise of m, inc1 = stronger with m.
_C.AUG.AA_TYPE = "rand-m9-mstd0.5-inc1"
# Augmented views of each training clip whose backbone features are kept, in MODEL.FEATURE_CACHE or in memory; training
# draws among them. 0 = every look at a clip is augmented anew.
_C.AUG.CACHED_VIEWS = 0
# What comes first: published (augmentation, at full size) or resize_first (cheaper: augments the small frames).
_C.AUG.ORDER = "published"

# ---------------------------------------------------------------------------
# MIXUP -- the part of it that remains
# ---------------------------------------------------------------------------
_C.MIXUP = CN()
# Label smoothing of the class loss, in [0, 1); mixup itself is not offered.
_C.MIXUP.LABEL_SMOOTH_VALUE = 0.1

# ---------------------------------------------------------------------------
# SSV2 -- Something-Something V2
# ---------------------------------------------------------------------------
_C.SSV2 = CN()
# Few-shot list of the ssv2 dataset: ssv2_small or ssv2_full; standard names none.
_C.SSV2.SPLIT = "standard"

# ---------------------------------------------------------------------------
# FEW_SHOT -- the shape of an episode, and matching
# ---------------------------------------------------------------------------
_C.FEW_SHOT = CN()
# Classes in an episode.
_C.FEW_SHOT.N_WAY = 5
# Support clips of each class.
_C.FEW_SHOT.K_SHOT = 1
# Query clips of each class in a training episode.
_C.FEW_SHOT.TRAIN_QUERY_PER_CLASS = 6
# Query clips of each class in a validation or test episode.
_C.FEW_SHOT.TEST_QUERY_PER_CLASS = 1
# Training episodes an epoch; see FEW_SHOT.TRAIN_OG_EPISODES.
_C.FEW_SHOT.TRAIN_EPISODES = 100000
# Episodes of a validation or test, over all processes.
_C.FEW_SHOT.TEST_EPISODES = 10000
# True: every process runs TRAIN_EPISODES steps an epoch; False: the total is divided by the number of processes.
_C.FEW_SHOT.TRAIN_OG_EPISODES = False
# Tokens that are matched: spatial (mean over points), temporal (mean over frames) or no_agg (all).
_C.FEW_SHOT.PATCH_TOKENS_AGG = "spatial"
# Distances of a query to all classes: none (as they are), max_div (over their maximum), max_sub (minus it).
_C.FEW_SHOT.DIST_NORM = "none"
# Class prototype: published (mean of tokens over shots, then ReLU) or per_clip (ReLU, aggregation, then the mean).
_C.FEW_SHOT.PROTOTYPE = "published"
# Matcher of query and class: bi_mhm (bidirectional mean Hausdorff), or any other that is registered.
_C.FEW_SHOT.MATCHER = "bi_mhm"
# Weight of the class loss.
_C.FEW_SHOT.CLASS_LOSS_LAMBDA = 1.0
# Weight of the match loss (query to support).
_C.FEW_SHOT.Q2S_LOSS_LAMBDA = 1.0

# ---------------------------------------------------------------------------
# POINT_INFO -- trajectories
# ---------------------------------------------------------------------------
_C.POINT_INFO = CN()
# Name of a set of point files: the folder below DATA.PATH_TO_TROKEN_PT_DATA.
_C.POINT_INFO.NAME = ""
# Trajectories taken from a clip's point file, N.
_C.POINT_INFO.NUM_POINTS_TO_SAMPLE = 256
# How they are chosen: cluster_sample (every semantic cluster has its share), random, stratified (by distance
# traveled), hod (by motion) or hod_obj_id (by the clusters' motion).
_C.POINT_INFO.SAMPLING_TYPE = "random"
# Attend to a point only from its query frame on. The published numbers were made without.
_C.POINT_INFO.USE_PT_QUERY_MASK = False
# Key of the cluster ids in a point file.
_C.POINT_INFO.OBJ_ID_KEY = "obj_ids"
# Pixels to [-1, 1]: published (2x/W - 1) or centered (2x/(W-1) - 1, exact at pixel centers).
_C.POINT_INFO.COORDS = "published"
# Precision of that arithmetic: auto (float16 for point files that keep positions so, as the published ones do and as
# the published code computes, else float32), float16 or float32.
_C.POINT_INFO.TRACK_DTYPE = "auto"
_C.POINT_INFO.HOD = CN()
# Direction bins of the histogram of oriented displacements.
_C.POINT_INFO.HOD.NUM_BINS = 32
# Groups that SAMPLING_TYPE hod and hod_obj_id split the points into.
_C.POINT_INFO.HOD.NUM_CLUSTERS = 16
# Concatenate sums over the whole clip, its halves, its quarters, ... instead of one histogram a frame.
_C.POINT_INFO.HOD.TEMPORAL_PYRAMID = False
# Levels of that pyramid; level l has 2^l parts.
_C.POINT_INFO.HOD.TEMPORAL_PYRAMID_LEVELS = 3
# One histogram a frame; False sums over frames.
_C.POINT_INFO.HOD.PRESERVE_TEMPORAL = True
# A displacement's share of its two bins: published (swapped; trained weights need it) or linear (interpolated).
_C.POINT_INFO.HOD.BINNING = "published"

# ---------------------------------------------------------------------------
# SOLVER -- optimizer and schedule
# ---------------------------------------------------------------------------
_C.SOLVER = CN()
# Learning rate after the warm-up; never scaled by the number of processes.
_C.SOLVER.BASE_LR = 0.1
# Learning rate over epochs: cosine (to SOLVER.COSINE_END_LR) or steps_with_relative_lrs (SOLVER.STEPS, SOLVER.LRS).
_C.SOLVER.LR_POLICY = "cosine"
# Learning rate at the end of the cosine.
_C.SOLVER.COSINE_END_LR = 0.0
# The cosine begins after the warm-up; False: at epoch 0.
_C.SOLVER.COSINE_AFTER_WARMUP = False
# Epochs at which SOLVER.LRS change, ascending, the first 0.
_C.SOLVER.STEPS = []
# Factor of SOLVER.BASE_LR from each of SOLVER.STEPS on.
_C.SOLVER.LRS = []
# Epochs of training.
_C.SOLVER.MAX_EPOCH = 300
# Episodes whose gradients are averaged for one step of the optimizer, of each process.
_C.SOLVER.ACCUMULATE = 1
# Momentum of sgd.
_C.SOLVER.MOMENTUM = 0.9
# Dampening of sgd's momentum.
_C.SOLVER.DAMPENING = 0.0
# Nesterov's momentum for sgd.
_C.SOLVER.NESTEROV = True
# Weight decay of every trainable parameter but the class token.
_C.SOLVER.WEIGHT_DECAY = 1e-4
# Epochs of linear warm-up, fewer than SOLVER.MAX_EPOCH; the rate is set once an epoch.
_C.SOLVER.WARMUP_EPOCHS = 0
# Learning rate at the start of the warm-up.
_C.SOLVER.WARMUP_START_LR = 0.01
# Optimizer: sgd, adam or adamw (betas 0.9 and 0.999, eps 1e-8).
_C.SOLVER.OPTIMIZING_METHOD = "sgd"
# No weight decay on biases and other one-dimensional parameters.
_C.SOLVER.ZERO_WD_1D_PARAM = False
# Clip every entry of the gradient to this magnitude; None = no clipping.
_C.SOLVER.CLIP_GRAD_VAL = None
# Without SOLVER.CLIP_GRAD_VAL: clip the gradient to this L2 norm; None = no clipping.
_C.SOLVER.CLIP_GRAD_L2NORM = None
# Temperature that divides the class logits and the match logits in training.
_C.SOLVER.TEMPRATURE = 1.0

# ---------------------------------------------------------------------------
# WANDB -- Weights & Biases
# ---------------------------------------------------------------------------
_C.WANDB = CN()
# Log there: auto (when WANDB.ID or WANDB.EXP_NAME is set), always or never.
_C.WANDB.ENABLE = "auto"
# Project.
_C.WANDB.PROJECT = "trokens"
# User or team; "" = the account's own.
_C.WANDB.ENTITY = ""
# Run id; the same id continues a run.
_C.WANDB.ID = ""
# Name of the run.
_C.WANDB.EXP_NAME = ""

# ---------------------------------------------------------------------------
# TENSORBOARD -- TensorBoard
# ---------------------------------------------------------------------------
_C.TENSORBOARD = CN()
# Write event files into OUTPUT_DIR.
_C.TENSORBOARD.ENABLE = False


def get_cfg() -> CN:
    """Return a fresh, mutable copy of the defaults."""
    return _C.clone()

"""Options of a run: where it takes place, training, test, episodes, optimizer, loggers."""

from trokens.config.option import MachineOption, Option

RUN = [
    Option("TASK", "classification", "What the model is trained for; only few_shot is offered, and left unset it means "
           "few_shot.", choices=("few_shot",)),
    MachineOption("NUM_GPUS", 1, "Processes on this machine, one a GPU; 0 = CPU. Under torchrun its WORLD_SIZE wins.",
                  least=0),
    MachineOption("OUTPUT_DIR", "./tmp", "Folder of checkpoints, logs, the full config and results."),
    Option("RNG_SEED", 1, "Seed of initial weights, episodes and every other draw, from 0.", least=0, most=2**63 - 1),
    MachineOption("LOG_PERIOD", 10, "Training steps between two log lines.", least=1),
    MachineOption("LOG_MODEL_INFO", False, "Log the model's layers and parameter counts before training."),
    MachineOption("DIST_BACKEND", "nccl", "torch.distributed backend on GPUs: nccl or gloo. CPU runs always take gloo.",
                  choices=("nccl", "gloo")),
    MachineOption("DIST_TIMEOUT", 10.0, "Minutes without a sign of life after which a process of the run counts as "
                  "lost, and the others name it and end: it was stopped, or its machine is gone. Work takes as long as "
                  "it likes. 0 = never.", least=0),
    MachineOption("MASTER_PORT", 8888, "TCP port at which processes find each other where torchrun has not set one, 1 "
                  "to 65535.", least=1),
]

TRAIN = [
    Option("TRAIN.ENABLE", True, "Train; False goes straight to the test."),
    Option("TRAIN.DATASET", "kinetics", "Dataset of the train and validation splits, in any case: ssv2, hmdb51, "
           "ucf101, k400, finegym, or folder (own clips)."),
    Option("TRAIN.EVAL_PERIOD", 10, "Epochs between two validations.", least=1),
    MachineOption("TRAIN.CHECKPOINT_PERIOD", 10, "Epochs between two checkpoints.", least=1),
    MachineOption("TRAIN.KEEP_EVERY", 0, "Keep the checkpoint of every n-th epoch, besides the best one and the newest "
                  "two; 0 = only those, 1 = all.", least=0),
    MachineOption("TRAIN.AUTO_RESUME", True, "Continue from the newest checkpoint in OUTPUT_DIR."),
    MachineOption("TRAIN.CHECKPOINT_FILE_PATH", "", "Checkpoint (ours or of the published code) whose weights training "
                  'starts from; "" = fresh weights.'),
    Option("TRAIN.CHECKPOINT_EPOCH_RESET", False, "Start at epoch 0 with TRAIN.CHECKPOINT_FILE_PATH; False continues "
           "at the epoch and optimizer state it holds."),
    Option("TRAIN.MIXED_PRECISION", False, "Train in bf16, or fp16 with loss scaling where the GPU has no bf16; "
           "without effect on a CPU."),
    Option("TRAIN.VAL_ONLY", False, "Evaluate on the validation split and stop."),
    Option("TRAIN.VAL_SPLIT", "val", "Split that chooses the best checkpoint: val, or test, where the published code "
           "validates (to test the last epoch then, see TEST.TEST_EPOCH_NUM).", choices=("val", "test")),
]

TEST = [
    Option("TEST.ENABLE", True, "Test after training (or alone, with TRAIN.ENABLE False)."),
    Option("TEST.DATASET", "kinetics", "Dataset of the test split; see TRAIN.DATASET."),
    Option("TEST.SPLIT", "test", "Split that is tested: train, val or test.", choices=("train", "val", "test")),
    MachineOption("TEST.CHECKPOINT_FILE_PATH", "", 'Checkpoint to test; "" = the one chosen by validation in '
                  "OUTPUT_DIR."),
    Option("TEST.TEST_EPOCH_NUM", -1, "Test the checkpoint of this epoch (from 1); -1 = the chosen one.", least=-1),
    MachineOption("TEST.ALLOW_TRAINED_CLASSES", False, "Evaluate weights on classes or clips that they were trained "
                  "on, which is refused otherwise; results.json names them."),
    MachineOption("TEST.SAVE_RESULTS_PATH", "", 'Path of a further copy of results.json; "" = none.'),
    Option("TEST.K_SHOTS", [], "Numbers of shots to test in one go, from one look at each clip; [] = FEW_SHOT.K_SHOT.",
           items=int, least=1),
    MachineOption("TEST.BANK", "auto", "Where embedded clips are kept, in tests and validations: memory; disk (all "
                  "tokens in one file, which the processes of a node share and a later test of the same weights, "
                  "options and clips uses again); auto = memory where they take less than half of what is available.",
                  choices=("auto", "memory", "disk")),
    MachineOption("TEST.BANK_DIR", "", 'Folder of banks on disk, one a split: another replaces it. "" = '
                  "OUTPUT_DIR/bank."),
    Option("TEST.BANK_DTYPE", "float", "Numbers of the bank: float (32 bits) or half (16 bits: half the room and time, "
           "rounded to 3 digits).", choices=("float", "half")),
]

FEW_SHOT = [
    Option("FEW_SHOT.N_WAY", 5, "Classes in an episode.", least=1),
    Option("FEW_SHOT.K_SHOT", 1, "Support clips of each class.", least=1),
    Option("FEW_SHOT.TRAIN_QUERY_PER_CLASS", 6, "Query clips of each class in a training episode.", least=1),
    Option("FEW_SHOT.TEST_QUERY_PER_CLASS", 1, "Query clips of each class in a validation or test episode.", least=1),
    Option("FEW_SHOT.TRAIN_EPISODES", 100000, "Training episodes an epoch; see FEW_SHOT.TRAIN_OG_EPISODES.", least=1),
    Option("FEW_SHOT.TEST_EPISODES", 10000, "Episodes of a validation or test, over all processes.", least=1),
    Option("FEW_SHOT.TRAIN_OG_EPISODES", False, "True: every process runs TRAIN_EPISODES steps an epoch; False: the "
           "total is divided by the number of processes."),
    Option("FEW_SHOT.PATCH_TOKENS_AGG", "spatial", "Tokens that are matched: spatial (mean over points), temporal "
           "(mean over frames) or no_agg (all).", choices=("spatial", "temporal", "no_agg"), weights=True),
    Option("FEW_SHOT.DIST_NORM", "none", "Distances of a query to all classes: none (as they are), max_div (over their "
           "maximum), max_sub (minus it).", choices=("none", "max_div", "max_sub"), weights=True),
    Option("FEW_SHOT.PROTOTYPE", "published", "Class prototype: published (mean of tokens over shots, then ReLU) or "
           "per_clip (ReLU, aggregation, then the mean).", choices=("published", "per_clip"), weights=True),
    Option("FEW_SHOT.MATCHER", "bi_mhm", "Matcher of query and class: bi_mhm (bidirectional mean Hausdorff), or any "
           "other that is registered.", weights=True),
    Option("FEW_SHOT.CLASS_LOSS_LAMBDA", 1.0, "Weight of the class loss.", least=0),
    Option("FEW_SHOT.Q2S_LOSS_LAMBDA", 1.0, "Weight of the match loss (query to support).", least=0),
]

SOLVER = [
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
]

WANDB = [
    MachineOption("WANDB.ENABLE", "auto", "Log there: auto (when WANDB.ID or WANDB.EXP_NAME is set), always or never.",
                  choices=("auto", "always", "never"), synonyms={"true": "always", "false": "never"}),
    MachineOption("WANDB.PROJECT", "trokens", "Project."),
    MachineOption("WANDB.ENTITY", "", "User or team; \"\" = the account's own."),
    MachineOption("WANDB.ID", "", "Run id; the same id continues a run."),
    MachineOption("WANDB.EXP_NAME", "", "Name of the run."),
]

TENSORBOARD = [
    MachineOption("TENSORBOARD.ENABLE", False, "Write event files into OUTPUT_DIR."),
]

"""Options of a run: where it takes place, its training, its test."""

from trokens.config.option import MachineOption, Option

RUN = [
    "Run: where and how a run takes place",
    Option("TASK", "classification", "What the model is trained for; only few_shot is offered, and left unset it means "
           "few_shot.", choices=("few_shot",)),
    MachineOption("NUM_GPUS", 1, "Processes on this machine, one a GPU; 0 = CPU. Under torchrun its WORLD_SIZE wins.",
                  least=0),
    MachineOption("OUTPUT_DIR", "./tmp", "Folder of checkpoints, logs, the full config and results."),
    Option("RNG_SEED", 1, "Seed of initial weights, episodes and every other draw, from 0.", least=0, most=2**63 - 1),
    MachineOption("LOG_PERIOD", 10, "Training steps between two log lines.", least=1),
    MachineOption("REPORT", True, "Write report.html into OUTPUT_DIR at the end: one page with the run's curves, "
                  "accuracy and intervals, confusions and example clips (a few seconds; see trokens report)."),
    MachineOption("LOG_MODEL_INFO", False, "Log the model's layers and parameter counts before training."),
    MachineOption("DIST_BACKEND", "nccl", "torch.distributed backend on GPUs: nccl or gloo. CPU runs always take gloo.",
                  choices=("nccl", "gloo")),
    MachineOption("DIST_TIMEOUT", 10.0, "Minutes without a sign of life after which a process of the run counts as "
                  "lost, and the others name it and end: it was stopped, or its machine is gone. Work takes as long as "
                  "it likes. 0 = never.", least=0),
    MachineOption("MASTER_PORT", 8888, "TCP port at which processes find each other where torchrun has not set one, 1 "
                  "to 65535.", least=1),

    "TRAIN: training and validation",
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

    "TEST: the final test",
    Option("TEST.ENABLE", True, "Test after training (or alone, with TRAIN.ENABLE False)."),
    Option("TEST.DATASET", "kinetics", "Dataset of the test split; see TRAIN.DATASET."),
    Option("TEST.SPLIT", "test", "Split that is tested: train, val or test.", choices=("train", "val", "test")),
    MachineOption("TEST.CHECKPOINT_FILE_PATH", "", "Checkpoint to test, or the folder of a run or of trokens publish, "
                  'or hf:owner/name; "" = the one chosen by validation in OUTPUT_DIR.'),
    Option("TEST.TEST_EPOCH_NUM", -1, "Test the checkpoint of this epoch (from 1); -1 = the chosen one.", least=-1),
    MachineOption("TEST.ALLOW_TRAINED_CLASSES", False, "Evaluate weights on classes or clips that they were trained "
                  "on, which is refused otherwise; results.json names them."),
    MachineOption("TEST.SAVE_RESULTS_PATH", "", 'Path of a further copy of results.json; "" = none.'),
    Option("TEST.K_SHOTS", [], "Numbers of shots to test in one go, from one look at each clip; [] = FEW_SHOT.K_SHOT.",
           items=int, least=1),
    Option("TEST.EPISODES", "", "File of the episodes to test, such as another run's episodes.jsonl; \"\" = drawn."),
    MachineOption("TEST.BANK", "auto", "Where embedded clips are kept, in tests and validations: memory; disk (all "
                  "tokens in one file, which the processes of a node share and a later test of the same weights, "
                  "options and clips uses again); auto = memory where they take less than half of what is available.",
                  choices=("auto", "memory", "disk")),
    MachineOption("TEST.BANK_DIR", "", 'Folder of banks on disk, one a split: another replaces it. "" = '
                  "OUTPUT_DIR/bank."),
    Option("TEST.BANK_DTYPE", "float", "Numbers of the bank: float (32 bits) or half (16 bits: half the room and time, "
           "rounded to 3 digits).", choices=("float", "half")),
]

"""Options of the model."""

from functools import partial

from trokens.config.option import ClipOption, MachineOption, ModelOption

DINO_MODELS = tuple(f"dinov2_vit{size}14{registers}" for registers in ("", "_reg") for size in "sblg")
Dropout = partial(ClipOption, least=0, below=1)

MODEL = [
    "MODEL: backbone, tokens and loss",
    ModelOption("MODEL.MODEL_NAME", "SlowFast", "Only Pointformer, the trajectory transformer, is offered; left unset "
                "it means Pointformer.", choices=("Pointformer",)),
    ClipOption("MODEL.NUM_CLASSES", 400, "Width of the classifier; the train split's class ids are below it. 0 = the "
               "number of train classes.", least=0),
    ClipOption("MODEL.LOSS_FUNC", "cross_entropy", "Class loss: label_smoothing_cross_entropy (by "
               "MIXUP.LABEL_SMOOTH_VALUE) or cross_entropy (without).",
               choices=("cross_entropy", "label_smoothing_cross_entropy")),
    ModelOption("MODEL.FEAT_EXTRACTOR", "dino", "Backbone: dino (MODEL.DINO_CONFIG), timm (MODEL.TIMM_NAME), or none "
                "(patch features come from the caller).", choices=("dino", "timm", "none")),
    ModelOption("MODEL.DINO_CONFIG", "dinov2_vits14", "DINOv2 model: dinov2_vits14, dinov2_vitb14, dinov2_vitl14, "
                "dinov2_vitg14, or one of them with _reg (registers).", choices=DINO_MODELS),
    ModelOption("MODEL.TIMM_NAME", "", "Name of a timm model, transformer or CNN; read with MODEL.FEAT_EXTRACTOR "
                "timm."),
    ModelOption("MODEL.TIMM_STAGE", -1, "Feature stage of a CNN: timm's out_indices, -1 = the last.", least=-1),
    MachineOption("MODEL.BACKBONE_WEIGHTS", "", "Local file of backbone weights, or package:NAME (an installed Python "
                  'package that carries them); "" = look in TORCH_HOME, then in the Hugging Face cache and hub.'),
    MachineOption("MODEL.BACKBONE_BATCH", 0, "Clips a pass of the backbone; 0 = all of an episode in training, 8 in "
                  "evaluation, and 1 where a frozen backbone runs on a CPU.", least=0),
    MachineOption("MODEL.CACHE_GB", 4.0, "Memory for the backbone features of training clips, kept when training runs "
                  "without augmentation, in GB; 0 = never.", least=0),
    MachineOption("MODEL.FEATURE_CACHE", "", "Folder that keeps those features on disk instead, for validation clips "
                  'too: later runs with the same backbone, and all processes, read them from there; "" = none.'),
    ModelOption("MODEL.EMBED_DIM", 0, "Width D of the tokens; a learned linear projection where the backbone's "
                "differs. 0 = the backbone's width.", least=0),
    ClipOption("MODEL.TRAIN_BACKBONE", False, "Train the backbone too; False keeps it frozen and in eval mode."),
    MachineOption("MODEL.ACT_CHECKPOINT", False, "Compute the transformer's tokens and blocks again in the backward "
                  "pass, instead of keeping them: less memory, more time."),
    MachineOption("MODEL.COMPILE", False, "torch.compile the blocks of the transformer: the first steps take a minute "
                  "more."),
    ModelOption("MODEL.FEAT_EXTRACT_MODE", "nearest", "How the feature map is read at a point: nearest, bilinear or "
                "bicubic.", choices=("nearest", "bilinear", "bicubic")),
    ModelOption("MODEL.APPEARANCE_MODULE_DISABLE", False, "Leave the sampled features out (zeros), so that only the "
                "motion modules speak."),
    ModelOption("MODEL.MOTION_MODULE.USE_CROSS_MOTION_MODULE", False, "Relations between trajectories: differences of "
                "positions between all points of a frame."),
    ModelOption("MODEL.MOTION_MODULE.USE_HOD_MOTION_MODULE", False, "Motion within a trajectory: the histogram of "
                "oriented displacements (POINT_INFO.HOD)."),
    ModelOption("MODEL.USE_CLS_TOKEN", True, "A class token in the blocks, which the classifier reads; False: none, "
                "and it reads the mean of the tokens that take part in attention."),
    ModelOption("MODEL.USE_PATCH_AS_CLS", False, "The class token starts as the mean of a clip's patch features over "
                "space and time; False: as a learned vector."),

    "MF: the trajectory transformer",
    ModelOption("MF.USE_BASE_POS_EMBED", True, "Add learned spatial and temporal embeddings to the patch features."),
    ModelOption("MF.USE_PT_SPACE_POS_EMBED", True, "Without MF.USE_BASE_POS_EMBED: sample a learned map at the points "
                "and add it to the tokens."),
    ModelOption("MF.DEPTH", 1, "Blocks of divided space-time attention.", least=1),
    ModelOption("MF.NUM_HEADS", 8, "Attention heads; divides the token width.", least=1),
    ModelOption("MF.MLP_RATIO", 4, "Hidden width of MLPs over the token width.", least=1),
    ModelOption("MF.QKV_BIAS", True, "Bias of the linear layer that gives queries, keys and values."),
    Dropout("MF.DROP", 0.0, "Dropout after projections and in MLPs, a probability."),
    Dropout("MF.DROP_PATH", 0.2, "Stochastic depth of the last block, rising linearly from 0 at the first; a "
            "probability."),
    Dropout("MF.HEAD_DROPOUT", 0.0, "Dropout in front of the classifier, a probability."),
    Dropout("MF.POS_DROPOUT", 0.0, "Dropout after the position embeddings, a probability."),
    Dropout("MF.ATTN_DROPOUT", 0.0, "Dropout of attention weights, a probability."),
    ModelOption("MF.HEAD_ACT", "tanh", "Activation between the class token's linear layer and the classifier: tanh, "
                "gelu or relu.", choices=("tanh", "gelu", "relu")),
    ModelOption("MF.USE_PT_VISIBILITY", False, "Attend only to points where they are visible; "
                "POINT_INFO.USE_PT_QUERY_MASK comes first."),
]

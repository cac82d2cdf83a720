"""Options of videos: lists, decoding, frames, augmentation."""

from trokens.config.option import ClipOption, MachineOption, ModelOption, Option

DATA = [
    "DATA: videos and lists",
    MachineOption("DATA.PATH_TO_DATA_DIR", "", "Folder of the videos."),
    MachineOption("DATA.PATH_TO_TROKEN_PT_DATA", "", "Folder that holds few_shot_info/ and the point files, "
                  "<POINT_INFO.NAME>/<dataset>/feat_dump/."),
    MachineOption("DATA.SPLIT_CSV", "", 'CSV path,label,split of the folder dataset; "" = '
                  "root/{train,val,test}/<class>/*."),
    ClipOption("DATA.ALLOW_MISSING", 0.0, "Part of a split's clips that may lack a video or a point file, in [0, 1); "
               "they are left out.", least=0, below=1),
    ModelOption("DATA.NUM_FRAMES", 8, "Frames sampled from a clip, T.", least=1),
    ModelOption("DATA.TRAIN_CROP_SIZE", 224, "Side of the square the frames are resized to, in pixels; a multiple of "
                "the backbone's patch.", least=1),
    ModelOption("DATA.DECODING_BACKEND", "pyav", "Video reader of the whole run: pyav (torchvision is accepted and "
                "means pyav) or decord.", choices=("pyav", "decord"), synonyms={"torchvision": "pyav"}),
    ClipOption("DATA.DAMAGED_VIDEO", "refuse", "A video in which the decoder meets damage: refuse, the run ends and "
               "names it; or warn, and take what the decoder makes up, which costs a look at all frames of each video. "
               "decord notices next to none.", choices=("refuse", "warn")),
    ClipOption("DATA.SHORT_VIDEO", "refuse", "A video that has less than it promises, as one that was not fetched to "
               "its end: refuse, or warn and take what is there.", choices=("refuse", "warn")),
    ClipOption("DATA.USE_RAND_AUGMENT", False, "RandAugment on training clips: photometric, one draw a clip "
               "(AUG.AA_TYPE)."),
    MachineOption("DATA.CHANGED_VIDEO", "error", "A video that is not the one its points were extracted from: error, "
                  "warn (videos that were encoded or scaled anew on purpose), or ignore. Published point files do not "
                  "tell.", choices=("error", "warn", "ignore")),
    MachineOption("DATA.CLIP_CACHE", "", "Folder that keeps the frames clips show, so that later epochs open no video; "
                  '"" = none. Kept are resized frames, or those of full size where they are augmented first (AUG.ORDER '
                  "published)."),
    ModelOption("DATA.CLIP_CACHE_FORMAT", "raw", "How they are kept: raw (the same to the last bit) or jpeg (quality "
                "95: an eighth of the space, slightly other frames).", choices=("raw", "jpeg")),
    MachineOption("DATA.CLIP_CACHE_GB", 100.0, "Space for them in GB; a full cache takes nothing more.", least=0),

    "DATA_LOADER: loader processes",
    MachineOption("DATA_LOADER.NUM_WORKERS", 8, "Loader processes of each training process, at most one a core; 0 = "
                  "read in the training process itself.", least=0),
    MachineOption("DATA_LOADER.PIN_MEMORY", True, "Keep batches in page-locked memory, for faster copies to a GPU."),
    MachineOption("DATA_LOADER.TIMEOUT", 1800, "Seconds that a batch is waited for before the run ends and names the "
                  "loader process; one that is stopped is given up after half a minute. 0 = for ever.", least=0),

    "AUG: augmentation",
    Option("AUG.AA_TYPE", "rand-m9-mstd0.5-inc1", "RandAugment in timm's notation: m magnitude of 10, n operations a "
           "clip, mstd noise of m, inc1 = stronger with m."),
    Option("AUG.CACHED_VIEWS", 0, "Augmented views of each training clip whose backbone features are kept, in "
           "MODEL.FEATURE_CACHE or in memory; training draws among them. 0 = every look at a clip is augmented anew.",
           least=0),
    Option("AUG.ORDER", "published", "What comes first: published (augmentation, at full size) or resize_first "
           "(cheaper: augments the small frames).", choices=("published", "resize_first")),

    "MIXUP: the part of it that remains",
    Option("MIXUP.LABEL_SMOOTH_VALUE", 0.1, "Label smoothing of the class loss, in [0, 1); mixup itself is not "
           "offered.", least=0, below=1),

    "SSV2: Something-Something V2",
    Option("SSV2.SPLIT", "standard", "Few-shot list of the ssv2 dataset: ssv2_small or ssv2_full; standard names none.",
           choices=("standard", "ssv2_small", "ssv2_full")),
]

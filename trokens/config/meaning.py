"""The options that give a model's weights their meaning: with other ones it gets other tokens than it learned from."""

from typing import Any

from yacs.config import CfgNode as CN

from trokens.config.defaults import get_cfg
from trokens.config.load import changed_options, kept_options
from trokens.config.published import WITHOUT_EFFECT
from trokens.config.validate import option

# How their keys begin (with = after a whole one).
_MEANING = ("DATA.CLIP_CACHE_FORMAT", "DATA.DECODING_BACKEND", "DATA.NUM_FRAMES", "DATA.TRAIN_CROP_SIZE",
            "FEW_SHOT.DIST_NORM", "FEW_SHOT.MATCHER", "FEW_SHOT.PATCH_TOKENS_AGG", "FEW_SHOT.PROTOTYPE", "MF.",
            "MODEL.", "POINT_INFO.")
# What only training knows, and what the shapes of the weights tell.
_NO_MEANING = ("MF.DROP=", "MF.DROP_PATH", "MF.HEAD_DROPOUT", "MF.POS_DROPOUT", "MF.ATTN_DROPOUT", "MODEL.LOSS_FUNC",
               "MODEL.NUM_CLASSES", "MODEL.TRAIN_BACKBONE")
_QUERY_MASK = "POINT_INFO.USE_PT_QUERY_MASK"


def changed_meaning(cfg: CN, text: str) -> dict[str, tuple[Any, Any]]:
    """Compare the options that tokens and their distances depend on with those of the config that a checkpoint keeps.

    Args:
        cfg: The loaded config.
        text: The checkpoint's.

    Returns:
        Key -> (value there, value here) of those that differ. An option that the checkpoint's config lacks had its
        default. The published code never applies its query mask, whatever its config says.

    Raises:
        ConfigError: The text is no config.
    """
    defaults, changed = get_cfg(), {}
    for key, (there, here) in changed_options(cfg, text).items():
        is_meant = f"{key}=".startswith(_MEANING) and not f"{key}=".startswith(_NO_MEANING)
        if is_meant and not (there is None and here == option(defaults, key)):
            changed[key] = (there, here)
    if kept_options(text).keys() & WITHOUT_EFFECT:  # of the published code
        changed.pop(_QUERY_MASK, None)
        if option(cfg, _QUERY_MASK):
            changed[_QUERY_MASK] = (False, True)
    return changed

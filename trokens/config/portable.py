"""A config as it may go to other machines."""

from yacs.config import CfgNode as CN

from trokens.config.options import OPTIONS


def without_machine(cfg: CN) -> CN:
    """The config with the defaults of what belongs to a machine, but for a backbone that a package brings."""
    cfg = cfg.clone()
    cfg.defrost()
    for key, option in OPTIONS.items():
        is_named = key == "MODEL.BACKBONE_WEIGHTS" and cfg.MODEL.BACKBONE_WEIGHTS.startswith("package:")
        if (not option.results and not is_named) or key == "TEST.EPISODES":  # a path, too
            *sections, last = key.split(".")
            section = cfg
            for one in sections:
                section = section[one]
            section[last] = option.unset
    cfg.freeze()
    return cfg

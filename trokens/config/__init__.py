"""The options of a run: defaults, files and command line, checked before anything heavy is loaded."""

from trokens.config.defaults import get_cfg
from trokens.config.load import changed_options, config_hash, dump, kept_options, load_cfg
from trokens.config.meaning import changed_meaning
from trokens.config.validate import ConfigError, check_classes

__all__ = ["ConfigError", "changed_meaning", "changed_options", "check_classes", "config_hash", "dump", "get_cfg",
           "kept_options", "load_cfg"]

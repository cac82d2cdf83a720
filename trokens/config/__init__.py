"""The options of a run: defaults, files and command line, checked before anything heavy is loaded."""

from trokens.config.defaults import get_cfg
from trokens.config.load import changed_options, config_hash, dump, load_cfg
from trokens.config.validate import ConfigError, check_classes

__all__ = ["ConfigError", "changed_options", "check_classes", "config_hash", "dump", "get_cfg", "load_cfg"]

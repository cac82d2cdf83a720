"""The options of a run: defaults, files and command line, checked before anything heavy is loaded."""

from trokens.config.border import dataset_of
from trokens.config.compare import changed_meaning, changed_options, config_hash, kept_options
from trokens.config.load import dump, load_cfg
from trokens.config.options import OPTIONS, get_cfg
from trokens.config.portable import without_machine
from trokens.config.validate import ConfigError

__all__ = ["OPTIONS", "ConfigError", "changed_meaning", "changed_options", "config_hash", "dataset_of",
           "dump", "get_cfg", "kept_options", "load_cfg", "without_machine"]

"""Which clips a dataset has: lists and folders (walk, lists, datasets), splits of a run (split), their checks."""

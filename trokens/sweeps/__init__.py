"""Many runs for one table: a sweep file, its runs, and how they are started.

The configs are YACS trees that are checked as a whole, to which Hydra's launchers do not fit: they compose configs of
their own. So a run is the command that a user would type, and ``concurrent.futures`` or SLURM starts several.
"""

"""Measured costs of every stage, as ratios against the direct way in the same run; see docs/PERFORMANCE.md."""

from trokens.registry import Registry

BENCHMARKS = Registry("benchmark")  # name -> function (Setting) -> list[Figure]

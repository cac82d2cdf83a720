"""What each stage costs, beside the direct way of doing the same; `tools/benchmark.py` calls `measure` of each file."""

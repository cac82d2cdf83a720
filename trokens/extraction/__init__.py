"""From videos to point files: one video (extractor), which videos (jobs), many of them in processes (run)."""

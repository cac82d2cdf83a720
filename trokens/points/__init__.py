"""Points of one video: where they start, how they are followed, which are chosen, and the files that keep them."""

POINT_SUFFIXES = (".safetensors", ".pkl")  # of point files; where both exist, the first is read

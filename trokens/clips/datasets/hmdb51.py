"""HMDB51."""

from trokens.clips.dataset import add_dataset
from trokens.clips.published_lists import path_csv, to_first_dot

add_dataset(path_csv("hmdb51", "hmdb_few_shot.csv", form="hmdb", short_id=to_first_dot, archive="hmdb"))

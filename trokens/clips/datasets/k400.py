"""Kinetics-100, whose clips are known by the 11 characters of their YouTube ids."""

from trokens.clips.dataset import add_dataset
from trokens.clips.published_lists import path_csv

add_dataset(path_csv("k400", "kinetics100.csv", form="k100", short_id=lambda name: name[:11], archive="k400|kinetics"))

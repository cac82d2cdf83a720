"""UCF101."""

from trokens.clips.dataset import add_dataset
from trokens.clips.published_lists import path_csv, to_first_dot

add_dataset(path_csv("ucf101", "ucf_few_shot.csv", form="ucf", short_id=to_first_dot, archive="ucf"))

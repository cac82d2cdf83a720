import csv
import json
import zipfile
from pathlib import Path

import huggingface_hub
import pytest

from trokens.cli.get_points import main
from trokens.clips.published_points import may_hold, published_path

NAME = "cotracker3_bip_fr_32"
LISTS = {
    "few_shot_info/ssv2_small": {"train": "12", "val": "3", "test": "45"},
    "few_shot_info/ssv2_full": {"train": "126", "test": "45"},
}


@pytest.mark.parametrize("path", [
    f"{NAME}/ssv2/1.pkl", f"{NAME}/ssv2/feat_dump/1.pkl", f"{NAME}/ssv2/ssv2/feat_dump/1.pkl",
    f"{NAME}/ssv2/{NAME}/ssv2/feat_dump/1.pkl", f"{NAME}/ssv2/fs/dumps/{NAME}/ssv2/feat_dump/1.pkl",
    "ssv2/feat_dump/1.pkl", "ssv2_points/1.pkl", f"{NAME}/Something-Something-v2/feat_dump/1.pkl",
    f"{NAME}_ssv2_part2/feat_dump/1.pkl", f"hmdb_and_more/{NAME}/ssv2/1.pkl"])
def test_point_files_belong_below_their_set_and_dataset(path):
    assert published_path(path, NAME, ["ssv2"]) == f"{NAME}/ssv2/feat_dump/1.pkl"


def test_files_that_are_not_wanted_have_no_place():
    for path in (f"{NAME}/k400/feat_dump/1.pkl", "flow_bip_fr_8/ssv2/feat_dump/1.pkl",
                 f"{NAME}_fps_10/ssv2/feat_dump/1.pkl", f"{NAME}/ssv2/gif_dump/1.gif", f"__MACOSX/{NAME}/ssv2/._1.pkl",
                 "1.pkl", f"{NAME}/ssv2.zip", f"{NAME}/ssv2/list.json", "README.md",
                 "few_shot_info/../../x.json"):
        assert published_path(path, NAME, ["ssv2", "hmdb51"]) is None, path
    places = {dataset: published_path(f"{NAME}/{folder}/x.pkl", NAME, [dataset]) for folder, dataset in
              (("hmdb", "hmdb51"), ("ucf101", "ucf101"), ("Kinetics", "k400"), ("FineGym", "finegym"))}
    assert places == {dataset: f"{NAME}/{dataset}/feat_dump/x.pkl" for dataset in places}


def test_lists_keep_their_place():
    for path in ("few_shot_info/ssv2_small/a.json", "few_shot_info/few_shot_info/ssv2_small/a.json",
                 "x/few_shot_info/ssv2_small/a.json"):
        assert published_path(path, NAME, []) == "few_shot_info/ssv2_small/a.json"


def test_archives_are_chosen_by_their_names():
    assert may_hold(f"{NAME}/ssv2.zip", NAME, ["ssv2"]) and not may_hold(f"{NAME}/ssv2.zip", NAME, ["k400"])
    assert may_hold(f"{NAME}.zip", NAME, ["k400"]) and not may_hold("flow_bip_fr_8.zip", NAME, ["k400"])
    assert may_hold("few_shot_info.zip", NAME, ["k400"]) and may_hold("all.zip", NAME, ["k400"])


def make_zip(path: Path, names) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as file:
        for name in names:
            file.writestr(name, f"points of {Path(name).stem}")


@pytest.fixture
def repository(tmp_path) -> Path:
    """The published files in small: lists, a zip a dataset, and what else a repository holds."""
    root = tmp_path / "repository"
    for folder, splits in LISTS.items():
        for split, ids in splits.items():
            (root / folder).mkdir(parents=True, exist_ok=True)
            (root / folder / f"{split}_few_shot.json").write_text(json.dumps([{"id": id, "label": "0"} for id in ids]))
    (root / "few_shot_info/hmdb_few_shot.csv").write_text(
        "vid_id,vid_base_path,label_id,split\nx,v/wave/x.avi,0,train\ny,v/bend/y.avi,1,test\n")
    make_zip(root / NAME / "ssv2.zip", [f"ssv2/feat_dump/{id}.pkl" for id in "1245"])
    make_zip(root / NAME / "hmdb51.zip", ["x.pkl", "y.pkl"])
    make_zip(root / "flow_grid_16/ssv2.zip", ["ssv2/feat_dump/3.pkl"])
    (root / "README.md").write_text("a card")
    (root / ".cache").mkdir()
    (root / ".cache/ssv2.zip").write_text("a part")
    return root


@pytest.fixture
def hub(repository, monkeypatch) -> list[str]:
    """A hub that serves the repository; the list tells what was asked of it."""
    asked = []

    def fetch(repo, name, repo_type, local_dir):
        asked.append(name)
        target = Path(local_dir) / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((repository / name).read_bytes())
        return str(target)

    def names(repo, repo_type):
        assert (repo, repo_type) == ("pulkitkumar95/trokens_pt_data", "dataset")
        return [str(path.relative_to(repository)) for path in sorted(repository.rglob("*"))
                if path.is_file() and ".cache" not in path.parts]

    monkeypatch.setattr(huggingface_hub, "list_repo_files", names)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", fetch)
    return asked


def run(*args) -> int:
    return main([str(arg) for arg in args])


def table(text: str) -> list[list[str]]:
    lines = text.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("list "))
    return [line.replace(",", "").split() for line in lines[start + 1:-1]]


def test_one_dataset_comes_from_the_hub(hub, tmp_path, capsys):
    out = tmp_path / "points"
    assert run("--out", out, "--dataset", "ssv2") == 1
    assert hub == ["few_shot_info/hmdb_few_shot.csv", *(f"{folder}/{split}_few_shot.json" for folder in
                   sorted(LISTS) for split in sorted(LISTS[folder])), f"{NAME}/ssv2.zip"]
    assert {path.name: path.read_text() for path in (out / NAME / "ssv2/feat_dump").iterdir()} == {
        f"{id}.pkl": f"points of {id}" for id in "1245"}
    printed = capsys.readouterr().out
    assert table(printed) == [
        ["ssv2_small", "train", "2", "0"], ["ssv2_small", "val", "1", "1", "3"], ["ssv2_small", "test", "2", "0"],
        ["ssv2_full", "train", "3", "1", "6"], ["ssv2_full", "test", "2", "0"]]
    assert "ssv2.zip: 4 files unpacked, 0 were there before" in printed and "Something is missing" in printed
    assert not (out / NAME / "hmdb51").exists() and not (out / "flow_grid_16").exists()


def test_deleted_archives_are_not_fetched_again(hub, tmp_path, capsys):
    flags = ("--out", tmp_path / "points", "--dataset", "hmdb51", "--delete_zips")
    assert run(*flags) == 0 and not list(tmp_path.glob("points/**/*.zip"))
    hub.clear()
    assert run(*flags) == 0 and f"{NAME}/hmdb51.zip" not in hub
    assert run(*flags, "--rerun") == 0 and f"{NAME}/hmdb51.zip" in hub
    assert capsys.readouterr().out.count("All is there.") == 3


def test_a_deleted_archive_is_fetched_again_for_what_is_not_there(hub, repository, tmp_path, capsys):
    make_zip(repository / f"{NAME}.zip", ["hmdb51/x.pkl", "hmdb51/y.pkl", "ssv2/3.pkl", "ssv2/6.pkl"])
    (repository / NAME / "hmdb51.zip").unlink()
    out, archive = tmp_path / "points", f"{NAME}.zip"

    def fetched(*flags) -> bool:
        hub.clear()
        assert run("--out", out, "--delete_zips", *flags) == 0
        return archive in hub

    assert fetched("--dataset", "hmdb51") and fetched("--dataset", "ssv2") and not fetched("--dataset", "hmdb51")
    assert not fetched("--dataset", "hmdb51", "ssv2")
    converted = out / NAME / "hmdb51/feat_dump/x.pkl"
    converted.rename(converted.with_suffix(".safetensors"))
    assert not fetched("--dataset", "hmdb51")
    (out / NAME / "hmdb51/feat_dump/y.pkl").unlink()
    assert fetched("--dataset", "hmdb51")
    capsys.readouterr()
    assert run("--out", out, "--dataset", "ssv2", "--name", "flow_grid_16") == 1
    assert "flow_grid_16/ssv2.zip: 1 files unpacked" in capsys.readouterr().out


def test_a_wrong_name_is_told_where_only_the_lists_are_found(repository, tmp_path, capsys):
    assert run("--from_dir", repository, "--out", tmp_path / "points", "--name", "flow", "--dataset", "ssv2") == 2
    assert "Nothing of flow for ssv2 is among" in capsys.readouterr().err and not (tmp_path / "points").exists()
    assert run("--from_dir", tmp_path / "nowhere", "--out", tmp_path / "points") == 2
    assert f"There is no folder {tmp_path}/nowhere (--from_dir)" in capsys.readouterr().err


def test_plain_files_are_copied_once_unless_told_otherwise(repository, tmp_path):
    flags = ("--from_dir", repository, "--out", tmp_path / "points", "--dataset", "hmdb51")
    assert run(*flags) == 0
    copied = tmp_path / "points/few_shot_info/hmdb_few_shot.csv"
    first = copied.stat().st_ino, copied.stat().st_mtime_ns
    assert run(*flags) == 0 and (copied.stat().st_ino, copied.stat().st_mtime_ns) == first
    assert run(*flags, "--rerun") == 0 and copied.stat().st_mtime_ns != first[1]
    copied.write_text("cut")
    assert run(*flags) == 0 and copied.read_text() != "cut"


def test_a_local_folder_stands_in_for_the_hub(repository, tmp_path, capsys):
    flags = ("--from_dir", repository, "--out", tmp_path / "points", "--dataset", "ssv2", "hmdb51")
    before = sorted(repository.rglob("*"))
    assert run(*flags, "--csv", tmp_path / "missing.csv") == 1
    with open(tmp_path / "missing.csv", newline="") as file:
        assert list(csv.reader(file)) == [["list", "split", "id"], ["ssv2_small", "val", "3"],
                                          ["ssv2_full", "train", "6"]]
    make_zip(repository / NAME / "ssv2_more.zip", [f"{NAME}/ssv2/feat_dump/3.pkl", "feat_dump/6.pkl"])
    assert run(*flags) == 0 and "ssv2.zip: 0 files unpacked, 4 were there before" in capsys.readouterr().out
    (repository / NAME / "ssv2_more.zip").unlink()
    assert sorted(repository.rglob("*")) == before


def test_a_downloaded_folder_is_unpacked_in_place(repository, capsys):
    assert run("--from_dir", repository, "--out", repository, "--dataset", "hmdb51") == 0
    assert (repository / NAME / "hmdb51/feat_dump/x.pkl").read_text() == "points of x"
    assert run("--from_dir", repository, "--out", repository, "--dataset", "hmdb51") == 0
    assert "All is there." in capsys.readouterr().out


def test_a_broken_archive_and_a_missing_list_do_not_end_the_run(repository, tmp_path, capsys):
    (repository / NAME / "hmdb51.zip").write_bytes(b"cut")
    assert run("--from_dir", repository, "--out", tmp_path / "points") == 1
    printed = capsys.readouterr()
    assert "hmdb51.zip cannot be unpacked" in printed.err and "kinetics100.csv" in printed.err
    assert ["hmdb51", "train", "1", "1", "x"] in table(printed.out) and len(table(printed.out)) == 7


def test_without_network_the_remedy_is_named(tmp_path, monkeypatch, capsys):
    def offline(*args, **options):
        raise huggingface_hub.errors.OfflineModeIsEnabled("no network")

    monkeypatch.setattr(huggingface_hub, "list_repo_files", offline)
    assert run("--out", tmp_path / "points") == 2
    assert "trokens_pt_data cannot be had from the Hugging Face hub: no network. Check the network, or give a folder " \
           "with its files, --from_dir." in capsys.readouterr().err
    assert not (tmp_path / "points").exists()


def test_what_is_not_there_at_all_is_an_error(repository, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    assert run("--from_dir", tmp_path / "empty", "--out", tmp_path / "points") == 2
    assert f"Nothing of {NAME} for finegym, hmdb51" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        run("--from_dir", repository, "--out", tmp_path, "--delete_zips")


def test_an_interruption_ends_in_one_line(repository, tmp_path, monkeypatch, capsys):
    def interrupted(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("trokens.points.archives.unpack", interrupted)
    assert run("--from_dir", repository, "--out", tmp_path / "points") == 130
    assert capsys.readouterr().err == "Interrupted. Finished files are kept: the same command goes on from here.\n"

"""The package as others get it: a wheel in a fresh environment, used in an empty folder; scripts/package.sh runs this.

The environment borrows the dependencies of the one that runs the tests, so that nothing is downloaded.
"""

import csv
import json
import os
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest
import tiny

import trokens
from trokens.cli import COMMANDS
from trokens.config import packaged

pytestmark = pytest.mark.wheel
ROOT = Path(__file__).resolve().parents[1]
NOT_COPIED = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", "build", "dist", "output", "outputs", "wandb")
TIMEOUT = 600  # seconds, of anything here
TEMPLATES = {path.name for path in (ROOT / "trokens/report/templates").iterdir()}
CONFIGS = {*packaged.config_names(), "base", *(f"sweeps/{name}" for name in packaged.sweep_names())}


def run(*command, home: Path | None = None, **options) -> subprocess.CompletedProcess:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    if home is not None:
        environment["XDG_CACHE_HOME"] = str(home)
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=TIMEOUT, check=False,
                          env={**environment, "OMP_NUM_THREADS": "1"}, **options)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done


def build(source: Path, folder: Path) -> Path:
    """The wheel of a copy of the project."""
    run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", source, "-w", folder)
    [wheel] = folder.glob("*.whl")
    return wheel


@pytest.fixture(scope="session")
def source(tmp_path_factory) -> Path:
    """A copy of the checkout: building leaves files behind."""
    return shutil.copytree(ROOT, tmp_path_factory.mktemp("source") / "trokens", ignore=NOT_COPIED)


@pytest.fixture(scope="session")
def wheel(source, tmp_path_factory) -> Path:
    return build(source, tmp_path_factory.mktemp("wheel"))


def fresh_environment(folder: Path, *arguments) -> Path:
    """The folder of programs of a new environment with what pip installs, given these arguments."""
    venv.create(folder)  # pip and setuptools are borrowed too
    python = folder / "bin/python"
    own = run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").stdout.strip()
    borrowed = [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]
    Path(own, "borrowed.pth").write_text("\n".join(borrowed))
    run(python, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-build-isolation",
        "--force-reinstall", *arguments)  # else an installed version that is borrowed would do
    return folder / "bin"


@pytest.fixture(scope="session")
def programs(wheel, tmp_path_factory) -> Path:
    return fresh_environment(tmp_path_factory.mktemp("environment"), wheel)


@pytest.fixture(scope="session")
def clips(tmp_path_factory) -> Path:
    return tiny.render(tmp_path_factory.mktemp("clips"))


def modules(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*.py")}


def test_the_wheel_holds_the_package_with_its_configs_and_nothing_else(wheel, source):
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert names == {"trokens/py.typed", "trokens/__init__.pyi", "trokens/report/published.csv"} | {
        f"trokens/{name}" for name in modules(source / "trokens")} | {
        f"trokens/configs/{name}.yaml" for name in CONFIGS} | {f"trokens/report/templates/{name}" for name in TEMPLATES}


def test_the_source_archive_gives_the_same_wheel(wheel, source, tmp_path):
    code = "import setuptools.build_meta as b, sys; b.build_sdist(sys.argv[1])"
    run(sys.executable, "-c", code, tmp_path, cwd=source)
    [archive] = tmp_path.glob("*.tar.gz")
    with tarfile.open(archive) as file:
        file.extractall(tmp_path / "unpacked", filter="data")
    [unpacked] = (tmp_path / "unpacked").iterdir()
    names = {path.relative_to(unpacked / "configs").with_suffix("").as_posix().removeprefix("trokens/")
             for path in unpacked.glob("configs/*/*.yaml")}
    assert names == CONFIGS
    again = build(unpacked, tmp_path / "wheel")
    contents = []
    for path in (wheel, again):
        with zipfile.ZipFile(path) as file:
            contents.append({name: file.read(name) for name in file.namelist() if not name.endswith("/RECORD")})
    assert contents[0] == contents[1]


def test_the_command_is_on_the_path_and_needs_no_checkout(programs, tmp_path):
    done = run(programs / "trokens", "--version", cwd=tmp_path)
    assert done.stdout == f"trokens {trokens.__version__}\n"
    where = run(programs / "python", "-c", "import trokens; print(trokens.__file__)", cwd=tmp_path).stdout
    assert where.startswith(str(programs.parent))
    for command in COMMANDS:
        assert run(programs / "trokens", command.name, "--help", cwd=tmp_path).stdout.startswith(
            f"usage: trokens {command.name} ")


def test_configs_are_found_by_name(programs, tmp_path):
    code = "import trokens; print([trokens.load_cfg(name).TRAIN.DATASET for name in ('hmdb', 'tats/ucf')])"
    assert run(programs / "python", "-c", code, cwd=tmp_path).stdout == "['HMDB51', 'UCF101']\n"


def test_an_editable_installation_reads_the_configs_of_the_checkout(source, tmp_path):
    source = shutil.copytree(source, tmp_path / "checkout")
    programs = fresh_environment(tmp_path / "environment", "-e", source)
    (source / "configs/trokens/mine.yaml").write_text("_BASE_: hmdb.yaml\nRNG_SEED: 7\n")
    code = "import trokens; print(trokens.__file__, trokens.load_cfg('mine').RNG_SEED)"
    assert run(programs / "python", "-c", code, cwd=tmp_path).stdout == f"{source}/trokens/__init__.py 7\n"
    assert run(programs / "trokens", "--version", cwd=tmp_path).stdout.startswith("trokens ")


def test_splits_and_training_work_in_an_empty_folder(programs, clips, tmp_path):
    done = run(programs / "trokens", "splits", clips / "train", "--out", "splits.csv", "--test", "3", cwd=tmp_path)
    assert "use it with DATA.SPLIT_CSV splits.csv." in done.stdout and (tmp_path / "splits.csv").is_file()
    options = tiny.arguments(clips, Path("out"), {**tiny.MOTION, "POINT_INFO.NUM_POINTS_TO_SAMPLE": 8})
    done = run(programs / "trokens", "train", "--cfg", "folder_untrained", *options, cwd=tmp_path)
    assert "3-way 1-shot accuracy" in done.stdout and not done.stderr
    assert json.loads((tmp_path / "out/results.json").read_text())["episodes"] == 30


def test_demo_and_predict_work_in_an_empty_folder(programs, tmp_path):
    done = run(programs / "trokens", "demo", cwd=tmp_path, home=tmp_path / "home")
    answers = tmp_path / "trokens_demo/answers"
    assert "8 of 8 clips answered; " in done.stdout and (answers / "index.html").stat().st_size > 10_000
    assert {row["error"] for row in rows_of(answers)} == {""}


def test_predict_tells_weizmanns_actions_from_one_example_each(programs, real_clips, tmp_path):
    for clip in sorted((real_clips / "weizmann").glob("*/*.mp4")):
        role = "examples" if clip.name == "s01_a.mp4" else "queries"
        (tmp_path / role / clip.parent.name).mkdir(parents=True, exist_ok=True)
        shutil.copy(clip, tmp_path / role / clip.parent.name)
    typed = ["--support", "examples", "--query", "queries", "--out", "answers", "--workers", "2"]
    done = run(programs / "trokens", "predict", *typed, cwd=tmp_path, home=tmp_path / "home")
    assert "32 of 32 clips answered; " in done.stdout
    rows = rows_of(tmp_path / "answers")
    assert [row["path"].split("/")[1] for row in rows] == [row["true_action"] for row in rows]
    assert sum(row["action"] == row["true_action"] for row in rows) >= 31
    assert (tmp_path / "answers/index.html").stat().st_size > 10_000


def rows_of(folder: Path) -> list[dict[str, str]]:
    with open(folder / "predictions.csv", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))

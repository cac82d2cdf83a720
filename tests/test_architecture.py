"""The import graph is a contract: a module imports only from layers below its own."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "trokens"
MODULES = sorted(PACKAGE.rglob("*.py"))
CODE = [p for top in ("trokens", "benchmarks", "tools", "point_tracking", "setup.py") for p in sorted(
    (ROOT / top).rglob("*.py") if (ROOT / top).is_dir() else [ROOT / top])]
LAYERS = [
    ["registry", "structures", "runtime", "config"],
    ["points", "trackers", "video"],
    ["clips", "moving_shapes", "models", "fewshot"],
    ["reuse", "extraction", "recognize"],
    ["engine", "report", "sweeps"],
    ["cli", "__main__"],
]


def layer_of(module: str) -> int:
    """Layer of a dotted module name below ``trokens``."""
    for level, names in enumerate(LAYERS):
        if any(module == name or module.startswith(name + ".") for name in names):
            return level
    raise AssertionError(f"{module} belongs to no layer: add it to LAYERS and to docs/ARCHITECTURE.md")


def imports_of(path: Path) -> set[str]:
    """Dotted names below ``trokens`` that a file imports, inside functions too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found |= {f"{node.module}.{a.name}" for a in node.names
                      if (ROOT / node.module.replace(".", "/") / f"{a.name}.py").is_file()}
    return {name.removeprefix("trokens.") for name in found if name.startswith("trokens.")}


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__")


@pytest.mark.parametrize("path", [p for p in MODULES if name_of(p) != "__init__"], ids=name_of)
def test_imports_point_down(path):
    own = name_of(path)
    package = own.split(".")[0]
    for name in imports_of(path):
        if name.split(".")[0] != package:
            assert layer_of(name) <= layer_of(own), f"{own} imports {name}, which lies above it"
            pair = {package, name.split(".")[0]}
            assert pair != {"clips", "models"}, f"{own} imports {name}"
            assert (package, name.split(".")[0]) != ("fewshot", "clips"), f"{own} imports {name}"


@pytest.mark.parametrize("path", CODE, ids=lambda p: str(p.relative_to(ROOT)))
def test_files_stay_small_and_documented(path):
    source = path.read_text()
    assert len(source.splitlines()) <= 300
    assert not source.strip() or ast.get_docstring(ast.parse(source))


def test_config_is_read_only_at_the_border():
    for path in MODULES:
        if path.relative_to(PACKAGE).parts[0] in ("config",):
            continue
        for function in ast.walk(ast.parse(path.read_text())):
            if not isinstance(function, ast.FunctionDef):
                continue
            takes_cfg = any(argument.arg == "cfg" for argument in function.args.args)
            if takes_cfg and path.relative_to(PACKAGE).parts[0] not in ("engine", "cli"):
                assert re.search(r"from_config|^build_|^matching_options$", function.name), \
                    f"{path}: {function.name} takes a cfg"


def test_no_module_seeds_or_picks_a_device_on_import():
    for path in MODULES:
        for node in ast.parse(path.read_text()).body:
            if not isinstance(node, ast.FunctionDef | ast.ClassDef):
                called = {n.func.attr for n in ast.walk(node)
                          if isinstance(n, ast.Call) and isinstance(n.func, ast.Attribute)}
                assert not called & {"manual_seed", "seed", "device", "set_num_threads"}, path


def test_the_page_lists_every_module():
    listed, text = set(), (ROOT / "docs/ARCHITECTURE.md").read_text().split("```\n")[1]
    for package, names in re.findall(r"^(?:L\d|  ) +(\w+)/\{(.+)\}$", text, re.MULTILINE):
        for folder, inner in re.findall(r"(\w+)/\{([^}]+)\}", names):
            listed |= {f"{package}.{folder}.{name}" for name in inner.split(", ")}
        listed |= {f"{package}.{name}" for name in re.sub(r"(, )?\w+/\{[^}]+\}", "", names).split(", ")}
    there = {name_of(path) for path in MODULES if path.name != "__init__.py" and path.parent != PACKAGE}
    assert listed == there

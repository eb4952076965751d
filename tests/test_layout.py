"""The rules of docs/explanation/design.md that no other tool holds."""

import ast
import importlib
import importlib.metadata
import itertools
import re
import runpy
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path, PurePosixPath

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("lamae", "shards", "pretrain", "finetune")
PROGRAMS = PACKAGES[1:]
MAP_HEADING = "## Map"
MAP_LINE = re.compile(r"(?P<indent> *)(?P<name>\S+)(  +(?P<description>\S.*))?")
FOLDER_LINE = re.compile(r"(\S+(?:\.py|\.j2|/)) {2,}\S")
VAGUE_NAMES = {"base", "common", "helper", "helpers", "misc", "util", "utils"}
LEFTOVER = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X|HA" + r"CK)\b")
MACHINE_PATH = re.compile(r"(?<![\w.}~$-])/(?:home|Users|root|tmp|work)/[\w.-]")
QUESTION = re.compile(r"\s*(What|Which|Where|Who|Whose|Whom|How|Whether|When|Why)\b")
CODE_SUFFIXES = {".py", ".sh", ".sbatch", ".yaml", ".yml", ".json", ".toml", ".j2"}


def _project_files() -> list[PurePosixPath]:
    """List what git tracks or would track, so that a new file is held before its commit."""
    command = ["git", "-c", "safe.directory=*", "ls-files", "-z", "-c", "-o", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    names = sorted(set(listed.split("\0")) - {""})
    return [PurePosixPath(name) for name in names if (ROOT / name).is_file()]


FILES = _project_files()
PYTHON_FILES = [path for path in FILES if path.suffix == ".py"]
MODULE_FILES = [path for path in PYTHON_FILES if path.parts[0] in PACKAGES]
CONFIGS = [path for path in FILES if path.parts[0] == "configs" and path.suffix == ".yaml"]
PROGRAM_CONFIGS = [path for path in CONFIGS if path.parts[1] in PROGRAMS]
ACCELERATE_CONFIGS = [path for path in CONFIGS if path.parts[1] == "accelerate"]


def _module_name(path: PurePosixPath) -> str:
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _text(path: PurePosixPath) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def _map_block() -> list[str]:
    _, heading, rest = _text(PurePosixPath("README.md")).partition(f"\n{MAP_HEADING}\n")
    assert heading, f"README.md has no section {MAP_HEADING!r}"
    block = rest.split("```")[1]
    return [line for line in block.splitlines()[1:] if line.strip()]


def _map_entries() -> list[str]:
    """Return the paths that the README's map names; folders end with a slash."""
    entries: list[str] = []
    folders: list[str] = []
    for line in _map_block():
        match = MAP_LINE.fullmatch(line)
        assert match, f"map line is not `path  description`: {line!r}"
        depth, odd = divmod(len(match["indent"]), 2)
        assert not odd and depth <= len(folders), f"map line is indented by no folder: {line!r}"
        assert match["description"], f"map line has no description: {line!r}"
        path = "".join(folders[:depth]) + match["name"]
        entries.append(path)
        folders = [*folders[:depth], match["name"]] if path.endswith("/") else folders[:depth]
    return entries


def _dependency_modules() -> set[str]:
    """Return the names under which the declared dependencies are imported."""
    project = tomllib.loads(_text(PurePosixPath("pyproject.toml")))["project"]
    extras = project["optional-dependencies"].values()
    declared = [*project["dependencies"], *(name for extra in extras for name in extra)]
    wanted = {re.split(r"[^\w-]", name)[0].lower().replace("_", "-") for name in declared}
    provided = importlib.metadata.packages_distributions()
    by_dependency = {
        module
        for module, distributions in provided.items()
        if wanted & {name.lower().replace("_", "-") for name in distributions}
    }
    return by_dependency | wanted


def _command_arguments(config: PurePosixPath) -> list[str]:
    """Return what the command in a config's first comment gives to the program."""
    lines = itertools.takewhile(lambda line: line.startswith("#"), _text(config).splitlines())
    comment = "\n".join(line.removeprefix("#") for line in lines).replace("\\\n", " ")
    program = f"{config.parts[1]}/main.py"
    _, found, rest = comment.partition(f"{program} ")
    assert found, f"{config}: the first comment holds no command of {program}"
    arguments = shlex.split(rest.splitlines()[0])
    assert str(config) in arguments, f"{config}: the command in its first comment is another's"
    return arguments


def _folder_entries(folder: PurePosixPath) -> set[str]:
    """Return the names at the start of the lines `name  description` of a folder's docstring."""
    docstring = ast.get_docstring(ast.parse(_text(folder / "__init__.py"))) or ""
    return {match[1] for line in docstring.splitlines() if (match := FOLDER_LINE.match(line))}


PACKAGE_FOLDERS = sorted({path.parent for path in MODULE_FILES})


def test_the_readme_maps_every_folder_of_two_levels() -> None:
    entries = _map_entries()
    assert len(entries) == len(set(entries)), "the map in README.md names a folder twice"
    folders = {f"{folder}/" for path in FILES for folder in path.parents if folder.name}
    wanted = {f for f in folders if f.split("/")[0] in PACKAGES and f.count("/") <= 2}
    wanted |= {f"{path.parts[0]}/" for path in FILES if len(path.parts) > 1} - {".ci/", ".github/"}
    named = {entry for entry in entries if entry.endswith("/")}
    assert named >= wanted, f"the map in README.md does not name {sorted(wanted - named)}"
    gone = [entry for entry in entries if entry not in folders | {str(path) for path in FILES}]
    assert not gone, f"the map in README.md names what is not there: {gone}"


@pytest.mark.parametrize("folder", PACKAGE_FOLDERS, ids=str)
def test_a_folder_names_its_files_in_its_docstring(folder: PurePosixPath) -> None:
    inside = [path for path in FILES if folder in path.parents and path.name != "__init__.py"]
    present = {
        path.name if path.parent == folder else f"{path.relative_to(folder).parts[0]}/"
        for path in inside
    }
    assert _folder_entries(folder) == present


@pytest.mark.parametrize("folder", PACKAGE_FOLDERS, ids=str)
def test_a_folder_holds_about_a_dozen_files(folder: PurePosixPath) -> None:
    inside = [path.name for path in MODULE_FILES if path.parent == folder]
    files = [name for name in inside if name != "__init__.py"]
    assert len(files) <= 15, f"{folder} has {len(files)} files: divide it by their reason to exist"


def test_no_python_file_is_too_long() -> None:
    budgets = {path: 200 if path.name == "main.py" else 300 for path in PYTHON_FILES}
    lengths = {path: len(_text(path).splitlines()) for path in PYTHON_FILES}
    long = {str(path): n for path, n in lengths.items() if n > budgets[path]}
    assert not long, f"lines, over 300 (main.py over 200): {long}"


def test_no_module_takes_the_name_of_a_dependency_or_says_nothing() -> None:
    taken = set(sys.stdlib_module_names) | _dependency_modules()
    assert {"torch", "yaml", "logging"} <= taken
    beside_a_main = {p for p in MODULE_FILES if p.parts[0] in PROGRAMS}
    names = {path.with_suffix("").parts[1] for path in beside_a_main} | set(PACKAGES)
    assert not names & taken, f"also names of other packages: {names & taken}"
    everywhere = {name.lower() for path in PYTHON_FILES for name in path.with_suffix("").parts}
    assert not everywhere & VAGUE_NAMES, f"say nothing: {everywhere & VAGUE_NAMES}"


def test_every_package_folder_has_an_init_file() -> None:
    folders = {path.parent for path in MODULE_FILES}
    bare = [str(folder) for folder in folders if folder / "__init__.py" not in MODULE_FILES]
    assert not bare, f"without __init__.py, so left out of an installation: {bare}"


def test_docstrings_name_a_thing_or_an_act_and_ask_nothing() -> None:
    found = [
        f"{path}:{node.lineno}: {text.splitlines()[0]}"
        for path in MODULE_FILES
        for node in ast.walk(ast.parse(_text(path)))
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if isinstance(text := node.value.value, str) and QUESTION.match(text)
    ]
    assert not found, "begin with a question word:\n" + "\n".join(found)


def test_only_an_entry_point_touches_the_module_search_path() -> None:
    found = [
        f"{path}:{node.lineno}"
        for path in PYTHON_FILES
        if path.name != "main.py"
        for node in ast.walk(ast.parse(_text(path)))
        if isinstance(node, ast.Attribute)
        and node.attr == "path"
        and isinstance(node.value, ast.Name)
        and node.value.id == "sys"
    ]
    assert not found, f"sys.path outside a main.py: {found}"


def test_nothing_is_left_for_later() -> None:
    code = [path for path in FILES if path.suffix in CODE_SUFFIXES or path.name == "Makefile"]
    found = {str(path): match[0] for path in code if (match := LEFTOVER.search(_text(path)))}
    assert not found, f"markers of unfinished work: {found}"


def test_no_file_holds_a_path_of_one_machine() -> None:
    texts = {path: (ROOT / path).read_bytes().decode(errors="ignore") for path in FILES}
    found = {str(path): match[0] for path, t in texts.items() if (match := MACHINE_PATH.search(t))}
    assert not found, f"paths that exist on one machine only: {found}"


def test_tests_are_flat_and_named_after_what_they_test() -> None:
    tests = [path for path in PYTHON_FILES if path.parts[0] == "tests"]
    assert all(len(path.parts) == 2 for path in tests), "a folder in tests/ can hide a package"
    own = ("test_layout", "test_readme", "test_end_to_end", "test_benchmarks", "test_slurm")
    known = ("__init__", "conftest", *own, *(f"test_{package}" for package in PACKAGES))
    odd = [path.name for path in tests if not path.stem.startswith(known)]
    assert not odd, f"not test_<package>_<module>.py: {odd}"


@pytest.mark.parametrize("path", MODULE_FILES, ids=str)
def test_module_imports(path: PurePosixPath) -> None:
    importlib.import_module(_module_name(path))


def test_modules_that_need_no_torch_do_not_load_it() -> None:
    linter = tomllib.loads(_text(PurePosixPath("pyproject.toml")))["tool"]["importlinter"]
    contracts = [c for c in linter["contracts"] if "torch" in c.get("forbidden_modules", ())]
    sources = [source for contract in contracts for source in contract["source_modules"]]
    modules = [
        name
        for name in map(_module_name, MODULE_FILES)
        if any(name == source or name.startswith(f"{source}.") for source in sources)
    ]
    assert len(modules) >= len(sources)
    program = (
        "import importlib, sys\n"
        "for name in sys.argv[1:]:\n"
        "    importlib.import_module(name)\n"
        "    if 'torch' in sys.modules: sys.exit(f'importing {name} loads torch')\n"
    )
    command = [sys.executable, "-c", program, *modules]
    outcome = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert outcome.returncode == 0, outcome.stderr


@pytest.mark.parametrize("config", PROGRAM_CONFIGS, ids=str)
def test_a_config_is_accepted_by_the_command_in_its_first_comment(
    config: PurePosixPath, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    program = f"{config.parts[1]}/main.py"
    monkeypatch.chdir(ROOT)
    monkeypatch.syspath_prepend(ROOT / config.parts[1])
    monkeypatch.setattr(sys, "argv", [program, *_command_arguments(config), "--print-config"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(ROOT / program), run_name="__main__")
    printed, problems = capsys.readouterr()
    assert ended.value.code == 0, problems
    assert set(yaml.safe_load(_text(config)) or {}) <= set(yaml.safe_load(printed))


@pytest.mark.parametrize("config", ACCELERATE_CONFIGS, ids=str)
def test_an_accelerate_config_names_its_command_and_is_known_to_accelerate(
    config: PurePosixPath,
) -> None:
    from accelerate.commands.config.config_args import load_config_from_file

    comment, _, _ = _text(config).partition("\n\n")
    assert comment.startswith("#") and f"--config_file {config}" in comment
    assert load_config_from_file(str(ROOT / config)).num_machines >= 1

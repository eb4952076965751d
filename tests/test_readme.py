"""README and docs/ against the project: links, lengths, commands, and the way that README shows."""

import csv
import importlib
import re
import runpy
import shlex
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from lamae.commands import find
from lamae.settings.schema import names_in
from lamae.storage.corpus import Corpus
from tests.test_lamae_pretrained_pretrained import save_csv, signal_mv

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
DOCS = ROOT / "docs"
PAGES = [README, ROOT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))]
OF_A_VERB = {*DOCS.glob("reference/*_*.md")}
"""Pages that the page of their program names."""
LINK = re.compile(r"\]\(([^)\s]+)\)")
PROGRAM = re.compile(r"(?:shards|pretrain|finetune)/main\.py")
PROGRAMS = ("shards", "pretrain", "finetune")
SETTING = re.compile(r"`'?([a-z][a-z_0-9.]*)=")
PAGE = re.compile(r"\bdocs/[\w/-]+\.md\b")
REFERRING = {".py", ".yaml", ".sh", ".sbatch", ".j2"}
SHORT = {"LAUNCH": "accelerate launch", "CONFIGS": "configs/finetune"}
"""What docs/results/reproduce.md abbreviates."""
TRAINED = {"steps": 2, "warmup_steps": 0, "batch_size": 8, "validate_every": 2}
"""Of the run that stands in for an hour of pretraining."""
QUICK = ("resamples=50", "l2_grid=[1.0, 0.01]", "baselines=[random]", "cpu_threads=1")
CLASSES = {"sinus": "NORM", "LBBB": "CD", "AF": "STTC"}


def _name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def _blocks(page: Path) -> list[str]:
    """Return the code of a page: blocks that are indented or fenced."""
    text = re.sub(r"^```\w*\n(.*?)^```$", _indented, page.read_text(), flags=re.M | re.S)
    return [
        re.sub(r"^ {4}", "", found, flags=re.M)
        for found in re.findall(r"(?:^ {4}.*\n)+", text, re.M)
    ]


def _indented(block: re.Match[str]) -> str:
    return "".join(f"    {line}\n" for line in block[1].splitlines())


def _commands(page: Path) -> list[list[str]]:
    """Return the arguments of every command of a program in a page, the program first."""
    found = []
    for block in _blocks(page):
        for line in block.replace("\\\n", " ").splitlines():
            for short, long in SHORT.items():
                line = re.sub(rf"\b{short}\b", long, line)
            if PROGRAM.search(line) and re.match(r"(\w+=\S+ )*(python|accelerate launch) ", line):
                words = shlex.split(line, comments=True)
                program = next(n for n, word in enumerate(words) if PROGRAM.fullmatch(word))
                found.append(words[program:])
    return found


COMMANDS = [(page, command) for page in PAGES for command in _commands(page)]


def _run(command: list[str], monkeypatch: pytest.MonkeyPatch) -> int:
    """Run a program in this process, as its command line does; return its exit status."""
    monkeypatch.syspath_prepend(ROOT / Path(command[0]).parent)
    monkeypatch.setattr(sys, "argv", command)
    try:
        runpy.run_path(str(ROOT / command[0]), run_name="__main__")
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0


def _anchors(page: Path) -> set[str]:
    """Return what headings can be linked by, as GitHub names them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), flags=re.M)
    plain = [re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings]
    return {heading.replace(" ", "-") for heading in plain}


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    for link in LINK.findall(page.read_text()):
        if re.match(r"https?://|mailto:", link):
            continue
        file, _, anchor = link.partition("#")
        target = (page.parent / file).resolve() if file else page
        assert target.exists(), f"{_name(page)} links to {link}, which is not there"
        assert target.is_relative_to(ROOT), f"{_name(page)} links out of the project: {link}"
        if anchor:
            assert anchor in _anchors(target), f"{_name(page)}: no heading for {link}"


def test_no_page_is_too_long_to_read_in_one_sitting() -> None:
    assert len(README.read_text().splitlines()) <= 140
    lengths = {_name(page): len(page.read_text().splitlines()) for page in PAGES}
    long = {name: lines for name, lines in lengths.items() if lines > 220}
    assert not long, f"more than 220 lines, to be divided by subject: {long}"


def test_the_index_of_the_documentation_names_every_page() -> None:
    index = DOCS / "README.md"
    linked = {(DOCS / link.partition("#")[0]).resolve() for link in LINK.findall(index.read_text())}
    pages = set(DOCS.rglob("*.md")) - {index} - OF_A_VERB
    assert pages <= linked, f"docs/README.md does not link to {sorted(pages - linked)}"


def test_every_picture_is_small_and_shown() -> None:
    shown = {
        (page.parent / link).resolve()
        for page in PAGES
        for link in LINK.findall(page.read_text())
        if "/images/" in f"/{link}"
    }
    pictures = set((DOCS / "images").iterdir())
    assert pictures == shown
    large = {path.name: path.stat().st_size for path in pictures if path.stat().st_size > 150_000}
    assert not large, f"bytes of pictures, over 150,000: {large}"


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_the_make_targets_and_paths_that_a_page_names_are_there(page: Path) -> None:
    text = page.read_text()
    code = "\n".join([*_blocks(page), *re.findall(r"`([^`\n]+)`", text)])
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.M))
    named = set(re.findall(r"\bmake ([a-z-]+)", code))
    assert named <= targets, f"{_name(page)}: no target {sorted(named - targets)} in the Makefile"
    places = r"\b(?:configs|slurm|benchmarks|tests|docs)/[\w./-]*\.(?:yaml|py|sh|sbatch|md|json)\b"
    gone = [path for path in re.findall(places, text) if not (ROOT / path).is_file()]
    assert not gone, f"{_name(page)} names files that are not there: {gone}"


def test_every_setting_that_a_page_names_is_one_of_a_program() -> None:
    programs = [importlib.import_module(f"{name}.main").PROGRAM for name in PROGRAMS]
    verbs = [verb for program in programs for verb in program.verbs.values()]
    known = {name for verb in verbs for name in names_in(find(verb.settings))} | {"key"}
    code = {(_name(page), key) for page in PAGES for key in re.findall(SETTING, page.read_text())}
    assert len(code) > 30
    unknown = sorted(f"{page}: {key}" for page, key in code if key not in known)
    assert not unknown, f"no such settings: {unknown}"


def test_every_page_that_code_and_configurations_refer_to_is_there() -> None:
    folders = ("lamae", "shards", "pretrain", "finetune", "configs", "slurm", "benchmarks", "tests")
    files = [file for folder in folders for file in (ROOT / folder).rglob("*") if file.is_file()]
    texts = {file: file.read_text() for file in files if file.suffix in REFERRING}
    named = {(file, page) for file, t in texts.items() for page in re.findall(PAGE, t)}
    assert len(named) > 10
    gone = sorted(f"{_name(file)}: {page}" for file, page in named if not (ROOT / page).is_file())
    assert not gone, f"pages that are not there: {gone}"


@pytest.mark.parametrize(
    ("page", "command"), COMMANDS, ids=[f"{_name(p)}: {' '.join(c[:3])}" for p, c in COMMANDS]
)
def test_a_command_of_the_documentation_is_understood(
    page: Path,
    command: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(ROOT)
    status = _run([*command, "--print-config"], monkeypatch)
    printed, problems = capsys.readouterr()
    assert status == 0, f"{_name(page)}: {' '.join(command)}: {problems}"
    assert isinstance(yaml.safe_load(printed), dict)


@pytest.fixture
def ptb_xl(simulated_shards: Path, tmp_path: Path) -> Path:
    """Lay out simulated recordings as PTB-XL is, with a plain table of labels."""
    folder = tmp_path / "ptb-xl"
    (folder / "records100").mkdir(parents=True)
    corpus = Corpus(simulated_shards)
    headers = {path.stem: path for path in (simulated_shards.parent / "recordings").rglob("*.hea")}
    rows = []
    for number, (row, key) in enumerate(enumerate(corpus.keys), start=1):
        source, name = headers[str(key)], f"{number:05d}_lr"
        target = folder / "records100" / name
        shutil.copy(source.with_suffix(".dat"), target.with_suffix(".dat"))
        target.with_suffix(".hea").write_text(source.read_text().replace(source.stem, name))
        (kind,) = corpus.labels("class")[row] or ()
        patient = str(corpus.patients[row])
        fold = 9 if int(patient) % 3 == 0 else 1 + int(patient) % 8
        rows.append([number, patient, fold, CLASSES[kind], f"records100/{name}"])
    with (folder / "labels.csv").open("w", newline="") as file:
        header = ["ecg_id", "patient_id", "strat_fold", "superclass", "filename"]
        csv.writer(file).writerows([header, *rows])
    return folder


@pytest.mark.slow
def test_the_commands_of_the_readme_lead_from_recordings_to_a_report(
    ptb_xl: Path,
    tiny_values: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(ptb_xl.parent)
    (ptb_xl.parent / "configs").symlink_to(ROOT / "configs")
    tiny = ptb_xl.parent / "tiny.yaml"
    tiny.write_text(yaml.safe_dump(tiny_values | TRAINED))
    more = {
        "shards/main.py": ["workers=1"],
        "pretrain/main.py": [str(tiny)],
        "finetune/main.py": ["run_dir=runs/probe", "absent_classes=leave_out", *QUICK],
    }
    commands = _commands(README)
    assert [command[0] for command in commands] == [
        "shards/main.py", "shards/main.py", "pretrain/main.py", "finetune/main.py",
    ]  # fmt: skip
    for command in commands:
        extra = [] if "describe" in command else more[command[0]]
        assert _run([*command, *extra], monkeypatch) == 0, capsys.readouterr()
    for left in ("shards/manifest.json", "runs/cpu/model/model.safetensors"):
        assert (ptb_xl.parent / left).is_file()
    assert "<svg" in (ptb_xl.parent / "runs" / "probe" / "report.html").read_text()


@pytest.mark.parametrize("page", [README, DOCS / "how-to" / "use-a-model.md"], ids=_name)
def test_the_python_of_a_page_runs_as_it_stands(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "recordings").mkdir()
    signal = signal_mv()
    save_csv(tmp_path / "recordings" / "00001_lr.hea", signal)  # content tells the format
    save_csv(tmp_path / "recordings" / "00002_lr.csv", signal)
    names: dict[str, Any] = {"signal": signal * 1000}
    for block in re.findall(r"^```python\n(.*?)^```$", page.read_text(), flags=re.M | re.S):
        exec(compile(block, str(page), "exec"), names)
    assert names["vectors"].shape == (2, 2088)
    assert {"probability", "called", "cautions"} <= set(names["table"].columns)
    if page != README:
        assert names["likeness"] == pytest.approx([1, 1])
        assert names["drawn"].shape == (1000, 1)
        one = names["one"]["probability"].tolist()
        assert one == pytest.approx(names["table"]["probability"][: len(one)].tolist(), abs=1e-5)


def test_the_first_command_of_the_front_page_answers_a_recording(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    save_csv(tmp_path / "recording.hea", signal_mv())  # content tells the format
    (line,) = re.findall(r"^    lamae (predict .*)$", README.read_text(), flags=re.M)
    assert _run(["finetune/main.py", *shlex.split(line)], monkeypatch) == 0
    assert {"NORM", "MI", "STTC", "CD", "HYP"} <= {*capsys.readouterr().out.split()}

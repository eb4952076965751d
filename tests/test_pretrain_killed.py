"""A run that is killed again and again ends as one that was not, to the last bit."""

import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from subprocess import PIPE, CompletedProcess, Popen
from typing import Any, Literal, NamedTuple

import pytest

from lamae.config import as_yaml
from lamae.runs.run_folder import OPTIMIZER, WEIGHTS, checkpoints, newest_intact, step_of
from lamae.runs.tracking import read_metrics
from lamae.storage.corpus import Corpus
from pretrain.settings import PretrainSettings
from tests.test_lamae_remote_cache import served

MakeSettings = Callable[..., PretrainSettings]
ROOT = Path(__file__).resolve().parents[1]
PROGRAM = ROOT / "pretrain" / "main.py"
DEADLINE_S = 240
STRETCH, SAVE_EVERY = 10, 5
MOMENTS: tuple[Literal["start", "step", "save"], ...] = (
    "start", "step", "step", "step", "save", "save",
)  # fmt: skip
STEPS = STRETCH * len(MOMENTS) + 3
AT_A_URL = " at a URL"
COMBINATIONS = [
    (0, 1, "corpus"), (2, 2, "corpus"), (0, 2, "blocks"), (2, 1, "mixture"),
    (0, 1, "corpus at a URL"), (2, 1, "blocks at a URL"), (2, 2, "blocks at a URL"),
    (0, 2, "mixture at a URL"),
]  # fmt: skip
"""Threads, micro-batches, and what is trained on: six kills each, 48 in all."""

FORKS = """
import contextlib, importlib, json, os, runpy, signal, sys, traceback

answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)  # what the program and its libraries print is no answer
import lamae.training.checkpoint_writing, pretrain.run

for late in ("torch._dynamo", "torch.utils.tensorboard", "pyarrow.pandas_compat", "deepspeed"):
    with contextlib.suppress(ImportError):
        importlib.import_module(late)

def wait_if(is_far_enough, call):
    def instead(*arguments):
        while is_far_enough(*arguments):
            signal.pause()
        return call(*arguments)
    return instead

def run(arguments, *, last_step, unfinished):
    os.setpgid(0, 0)
    signal.alarm(int(sys.argv[2]))
    loop, folders = pretrain.run, lamae.training.checkpoint_writing
    loop.train_step = wait_if(lambda training, _: training.step >= last_step, loop.train_step)
    folders.write_checksums = wait_if(
        lambda folder, _: folder.name.startswith(unfinished), folders.write_checksums
    )
    sys.argv = [sys.argv[1], *arguments]
    try:
        runpy.run_path(sys.argv[0], run_name="__main__")
    except SystemExit as ended:
        return ended.code
    except BaseException:
        traceback.print_exc()
        return 1
    return 0

for line in sys.stdin:
    pid = os.fork()
    if pid == 0:
        status = run(**json.loads(line))
        sys.stdout.flush()
        os._exit(status)
    os.setpgid(pid, pid)
    print(pid, file=answers, flush=True)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    print(status, file=answers, flush=True)
os._exit(0)
"""
"""Runs the program in forks of a process that has made its imports: 1 s each instead of 7 s.

What is to be killed waits for it at some point, so that the kill is never late: a checkpoint is
written by a thread, which waits while the steps go on."""


Combination = tuple[int, int, str]
MakeRun = Callable[[Path, Combination], Path]
Kinds = dict[str, dict[str, Any]]


class Kill(NamedTuple):
    """When a process is killed."""

    moment: Literal["start", "step", "save"]
    """While it starts, trains, or writes a checkpoint."""
    step: int
    """The step that has been logged, or whose checkpoint is being written."""
    late: int
    """Steps that are logged while that checkpoint is being written."""
    delay_s: float
    """Time from then to the kill, unless the process waits for it before."""


class Forks:
    """The program in processes of their own, one at a time."""

    def __init__(self, parent: "Popen[str]", log: Path) -> None:
        assert parent.stdin and parent.stdout
        self._orders, self._answers, self._log = parent.stdin, parent.stdout, log

    def run(self, *arguments: str) -> None:
        """Run it to its end."""
        self._start(arguments, last_step=STEPS, unfinished="none")
        assert self._status() == 0, self._log.read_text()[-4000:]

    def kill(self, kill: Kill, run_dir: Path, *arguments: str) -> None:
        """Run it in a process group that is killed."""
        attempt = len(_names(run_dir / "attempts")) + 1
        pid = self._start(
            arguments,
            last_step={"start": 0, "step": kill.step + 1, "save": kill.step + kill.late}[
                kill.moment
            ],
            unfinished=f"step-{kill.step:08d}" if kill.moment == "save" else "none",
        )
        try:
            deadline_s = time.monotonic() + DEADLINE_S
            while not _is_due(kill, run_dir, attempt):
                os.kill(pid, 0)  # it is there
                assert time.monotonic() < deadline_s
                time.sleep(0.001)
            time.sleep(kill.delay_s)
        finally:
            os.killpg(pid, signal.SIGKILL)
        assert self._status() == -signal.SIGKILL, self._log.read_text()[-4000:]

    def _start(self, arguments: tuple[str, ...], *, last_step: int, unfinished: str) -> int:
        order = {"arguments": arguments, "last_step": last_step, "unfinished": unfinished}
        self._orders.write(json.dumps(order) + "\n")
        self._orders.flush()
        return int(self._answers.readline())

    def _status(self) -> int:
        return int(self._answers.readline())


@pytest.fixture(scope="module")
def forks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forks]:
    log = tmp_path_factory.mktemp("forks") / "log"
    environment = {"OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", FORKS, str(PROGRAM), str(DEADLINE_S)]
    with (
        log.open("w") as file,
        Popen(
            command, env=os.environ | environment, stdin=PIPE, stdout=PIPE, stderr=file, text=True
        ) as parent,
    ):
        yield Forks(parent, log)


def _is_due(kill: Kill, run_dir: Path, attempt: int) -> bool:
    """Tell from what the program writes, as anyone else would."""
    if kill.moment == "start":
        return f"{attempt:04d}" in _names(run_dir / "attempts")
    if kill.moment == "save":
        return _is_partial(run_dir, kill.step) and _logged(run_dir) >= kill.step + kill.late
    return _logged(run_dir) >= kill.step


def _is_partial(run_dir: Path, step: int) -> bool:
    names = _names(run_dir / "checkpoints")
    return any(n.startswith(f"step-{step:08d}") and n.endswith(".partial") for n in names)


def _logged(run_dir: Path) -> int:
    return max((int(row["step"]) for row in read_metrics(run_dir)), default=0)


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


def _plan(draw: random.Random) -> Iterator[Kill]:
    """Yield kills, each in another stretch of the run and none after its last step."""
    moments = draw.sample(MOMENTS, len(MOMENTS))
    for first, moment in zip(range(0, STEPS, STRETCH), moments, strict=False):
        longest_s = {"start": 0.3, "step": 0.03, "save": 0.006}[moment]
        late = draw.choice((0, SAVE_EVERY - 1)) if moment == "save" else 0
        saved = (first + SAVE_EVERY,) if late else (first + SAVE_EVERY, first + STRETCH)
        step = draw.choice(saved) if moment == "save" else first + draw.randint(1, STRETCH - 2)
        yield Kill(moment, step, late, draw.uniform(0, longest_s))


def _kinds(first: Path | str, second: Path | str) -> Kinds:
    """Return the settings of data of each kind of run, over corpora at these places."""
    blocks = {"data": second, "order": "blocks", "block_shards": 2}
    several = [{"data": first, "name": "other"}, {"data": second, "weight": 3, "name": "more"}]
    return {
        "corpus": {"data": first},
        "blocks": blocks,
        "mixture": blocks | {"data": several, "crop": "random"},
    }


@pytest.fixture
def make_run(
    make_settings: MakeSettings, corpus: Corpus, other_corpus: Corpus, tmp_path: Path
) -> Iterator[MakeRun]:
    """Return a function that writes the settings of a run, over folders or their URLs."""
    kinds = _kinds(corpus.folder, other_corpus.folder)
    with served(corpus.folder) as first, served(other_corpus.folder) as second:
        for kind, changes in _kinds(first.url, second.url).items():
            kinds[f"{kind}{AT_A_URL}"] = changes | {"cache": tmp_path / "cache"}
        yield partial(_make_run, make_settings, kinds)


def _make_run(make: MakeSettings, kinds: Kinds, run_dir: Path, combination: Combination) -> Path:
    workers, accumulation, kind = combination
    settings = make(
        **kinds[kind],
        run_dir=run_dir,
        data_workers=workers,
        accumulation=accumulation,
        steps=STEPS,
        checkpoint_every=SAVE_EVERY,
        validate_every=STRETCH - 1,
    )
    config = run_dir.with_suffix(".yaml")
    config.write_text(as_yaml(settings))
    return config


def _outcome(run_dir: Path) -> dict[str, object]:
    """Return all that a run leaves and that does not depend on the machine's speed."""
    newest = checkpoints(run_dir)[-1]
    files = (newest / WEIGHTS, newest / OPTIMIZER, run_dir / "model" / WEIGHTS)
    machine = ("time/", "memory/")
    rows = read_metrics(run_dir)
    return {
        "checkpoints": _names(run_dir / "checkpoints"),
        "log": [{k: v for k, v in row.items() if not k.startswith(machine)} for row in rows],
        **{str(path.relative_to(run_dir)): path.read_bytes() for path in files},
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    "combination", COMBINATIONS, ids="{0[2]}_workers_{0[0]}_parts_{0[1]}".format
)
def test_a_run_that_is_killed_six_times_ends_as_one_that_was_not(
    forks: Forks,
    make_run: MakeRun,
    tmp_path: Path,
    combination: Combination,
) -> None:
    whole, run_dir = tmp_path / "whole", tmp_path / "killed"
    workers, accumulation, kind = combination
    forks.run(str(make_run(whole, (workers, accumulation, kind.removesuffix(AT_A_URL)))))
    config = str(make_run(run_dir, combination))
    lost = []
    for kill in _plan(random.Random(str(combination))):
        forks.kill(kill, run_dir, config, "resume=true")
        newest = newest_intact(run_dir)
        lost.append(_logged(run_dir) - (step_of(newest) if newest else 0))
        assert _logged(run_dir) < STEPS and not (run_dir / "model").exists()
        if kill.moment == "save":
            assert _is_partial(run_dir, kill.step) and lost[-1] == SAVE_EVERY + kill.late
    forks.run(config, "resume=true")
    sys.stdout.write(f"steps lost by each kill: {lost}\n")
    assert len(_names(run_dir / "attempts")) == len(MOMENTS) + 1
    assert all(0 <= steps <= 2 * SAVE_EVERY for steps in lost) and sum(lost) > 2 * SAVE_EVERY
    expected, found = _outcome(whole), _outcome(run_dir)
    assert {name for name in expected if found[name] != expected[name]} == set()
    trained = [row["step"] for row in read_metrics(run_dir) if "train/loss" in row]
    assert trained == list(range(1, STEPS + 1))


@pytest.mark.slow
def test_a_fork_trains_as_the_command_of_a_user_does(
    forks: Forks,
    make_run: MakeRun,
    launch: Callable[..., CompletedProcess[str]],
    tmp_path: Path,
) -> None:
    """So what holds for forks holds for the program."""
    forked, started = tmp_path / "forked", tmp_path / "started"
    forks.run(str(make_run(forked, (2, 2, "corpus"))))
    done = launch("pretrain/main.py", str(make_run(started, (2, 2, "corpus"))))
    assert done.returncode == 0, done.stderr
    assert _outcome(forked) == _outcome(started)

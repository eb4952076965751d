"""A task that cannot be learnt or scored is refused by name, before a recording is read."""

from typing import Any

import numpy as np
import pytest
from accelerate import Accelerator

from finetune.data.tasks import LabelledRows, Task
from finetune.data.usable import check_leads, check_task, usable_task
from lamae.batches.dataset import Split
from lamae.ecg.preprocess import Preprocessor
from lamae.errors import InputError
from lamae.storage.corpus import Corpus

PREPROCESSOR = Preprocessor(sampling_rate=50, duration_s=5, band_hz=None)


def part(labels: list[list[int]]) -> LabelledRows:
    matrix = np.array(labels, dtype=bool)
    rows = np.arange(len(matrix))
    return LabelledRows(rows, matrix, [f"p{row}" for row in rows], 0, 0)


BOTH = [[1, 0], [0, 1], [0, 0]]


@pytest.mark.parametrize(
    ("train", "evaluation", "problem"),
    [
        ([[1, 0], [0, 0]], BOTH, "train split: CD in all of its 2 recordings or in none"),
        (BOTH, [[1, 1], [0, 1]], "evaluation split: CD in all of its 2 recordings or in none"),
        (BOTH, [[1, 1]], "evaluation split: recordings that tell no class apart"),
    ],
)
def test_a_class_absent_from_a_split_is_named(
    train: list[list[int]], evaluation: list[list[int]], problem: str
) -> None:
    with pytest.raises(InputError, match=problem):
        check_task(Task(("MI", "CD"), part(train), part(evaluation)), leave_out_absent=False)


def test_a_class_absent_from_evaluation_may_be_left_out_but_one_must_remain() -> None:
    task = Task(("MI", "CD"), part(BOTH), part([[1, 1], [0, 1]]))
    check_task(task, leave_out_absent=True)
    with pytest.raises(InputError, match="tell no class apart"):
        check_task(task._replace(evaluation=part([[1, 1]])), leave_out_absent=True)
    with pytest.raises(InputError, match="train split"):
        check_task(task._replace(train=part([[1, 0], [0, 0]])), leave_out_absent=True)


def test_one_class_only_is_refused_and_one_with_its_opposite_is_not() -> None:
    check_task(Task(("MI",), part([[1], [0]]), part([[1], [0]])), leave_out_absent=False)
    with pytest.raises(InputError, match="train split: recordings of one class only"):
        check_task(Task(("MI",), part([[1], [1]]), part([[1], [0]])), leave_out_absent=False)


def whole_task(corpus: Corpus) -> Task:
    train, evaluation = (
        part([[0, 1]] * len(corpus.rows(split)))._replace(rows=corpus.rows(split))
        for split in ("train", "val")
    )
    return Task(("MI", "CD"), train, evaluation)


def test_recordings_of_three_leads_where_eight_are_needed_are_refused_by_the_index(
    corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    leads = PREPROCESSOR.model_copy(update={"leads": ("I", "II", *(f"V{n}" for n in range(1, 7)))})

    def present(self: Split, positions: np.ndarray) -> np.ndarray:
        return np.tile(np.array([True, True] + [False] * 6), (len(positions), 1))

    task = whole_task(corpus)
    options: dict[str, Any] = {"max_unusable": 0.01}
    check_leads(corpus, leads, task, min_leads=8, **options)
    monkeypatch.setattr(Split, "present", present)
    with pytest.raises(InputError, match=r"recordings lack leads, e.g. \S+ has I, II; expected"):
        check_leads(corpus, leads, task, min_leads=8, **options)
    check_leads(corpus, leads, task, min_leads=2, **options)


def test_every_recording_is_read_once_and_the_damaged_are_left_out(
    corpus: Corpus, accelerator: Accelerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    task, read = whole_task(corpus), Corpus.record
    damaged = [int(task.train.rows[3]), int(task.evaluation.rows[0])]
    seen: list[int] = []

    def record(self: Corpus, row: int) -> Any:
        seen.append(row)
        if row in damaged:
            raise InputError("sample", value="damaged", expected="whole", remedy="Copy it again.")
        return read(self, row)

    monkeypatch.setattr(Corpus, "record", record)
    options: dict[str, Any] = {"accelerator": accelerator, "min_leads": 12}
    found = usable_task(corpus, PREPROCESSOR, task, max_unusable=0.1, **options)
    assert sorted(seen) == sorted([*task.train.rows, *task.evaluation.rows])
    keys = corpus.keys[damaged].tolist()
    expected = {"train": {"damaged": keys[:1]}, "evaluation": {"damaged": keys[1:]}}
    assert found.unusable == expected
    assert found.task.train.rows.tolist() == np.delete(task.train.rows, 3).tolist()
    with pytest.raises(InputError, match=r"1 of \d+ recordings unusable"):
        usable_task(corpus, PREPROCESSOR, task, max_unusable=0.0, **options)

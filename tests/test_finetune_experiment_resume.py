"""Saved progress of a run: whole, of this very run, or not at all."""

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import Accelerator

from finetune.data.tasks import make_task
from finetune.experiment.candidates import make_candidates
from finetune.experiment.resume import SavedProgress, about_run, digest_recordings
from finetune.settings import FinetuneSettings
from lamae.errors import InputError
from lamae.storage.corpus import Corpus

MakeProbe = Callable[..., FinetuneSettings]
ABOUT = {"settings": {"seed": 0, "training": {"lr": 0.001}}, "shards": "abc"}


@pytest.fixture
def progress(tmp_path: Path, accelerator: Accelerator) -> SavedProgress:
    """Return one that keeps nothing yet."""
    return SavedProgress(tmp_path / "kept", ABOUT, accelerator=accelerator)


def tensors(seed: int) -> dict[str, torch.Tensor]:
    drawn = np.random.default_rng(seed).normal(size=(3, 4))
    called = torch.from_numpy(drawn > 0)
    return {"p": torch.from_numpy(drawn), "called": called.T, "any": called.any(), "n": called[:0]}


def test_what_was_kept_comes_back_to_the_bit(progress: SavedProgress) -> None:
    assert progress.begin(overwrite=False) == 0
    assert progress.load("first") is None
    state = {"loss": 0.1 + 0.2, "models": ["b", "a"]}
    progress.save("first", tensors(0), state)
    assert progress.begin(overwrite=False) == 1
    found = progress.load("second", "first")
    assert found is not None
    assert {key: found.state[key] for key in state} == state
    assert found.tensors.keys() == tensors(0).keys()
    for name, value in tensors(0).items():
        assert found.tensors[name].dtype == value.dtype
        assert torch.equal(found.tensors[name], value)


def test_a_piece_that_replaces_another_leaves_itself_alone(
    progress: SavedProgress, tmp_path: Path
) -> None:
    progress.save("one", tensors(1), {})
    progress.save("two", tensors(2), {}, replaces="one")
    assert [path.name for path in (tmp_path / "kept").iterdir()] == ["two"]
    progress.remove()
    assert not (tmp_path / "kept").exists()


@pytest.mark.parametrize(
    ("about", "problem"),
    [
        (
            ABOUT | {"settings": {"seed": 0, "training": {"lr": 0.01}}},
            r"kept, settings.training.lr: kept by a run with 0.001; expected 0.01, as in this run. "
            r".*overwrite=true to start anew, or another run_dir=",
        ),
        (ABOUT | {"shards": "abd"}, "kept, shards: kept by a run with abc; expected abd"),
        (ABOUT | {"folds": "0"}, "kept, folds: kept by a run with None; expected 0"),
    ],
)
def test_what_another_run_has_kept_is_refused_until_it_is_to_be_replaced(
    about: dict[str, object],
    problem: str,
    progress: SavedProgress,
    accelerator: Accelerator,
    tmp_path: Path,
) -> None:
    progress.save("first", tensors(0), {})
    other = SavedProgress(tmp_path / "kept", about, accelerator=accelerator)
    for ask in (lambda: other.begin(overwrite=False), lambda: other.load("first")):
        with pytest.raises(InputError, match=problem):
            ask()
    assert progress.begin(overwrite=False) == 1, "a refusal removes nothing"
    assert other.begin(overwrite=True) == 0
    assert progress.load("first") is None


def test_what_becomes_known_later_is_compared_then(progress: SavedProgress) -> None:
    progress.knowing(recordings="ab").save("first", tensors(0), {})
    assert progress.begin(overwrite=False) == 1
    assert progress.knowing(recordings="ab").load("first") is not None
    with pytest.raises(InputError, match="kept, recordings: kept by a run with ab; expected ac"):
        progress.knowing(recordings="ac").load("first")


@pytest.mark.parametrize("name", ["tensors.safetensors", "state.json", "files.json"])
def test_a_damaged_piece_is_named_and_passed_over(
    name: str, progress: SavedProgress, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for number in (1, 2):
        progress.save(str(number), tensors(number), {"number": number})
    path = tmp_path / "kept" / "2" / name
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)
    assert progress.begin(overwrite=False) == 1
    with caplog.at_level(logging.WARNING):
        found = progress.load("2", "1")
    assert found is not None and found.state["number"] == 1
    assert f"{tmp_path / 'kept' / '2'} is damaged: file {name}" in caplog.text
    progress.save("2", tensors(2), {"number": 2})
    again = progress.load("2", "1")
    assert again is not None and again.state["number"] == 2


def test_a_half_written_piece_is_none(
    progress: SavedProgress, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("lamae.model.model_folder.write_checksums", fail)
        with pytest.raises(KeyboardInterrupt):
            progress.save("first", tensors(0), {})
    assert progress.begin(overwrite=False) == 0
    assert progress.load("first") is None
    assert list((tmp_path / "kept").iterdir()) == []
    progress.save("first", tensors(0), {})
    (tmp_path / "kept" / "first").rename(tmp_path / "kept" / "first.partial")
    assert progress.begin(overwrite=False) == 0, "killed before it took its name"


def test_a_piece_of_before_a_setting_was_renamed_is_resumed(
    tmp_path: Path, accelerator: Accelerator
) -> None:
    kept = []
    for key, value in (("part_size", 4), ("micro_batch_size", 4), ("micro_batch_size", 8)):
        about = {"settings": {"training": {key: value}}}
        kept.append(SavedProgress(tmp_path / "kept", about, accelerator=accelerator))
    before, now, other = kept
    before.save("first", tensors(0), {})
    assert now.begin(overwrite=False) == 1
    with pytest.raises(InputError, match="micro_batch_size"):
        other.begin(overwrite=False)


@pytest.mark.parametrize(
    ("changes", "is_same"),
    [
        ({"run_dir": "elsewhere", "cache": "c", "overwrite": True, "cpu_threads": 7}, True),
        ({"data_workers": 0, "resamples": 9, "examples": 0, "lead_masking": True}, True),
        ({"seed": 1}, False),
        ({"l2_grid": (1.0, 0.1)}, False),
        ({"training": {"patience": 4}}, False),
        ({"batch_size": 64}, False),
        ({"min_leads": 3}, False),
    ],
)
def test_a_run_depends_on_the_settings_that_change_a_score(
    changes: dict[str, object], is_same: bool, make_probe: MakeProbe, corpus: Corpus
) -> None:
    def about(settings: FinetuneSettings) -> dict[str, object]:
        return about_run(settings, corpus, make_candidates(settings, ("AF", "LBBB", "sinus")))

    assert (about(make_probe(**changes)) == about(make_probe())) == is_same


def test_a_run_depends_on_the_weights_of_its_encoder_wherever_they_lie(
    make_probe: MakeProbe, corpus: Corpus
) -> None:
    settings = make_probe()
    one, two, three = (make_candidates(settings, ("AF", "LBBB", "sinus")) for _ in range(3))
    moved = settings.model_copy(update={"encoder": Path("moved")})
    encoder = three.by_name["pretrained"].encoder
    assert encoder is not None
    with torch.no_grad():
        next(iter(encoder.parameters())).flatten()[0] += 1e-6
    first, same, other = (
        about_run(given, corpus, candidates)
        for given, candidates in ((settings, one), (moved, two), (settings, three))
    )
    assert first == same
    assert {key for key in first if first[key] != other[key]} == {"encoder"}


def test_a_run_depends_on_the_preprocessor_that_it_takes_from_an_encoder_that_it_does_not_train(
    make_probe: MakeProbe, corpus: Corpus
) -> None:
    settings = make_probe(mode="lasan")
    candidates = make_candidates(settings, ("AF", "LBBB", "sinus"))
    preprocess = candidates.preprocess.model_copy(update={"sampling_rate": 250})
    first, other = (
        about_run(settings, corpus, own)
        for own in (candidates, candidates._replace(preprocess=preprocess))
    )
    assert {key for key in first if first[key] != other[key]} == {"preprocess"}


def test_a_run_depends_on_each_label_patient_and_key(make_probe: MakeProbe, corpus: Corpus) -> None:
    task = make_task(corpus, make_probe())
    part = task.train
    labels = part.labels.copy()
    labels[0] = np.roll(labels[0], 1)
    others = [
        part._replace(labels=labels),
        part._replace(patients=["nobody", *part.patients[1:]]),
        part._replace(rows=np.roll(part.rows, 1)),
        part.only(part.rows[1:]),
    ]
    found = [digest_recordings(corpus, task.classes, own) for own in (part, part, *others)]
    assert found[0] == found[1]
    assert len(set(found)) == 1 + len(others)
    assert digest_recordings(corpus, task.classes[::-1], part) != found[0]

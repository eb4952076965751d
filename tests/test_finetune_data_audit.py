"""The audit of leakage: findings, and overlaps that it lets pass."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from finetune.data.audit import audit_leakage, audit_other_shards, check_copies
from finetune.data.settings import AuditSettings
from finetune.settings import FinetuneSettings
from lamae.ecg.record import Record
from lamae.errors import InputError
from lamae.runs.run_folder import STATE
from lamae.storage.corpus import FORMAT, INDEX, MANIFEST, Corpus, write_index
from lamae.storage.samples import Sample, metadata

Row = tuple[str, str, int, str]
"""Split, patient, first number of the samples, and origin of a recording."""

OWN: list[Row] = [("train", "a", 1, ""), ("val", "b", 2, "set/2"), ("val", "c", 3, "")]


def make_corpus(folder: Path, rows: list[Row], kind: str = "folder") -> Corpus:
    """Write a corpus of which only the index matters."""
    folder.mkdir()
    place = {"shard": "a.tar", "offset": 0, "bytes": 8, "crc32": 0}
    described = []
    for number, (split, patient, first, origin) in enumerate(rows):
        digital = np.full((1, 4), first, dtype=np.int16)
        record = Record("r", digital, ("I",), 100, (1.0,), (0,))
        sample = Sample(f"k{number}", record, patient, split, labels={"x": ("A",)}, origin=origin)
        described.append({**metadata(sample, "npy"), **place})
    write_index(folder / INDEX, described)
    manifest = {"format": FORMAT, "shards": [], "config": {"source_kind": kind}}
    (folder / MANIFEST).write_text(json.dumps(manifest))
    return Corpus(folder)


def audit(corpus: Corpus, **values: Any) -> dict[str, Any]:
    values = {"encoder": corpus.folder, "data": corpus.folder, **values}
    settings = FinetuneSettings.model_validate(values)
    return audit_leakage(
        corpus,
        corpus.rows("train"),
        corpus.rows("val"),
        settings,
        encoder=settings.encoder,
        split="val",
    )


def test_without_a_run_pretraining_is_called_not_audited(tmp_path: Path) -> None:
    found = audit(make_corpus(tmp_path / "own", OWN))
    assert found["training"] == {"patients": 0, "recordings": 0, "example": ""}
    assert "nothing tells on which shards" in found["pretraining"]["not_audited"]
    assert any("not audited" in sentence for sentence in found["sentences"])
    without = audit(make_corpus(tmp_path / "other", OWN), mode="lasan", encoder=None)
    assert "pretraining" not in without


@pytest.mark.parametrize("again", [("train", "z", 2, ""), ("train", "z", 9, "set/2")])
def test_a_recording_known_by_samples_or_by_origin_is_leakage(tmp_path: Path, again: Row) -> None:
    own = make_corpus(tmp_path / "own", [*OWN, again])
    with pytest.raises(InputError, match=r"leakage from training .*1 recordings in both.* k1;"):
        audit(own)
    found = audit(own, allow_overlap=["training_recordings"])
    assert found["training"]["recordings"] == 1

    clean = make_corpus(tmp_path / "clean", OWN)
    seen = make_corpus(tmp_path / "seen", [again])
    with pytest.raises(InputError, match=r"leakage from pretraining .*1 recordings"):
        audit(clean, pretraining_data=[seen.folder])
    allowed = audit(clean, pretraining_data=[seen.folder], allow_overlap=["pretraining_recordings"])
    assert allowed["pretraining"]["data"] == [str(seen.folder)]


def test_pretraining_on_the_training_recordings_is_no_leakage(tmp_path: Path) -> None:
    own = make_corpus(tmp_path / "own", OWN)
    assert audit(own, pretraining_data=[own.folder])["pretraining"]["patients"] == 0


def test_ids_are_compared_between_sources_of_one_kind_alone(tmp_path: Path) -> None:
    own = make_corpus(tmp_path / "own", OWN)
    same = make_corpus(tmp_path / "same", [("train", "b", 8, "")])
    with pytest.raises(InputError, match="1 patients in both"):
        audit(own, pretraining_data=[same.folder])
    other = make_corpus(tmp_path / "other", [("train", "b", 8, "")], kind="ptbxl")
    assert audit(own, pretraining_data=[other.folder])["pretraining"]["patients"] is None


def test_the_run_of_an_encoder_names_its_shards_and_knows_if_they_changed(
    pretrained_run: Path, corpus: Corpus, tmp_path: Path
) -> None:
    for folder in (pretrained_run, pretrained_run / "model"):
        found = audit(corpus, encoder=folder)["pretraining"]
        assert (found["patients"], found["recordings"]) == (0, 0)
        assert found["data"] == [str(corpus.folder)]
    run = tmp_path / "run"
    shutil.copytree(pretrained_run, run)
    (state,) = sorted(run.glob("checkpoints/*/state.json"))[-1:]
    content = json.loads(state.read_text())
    state.write_text(json.dumps(content | {"corpus": "another"}))
    assert "changed since" in audit(corpus, encoder=run)["pretraining"]["not_audited"]


def test_copies_in_two_folds_are_refused(tmp_path: Path) -> None:
    own = make_corpus(tmp_path / "own", [("train", "a", 1, ""), ("train", "b", 1, "")])
    check_copies(own, np.arange(2), np.array([1, 1]))
    with pytest.raises(InputError, match="the same recording in two, as k0 and as k1"):
        check_copies(own, np.arange(2), np.array([0, 1]))


def audit_elsewhere(corpus: Corpus, learnt_from: Path, **values: Any) -> dict[str, Any]:
    given: dict[str, Any] = {
        "learnt_split": "train",
        "digest": None,
        "encoder": None,
        "split": "val",
        **values,
    }
    return audit_other_shards(
        corpus, corpus.rows("val"), AuditSettings(), learnt_from=learnt_from, **given
    )


def test_a_model_of_other_shards_is_audited_against_the_split_that_it_has_learnt(
    tmp_path: Path,
) -> None:
    own = make_corpus(tmp_path / "own", OWN, kind="ptbxl")
    other = make_corpus(tmp_path / "other", [("train", "b", 8, ""), ("test", "x", 3, "")], "mimic")
    found = audit_elsewhere(own, other.folder)
    assert found["training"]["recordings"] == 0
    assert found["training"]["patients"] is None  # of another kind
    with pytest.raises(InputError, match=r"leakage from training .*1 recordings in both.* k2;"):
        audit_elsewhere(own, other.folder, learnt_split="test")
    same_kind = make_corpus(tmp_path / "same", [("train", "b", 8, "")], "ptbxl")
    with pytest.raises(InputError, match=r"leakage from training .*1 patients in both"):
        audit_elsewhere(own, same_kind.folder)


def test_shards_that_a_model_has_learnt_and_that_are_gone_or_others_are_told(
    tmp_path: Path,
) -> None:
    own, other = (make_corpus(tmp_path / name, OWN[:2]) for name in ("own", "other"))
    for folder, digest in ((tmp_path / "gone", None), (other.folder, "before")):
        found = audit_elsewhere(own, folder, digest=digest)
        assert "not_audited" in found["training"]
        assert "not audited" in " ".join(found["sentences"])


def test_the_run_of_an_encoder_names_all_corpora_of_a_mixture(
    pretrained_run: Path, corpus: Corpus, other_corpus: Corpus, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(pretrained_run, run)
    path = run / "checkpoints" / "step-00000008" / STATE
    state = json.loads(path.read_text())
    shares = [{"data": str(c.folder), "weight": 0.5, "name": None} for c in (corpus, other_corpus)]
    state["settings"]["data"] = shares
    for second, remark in ((other_corpus.digest, ""), ("0" * 64, "changed since")):
        state["corpus"] = f"0.5 x {corpus.digest}, 0.5 x {second}"
        path.write_text(json.dumps(state))
        settings = AuditSettings(allow_overlap=("pretraining_patients", "pretraining_recordings"))
        rows = other_corpus.rows("train")
        found = audit_leakage(
            other_corpus, rows[:0], rows, settings, encoder=run / "model", split="train"
        )["pretraining"]
        if remark:
            assert f"{other_corpus.folder}: {remark}" in found["not_audited"]
        else:
            assert found["recordings"] == len(rows)
            assert found["data"] == [str(corpus.folder), str(other_corpus.folder)]

"""Protocols on small shards with folds: what is scored, what is not served, why numbers differ."""

import csv
import io
import json
import shutil
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from accelerate import Accelerator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import StandardScaler

from finetune.main import main
from finetune.protocols.published import PROTOCOLS, Rules
from finetune.protocols.scores import ProtocolScorer
from finetune.protocols.settings import ProtocolsSettings
from finetune.training.embeddings import EmbeddingCache
from lamae.errors import InputError
from lamae.model.checkpoint import load_autoencoder
from lamae.runs.tracking import SUMMARY
from lamae.storage.corpus import INDEX, MANIFEST, Corpus, write_index
from shards.build.run import build_shards
from shards.settings import ShardsSettings
from shards.simulator.signals import simulate_signals

PATIENTS = 60
FIRST = 5941
"""Number of the first recording; patients have two each, so the first 30 go up to 6000."""
L2 = 0.01
RULES: dict[str, Rules] = {protocol.name: protocol.rules for protocol in PROTOCOLS}
SERVED = {protocol.name for protocol in PROTOCOLS if "superclass" in protocol.name} | {
    protocol.name for protocol in PROTOCOLS if "cpsc2018" in protocol.name
}


def classes_of(patient: int) -> tuple[str, str, str]:
    """Return what is simulated, the superclasses and the class of CPSC 2018; each fold has all."""
    code = ("sinus", "LBBB", "AF")[patient // 10 % 3]
    late, odd = patient >= PATIENTS // 2, patient % 2
    superclass = {
        "sinus": "NORM",
        "LBBB": ("HYP" if odd else "CD;HYP") if late else "CD",
        "AF": "" if late else "STTC",
    }[code]
    return code, superclass, {"sinus": "Normal"}.get(code, code)


@pytest.fixture(scope="module")
def folded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build shards with PTB-XL's folds, superclasses, and names and classes of CPSC 2018."""
    folder = tmp_path_factory.mktemp("folded")
    patients = [patient for patient in range(PATIENTS) for _ in range(2)]
    found = [classes_of(patient) for patient in patients]
    drawn = simulate_signals(
        [code for code, _, _ in found],
        generator=np.random.default_rng(0),
        sampling_rate=100,
        duration_s=8,
        patients=patients,
    )
    (folder / "recordings").mkdir()
    lines = ["record,patient_id,strat_fold,superclass,cpsc2018"]
    for number, (patient, (_, superclass, cpsc)) in enumerate(zip(patients, found, strict=True)):
        name = f"A{FIRST + number}"
        np.save(folder / "recordings" / f"{name}.npy", drawn.signal_mv[number])
        lines.append(f"{name},p{patient},{patient % 10 + 1},{superclass},{cpsc}")
    (folder / "table.csv").write_text("\n".join([*lines, ""]))
    settings = {
        "source": folder / "recordings",
        "output": folder / "shards",
        "table": folder / "table.csv",
        "arrays": {"sampling_rate": 100},
        "split": {"train": tuple(range(1, 9)), "val": (9,), "test": (10,)},
        "workers": 1,
    }
    build_shards(ShardsSettings.model_validate(settings))
    return folder / "shards"


def settings_of(encoder: Path, data: Path, run_dir: Path) -> ProtocolsSettings:
    """Return settings of a quick table."""
    quick = {"l2_grid": (L2,), "resamples": 100, "cpu_threads": 1}
    places = {"encoder": encoder, "data": data, "run_dir": run_dir}
    return ProtocolsSettings.model_validate(places | quick)


def arguments(encoder: Path, data: Path, run_dir: Path) -> list[str]:
    """Return the command line of the same."""
    places = [f"encoder={encoder}", f"data={data}", f"run_dir={run_dir}"]
    return ["protocols", *places, f"l2_grid=[{L2}]", "resamples=100", "cpu_threads=1"]


@pytest.fixture(scope="module")
def table(
    folded: Path, pretrained_run: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, str]:
    """Run the verb on all protocols; return its folder and what it prints."""
    folder, printed = tmp_path_factory.mktemp("table") / "run", io.StringIO()
    with redirect_stdout(printed):
        main(arguments(pretrained_run, folded, folder))
    return folder, printed.getvalue()


@pytest.fixture
def summary(table: tuple[Path, str]) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((table[0] / SUMMARY).read_text())
    return content


def reindexed(shards: Path, folder: Path, column: str, values: dict[str, Any]) -> Path:
    """Copy shards, and change a column of the index for some keys."""
    shutil.copytree(shards, folder)
    rows = pq.read_table(folder / INDEX).to_pylist()
    for row in rows:
        row[column] = values.get(row["key"], row[column])
    write_index(folder / INDEX, rows)
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest.pop("index")
    (folder / MANIFEST).write_text(json.dumps(manifest))
    return folder


def test_a_fold_is_scored_by_a_regression_on_the_training_folds_alone(
    folded: Path, pretrained_run: Path, accelerator: Accelerator, tmp_path: Path
) -> None:
    """The same regression by scikit-learn on folds 1 to 8, scored on fold 10 without fold 9."""
    settings = settings_of(pretrained_run, folded, tmp_path)
    found = ProtocolScorer(settings, accelerator).score(RULES["ptbxl_superclass"])
    corpus, loaded = Corpus(folded), load_autoencoder(pretrained_run)
    folds = np.array(pq.read_table(folded / INDEX)["fold"].to_pylist())
    truth = corpus.labels("superclass")
    names = ("CD", "HYP", "NORM", "STTC")
    labels = np.array([[name in (have or ()) for name in names] for have in truth])
    cache = EmbeddingCache(
        corpus,
        loaded.preprocessor,
        pooling=settings.pooling,
        batch_size=64,
        accelerator=accelerator,
        folder=tmp_path / "own",
    )
    rows = np.arange(len(corpus))
    features = cache.embed(loaded.model.encoder, rows, name="all").features
    known, seen = ((where & labels.any(axis=1)) for where in (folds <= 8, folds == 10))
    scaler = StandardScaler().fit(features[known])
    expected = []
    for number in range(len(names)):
        line = LogisticRegression(C=1 / (L2 * known.sum()), tol=1e-8, max_iter=10_000)
        line.fit(scaler.transform(features[known]), labels[known, number])
        scores = line.decision_function(scaler.transform(features[seen]))
        expected.append(roc_auc_score(labels[seen, number], scores))
    assert found.measured.records == seen.sum() == 10
    assert found.measured.patients == 5
    assert found.auroc == pytest.approx(np.mean(expected), abs=1e-6)
    assert not any("lack" in told for told in found.departs)


def test_the_changes_rule_by_rule_add_up_to_the_whole(summary: dict[str, Any]) -> None:
    auroc = {row["protocol"]: row["auroc_macro"] for row in summary["protocols"]}
    assert set(auroc) == SERVED
    assert len(summary["steps"]) == len(SERVED) - 2, "to each from the first of its label set"
    for name, steps in summary["steps"].items():
        first, _, last = name.partition(" to ")
        assert sum(s["change"] for s in steps) == pytest.approx(
            auroc[last] - auroc[first], abs=2e-4
        )
        one, two = RULES[first].model_dump(), RULES[last].model_dump()
        assert [s["rule"] for s in steps] == [rule for rule in one if one[rule] != two[rule]]


def test_what_cannot_be_served_is_named_with_its_reason(
    summary: dict[str, Any], table: tuple[Path, str]
) -> None:
    assert set(summary["not_served"]) == set(RULES) - SERVED
    for name, reason in summary["not_served"].items():
        assert f"label set {RULES[name].label_set!r}" in reason
        assert f"- {name}: {reason}" in table[1]


def test_each_protocol_is_scored_on_the_recordings_that_it_names(summary: dict[str, Any]) -> None:
    """Fold 10 is six patients of two recordings: one without a superclass, none with two."""
    counted = {r["protocol"]: (r["recordings"], r["patients"]) for r in summary["protocols"]}
    assert counted["ptbxl_superclass"] == counted["ptbxl_superclass_heartlang"] == (10, 5)
    assert counted["ptbxl_superclass_one_class"] == (10, 5)
    assert counted["cpsc2018_ecg_jepa"] == (60, 30)
    for name in ("cpsc2018_iclr2026", "cpsc2018_heartlang", "cpsc2018_hubert"):
        assert counted[name] == (120, 60)


def test_the_verb_leaves_the_tables_and_prints_one(
    table: tuple[Path, str], summary: dict[str, Any]
) -> None:
    folder, printed = table
    left = {path.name for path in folder.iterdir()}
    assert left == {"protocols.csv", "protocols.md", "embeddings", SUMMARY}
    assert (folder / "protocols.md").read_text() == printed
    with (folder / "protocols.csv").open(newline="") as file:
        rows = {row["protocol"]: row for row in csv.DictReader(file)}
    assert set(rows) == SERVED
    for found in summary["protocols"]:
        assert float(rows[found["protocol"]]["auroc_macro"]) == found["auroc_macro"]
        assert f"| {found['protocol']} |" in printed and found["published"] in printed


def test_a_finished_table_is_refused(
    table: tuple[Path, str],
    folded: Path,
    pretrained_run: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = (table[0] / SUMMARY).read_bytes()
    with pytest.raises(SystemExit) as ended:
        main(arguments(pretrained_run, folded, table[0]))
    assert ended.value.code == 2
    assert f"holds {SUMMARY}" in capsys.readouterr().err
    assert (table[0] / SUMMARY).read_bytes() == before


@pytest.mark.parametrize(
    ("name", "moved"), [("ptbxl_superclass", 1), ("ptbxl_superclass_one_class", 10)]
)
def test_a_patient_on_both_sides_is_refused(
    folded: Path,
    pretrained_run: Path,
    accelerator: Accelerator,
    tmp_path: Path,
    name: str,
    moved: int,
) -> None:
    patient = 9 if moved == 1 else 0  # of fold 10, of fold 1
    data = reindexed(folded, tmp_path / "moved", "fold", {f"A{FIRST + 2 * patient}": moved})
    scorer = ProtocolScorer(settings_of(pretrained_run, data, tmp_path), accelerator)
    with pytest.raises(InputError, match=r"leakage from training .*1 patients"):
        scorer.score(RULES[name])


def test_the_fold_before_is_scored_and_named_where_the_shards_lack_the_last(
    folded: Path, pretrained_run: Path, accelerator: Accelerator, tmp_path: Path
) -> None:
    index = pq.read_table(folded / INDEX, columns=["key", "fold"]).to_pylist()
    away = {row["key"]: 11 for row in index if row["fold"] == 10}
    data = reindexed(folded, tmp_path / "away", "fold", away)
    scorer = ProtocolScorer(settings_of(pretrained_run, data, tmp_path), accelerator)
    found = scorer.score(RULES["ptbxl_superclass"])
    assert "fold 9 is evaluated: the shards lack 10" in found.departs
    assert found.measured.patients == 5


def test_recordings_are_not_divided_by_numbers_that_are_not_those_of_cpsc(
    folded: Path, pretrained_run: Path, accelerator: Accelerator, tmp_path: Path
) -> None:
    data = reindexed(folded, tmp_path / "named", "key", {f"A{FIRST}": "JS00001"})
    scorer = ProtocolScorer(settings_of(pretrained_run, data, tmp_path), accelerator)
    with pytest.raises(InputError, match="JS00001"):
        scorer.score(RULES["cpsc2018_ecg_jepa"])


def test_shards_that_serve_no_protocol_end_the_program_with_every_reason(
    simulated_shards: Path,
    pretrained_run: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments(pretrained_run, simulated_shards, tmp_path / "run"))
    assert ended.value.code == 2
    told = capsys.readouterr().err
    assert all(f"{name}: label set" in told for name in RULES)
    assert not (tmp_path / "run" / SUMMARY).exists()

"""Known truth: of a cohort in which ARVC shows in V1-V3 alone, LASAN is found to need V1-V3."""

from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from accelerate import Accelerator

from finetune.classifiers.folder import load_classifier
from finetune.data.tasks import LabelledRows, make_task
from finetune.evaluation.lead_masking import Leads, measure_lead_need, score_lead_sets, set_name
from finetune.run import finetune
from finetune.settings import FinetuneSettings
from lamae.batches.dataset import Split
from lamae.config import load_settings
from lamae.ecg.leads import INDEPENDENT_LEADS
from lamae.statistics.measure_intervals import measure_intervals
from lamae.statistics.metrics import weighted_class_scores
from lamae.statistics.score_intervals import BootstrapScores
from lamae.storage.corpus import Corpus
from shards.build.run import build_shards
from shards.settings import ShardsSettings
from shards.simulator.data_set import simulate
from shards.simulator.settings import SimulateSettings

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[1]
CLASSES = ("sinus", "ARVC", "BRUGADA", "LQT1", "LQT2")
RIGHT = ("V1", "V2", "V3")
OTHERS = ("I", "II", "V4", "V5", "V6")

Scores = tuple[dict[Leads, np.ndarray], LabelledRows]


def without(*taken: str) -> Leads:
    return tuple(lead for lead in INDEPENDENT_LEADS if lead not in taken)


ANY_THREE = [without(*three) for three in combinations(OTHERS, 3)]
ALONE = [(lead,) for lead in INDEPENDENT_LEADS]


@pytest.fixture(scope="module")
def scores(tmp_path_factory: pytest.TempPathFactory, accelerator: Accelerator) -> Scores:
    """Train LASAN as its config says on 840 recordings, and score 360 with sets of leads."""
    folder = tmp_path_factory.mktemp("cohort")
    cohort = {"records": 1200, "classes": CLASSES, "sampling_rate": 100}
    simulate(SimulateSettings.model_validate({"output": folder / "recordings", **cohort}))
    shards = {
        "source": folder / "recordings",
        "output": folder / "shards",
        "source_kind": "mimic_iv_ecg",
        "split": {"train": 0.7, "val": 0.3, "test": 0.0},
        "workers": 1,
    }
    build_shards(ShardsSettings.model_validate(shards))
    config = ROOT / "configs" / "finetune" / "simulated_cohort_lasan.yaml"
    places = [f"data={folder / 'shards'}", f"run_dir={folder / 'run'}"]
    asked = ["lead_masking=false", "resamples=100", "cpu_threads=1"]
    settings = load_settings(FinetuneSettings, [str(config), *places, *asked])
    finetune(settings)
    corpus = Corpus(folder / "shards")
    part = make_task(corpus, settings).evaluation
    classifier = load_classifier(folder / "run").classifier
    found = score_lead_sets(
        classifier,
        Split(corpus, part.rows, classifier.architecture.preprocess),
        (INDEPENDENT_LEADS, without(*RIGHT), *ANY_THREE, *ALONE),
        batch_size=64,
        workers=1,
        accelerator=accelerator,
    )
    return found.shown, part


@pytest.fixture(scope="module")
def compare(scores: Scores) -> Callable[[Leads, list[Leads]], BootstrapScores]:
    """Return what compares a set of leads with others, on the same resamples of patients."""
    shown, part = scores

    def compare(first: Leads, others: list[Leads]) -> BootstrapScores:
        return measure_lead_need(
            {some: shown[some] for some in (first, *others)},
            part.labels,
            part.patients,
            classes=CLASSES,
            generator=np.random.default_rng(0),
        )

    return compare


def test_it_tells_the_classes_apart(
    scores: Scores, compare: Callable[..., BootstrapScores]
) -> None:
    found = compare(INDEPENDENT_LEADS, []).models[set_name(INDEPENDENT_LEADS)]
    assert min(interval.estimate for interval in found.auroc.values()) > 0.98


def test_no_other_three_leads_are_missed_as_much_by_arvc(
    compare: Callable[..., BootstrapScores],
) -> None:
    masked = without(*RIGHT)
    lost = compare(INDEPENDENT_LEADS, [masked]).differences[set_name(masked)].auroc["ARVC"]
    assert lost.low > 0.1
    for other in ANY_THREE:
        more = compare(other, [masked]).differences[set_name(masked)].auroc["ARVC"]
        assert more.low > 0, f"without {set(INDEPENDENT_LEADS) - set(other)}: {more}"


@pytest.mark.parametrize("unharmed", ["LQT1", "LQT2"])
def test_arvc_loses_more_without_v1_to_v3_than_long_qt(scores: Scores, unharmed: str) -> None:
    shown, part = scores
    columns = [CLASSES.index("ARVC"), CLASSES.index(unharmed)]
    statistics = {
        set_name(some): lambda weights, values=shown[some]: (
            weighted_class_scores(part.labels, values, weights).auroc[:, columns]
            @ np.array([[1.0], [-1.0]])
        )
        for some in (INDEPENDENT_LEADS, without(*RIGHT))
    }
    found = measure_intervals(
        statistics,
        part.labels,
        part.patients,
        measures=("ARVC minus long QT",),
        classes=CLASSES,
        generator=np.random.default_rng(0),
    )
    (more,) = found.differences[set_name(without(*RIGHT))].values()
    assert more.low > 0, more


@pytest.mark.parametrize("disease", ["ARVC", "BRUGADA"])
def test_one_lead_alone_tells_where_the_sign_is(
    compare: Callable[..., BootstrapScores], disease: str
) -> None:
    best = ("V2",)
    found = compare(best, [(lead,) for lead in OTHERS])
    assert found.models["V2"].auroc[disease].low > 0.8
    for lead in OTHERS:
        assert found.differences[lead].auroc[disease].low > 0, lead

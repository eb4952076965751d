"""Figures of a release follow from configuration and results, also after a recalibration."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from lamae.errors import InputError
from lamae.release.derived import RESULTS, Parts, derive
from lamae.release.description import RELEASE
from lamae.runs.run_folder import CONFIG

FORMAT_1 = Path(__file__).parent / "releases" / "format-1"


def parts_of(kind: str) -> Parts:
    config, results = (
        json.loads((FORMAT_1 / kind / name).read_text()) for name in (CONFIG, RESULTS)
    )
    said = json.loads((FORMAT_1 / kind / RELEASE).read_text())
    return Parts(config, results, said["output"]["embedding_width"], None)


def measured(estimate: float) -> dict[str, Any]:
    return {
        moment: {"estimate": estimate, "low": estimate - 0.1, "high": estimate + 0.1}
        for moment in ("before", "after", "after_minus_before")
    }


def test_measures_at_a_threshold_are_those_of_the_recalibration() -> None:
    parts = parts_of("classifier")
    config: dict[str, Any] = copy.deepcopy(dict(parts.config))
    config["thresholds"]["AF"] = 0.25
    counted: dict[str, Any] = {"patients_with": 20, "patients_without": 60}
    config["about"]["recalibration"] = {
        "threshold_rule": "highest F1 on local patients",
        "model": {"name": "a-classifier", "version": "1.0.0", "sha256": "0" * 64},
        "settings": {"label_set": "local"},
        "recordings": 100,
        "patients": 80,
        "classes": {
            "AF": counted
            | {"method": "platt", "sensitivity": measured(0.8), "specificity": measured(0.7)},
            "LBBB": counted | {"method": "as it was: too few patients"},
            "sinus": counted | {"method": "platt"},
        },
    }
    before = derive(parts, {})["output"]
    after = derive(parts._replace(config=config), {})["output"]
    af, lbbb, _ = after["classes"]
    assert af["threshold"] == 0.25 and af["sensitivity"]["estimate"] == 0.8
    assert af["specificity"]["low"] == pytest.approx(0.6)
    assert lbbb["sensitivity"] is None  # unknown on these patients, whatever it was before
    assert af["auroc"] == before["classes"][0]["auroc"]  # a ranking stays
    assert after["threshold_rule"] == "highest F1 on local patients"
    assert after["calibration"]["error"] is None
    assert after["calibration"]["method"] == "platt (AF, sinus); as it was: too few patients (LBBB)"
    assert before["calibration"]["method"] == "none"


def test_of_one_class_out_of_several_the_likeliest_is_called() -> None:
    parts = parts_of("classifier")
    architecture = {**parts.config["architecture"], "multi_label": False}
    found = derive(parts._replace(config={**parts.config, "architecture": architecture}), {})
    assert "likeliest" in found["output"]["threshold_rule"]


def test_candidates_of_version_0_1_are_read_by_their_name_of_that_day() -> None:
    parts = parts_of("classifier")
    evaluation = dict(parts.evaluation)
    evaluation["contenders"] = evaluation.pop("candidates")
    found = derive(parts._replace(results={"evaluation": evaluation}), {})
    assert found["results"] == derive(parts, {})["results"]


def test_a_folder_of_something_else_and_results_of_another_kind_are_refused() -> None:
    parts = parts_of("encoder")
    with pytest.raises(InputError, match="sections"):
        derive(parts._replace(config={"optimizer": {}}), {})
    with pytest.raises(InputError, match="'pretraining'"):
        derive(parts._replace(results={"evaluation": parts.evaluation}), {})
    with pytest.raises(InputError, match="results of a detector"):
        derive(parts_of("detector")._replace(results=parts.results), {})

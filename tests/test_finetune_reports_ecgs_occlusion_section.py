"""The section on where a classifier looked draws one recording of a class, and tables its test."""

import numpy as np

from finetune.evaluation.occlusion import Occluded
from finetune.reports.ecgs.occlusion_section import occlusion_section, occlusion_summary
from lamae.batches.dataset import Split
from lamae.ecg.leads import LEADS
from lamae.ecg.preprocess import Preprocessor
from lamae.storage.corpus import Corpus

CLASSES = ("AF", "LBBB")


def evidence() -> list[Occluded]:
    fall = np.zeros((12, 10))
    fall[LEADS.index("V4"), 6] = 2.0
    fall[LEADS.index("II"), 0] = 0.5
    return [
        Occluded(0, 1, fall, deleted=3.0, random=1.0),
        Occluded(1, 1, fall, deleted=4.0, random=1.0),
        Occluded(2, 0, 0 * fall, deleted=0.1, random=0.1),
    ]


def test_the_strongest_part_is_named_and_its_lead_is_the_strip(corpus: Corpus) -> None:
    data = Split(corpus, corpus.rows("val")[:3], Preprocessor(sampling_rate=100, duration_s=5.0))
    (section,) = occlusion_section(evidence(), data, CLASSES, LEADS)
    first, second = section.figures
    assert "2.000, at 3 s of lead V4" in first.caption and "LBBB" in first.caption
    assert "AF" in second.caption
    assert [text.get_text() for text in first.figure.axes[0].texts].count("V4") == 2
    test, shares = section.tables
    assert [row[:2] for row in test.rows] == [["LBBB", 2], ["AF", 1]]
    assert shares.rows[0][1 + LEADS.index("V4")] == 0.8
    assert occlusion_section([], data, CLASSES, LEADS) == []


def test_the_summary_has_the_test_and_the_leads_by_class() -> None:
    found = occlusion_summary(evidence(), CLASSES, LEADS)["occlusion"]["LBBB"]
    assert found["records"] == 2 and found["difference"]["estimate"] == 2.5
    assert found["lead_shares"]["II"] == 0.2
    of_one = occlusion_summary(evidence(), CLASSES, LEADS)["occlusion"]["AF"]
    assert of_one["difference"] == {"estimate": 0.0, "low": None, "high": None}
    assert of_one["lead_shares"]["II"] is None
    assert occlusion_summary([], CLASSES, LEADS) == {}

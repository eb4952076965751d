"""Paths of machines and keys of recordings are found in documents, and removed."""

import pytest

from lamae.release.traces import traces_in, without_traces


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("encoder=/srv/ann/runs/first data=/mnt/clinic/shards", "encoder=first data=shards"),
        ("'baselines=[random]' cache=~/cache", "'baselines=[random]' cache=cache"),
        ("s3://clinic/cohort/shards/", "shards"),
        (r"C:\Users\ann\runs\first", "first"),
        ("[/srv/a/b,/srv/c]", "[b,c]"),
    ],
)
def test_of_a_path_the_last_part_alone_stays(text: str, cleaned: str) -> None:
    assert without_traces(text) == cleaned
    assert [*traces_in(text)] and not [*traces_in(cleaned)]


@pytest.mark.parametrize(
    "text",
    [
        "mV/s", "and/or", "25 mm/s", "configs/pretrain/cpu.yaml", "https://physionet.org/content/x/",
        "hf://owner/name", "1/2", "2026/11/30", "b (n p) -> b n p", "torch 2.15.0+cpu", "</td>",
    ],
)  # fmt: skip
def test_what_is_no_path_stays_as_it_is(text: str) -> None:
    assert without_traces(text) == text and not [*traces_in(text)]


def test_recordings_become_counts_and_examples_disappear() -> None:
    summary = {
        "unusable": {"train": {"missing_leads": ["12722_lr", "x"]}, "evaluation": {}},
        "audit": {"training": {"patients": 1, "example": "00017_lr"}},
    }
    cleaned = without_traces(summary)
    assert cleaned["unusable"] == {"train": {"missing_leads": 2}, "evaluation": {}}
    assert cleaned["audit"]["training"] == {"patients": 1, "example": ""}
    assert len([*traces_in(summary)]) == 2 and not [*traces_in(cleaned)]


@pytest.mark.parametrize("key", ["00017_lr", "p10000032", "s40689238", "HR00001", "JS10646"])
def test_a_key_of_a_recording_is_found_wherever_it_stands(key: str) -> None:
    (found,) = traces_in({"about": {"notes": ["fine", f"such as {key}."]}})
    assert found == f"about.notes[1]: recording {key}"


def test_a_checksum_is_no_recording() -> None:
    assert not [*traces_in("40245bedf9fa09e835447ab6faf71f7bc6f91953bb123aedbb95889577aa7b66")]

"""Settings that earlier versions saved are read under the names that they have now."""

from finetune.anomaly.run_settings import AnomalySettings
from finetune.comparison.collect import flat_settings
from finetune.settings import FinetuneSettings
from lamae.config import with_present_names

BEFORE = {
    "data": "shards",
    "encoder": "run",
    "label_set": "part_size",
    "training": {"part_size": 4, "batch_size": 8},
    "supervised": {"part_size": 2, "batch_size": 8},
    "icd10": {"fewest": 3, "most_frequent": 5, "characters": 4},
    "where": {"fewest": ["part_size"]},
}


def test_settings_of_before_load_with_the_values_that_they_had() -> None:
    found = FinetuneSettings.model_validate(with_present_names(FinetuneSettings, BEFORE))
    assert found.icd10 is not None
    assert (found.training.micro_batch_size, found.supervised.micro_batch_size) == (4, 2)
    assert (found.icd10.min_recordings, found.icd10.max_classes) == (3, 5)
    assert found.icd10.max_characters == 4
    assert (found.label_set, found.where) == ("part_size", {"fewest": ("part_size",)})


def test_present_settings_are_left_as_they_are() -> None:
    now = FinetuneSettings.model_validate({"data": "shards", "mode": "lasan"})
    assert with_present_names(FinetuneSettings, now.model_dump()) == now.model_dump()


def test_runs_of_before_and_of_now_have_one_column_for_a_setting() -> None:
    detector = {"kind": "cae", "training": {"validation_recordings": 9}}
    assert flat_settings({"config": detector}) == {
        "kind": "cae",
        "training.max_validation_recordings": 9,
    }
    assert flat_settings({"config": BEFORE})["training.micro_batch_size"] == 4


def test_every_present_name_is_a_setting() -> None:
    for schema in (FinetuneSettings, AnomalySettings):
        for field in schema.model_fields.values():
            section = field.annotation
            renamed = getattr(section, "renamed", {})
            assert set(renamed.values()) <= set(getattr(section, "model_fields", {}))

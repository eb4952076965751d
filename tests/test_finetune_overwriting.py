"""Results of a former run are replaced only where that was asked for."""

from pathlib import Path

import pytest

from finetune.overwriting import check_free
from lamae.errors import InputError


@pytest.mark.parametrize("below", ["", "run", "sweep/run"])
def test_a_file_in_the_place_of_a_run_is_refused_and_kept(below: str, tmp_path: Path) -> None:
    file = tmp_path / "taken"
    file.write_text("other")
    with pytest.raises(InputError, match=f"{file} is a file"):
        check_free(file / below, overwrite=True)
    assert file.read_text() == "other"


def test_results_are_replaced_on_demand_alone_and_a_folder_without_any_is_free(
    tmp_path: Path,
) -> None:
    check_free(tmp_path / "new" / "run", overwrite=False)
    check_free(tmp_path, overwrite=False)
    (tmp_path / "summary.json").write_text("{}")
    check_free(tmp_path, overwrite=True)
    with pytest.raises(InputError, match="overwrite=true"):
        check_free(tmp_path, overwrite=False)

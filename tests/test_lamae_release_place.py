"""A name stands for one model: a shipped one, a folder, an ONNX file, or one on the Hub."""

import subprocess
import sys
from pathlib import Path

import pytest

import lamae.weights
from lamae.errors import InputError
from lamae.release.hub import HubName
from lamae.release.place import find_model, shipped_models

SHIPPED = Path(lamae.weights.__file__).parent / "lamae-cpu.ptbxl"


def test_the_name_of_a_shipped_model_stands_for_it_in_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lamae-cpu.ptbxl").mkdir()
    monkeypatch.chdir(tmp_path)
    assert find_model("lamae-cpu.ptbxl") == SHIPPED
    assert find_model("./lamae-cpu.ptbxl") == Path("lamae-cpu.ptbxl")
    assert find_model(Path("lamae-cpu.ptbxl")) == Path("lamae-cpu.ptbxl")
    assert "lamae-cpu.ptbxl" in shipped_models()


def test_a_folder_and_an_onnx_file_stand_for_themselves(tmp_path: Path) -> None:
    file = tmp_path / "model.onnx"
    file.touch()
    assert find_model(tmp_path) == tmp_path and find_model(str(file)) == file


@pytest.mark.parametrize("name", ["", "  ", "no-such-model", "https://example.org/model", "hf:x/y"])
def test_another_text_is_refused_with_all_forms(name: str) -> None:
    with pytest.raises(InputError, match=r"lamae-cpu\.ptbxl.*folder.*model\.onnx.*hf://owner/name"):
        find_model(name)


def test_a_lone_file_of_weights_is_refused_with_its_folder(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(InputError, match=f"Give its folder, {tmp_path}"):
        find_model(tmp_path / "model.safetensors")


def test_a_revision_is_of_the_hub_alone(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="revision"):
        find_model(tmp_path, revision="v1.0.0")


def test_a_name_on_the_hub_has_owner_name_and_perhaps_one_revision() -> None:
    assert HubName.parse("hf://o/n.x-1") == HubName("o/n.x-1", None)
    assert HubName.parse("hf://o/n@v1.0.0") == HubName("o/n", "v1.0.0")
    assert HubName.parse("hf://o/n", revision="main") == HubName.parse("hf://o/n@main")
    assert str(HubName.parse("hf://o/n@v1.0.0")) == "hf://o/n@v1.0.0"
    for wrong in ("hf://o", "hf://o/n/m", "hf://o/n@", "hf://../n@a@b", "hf://o/n?x"):
        with pytest.raises(InputError, match="hf://owner/name"):
            HubName.parse(wrong)
    with pytest.raises(InputError, match="one revision"):
        HubName.parse("hf://o/n@v1", revision="v2")


def test_a_local_name_is_found_without_the_packages_of_the_hub_and_torch() -> None:
    program = (
        "import sys; from lamae.release.place import find_model; find_model('lamae-cpu.ptbxl');"
        "sys.exit(bool({'torch', 'huggingface_hub', 'httpx', 'requests'} & {*sys.modules}))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0

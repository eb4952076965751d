from pathlib import Path
from typing import ClassVar

import pytest
from pydantic import Field, model_validator

from lamae.config import (
    ConfigError,
    FolderPath,
    Settings,
    as_yaml,
    load_settings,
)


class Inner(Settings):
    """A section."""

    depth: int = Field(4, gt=0)
    """Layers."""
    renamed: ClassVar[dict[str, str]] = {"size": "depth"}
    place: FolderPath = Path("here")
    """A folder."""

    @model_validator(mode="after")
    def _lucky(self) -> "Inner":
        if self.depth == 13:
            raise ValueError("13 brings bad luck")
        return self


class Outer(Settings):
    """A program's settings."""

    lr: float = 1e-3
    """Rate."""
    folder: FolderPath = Path("data")
    """A folder."""
    maybe: FolderPath | None = None
    """A folder, or none."""
    inner: Inner = Inner()
    """A section."""
    over_write: bool = False
    """Whether."""
    either: tuple[int, ...] | float = 0.5
    """Folds or a share."""
    renamed: ClassVar[dict[str, str]] = {"rate": "lr", "layers": "inner.depth"}

    @model_validator(mode="after")
    def _lucky(self) -> "Outer":
        if self.lr == 13:
            raise ValueError("13 brings bad luck")
        return self


def problems(*arguments: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load_settings(Outer, arguments)
    return str(caught.value)


def test_later_arguments_win_and_sections_are_merged(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("lr: 3e-4\ninner: {depth: 2}\n")
    settings = load_settings(Outer, [str(tmp_path / "a.yaml"), "inner.depth=7", "folder=100"])
    assert settings == Outer(lr=3e-4, inner=Inner(depth=7), folder=Path("100"))


def test_all_problems_are_told_at_once_with_the_nearest_key() -> None:
    text = problems("lrr=1", "inner.dept=3", "inner.depth=0", "folder=x")
    assert "lrr: unknown key. Did you mean lr?" in text
    assert "inner.dept: unknown key. Did you mean inner.depth?" in text
    assert "inner.depth: 0 is not valid" in text
    assert "folder" not in text


@pytest.mark.parametrize(
    "typed", ["007", "1.10", "2024_01", "2024-01-31", "12:30", "1e3", "0x10", "[a]", "a: b", "./no"]
)
@pytest.mark.parametrize("key", ["folder", "maybe", "inner.place"])
def test_a_path_stays_as_it_was_typed(key: str, typed: str) -> None:
    settings = load_settings(Outer, [f"{key}={typed}"])
    found = {
        "folder": settings.folder,
        "maybe": settings.maybe,
        "inner.place": settings.inner.place,
    }
    assert found[key] == Path(typed)


@pytest.mark.parametrize("value", ["", " ", "no", "true"])
@pytest.mark.parametrize("key", ["folder", "maybe", "inner.place"])
def test_a_path_is_never_made_of_nothing_or_a_truth_value(key: str, value: str) -> None:
    assert problems(f"{key}={value}").startswith(f"{key}: ")


def test_null_is_no_path_and_only_where_none_is_needed() -> None:
    assert load_settings(Outer, ["maybe=null"]).maybe is None
    assert problems("folder=null").startswith("folder: None is not valid")


@pytest.mark.parametrize("value", ["007", "1.10", "no", "2024-01-31", "''"])
def test_a_path_in_a_file_that_is_no_text_is_refused(tmp_path: Path, value: str) -> None:
    (tmp_path / "a.yaml").write_text(f"folder: {value}\n")
    assert "folder: " in problems(str(tmp_path / "a.yaml"))
    assert "quote" in problems(str(tmp_path / "a.yaml"))
    (tmp_path / "a.yaml").write_text("folder: '007'\n")
    assert load_settings(Outer, [str(tmp_path / "a.yaml")]).folder == Path("007")


def test_the_home_of_an_unknown_user_is_refused() -> None:
    assert problems("folder=~nobody-of-this-name/x").startswith("folder: ")


@pytest.mark.parametrize("value", [".nan", ".inf", "fast", "[1]"])
def test_a_number_must_be_finite(value: str) -> None:
    assert problems(f"lr={value}").startswith("lr: ")


@pytest.mark.parametrize(
    "typed",
    [["inner.depth=7"], ["--inner.depth=7"], ["--inner.depth", "7"], ["lr=1", "depth.yaml"]],
)
def test_a_setting_is_given_in_any_usual_form(
    typed: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("depth.yaml").write_text("inner: {depth: 7}\n")
    assert load_settings(Outer, typed).inner.depth == 7


@pytest.mark.parametrize(
    ("typed", "value"),
    [
        (["--over-write"], True),
        (["--over_write", "lr=1"], True),
        (["--over-write", "false"], False),
        (["--over-write", "--lr", "-3"], True),
        (["lr=1"], False),
    ],
)
def test_an_option_by_itself_is_true(typed: list[str], value: bool) -> None:
    assert load_settings(Outer, typed).over_write is value


@pytest.mark.parametrize("blanks", [["lr", "=", "3"], ["lr", "=3"], ["lr=", "3"]])
def test_blanks_around_the_equals_sign_are_named(blanks: list[str]) -> None:
    assert problems(*blanks) == "lr = 3: no blanks around =. Give lr=3"


def test_nothing_is_a_value_before_a_file(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("lr: 2\n")
    assert load_settings(Outer, ["maybe=null", "maybe=~", str(tmp_path / "a.yaml")]).maybe is None


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("depth", "inner.depth"), ("epth", "inner.depth"), ("inner.folde", "folder"), ("lrr", "lr")],
)
def test_a_mistyped_key_names_the_nearest_on_any_level(typed: str, meant: str) -> None:
    assert problems(f"{typed}=1") == f"{typed}: unknown key. Did you mean {meant}?"


def test_a_renamed_key_is_refused_with_its_new_name(tmp_path: Path) -> None:
    assert problems("rate=1") == "rate: now named lr. Give lr=<value>."
    assert problems("layers=1") == "layers: now named inner.depth. Give inner.depth=<value>."
    assert problems("inner.size=1").startswith("inner.size: now named inner.depth.")


def test_keys_that_a_base_renamed_are_known_beside_those_of_another() -> None:
    class Both(Inner, Outer):
        """Settings of two mixins."""

    for old in ("size", "rate"):
        with pytest.raises(ConfigError, match=f"{old}: now named"):
            load_settings(Both, [f"{old}=1"])


def test_a_rule_of_a_section_is_told_without_its_settings() -> None:
    assert problems("inner.depth=13") == "inner: 13 brings bad luck."
    assert problems("lr=13") == "13 brings bad luck."
    assert problems("inner=3").startswith(
        "inner: 3 is no section. Give its settings, such as inner."
    )


def test_every_problem_is_named_even_beside_an_argument_that_is_none() -> None:
    text = problems("what", "lrr=1", "inner.depth=0", "over_write=maybe", "either=x")
    named = [line.partition(":")[0] for line in text.splitlines()]
    assert named == ["what", "inner.depth", "over_write", "either", "lrr"]


def test_types_of_a_choice_are_one_problem() -> None:
    assert problems("either=x").count("either") == 1


@pytest.mark.parametrize(
    "value",
    ["2024-02-30", "!!int x", "9" * 6000, "[" * 5000, "*x", "{[a]: 1}", "{a: 1, a: 2}", "\udcff"],
)
def test_an_argument_that_is_no_value_ends_in_a_sentence(value: str) -> None:
    said = problems(f"lr={value}")
    assert said.startswith("lr: ") and len(said) < 300
    assert problems(f"inner.depth={value}").startswith("inner.depth: ")


def test_a_date_that_is_none_is_a_path_as_typed() -> None:
    assert load_settings(Outer, ["folder=2024-02-30"]).folder == Path("2024-02-30")


def test_a_key_that_is_no_word_ends_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("1: 2\n")
    assert problems(str(tmp_path / "a.yaml")).startswith("1: ")


def test_a_key_of_many_parts_or_none_ends_in_a_sentence() -> None:
    assert "unknown key" in problems(f"{'a.' * 5000}a=1")[-9_000:]
    assert problems("=3") == "=3: not understood. Give a .yaml file, key=value or --key value."
    assert "unknown key" in problems("inner.=3")


def test_a_key_given_twice_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("lr: 1\nlr: 2\n")
    assert "lr: given twice" in problems(str(tmp_path / "a.yaml"))


@pytest.mark.parametrize("content", ["- 1", "lr: [", "just text"])
def test_a_file_that_is_no_mapping_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "a.yaml").write_text(content)
    assert str(tmp_path) in problems(str(tmp_path / "a.yaml"))


def test_a_missing_file_and_a_stray_word_are_refused() -> None:
    assert "no such file" in problems("nowhere.yaml")
    assert "not understood" in problems("lr")


def test_settings_come_back_from_their_yaml(tmp_path: Path) -> None:
    settings = Outer(lr=3e-4, folder=tmp_path, inner=Inner(depth=9))
    (tmp_path / "a.yaml").write_text(as_yaml(settings))
    assert load_settings(Outer, [str(tmp_path / "a.yaml")]) == settings

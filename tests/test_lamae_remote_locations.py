"""What may stand as source= and output=, and that nothing else starts anything."""

import subprocess
import sys
from pathlib import Path

import pytest

from lamae.config import ConfigError, load_settings
from shards.settings import CommandSettings

PROGRAM = Path(__file__).resolve().parents[1] / "shards" / "main.py"


@pytest.mark.parametrize(
    "url",
    [
        "pipe:touch ran",
        "pipe://touch ran",
        "shell:touch ran",
        "simplecache::s3://bucket/data",
        "zip://x::pipe:touch ran",
        "::pipe:touch ran",
        "s3:bucket/data",
        "S3://bucket/data",
        "github://owner:repo@main/x",
        "http://name:secret@host/data",
        "https://host/data?X-Amz-Signature=secret",
        "memory://bucket/../other",
    ],
)
def test_a_url_that_is_not_allowed_is_refused_by_the_settings(url: str) -> None:
    for arguments in ([f"source={url}", "output=out"], ["source=in", f"output={url}"]):
        with pytest.raises(ConfigError, match="is not valid"):
            load_settings(CommandSettings, [*arguments, "scratch=here"])


def test_the_program_refuses_a_url_that_would_start_a_command(tmp_path: Path) -> None:
    command = [sys.executable, str(PROGRAM), "source=pipe:touch ran", "output=out"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and done.stderr.startswith("error: source: ")
    assert "Traceback" not in done.stderr and not list(tmp_path.iterdir())


def test_urls_are_kept_as_they_were_given() -> None:
    given = load_settings(CommandSettings, ["source=s3://bucket/mimic", "output=~/shards"])
    assert given.source == "s3://bucket/mimic"
    assert given.output == Path("~/shards").expanduser()
    again = CommandSettings.model_validate(given.model_dump(mode="json"))
    assert again == given
    assert load_settings(CommandSettings, ["source=007", "output=out"]).source == Path("007")
    with pytest.raises(ConfigError, match="known"):
        load_settings(CommandSettings, ["source=a", "output=b", "known=[s3://bucket/x]"])


def test_a_remote_output_says_what_it_needs() -> None:
    for arguments, message in (
        (["output=s3://bucket/shards"], "needs scratch="),
        (["output=s3://bucket/shards", "scratch=here", "parts=2"], "parts are built in a folder"),
        (["output=https://host/shards", "scratch=here"], "takes no files"),
    ):
        with pytest.raises(ConfigError, match=message):
            load_settings(CommandSettings, ["source=in", *arguments])

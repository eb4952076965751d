"""The Hugging Face Hub: a model comes from there, and goes there.

HF_ENDPOINT, HF_TOKEN, HF_HOME and HF_HUB_OFFLINE are honoured. Nothing is counted by anybody:
telemetry is switched off before huggingface_hub is imported, which happens for a name on the Hub
alone.
"""

import logging
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from lamae.errors import InputError
from lamae.packages import import_package

HUB = "hf://"
"""Begins the name of a model on the Hub."""
MODELS, DATASETS = "model", "dataset"
"""Kinds of repositories; the names of data sets begin with `hf://datasets/`."""

CARD = "README.md"
"""The model card, which the Hub shows, and which people may edit there."""
ALLOWED = ("*.json", "*.safetensors", "*.onnx", "LICENSE", "NOTICE", CARD)
"""Files of a release; nothing else is downloaded or uploaded, so nothing that is pickled or run."""
FOLDERS = ("*/*",)
"""A release is flat."""

_NAME = re.compile(r"(?P<repository>[\w.-]+/[\w.-]+)(?:@(?P<revision>[^@\s]+))?")
_YES = {"1", "true", "yes", "on"}
_log = logging.getLogger(__name__)


class HubName(NamedTuple):
    """A model on the Hub."""

    repository: str
    """`owner/name`."""
    revision: str | None
    """Tag, branch or commit; None for the newest of the main branch."""
    kind: str = MODELS
    """Kind of the repository."""

    @classmethod
    def parse(cls, text: str, *, revision: str | None = None, kind: str = MODELS) -> "HubName":
        """Read hf://owner/name[@revision], or of a data set hf://datasets/owner/name[@revision].

        Raises InputError for another text or two revisions.
        """
        begins = HUB if kind == MODELS else f"{HUB}{kind}s/"
        match = _NAME.fullmatch(text.removeprefix(begins))
        if not text.startswith(begins) or match is None:
            raise InputError(
                f"{kind} {text}",
                value="no name on the Hub",
                expected=f"{begins}owner/name, or {begins}owner/name@revision",
                remedy="Check its spelling.",
            )
        if revision and match["revision"] and revision != match["revision"]:
            raise InputError(
                f"model {text}",
                value=f"revision {revision} as well",
                expected="one revision",
                remedy="Give it in the name or apart.",
            )
        return cls(match["repository"], match["revision"] or revision, kind)

    def __str__(self) -> str:
        """Write it as it is given."""
        begins = HUB if self.kind == MODELS else f"{HUB}{self.kind}s/"
        return f"{begins}{self.repository}" + (f"@{self.revision}" if self.revision else "")


def download(name: HubName) -> Path:
    """Return the folder of a model on the Hub, downloaded where the cache does not have it.

    The name of the folder is the commit: a revision that can move is resolved once, and said.
    Raises InputError where there is none, or it cannot be reached.
    """
    hub = import_hub()
    try:
        folder = Path(
            hub.snapshot_download(
                name.repository,
                revision=name.revision,
                allow_patterns=list(ALLOWED),
                ignore_patterns=list(FOLDERS),
                endpoint=endpoint(),
                local_files_only=_offline(),
                library_name="lamae",
            )
        )
    except (hub.errors.HTTPError, OSError) as error:
        raise unreachable(name, error) from None
    if name.revision != folder.name:
        _log.info("%s is commit %s", name, folder.name)
    return folder


def endpoint() -> str | None:
    """Return the address of the Hub that the environment names; None for the public one."""
    return os.environ.get("HF_ENDPOINT") or None


def unreachable(name: HubName, error: Exception) -> InputError:
    """Return the error of a model on the Hub that cannot be had."""
    error = error.__cause__ if isinstance(error.__cause__, Exception) else error
    first = (str(error).strip() or type(error).__name__).splitlines()[0]
    return InputError(
        f"{name.kind} {name}",
        value=f"{type(error).__name__}: {first}",
        expected="a repository that can be read, at its revision, or one in the cache",
        remedy="Check owner, name and revision, HF_TOKEN for a private one, and the network; "
        "without a network, fetch it where there is one and give the folder.",
    )


def import_hub() -> Any:
    """Import huggingface_hub with its telemetry switched off; InputError if it is not installed."""
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    hub = import_package("huggingface_hub")
    import_package("huggingface_hub.errors")
    constants = import_package("huggingface_hub.constants")
    constants.HF_HUB_DISABLE_TELEMETRY = True  # where others imported it before
    return hub


def _offline() -> bool:
    return os.environ.get("HF_HUB_OFFLINE", "").strip().lower() in _YES


class Uploaded(NamedTuple):
    """A release that was uploaded."""

    name: HubName
    """Its place and its tag."""
    notes: tuple[str, ...]
    """Sentences on what was left as it was."""


def upload_release(folder: Path, name: HubName, *, version: str, private: bool) -> Uploaded:
    """Upload the files of a release in one commit, and give it the tag v<version>.

    A card that was edited on the Hub since the last version is left as it is.
    Raises InputError where the tag is there, or the Hub refuses.
    """
    hub = import_hub()
    tag = f"v{version}"
    target = HubName(name.repository, tag)
    api = hub.HfApi(endpoint=endpoint(), library_name="lamae")
    try:
        api.create_repo(name.repository, private=private, exist_ok=True)
        tags = [one.name for one in api.list_repo_refs(name.repository).tags]
        if tag in tags:
            raise InputError(
                f"model {target}",
                value="there already",
                expected="a version that was never uploaded",
                remedy="Give the release another version: a version is used once.",
            )
        kept = _edited_card(api, name.repository, tags)
        api.upload_folder(
            repo_id=name.repository,
            folder_path=folder,
            allow_patterns=[one for one in ALLOWED if not (kept and one == CARD)],
            ignore_patterns=list(FOLDERS),
            commit_message=f"Release {version}",
        )
        api.create_tag(name.repository, tag=tag)
    except (hub.errors.HTTPError, OSError, RuntimeError) as error:  # RuntimeError: of a large file
        raise unreachable(target, error) from None
    note = f"{CARD} was edited on the Hub and is left as it is: update its results there."
    return Uploaded(target, (note,) if kept else ())


def upload_files(
    folder: Path,
    name: HubName,
    *,
    allowed: Sequence[str],
    added: Mapping[str, bytes],
    private: bool,
    message: str,
) -> str:
    """Upload the files of a folder, and some that are not in it, in one commit; returns its hash.

    Raises InputError where the Hub refuses. Given again, files that are there are not sent.

    Args:
        folder: the folder.
        name: the repository, made where there is none.
        allowed: patterns of the files that go.
        added: contents by name of files that are not in the folder.
        private: whether a new repository is visible to its owner alone.
        message: of the commit.
    """
    hub = import_hub()
    api = hub.HfApi(endpoint=endpoint(), library_name="lamae")
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    named = {path.relative_to(folder).as_posix(): path for path in paths}
    sent: dict[str, Path | bytes] = {
        place: path for place, path in named.items() if any(map(path.match, allowed))
    }
    operations = [
        hub.CommitOperationAdd(path_in_repo=place, path_or_fileobj=content)
        for place, content in (sent | dict(added)).items()
    ]
    try:
        api.create_repo(name.repository, repo_type=name.kind, private=private, exist_ok=True)
        done = api.create_commit(
            name.repository, operations, commit_message=message, repo_type=name.kind
        )
    except (hub.errors.HTTPError, OSError, RuntimeError) as error:
        raise unreachable(name, error) from None
    return str(done.oid)


def _edited_card(api: Any, repository: str, tags: list[str]) -> bool:
    """Say whether the card on the Hub is another than the one of the last version."""

    def digest(revision: str | None) -> str | None:
        found = api.get_paths_info(repository, [CARD], revision=revision)
        return found[0].blob_id if found else None

    now = digest(None)
    return now is not None and now not in {digest(tag) for tag in tags}

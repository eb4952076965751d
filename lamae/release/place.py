"""The place of a model: the name of a shipped one, a folder, an ONNX file, or one on the Hub."""

from importlib.resources import files
from pathlib import Path

from lamae.errors import InputError
from lamae.release.hub import HUB, HubName, download
from lamae.runs.run_folder import CONFIG

ONNX = ".onnx"
_FORMS = (
    "the name of a model that comes with LAMAE ({shipped}), a folder of a model or a run, "
    "a file model.onnx, or hf://owner/name with or without @revision"
)


def find_model(name: str | Path, *, revision: str | None = None) -> Path:
    """Return the folder or the ONNX file that a name stands for.

    A text that is the name of a shipped model stands for that one, wherever it is read; `./name`
    or a Path stands for a folder. One on the Hub is downloaded, or taken from the cache.

    Args:
        name: of a shipped model, a path, or hf://owner/name[@revision].
        revision: tag, branch or commit of one on the Hub; the newest of its main branch by default.

    Raises InputError for anything else, and for what is not there.
    """
    given = str(name).strip()
    if given.startswith(HUB):
        return download(HubName.parse(given, revision=revision))
    if revision is not None:
        raise InputError(
            f"model {given}",
            value=f"revision {revision}",
            expected=f"a revision of a model on the Hub alone, {HUB}owner/name",
            remedy="Leave revision out: a folder has one content.",
        )
    if isinstance(name, str) and given in shipped_models():
        return _weights() / given
    return _local(given)


def shipped_models() -> tuple[str, ...]:
    """Return the names of the models that come with the library."""
    return tuple(sorted(path.name for path in _weights().iterdir() if (path / CONFIG).is_file()))


def _weights() -> Path:
    return Path(str(files("lamae.weights")))


def _local(given: str) -> Path:
    path = Path(given).expanduser()
    if (given and path.is_dir()) or (path.is_file() and path.suffix == ONNX):
        return path
    if path.is_file():
        value, remedy = "a file of another kind", f"Give its folder, {path.parent}."
    else:
        value, remedy = "no such name, folder or file", "Check its spelling, or give a whole path."
    raise InputError(
        f"model {given!r}",
        value=value,
        expected=_FORMS.format(shipped=", ".join(shipped_models())),
        remedy=remedy,
    )

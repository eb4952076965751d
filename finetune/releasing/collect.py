"""Parts of a release that runs have left: model, configuration, and what was measured."""

import json
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import save_file
from torch import Tensor

from finetune.anomaly.detector.folder import DETECTOR_FOLDER
from finetune.classifiers.folder import CLASSIFIER_FOLDER
from lamae.errors import InputError
from lamae.files import read_json, write_json
from lamae.model.checkpoint import current_config, find_model_folder
from lamae.model.model_folder import read_tensors
from lamae.release.check import IDENTITY
from lamae.release.derived import RESULTS, kind_of_config
from lamae.release.traces import without_traces
from lamae.runs.checksums import CHECKSUMS, UNCHECKED, verify_checksums
from lamae.runs.run_folder import CONFIG, STATE, WEIGHTS
from lamae.runs.tracking import SUMMARY

_NEEDS = (CONFIG, WEIGHTS)
_SHARDS_CHECKSUM = "manifest.sha256"


class Learnt(NamedTuple):
    """Recordings that a model learnt from."""

    data: Path
    """Their shards."""
    split: str
    """The split that was trained on."""
    digest: str | None
    """Digest of the shards, where the run kept it."""


class Collected(NamedTuple):
    """A trained model, and the summaries of its runs."""

    kind: str
    """encoder, classifier or detector."""
    folder: Path
    """Folder of the model."""
    results: dict[str, Any]
    """Content of results.json."""
    learnt: Learnt
    """The recordings of its training."""


def collect(model: Path, results: Path | None, data: Path | None = None) -> Collected:
    """Find the model of a run and what was measured of it.

    Args:
        model: the run, or the folder of the model in it.
        results: the run that evaluated an encoder; of other models, by default their own, or what
            a recalibration took over.
        data: shards of the training, where they are no longer where the run found them.

    Raises InputError where there is none, a run is not finished, or the results are of another
    encoder.
    """
    folder = _folder_of(model)
    verify_checksums(folder, needs=_NEEDS)
    config = read_json(folder / CONFIG)
    kind = kind_of_config(config)
    if (folder / RESULTS).is_file() and results is None:
        found = read_json(folder / RESULTS)
        return Collected(kind, folder, found, _learnt(found, config, data))
    own = folder if (folder / SUMMARY).is_file() else folder.parent
    summaries = {"evaluation": _summary(results or own, "results")}
    if kind == "encoder":
        if results is None:
            raise InputError(
                f"encoder {model}",
                value="no results",
                expected="a run of finetune/main.py that evaluated it",
                remedy="Give results=<run>.",
            )
        _check_same_encoder(folder, results)
        summaries["pretraining"] = _summary(own, "model")
    shards = {name: digest for one in summaries.values() for name, digest in _shards(one)}
    cleaned = {name: without_traces(summary) for name, summary in summaries.items()}
    return Collected(kind, folder, cleaned | {"shards": shards}, _learnt(summaries, config, data))


def _learnt(summaries: Mapping[str, Any], config: Mapping[str, Any], data: Path | None) -> Learnt:
    trained = summaries.get("pretraining", summaries["evaluation"])["config"]
    return Learnt(
        data or Path(str(trained["data"])),
        str(trained.get("train_split", "train")),
        config.get("about", {}).get("corpus"),
    )


def write_model(
    folder: Path, collected: Collected, identity: Mapping[str, str], *, half: bool = False
) -> None:
    """Write the model into a folder: no path of a machine in it, and its identity in the weights.

    The other files of the model are copied. Where `half`, matrices are rounded to 16 bits.
    """
    config = read_json(collected.folder / CONFIG)
    if collected.kind == "encoder":
        config = current_config(config)
    write_json(folder / CONFIG, without_traces(config))
    metadata = {IDENTITY: json.dumps(dict(identity))}  # of two, safetensors would toss the order
    (folder / WEIGHTS).touch()
    mode = (folder / WEIGHTS).stat().st_mode  # by the umask, where safetensors lets the owner read
    tensors = read_tensors(collected.folder / WEIGHTS)
    save_file(halved(tensors) if half else tensors, folder / WEIGHTS, metadata)
    (folder / WEIGHTS).chmod(mode)
    for path in collected.folder.iterdir():
        if path.is_file() and path.name not in {CONFIG, WEIGHTS, CHECKSUMS, *UNCHECKED}:
            shutil.copyfile(path, folder / path.name)
    if collected.kind == "encoder":  # of a checkpoint, all but the step is training state
        write_json(folder / STATE, {"step": read_json(collected.folder / STATE)["step"]})


def halved(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return matrices in 16 bits, and all else as it is; raises InputError where one overflows."""
    found = {n: t.half() if t.ndim > 1 and t.is_floating_point() else t for n, t in tensors.items()}
    for name, tensor in found.items():
        if not torch.isfinite(tensor).all():
            raise InputError(
                f"weights {name}",
                value="numbers too large for 16 bits",
                expected=f"at most {torch.finfo(torch.half).max:g}",
                remedy="Leave half out.",
            )
    return found


def _folder_of(model: Path) -> Path:
    for name in (CLASSIFIER_FOLDER, DETECTOR_FOLDER):
        if (model / name / CONFIG).is_file():
            return model / name
    return find_model_folder(model)


def _summary(run: Path, setting: str) -> dict[str, Any]:
    if not (run / SUMMARY).is_file():
        raise InputError(
            f"run {run}",
            value=f"no {SUMMARY}",
            expected="a finished run",
            remedy=f"Let it finish, or give another run, {setting}=.",
        )
    return read_json(run / SUMMARY)


def _shards(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return name and checksum of the shards of a run, where they are at hand."""
    data, found = summary["config"]["data"], []
    shares = data if isinstance(data, list) else [{"data": data}]
    for place in (Path(str(share["data"])) for share in shares):
        with suppress(OSError, IndexError):
            found.append((place.name, (place / _SHARDS_CHECKSUM).read_text().split()[0]))
    return found


def _check_same_encoder(folder: Path, results: Path) -> None:
    """Raise InputError where a run probed another encoder, by the weights that it left."""
    probed = results / CLASSIFIER_FOLDER
    mode = _summary(results, "results")["config"].get("mode")
    if not (probed / WEIGHTS).is_file() or mode not in ("probe", "attention_probe"):
        raise InputError(
            f"results {results}",
            value=f"mode {mode}",
            expected="a finished probe of the encoder, with its classifier",
            remedy="Give a run of finetune/main.py with mode=probe.",
        )
    own, other = read_tensors(folder / WEIGHTS), read_tensors(probed / WEIGHTS)
    encoder = {n: t for n, t in own.items() if n.startswith("encoder.")}
    if not all(n in other and torch.equal(t, other[n]) for n, t in encoder.items()):
        raise InputError(
            f"results {results}",
            value="a probe of other weights",
            expected=f"a probe of the encoder in {folder}",
            remedy="Give the run that probed it, results=.",
        )

"""Intermediate results of a run, from which the same command resumes.

They are a folder of pieces: folders of safetensors and JSON with checksums, each of which appears
whole or not at all, is never replaced, and names all that it depends on. A damaged piece is
computed anew, with a warning: that costs time, and gives the same.
"""

import hashlib
import json
import logging
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from accelerate import Accelerator
from safetensors.torch import save
from torch import Tensor

from finetune.data.tasks import LabelledRows
from finetune.experiment.candidates import Candidates
from finetune.processes import from_main
from finetune.settings import WITHOUT_EFFECT_ON_SCORES, FinetuneSettings
from lamae.config import with_present_names
from lamae.errors import InputError
from lamae.files import read_json, whole_folder
from lamae.model.model_folder import read_tensors, write_folder
from lamae.runs.checksums import damage
from lamae.runs.run_folder import STATE
from lamae.runs.tracking import versions
from lamae.storage.corpus import Corpus
from lamae.training.training_state import first_difference

_log = logging.getLogger(__name__)
_TENSORS = "tensors.safetensors"
_ABOUT = "about"
_PLACES = {"data", "encoder", "run_dir", "embeddings", "challenge_weights"}


class Piece(NamedTuple):
    """One piece of what was done."""

    tensors: dict[str, Tensor]
    """By name, on the CPU."""
    state: dict[str, Any]
    """Its content but tensors, as JSON."""


class SavedProgress:
    """The pieces of a run; every process calls each method at the same point."""

    def __init__(self, folder: Path, about: Mapping[str, Any], *, accelerator: Accelerator) -> None:
        """Keep pieces in a folder; `about`, which must be JSON, is all that they depend on."""
        self._folder, self._about, self._accelerator = folder, dict(about), accelerator

    def begin(self, *, overwrite: bool) -> int:
        """Return how many intact pieces there are, or remove all where `overwrite`.

        Raises InputError where one belongs to a run of other settings, weights or recordings.
        """
        return from_main(self._accelerator, lambda: self._begin(overwrite))

    def knowing(self, **about: Any) -> "SavedProgress":
        """Return the same pieces, which depend on more than was known before."""
        return SavedProgress(self._folder, self._about | about, accelerator=self._accelerator)

    def save(
        self,
        name: str,
        tensors: Mapping[str, Tensor],
        state: Mapping[str, Any],
        *,
        replaces: str | None = None,
    ) -> None:
        """Write a piece, whose state must be JSON; then remove the one that it `replaces`."""
        from_main(self._accelerator, lambda: self._save(name, tensors, state, replaces))

    def load(self, *names: str) -> Piece | None:
        """Return the first of these pieces that is there and intact; None where none is.

        Raises InputError as `begin`.
        """
        return from_main(self._accelerator, lambda: self._load(names))

    def remove(self) -> None:
        """Remove all pieces: the run is finished. The main process alone removes."""
        if self._accelerator.is_main_process:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _begin(self, overwrite: bool) -> int:
        if overwrite:
            self.remove()
        found = sorted(self._folder.iterdir()) if self._folder.is_dir() else []
        named = [folder for folder in found if not folder.suffix]  # others are half written
        intact = [folder for folder in named if not damage(folder, needs=(_TENSORS, STATE))]
        for folder in intact:
            self._check_same(read_json(folder / STATE)[_ABOUT])
        return len(intact)

    def _save(
        self,
        name: str,
        tensors: Mapping[str, Tensor],
        state: Mapping[str, Any],
        replaces: str | None,
    ) -> None:
        with whole_folder(self._folder / name) as partial:
            documents = {STATE: {_ABOUT: self._about, **state}}
            write_folder(partial, tensors={_TENSORS: tensors}, documents=documents)
        if replaces is not None:
            shutil.rmtree(self._folder / replaces, ignore_errors=True)

    def _load(self, names: tuple[str, ...]) -> Piece | None:
        for folder in (self._folder / name for name in names):
            if not folder.is_dir():
                continue
            found = damage(folder, needs=(_TENSORS, STATE))
            if not found:
                state = read_json(folder / STATE)
                self._check_same(state[_ABOUT])
                mapped = read_tensors(folder / _TENSORS)  # onto a file that may soon be removed
                return Piece({key: value.clone() for key, value in mapped.items()}, state)
            _log.warning("%s is damaged: %s; what it held is done anew", folder, found)
        return None

    def _check_same(self, before: dict[str, Any]) -> None:
        """Raise InputError where a piece is of other settings or data than this run."""
        known = {name: before.get(name) for name in self._about}
        settings = known.get("settings")
        if isinstance(settings, Mapping):
            known["settings"] = with_present_names(FinetuneSettings, settings)
        if known != self._about:
            name, found, wanted = first_difference(known, self._about)
            raise InputError(
                f"{self._folder}, {name}",
                value=f"kept by a run with {found}",
                expected=f"{wanted}, as in this run",
                remedy="Give what that run was given to go on with it, overwrite=true to start "
                "anew, or another run_dir=.",
            )


def about_run(settings: FinetuneSettings, corpus: Corpus, candidates: Candidates) -> dict[str, Any]:
    """Return all settings that a score depends on, and digests of weights, shards and tables.

    Folders count by what they hold. The number of processes is not in it: it changes rounding.
    """
    encoder = next(iter(candidates.by_name.values())).encoder
    weights = b""
    if encoder is not None:
        state = {name: value.contiguous() for name, value in encoder.state_dict().items()}
        weights = encoder.settings.model_dump_json(exclude={"file"}).encode() + save(state)
    table = settings.challenge_weights
    return {
        "settings": settings.model_dump(mode="json", exclude=_PLACES | WITHOUT_EFFECT_ON_SCORES),
        "preprocess": candidates.preprocess.model_dump(mode="json"),
        "encoder": digest(weights),
        "lamae": versions()["lamae"],
        "shards": corpus.digest,
        "challenge_weights": None if table is None else digest(table.read_bytes()),
    }


def digest_recordings(corpus: Corpus, classes: tuple[str, ...], *parts: LabelledRows) -> str:
    """Return the digest of keys, patients and labels."""
    found = [[list(classes), corpus.keys[part.rows].tolist(), part.patients] for part in parts]
    return digest(json.dumps(found).encode() + b"".join(part.labels.tobytes() for part in parts))


def digest(content: bytes) -> str:
    """Return the SHA-256 of some bytes."""
    return hashlib.sha256(content).hexdigest()

"""The training of one candidate: kept after each epoch, and its scores once it is finished."""

from dataclasses import dataclass

import torch
from torch import Tensor

from finetune.classifiers.scoring import Scored
from finetune.experiment.resume import SavedProgress
from finetune.training.fine_tuning import Epoch, Reached, Snapshot

PROGRESS = "progress"
"""Folder of a run with intermediate results until it is finished."""


@dataclass(frozen=True)
class TrainingProgress:
    """Saved progress of the training of one candidate."""

    progress: SavedProgress
    """Of the whole run."""
    name: str
    """Of the candidate."""

    def save(self, snapshot: Snapshot) -> None:
        """Keep an epoch, and the one before it in case this one is damaged."""
        reached, number = snapshot.reached, len(snapshot.reached.history)
        tensors = {"held_out": torch.from_numpy(reached.held_out)}
        for part in ("weights", "best", "moments"):
            values: dict[str, Tensor] = getattr(snapshot, part)
            tensors |= {f"{part}.{name}": value for name, value in values.items()}
        history = [epoch._asdict() for epoch in reached.history]
        state = {"best": reached.best, "history": history}
        self.progress.save(self._epoch(number), tensors, state, replaces=self._epoch(number - 2))

    def newest(self, epochs: int) -> Snapshot | None:
        """Return the newest intact epoch, if any is kept, of as many as there can be."""
        found = self.progress.load(*(self._epoch(number) for number in range(epochs, 0, -1)))
        if found is None:
            return None
        history = [Epoch(**epoch) for epoch in found.state["history"]]
        parts: dict[str, dict[str, Tensor]] = {"moments": {}}
        for label, value in found.tensors.items():
            part, _, name = label.partition(".")  # as weights.encoder.norm.weight
            parts.setdefault(part, {})[name] = value
        held_out = found.tensors["held_out"].numpy()
        reached = Reached(found.state["best"], history, held_out)
        return Snapshot(reached, parts["weights"], parts["best"], parts["moments"])

    def save_scores(self, scored: Scored) -> None:
        """Keep the candidate's predictions for the evaluation split."""
        arrays = {name: value for name, value in scored._asdict().items() if name != "unusable"}
        tensors = {n: torch.from_numpy(v) for n, v in arrays.items() if v is not None}
        self.progress.save(self._scores, tensors, {"unusable": scored.unusable})

    def scores(self) -> Scored | None:
        """Return what was kept of that, if anything."""
        found = self.progress.load(self._scores)
        if found is None:
            return None
        arrays = {name: value.numpy() for name, value in found.tensors.items()}
        return Scored(
            arrays["positions"],
            arrays["probabilities"],
            arrays.get("lead_weights"),
            arrays.get("gate"),
            found.state["unusable"],
        )

    @property
    def _scores(self) -> str:
        return f"{self.name}-scores"

    def _epoch(self, number: int) -> str:
        return f"{self.name}-epoch-{number:04d}"

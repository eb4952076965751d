import threading
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from torch import Tensor

from lamae.ecg.preprocess import Preprocessor
from lamae.ecg.record import Record
from lamae.errors import InputError
from lamae.model.autoencoder import LAMAE
from lamae.model.encoder import Encoder
from lamae.model.masking import draw_mask
from lamae.model.settings import AutoencoderSettings, EncoderSettings
from lamae.statistics.metrics import class_scores, macro
from lamae.storage.corpus import Corpus
from lamae.training.optim import adamw
from pretrain.monitoring.online_probe import OnlineProbe
from pretrain.monitoring.ridge import ridge_scores
from pretrain.settings import ProbeSettings

PREPROCESSOR = Preprocessor(leads=("I", "V1", "V5"), sampling_rate=50, duration_s=5, band_hz=None)
ENCODER = {"patch_size": 50, "width": 16, "depth": 1, "heads": 2, "latent_depth": 1}
SETTINGS = ProbeSettings(every=2, label_set="class", batch_size=7)
SCALARS = {"probe/auroc_macro", "probe/average_precision_macro"}


def make_encoder() -> Encoder:
    torch.manual_seed(0)
    return Encoder(EncoderSettings.model_validate(ENCODER))


def make_probe(corpus: Corpus, accelerator: Accelerator, **changes: Any) -> OnlineProbe:
    chosen = SETTINGS.model_copy(update=changes)
    return OnlineProbe(chosen, corpus, PREPROCESSOR, seed=0, accelerator=accelerator)


def train(corpus: Corpus, probe: OnlineProbe | None) -> tuple[list[float], dict[str, Tensor]]:
    """Do six steps with random numbers from torch's own generator; probe after each."""
    torch.manual_seed(1)
    decoder = {"width": 16, "depth": 1, "heads": 2}
    model = LAMAE(AutoencoderSettings.model_validate({"encoder": ENCODER, "decoder": decoder}))
    optimizer = adamw(model, lr=1e-2, weight_decay=0.05, betas=(0.9, 0.95))
    records = [PREPROCESSOR(corpus.record(int(row))).signal for row in corpus.rows("train")[:8]]
    signal, losses = torch.from_numpy(np.stack(records)), []
    for step in range(6):
        noisy = signal + 0.1 * torch.randn_like(signal)
        drawn = torch.Generator().manual_seed(step)
        mask = draw_mask("random", batch=8, leads=3, patches=5, mask_ratio=0.75, generator=drawn)
        loss = model(noisy, PREPROCESSOR.leads, mask=mask).loss
        loss.backward()  # and the probe in the worst place: between gradient and update
        assert probe is None or probe.score(model.encoder).keys() == SCALARS
        assert all(module.training for module in model.modules())
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    return losses, model.state_dict()


def test_training_is_bit_identical_with_and_without_a_probe(
    corpus: Corpus, accelerator: Accelerator
) -> None:
    losses, weights = train(corpus, None)
    probed_losses, probed_weights = train(corpus, make_probe(corpus, accelerator))
    assert probed_losses == losses
    assert all(torch.equal(probed_weights[name], value) for name, value in weights.items())


def test_a_probe_draws_no_random_number_and_leaves_no_gradient_and_no_other_mode(
    corpus: Corpus, accelerator: Accelerator
) -> None:
    encoder = make_encoder().eval()
    torch_before, numpy_before = torch.get_rng_state(), str(np.random.get_state())
    first = make_probe(corpus, accelerator).score(encoder)
    again = make_probe(corpus, accelerator).score(encoder)
    assert again == first
    assert torch.equal(torch.get_rng_state(), torch_before)
    assert str(np.random.get_state()) == numpy_before
    assert not encoder.training
    assert all(parameter.grad is None for parameter in encoder.parameters())


def _one_class(classes: tuple[str, ...] | None) -> str:
    assert classes is not None and len(classes) == 1
    return classes[0]


class _Told(Encoder):
    """An encoder whose tokens hold the class of each recording, and noise."""

    def __init__(self, corpus: Corpus, *, loudness: float) -> None:
        super().__init__(EncoderSettings.model_validate(ENCODER))
        self._loudness = loudness
        labels = corpus.labels("class")
        self._class: dict[bytes, str] = {
            PREPROCESSOR(corpus.record(row)).signal.tobytes(): _one_class(labels[row])
            for row in range(len(corpus))
        }

    def forward(self, signal: Tensor, *others: Any, **options: Any) -> Any:
        latents = super().forward(signal, *others, **options)
        names = sorted(set(self._class.values()))
        told = [names.index(self._class[one.numpy().tobytes()]) for one in signal]
        generator = torch.Generator().manual_seed(int(1e4 * signal.abs().sum()))
        tokens = torch.randn(latents.tokens.shape, generator=generator)
        for one, number in enumerate(told):
            tokens[one, :, :, number] += self._loudness
        return latents._replace(tokens=tokens)


def test_what_embeddings_tell_is_found_and_what_they_do_not_is_not(
    corpus: Corpus, accelerator: Accelerator
) -> None:
    probe = make_probe(corpus, accelerator)
    told = probe.score(_Told(corpus, loudness=50.0))
    untold = probe.score(_Told(corpus, loudness=0.0))
    assert told["probe/auroc_macro"] == 1.0
    assert told["probe/average_precision_macro"] == 1.0
    assert 0.2 < untold["probe/auroc_macro"] < 0.8  # 3 classes in 19 recordings: 0.5 +- 0.1


def test_a_recording_of_each_patient_is_drawn_and_none_of_the_test_split(
    corpus: Corpus, accelerator: Accelerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []
    record = Corpus.record

    def spy(self: Corpus, row: int) -> Record:
        read.append(row)
        return record(self, row)

    monkeypatch.setattr(Corpus, "record", spy)
    probe = make_probe(corpus, accelerator)
    patients = corpus.patients[read]
    assert len(patients) == len(set(patients))
    for split in ("train", "val"):
        of_split = set(corpus.patients[corpus.rows(split)])
        assert probe.counts[split] == len(of_split) == len(of_split & set(patients))
    read.clear()
    fewer = make_probe(corpus, accelerator, records=10)
    assert fewer.counts == {"train": 10, "val": 10}
    assert set(corpus.patients[read]) < set(patients)
    splits = {*corpus.rows("train"), *corpus.rows("val")}
    assert set(read) <= splits


def test_a_recording_that_cannot_be_read_is_left_out_and_named(
    corpus: Corpus,
    accelerator: Accelerator,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    whole = make_probe(corpus, accelerator).counts
    record = Corpus.record
    damaged = set(corpus.rows("train")[:6].tolist())

    def read(self: Corpus, row: int) -> Record:
        if row in damaged:
            raise InputError(f"row {row}", value="cut", expected="whole", remedy="Copy it.")
        return record(self, row)

    monkeypatch.setattr(Corpus, "record", read)
    probe = make_probe(corpus, accelerator)
    named = {row for row in damaged if f"row {row}:" in caplog.text}
    assert named
    assert probe.counts == {"train": whole["train"] - len(named), "val": whole["val"]}
    assert probe.score(make_encoder()).keys() == SCALARS


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"label_set": "rhythm"}, r"label set 'rhythm'.*not in the shards.*'class'"),
        ({"records": 1}, r"no class to tell apart in \{'train': 1, 'val': 1\}.*probe.records"),
    ],
)
def test_a_corpus_that_cannot_be_probed_is_refused_before_training(
    corpus: Corpus, accelerator: Accelerator, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        make_probe(corpus, accelerator, **changes)


@pytest.mark.parametrize("labelled", [(), (0,)])
def test_a_split_without_labels_is_refused(
    corpus: Corpus,
    accelerator: Accelerator,
    monkeypatch: pytest.MonkeyPatch,
    labelled: tuple[int, ...],
) -> None:
    rows = corpus.rows("val")[list(labelled)]

    def labels(self: Corpus, label_set: str) -> list[tuple[str, ...] | None]:
        kept = {*corpus.rows("train"), *rows}
        return [("AF",) if row in kept else None for row in range(len(self))]

    monkeypatch.setattr(Corpus, "labels", labels)
    with pytest.raises(InputError, match=f"split 'val'.*{len(rows)} labelled"):
        make_probe(corpus, accelerator)


def test_a_patient_on_both_sides_is_refused(
    corpus: Corpus, accelerator: Accelerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    patients = corpus.patients.copy()
    patients[:] = [f"p{row % 7}" for row in range(len(patients))]
    monkeypatch.setitem(corpus.__dict__, "patients", patients)
    with pytest.raises(InputError, match="patients both in train and in val"):
        make_probe(corpus, accelerator)


def test_labelled_shards_may_be_others_than_those_trained_on(
    corpus: Corpus, accelerator: Accelerator
) -> None:
    unlabelled: Any = Corpus(corpus.folder)
    unlabelled.labels = None
    there = make_probe(unlabelled, accelerator, data=corpus.folder)
    assert there.score(make_encoder()) == make_probe(corpus, accelerator).score(make_encoder())


class _Process(Accelerator):  # type: ignore[misc]
    """One of several processes that meet at a barrier, without a launcher."""

    def __init__(self, index: int, barrier: threading.Barrier, board: dict[int, Tensor]) -> None:
        self._index, self._barrier, self._board = index, barrier, board

    @property
    def num_processes(self) -> int:
        return self._barrier.parties

    @property
    def process_index(self) -> int:
        return self._index

    @property
    def device(self) -> torch.device:
        return torch.device("cpu")

    def autocast(self, *_: Any, **__: Any) -> Any:
        return nullcontext()

    def gather(self, tensor: Any) -> Any:
        self._board[self._index] = tensor
        self._barrier.wait(60)
        found = torch.cat([self._board[index] for index in range(self.num_processes)])
        self._barrier.wait(60)
        return found


@pytest.mark.parametrize("processes", [2, 3])
def test_any_number_of_processes_finds_the_same(
    corpus: Corpus, accelerator: Accelerator, processes: int
) -> None:
    expected = make_probe(corpus, accelerator)
    barrier = threading.Barrier(processes)
    board: dict[int, Tensor] = {}
    found: dict[int, tuple[dict[str, float], dict[str, int]]] = {}
    encoders = [make_encoder() for _ in range(processes)]

    def work(index: int) -> None:
        torch.set_num_threads(1)
        probe = make_probe(corpus, _Process(index, barrier, board))
        found[index] = (probe.score(encoders[index]), probe.counts)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(processes)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    scores = expected.score(make_encoder())
    for index in range(processes):
        assert found[index][0] == pytest.approx(scores)
        assert found[index][1] == expected.counts


def test_scores_are_those_of_the_embeddings_one_by_one(
    corpus: Corpus, accelerator: Accelerator
) -> None:
    encoder, labels = make_encoder(), corpus.labels("class")
    probe = make_probe(corpus, accelerator, batch_size=1000)
    features, targets = {}, {}
    for split in ("train", "val"):
        shuffled = np.random.default_rng(0).permutation(corpus.rows(split))
        by_patient: dict[str, int] = {}
        for row in shuffled:
            by_patient.setdefault(corpus.patients[row], row)
        rows = list(by_patient.values())
        signal = torch.from_numpy(
            np.stack([PREPROCESSOR(corpus.record(int(row))).signal for row in rows])
        )
        with torch.no_grad():
            tokens = encoder(signal, PREPROCESSOR.leads).tokens
        features[split] = tokens[:, :, 1:].mean(dim=2).flatten(1)
        targets[split] = np.array([[n in (labels[r] or ()) for n in probe.classes] for r in rows])
    scores = ridge_scores(features["train"], torch.from_numpy(targets["train"]), features["val"])
    expected = macro(class_scores(targets["val"], scores.numpy()).auroc)
    assert probe.score(encoder)["probe/auroc_macro"] == pytest.approx(float(expected), abs=1e-9)

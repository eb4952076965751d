"""HuBERT-ECG through transformers, against HubertModel called on an array made by hand."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from accelerate import Accelerator
from safetensors.torch import load_file, save_file
from transformers import HubertConfig, HubertModel
from transformers.models.hubert.modeling_hubert import HubertAttention

from finetune.classifiers.folder import load_classifier
from finetune.encoders.hubert_ecg import HubertNetwork
from finetune.encoders.opening import open_encoder
from finetune.encoders.other_encoder import OtherEncoder
from finetune.experiment.candidates import RANDOM, make_candidates
from finetune.run import finetune
from finetune.settings import FinetuneSettings
from finetune.training.layer_decay import decayed_adamw
from lamae.ecg.leads import LEADS
from lamae.ecg.preprocess import Preprocessor
from lamae.errors import InputError

MakeProbe = Callable[..., FinetuneSettings]
SIZES: dict[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "conv_dim": [8] * 5,
    "conv_stride": [4, 2, 2, 2, 2],
    "conv_kernel": [10, 3, 3, 2, 2],
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
}
"""Tiny, but for the strides: those of HuBERT-ECG."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Save a tiny HubertModel of random weights, as a user has a large one of trained weights."""
    torch.manual_seed(5)
    HubertModel(HubertConfig(**SIZES)).save_pretrained(tmp_path / "hubert")
    return tmp_path / "hubert"


@pytest.fixture
def description(folder: Path) -> Path:
    path = folder.parent / "hubert.yaml"
    path.write_text(yaml.safe_dump({"kind": "hubert", "file": "hubert", "width": 16}))
    return path


def tokens_of(description: Path, signal: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = open_encoder(description).encoder(signal, LEADS).tokens[:, 0, 1:]
    return found


def change_config(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_the_tokens_are_those_of_hubert_on_leads_put_one_behind_the_other(
    folder: Path, description: Path
) -> None:
    signal = np.random.default_rng(0).normal(size=(3, 12, 500))
    line = []
    for recording in signal:
        leads = [2 * (lead - lead.min()) / (lead.max() - lead.min()) - 1 for lead in recording]
        assert all((lead.min(), lead.max()) == (-1, 1) for lead in leads)
        line.append(np.concatenate(leads))
    model = HubertModel.from_pretrained(folder, local_files_only=True).eval()
    with torch.no_grad():
        own = model(torch.tensor(np.array(line), dtype=torch.float32)).last_hidden_state
    found = tokens_of(description, torch.tensor(signal, dtype=torch.float32))
    torch.testing.assert_close(found, own, atol=1e-5, rtol=0)
    assert found.shape[1] == 93  # of 6,000 samples, as HuBERT-ECG has


def test_recordings_are_read_as_hubert_ecg_was_trained_unless_told_otherwise(
    description: Path,
) -> None:
    reads = {"sampling_rate": 100, "duration_s": 5.0, "band_hz": (0.05, 47.0)}
    assert open_encoder(description).preprocessor == Preprocessor(**reads, normalisation="none")
    values = yaml.safe_load(description.read_text()) | {"preprocess": {"band_hz": [0.5, 40.0]}}
    description.write_text(yaml.safe_dump(values))
    found = open_encoder(description).preprocessor
    assert (found.band_hz, found.samples) == ((0.5, 40.0), 500)


@pytest.mark.parametrize("prefix", ["hubert_ecg.", "hubert."])
def test_a_checkpoint_with_a_head_and_older_names_gives_the_same_tokens(
    prefix: str, folder: Path, description: Path
) -> None:
    signal = torch.randn(2, 12, 500, generator=torch.Generator().manual_seed(0))
    before = tokens_of(description, signal)
    older = {"parametrizations.weight.original0": "weight_g"}
    older["parametrizations.weight.original1"] = "weight_v"
    weights = {}
    for name, value in load_file(folder / "model.safetensors").items():
        for now, then in older.items():
            name = name.replace(now, then)
        weights[prefix + name] = value
    assert any("weight_g" in name for name in weights)
    weights["classifier.weight"] = torch.zeros(3, 16)
    save_file(weights, folder / "model.safetensors")
    torch.testing.assert_close(tokens_of(description, signal), before, atol=0, rtol=0)


def test_no_name_of_code_in_the_config_is_followed(folder: Path, description: Path) -> None:
    signal = torch.randn(2, 12, 500, generator=torch.Generator().manual_seed(0))
    before = tokens_of(description, signal)
    change_config(
        folder,
        model_type="hubert_ecg",
        auto_map={"AutoModel": "someone/else--code.Model"},
        _attn_implementation="someone/kernel",
        attn_implementation="someone/kernel",
    )
    torch.testing.assert_close(tokens_of(description, signal), before, atol=0, rtol=0)


def test_weights_that_do_not_fit_the_config_are_refused(folder: Path, description: Path) -> None:
    change_config(folder, intermediate_size=64)
    with pytest.raises(InputError, match=r"shape \(32,.*expected shape \(64,.*config\.json"):
        open_encoder(description)
    change_config(folder, intermediate_size=32, num_hidden_layers=4)
    with pytest.raises(InputError, match=r"layers\.3\..*absent"):
        open_encoder(description)
    change_config(folder, num_hidden_layers=3, num_attention_heads=3)
    with pytest.raises(InputError, match=r"config\.json: .*sizes of a HubertModel"):
        open_encoder(description)
    change_config(folder, num_attention_heads=2, conv_kernel=[3])
    with pytest.raises(InputError, match=r"config\.json: .*sizes of a HubertModel"):
        open_encoder(description)
    (folder / "model.safetensors").unlink()
    with pytest.raises(InputError, match=r"no .*model\.safetensors"):
        open_encoder(description)


def test_the_baseline_has_other_weights_of_the_same_sizes(
    description: Path, make_probe: MakeProbe
) -> None:
    candidates = make_candidates(make_probe(encoder=description), ("A", "B"))
    own, random = (candidate.encoder for candidate in candidates.by_name.values())
    assert list(candidates.by_name)[1] == RANDOM
    assert own is not None and random is not None
    one, other = own.state_dict(), random.state_dict()
    assert {k: v.shape for k, v in one.items()} == {k: v.shape for k, v in other.items()}
    drawn = [name for name in one if name.endswith("feed_forward.intermediate_dense.weight")]
    assert len(drawn) == 3
    assert not any(torch.equal(one[name], other[name]) for name in drawn)


def test_each_block_below_learns_more_slowly(description: Path) -> None:
    encoder = open_encoder(description).encoder
    assert isinstance(encoder, OtherEncoder)
    model = torch.nn.ModuleDict({"encoder": encoder, "head": torch.nn.Linear(2, 2)})
    optimizer = decayed_adamw(
        model, encoder.settings, lr=1.0, layer_decay=0.5, weight_decay=0.0, betas=(0.9, 0.99)
    )
    rates = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    found = {name: rates[id(parameter)] for name, parameter in model.named_parameters()}
    blocks = [f"encoder.network.hubert.encoder.layers.{n}.attention.k_proj.weight" for n in (0, 2)]
    below = "encoder.network.hubert.feature_projection.projection.weight"
    named = [found[name] for name in (below, *blocks, "head.weight")]
    assert named == [0.5**4, 0.5**3, 0.5, 1.0]  # three blocks, and what is below them
    unsaid = encoder.settings.model_copy(update={"hubert": {}})
    assert unsaid.blocks == HubertConfig().num_hidden_layers


def test_training_neither_masks_nor_drops_blocks(description: Path) -> None:
    encoder = open_encoder(description).encoder
    assert isinstance(encoder, OtherEncoder) and isinstance(encoder.network, HubertNetwork)
    for module in encoder.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
        if isinstance(module, HubertAttention):
            module.dropout = 0.0
    signal = torch.randn(2, 12, 500)
    with torch.no_grad():
        used, trained = (encoder.train(mode)(signal, LEADS).tokens for mode in (False, True))
    assert encoder.training
    torch.testing.assert_close(trained, used, atol=1e-6, rtol=0)
    encoder.requires_grad_(False)
    assert not encoder.train().training


@pytest.mark.slow
def test_a_trained_classifier_is_used_without_the_folder(
    folder: Path, description: Path, make_probe: MakeProbe, accelerator: Accelerator
) -> None:
    training = {"epochs": 1, "batch_size": 16, "warmup_epochs": 0.0}
    values = {"encoder": description, "mode": "full", "training": training, "pooling": "mean"}
    settings = make_probe(**values, baselines=())
    finetune(settings)
    before = open_encoder(description).encoder.state_dict()
    shutil.rmtree(folder)
    assert settings.run_dir is not None
    model = load_classifier(settings.run_dir).classifier.model
    after = model.get_submodule("encoder").state_dict()
    assert before.keys() == after.keys()
    assert any(not torch.equal(before[name], after[name]) for name in before)

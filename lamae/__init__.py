"""LAMAE: latent attention masked autoencoder for 12-lead ECG.

One legend of axes for the whole program, in signatures and einops patterns:
b batch (recordings), l leads, s leads that the encoder sees, n patches along time,
p samples in a patch, v visible patches, k decoded patches,
t tokens of a lead (its CLS, then its visible patches), d width.

One legend of masks; of those that are boolean the name is that of True:
visible   numbers of the patches of each seen lead that the encoder sees (MAE's ids_keep)
seen      rows of the leads that the encoder sees; whole leads can be hidden
hidden    patches that the encoder does not see, in any lead
decoded   numbers of the hidden patches that the decoder predicts; all unless it predicts a share
present   leads that a recording has
valid     patches that were recorded to their last sample; the others are padding
counted   patches that enter the loss: decoded, of a present lead, and valid
sees      tokens that others may attend to: CLS and valid patches, of present leads

batches/     shards become batches, in an order that is a function of (seed, step)
ecg/         an ECG: its leads, one recording, its signals, and a model's input
edge/        classifiers on a device, without torch
figures/     ECG paper, reconstructions and HTML pages
model/       LAMAE: masks, encoder, autoencoder, and both as files
pretrained/  a saved model in use: opened by its name, it reads recordings and answers
quality/     tests of whether a recording can be true
readers/     files of many formats become records
remote/      files that lie elsewhere: URLs, and stores behind them
release/     released models: found by name, described, checked, given away
runs/        the folder of a run: attempts, checkpoints, checksums, logs
settings/    behind config.py: arguments, YAML, keys, sentences on what is wrong
statistics/  measures with honest intervals, in numpy alone
storage/     shards on disk: samples, their codec, manifest, index and corpus
training/    parts that pretraining and fine-tuning share: optimiser, schedule, saved state
weights/     weights that this project has trained, with their licence
command_line.py  a command line becomes work, help, or a sentence on what is wrong
commands.py      the verbs of a program: settings, function, example
config.py        settings from YAML files and key=value arguments
errors.py        errors that a user's input can cause
faults.py        faults of disks and folders in a sentence
files.py         files that appear whole or not at all
packages.py      packages that an installation may lack
reference.py     pages of every verb and setting, made of the classes
usage.py         help of a program and of its verbs
"""

import importlib
from typing import Any

_PUBLIC = {
    "LAMAE": "lamae.model.autoencoder",
    "Corpus": "lamae.storage.corpus",
    "Encoder": "lamae.model.encoder",
    "OnnxClassifier": "lamae.edge.onnx_classifier",
    "Preprocessor": "lamae.ecg.preprocess",
    "decode_ecg": "lamae.storage.webdataset_decoder",
    "from_pretrained": "lamae.pretrained.opening",
    "load_autoencoder": "lamae.model.checkpoint",
    "load_encoder": "lamae.model.checkpoint",
    "read_ecg": "lamae.readers.any_file",
    "read_wfdb": "lamae.readers.wfdb.record_files",
    "record_from": "lamae.readers.record_from",
}

__all__ = list(_PUBLIC)


def __getattr__(name: str) -> Any:
    """Import a public name on first use, so that `import lamae` needs no torch."""
    if name not in _PUBLIC:
        raise AttributeError(f"module 'lamae' has no attribute {name!r}")
    return getattr(importlib.import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    """Return the public names, so that a shell can complete them."""
    return sorted([*globals(), *_PUBLIC])

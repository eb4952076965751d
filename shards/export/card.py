"""The dataset card: README.md of an export, with the YAML that the Hub reads."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import yaml

from lamae.errors import InputError
from lamae.release.hub import CARD
from lamae.release.licences import DataLicence
from lamae.storage.corpus import Corpus

_TEMPLATE = Path(__file__).with_name("card.md.j2")
_YAML = re.compile(r"---\n(.*?)\n---\n", re.DOTALL)
_LICENCES = {
    "odbl-1.0": "odbl",
    "odc-by-1.0": "odc-by",
    "pddl-1.0": "pddl",
    "apache-2.0": "apache-2.0",
    "mit": "mit",
}
_TAGS = ("ecg", "electrocardiogram", "medical", "lamae", "croissant")
CREDENTIALED = "credentialed"
"""Key of the card's YAML: true where the recordings may not be uploaded."""


def render_card(
    corpus: Corpus,
    *,
    name: str,
    form: str,
    data_set: DataLicence | None,
    yaml_of_files: Mapping[str, Any],
) -> str:
    """Return the text of a card; without a licence it says that there is none to share it by."""
    manifest = corpus.manifest
    metadata: dict[str, Any] = {"pretty_name": data_set.name if data_set else name}
    if data_set is not None:
        metadata |= licence_on_the_hub(data_set.license)
        metadata[CREDENTIALED] = data_set.credentialed
    metadata |= {"tags": list(_TAGS), "size_categories": [_size(len(corpus))], **yaml_of_files}
    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True, autoescape=False
    )
    text = environment.from_string(_TEMPLATE.read_text()).render(
        name=metadata["pretty_name"],
        form=form,
        data_set=data_set,
        splits=manifest["splits"],
        label_sets=manifest["label_sets"],
        rejects=sum(manifest["rejects"].values()),
        left_out=manifest["left_out"],
        digest=corpus.digest,
        facts=corpus.facts(),
    )
    header = yaml.safe_dump(metadata, sort_keys=False, allow_unicode=True)
    return f"---\n{header}---\n\n{text.strip()}\n"


def licence_on_the_hub(licence: str) -> dict[str, str]:
    """Return the keys of a card for a licence: the Hub has names of its own for those it knows."""
    plain = licence.lower()
    if plain in _LICENCES or plain.startswith("cc"):
        return {"license": _LICENCES.get(plain, plain)}
    return {"license": "other", "license_name": plain}


def refuse_unshared(card: str, folder: Path) -> None:
    """Raise InputError for a card that names no licence, or recordings that may not be shared."""
    match = _YAML.match(card)
    try:
        found = yaml.safe_load(match[1]) if match else None
    except yaml.YAMLError:
        found = None
    found = found if isinstance(found, dict) else {}
    if not found.get("license"):
        raise InputError(
            f"{CARD} of {folder}",
            value="no licence in its YAML",
            expected="the licence of the recordings",
            remedy="Give data_set.name=, data_set.license= and data_set.citation=.",
        )
    if found.get(CREDENTIALED):
        raise InputError(
            f"{CARD} of {folder}",
            value="recordings of credentialed access",
            expected="recordings that their licence lets you share",
            remedy="Share the settings of the build and splits.csv instead: who has access can "
            "build the same.",
        )


def _size(records: int) -> str:
    """Return the Hub's category of a number of rows."""
    limits: Sequence[tuple[int, str]] = (
        (1_000, "n<1K"),
        (10_000, "1K<n<10K"),
        (100_000, "10K<n<100K"),
        (1_000_000, "100K<n<1M"),
    )
    return next((name for limit, name in limits if records < limit), "1M<n<10M")

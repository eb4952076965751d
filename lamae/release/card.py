"""The model card: README.md of a release, from its description and results, with the Hub's YAML."""

import re
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import jinja2
import yaml

from lamae.errors import InputError
from lamae.release.description import ReleaseDescription
from lamae.release.hub import CARD, HUB, HubName, import_hub
from lamae.release.output import ClassDescription, Measure

_TEMPLATE = Path(__file__).with_name("card.md.j2")
_HEADING = re.compile(r"^## (.+)$", re.MULTILINE)
_TAGS = ("ecg", "electrocardiogram", "medical", "safetensors")
_TASKS = {"encoder": "feature-extraction"}
_CANDIDATES = {
    "random": "random weights",
    "kernels": "untrained kernels",
    "kernels_and_encoder": "untrained kernels and this model together",
}
_HUB_METRICS = {"auroc": "roc_auc", "auprc": "average_precision"}


def render_card(description: ReleaseDescription, results: Mapping[str, Any]) -> str:
    """Return the text of the card; raises InputError where a section has no content."""
    evaluation = results["evaluation"]
    classes = [one for one in description.output.classes if one.auroc]
    per_class = {"rows": ()} if classes else _by_class(evaluation)
    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True, autoescape=False
    )
    text = environment.from_string(_TEMPLATE.read_text()).render(
        d=description,
        place=description.home or description.name,
        codes=_codes,
        results=_tables(description),
        mean=_mean(description),
        by_class=per_class,
        worst=min(classes, key=lambda one: one.auroc.estimate if one.auroc else 1, default=None),
        audit=evaluation.get("audit", {}).get("sentences", ()),
        evaluated=evaluation["command"] if description.kind == "encoder" else None,
    )
    card = f"---\n{_metadata(description)}---\n\n{_spaced(text)}"
    for section in empty_sections(card):
        raise InputError(
            f"model card, section {section!r}",
            value="no content",
            expected="a sentence or a table in every section",
            remedy="Give the settings that it is made of: see the description of a release.",
        )
    return card


def empty_sections(card: str) -> list[str]:
    """Return the sections of the template that a card lacks or that have no content."""
    headings = _HEADING.findall(_TEMPLATE.read_text())
    parts = _HEADING.split(card)
    found = dict(zip(parts[1::2], parts[2::2], strict=True))
    return [name for name in headings if not re.search(r"\w", found.get(name, ""))]


def card_problems(card: str, description: ReleaseDescription) -> list[str]:
    """Return what is wrong with a card: empty sections, and YAML that says another thing.

    Its text may have been edited.
    """
    problems = [f"section {name!r} of {CARD} has no content" for name in empty_sections(card)]
    match = re.match(r"---\n(.*?)\n---\n", card, re.DOTALL)
    try:
        found = yaml.safe_load(match[1]) if match else None
    except yaml.YAMLError as error:
        return [*problems, f"the YAML of {CARD} cannot be read: {str(error).splitlines()[0]}"]
    wanted = yaml.safe_load(_metadata(description))
    if not isinstance(found, dict):
        return [*problems, f"{CARD} does not begin with YAML between two lines ---"]
    return problems + [
        f"{key} in the YAML of {CARD} is not as in release.json"
        for key in ("license", "library_name", "model-index")
        if found.get(key) != wanted.get(key)
    ]


def _metadata(description: ReleaseDescription) -> str:
    """Return the YAML in which the Hub looks for licence, tags and results."""
    hub = import_hub()
    own = _own(description)
    evaluated = description.license.data[0].name
    found = [
        hub.EvalResult(
            task_type="ecg-classification",
            task_name=f"{one.task}, {one.protocol}",
            dataset_type=re.sub(r"[^a-z0-9]+", "-", evaluated.lower()),
            dataset_name=evaluated,
            metric_type=_HUB_METRICS[one.metric],
            metric_name=f"{_mean(description)}{one.metric.upper()}",
            metric_value=round(one.value.estimate, 4),
            metric_args={
                "ci_low": round(one.value.low, 4),
                "ci_high": round(one.value.high, 4),
                "recordings": one.recordings,
                "patients": one.patients,
            },
        )
        for one in description.results
        if one.candidate == own
    ]
    data = hub.ModelCardData(
        language=None,
        license=description.license.weights.lower(),
        library_name="lamae",
        pipeline_tag=_TASKS.get(description.kind),
        tags=[*_TAGS, description.kind, f"{len(description.input.leads)}-lead"],
        datasets=[data.hub for data in description.license.data if data.hub] or None,
        metrics=sorted({_HUB_METRICS[one.metric] for one in description.results}) or None,
        base_model=_on_the_hub(description.base_model),
        model_name=description.name,
        eval_results=found or None,
    )
    return str(data.to_yaml()).strip() + "\n"


def _on_the_hub(model: str | None) -> str | None:
    """Return `owner/name` of a model on the Hub; None of another, which the Hub cannot link."""
    return HubName.parse(model).repository if model and model.startswith(HUB) else None


def _own(description: ReleaseDescription) -> str:
    """Return under which name the model itself stands among the candidates."""
    if description.output.score:
        return description.output.score.name
    return description.results[0].candidate if description.results else ""


def _tables(description: ReleaseDescription) -> list[dict[str, Any]]:
    """Return a table of candidates for each task and protocol."""
    own, tables = _own(description), []
    for (task, protocol), group in groupby(
        description.results, key=lambda one: (one.task, one.protocol)
    ):
        found = list(group)
        rows: dict[str, dict[str, Any]] = {}
        for one in found:
            name = _in_words(one.candidate, own)
            rows.setdefault(name, {"name": name})[one.metric] = one.value
        people = f" of {found[0].patients:,} patients" if found[0].patients else ""
        title = f"{task}, {protocol}: {found[0].recordings:,} recordings{people}"
        tables.append({"title": title, "rows": [*rows.values()]})
    return tables


def _by_class(evaluation: Mapping[str, Any]) -> dict[str, Any]:
    """Return the AUROC of each class and candidate, of a task that tried an encoder."""
    measured = evaluation.get("per_class", {})
    own = evaluation.get("model", "")
    others = [*(evaluation.get("candidates") or evaluation.get("contenders") or {own: None})]
    names = ["auroc" if other == own else f"auroc_{other}" for other in others]
    rows = [
        (name, [Measure.model_validate(found[key]) if found.get(key) else "" for key in names])
        for name, found in measured.items()
    ]
    return {"candidates": [_in_words(other, own) for other in others], "rows": rows}


def _mean(description: ReleaseDescription) -> str:
    return "" if description.kind == "detector" else "macro "


def _in_words(candidate: str, own: str) -> str:
    if candidate == own:
        return "**this model**"
    return _CANDIDATES.get(candidate, candidate.replace("_", " "))


def _codes(described: ClassDescription) -> str:
    return "; ".join(f"{system} {_joined(codes)}" for system, codes in described.codes.items())


def _joined(codes: Sequence[str]) -> str:
    return ", ".join(codes)


def _spaced(text: str) -> str:
    """Return text with one empty line where a template leaves more."""
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"

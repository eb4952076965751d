"""The verb predict: a saved model on a recording, a folder of recordings, or shards."""

from tqdm import tqdm

from finetune.prediction.outputs import counts_of, outcome_table, told, write_about, write_table
from finetune.prediction.request import check_request, open_request
from finetune.prediction.settings import PredictSettings
from finetune.prediction.terminal import answer_lines
from lamae.pretrained.opening import kind_of
from lamae.pretrained.pretrained import Pretrained
from lamae.release.place import find_model
from lamae.storage.manifest import is_corpus


def predict(settings: PredictSettings) -> list[str]:
    """Show the answer for one recording; write those for many, and say how many there are."""
    check_request(settings)
    lines: list[str] = []
    model: Pretrained
    place = find_model(settings.model, revision=settings.revision)
    if is_corpus(settings.source) and kind_of(place)[0] == "classifier":
        from finetune.prediction.shards import answer_shards  # on several processes, by accelerate

        model, outcomes = answer_shards(settings, place)
        if outcomes is None:
            return []
    else:
        model, found = open_request(settings, place)
        if not model.classes:
            raise model.cannot("predict", "a classifier or detector")
        shown = tqdm(found.recordings, "predict", unit=" recordings", disable=found.is_single)
        answered = model.outcomes(iter(shown), min_leads=settings.min_leads)
        outcomes = [outcome.without_embedding() for outcome in answered]
        if found.is_single:
            if outcomes[0].error:
                raise outcomes[0].error
            lines += answer_lines(outcomes[0], model)
    if settings.output is not None:
        write_table(settings.output, outcome_table(outcomes, model, layout=settings.layout))
        counts = counts_of(outcomes)
        write_about(settings, model, counts)
        lines.append(f"{told(counts)}: {settings.output}")
    return lines

"""A recording of the shards in the clinical layout, with what is known and measured of it."""

from functools import cached_property
from importlib.util import find_spec

from matplotlib.figure import Figure

from finetune.evaluation.group_results import known_cell
from finetune.evaluation.recording_facts import group_facts, is_age
from lamae.batches.dataset import Split
from lamae.ecg.measurements import measure_ecg
from lamae.figures.clinical import RHYTHM_LEAD, Shading, clinical_ecg, measured_line

NOT_INSTALLED = (
    "Rate, intervals and axis are not measured: neurokit2 is not installed "
    "(pip install 'lamae[clinical]')."
)
MEASURED = (
    "Rate, intervals and axis are measured by program, QT and QTc approximately: see "
    "docs/explanation/statistics.md for how far they were from a known truth."
)


class Drawer:
    """Draws recordings of a split as their shards hold them, not as a model sees them."""

    def __init__(self, data: Split) -> None:
        """Take the recordings."""
        self._data = data

    @cached_property
    def measures(self) -> bool:
        """True where rate, intervals and axis are measured."""
        return find_spec("neurokit2") is not None

    def key(self, position: int) -> str:
        """Return the key of a recording."""
        return str(self._data.corpus.keys[self._data.rows[position]])

    def draw(
        self,
        position: int,
        *,
        title: str,
        shading: Shading | None = None,
        rhythm_lead: str = RHYTHM_LEAD,
    ) -> Figure:
        """Draw a recording by its position in the split."""
        row = int(self._data.rows[position])
        record = self._data.corpus.record(row)
        signal_mv, rate = record.signal_mv(), record.sampling_rate
        found = None
        if self.measures:
            found = measure_ecg(signal_mv, record.leads, sampling_rate=rate)
        age, sex = (known_cell(cells[row]) if cells else None for cells in self._age_and_sex)
        return clinical_ecg(
            signal_mv,
            record.leads,
            sampling_rate=rate,
            title=title,
            details=measured_line(found, age=age, sex=sex),
            shading=shading,
            rhythm_lead=rhythm_lead,
        )

    @cached_property
    def _age_and_sex(self) -> tuple[list[str | None] | None, list[str | None] | None]:
        corpus = self._data.corpus
        facts = group_facts(corpus, None)
        ages = [fact for fact in facts if is_age(fact)]
        sexes = [fact for fact in facts if not is_age(fact)]
        return (
            corpus.about(ages[0]) if ages else None,
            corpus.about(sexes[0]) if sexes else None,
        )

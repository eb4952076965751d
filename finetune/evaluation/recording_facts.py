"""Facts about recordings by which results are grouped.

Beside what a source tells of its recordings, shards hold how each was recorded and what its quality
check found.
"""

import re
from collections.abc import Sequence

import numpy as np

from lamae.ecg.leads import LEADS
from lamae.errors import InputError
from lamae.storage.corpus import Corpus

FLAGS, LEADS_PRESENT, RATE = "quality flags", "leads present", "sampling rate"
OF_RECORDINGS = (FLAGS, LEADS_PRESENT, RATE)
"""Facts that every corpus has."""

_AGE = re.compile(r"(patient)?age(years|yrs)?")
_SEX = re.compile(r"(patient)?(sex|gender)")


def group_facts(corpus: Corpus, wanted: Sequence[str] | None) -> tuple[str, ...]:
    """Return the facts to group by: those wanted, or age and sex where the shards have them.

    Case, blanks and underscores do not matter. Raises InputError for a fact that the shards lack.
    """
    if wanted is not None and not wanted:
        return ()
    known = {plain(name): name for name in OF_RECORDINGS}
    known |= {plain(name): name for name in reversed(corpus.facts())}
    if wanted is None:
        found = [each for kind in (_AGE, _SEX) for each in sorted(known) if kind.fullmatch(each)]
        return tuple(known[each] for each in found)
    lacking = [name for name in wanted if plain(name) not in known]
    if lacking:
        raise InputError(
            f"groups by {', '.join(lacking)}",
            value=f"not in {corpus.location}",
            expected=f"some of {', '.join((*corpus.facts(), *OF_RECORDINGS))}",
            remedy="Name one of these in groups=, or build the shards with about_columns=.",
        )
    return tuple(dict.fromkeys(known[plain(name)] for name in wanted))


def fact_cells(corpus: Corpus, fact: str, rows: np.ndarray) -> list[str | None]:
    """Return a fact about some recordings, as text; None where it is not known.

    A column of the source goes before a fact of the recording of the same name. Flags that a
    recording has together are one value.
    """
    if fact in corpus.facts():
        cells = corpus.about(fact)
        return [cells[row] for row in rows]
    if fact == FLAGS:
        flags = corpus.flags()
        return [", ".join(sorted(flags[row])) or "no flag" for row in rows]
    if fact == LEADS_PRESENT:
        places, sets = corpus.lead_sets(rows)
        names = [_lead_set(leads) for leads in sets]
        return [names[place] for place in places]
    _, rates = corpus.lengths(rows)
    return [f"{rate} Hz" for rate in rates]


def is_age(fact: str) -> bool:
    """Say whether the name of a fact is that of an age."""
    return _AGE.fullmatch(plain(fact)) is not None


def plain(name: str) -> str:
    """Return a name without what does not matter in it."""
    return re.sub(r"[\W_]+", "", name).casefold()


def _lead_set(leads: Sequence[str]) -> str:
    absent = [lead for lead in LEADS if lead not in leads]
    if not absent:
        return "all 12"
    return f"all but {', '.join(absent)}" if len(absent) < len(leads) else ", ".join(leads)

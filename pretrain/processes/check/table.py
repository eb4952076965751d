"""Lines of the table of a check, on which all processes agree."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, Literal, NamedTuple, TypeVar

from lamae.errors import SentenceError
from lamae.faults import about, fault
from lamae.runs.cores import node_name
from pretrain.processes.stopping import Agreement

Result = Literal["pass", "warn", "fail"]
T = TypeVar("T")
BAD_NODES = "bad nodes: "
"""Beginning of the line that names nodes without which the check would have passed."""


class Line(NamedTuple):
    """A line of the table."""

    result: Result
    """Prospect of the run: it would go, may go badly, or would fail."""
    subject: str
    """Thing that was tried."""
    found: str
    """Outcome in words."""
    remedy: str = ""
    """Thing to do, where it did not pass."""
    bad_nodes: tuple[str, ...] = ()
    """Nodes that are to blame; none where all nodes failed alike."""

    def __str__(self) -> str:
        """Return the line as it is shown."""
        remedy = f" {self.remedy}" if self.remedy else ""
        return f"{self.result:<5} {self.subject:<11} {self.found}{remedy}"


@dataclass(frozen=True)
class Found(Generic[T]):
    """Outcome on one process."""

    node: str
    """Name of its machine."""
    value: T | None
    """Thing that it found; None where it failed."""
    failure: str
    """The sentence of its failure; empty without one."""


def on_all(agreement: Agreement, probe: Callable[[], T]) -> list[Found[T]]:
    """Let every process probe; return what each found, or the sentence with which it failed."""
    value, failure = None, ""
    try:
        value = probe()
    except SentenceError as error:
        failure = str(error)
    except OSError as error:
        failure = str(fault(error, about(error), afterwards="check again"))
    except RuntimeError as error:  # of a device, of a compiler
        failure = f"{type(error).__name__}: {str(error).strip().splitlines()[0]}"
    return agreement.gather(Found(node_name(), value, failure))


def failed(subject: str, found: Sequence[Found[T]], remedy: str = "") -> Iterator[Line]:
    """Yield the line of what failed on some process, if it did on any."""
    bad = list(dict.fromkeys(each.node for each in found if each.failure))
    if not bad:
        return
    first = next(each for each in found if each.failure)
    is_all = bad == list(dict.fromkeys(each.node for each in found))
    on = "" if is_all else f"on {', '.join(bad)}: "
    blamed = () if is_all else tuple(bad)
    yield Line("fail", subject, f"{on}{first.failure}", remedy, blamed)


def values(found: Sequence[Found[T]]) -> list[T]:
    """Return what the processes found that did not fail."""
    return [each.value for each in found if each.value is not None]

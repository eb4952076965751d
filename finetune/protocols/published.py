"""Published protocols as data: rules that can be cited, compared and followed by any encoder.

Two numbers on "CPSC 2018, linear probe" can be of two protocols and say nothing of two encoders:
ST-MEM is printed with 0.704 (HeartLang, table 1) and with 0.945 (arXiv 2509.25095).
"""

from typing import Literal, NamedTuple

from lamae.config import Settings

DIAGNOSTIC = (
    "1AVB", "2AVB", "3AVB", "ALMI", "AMI", "ANEUR", "ASMI", "CLBBB", "CRBBB", "DIG", "EL", "ILBBB",
    "ILMI", "IMI", "INJAL", "INJAS", "INJIL", "INJIN", "INJLA", "IPLMI", "IPMI", "IRBBB", "ISCAL",
    "ISCAN", "ISCAS", "ISCIL", "ISCIN", "ISCLA", "ISC_", "IVCD", "LAFB", "LAO/LAE", "LMI", "LNGQT",
    "LPFB", "LVH", "NDT", "NORM", "NST_", "PMI", "RAO/RAE", "RVH", "SEHYP", "WPW",
)  # fmt: skip
"""The 44 statements that PTB-XL's scp_statements.csv calls diagnostic."""


class Division(Settings):
    """Division of recordings into training and evaluation."""

    kind: Literal["folds", "cross", "records"]
    """folds: training folds and a test fold of the shards. cross: by patient, every recording
    scored once, by a classifier that has not seen it. records: by the number in a record's name."""
    train: tuple[int, ...] = ()
    """Training folds, for folds."""
    evaluation: tuple[int, ...] = ()
    """Test fold, and folds to take in its place where the shards lack it, for folds."""
    number: int = 0
    """Number of folds for cross; highest number of a training record for records."""

    def __str__(self) -> str:
        """Say it in a few words."""
        if self.kind == "cross":
            return f"{self.number}-fold by patient"
        if self.kind == "records":
            return f"training records up to {self.number}, the others evaluated"
        folds = ", ".join(map(str, self.train))
        return f"folds {folds} train, {self.evaluation[0]} is evaluated"


class Rules(Settings):
    """Rules of a protocol: its task, and its reading of recordings.

    Two sets of rules differ in the fields that differ; a field is explained by
    finetune/data/tasks.py and finetune/protocols/reading.py.
    """

    label_set: str
    """Label set of the shards."""
    classes: tuple[str, ...] | None = None
    """Classes; by default all that there are."""
    one_class: bool = False
    """Recordings with exactly one class alone, told apart by a softmax."""
    require_class: bool = False
    """Leave out recordings with none of the classes."""
    division: Division
    """Patients to learn from and patients to evaluate."""
    through_rate: int | None = None
    """Sampling rate of the recordings in Hz; by default the encoder's own."""
    first_s: float | None = None
    """Seconds from the start that are kept; by default all."""
    windows: Literal["all", "first"] = "all"
    """Features are averaged over windows that cover the recording, or are of the first."""
    padding: Literal["masked", "seen"] = "masked"
    """Zeros behind a short recording: hidden from the encoder, or seen by it."""
    scale: Literal["encoder", "min_max"] = "encoder"
    """The encoder's own normalisation, or 0 to 1 over leads and window."""


class Protocol(NamedTuple):
    """One published protocol."""

    name: str
    """Unique."""
    source: str
    """Publication or code that states it."""
    rules: Rules
    """Its rules."""
    published: str
    """Figures of its sources, macro AUROC where nothing else is said."""
    departs: tuple[str, ...] = ()
    """Departures from it here, whatever the shards."""


_BENCHMARK = Division(kind="folds", train=tuple(range(1, 9)), evaluation=(10, 9))
_PENALTY = "the penalty is chosen on held-out training patients"
_DRAWN = "which recordings are in a fold is drawn here, by patient"

_STRODTHOFF = "Strodthoff et al. 2021, github.com/helme/ecg_ptbxl_benchmarking"
_HEARTLANG = (
    "HeartLang, table 1, by finetune_dataset.py of github.com/cheliu-computation/MERL-ICML2024"
)
_ICLR = "arXiv 2509.25095 (ICLR 2026), github.com/AI4HealthUOL/ecg-fm-benchmarking"
_KWEIMANN = "github.com/kweimann/ECG-JEPA, README"


def _ptbxl(
    name: str,
    published: str,
    *,
    label_set: str | None = None,
    classes: tuple[str, ...] | None = None,
) -> Protocol:
    """Return the benchmark's protocol of a task; by default the task is the label set."""
    rules = Rules(
        label_set=label_set or name, classes=classes, require_class=True, division=_BENCHMARK
    )
    departs = ("a linear probe, where the benchmark trains networks",)
    return Protocol(f"ptbxl_{name}", _STRODTHOFF, rules, f"supervised, best: {published}", departs)


def _heartlang(name: str, published: str) -> Protocol:
    rules = Rules(
        label_set=name,
        require_class=True,
        division=_BENCHMARK,
        windows="first",
        padding="seen",
        scale="min_max",
    )
    departs = (_PENALTY, "the encoder's own band filter is kept")
    return Protocol(f"ptbxl_{name}_heartlang", _HEARTLANG, rules, published, departs)


PROTOCOLS: tuple[Protocol, ...] = (
    _ptbxl("superclass", "0.930(05)"),
    _heartlang("superclass", "linear, 100 % labels: HeartLang 0.875, ST-MEM 0.714"),
    Protocol(
        "ptbxl_superclass_one_class",
        f"ST-MEM's task as in {_KWEIMANN}",
        Rules(label_set="superclass", one_class=True, division=_BENCHMARK),
        "linear: ECG-JEPA ViT-S 0.928(03), ST-MEM 0.838(11)",
        (_PENALTY,),
    ),
    _ptbxl("subclass", "0.930(10)"),
    _heartlang("subclass", "linear, 100 % labels: HeartLang 0.889, ST-MEM 0.636"),
    _ptbxl("form", "0.899(22)"),
    _heartlang("form", "linear, 100 % labels: HeartLang 0.802, ST-MEM 0.661"),
    _ptbxl("rhythm", "0.957(19)"),
    _heartlang("rhythm", "linear, 100 % labels: HeartLang 0.903, ST-MEM 0.749"),
    Protocol(
        "ptbxl_statements",
        f"{_STRODTHOFF}; linear as in {_KWEIMANN}",
        Rules(label_set="statements", division=_BENCHMARK),
        "supervised 0.925(08); linear: ECG-JEPA ViT-S 0.938(02), random ViT-B 0.867",
        (_PENALTY,),
    ),
    _ptbxl("diagnostic", "0.937(08)", label_set="statements", classes=DIAGNOSTIC),
    Protocol(
        "cpsc2018_iclr2026",
        _ICLR,
        Rules(label_set="cpsc2018", division=Division(kind="cross", number=10)),
        "linear: ECG-JEPA 0.975 [0.969, 0.981], ST-MEM 0.945 [0.929, 0.959]",
        (_DRAWN, "all ten folds are evaluated, where the source divides 8/1/1 once", _PENALTY),
    ),
    Protocol(
        "cpsc2018_heartlang",
        _HEARTLANG,
        Rules(
            label_set="cpsc2018",
            division=Division(kind="cross", number=5),
            first_s=5.0,
            windows="first",
            padding="seen",
            scale="min_max",
        ),
        "linear, 100 % labels: HeartLang 0.779, ST-MEM 0.704",
        (
            _DRAWN,
            "all five folds are evaluated, where the source divides 4,950/551/1,376 once",
            "zeros reach to the end of the encoder's window, in the source to 10 s",
            _PENALTY,
        ),
    ),
    Protocol(
        "cpsc2018_ecg_jepa",
        "ECG_JEPA, github.com/sehunfromdaegu/ECG_JEPA",
        Rules(label_set="cpsc2018", division=Division(kind="records", number=6000)),
        "linear, its own log: 0.971; no validation set",
        ("folders g1 to g6 of the Challenge train, as record numbers; g7 is evaluated", _PENALTY),
    ),
    Protocol(
        "cpsc2018_hubert",
        "HuBERT-ECG, github.com/Edoar-do/HuBERT-ECG",
        Rules(
            label_set="cpsc2018",
            division=Division(kind="cross", number=4),
            through_rate=100,
            first_s=5.0,
            windows="first",
        ),
        "fine-tuned, not probed; no figure here",
        (
            _DRAWN,
            "quarters, where the source divides 5,583/607/687 four times",
            "the first 5 s: which the source takes is not known here",
            _PENALTY,
        ),
    ),
)
"""In the order of a table; of those on one label set, the first is what others are compared to."""

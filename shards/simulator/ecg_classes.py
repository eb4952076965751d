"""The classes of simulated ECG: intervals, rhythm and the shape of their beats.

Criteria are those of the AHA/ACCF/HRS recommendations for the standardization and interpretation
of the ECG (2009) unless a class names another. QTc is Fridericia's, QT = QTc * (RR / 1 s)^(1/3).
"""

from types import MappingProxyType
from typing import NamedTuple

from shards.simulator.dipole import Section, Wave

P, QRS, T = Section.P, Section.QRS, Section.T
Range = tuple[float, float]
Waves = tuple[Wave, ...]


class EcgClass(NamedTuple):
    """Features of a class; ranges are low, high."""

    reports: tuple[str, ...]
    """Statement that a cart would print."""
    beats: tuple[Waves, ...]
    """Morphologies of the dominant beat; a patient has one of them."""
    premature: tuple[Waves, ...] = ()
    """Morphologies of premature beats; empty where there are none."""
    pr_ms: Range = (130, 190)
    """Onset of P to onset of QRS."""
    qrs_ms: Range = (80, 102)
    """Onset to end of QRS."""
    qtc_ms: Range = (385, 430)
    """Onset of QRS to end of T, corrected to 60 beats per minute."""
    rate_bpm: Range = (56, 92)
    """Beats per minute."""
    fibrillating: bool = False
    """Atrial fibrillation: irregular beats, fibrillatory waves."""


_P_SINUS = (
    Wave(P, 0.36, 0.15, 0.15, (0.030, 0.075, -0.060)),
    Wave(P, 0.64, 0.15, 0.15, (0.070, 0.055, 0.045)),
)
_P_ATRIAL = (
    Wave(P, 0.36, 0.13, 0.13, (0.040, -0.060, -0.040)),
    Wave(P, 0.66, 0.13, 0.13, (0.030, -0.080, 0.010)),
)
_QRS_NORMAL = (
    Wave(QRS, 0.23, 0.09, 0.09, (-0.14, -0.04, -0.24)),
    Wave(QRS, 0.49, 0.12, 0.12, (1.14, 0.78, 0.24)),
    Wave(QRS, 0.71, 0.11, 0.11, (-0.20, -0.10, 0.62)),
)
_T_NORMAL = (Wave(T, 0.72, 0.19, 0.135, (0.26, 0.22, -0.13)),)
_NORMAL = (*_P_SINUS, *_QRS_NORMAL, *_T_NORMAL)

_LBBB = (
    *_P_SINUS,
    Wave(QRS, 0.14, 0.05, 0.06, (0.12, 0.02, -0.16)),
    Wave(QRS, 0.38, 0.12, 0.11, (0.95, 0.45, 0.70)),
    Wave(QRS, 0.69, 0.11, 0.115, (0.95, 0.25, 1.00)),
    Wave(T, 0.10, 0.15, 0.20, (-0.06, -0.02, -0.12)),
    Wave(T, 0.68, 0.20, 0.14, (-0.28, -0.10, -0.38)),
)
_RBBB = (
    *_P_SINUS,
    Wave(QRS, 0.14, 0.05, 0.05, (-0.14, -0.04, -0.26)),
    Wave(QRS, 0.32, 0.075, 0.075, (1.10, 0.75, 0.30)),
    Wave(QRS, 0.72, 0.12, 0.12, (-0.50, -0.06, -0.60)),
    Wave(T, 0.72, 0.19, 0.135, (0.28, 0.18, 0.17)),
)
_ST_DEPRESSION = (
    *_P_SINUS,
    *_QRS_NORMAL,
    Wave(T, 0.10, 0.10, 0.16, (-0.16, -0.13, 0.03)),
    Wave(T, 0.38, 0.16, 0.10, (-0.16, -0.13, 0.03)),
    Wave(T, 0.76, 0.10, 0.11, (0.14, 0.12, -0.08)),
)
_ST_ELEVATION_ANTERIOR = (
    *_P_SINUS,
    *_QRS_NORMAL,
    Wave(T, 0.08, 0.08, 0.22, (0.11, 0.00, -0.24)),
    Wave(T, 0.55, 0.24, 0.20, (0.20, 0.06, -0.32)),
)
_ST_ELEVATION_INFERIOR = (
    *_P_SINUS,
    *_QRS_NORMAL,
    Wave(T, 0.08, 0.08, 0.22, (-0.06, 0.26, 0.07)),
    Wave(T, 0.55, 0.24, 0.20, (0.00, 0.34, 0.00)),
)
_LQT1 = (*_P_SINUS, *_QRS_NORMAL, Wave(T, 0.58, 0.23, 0.20, (0.30, 0.26, -0.17)))
_LQT2 = (
    *_P_SINUS,
    *_QRS_NORMAL,
    Wave(T, 0.46, 0.13, 0.10, (0.12, 0.10, -0.06)),
    Wave(T, 0.80, 0.10, 0.10, (0.12, 0.10, -0.06)),
)
_NOWHERE_ELSE = (0.0, 0.0, 0.0)
_ARVC = (
    *_P_SINUS,
    *_QRS_NORMAL,
    *(wave._replace(near_mv=-0.80) for wave in _T_NORMAL),
    Wave(QRS, 0.92, 0.10, 0.16, _NOWHERE_ELSE, near_mv=-0.30),  # S rises late
    Wave(QRS, 1.30, 0.045, 0.045, _NOWHERE_ELSE, near_mv=0.15),  # the epsilon wave
)
_BRUGADA = (
    *_P_SINUS,
    *_QRS_NORMAL,
    *(wave._replace(near_mv=-0.60) for wave in _T_NORMAL),
    Wave(T, 0.03, 0.05, 0.24, _NOWHERE_ELSE, near_mv=0.50),
)
_PVC_FROM_RIGHT = (
    Wave(QRS, 0.36, 0.14, 0.13, (0.50, 0.95, 0.70)),
    Wave(QRS, 0.62, 0.15, 0.14, (0.60, 1.00, 1.00)),
    Wave(T, 0.60, 0.26, 0.17, (-0.35, -0.48, -0.50)),
)
_PVC_FROM_LEFT = (
    Wave(QRS, 0.36, 0.14, 0.13, (-0.50, -0.70, -0.60)),
    Wave(QRS, 0.62, 0.15, 0.14, (-0.70, -0.90, -0.75)),
    Wave(T, 0.60, 0.26, 0.17, (0.40, 0.45, 0.40)),
)
_SINUS_RHYTHM = "Sinus rhythm"

CLASSES = MappingProxyType(
    {
        "sinus": EcgClass((_SINUS_RHYTHM, "Normal ECG"), (_NORMAL,)),
        "AF": EcgClass(
            ("Atrial fibrillation",),
            ((*_QRS_NORMAL, *_T_NORMAL),),
            rate_bpm=(70, 125),
            fibrillating=True,
        ),
        "IAVB": EcgClass(
            (_SINUS_RHYTHM, "First degree A-V block"),
            (_NORMAL,),
            pr_ms=(220, 320),
            rate_bpm=(54, 82),
        ),
        "LBBB": EcgClass(
            (_SINUS_RHYTHM, "Left bundle branch block"),
            (_LBBB,),
            qrs_ms=(135, 165),
            qtc_ms=(430, 475),
        ),
        "RBBB": EcgClass(
            (_SINUS_RHYTHM, "Right bundle branch block"),
            (_RBBB,),
            qrs_ms=(130, 158),
            qtc_ms=(420, 460),
        ),
        "PAC": EcgClass(
            (_SINUS_RHYTHM, "Premature atrial complexes"),
            (_NORMAL,),
            premature=((*_P_ATRIAL, *_QRS_NORMAL, *_T_NORMAL),),
        ),
        "PVC": EcgClass(
            (_SINUS_RHYTHM, "Premature ventricular complexes"),
            (_NORMAL,),
            premature=(_PVC_FROM_RIGHT, _PVC_FROM_LEFT),
        ),
        "STD": EcgClass((_SINUS_RHYTHM, "ST depression"), (_ST_DEPRESSION,)),
        "STE": EcgClass(
            (_SINUS_RHYTHM, "ST elevation"), (_ST_ELEVATION_ANTERIOR, _ST_ELEVATION_INFERIOR)
        ),
        "LQT1": EcgClass(
            (_SINUS_RHYTHM, "Prolonged QT interval"),
            (_LQT1,),
            qtc_ms=(485, 550),
            rate_bpm=(52, 80),
        ),
        "LQT2": EcgClass(
            (_SINUS_RHYTHM, "Prolonged QT interval", "Nonspecific T wave abnormality"),
            (_LQT2,),
            qtc_ms=(485, 550),
            rate_bpm=(52, 80),
        ),
        "ARVC": EcgClass(
            (_SINUS_RHYTHM, "T wave inversion in V1-V3", "Epsilon wave"),
            (_ARVC,),
        ),
        "BRUGADA": EcgClass((_SINUS_RHYTHM, "Brugada pattern, type 1"), (_BRUGADA,)),
    }
)
"""Every class by its code.

LQT1 and LQT2: T waves after Moss et al., Circulation 1995 and Zhang et al., Circulation 2000.
ARVC: task force criteria, Marcus et al., Circulation 2010: inverted T waves, an epsilon wave and
delayed terminal activation in V1-V3. Brugada: consensus type 1, Wilde et al., Circulation 2002, in
the right precordial leads. In all other leads both are sinus rhythm like any other, by which it is
known which leads a model needs.
"""

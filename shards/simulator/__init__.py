"""Recordings with known truth, computed.

banks.py         recordings put together from banks of beats and of noise
data_set.py      simulated 12-lead ECGs with known diagnoses, in MIMIC-IV-ECG's layout
dipole.py        the heart as a moving dipole and a source near V1-V3, projected on the leads
ecg_classes.py   the classes: intervals, rhythm, shape of beats
heartbeat.py     where every wave of every beat lies
mimic_layout.py  files as MIMIC-IV-ECG has them
noise.py         noise at the electrodes
patients.py      what a patient keeps from recording to recording
rhythm.py        when the heart beats
settings.py      number, classes, length and noise of the recordings
signals.py       signals of recordings: sources and noise, seen by twelve leads
"""

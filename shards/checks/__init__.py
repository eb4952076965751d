"""Tests of whether a recording can be true.

amplitude.py   gain, spikes, offset
examine.py     every check on one recording
levels.py      levels of each lead, measured once
limb_leads.py  Einthoven's law, and rows that are swapped
plateaus.py    leads that stand still or saturate
presence.py    flat or missing leads, gaps
settings.py    policy and thresholds of each check
"""

"""Tests of whether a recording can be true.

amplitude.py              gain, spikes, offset
examine.py                every check on one recording
flatline_and_clipping.py  leads that stand still or saturate
levels.py                 levels of each lead, measured once
limb_leads.py             Einthoven's law, and leads that are reversed
missing_leads.py          flat or missing leads, gaps
settings.py               policy and thresholds of each check
"""

"""One encoder under the protocols of published studies.

published.py  the protocols as data
reading.py    preprocessing by their rules
scores.py     scores under their rules
settings.py   settings of the verb
table.py      the table, and the rules that its differences come from
"""

"""Behind config.py: what a user wrote becomes values, and what is wrong becomes sentences.

arguments.py    `key=value`, `--key value` and files, from left to right
problems.py     a sentence on each setting that is wrong
schema.py       the keys of a settings class, with types, defaults and sentences
strict_yaml.py  YAML without surprises
"""

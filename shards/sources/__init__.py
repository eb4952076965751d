"""Sources: which recordings there are, of whom, with which labels."""

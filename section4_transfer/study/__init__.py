"""The studies: which variants each trains, what it concludes, and its figures.

`base.py` holds what all of them do: train every variant, test each once, report.
"""

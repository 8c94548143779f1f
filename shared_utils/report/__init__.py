"""`python -m shared_utils.report`: all runs on one page, held against what is expected."""

"""What the exercises of each section ask, and what the right answers are.

A probe (`ask_...`) calls the student's functions. The other functions compute the answer without
any of the lessons' code, and, with an option, what a classic mistake gives in its place.
"""

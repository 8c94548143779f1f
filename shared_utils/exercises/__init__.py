"""Exercises that grade themselves: the lessons with holes, and a grader that says what is wrong.

`holes` takes the body out of a function and `handout` makes the folder to work in. `answering` asks
the student's functions in a process of their own; `grading` starts it, and holds the answers
against an oracle that uses no lesson's code. `diagnosis` says in words how two arrays differ.
The exercises stand in `section1` to `section4`; `table` describes what one is.
"""

"""The exceptions that are not bugs: what the user can fix, and what need not be done."""


class UserError(Exception):
    """A mistake or a missing thing that the user can fix; the text is one line that says how.

    Scripts print the text and exit with status 2 (see `shared_utils.cli.start`).
    """


class NothingToDo(Exception):
    """What was asked for is done already; the text is one line that says so. No failure."""

"""The one exception that means 'the user can mend this'."""


class UserError(Exception):
    """A mistake or a missing thing that the user can mend; the text is one line that says how.

    Scripts print the text and exit with status 2 (see `shared_utils.cli.start`).
    """

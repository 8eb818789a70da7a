"""The error a user can mend."""

__all__ = ["InputError"]


class InputError(ValueError):
    """Bad input: one line with subject, requirement, value and remedy; the command line prints it and exits with 2."""

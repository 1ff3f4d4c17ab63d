"""The errors of fpsim: everything that a user's input can cause."""

from __future__ import annotations


class FpsimError(ValueError):
    """A user's input is wrong: the message says what was given, why it is wrong and what to do.

    The command line prints it as one line and exits with code 2.
    """

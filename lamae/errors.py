"""The errors that a user's input can cause."""


class InputError(ValueError):
    """Something the user gave cannot be used.

    The message reads: thing, value, expectation, remedy.
    """

    def __init__(self, thing: str, *, value: object, expected: str, remedy: str) -> None:
        """Say what is wrong with `thing`, which is or holds `value`."""
        super().__init__(f"{thing}: {value}; expected {expected}. {remedy}")


class RecordError(InputError):
    """One recording cannot be used; `reason` is the name under which it is counted."""

    def __init__(
        self, thing: str, *, reason: str, value: object, expected: str, remedy: str
    ) -> None:
        """Say what is wrong with the recording `thing`."""
        super().__init__(thing, value=value, expected=expected, remedy=remedy)
        self.reason = reason

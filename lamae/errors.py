"""The errors that a user's input, or the place where it lies, can cause."""

from typing import Any


class SentenceError(Exception):
    """An error whose message says all: thing, value, expectation, remedy."""

    def __init__(self, thing: str, *, value: object, expected: str, remedy: str) -> None:
        """Say what is wrong with `thing`, which is or holds `value`."""
        super().__init__(f"{thing}: {value}; expected {expected}. {remedy}")

    def __reduce__(self) -> tuple[Any, ...]:
        """Let the error travel between processes, message and all."""
        return _restored, (type(self), str(self), self.__dict__)


class InputError(SentenceError, ValueError):
    """Something the user gave cannot be used."""


class RecordError(InputError):
    """One recording cannot be used; `reason` is the name under which it is counted."""

    def __init__(
        self, thing: str, *, reason: str, value: object, expected: str, remedy: str
    ) -> None:
        """Say what is wrong with the recording `thing`."""
        super().__init__(thing, value=value, expected=expected, remedy=remedy)
        self.reason = reason


class PlaceError(SentenceError):
    """A place fails: a store that does not answer, a disk that is full.

    No recording is wrong, and none may be left out for it: what needs the place ends.
    """


def _restored(kind: type[SentenceError], message: str, state: dict[str, Any]) -> SentenceError:
    error = kind.__new__(kind, message)
    error.__dict__.update(state)
    return error

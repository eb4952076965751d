"""Calls of a store: what fails for a moment is tried again, what is refused is not."""

import errno
import importlib
import logging
import time
from collections.abc import Callable, Iterator
from itertools import chain, repeat
from typing import TypeVar

from aiohttp import ClientError

from lamae.errors import InputError, PlaceError, SentenceError
from lamae.remote.locations import protocol_of

DELAYS_S = (0.5, 2.0, 8.0)
"""Seconds before each new attempt."""
LONGEST_DELAY_S = 30.0
"""Seconds before each attempt after those, of one who is patient."""

T = TypeVar("T")
_log = logging.getLogger(__name__)
_PASSING = (OSError, EOFError, ClientError)
_OWN_ERRORS = {
    "s3": ("botocore.exceptions", "BotoCoreError"),
    "gs": ("gcsfs.retry", "HttpError"),
    "gcs": ("gcsfs.retry", "HttpError"),
    "az": ("azure.core.exceptions", "AzureError"),
    "abfs": ("azure.core.exceptions", "AzureError"),
    "hf": ("huggingface_hub.errors", "HTTPError"),
    "sftp": ("paramiko", "SSHException"),
}  # what the packages of these raise for a connection that fails, and is no OSError
_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
_PASSING_STATUS = (408, 425, 429)  # of HTTP's 400 to 499, which else say that the request is wrong


class Attempts:
    """Attempts at calls of one store."""

    def __init__(self, url: str, *, patience_s: float | None = None) -> None:
        """Try again after each of `DELAYS_S`, or for as long as `patience_s`.

        Raises ImportError if the package of the URL's protocol is missing.
        """
        self._url, self._patience_s = url, patience_s
        self._passing: tuple[type[Exception], ...] = (*_PASSING, *_own_errors(protocol_of(url)))

    def call(self, path: str, call: Callable[[], T]) -> T:
        """Call, and again after each delay where it fails in a way that may pass.

        Raises InputError, or PlaceError if it was patient, with the last failure as its cause;
        `path` is the file that is asked for.
        """
        delays = self._delays()
        while True:
            try:
                return call()
            except self._passing as error:
                delay = None if _is_final(error) else next(delays, None)
                if delay is None:
                    raise self._failed(path, error) from error
                if delay == LONGEST_DELAY_S:
                    _log.warning("%s/%s: %s; tries again", self._url, path, _told(error))
            time.sleep(delay)

    def _delays(self) -> Iterator[float]:
        """Yield the seconds before each new attempt, for as long as there are any."""
        if self._patience_s is None:
            yield from DELAYS_S
            return
        end = time.monotonic() + self._patience_s
        for delay in chain(DELAYS_S, repeat(LONGEST_DELAY_S)):
            left = end - time.monotonic()
            if left <= 0:
                return
            yield min(delay, left)

    def _failed(self, path: str, error: Exception) -> SentenceError:
        patient = self._patience_s is not None
        attempts = f"attempts for {self._patience_s:g} s" if patient else "several attempts"
        answer = f"an answer of the store, in {attempts}"
        kind = PlaceError if patient else InputError
        return kind(
            f"remote file {self._url}/{path}",
            value=_told(error),
            expected="access to it" if _is_final(error) else answer,
            remedy="Check its address, your access to it and the network, then give the same "
            "command: it goes on with what is finished.",
        )


def is_disk_error(error: BaseException | None) -> bool:
    """Tell a failure of this machine's disk from one of the store."""
    return isinstance(error, OSError) and error.errno in _DISK_ERRORS


def _is_final(error: Exception) -> bool:
    """Return True for a failure that another attempt would meet again."""
    status = getattr(error, "status", None)
    if status is None:
        status = getattr(getattr(error, "response", None), "status_code", None)
    refused = isinstance(status, int) and 400 <= status < 500 and status not in _PASSING_STATUS
    return refused or isinstance(error, PermissionError) or is_disk_error(error)


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _own_errors(protocol: str) -> list[type[Exception]]:
    if protocol not in _OWN_ERRORS:
        return []
    module, name = _OWN_ERRORS[protocol]
    found: type[Exception] = getattr(importlib.import_module(module), name)
    return [found]

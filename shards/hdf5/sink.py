"""A file for HDF5 to write to, which keeps the first fault of the disk for the program to raise.

HDF5 cannot close a file that it could not write, and h5py says so of each object in it.
"""

import io
from typing import Any


class Sink(io.RawIOBase):
    """A file to write and read; after a fault it takes what is written and drops it."""

    def __init__(self, path: str) -> None:
        """Open a file that exists."""
        self._file = io.FileIO(path, "r+")
        self._fault: OSError | None = None

    def __exit__(self, *_: object) -> None:
        """Close the file; raises the fault, if there was one."""
        self.close()
        self.check()

    def check(self) -> None:
        """Raise the first fault of the disk."""
        if self._fault:
            raise self._fault

    def write(self, content: Any) -> int:
        """Write all of `content`, or drop it after a fault."""
        left = memoryview(content).cast("B")
        try:
            while len(left) and not self._fault:
                left = left[self._file.write(left) :]
        except OSError as error:
            self._fault = error
        return len(content)

    def truncate(self, size: int | None = None) -> int:
        """Set the size of the file, unless there was a fault."""
        try:
            return self._file.truncate(size) if not self._fault else size or 0
        except OSError as error:
            self._fault = error
            return size or 0

    def readinto(self, room: Any) -> int:
        """Read into `room`; zeros where there is nothing."""
        view = memoryview(room).cast("B")
        found = self._file.readinto(view) or 0
        view[found:] = bytes(len(view) - found)
        return len(view)

    def seek(self, place: int, whence: int = 0) -> int:
        """Go to a place."""
        return self._file.seek(place, whence)

    def readable(self) -> bool:
        """Return True."""
        return True

    def writable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()

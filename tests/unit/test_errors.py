"""What a machine has no more of is told as that, with the limit to raise; all else stays what it is."""

import errno
import os

import pytest

from connector.errors import exhausted


def raised(error: BaseException, cause: BaseException) -> BaseException:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "limit"),
    [
        (OSError(errno.EMFILE, os.strerror(errno.EMFILE)), "LimitNOFILE"),
        (OSError(errno.ENFILE, os.strerror(errno.ENFILE)), "fs.file-max"),
        (RuntimeError("can't start new thread"), "TasksMax"),
        (MemoryError(), "MemoryMax"),
        (OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)), "MemoryMax"),
        (raised(ValueError("wrapped"), OSError(errno.EMFILE, "too many")), "LimitNOFILE"),
    ],
)
def test_the_limit_to_raise_is_named(error: BaseException, limit: str) -> None:
    found = exhausted(error)
    assert found is not None
    assert limit in found.hint


@pytest.mark.parametrize("error", [RuntimeError("generator raised"), OSError(errno.ENOENT, "no"), ValueError(), None])
def test_any_other_error_is_not_of_that_kind(error: BaseException | None) -> None:
    assert exhausted(error) is None

"""The classes of errors: one base, the built-in class that fits, and words on what to do."""

import warnings

import pytest

import zpager


@pytest.mark.parametrize(
    ("error", "built_in"),
    [
        (zpager.OutOfSwap, MemoryError),
        (zpager.DeviceError, OSError),
        (zpager.PageLost, OSError),
        (zpager.UserfaultfdUnavailable, OSError),
        (zpager.ConfigurationError, ValueError),
        (zpager.ClosedError, ValueError),
    ],
)
def test_each_is_a_zpager_error_and_the_built_in_that_fits(
    error: type[zpager.Error], built_in: type[Exception]
) -> None:
    raised = error("one message")
    assert isinstance(raised, zpager.Error)
    assert isinstance(raised, built_in)
    assert str(raised) == "one message"
    assert error.__doc__


def test_the_warning_is_shown_by_default() -> None:
    with warnings.catch_warnings(record=True) as caught:
        # The filters that Python starts with.
        warnings.resetwarnings()
        for category in (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning):
            warnings.simplefilter("ignore", category)
        warnings.warn("alive", zpager.LiveArraysWarning, stacklevel=1)
    assert len(caught) == 1

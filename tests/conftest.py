"""Skips what needs userfaultfd where the machine does not allow it, and says so in the last lines; leaves out
what takes minutes unless `-m soak` asks for it."""

from collections.abc import Iterator

import pytest

from zpager import _core

MARKER = "userfaultfd"
SOAK = "soak"


def why_not_userfaultfd() -> str | None:
    """Why tests on real memory cannot run here; None if they can."""
    probed = _core.probe()
    if not probed["userfaultfd"]:
        return f"userfaultfd is not available: {probed['why_not']}"
    if probed["user_mode_only"]:
        return "userfaultfd is available for faults in user mode only"
    if probed["missing_features"]:
        return f"userfaultfd lacks {probed['missing_features']}"
    return None


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", f"{MARKER}: needs real memory under userfaultfd; skipped without it")
    config.addinivalue_line("markers", f"{SOAK}: takes minutes; runs only with `-m {SOAK}`")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.option.markexpr:
        config.hook.pytest_deselected(items=[item for item in items if item.get_closest_marker(SOAK)])
        items[:] = [item for item in items if not item.get_closest_marker(SOAK)]
    reason = why_not_userfaultfd()
    if reason is not None:
        for item in items:
            if item.get_closest_marker(MARKER):
                item.add_marker(pytest.mark.skip(reason=reason))


# The terminal reporter prints its summary while it handles this hook; being outermost comes after it.
@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> Iterator[None]:
    yield
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None:
        return
    skipped = [report for report in reporter.stats.get("skipped", []) if MARKER in report.keywords]
    reason = why_not_userfaultfd()
    if skipped and reason:
        reporter.write_line(
            f"{len(skipped)} tests on real memory were SKIPPED: {reason}. `zpager doctor` tells what to do.",
            yellow=True,
        )

"""`import zpager` costs little: numpy comes with `Pager`; nothing for terminals, plots, the command line."""

import subprocess
import sys

HEAVY = (
    "click",
    "rich",
    "matplotlib",
    "asyncio",
    "importlib.metadata",
    "numpy",
    "pandas",
    "pyarrow",
    "zpager.cli",
    "zpager.demo",
    "zpager.lab",
)


def test_import_is_light() -> None:
    code = f"import sys, zpager; print([name for name in {HEAVY!r} if name in sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "[]"


def test_every_public_name_is_there_and_documented() -> None:
    import zpager  # noqa: PLC0415

    for name in zpager.__all__:
        assert getattr(zpager, name).__doc__, name

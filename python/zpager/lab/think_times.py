"""Times to think, which a trace holds up to a length."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from zpager.lab.trace import LONGEST_THINK_NS

CUT_SHORT: Final = f"pauses of more than {LONGEST_THINK_NS / 1e9:.2f} s are cut to that"


class ThinkTimes:
    """Cuts times to think to what a trace holds, and knows whether it had to."""

    def __init__(self) -> None:
        """None was too long yet."""
        self.are_cut_short = False

    def cut(self, think_ns: NDArray[np.int64]) -> NDArray[np.uint32]:
        """Times as the trace can hold them."""
        self.are_cut_short |= bool((think_ns > LONGEST_THINK_NS).any())
        return np.clip(think_ns, 0, LONGEST_THINK_NS).astype(np.uint32)

    def lacks(self) -> tuple[str, ...]:
        """The words for `Trace.lacks`."""
        return (CUT_SHORT,) if self.are_cut_short else ()

# SPDX-License-Identifier: MIT
"""Per-layer statistics of gradients, and the amplification of layers by them ("intelligent gradient amplification",
arXiv:2305.18445), for PyTorch: gradamp.torch. Runs of the program gradamp as tables: load_run."""

from gradamp._library import version as _version
from gradamp.runs import load_run

__version__ = _version()
__all__ = ["load_run"]

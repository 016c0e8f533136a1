# SPDX-License-Identifier: MIT
"""Per-layer statistics of gradients, and the amplification of layers by them ("intelligent gradient amplification",
arXiv:2305.18445), for PyTorch: gradamp.torch. Runs of the program gradamp as tables: load_run."""

import importlib

from gradamp._library import version as _version
from gradamp.runs import load_run

__version__ = _version()
__all__ = ["load_run"]


def __getattr__(name):
    """gradamp.torch, which imports torch, is imported when it is first used."""
    if name == "torch":
        return importlib.import_module("gradamp.torch")
    raise AttributeError(f"module 'gradamp' has no attribute {name!r}")

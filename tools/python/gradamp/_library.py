# SPDX-License-Identifier: MIT
"""The C library libgradamp_statistics, by ctypes. Its header, gradamp_statistics.h, says what everything means."""

import ctypes
import os
import pathlib
from ctypes import POINTER, c_char_p, c_double, c_float, c_int32, c_int64, c_size_t, c_uint64, c_void_p

F32, BF16, F16 = range(3)
CPU, CUDA = range(2)
MEASURES = {"g": 0, "g-prime": 1}
OUT_OF_MEMORY = 2


class Tensor(ctypes.Structure):
    _fields_ = [("count", c_int64), ("rows", c_int64), ("layer", c_int32), ("reserved", c_int32)]


class Options(ctypes.Structure):
    _fields_ = [(name, c_int32) for name in ("by_neuron", "threads", "device", "ordinal")]


class LayerMeasures(ctypes.Structure):
    _fields_ = [(name, c_double) for name in ("g", "g_prime", "normalized_g", "normalized_g_prime", "l1", "l2",
                                             "maximum", "mean", "zeros", "sign_agreement")]
    _fields_ += [("count", c_int64), ("not_finite", c_int64)]


class Selection(ctypes.Structure):
    _fields_ = [("measure", c_int32), ("two_sided", c_int32), ("threshold", c_double), ("factor", c_float)]


# Function: (result, arguments). A result of c_int32 is a gradamp_status, but for has_cuda.
FUNCTIONS = {
    "gradamp_statistics_create": (c_int32, [POINTER(Tensor), c_int32, POINTER(Options), POINTER(c_void_p)]),
    "gradamp_statistics_destroy": (None, [c_void_p]),
    "gradamp_statistics_iterations": (c_int64, [c_void_p]),
    "gradamp_statistics_has_cuda": (c_int32, []),
    "gradamp_statistics_set_stream": (c_int32, [c_void_p, c_void_p]),
    "gradamp_statistics_accumulate": (c_int32, [c_void_p, POINTER(c_void_p), POINTER(c_int32)]),
    "gradamp_statistics_measure": (c_int32, [c_void_p, POINTER(LayerMeasures)]),
    "gradamp_statistics_noise_floor": (c_double, [c_void_p]),
    "gradamp_statistics_reset": (c_int32, [c_void_p]),
    "gradamp_select": (c_int32, [POINTER(LayerMeasures), c_int32, POINTER(Selection), POINTER(c_float)]),
    "gradamp_select_random": (c_int32, [c_int32, c_int32, c_uint64, c_int32, c_float, POINTER(c_float)]),
    "gradamp_statistics_state_size": (c_size_t, [c_void_p]),
    "gradamp_statistics_save": (c_int32, [c_void_p, c_void_p, c_size_t]),
    "gradamp_statistics_restore": (c_int32, [c_void_p, c_void_p, c_size_t]),
    "gradamp_statistics_last_error": (c_char_p, []),
    "gradamp_statistics_version": (c_char_p, []),
}


def _load():
    """The library beside this file, or the one named by GRADAMP_STATISTICS_LIBRARY."""
    path = os.environ.get("GRADAMP_STATISTICS_LIBRARY") or pathlib.Path(__file__).parent / "libgradamp_statistics.so"
    library = ctypes.CDLL(os.fspath(path))
    for name, (result, arguments) in FUNCTIONS.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


LIBRARY = _load()


def call(name, *arguments):
    """Calls a function that returns a status. ValueError or MemoryError with the library's reason if it fails."""
    status = getattr(LIBRARY, name)(*arguments)
    if status != 0:
        reason = LIBRARY.gradamp_statistics_last_error().decode(errors="replace")
        raise MemoryError(reason) if status == OUT_OF_MEMORY else ValueError(reason)


def version():
    return LIBRARY.gradamp_statistics_version().decode()


def has_cuda():
    return bool(LIBRARY.gradamp_statistics_has_cuda())


class Statistics:
    """The sums of tensors, a list of (count, rows, layer)."""

    def __init__(self, tensors, by_neuron=False, threads=0, device=CPU, ordinal=0):
        self._handle = c_void_p()
        self.layers = 1 + max((layer for _, _, layer in tensors), default=-1)
        self._tensors = len(tensors)
        described = (Tensor * max(1, len(tensors)))(*(Tensor(count, rows, layer, 0) for count, rows, layer in tensors))
        call("gradamp_statistics_create", described, len(tensors), Options(int(by_neuron), threads, device, ordinal),
             ctypes.byref(self._handle))

    def __del__(self):
        if getattr(self, "_handle", None):
            LIBRARY.gradamp_statistics_destroy(self._handle)

    def set_stream(self, stream):
        call("gradamp_statistics_set_stream", self._handle, stream)

    def accumulate(self, addresses, types):
        call("gradamp_statistics_accumulate", self._handle, (c_void_p * self._tensors)(*addresses),
             (c_int32 * self._tensors)(*types))

    def measure(self):
        measures = (LayerMeasures * self.layers)()
        call("gradamp_statistics_measure", self._handle, measures)
        return measures

    def reset(self):
        call("gradamp_statistics_reset", self._handle)

    @property
    def iterations(self):
        return LIBRARY.gradamp_statistics_iterations(self._handle)

    @property
    def noise_floor(self):
        return LIBRARY.gradamp_statistics_noise_floor(self._handle)

    def save(self):
        state = ctypes.create_string_buffer(LIBRARY.gradamp_statistics_state_size(self._handle))
        call("gradamp_statistics_save", self._handle, state, len(state))
        return state.raw

    def restore(self, state):
        call("gradamp_statistics_restore", self._handle, bytes(state), len(state))


def select(measures, measure, two_sided, threshold, factor):
    """The factor of each layer: `factor` if it is selected, else 1."""
    factors = (c_float * len(measures))()
    selection = Selection(MEASURES[measure], int(two_sided), threshold, factor)
    call("gradamp_select", measures, len(measures), selection, factors)
    return list(factors)


def select_random(layers, drawn, seed, epoch, factor):
    factors = (c_float * layers)()
    call("gradamp_select_random", layers, drawn, seed, epoch, factor, factors)
    return list(factors)

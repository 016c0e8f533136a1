#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Copies headers of kernels/cuda with faults that a variable switches on, for tests of the self-check.

Usage: plant_faults.py ROOT FOLDER. Writes FOLDER/gradamp/kernels/cuda/NAME.h for each NAME in FAULTS. If FOLDER comes
before the folder with the link gradamp to ROOT on the include path, it hides the originals. Every fault changes exactly
one place of its header; it is an error if the header has no such place, or several.
"""
import pathlib
import re
import sys

FAULTS = {
    "ptx_emulated": [
        # Two registers of a are swapped: the upper right and the lower left quarter of each tile.
        (r"emulation::mma\(emulation::MmaType::kBF16, \{&d\[0\]\[0\]\[0\], &a\[0\]\[0\],",
         "std::uint32_t planted[MT][4];\n"
         "  for (int i = 0; i < MT; ++i) {\n"
         "    const bool swap = planted_fault == PlantedFault::kSwappedFragment;\n"
         "    for (int r = 0; r < 4; ++r) planted[i][r] = a[i][swap && (r == 1 || r == 2) ? 3 - r : r];\n"
         "  }\n"
         "  emulation::mma(emulation::MmaType::kBF16, {&d[0][0][0], &planted[0][0],"),
        # Two columns of d are swapped.
        (r"(emulation::mma\(emulation::MmaType::kTF32, [^;]*;)",
         r"\1\n"
         "  if (planted_fault == PlantedFault::kSwappedSums) {\n"
         "    for (auto& row : d)\n"
         "      for (auto& tile : row) std::swap(tile[0], tile[1]);\n"
         "  }"),
        (r"emulation::ldmatrix\(registers, row, 4, true, location\)",
         "emulation::ldmatrix(registers, row, 4, planted_fault != PlantedFault::kTransposeLost, location)"),
        (r"emulation::begin_async_copy\(shared, global, 16, valid, location\)",
         "if (valid || planted_fault != PlantedFault::kZerosLost)\n"
         "    emulation::begin_async_copy(shared, global, 16, valid, location)"),
        # One group too many may be in flight.
        (r"emulation::wait_async_copies\(N\)",
         "emulation::wait_async_copies(planted_fault == PlantedFault::kWaitLost ? N + 1 : N)"),
    ],
    "convolution_tile": [
        (r"(cp_async_wait<kStages - 2>\(\);\s*(?://.*\s*)?)__syncthreads\(\);",
         r"\1if (planted_fault != PlantedFault::kBarrierLost) __syncthreads();"),
    ],
    "tile": [
        # Two chunks of a row have the same address.
        (r"return chunk \^ \(\(row >> 1\) & 3\);",
         "return planted_fault == PlantedFault::kWrongSwizzle ? chunk | ((row >> 1) & 3) : chunk ^ ((row >> 1) & 3);"),
    ],
}


def substitute_once(text, pattern, replacement, name):
    result, count = re.subn(pattern, replacement, text)
    if count != 1:
        sys.exit(f"plant_faults.py: {name} has {count} places like '{pattern}', expected exactly one")
    return result


def plant(text, faults, name):
    text = substitute_once(text, r"#pragma once\n",
                           '#pragma once\n\n#include "gradamp/tests/kernels/planted/planted_fault.h"\n', name)
    for pattern, replacement in faults:
        text = substitute_once(text, pattern, replacement, name)
    return text


def main():
    root, folder = map(pathlib.Path, sys.argv[1:])
    for name, faults in FAULTS.items():
        header = pathlib.Path("kernels/cuda") / f"{name}.h"
        target = folder / "gradamp" / header
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(plant((root / header).read_text(encoding="utf-8"), faults, str(header)), encoding="utf-8")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Tests that TensorBoard reads our event files with the same tags, steps, times and values.

Usage: event_file_reader_test.py PROGRAM, the path of write_event_file. If Python has no module tensorboard, exits with
77, which ctest counts as skipped.
"""
import pathlib
import struct
import subprocess
import sys
import tempfile
import unittest

try:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader, RawEventFileLoader
except ImportError as error:
    print(f"skipped: needs TensorBoard's reader (pip install tensorboard): {error}")
    sys.exit(77)

INFINITY = float("inf")
# The contents that write_event_file.cpp writes: step, time in seconds since 1970, and one value per tag.
TAGS = ("loss/train", "accuracy/test", "G'/größe, layer 1")
ROWS = [(0, 1700000000.25, (2.302585092994046, 0.0, -0.0)),
        (1, 1700000001.5, (1e-30, 0.1, INFINITY)),
        (300, 1700000002.75, (-INFINITY, 1.0 / 3, float("nan"))),
        (5000000000, 1700000003.0, (INFINITY, 1.0, -1e-45))]  # 1e300 overflows float32


def bits(value):
    """The bytes of a value's float32. They distinguish -0.0 from 0.0, and NaNs compare equal."""
    return struct.pack("<f", value)


class ReaderTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        subprocess.run([cls.program, cls.folder.name], check=True)
        cls.path, = pathlib.Path(cls.folder.name).iterdir()

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def test_events(self):
        first, *events = LegacyEventFileLoader(str(self.path)).Load()
        self.assertEqual((first.file_version, first.wall_time, first.step), ("brain.Event:2", 1700000000.0, 0))
        self.assertEqual([(event.step, event.wall_time) for event in events], [row[:2] for row in ROWS])
        for event, (_, _, values) in zip(events, ROWS):
            self.assertEqual([(value.tag, value.WhichOneof("value"), bits(value.simple_value))
                              for value in event.summary.value],
                             [(tag, "simple_value", bits(value)) for tag, value in zip(TAGS, values)])

    def test_bytes_are_those_of_protobuf(self):
        """The first step is 0. Protobuf's own writer omits this value."""
        raw = list(RawEventFileLoader(str(self.path)).Load())
        parsed = list(LegacyEventFileLoader(str(self.path)).Load())
        self.assertEqual(len(raw), 1 + len(ROWS))
        for i in (0, 2, 3, 4):
            self.assertEqual(raw[i], parsed[i].SerializeToString(deterministic=True))

    def test_curves(self):
        accumulator = EventAccumulator(self.folder.name)
        accumulator.Reload()
        self.assertEqual(sorted(accumulator.Tags()["scalars"]), sorted(TAGS))
        for i, tag in enumerate(TAGS):
            self.assertEqual([(point.step, point.wall_time, bits(point.value)) for point in accumulator.Scalars(tag)],
                             [(step, wall_time, bits(values[i])) for step, wall_time, values in ROWS])


if __name__ == "__main__":
    ReaderTest.program = sys.argv[1]
    unittest.main(argv=sys.argv[:1], verbosity=1)

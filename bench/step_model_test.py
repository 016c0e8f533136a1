#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Tests of step_model.py. Usage: step_model_test.py BUILD_FOLDER

That the launches are those of the program is tested against the lists that the stand-in for CUDA's runtime records.
"""
import collections
import dataclasses
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

import step_model
from step_model import Instruction, budgets, simulate

GOLDEN = step_model.ROOT / "tests" / "kernels" / "cuda" / "stand_in" / "golden"
build = pathlib.Path()


def instruction(text, stall=1, write_barrier=7, wait_mask=0):
    return Instruction(0, text, stall, write_barrier, 7, wait_mask)


class MachineCodeTest(unittest.TestCase):
    def test_control_codes(self):
        control = 5 << 41 | 2 << 46 | 7 << 49 | 0b101 << 52
        text = ("\t\tFunction : name\n"
                "        /*0a10*/                   HMMA.16816.F32.BF16 R4, R8, R10, R4 ;  /* 0x0000000a0804723c */\n"
                f"                                          /* {control | 0x41804:#018x} */\n")
        (found,) = step_model.read_instructions(text)["name"]
        self.assertEqual(found, Instruction(0xa10, "HMMA.16816.F32.BF16 R4, R8, R10, R4", 5, 2, 7, 0b101))
        self.assertEqual(found.kind, "HMMA")


class SimulationTest(unittest.TestCase):
    def test_tensor_cores_are_the_limit(self):
        loop = [instruction("HMMA.16816.F32.BF16 R4, R8, R10, R4") for _ in range(8)]
        self.assertAlmostEqual(simulate(loop, 1, 8.0, 0, iterations=200), 64, delta=0.5)
        self.assertAlmostEqual(simulate(loop, 2, 8.0, 0, iterations=200), 128, delta=0.5)

    def test_a_warp_waits_for_its_operands_and_another_hides_it(self):
        loop = [instruction("LDSM.16.M88.4 R4, [R2]", write_barrier=0),
                instruction("IADD3 R5, R4, R4, RZ", wait_mask=1)]
        alone = simulate(loop, 1, 8.0, 0, iterations=200)
        self.assertAlmostEqual(alone, 34, delta=1)  # the latency of the load, and the next issue
        self.assertLess(simulate(loop, 2, 8.0, 0, iterations=200), 1.2 * alone)

    def test_stalls_and_issue(self):
        self.assertAlmostEqual(simulate([instruction("NOP", stall=9)], 1, 8.0, 0, iterations=100), 9, delta=0.2)
        self.assertAlmostEqual(simulate([instruction("NOP")] * 10, 3, 8.0, 0, iterations=100), 30, delta=0.5)

    def test_copies_wait_for_the_second_level_cache(self):
        loop = [instruction("LDGSTS.E.BYPASS.128 [R2], [R4.64]"), instruction("LDGDEPBAR"),
                instruction("DEPBAR.LE SB0, 0x2")]
        self.assertAlmostEqual(simulate(loop, 1, 8.0, 100, iterations=400), 400, delta=10)


class LaunchesTest(unittest.TestCase):
    def golden(self, network):
        """(number of launches, {(kernel, grid): launches} of the convolutions)."""
        first, *lines = (GOLDEN / f"{network}_bf16.txt").read_text(encoding="utf-8").splitlines()
        launches = collections.Counter()
        for line in lines:
            count, kernel, grid = re.match(r"(\d+) x (.*) grid (\S+) threads", line).groups()
            if "forward_kernel<2" in kernel or "backward_input" in kernel or "backward_filter" in kernel or \
                    "sum_parts" in kernel:
                name = budgets.readable_name(kernel.replace("kernel<2", "kernel<(gradamp::Precision)2"))[1]
                launches[name, tuple(map(int, grid.split(",")))] += int(count)
        return int(first.split()[0]), launches

    def test_launches_are_those_of_the_program(self):
        for network in ("resnet20", "resnet18", "resnet50", "vgg19"):
            with self.subTest(network):
                operations = step_model.read_operations(budgets.run_program(build / budgets.STEPS, network))
                launches = [launch for operation in operations for launch in step_model.launches_of(operation)]
                count, expected = self.golden(network)
                self.assertEqual(len(launches), count)
                self.assertEqual(collections.Counter((launch.kernel, launch.grid) for launch in launches
                                                     if launch.kernel.startswith("convolution ")), expected)


class ProgramTest(unittest.TestCase):
    def run_program(self, *arguments):
        return subprocess.run([sys.executable, step_model.__file__, *arguments], capture_output=True, text=True)

    def test_a_step_is_printed(self):
        done = self.run_program(build, "--network", "resnet20", "--gpu", "H100", "--layers")
        self.assertEqual(done.returncode, 0, done.stderr)
        count, _ = LaunchesTest().golden("resnet20")
        self.assertRegex(done.stdout, rf"(?m)^H100: {count} launches, \d\.\d+ ms a step of 128 images, .*an estimate")
        self.assertRegex(done.stdout, r"(?m)^ *\d+\.\d us  convolution forward bf16 128x64 by elements +grid 1024,1,1$")

    def test_a_gpu_that_the_build_has_no_code_for_is_refused(self):
        other = dataclasses.replace(step_model.GPUS["H100"], architecture="sm_70")
        with self.assertRaisesRegex(budgets.Unavailable, "no code for sm_70: .*-DCMAKE_CUDA_ARCHITECTURES=70,"):
            step_model.Model(build, other)

    def test_a_folder_without_a_build_is_refused(self):
        with tempfile.TemporaryDirectory() as folder:
            done = self.run_program(folder)
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertEqual(done.stderr,
                         f"step_model.py: there is no {folder}/tests/step_bytes: build the target step_bytes\n")


class ModelTest(unittest.TestCase):
    def test_a_step_takes_longer_than_its_limits(self):
        gpu = step_model.GPUS["H100"]
        model = step_model.Model(build, gpu)
        operations = step_model.read_operations(budgets.run_program(build / budgets.STEPS, "resnet18"))
        launches = [launch for operation in operations for launch in step_model.launches_of(operation)]
        step = sum(model.seconds(launch) + gpu.gap for launch in launches)
        moved = sum(launch.bytes for launch in launches if launch.steps is None)
        products = 3 * 142e9 / (gpu.multiprocessors * 4 * 4096 / gpu.hmma * gpu.clock)  # 142 GFLOP forward
        self.assertGreater(step, products + moved / 5e12)
        self.assertLess(step, 10 * (products + moved / 5e12))
        # A GPU with faster memory is faster, by less than its memory.
        faster = step_model.Model(build, step_model.GPUS["H200"])
        other = sum(faster.seconds(launch) + gpu.gap for launch in launches)
        self.assertLess(other, step)
        self.assertGreater(other, step * 3.0 / 4.1)


if __name__ == "__main__":
    build = pathlib.Path(sys.argv.pop(1)).resolve()
    try:
        budgets.Build(build)
    except budgets.Unavailable as reason:
        print(f"skipped: {reason}")
        sys.exit(77)
    unittest.main()

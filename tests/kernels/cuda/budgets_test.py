#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The costs of the hot kernels and of a training step agree with budgets.json within 3%. The kernels are skipped, and
the test ends with 77, with another nvcc or without cuobjdump.

Usage: budgets_test.py BUILD. If a change of a cost is intended: `budgets.py update BUILD`, and commit budgets.json.
"""
import os
import pathlib
import sys
import tempfile
import unittest
import unittest.mock

import budgets

# Output of `cuobjdump -sass`, with shortened encodings. It has a loop from 0x0030 to 0x00c0 with a smaller loop of
# copies inside, and after it a loop without matrix instructions.
SASS = """
\tcode for sm_90
\t\tFunction : _Z1fv
\t.headerflags\t@"EF_CUDA_SM90"
        /*0000*/                   LDC R1, c[0x0][0x28] ;                  /* 0x00000a00ff017b82 */
                                                                           /* 0x000fe20000000800 */
        /*0010*/                   S2R R8, SR_TID.X ;                      /* 0x0000000000087919 */
        /*0020*/              @!P0 BRA 0x0100 ;                            /* 0x0000000000087919 */
        /*0030*/                   DEPBAR.LE SB0, 0x2 ;                    /* 0x0000000000087919 */
        /*0040*/                   BAR.SYNC.DEFER_BLOCKING 0x0 ;           /* 0x0000000000087919 */
        /*0050*/                   LDSM.16.M88.4 R4, [R2+UR4] ;            /* 0x0000000000087919 */
        /*0058*/              @!PT LDS RZ, [RZ] ;                          /* 0x0000000000087919 */
        /*0060*/                   LDS R9, [R2] ;                          /* 0x0000000000087919 */
        /*0070*/                   LDGSTS.E.BYPASS.128 [R3], desc[UR6][R10.64], P1 ;
        /*0080*/               @P1 BRA 0x0070 ;                            /* 0x0000000000087919 */
        /*0090*/                   HMMA.16816.F32.BF16 R12, R4, R6, R12 ;  /* 0x0000000000087919 */
        /*00a0*/                   HMMA.16816.F32.BF16 R16, R4, R8, R16 ;  /* 0x0000000000087919 */
        /*00b0*/             @!UP0 UIADD3 UR4, UR4, 0x1, URZ ;             /* 0x0000000000087919 */
        /*00c0*/               @P0 BRA P2, 0x0030 ;                        /* 0x0000000000087919 */
        /*00d0*/                   STG.E.128 desc[UR6][R20.64], R12 ;      /* 0x0000000000087919 */
        /*00e0*/                   STG.E.128 desc[UR6][R20.64], R16 ;      /* 0x0000000000087919 */
        /*00f0*/               @P3 BRA 0x00d0 ;                            /* 0x0000000000087919 */
        /*0100*/                   EXIT ;                                  /* 0x0000000000087919 */
        /*0110*/                   BRA 0x0110;                             /* 0x0000000000087919 */
        /*0120*/                   NOP;                                    /* 0x0000000000087919 */
        /*0130*/                   NOP;                                    /* 0x0000000000087919 */
\t\tFunction : _Z1gv
        /*0000*/                   LDG.E R1, desc[UR4][R2.64] ;            /* 0x00000a00ff017b82 */
        /*0010*/                   FFMA R1, R1, R2, R3 ;                   /* 0x0000000000087919 */
        /*0020*/                   EXIT ;                                  /* 0x0000000000087919 */
"""
ELF = """
.nv.info
\tAttribute:\tEIATTR_REGCOUNT
\tFormat:\tEIFMT_SVAL
\tValue:\tfunction: _Z1gv(0x9)\tregister count: 28

.nv.info._Z1fv
\t<0x1>
\tAttribute:\tEIATTR_CUDA_API_VERSION
\tFormat:\tEIFMT_SVAL
\tValue:\t0x82
\t<0x2>
\tAttribute:\tEIATTR_MAX_THREADS
\tFormat:\tEIFMT_SVAL
\tValue:\t0x80 0x1 0x1 
\t<0x3>
\tAttribute:\tEIATTR_CRS_STACK_SIZE
\tFormat:\tEIFMT_SVAL
\tValue:\t0x0
.nv.info._Z1gv
\t<0x1>
\tAttribute:\tEIATTR_MAX_THREADS
\tFormat:\tEIFMT_SVAL
\tValue:\t0x20 0x4 0x2 
"""


def reason_to_skip(build):
    """The reason why the kernels of a build cannot be compared, or None."""
    written_for = budgets.read_budgets()[0]
    if build.nvcc != written_for:
        return f"budgets.json is for nvcc {written_for}, this build is by nvcc {build.nvcc}"
    return None


class SkipTest(unittest.TestCase):
    """Comparisons that are not possible are skipped with a reason."""

    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.path = pathlib.Path(self.folder.name)

    def write_build(self, architecture):
        (self.path / budgets.OBJECTS).mkdir(parents=True)
        (self.path / budgets.OBJECTS / "a.cu.o.resources").write_text(
            f"ptxas info    : Compiling entry function '_Z1fv' for '{architecture}'\n"
            "    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads\n"
            "ptxas info    : Used 32 registers\n", encoding="utf-8")
        (self.path / "CMakeFiles" / "3.25.1").mkdir(parents=True)
        (self.path / "CMakeFiles" / "3.25.1" / "CMakeCUDACompiler.cmake").write_text(
            f'set(CMAKE_CUDA_COMPILER "{self.path}/nvcc")\nset(CMAKE_CUDA_COMPILER_VERSION "12.4.131")\n',
            encoding="utf-8")

    def write_tools(self, *names):
        for name in names:
            (self.path / name).write_text("#!/bin/sh\n", encoding="utf-8")
            (self.path / name).chmod(0o755)

    def build(self):
        with unittest.mock.patch.dict(os.environ, PATH=""), unittest.mock.patch.object(sys, "path", []):
            return budgets.Build(self.path)

    def test_a_folder_without_cuda(self):
        with self.assertRaisesRegex(budgets.Unavailable, "no CUDA objects"):
            self.build()

    def test_other_architectures(self):
        self.write_build("sm_120")
        with self.assertRaisesRegex(budgets.Unavailable, "code for none of sm_80, sm_90, sm_90a"):
            self.build()

    def test_no_cuobjdump(self):
        self.write_build("sm_90")
        with self.assertRaisesRegex(budgets.Unavailable, "there is no cuobjdump"):
            self.build()

    def test_no_nvdisasm(self):
        self.write_build("sm_90")
        self.write_tools("cuobjdump")
        with self.assertRaisesRegex(budgets.Unavailable, "cuobjdump needs nvdisasm"):
            self.build()

    def test_a_program_that_was_not_built(self):
        with self.assertRaisesRegex(RuntimeError, "build the target step_bytes"):
            budgets.measure_steps(self.path)

    def test_no_demangler(self):
        self.write_build("sm_90")
        self.write_tools("cuobjdump", "nvdisasm")
        with self.assertRaisesRegex(budgets.Unavailable, r"c\+\+filt"):
            self.build()

    def test_another_nvcc(self):
        self.write_build("sm_90")
        self.write_tools("cuobjdump", "nvdisasm", "c++filt")
        self.assertRegex(reason_to_skip(self.build()), r"is for nvcc \S+, this build is by nvcc 12\.4\.131")


class ReaderTest(unittest.TestCase):
    """The expected numbers are counted by hand in the texts above."""

    def test_the_loop_with_the_matrix_instructions_is_found(self):
        loop = budgets.main_loop(budgets.read_sass(SASS)["_Z1fv"])
        self.assertEqual((loop[0][0], loop[-1][0]), (0x30, 0xc0))
        self.assertEqual(budgets.count(loop), {"total": 11, "matrix": 2, "fma": 0, "shared_loads": 2,
                                               "asynchronous_copies": 1, "global_accesses": 0, "barriers": 1})

    def test_without_matrix_instructions_the_loop_with_the_memory_accesses_is_found(self):
        code = [(address, text) for address, text in budgets.read_sass(SASS)["_Z1fv"] if "HMMA" not in text]
        loop = budgets.main_loop(code)
        self.assertEqual((loop[0][0], loop[-1][0]), (0xd0, 0xf0))
        self.assertEqual(budgets.count(loop)["global_accesses"], 2)

    def test_of_nested_loops_the_inner_one_is_found(self):
        code = [(0x00, "S2R R0, SR_TID.X"), (0x10, "HMMA.16816.F32 R4, R8, R2, R4"), (0x20, "@P0 BRA 0x10"),
                (0x30, "IADD3 R0, R0, 0x1, RZ"), (0x40, "@P1 BRA 0x0")]
        self.assertEqual(budgets.main_loop(code), code[1:3])

    def test_multiplications_count_before_memory_accesses(self):
        code = [(0x00, "LDG.E R0, [R2]"), (0x10, "FFMA R0, R0, R1, R3"), (0x20, "@P0 BRA 0x0"),
                (0x30, "LDG.E R4, [R2]"), (0x40, "LDG.E R5, [R2]"), (0x50, "@P1 BRA 0x30")]
        self.assertEqual(budgets.main_loop(code), code[:3])

    def test_without_a_loop_it_is_the_kernel(self):
        code = budgets.read_sass(SASS)["_Z1gv"]
        self.assertEqual(budgets.main_loop(code), code)
        self.assertEqual(budgets.count(code), {"total": 3, "matrix": 0, "fma": 1, "shared_loads": 0,
                                               "asynchronous_copies": 0, "global_accesses": 1, "barriers": 0})

    def test_padding_is_left_out(self):
        code = budgets.read_sass(SASS)["_Z1fv"]
        self.assertEqual(len(code), 21)
        self.assertEqual(len(budgets.without_padding(code)), 18)

    def test_launch_bounds_are_read(self):
        self.assertEqual(budgets.read_launch_bounds(ELF), {"_Z1fv": 128, "_Z1gv": 256})

    def test_another_number_of_template_arguments_is_an_error(self):
        with self.assertRaisesRegex(RuntimeError, "expects 3 template arguments"):
            budgets.readable_name("void gradamp::cuda::(anonymous namespace)::sgd_kernel<true, false>(int)")

    def test_names_are_readable(self):
        for demangled, name in (
                ("void gradamp::cuda::(anonymous namespace)::forward_kernel<(gradamp::Precision)2, gradamp::cuda::"
                 "BlockTile<128, 64, 2>, (gradamp::cuda::Copy)1>(gradamp::cuda::WindowSource<int>, int)",
                 "convolution forward bf16 128x64 by elements"),
                ("void gradamp::cuda::(anonymous namespace)::backward_filter_kernel<(gradamp::Precision)0, gradamp::"
                 "cuda::BlockTile<64, 128, 1>, (gradamp::cuda::Copy)1, (gradamp::cuda::Copy)1>(int)",
                 "convolution backward filter f32 64x128 grad_y x by elements"),
                ("void gradamp::cuda::(anonymous namespace)::apply_kernel<8, __nv_bfloat16, true, true, false>(int)",
                 "batch norm apply bf16 relu"),
                ("void gradamp::cuda::(anonymous namespace)::apply_kernel<8, __nv_bfloat16, false, true, false>(int)",
                 None),  # evaluation
                ("gradamp::cuda::(anonymous namespace)::find_bad_gradient_kernel(long)",
                 "optimizer find bad gradient"),
                ("gradamp::cuda::(anonymous namespace)::fill_kernel(long)", None)):
            self.assertEqual(budgets.readable_name(demangled)[1], name)


class DumpTest(unittest.TestCase):
    def test_an_object_is_dumped_once_and_again_when_it_has_changed(self):
        folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        program, compiled, calls = folder / "cuobjdump", folder / "a.cu.o", folder / "calls"
        program.write_text(f'#!/bin/sh\necho "$@" >>{calls}\ncat "$4"\n')
        program.chmod(0o755)
        build = budgets.Build.__new__(budgets.Build)
        build.cuobjdump, build.environment = program, os.environ
        for second, text in enumerate(("first", "first", "second")):
            compiled.write_text(text)
            os.utime(compiled, (second // 2 * 10**10,) * 2)  # changed after the dump, however fast that was
            self.assertEqual(build.dump("-sass", "sm_90", compiled), text)
        self.assertEqual(calls.read_text(), f"-sass -arch sm_90 {compiled}\n" * 2)
        self.assertEqual(build.dump("-elf", "sm_90", compiled), "second")
        self.assertEqual(build.dump("-sass", "sm_80", compiled), "second")


class ComparisonTest(unittest.TestCase):
    def test_a_cost_beyond_three_percent_is_a_difference(self):
        budget = {"a": {"loop_total": 217, "spilled_bytes": 0, "resident_blocks": 3}}
        for field, now, wrong in (("loop_total", 223, False), ("loop_total", 224, True), ("loop_total", 230, True),
                                  ("loop_total", 211, False), ("loop_total", 210, True), ("spilled_bytes", 4, True),
                                  ("resident_blocks", 2, True), ("resident_blocks", 4, True)):
            with self.subTest(field=field, now=now):
                lines = list(budgets.differences(budget, {"a": {**budget["a"], field: now}}))
                self.assertEqual(lines, [f"a: {field} {now}, budget {budget['a'][field]}"] if wrong else [])

    def test_a_kernel_on_one_side_only_is_a_difference(self):
        self.assertEqual(list(budgets.differences({"a": {}, "b": {}}, {"b": {}, "c": {}})),
                         ["a: not in this build", "c: no budget"])

    def test_what_was_written_is_read(self):
        row = {field: i for i, field in enumerate(budgets.FIELDS)}
        kernels = {"sm_80": {"b": row, "a": row}, "sm_90": {"a": row}}
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "budgets.json"
            steps = {"vgg19 f32 plain": {"operations": 7, "bytes": 1000}, "a": {"operations": 1, "bytes": 2}}
            budgets.write_budgets("13.0.88", kernels, steps, path)
            self.assertEqual(budgets.read_budgets(path), ("13.0.88", kernels, steps))


class StepTest(unittest.TestCase):
    build_folder = None

    def test_steps_are_within_the_budgets(self):
        for line in budgets.differences(budgets.read_budgets()[2], budgets.measure_steps(self.build_folder)):
            with self.subTest():
                self.fail(f"{line}. If that is wanted: budgets.py update BUILD")


class KernelTest(unittest.TestCase):
    build = None

    @classmethod
    def setUpClass(cls):
        cls.measured = cls.build.measure()
        cls.budgets = budgets.read_budgets()[1]

    def test_costs_are_within_the_budgets(self):
        for architecture in self.measured:
            now = {name: budgets.as_fields(numbers) for name, numbers in self.measured[architecture].items()}
            for line in budgets.differences(self.budgets[architecture], now):
                with self.subTest(architecture=architecture):
                    self.fail(f"{architecture}: {line}. If that is wanted: budgets.py update BUILD")

    def test_a_stage_of_a_hopper_kernel_has_at_most_65_instructions(self):
        """A stage is 64 deep: four wgmma. ptxas unrolls the loop over the stages."""
        kernels = {name: numbers["loop"] for name, numbers in self.measured.get("sm_90a", {}).items()}
        self.assertEqual(len(kernels), 6)
        for name, loop in kernels.items():
            with self.subTest(kernel=name):
                self.assertGreaterEqual(loop["matrix"], 4)
                self.assertLessEqual(loop["total"] * 4 / loop["matrix"], 65)

    def test_resident_blocks_follow_from_registers_threads_and_shared_memory(self):
        # By hand. 65536 registers hold 2 blocks of 4 warps x 256 x ceil(240 x 32 / 256); 164 KB hold 2 of 66 KB (1 KB
        # of each is the driver's), 228 KB hold 3; 2048 threads are 8 blocks of 256; none has 240000 bytes.
        rows = ("80 128 240 1024 65536", "80 128 100 1024 65536", "90 128 100 1024 65536", "80 256 32 0 0",
                "90 128 32 0 240000")
        self.assertEqual(self.build.facts("resident_blocks", text="\n".join(rows)), ["2", "2", "3", "8", "0"])


if __name__ == "__main__":
    StepTest.build_folder = sys.argv[1]
    skipped = None
    try:
        KernelTest.build = budgets.Build(sys.argv[1])
        skipped = reason_to_skip(KernelTest.build)
    except budgets.Unavailable as missing:
        skipped = str(missing)
    if skipped:
        del KernelTest
    result = unittest.main(argv=sys.argv[:1], verbosity=1, exit=False).result
    if not result.wasSuccessful():
        sys.exit(1)
    if skipped:
        print(f"skipped: {skipped}")
        sys.exit(77)

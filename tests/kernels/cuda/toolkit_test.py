#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Tests kernels/cuda/toolkit.cmake on simulated machines with other GPUs, by a fake nvidia-smi.

Usage: toolkit_test.py ROOT CUDA_COMPILER GENERATOR [CLASS...]. A small project configures with the file and compiles a
kernel that needs compute capability 8.0, or gives the reason why not. ROOT is the source tree; the other two are
CMake's.
"""
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

PROJECT = """
cmake_minimum_required(VERSION 3.25)
project(toolkit_test LANGUAGES CXX)
set(GRADAMP_CUDA AUTO CACHE STRING "")
include({root}/kernels/cuda/toolkit.cmake)
message(STATUS "chosen: [${{GRADAMP_CUDA}}] [${{CMAKE_CUDA_ARCHITECTURES}}]")
if(GRADAMP_CUDA)
  add_library(one STATIC one.cu)
endif()
"""
# Instructions that nvcc refuses below 8.0; the kernels use them.
KERNEL = """
__global__ void kernel() {
  asm volatile("cp.async.commit_group;");
  asm volatile("cp.async.wait_group 0;");
}
"""
# The folder kernels/cuda, without the libraries that it is linked with.
LAUNCHER_PROJECT = """
cmake_minimum_required(VERSION 3.25)
project(launcher_test LANGUAGES CXX)
set(GRADAMP_CUDA ON)
include({root}/kernels/cuda/toolkit.cmake)
add_library(gradamp_core INTERFACE)
file(MAKE_DIRECTORY ${{CMAKE_BINARY_DIR}}/include)
file(CREATE_LINK {root} ${{CMAKE_BINARY_DIR}}/include/gradamp SYMBOLIC)
target_include_directories(gradamp_core INTERFACE ${{CMAKE_BINARY_DIR}}/include)
add_subdirectory({root}/kernels/cuda cuda)
"""


class ToolkitCase(unittest.TestCase):
    root = compiler = generator = None

    def setUp(self):
        self.folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        (self.folder / "source").mkdir()
        (self.folder / "bin").mkdir()
        self.environment = {name: value for name, value in os.environ.items()
                            if name != "CUDAARCHS" and not name.startswith("CMAKE_")}
        self.environment["PATH"] = f"{self.folder / 'bin'}:{self.environment['PATH']}"

    def write_script(self, name, body):
        path = self.folder / "bin" / name
        path.write_text("#!/bin/sh\n" + body)
        path.chmod(0o755)
        return path

    def pretend(self, *capabilities):
        """Simulates GPUs of these compute capabilities."""
        self.write_script("nvidia-smi", "".join(f"echo {capability}\n" for capability in capabilities))

    def configure(self, *options, project=PROJECT, checked=False):
        """Returns CMake's output. Its checks of the compilers take most of the time and are done only if `checked`."""
        (self.folder / "source" / "CMakeLists.txt").write_text(project.format(root=self.root))
        (self.folder / "source" / "one.cu").write_text(KERNEL)
        command = ["cmake", "-S", self.folder / "source", "-B", self.folder / "build", "-G", self.generator,
                   f"-DCMAKE_CUDA_COMPILER={self.compiler}", *options]
        if not checked:
            command += ["-DCMAKE_CXX_COMPILER_FORCED=1", "-DCMAKE_CUDA_COMPILER_FORCED=1"]
        result = subprocess.run(command, env=self.environment, text=True, capture_output=True)
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        return result.stdout

    def build(self, *arguments):
        result = subprocess.run(["cmake", "--build", self.folder / "build", *arguments], env=self.environment, text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.assertEqual(result.returncode, 0, result.stdout)
        return result.stdout

    def images(self):
        """The images in the kernel's object, from nvcc's command line."""
        output = self.build("--target", "one", "--verbose")
        return sorted(set(word for word in output.replace('"', "").split() if word.startswith("--generate-code=")))

    def compile_one_kernel_file(self, *options):
        """The compiler's report beside the object of device_code.cu."""
        self.pretend("8.0")
        self.configure(*options, project=LAUNCHER_PROJECT)
        objects = "cuda/CMakeFiles/gradamp_cuda.dir/device_code.cu.o"
        if self.generator.startswith("Ninja"):
            self.build("--target", objects)
        else:
            subprocess.run(["make", "-C", self.folder / "build" / "cuda", "device_code.cu.o"], env=self.environment,
                           check=True, capture_output=True)
        return (self.folder / "build" / (objects + ".resources")).read_text()


class ToolkitTest(ToolkitCase):
    def test_an_old_gpu_alone_is_built_without_cuda(self):
        self.pretend("7.5")
        output = self.configure()
        self.assertIn("-- This machine has GPUs of compute capability 7.5, the kernels need 8.0 (Ampere) or newer: "
                      "building without the device cuda\n", output)
        self.assertIn("chosen: [OFF] []", output)
        self.build()

    def test_an_old_gpu_beside_a_new_one_is_left_out(self):
        self.pretend("7.5", "9.0")
        output = self.configure()
        self.assertIn("-- This machine has GPUs of compute capability 7.5, the kernels need 8.0 (Ampere) or newer: "
                      "building for its other GPUs\n", output)
        self.assertIn("chosen: [ON] [90]", output)
        self.assertEqual(self.images(), ["--generate-code=arch=compute_90,code=[compute_90,sm_90]"])

    def test_a_gpu_newer_than_the_toolkit_gets_ptx(self):
        listed = subprocess.run([self.compiler, "--list-gpu-arch"], text=True, capture_output=True, check=True).stdout
        newest = max(int(line.removeprefix("compute_")) for line in listed.split())
        self.pretend("13.5")
        output = self.configure(checked=True)
        self.assertIn(f"-- This CUDA toolkit does not know compute capability 13.5: compiling PTX for {newest}, which the "
                      "driver compiles for that GPU\n", output)
        self.assertIn(f"chosen: [ON] [{newest}-virtual]", output)
        self.assertEqual(self.images(), [f"--generate-code=arch=compute_{newest},code=[compute_{newest}]"])

    def test_no_driver_is_no_gpu(self):
        self.write_script("nvidia-smi", "echo 'NVIDIA-SMI has failed, version 7.5'; exit 9\n")
        self.assertIn("chosen: [ON] [80-real;90]", self.configure())


class LongTest(ToolkitCase):
    def test_the_users_compiler_launcher_is_kept(self):
        seen = self.folder / "seen"
        launcher = self.write_script("launcher", f'echo "$@" >>{seen}\nexec "$@"\n')
        self.assertIn("empty_kernel", self.compile_one_kernel_file(f"-DCMAKE_CUDA_COMPILER_LAUNCHER={launcher}"))
        self.assertIn("device_code.cu", seen.read_text())

    def test_an_old_gpu_alone_with_cuda_on_is_built_for_others(self):
        self.pretend("7.0", "7.5", "7.5")
        output = self.configure("-DGRADAMP_CUDA=ON")
        self.assertIn("-- This machine has GPUs of compute capability 7.0, 7.5, the kernels need 8.0 (Ampere) or newer: "
                      "none of its GPUs can be used, building for others\n", output)
        self.assertIn("chosen: [ON] [80-real;90]", output)
        self.assertEqual(self.images(), ["--generate-code=arch=compute_80,code=[sm_80]",
                                         "--generate-code=arch=compute_90,code=[compute_90,sm_90]"])

    def test_a_gpu_that_the_toolkit_knows_gets_its_own_code(self):
        self.pretend("8.9")
        output = self.configure()
        self.assertNotIn("compute capability", output)
        self.assertIn("chosen: [ON] [89]", output)
        self.assertEqual(self.images(), ["--generate-code=arch=compute_89,code=[compute_89,sm_89]"])

    def test_the_users_architectures_are_kept(self):
        self.pretend("7.5", "13.5")
        self.assertIn("chosen: [ON] [86-real]", self.configure("-DCMAKE_CUDA_ARCHITECTURES=86-real"))
        shutil.rmtree(self.folder / "build")
        self.environment["CUDAARCHS"] = "87-real"
        self.assertIn("chosen: [ON] [87-real]", self.configure())

    def test_no_compiler_launcher_is_needed(self):
        self.assertIn("empty_kernel", self.compile_one_kernel_file())


if __name__ == "__main__":
    ToolkitCase.root, ToolkitCase.compiler, ToolkitCase.generator = sys.argv[1:4]
    unittest.main(argv=[sys.argv[0], *sys.argv[4:]])

#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Uses gradamp like a user's project: installs it, builds the examples with it, and includes it as a subfolder.

Usage: package_test.py BUILD CXX [TEST...]

BUILD is a build of gradamp. The tests install it into a scratch folder. The class LongTest takes minutes, because it
builds the engine inside another project and as a shared library.
"""
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "tools" / "examples"
# Compiler flags that gradamp must not add to a user's project.
OUR_FLAGS = re.compile(r"-march=|-Wall|-Wextra|-Wpedantic|-Wshadow|-fno-math-errno|-fno-trapping-math|-mprefer")

build = compiler = None


def run(*command, expect=0, **options):
    done = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          check=False, **options)
    if done.returncode != expect:
        raise AssertionError(f"{' '.join(map(str, command))}: exit code {done.returncode}\n{done.stdout[-6000:]}")
    return done.stdout


def configure(source, folder, *options):
    return run("cmake", "-S", source, "-B", folder, "-G", "Ninja", f"-DCMAKE_CXX_COMPILER={compiler}",
               "-DCMAKE_EXPORT_COMPILE_COMMANDS=ON", *options)


class Installed(unittest.TestCase):
    """Base of tests that need an installed gradamp."""

    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory(prefix="gradamp package ")
        cls.addClassCleanup(cls.scratch.cleanup)
        cls.folder = pathlib.Path(cls.scratch.name)
        cls.prefix = cls.folder / "prefix"
        run("cmake", "--install", build, "--prefix", cls.prefix)

    def project(self, name, source, cmake):
        """Writes a user's project with a main.cpp. Returns its folder."""
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        (folder / "main.cpp").write_text(source)
        (folder / "CMakeLists.txt").write_text(
            f"cmake_minimum_required(VERSION 3.25)\nproject({name} LANGUAGES CXX)\n{cmake}\n")
        return folder

    def build_example(self, name, *options, prefix=None):
        """Configures and builds an example outside the source tree. Returns the build folder."""
        source = self.folder / f"{name} sources"
        shutil.rmtree(source, ignore_errors=True)
        shutil.copytree(EXAMPLES / name, source)
        folder = self.folder / f"{name} build"
        shutil.rmtree(folder, ignore_errors=True)
        configure(source, folder, f"-DCMAKE_PREFIX_PATH={prefix or self.prefix}", "-DCMAKE_BUILD_TYPE=Release", *options)
        run("cmake", "--build", folder)
        self.assert_no_flags_of_ours(folder, source)
        return folder

    def assert_no_flags_of_ours(self, folder, source):
        commands = json.loads((folder / "compile_commands.json").read_text())
        theirs = [entry for entry in commands if entry["file"].startswith(str(source))]
        self.assertTrue(theirs)
        for entry in theirs:
            self.assertIsNone(OUR_FLAGS.search(entry["command"]), entry["command"])
            self.assertIn("-std=", entry["command"])

    def assert_the_network_trains(self, program):
        run_folder = self.folder / "run"
        shutil.rmtree(run_folder, ignore_errors=True)
        common = ["--train-images", 200, "--test-images", 50, "--batch-size", 50]
        out = run(program, "train", "--network", "small", "--strategy", "1:0.05, 3:0.05:2", *common, "--run-folder",
                  run_folder, "--until", 1)
        self.assertIn("small, 24", out)
        run(program, "train", "--resume", run_folder)
        config = json.loads((run_folder / "config.json").read_text())
        self.assertEqual(config["settings"]["network"] if "settings" in config else config["network"], "small")
        self.assertEqual(len((run_folder / "metrics.jsonl").read_text().splitlines()), 3)
        self.assertIn("classifier", (run_folder / "layers.jsonl").read_text())
        self.assertIn("three convolutions", run(program, "info"))
        return run_folder, common

    def put_inside_another_project(self):
        """Configures a project that includes gradamp as a subfolder, whose path contains a space. Returns the project's
        folder."""
        tree = self.folder / "their tree"
        tree.mkdir()
        (tree / "gradamp sources").symlink_to(ROOT)
        shutil.copy(EXAMPLES / "own_loop" / "main.cpp", tree / "main.cpp")
        (tree / "CMakeLists.txt").write_text(
            "cmake_minimum_required(VERSION 3.25)\nproject(theirs LANGUAGES CXX)\n"
            'add_subdirectory("gradamp sources" gradamp)\nadd_executable(own_loop main.cpp)\n'
            "target_link_libraries(own_loop PRIVATE gradamp::engine)\n")
        out = configure(tree, tree / "build", "-DGRADAMP_PROGRAM=OFF", "-DCMAKE_BUILD_TYPE=Release")
        self.assertNotIn("CUDA", out)
        return tree


class PackageTest(Installed):
    def test_a_network_in_the_whole_program(self):
        program = self.build_example("own_network") / "own_network"
        run_folder, common = self.assert_the_network_trains(program)
        lines = [line for line in (EXAMPLES / "own_network" / "main.cpp").read_text().splitlines()
                 if line and not line.startswith("//")]
        self.assertLessEqual(len(lines), 40)

    def test_a_loop(self):
        folder = self.build_example("own_loop")
        out = run(folder / "own_loop", cwd=folder)
        self.assertIn("epoch 5 of 5: ", out)
        self.assertRegex(out, r"  layer \w+: G' 0\.\d{3}")
        self.assertTrue((folder / "own_loop.safetensors").is_file())

    def test_a_kernel(self):
        self.assertEqual(run(self.build_example("own_kernel") / "own_kernel"), "y = 7, gradient = 6\n")

    def test_cuda_tests(self):
        """A project whose CUDA programs run as tests without a GPU, with the installed emulator alone."""
        moved = self.folder / "moved emulator"
        shutil.copytree(self.prefix, moved)
        source = self.folder / "cuda_tests sources"
        shutil.copytree(EXAMPLES / "cuda_tests", source)
        folder = self.folder / "cuda_tests build"
        configure(source, folder, f"-DCMAKE_PREFIX_PATH={moved}", "-DCMAKE_DISABLE_FIND_PACKAGE_fmt=ON")
        run("cmake", "--build", folder)
        self.assertIn("100% tests passed, 0 tests failed out of 4", run("ctest", cwd=folder))
        self.assertIn("no work to do", run("cmake", "--build", folder))
        # A changed file is compiled again; its mistake fails the tests.
        kernel = source / "reverse.cu"
        kernel.write_text(kernel.read_text().replace("  __syncthreads();\n", ""))
        run("cmake", "--build", folder)
        out = run("ctest", "--output-on-failure", cwd=folder, expect=8)
        # The line's race is found as well, but a line is reported once.
        self.assertRegex(out, r"thread .* at reverse\.cu:\d+ reads shared memory that its block has not written\n  hint: ")

    def test_statistics_in_c(self):
        folder = self.build_example("statistics_in_c", "-DCMAKE_C_FLAGS=-pedantic-errors -Werror")
        self.assertEqual(run(folder / "statistics_in_c"), "layer 0: G 1.0000, G' 1.0000, factor 2\n"
                                                          "layer 1: G 0.3333, G' 0.3333, factor 1\n")
        # Nothing but its interface is seen, and it needs nothing but the C++ runtime.
        library = next((self.prefix / "lib").rglob("libgradamp_statistics.so"))
        names = [line.split()[-1] for line in run("nm", "-D", "--defined-only", library).splitlines()]
        self.assertIn("gradamp_statistics_create", names)
        self.assertEqual([name for name in names if not name.startswith("gradamp_")], [])
        needed = re.findall(r"NEEDED.*\[(\w+)[^]]*\]", run("readelf", "-d", library))
        self.assertLessEqual(set(needed), {"libstdc", "libgcc_s", "libm", "libc", "ld"}, needed)

    def test_the_headers_have_no_warnings(self):
        headers = sorted(path.relative_to(self.prefix / "include").as_posix()
                         for path in (self.prefix / "include" / "gradamp").rglob("*.h"))
        ours = [header for header in headers if not re.search(r"kernels/(cuda|emulation|cpu)/", header)]
        self.assertGreater(len(ours), 40)
        source = self.project(
            "strict", "".join(f"#include <{header}>\n" for header in ours) + "int main() {}\n",
            "find_package(gradamp REQUIRED COMPONENTS engine)\nadd_executable(strict main.cpp)\n"
            "target_compile_options(strict PRIVATE -Wall -Wextra -Wconversion -Werror)\n"
            "target_link_libraries(strict PRIVATE gradamp::engine)")
        configure(source, source / "build", f"-DCMAKE_PREFIX_PATH={self.prefix}", "-DCMAKE_NO_SYSTEM_FROM_IMPORTED=ON")
        run("cmake", "--build", source / "build")

    def test_pkg_config(self):
        if shutil.which("pkg-config") is None:
            self.fail("expected the program pkg-config")
        environment = {**os.environ, "PKG_CONFIG_PATH": str(next(self.prefix.rglob("gradamp.pc")).parent)}
        version = ".".join(re.findall(r"GRADAMP_VERSION_(?:MAJOR|MINOR|PATCH) (\d+)", (ROOT / "core/version.h").read_text()))
        self.assertEqual(re.search(r"^version: (.*)$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE)[1], version)
        self.assertIn(f"gradamp {version}\n", run(self.prefix / "bin" / "gradamp", "--version"))
        self.assertEqual(run("pkg-config", "--modversion", "gradamp", env=environment).strip(), version)
        flags = run("pkg-config", "--cflags", "--libs", "gradamp", env=environment)
        self.assertIn("-lgradamp", flags)
        self.assertNotIn("/usr/local/include", flags)  # but the actual prefix
        command = f"{compiler} '{EXAMPLES}/own_kernel/main.cpp' -c -o '{self.folder}/kernel.o' {flags}"
        subprocess.run(command, shell=True, check=True)
        command = f"{compiler} '{EXAMPLES}/own_loop/main.cpp' -o '{self.folder}/loop' {flags}"
        subprocess.run(command, shell=True, check=True)
        self.assertIn("epoch 5 of 5: ", run(self.folder / "loop", cwd=self.folder))

    def test_a_missing_library_of_the_program_is_named(self):
        for components, refused in [("COMPONENTS program", True), ("", False)]:
            source = self.project("without", "int main() {}\n", f"find_package(gradamp REQUIRED {components})\n"
                                  "if(TARGET gradamp::program)\n  message(FATAL_ERROR there)\nendif()")
            shutil.rmtree(source / "build", ignore_errors=True)
            options = [f"-DCMAKE_PREFIX_PATH={self.prefix}", "-DCMAKE_DISABLE_FIND_PACKAGE_CURL=ON"]
            if refused:
                with self.assertRaisesRegex(AssertionError, r"gradamp::program needs CURL, which was not found: install it"):
                    configure(source, source / "build", *options)
            else:
                self.assertIn("gradamp::program needs CURL", configure(source, source / "build", *options))
        options[1] = "-DCMAKE_DISABLE_FIND_PACKAGE_PNG=ON"  # of predict; the engine needs none of them
        config = next(self.prefix.rglob("gradampConfig.cmake")).read_text()
        if re.search(r"if\(TRUE\)\s+list\(APPEND gradamp_packages PNG JPEG\)", config):
            self.assertIn("gradamp::program needs PNG", configure(source, source / "build", *options))

    def test_an_unknown_component_is_named(self):
        source = self.project("unknown", "int main() {}\n", "find_package(gradamp REQUIRED COMPONENTS trainer)")
        with self.assertRaisesRegex(AssertionError, r"gradamp has no component trainer: there are\s+statistics,\s+engine,\s+program\s+and\s+emulate"):
            configure(source, source / "build", f"-DCMAKE_PREFIX_PATH={self.prefix}")

    def test_another_version_is_refused(self):
        source = self.project("later", "int main() {}\n", "find_package(gradamp 99 REQUIRED)")
        with self.assertRaisesRegex(AssertionError, 'compatible with requested\n? *version "99"'):
            configure(source, source / "build", f"-DCMAKE_PREFIX_PATH={self.prefix}")

    def test_an_installed_program_finds_its_report_scripts(self):
        """The program finds them also after the installation was moved."""
        moved = self.folder / "moved"
        shutil.copytree(self.prefix, moved)
        out = run(moved / "bin" / "gradamp", "report", self.folder / "nowhere",
                  env={key: value for key, value in os.environ.items() if key != "GRADAMP_SCRIPTS"} |
                  {"GRADAMP_PYTHON": shutil.which("echo")})
        self.assertIn(str(moved / "share" / "gradamp" / "report" / "report.py"), out)

    def test_fetched_by_another_project(self):
        folder = self.project("fetched", "int main() {}\n", f"""include(FetchContent)
FetchContent_Declare(gradamp SOURCE_DIR {ROOT})
set(GRADAMP_PROGRAM OFF CACHE BOOL "")
FetchContent_MakeAvailable(gradamp)
add_executable(fetched main.cpp)
gradamp_add_kernels(fetched {EXAMPLES}/own_kernel/scaled.cu)""")
        configure(folder, folder / "build")

    def test_the_program_is_needed_by_the_tests(self):
        with self.assertRaisesRegex(AssertionError, r"Tests and benchmarks need GRADAMP_PROGRAM"):
            configure(ROOT, self.folder / "engine alone", "-DGRADAMP_PROGRAM=OFF")

    def test_inside_another_project(self):
        """The other project gets only the libraries, and no flags for its own targets."""
        tree = self.put_inside_another_project()
        targets = run("cmake", "--build", tree / "build", "--target", "help")
        self.assertIn("gradamp_engine", targets)
        self.assertNotRegex(targets, r"core_tests|convolution_bench|gradamp_tools")
        self.assert_no_flags_of_ours(tree / "build", tree / "main.cpp")


class CudaTest(Installed):
    """Tests that need a build with nvcc."""

    def test_a_kernel_for_gpus_too(self):
        nvcc = re.search(r"^GRADAMP_NVCC:FILEPATH=(.+)$", (build / "CMakeCache.txt").read_text(), re.MULTILINE)[1]
        folder = self.build_example("own_kernel", "-DOWN_CUDA=ON", f"-DCMAKE_CUDA_COMPILER={nvcc}",
                                    "-DCMAKE_CUDA_ARCHITECTURES=90")
        self.assertEqual(run(folder / "own_kernel"), "y = 7, gradient = 6\n")
        self.assertIn("own::cuda::scaled(", run("nm", "-C", folder / "own_kernel"))


class LongTest(Installed):
    def test_inside_another_project(self):
        tree = self.put_inside_another_project()
        run("cmake", "--build", tree / "build", "--target", "own_loop")
        self.assertIn("epoch 5 of 5: ", run(tree / "build" / "own_loop", cwd=tree))

    def test_a_shared_library_and_packages(self):
        """The library exports only gradamp's symbols, and the packages contain all installed files."""
        folder, prefix = self.folder / "shared build", self.folder / "shared prefix"
        configure(ROOT, folder, "-DBUILD_SHARED_LIBS=ON", "-DGRADAMP_TESTS=OFF", "-DGRADAMP_BENCH=OFF", "-DGRADAMP_CUDA=OFF",
                  "-DGRADAMP_NATIVE=OFF")
        run("cmake", "--build", folder)
        run("cpack", cwd=folder)
        archive, package = next(folder.glob("gradamp-*.tar.gz")), next(folder.glob("gradamp_*.deb"))
        for listing in (run("tar", "-tf", archive), run("dpkg-deb", "-c", package)):
            for name in ("bin/gradamp", "/libgradamp.so", "include/gradamp/core/tensor.h", "gradampConfig.cmake",
                         "share/gradamp/report/report.py"):
                self.assertIn(name, listing)
        self.assertIn("libfmt", run("dpkg-deb", "-f", package, "Depends"))
        run("cmake", "--install", folder, "--prefix", prefix)
        library = next(prefix.rglob("libgradamp.so"))
        symbols = run("nm", "-D", "--defined-only", "-C", library).splitlines()
        others = [line for line in symbols if "gradamp" not in line.split(maxsplit=2)[-1]]
        self.assertEqual(others, [])
        for name in ("own_loop", "own_kernel"):
            program = self.build_example(name, prefix=prefix) / name
            run(program, cwd=program.parent)
        self.assert_the_network_trains(self.build_example("own_network", prefix=prefix) / "own_network")


class CompilerTest(unittest.TestCase):
    def ask(self, identity, version):
        with tempfile.TemporaryDirectory() as folder:
            script = pathlib.Path(folder) / "ask.cmake"
            script.write_text(f'include("{ROOT}/tools/package/compiler.cmake")\n'
                              f"gradamp_require_compiler({identity} {version})\n")
            done = subprocess.run(["cmake", "-P", script], capture_output=True, text=True, check=False)
            return done.returncode, " ".join(done.stderr.split())

    def test_old_compilers_are_refused_with_what_to_do(self):
        for identity, version in [("GNU", "10.2.1"), ("Clang", "13.0.0")]:
            code, message = self.ask(identity, version)
            self.assertNotEqual(code, 0)
            self.assertIn(f"This compiler is {identity} {version}; name another one, for example with "
                          "-DCMAKE_CXX_COMPILER=g++-12", message)
        for identity, version in [("GNU", "11.1.0"), ("Clang", "14.0.0"), ("Other", "1.0")]:
            self.assertEqual(self.ask(identity, version), (0, ""))

    def test_a_build_for_this_machine_alone_is_not_packed(self):
        command = ["cmake", "-DCPACK_GRADAMP_NATIVE={}", "-P", str(ROOT / "tools" / "package" / "check_portable.cmake")]
        self.assertIn("-DGRADAMP_NATIVE=OFF", run(*[word.format("ON") for word in command], expect=1))
        run(*[word.format("OFF") for word in command])


def main():
    global build, compiler
    arguments = sys.argv[1:]
    build, compiler = pathlib.Path(arguments[0]).resolve(), arguments[1]
    unittest.main(argv=[sys.argv[0], *arguments[2:]], verbosity=2)


if __name__ == "__main__":
    main()

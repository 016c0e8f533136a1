#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Tests of tools/run_tests.sh and .ci/run with fake programs: which build they request, which tests they select, and
that .ci/run fails if a skipped test is not on the list."""

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]

# Fake programs. Each writes its command line to the file CALLS.
PRETENDERS = {
    "cmake": """
        case $* in *--build*) exit 0 ;; esac
        while [ "$1" != -B ]; do shift; done
        mkdir -p "$2"; touch "$2/build.ninja"
        for word; do
          case $word in -D*=*) word=${word#-D}; echo "${word%%=*}:STRING=${word#*=}" ;; esac
        done >"$2/CMakeCache.txt"
    """,
    "ctest": """
        while [ "$1" != --output-junit ]; do shift; done
        echo "<testsuite>$SKIPPED</testsuite>" >"$2"
        exit "${CTEST_CODE:-0}"
    """,
    "python3": """
        case $1 in
          */skipped_tests.py) exec "$REAL_PYTHON" "$@" ;;
        esac
        case $* in *--empty) exit "${ENVIRONMENT_CODE:-0}" ;; esac
        sleep "${PACKAGES_TAKE:-0}"
        echo installed >>"$CALLS"
        exit "${PACKAGES_CODE:-0}"
    """,
    "clang-format": "exit 0",
    "git": "exit 0",
    "dpkg-query": """[ "${*: -1}" != "${MISSING_PACKAGE:-}" ] && printf installed""",
    "apt-get": "exit 1",
    "sudo": '"$@"',
}
# The real programs that the scripts call. PATH contains nothing else, so the machine's nvcc is not found.
TOOLS = ["bash", "cat", "dirname", "env", "grep", "id", "mkdir", "rm", "sed", "sleep", "touch", "tr", "xargs"]


def skipped(name: str, reason: str) -> str:
    return (f'<testcase name="{name}" status="notrun"><skipped message="SKIP_RETURN_CODE=77"/>'
            f"<system-out>skipped: {reason}</system-out></testcase>")


class RunTests(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.root = pathlib.Path(scratch.name) / "project"
        for name in ["tools/run_tests.sh", "tools/packages.sh", "tools/skipped_tests.py", ".ci/run"]:
            (self.root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, self.root / name)
        (self.root / "tests").mkdir()
        (self.root / "tests" / "allowed_skips.txt").write_text("gpu | there is no GPU | it is no fault\n")
        self.calls = self.root / "calls"
        self.programs = self.root / "programs"
        self.programs.mkdir()
        for name, script in PRETENDERS.items():
            self.write(self.programs / name, script)
        for name in TOOLS:
            (self.programs / name).symlink_to(shutil.which(name))
        self.write(self.root / "tools" / "quickstart.sh", "")

    def write(self, file: pathlib.Path, script: str) -> None:
        file.write_text(f'#!/usr/bin/env bash\necho "{file.name} $*" >>"$CALLS"\n{script}\n')
        file.chmod(0o755)

    def run_script(self, *command: str, expect: int = 0, **environment: str) -> str:
        kept = {key: value for key, value in os.environ.items() if key not in ("GRADAMP_PYTHON", "CUDA_PATH")}
        done = subprocess.run(
            ["bash", self.root / command[0], *command[1:]], text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env={**kept, "PATH": str(self.programs), "CALLS": str(self.calls), "SKIPPED": "",
                 "REAL_PYTHON": sys.executable, "CUDA_PATH": str(self.root / "cuda"), **environment})
        self.assertEqual(done.returncode, expect, done.stdout)
        return done.stdout

    def calls_of(self, program: str) -> list[str]:
        """The program's command lines so far."""
        lines = self.calls.read_text().splitlines()
        return [line for line in lines if line.split()[0] == program]

    def configured(self) -> list[str]:
        return [line for line in self.calls_of("cmake") if " -S " in line]

    def install_nvcc(self) -> None:
        (self.root / "cuda" / "bin").mkdir(parents=True)
        self.write(self.root / "cuda" / "bin" / "nvcc", "")

    def test_environment_is_used(self):
        self.run_script("tools/run_tests.sh")
        environment = f"python3 {self.root}/tools/test_environment.py {self.root}/build-python"
        self.assertEqual(self.calls_of("python3"), [f"{environment} --empty", environment])
        self.assertIn(f"-DGRADAMP_PYTHON={self.root}/build-python/bin/python", self.configured()[0])

    def test_disassembler_where_nvcc_is(self):
        self.install_nvcc()
        self.run_script("tools/run_tests.sh")
        self.assertTrue(self.calls_of("python3")[1].endswith("/build-python --cuda"))

    def test_the_tests_begin_when_the_packages_are_there(self):
        self.run_script("tools/run_tests.sh", PACKAGES_TAKE="0.5")
        names = [line.split()[0] for line in self.calls.read_text().splitlines()]
        self.assertLess(names.index("installed"), names.index("ctest"))
        self.run_script("tools/run_tests.sh", PACKAGES_CODE="1")  # tests are skipped
        self.assertEqual(len(self.calls_of("ctest")), 2)

    def test_no_environment_is_no_failure(self):
        self.run_script("tools/run_tests.sh", ENVIRONMENT_CODE="1")
        self.assertNotIn("GRADAMP_PYTHON", self.configured()[0])
        self.run_script("tools/run_tests.sh", MISSING_PACKAGE="python3-venv")
        self.assertIn("GRADAMP_PYTHON", self.configured()[1])

    def test_own_python(self):
        self.run_script("tools/run_tests.sh", GRADAMP_PYTHON="/opt/python")
        self.assertEqual(self.calls_of("python3"), [])
        self.assertIn("-DGRADAMP_PYTHON=/opt/python", self.configured()[0])

    def test_configures_once_and_again_for_other_options(self):
        self.run_script("tools/run_tests.sh")
        self.run_script("tools/run_tests.sh")
        self.assertEqual(len(self.configured()), 1)
        self.run_script("tools/run_tests.sh", "--cuda")
        self.assertEqual(len(self.configured()), 2)
        self.assertIn("-DGRADAMP_CUDA=ON", self.configured()[1])
        self.run_script("tools/run_tests.sh", GRADAMP_PYTHON="/opt/python")
        self.assertEqual(len(self.configured()), 3)

    def test_long_tests(self):
        for options in [[], ["--race"], ["--long"], ["--race", "--long", "-R", "Name"]]:
            self.run_script("tools/run_tests.sh", *options)
        sampled, race, whole, race_whole = self.calls_of("ctest")
        self.assertTrue(sampled.endswith(" -LE ^long$"), sampled)
        self.assertTrue(race.endswith(" -LE ^long$ -R emulated|[Rr]ace"), race)
        self.assertNotIn("long", whole)
        self.assertTrue(race_whole.endswith(" -R emulated|[Rr]ace -R Name"), race_whole)

    def test_sanitizers(self):
        self.run_script("tools/run_tests.sh", "--sanitize")
        self.run_script("tools/run_tests.sh", "--threads")
        builds = [line for line in self.calls_of("cmake") if " --build " in line]
        self.assertTrue(builds[0].endswith("build-sanitize --target all"), builds[0])
        self.assertTrue(builds[1].endswith("build-threads --target core_tests data_tests fuzz_tests tools_tests"))
        self.assertIn("-DGRADAMP_SANITIZE=address,undefined", self.configured()[0])
        self.assertIn("-DGRADAMP_SANITIZE=thread", self.configured()[1])
        self.assertTrue(self.calls_of("ctest")[1].endswith(
            " -L ^(core|data|fuzz|tools)_tests$ "
            "-E emulated|EveryDevice|DeviceTraining|Fork|IsResumable|FileSystemCall"))

    def test_failing_tests_fail_it(self):
        self.run_script("tools/run_tests.sh", CTEST_CODE="8", expect=8)
        self.run_script(".ci/run", CTEST_CODE="8", expect=8)

    def test_ci_lists_skips(self):
        output = self.run_script(".ci/run", SKIPPED=skipped("gpu", "there is no GPU"))
        self.assertTrue(output.endswith("1 skipped tests:\n  gpu: there is no GPU (allowed: it is no fault)\n"), output)
        output = self.run_script(".ci/run", SKIPPED=skipped("slurm", "no sbatch"), expect=1)
        self.assertIn("slurm: no sbatch (NOT ALLOWED", output)

    def test_ci_takes_warnings_as_errors(self):
        self.run_script("tools/run_tests.sh")
        self.run_script(".ci/run")
        without, strict = self.configured()
        self.assertNotIn("WARNING", without)
        self.assertIn("-DCMAKE_COMPILE_WARNING_AS_ERROR=ON", strict)

    def test_ci_needs_cuda_where_nvcc_is(self):
        self.run_script(".ci/run")
        self.assertNotIn("GRADAMP_CUDA", self.configured()[0])
        self.install_nvcc()
        self.run_script(".ci/run")
        self.assertIn("-DGRADAMP_CUDA=ON", self.configured()[1])

    def test_ci_without_slurm(self):
        output = self.run_script(".ci/run", MISSING_PACKAGE="slurm-wlm")
        self.assertIn("Slurm cannot be installed", output)


if __name__ == "__main__":
    unittest.main()

#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Creates or updates the Python environment of the tests: tests/requirements.txt in a separate folder.

Usage: test_environment.py FOLDER [--cuda] [--requirements FILE] [--empty]

FOLDER/bin/python is the environment's Python. --empty makes the environment without packages: another call installs
them, for example while something is built for the environment's Python. --cuda adds the groups of requirements whose name begins with "CUDA".
If a group cannot be installed, one line says so, its tests are skipped, and the next call tries again. If everything is
installed already, a call takes no time. Exits with 1 if there is no environment.
"""
import argparse
import hashlib
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
TORCH_WITHOUT_CUDA = ROOT / "tools" / "torch_without_cuda.py"
DEBIAN_PYTHON = "/usr/bin/python3"  # has venv if python3-venv is installed, even if another python3 is first on PATH


def groups_of(text: str) -> dict[str, list[str]]:
    """Returns {name of a group: its requirements}."""
    groups = {}
    for block in text.split("\n\n"):
        lines = [line.strip() for line in block.splitlines() if line.strip()]
        requirements = [line for line in lines if not line.startswith("#")]
        if requirements:
            groups[lines[0].removeprefix("#").strip()] = requirements
    return groups


def run(*command: str) -> str:
    """Runs a command. Returns the reason why it failed in one line, or an empty string."""
    environment = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1"}
    environment.pop("PYTHONPATH", None)
    try:
        done = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True)
    except OSError as error:
        return str(error)
    if done.returncode == 0:
        return ""
    lines = [line.strip() for line in done.stdout.splitlines() if line.strip()]
    if any("connection broken by" in line for line in lines):
        return "the package index cannot be reached"
    errors = [line for line in lines if line.lower().startswith("error")]
    return (errors or lines or [f"exit code {done.returncode}"])[-1]


def make_environment(folder: pathlib.Path) -> str:
    """Creates the environment if needed. Returns the reason why there is none, or an empty string."""
    reasons = []
    for base in dict.fromkeys([sys.executable, DEBIAN_PYTHON]):
        reason = run(base, "-m", "venv", "--clear", str(folder))
        if not reason:
            return ""
        reasons.append(f"{base}: {reason}")
    return "; ".join(reasons)


def prepare_torch(python: pathlib.Path) -> str:
    """Makes PyTorch importable. Returns the reason why it does not work, or an empty string."""
    site_packages = subprocess.run([python, "-c", "import sysconfig; print(sysconfig.get_path('platlib'))"],
                                   check=True, capture_output=True, text=True).stdout.strip()
    if not pathlib.Path(site_packages, "torch", "lib").is_dir():
        return ""
    return (run(sys.executable, str(TORCH_WITHOUT_CUDA), site_packages) or
            run(str(python), "-c", "import torch"))


def main() -> int:
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("folder", type=lambda name: pathlib.Path(name).absolute())
    parser.add_argument("--cuda", action="store_true")
    parser.add_argument("--requirements", type=pathlib.Path, default=ROOT / "tests" / "requirements.txt")
    parser.add_argument("--empty", action="store_true")
    arguments = parser.parse_args()

    python = arguments.folder / "bin" / "python"
    stamp = arguments.folder / "installed"
    groups = {name: requirements for name, requirements in groups_of(arguments.requirements.read_text()).items()
              if arguments.cuda or not name.startswith("CUDA")}
    content = hashlib.sha256("\n".join([repr(groups), TORCH_WITHOUT_CUDA.read_text()]).encode()).hexdigest()
    works = not run(str(python), "-c", "")
    if works and (arguments.empty or stamp.exists() and stamp.read_text() == content):
        return 0

    if not works and (reason := make_environment(arguments.folder)):
        print(f"The tests have no Python environment; those that need one are skipped: {reason}")
        return 1
    if arguments.empty:
        return 0
    print(f"Installing the tests' Python packages in {arguments.folder} (once; 600 MB to download)", flush=True)
    stamp.unlink(missing_ok=True)
    failed = False
    for name, requirements in groups.items():
        reason = run(str(python), "-m", "pip", "install", "--quiet", "--no-deps", "--no-compile", "--retries=2",
                     "--only-binary=:all:", *requirements)
        if not reason and name == "PyTorch":
            reason = prepare_torch(python)
        if reason:
            print(f"Tests that need {name} are skipped, since the package cannot be installed: {reason}", flush=True)
            failed = True
    if not failed:
        stamp.write_text(content)
    return 0


if __name__ == "__main__":
    sys.exit(main())

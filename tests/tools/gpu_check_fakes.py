# SPDX-License-Identifier: MIT
"""Fake programs with which gpu_check_test.py runs tools/gpu_check.sh on a machine without a GPU."""

import os
import pathlib
import subprocess
import sys
import tempfile
import textwrap

ROOT = pathlib.Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "tools" / "gpu_check.sh"

NVIDIA_SMI = """
    case $* in
      *--list-gpus*) echo 'GPU 0: NVIDIA Pretender (UUID: GPU-1)' ;;
      *) echo "NVIDIA Pretender, 580.1, 81559 MiB, ${FREE_MIB:-80000} MiB, 9.0" ;;
    esac
"""
# Two tests on the device cuda, run by one shard or two.
TESTS = """
    for word; do
      case $word in
        --gtest_list_tests) echo 'Devices/Conformance.'; echo '  Agrees/cuda_relu'; echo '  Agrees/cuda_add'; exit 0 ;;
      esac
    done
    for ((i = ${GTEST_SHARD_INDEX:-0}; i < 2; i += ${GTEST_TOTAL_SHARDS:-1})); do
      echo "[ RUN      ] Devices/Conformance.Agrees/cuda_$i"
      [ "$i" != "${BAD_TEST:-}" ] || { echo "[  FAILED  ] Devices/Conformance.Agrees/cuda_$i (1 ms)"; exit 1; }
      [ "$i" != "${ENDING_TEST:-}" ] || exit 0
      echo "[       OK ] Devices/Conformance.Agrees/cuda_$i (1 ms)"
    done
"""
INSTRUCTIONS = """
    [ -z "${NO_GPU_FOR_TESTS:-}" ] || { echo 'skipped: there is no GPU'; exit 77; }
    case $1 in --gtest_list_tests) echo 'Mma.'; echo '  Bf16'; exit 0 ;; esac
    [ -z "${BAD_MMA:-}" ] || { echo '[  FAILED  ] Mma.Bf16 (0 ms)'; exit 1; }
    echo '[       OK ] Mma.Bf16 (0 ms)'
"""
SANITIZER = """
    while [ $# -gt 0 ]; do
      case $1 in
        --tool) tool=$2; shift 2 ;;
        --error-exitcode | --print-limit) shift 2 ;;
        *) break ;;
      esac
    done
    "$@"
    [ "$tool" != "${BAD_TOOL:-}" ] || { echo '========= Error: Race reported between Write and Read'; exit 99; }
"""
BENCHMARK = """
    for word; do
      case $word in --benchmark_out=*) out=${word#*=} ;; esac
    done
    echo "$0 $*" >>"$CALLS"
    cat >"$out" <<END
    {"context": {"library": "cuDNN 9.1.0", "copy_ceiling_gb_s": "3000"}, "benchmarks": [
     {"run_name": "forward/3x3_64x64_32_s1/ours/iterations:1/manual_time", "real_time": 50, "time_unit": "us",
      "resnet18": 4, "TFLOP/s": 100},
     {"run_name": "forward/3x3_64x64_32_s1/library/iterations:1/manual_time", "real_time": 40, "time_unit": "us",
      "resnet18": 4, "TFLOP/s": 125}]}
    END
"""
KERNELS = (
    BENCHMARK.replace('"TFLOP/s": 1', '"GB/s": 2700, "of_copy": 0.9, "of_copy_with_look": 1, "TFLOP/s": 1')
    .replace("forward/3x3_64x64_32_s1/ours", "relu/32x32x64")
    .replace("forward/3x3_64x64_32_s1/library", "add/32x32x64")
)
OPTIMIZER = KERNELS.replace("/32x32x64", "/1e+08")
STEP = """
    echo "$0 $*" >>"$CALLS"
    echo '{"network": "resnet18", "precision": "bf16", "granularity": "weight", "batch_size": 128,
           "seconds_per_step": [0.001], "analyzed_seconds_per_step": [0.00101]}'
"""
TRAIN = """
    [ "$1" != info ] || { echo "          cuda: ${INFO:-NVIDIA Pretender (compute capability 9.0, 1 GiB)}; built with CUDA 13.0"; exit 0; }
    echo "$0 $*" >>"$CALLS"
    weight=1
    case "$*" in *--device\ cuda*) weight=${CUDA_WEIGHT:-1} ;; esac
    while [ "$1" != --run-folder ]; do shift; done
    mkdir -p "$2"
    for epoch in 1 2 3; do
      analyzed=false amplified=false
      [ $epoch != 2 ] || analyzed=true
      [ $epoch != 3 ] || amplified=true
      echo '{"epoch": '$epoch', "learning_rate": 0.1, "train_loss": '$((4 - epoch)).0${NOISE:+$RANDOM}',
             "test_loss": 1.0, "train_accuracy": 0.5, "test_accuracy": 0.5,
             "analyzed": '$analyzed', "amplified": '$amplified',
             "images_per_second": 9}' | tr -d '\\n'
      echo
    done >"$2/metrics.jsonl"
    python3 -c '
    import struct, sys
    header = b"{\\"weight\\": {\\"dtype\\": \\"F32\\", \\"shape\\": [1], \\"data_offsets\\": [0, 4]}}"
    sys.stdout.buffer.write(struct.pack("<Q", len(header)) + header + struct.pack("<f", float(sys.argv[1])))
    ' "$weight" >"$2/checkpoint.safetensors"
"""
PYTHON = """
    [ "$1" != -c ] || { echo 'ModuleNotFoundError: no torch' >&2; exit 1; }
    exec python3 "$@"
"""


TEST_PROGRAMS = ("core_tests", "kernels_tests", "layers_tests", "nets_tests", "optim_tests")


class Pretence:
    """A folder of fake programs. `add_cleanup` registers the function that removes it."""

    def __init__(self, add_cleanup):
        owner = tempfile.TemporaryDirectory()
        add_cleanup(owner.cleanup)
        self.path = pathlib.Path(owner.name)
        self.build, self.report, self.tools = self.path / "build", self.path / "report", self.path / "bin"
        self.script(self.tools / "nvidia-smi", NVIDIA_SMI)
        self.script(self.tools / "sanitizer", SANITIZER)
        self.script(self.tools / "python", PYTHON)
        (self.tools / "python3").symlink_to(os.path.realpath(sys.executable))
        for name in TEST_PROGRAMS:
            self.script(self.build / "tests" / name, TESTS)
        words = self.build / "tests" / "kernels" / "emulation"
        for name in ("gpu/cuda_intrinsics_gpu_tests", "cuda_intrinsics_tests", "gpu/hopper_gpu_tests", "hopper_tests"):
            self.script(words / name, INSTRUCTIONS)
        for name in ("cuda_statistics_tests", "gpu_statistics_tests"):
            self.script(self.build / "tests" / "kernels" / "statistics" / "gpu" / name, TESTS)
        self.script(self.build / "bench" / "convolution_bench", BENCHMARK)
        self.script(self.build / "bench" / "kernel_bench", KERNELS)
        self.script(self.build / "bench" / "optimizer_bench", OPTIMIZER)
        self.script(self.build / "bench" / "training_step", STEP)
        self.script(self.build / "gradamp", TRAIN)

    @staticmethod
    def script(path, text):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("#!/usr/bin/env bash\n" + textwrap.dedent(text))
        path.chmod(0o755)

    def run(self, *arguments, jobs="2", **environment):
        """Runs the script. Returns its exit code and its output."""
        settings = {
            **os.environ,
            "PATH": f"{self.tools}:{os.environ['PATH']}",
            "GRADAMP_COMPUTE_SANITIZER": str(self.tools / "sanitizer"),
            "GRADAMP_PYTHON": str(self.tools / "python"),
            "CALLS": str(self.path / "calls"),
            "OUT": str(self.path),  # set on some machines; the script must ignore it
            **environment,
        }
        command = [
            "bash",
            str(SCRIPT),
            "--build",
            str(self.build),
            "--report",
            str(self.report),
            *(["--jobs", jobs] if jobs else []),
            *arguments,
        ]
        done = subprocess.run(command, env=settings, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        return done.returncode, done.stdout

    def markdown(self):
        return (self.report / "report.md").read_text(encoding="utf-8")

    def calls(self):
        return (self.path / "calls").read_text()

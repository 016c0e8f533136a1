#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs a program on a processor with AVX-512 that Bochs emulates, for machines whose own processor has none.

Usage: avx512_test.py [OPTION...] PROGRAM KERNEL [ARGUMENT...]

PROGRAM is for example kernels_tests, and the ARGUMENTs are its own, for example '--gtest_filter=Cases/Direct*'. KERNEL
is a Linux kernel (Debian: boot/vmlinuz-* of the package linux-image-*-cloud-amd64). Prints what the program prints and
ends with its exit status, or with 124 if the time is over or the emulator stops before the program ends.

No test runs it by itself. The emulator does about 100 million instructions per second, and of those of AVX-512 with
floats 1 to 7 million, so a test takes about 150 times as long. Times that the program measures mean nothing. Needs
Debian's packages bochsbios, vgabios, isolinux, syslinux-common, xorriso and busybox-static, and Bochs without its
debugger, which Debian's has:
  ./configure --enable-all-optimizations --enable-cpu-level=6 --enable-x86-64 --enable-avx --enable-evex --enable-pci \
--with-nogui
Sapphire Rapids, Bochs's model with AVX512-BF16, does not boot Linux 6.1 (Bochs of August 2026). For these instructions
change cpu/cpudb/intel/corei7_skylake-x.cc: enable_cpu_extension(BX_ISA_AVX512_BF16), and leaf 7 of CPUID has a subleaf
1, whose eax is get_std_cpuid_leaf_7_subleaf_1_eax(): the processor is a Cooper Lake then.
"""
import argparse
import gzip
import pathlib
import re
import shlex
import subprocess
import sys
import tempfile
import time

BUSYBOX = pathlib.Path("/bin/busybox")
ISOLINUX = pathlib.Path("/usr/lib/ISOLINUX/isolinux.bin")
ISOLINUX_LIBRARY = pathlib.Path("/usr/lib/syslinux/modules/bios/ldlinux.c32")

# The first process of the emulated machine. The marks tell the host where the program's output begins and ends.
BEGIN, END = "==== program begins", "==== program ends:"
INIT = """#!/bin/busybox sh
/bin/busybox mount -t devtmpfs none /dev
/bin/busybox mount -t proc none /proc
/bin/busybox mount -t sysfs none /sys
/bin/busybox mount -t tmpfs none /tmp
/bin/busybox dmesg -n 1
exec </dev/null >/dev/ttyS0 2>&1
/bin/busybox stty -F /dev/ttyS0 -opost
cd /tmp
echo "{begin}"
{command}
status=$?
{show}
echo "{end} $status"
/bin/busybox sleep 1000000
"""

LOADER = """default linux
label linux
  kernel /linux
  append initrd=/initrd console=ttyS0,115200 quiet mitigations=off nokaslr
"""

BOCHS = """
display_library: nogui
cpu: model={model}, count=1, ips=100000000, ignore_bad_msrs=1
memory: guest={megabytes}, host={megabytes}
romimage: file=/usr/share/bochs/BIOS-bochs-latest
vgaromimage: file=/usr/share/vgabios/vgabios.bin
ata0: enabled=1
ata0-master: type=cdrom, path={folder}/disk.iso, status=inserted
boot: cdrom
clock: sync=none
com1: enabled=1, mode=file, dev={folder}/serial
log: {folder}/log
panic: action=fatal
error: action=ignore
info: action=ignore
debug: action=ignore
"""


def archive(files):
    """The files {path: (mode, content)} in the format from which a kernel unpacks its first files (cpio's newc)."""
    packed = b""
    for number, (path, (mode, content)) in enumerate([*files.items(), ("TRAILER!!!", (0, b""))]):
        name = path.encode() + b"\0"
        fields = (number, mode, 0, 0, 1, 0, len(content), 0, 0, 5, 1, len(name), 0)  # 5, 1: the device, if it is one
        header = b"070701" + b"".join(b"%08X" % field for field in fields) + name
        packed += b"".join(part + b"\0" * (-len(part) % 4) for part in (header, content))
    return packed


def first_files(program, arguments, environment, shown):
    """The emulated machine's files: the program, the shared libraries that it needs, busybox and init."""
    listed = subprocess.run(["ldd", program], capture_output=True, text=True).stdout  # nothing if linked statically
    copies = {path: pathlib.Path(path) for path in re.findall(r"(/\S+) \(0x", listed)}
    copies.update({"/bin/busybox": BUSYBOX, "/program": program})
    folders = {str(folder) for path in copies for folder in pathlib.PurePath(path).parents} - {"/"}
    command = shlex.join(["/bin/busybox", "env", *environment, "/program", *arguments])
    files = {path[1:]: (0o040755, b"") for path in sorted(folders | {"/dev", "/proc", "/sys", "/tmp"})}
    files["dev/console"] = (0o020600, b"")
    show = shlex.join(["/bin/busybox", "cat", *shown, "/dev/null"])
    files["init"] = (0o100755, INIT.format(begin=BEGIN, command=command, show=show, end=END).encode())
    files.update((path[1:], (0o100755, source.read_bytes())) for path, source in copies.items())
    return gzip.compress(archive(files), 1)


def make_disk(folder, kernel, files):
    """A CD-ROM that boots the kernel with these files."""
    root = folder / "root"
    root.mkdir()
    for name, content in {"isolinux.bin": ISOLINUX.read_bytes(), "ldlinux.c32": ISOLINUX_LIBRARY.read_bytes(),
                          "isolinux.cfg": LOADER.encode(), "linux": kernel.read_bytes(), "initrd": files}.items():
        (root / name).write_bytes(content)
    subprocess.run(["xorriso", "-as", "mkisofs", "-o", folder / "disk.iso", "-b", "isolinux.bin", "-c", "boot.cat",
                    "-no-emul-boot", "-boot-load-size", "4", "-boot-info-table", root], check=True, capture_output=True)


def follow(serial, emulator, seconds):
    """Prints the program's output as it comes. Returns its exit status, or None if there is none in time."""
    deadline = time.monotonic() + seconds
    running, rest = False, ""
    while True:
        stops = emulator.poll() is not None or time.monotonic() > deadline
        *lines, rest = (rest + serial.read()).split("\n")
        for line in lines:
            if ended := re.search(END + r" (\d+)", line):
                print(line[:ended.start()], end="", flush=True)  # what the program printed after its last newline
                return int(ended[1])
            if running:
                print(line, flush=True)
            running = running or BEGIN in line
        if stops:
            print(rest)
            return None
        time.sleep(0.2)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", type=pathlib.Path)
    parser.add_argument("kernel", type=pathlib.Path)
    parser.add_argument("arguments", nargs=argparse.REMAINDER)
    parser.add_argument("--seconds", type=float, default=3600, help="for all; default: %(default)s")
    parser.add_argument("--environment", action="append", default=["TERM=dumb"], metavar="NAME=VALUE")
    parser.add_argument("--show", action="append", default=[], metavar="FILE",
                        help="print this file of the emulated machine too when the program has ended")
    parser.add_argument("--bochs", default="bochs", help="the emulator; default: %(default)s")
    parser.add_argument("--model", default="corei7_skylake_x", help="the processor; default: %(default)s")
    parser.add_argument("--megabytes", type=int, default=1024, help="memory; default: %(default)s")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        make_disk(folder, options.kernel,
                  first_files(options.program, options.arguments, options.environment, options.show))
        (folder / "bochsrc").write_text(BOCHS.format(folder=folder, model=options.model, megabytes=options.megabytes))
        (folder / "serial").touch()
        with open(folder / "serial", errors="replace") as serial:
            emulator = subprocess.Popen([options.bochs, "-q", "-f", folder / "bochsrc"], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            try:
                status = follow(serial, emulator, options.seconds)
            finally:
                emulator.kill()
                emulator.wait()
        if status is None:
            print(f"avx512_test.py: the program did not end within {options.seconds:g} s; the emulator's last words:",
                  *(folder / "log").read_text(errors="replace").splitlines()[-3:], sep="\n", file=sys.stderr)
        return 124 if status is None else status


if __name__ == "__main__":
    sys.exit(main())

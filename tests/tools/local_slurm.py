# SPDX-License-Identifier: MIT
"""A private Slurm on this machine: a controller, one node of four processors, and munge with its own key. Everything
runs as the current user and in a temporary folder. It needs neither root nor systemd nor cgroups. It uses its own ports
and sockets, so it does not affect another Slurm.

    with LocalSlurm() as slurm:
        subprocess.run(["sbatch", ...], env=slurm.environment)

The node claims four processors even if the machine has fewer. So it is useful for tests of jobs, but not for real
work."""

import os
import pathlib
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scancel", "scontrol")
PATH = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"  # Debian's folders of daemons, which users may not have on PATH
START_SECONDS = 30

CONFIGURATION = """
ClusterName=gradamp
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmdPort={node_port}
SlurmUser={user}
SlurmdUser={user}
# Slurm lets a requeued job wait until its old credential has expired.
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
CryptoType=crypto/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
# Slurm makes folders for PMIx there, named after jobs, which every private Slurm counts from 1.
TmpFS={folder}/tmp
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldSyslogDebug=quiet
SlurmdSyslogDebug=quiet
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/builtin
SchedulerParameters=batch_sched_delay=0,sched_interval=1
MpiDefault=none
JobRequeue=1
ReturnToService=2
KillWait=5
MinJobAge=3600
MailProg=/bin/true
# The processors below are not the machine's.
SlurmdParameters=config_overrides
NodeName=node NodeHostname={host} NodeAddr=127.0.0.1 Port={node_port} CPUs=4
PartitionName=all Nodes=node Default=YES MaxTime=60 State=UP
"""


class Unavailable(Exception):
    """Slurm cannot be started on this machine. The message gives the reason in one line."""


def free_ports(count: int) -> list:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def configuration_of(folder: pathlib.Path) -> pathlib.Path:
    return folder / "slurm.conf"


def processes_of(folder: pathlib.Path) -> list:
    """The processes whose environment contains the configuration's name: daemons, processes that supervise jobs, and
    the jobs, which may continue after the daemons end."""
    mark, processes = b"SLURM_CONF=" + os.fsencode(configuration_of(folder)), []
    for environment in pathlib.Path("/proc").glob("[0-9]*/environ"):
        try:
            if mark in environment.read_bytes().split(b"\0"):
                processes.append(int(environment.parent.name))
        except OSError:  # the process has ended, or belongs to another user
            pass
    return processes


def clean_up_after(folder: pathlib.Path) -> None:
    """The main program. Waits until its parent closes the standard input, or is killed, and then removes all processes
    and files of this Slurm. It detaches from its parent, so that it is not killed together with the test."""
    if os.fork() != 0:
        os._exit(0)
    sys.stdin.buffer.read()
    while processes := processes_of(folder):
        for process in processes:
            try:
                os.kill(process, signal.SIGKILL)
            except ProcessLookupError:
                pass
        time.sleep(0.02)
    shutil.rmtree(folder, ignore_errors=True)


class LocalSlurm:
    def __init__(self):
        missing = [program for program in PROGRAMS if shutil.which(program, path=PATH) is None]
        if missing:
            raise Unavailable(f"no {', '.join(missing)} (Debian: apt-get install slurm-wlm munge)")
        self.daemons = []  # in the order in which they were started
        self.folder = self.cleaner = None
        self.environment = {}  # for programs that use this Slurm

    def __enter__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="gradamp-slurm-"))
        self.cleaner = subprocess.Popen(
            [sys.executable, __file__, str(self.folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # Control-C then reaches only the test
        )
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *exception):
        self.stop()

    # ---- Queries ----

    def ask(self, *command: str) -> str:
        done = subprocess.run(command, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(command)}: exit code {done.returncode}: {done.stdout.strip()}")
        return done.stdout

    def jobs(self) -> dict:
        """The output of `scontrol show job`: {"12_0": {"JobState": "RUNNING", "Restarts": "1", ...}, ...}. Tasks of an
        array that have begun have their own number. Those that have not begun share an entry such as "12_1-3"."""
        jobs = {}
        for line in self.ask("scontrol", "--oneliner", "show", "job").splitlines():
            words = [word.partition("=") for word in line.split()]
            job = {key: value for key, equals, value in words if equals}
            if "JobId" not in job:  # "No jobs in the system"
                continue
            array = job.get("ArrayJobId")
            jobs[f"{array}_{job['ArrayTaskId']}" if array else job["JobId"]] = job
        return jobs

    def logs(self) -> str:
        parts = []
        for path in sorted(self.folder.glob("*.log")):
            parts.append(f"{path.name}:\n" + "\n".join(path.read_text(errors="replace").splitlines()[-30:]))
        return "\n".join(parts)

    # ---- Starting and stopping ----

    def start(self) -> None:
        controller_port, node_port = free_ports(2)
        for name in ("state", "spool", "tmp"):
            (self.folder / name).mkdir()
        configuration, key = configuration_of(self.folder), self.folder / "munge.key"
        configuration.write_text(
            CONFIGURATION.format(
                host=socket.gethostname().partition(".")[0],
                controller_port=controller_port,
                node_port=node_port,
                user=pwd.getpwuid(os.geteuid()).pw_name,
                folder=self.folder,
            )
        )
        key.touch(mode=0o600)
        key.write_bytes(os.urandom(1024))
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("SLURM", "SBATCH"))}
        self.environment = {**inherited, "PATH": PATH, "SLURM_CONF": str(configuration)}
        files = {"--key-file": key}
        for option, name in {"socket": "socket", "pid-file": "pid", "seed-file": "seed"}.items():
            files["--" + option] = self.folder / f"munge.{name}"
        # Without --force, munged requires a folder that all users may enter.
        self.start_daemon("munged", "--foreground", "--force", *(f"{name}={path}" for name, path in files.items()))
        self.wait_for(lambda: (self.folder / "munge.socket").exists())
        self.start_daemon("slurmctld", "-D", "-c", "-f", str(configuration))
        self.wait_for(lambda: "UP" in self.ask("scontrol", "ping"))
        self.start_daemon("slurmd", "-D", "-f", str(configuration), "-N", "node")
        self.wait_for(lambda: "State=IDLE" in self.ask("scontrol", "--oneliner", "show", "node", "node"))

    def start_daemon(self, *command: str) -> None:
        with open(self.folder / f"{command[0]}.log", "wb") as output:
            self.daemons.append(
                subprocess.Popen(
                    command,
                    env=self.environment,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            )

    def wait_for(self, condition) -> None:
        end = time.monotonic() + START_SECONDS
        while True:
            for daemon in self.daemons:
                if daemon.poll() is not None:
                    raise RuntimeError(f"{daemon.args[0]} ended with exit code {daemon.returncode}\n{self.logs()}")
            try:
                if condition():
                    return
            except RuntimeError:  # not ready yet
                pass
            if time.monotonic() > end:
                raise RuntimeError(f"Slurm did not start within {START_SECONDS} s\n{self.logs()}")
            time.sleep(0.05)

    def stop(self) -> None:
        self.cleaner.communicate()  # closes its input, and returns when it has finished and closed its output
        for daemon in self.daemons:
            daemon.wait()


if __name__ == "__main__":
    clean_up_after(pathlib.Path(sys.argv[1]))

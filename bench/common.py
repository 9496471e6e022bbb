"""What the measurements share: processes and what they use, the servers, running sip-load, and printing."""

import contextlib
import ctypes
import glob
import json
import os
import platform
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[1]
BUILD = Path(os.environ.get("STIRRUP_BUILD", SOURCE))
PROGRAM = Path(sys.argv[0]).name
SIP_LOAD = BUILD / "bench/sip-load"
CALL_LOAD = BUILD / "bench/call-load"
ORIG = "+1215555"          # and four digits: 10,000 callers
SIGNED = "127.0.0.1"       # what comes from here is signed,
PLAIN = "127.0.0.2"        # from here redirected as it is
CLOCK_TICK_US = 1_000_000 / os.sysconf("SC_CLK_TCK")


# ---- processes ----


def stat_fields(pid):
    """The fields of /proc/PID/stat from the third on."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def process_tree(root):
    children = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError):
                children.setdefault(int(stat_fields(entry)[1]), []).append(int(entry))
    found = [root]
    for pid in found:
        found += children.get(pid, [])
    return found


def cpu_us(pid):
    """User and system time of all threads, the ended ones too. The kernel keeps it to the nanosecond and shows ticks."""
    fields = stat_fields(pid)
    return (int(fields[11]) + int(fields[12])) * CLOCK_TICK_US


def rss_kib(pid):
    """Counted page by page where we may; VmRSS is an estimate on newer kernels."""
    for name, key in (("smaps_rollup", "Rss"), ("status", "VmRSS")):
        with contextlib.suppress(OSError):
            match = re.search(rf"^{key}:\s+(\d+) kB", Path(f"/proc/{pid}/{name}").read_text(), re.M)
            if match:
                return int(match.group(1))
    return 0


def title(pid):
    return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0].decode("utf-8", "replace").strip()


def by_title(values):
    """Sums what was measured for each process by what the process is called."""
    sums = {}
    for pid, value in values.items():
        sums[title(pid)] = sums.get(title(pid), 0) + value
    return sums


def end_with_us():
    """In the child, before exec: nothing we started outlives us."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)


def free_port():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


# ---- the servers ----


class Server:
    """A SIP server under measurement; the subclasses write its configuration and say how it is started."""

    name = ""
    environment = {}
    probe_method = "INVITE"    # what it answers by itself

    def __init__(self, directory, pki):
        self.directory = Path(directory) / self.name.split()[0].lower()
        self.directory.mkdir()
        self.pki = pki
        self.port = free_port()
        self.process = None

    def command(self):
        raise NotImplementedError

    def __enter__(self):
        self.log = open(self.directory / "log", "wb")
        self.process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log,
                                        cwd=self.directory, env=os.environ | self.environment, preexec_fn=end_with_us)
        try:
            self.wait_for_answer()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()

    def wait_for_answer(self):
        end = time.monotonic() + 15
        while time.monotonic() < end and self.process.poll() is None:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
                probe.bind((PLAIN, 0))
                probe.connect(("127.0.0.1", self.port))
                probe.settimeout(0.2)
                here, call = "%s:%d" % probe.getsockname(), time.monotonic_ns()
                with contextlib.suppress(OSError):
                    probe.send((f"{self.probe_method} sip:+13035550100@127.0.0.1:{self.port} SIP/2.0\r\n"
                                f"Via: SIP/2.0/UDP {here};branch=z9hG4bKprobe{call}\r\nMax-Forwards: 70\r\n"
                                f"From: <sip:{ORIG}0000@{here}>;tag=p\r\n"
                                f"To: <sip:+13035550100@127.0.0.1:{self.port}>\r\n"
                                f"Call-ID: probe{call}@{here}\r\nCSeq: 1 {self.probe_method}\r\nContact: <sip:{here}>\r\n"
                                "Content-Length: 0\r\n\r\n").encode())
                    probe.recv(65536)
                    return
            time.sleep(0.1)
        sys.exit(f"{PROGRAM}: {self.name} does not answer:\n" + (self.directory / "log").read_text(errors="replace"))


class StirrupServer(Server):
    """One that runs stirrupd with self.configuration()."""

    name = "Stirrup"

    def configuration(self):
        raise NotImplementedError

    def command(self):
        (self.directory / "stirrup.conf").write_text(self.configuration())
        return [str(BUILD / "stirrupd"), "-f", str(self.directory / "stirrup.conf")]


class KamailioServer(Server):
    """Nothing loaded or logged that the job does not need. The subclasses write the rest of the configuration."""

    name = "Kamailio"
    modules = ("sl", "pv", "textops", "secsipid")
    shared_mib = 64

    def __init__(self, directory, pki, children):
        super().__init__(directory, pki)
        self.children = children

    @staticmethod
    def find():
        binary = shutil.which("kamailio", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
        modules = glob.glob("/usr/lib/*/kamailio/modules/secsipid.so") + glob.glob("/usr/lib*/kamailio/modules/secsipid.so")
        return binary if binary and modules else None

    def route(self):
        """modparam and request_route"""
        raise NotImplementedError

    def command(self):
        modules = "\n".join(f'loadmodule "{module}.so"' for module in self.modules)
        (self.directory / "kamailio.cfg").write_text(f"""\
#!KAMAILIO
debug=-3
log_stderror=yes
fork=yes
children={self.children}
listen=udp:127.0.0.1:{self.port}
disable_tcp=yes
auto_aliases=no
dns=no
rev_dns=no
server_signature=no
{modules}
modparam("secsipid", "cache_dir", "{self.directory}")
modparam("secsipid", "cache_expire", 86400)
{self.route()}""")
        return [self.find(), "-f", str(self.directory / "kamailio.cfg"), "-DD", "-E", "-m", str(self.shared_mib), "-M", "8",
                "-P", str(self.directory / "pid"), "-Y", str(self.directory)]


# ---- measuring ----


def sip_load_command(server, source, *more):
    return [str(SIP_LOAD), "--local", source, "--from", ORIG, *map(str, more), f"127.0.0.1:{server.port}"]


def run_load(server, command, unit):
    """One run of a load source. Returns its JSON and, added to it, CPU for each of what unit counts: in all, and by process."""
    pids = process_tree(server.process.pid)
    before = {pid: cpu_us(pid) for pid in pids}
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{PROGRAM}: {server.name} answered nothing to: {' '.join(command)}")
    try:
        used = {pid: cpu_us(pid) - before[pid] for pid in pids}
    except FileNotFoundError:
        sys.exit(f"{PROGRAM}: a process of {server.name} ended during: {' '.join(command)}")
    result = json.loads(done.stdout)
    result["cpu_us"] = sum(used.values()) / result[unit]
    result["cpu_us_by_process"] = by_title({pid: us / result[unit] for pid, us in used.items()})
    return result


def sip_load(server, source, *more):
    return run_load(server, sip_load_command(server, source, *more), "answered")


def memory_kib(server):
    """Of all its processes, what they share counted once: what is theirs alone, and what of files is mapped."""
    sums = {"own": 0, "file": 0}
    for pid in process_tree(server.process.pid):
        with contextlib.suppress(OSError):
            text = Path(f"/proc/{pid}/smaps_rollup").read_text()
            for key, where in (("Pss_Anon", "own"), ("Pss_Shmem", "own"), ("Pss_File", "file")):
                match = re.search(rf"^{key}:\s+(\d+) kB", text, re.M)
                sums[where] += int(match.group(1)) if match else 0
    return sums


def rss_by_title(server):
    return by_title({pid: rss_kib(pid) for pid in process_tree(server.process.pid)})


def progress(text):
    print(f"# {text} ...", file=sys.stderr, flush=True)


def p256_us():
    """One P-256 signature and one verification by OpenSSL's own measurement."""
    done = subprocess.run(["openssl", "speed", "-seconds", "3", "ecdsap256"], capture_output=True, text=True, check=True)
    return [1_000_000 / float(rate) for rate in done.stdout.split()[-2:]]


def stolen_ticks():
    return int(Path("/proc/stat").read_text().split()[8])


def cpu_model():
    match = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.M)
    return match.group(1) if match else platform.machine()


def openssl_version():
    return " ".join(subprocess.run(["openssl", "version"], capture_output=True, text=True, check=True).stdout.split()[:2])


def make_pki(directory):
    """A throw-away STI-CA and the credential alpha; returns where."""
    pki = Path(directory, "pki")
    subprocess.run([str(SOURCE / "tests/pki/make-pki.sh"), str(pki)], check=True)
    return pki


# ---- printing ----


def print_heading(result):
    print(f"{result['date']}   {result['cpu']}, {os.cpu_count()} cores   Linux {platform.release()}   {result['openssl']}")
    for text in result["servers"]:
        print(text)


def table(columns, figures):
    """columns: title -> row of figures; figures: (label, what to show of a row)."""
    width = max(len(label) for label, _ in figures)
    column = max(18, 2 + max(map(len, columns)))
    print(" " * width + "".join(f"{name:>{column}}" for name in columns))
    for label, show in figures:
        print(f"{label:<{width}}" + "".join(f"{show(row):>{column}}" for row in columns.values()))


def ratio(text, value, aim=""):
    print(f"{text:<70}{value:>10}   {aim}".rstrip())


# ---- the run ----


def without_kamailio():
    """Whether it has to be left out; says so."""
    if KamailioServer.find() is not None:
        return False
    print(f"{PROGRAM}: Kamailio is left out: Debian packages kamailio and kamailio-secsipid-modules are not installed",
          file=sys.stderr)
    return True


def what_is_missing(stirrup, sources):
    for source in sources:
        if not os.access(source, os.X_OK):
            return f"{source}: run 'make bench/{source.name}' (STIRRUP_BUILD names another build directory)"
    if stirrup and not os.access(BUILD / "stirrupd", os.X_OK):
        return f"{BUILD}/stirrupd: run 'make' (STIRRUP_BUILD names another build directory)"
    if shutil.which("openssl") is None:
        return "openssl (Debian package openssl)"
    return None


def measure_and_print(run, print_all, options, stirrup=True, sources=(SIP_LOAD,)):
    """run(options, directory) returns what print_all(result, options) shows. Leaves nothing behind."""
    missing = what_is_missing(stirrup, sources)
    if missing:
        sys.exit(f"{PROGRAM}: missing: {missing}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    start = {"date": time.strftime("%Y-%m-%d %H:%M"), "cpu": cpu_model(), "servers": [],
             "load": Path("/proc/loadavg").read_text().split()[0], "openssl": openssl_version()}
    stolen = stolen_ticks()
    with tempfile.TemporaryDirectory(prefix="stirrup-bench-") as directory:
        result = start | run(options, directory)
    result["stolen_s"] = (stolen_ticks() - stolen) * CLOCK_TICK_US / 1_000_000
    print_all(result, options)
    if options.json:
        Path(options.json).write_text(json.dumps(result, indent="\t") + "\n")

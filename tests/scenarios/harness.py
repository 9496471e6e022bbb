"""What the scenario tests share: the real stirrupd on loopback, a SIP client of a few lines, SIPp, and independent
readers of what comes back (secsipidx for signatures, this file for claims). Python's standard library only."""

import base64
import contextlib
import csv
import ctypes
import json
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("STIRRUP_BUILD", ROOT))
STIRRUPD = BUILD / "stirrupd"
STIRRUPCTL = BUILD / "stirrupctl"
SCENARIOS = ROOT / "sipp-scenarios"

X5U = "https://certs.example.net/alpha.pem"
X5U_BETA = "https://certs.example.net/beta.pem"
OWN = "+12155551212"        # a number of customer acme, and of strict and quiet
OTHER = "+13035550199"      # nobody's
DEST = "+12155551213"

# Who a caller is, the daemon knows by his address: each policy has one in 127/8.
CORE = "127.0.0.1"
UNLISTED = "127.0.0.2"
STRICT = "127.0.0.11"       # other_numbers = "reject"
QUIET = "127.0.0.12"        # other_numbers = "unsigned"
GATEWAY = "127.0.0.13"      # customer_by = "number", unknown_customer = "C"
NEXT_HOP = "127.0.0.14"     # next_hop is set
BY_FROM = "127.0.0.15"      # identity_from = "from"

RECORD_FIELDS = (
    "v time node call_id peer source service mode customer orig dest attest origid iat credential x5u spc result "
    "reason cause rule status next_hop final_status rejected_by rejection note removed identities cache microseconds"
).split()


class Skip(Exception):
    """This machine cannot run the test."""


def free_port():
    """A port that is free for UDP and TCP, IPv4 and IPv6."""
    for _ in range(100):
        with contextlib.ExitStack() as stack:
            probe = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
            try:
                for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
                    for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
                        if (family, kind) == (socket.AF_INET, socket.SOCK_DGRAM):
                            continue
                        stack.enter_context(socket.socket(family, kind)).bind((host, port))
            except OSError:
                continue
            return port
    raise RuntimeError("no free port")


def wait_until(condition, seconds=5.0, what="the condition"):
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"{what}: not within {seconds} s")
        time.sleep(0.005)


# ---- SIP ----


class Answer:
    """A parsed SIP response."""

    def __init__(self, raw):
        self.raw = raw
        head, _, self.body = raw.partition(b"\r\n\r\n")
        lines = head.decode("utf-8", "surrogateescape").split("\r\n")
        version, status, self.reason = lines[0].split(" ", 2)
        assert version == "SIP/2.0", lines[0]
        self.status = int(status)
        self.headers = []
        for line in lines[1:]:
            if line[:1] in (" ", "\t"):
                name, value = self.headers[-1]
                self.headers[-1] = (name, value + " " + line.strip())
            else:
                name, _, value = line.partition(":")
                self.headers.append((name.strip(), value.strip()))

    def all(self, name):
        return [value for known, value in self.headers if known.lower() == name.lower()]

    def __getitem__(self, name):
        """The value of a header that stands there exactly once."""
        values = self.all(name)
        assert len(values) == 1, f"{len(values)} {name} headers in {self.raw!r}"
        return values[0]

    def has(self, name):
        return bool(self.all(name))

    def contact_uri(self):
        return re.fullmatch(r"<([^>]*)>.*", self["Contact"]).group(1)


def new_branch():
    return "z9hG4bK" + uuid.uuid4().hex


class Client:
    """A SIP client with one socket: over UDP unless tcp is set."""

    def __init__(self, port, source=CORE, tcp=False, source_port=0, server=None):
        self.tcp = tcp
        self.family = socket.AF_INET6 if ":" in source else socket.AF_INET
        self.server_host = server or ("::1" if self.family == socket.AF_INET6 else "127.0.0.1")
        self.server_port = port
        self.socket = socket.socket(self.family, socket.SOCK_STREAM if tcp else socket.SOCK_DGRAM)
        self.socket.bind((source, source_port))
        # Connected: what another address or port sends does not count as an answer.
        self.socket.connect((self.server_host, port))
        self.host, self.port = self.socket.getsockname()[:2]
        self.buffer = b""

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    @staticmethod
    def hostport(host, port):
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    @property
    def here(self):
        return self.hostport(self.host, self.port)

    @property
    def server(self):
        return self.hostport(self.server_host, self.server_port)

    def request(self, method="INVITE", uri=None, from_=None, to=None, call_id=None, branch=None, cseq=1, headers=(),
                body=b"", to_tag=None, from_tag="caller", via=None, content_length=None, max_forwards="70"):
        """The bytes of a request; every part has a good default."""
        uri = uri or f"sip:{DEST}@{self.server};user=phone"
        from_ = from_ or f"<sip:{OWN}@{self.here};user=phone>"
        to = to or f"<sip:{DEST}@{self.server};user=phone>"
        via = via or f"SIP/2.0/{'TCP' if self.tcp else 'UDP'} {self.here};branch={branch or new_branch()}"
        lines = [
            f"{method} {uri} SIP/2.0",
            f"Via: {via}",
            f"Max-Forwards: {max_forwards}",
            f"From: {from_};tag={from_tag}",
            f"To: {to}" + (f";tag={to_tag}" if to_tag else ""),
            f"Call-ID: {call_id or uuid.uuid4().hex + '@' + self.host}",
            f"CSeq: {cseq} {method}",
            *headers,
        ]
        if method == "INVITE":
            lines.append(f"Contact: <sip:{OWN}@{self.here}>")
        lines.append(f"Content-Length: {len(body) if content_length is None else content_length}")
        return "\r\n".join(lines).encode("utf-8", "surrogateescape") + b"\r\n\r\n" + body

    def send(self, data):
        if self.tcp:
            self.socket.sendall(data)
        else:
            # A connected UDP socket reports ICMP errors of earlier datagrams; they are not this one's.
            with contextlib.suppress(ConnectionRefusedError):
                self.socket.send(data)

    def receive(self, seconds=4.0):
        """The next answer, or None when nothing comes."""
        end = time.monotonic() + seconds
        while True:
            if self.tcp:
                self.buffer = self.buffer.lstrip(b"\r\n")  # the answer to a keep-alive (RFC 5626)
            if self.tcp and b"\r\n\r\n" in self.buffer:
                head, _, rest = self.buffer.partition(b"\r\n\r\n")
                length = int(re.search(rb"(?im)^(?:content-length|l)\s*:\s*(\d+)", head).group(1))
                if len(rest) >= length:
                    self.buffer = rest[length:]
                    return Answer(head + b"\r\n\r\n" + rest[:length])
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.socket], [], [], left)[0]:
                return None
            try:
                data = self.socket.recv(65536)
            except ConnectionRefusedError:
                continue
            if not self.tcp and not data.startswith(b"SIP/2.0 "):
                continue  # a next hop that had this port is probed
            if not self.tcp:
                return Answer(data)
            if not data:
                raise ConnectionResetError("closed")
            self.buffer += data

    def ask(self, data, seconds=4.0):
        """Sends a request and waits for its final answer."""
        self.send(data)
        end = time.monotonic() + seconds
        while (answer := self.receive(end - time.monotonic())) is not None:
            if answer.status >= 200:
                return answer
        raise AssertionError("no answer to " + repr(data[:300]))

    def acknowledge(self, invite, answer):
        """The ACK to a final answer other than 2xx (RFC 3261 section 17.1.1.3)."""
        keep = [line for line in invite.split(b"\r\n\r\n")[0].split(b"\r\n")
                if re.match(rb"(?i)(via|max-forwards|from|call-id)\s*:", line)]
        start = invite.split(b"\r\n")[0].replace(b"INVITE", b"ACK", 1)
        cseq = re.search(rb"(?im)^cseq\s*:\s*(\d+)", invite).group(1)
        self.send(b"\r\n".join([start, *keep, b"To: " + answer["To"].encode(), b"CSeq: " + cseq + b" ACK",
                                b"Content-Length: 0", b"", b""]))

    def call(self, **parts):
        """INVITE, final answer, ACK; returns the answer."""
        invite = self.request("INVITE", **parts)
        answer = self.ask(invite)
        self.acknowledge(invite, answer)
        return answer


# ---- PASSporTs ----


def unbase64url(text):
    assert re.fullmatch(r"[A-Za-z0-9_-]+", text), text
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


class Identity:
    """An Identity header field's value, taken apart without any code of Stirrup's."""

    def __init__(self, value):
        self.value = value
        match = re.fullmatch(r"([^;]+)\.([^;]+)\.([^;]+);info=<([^>]*)>;alg=ES256;ppt=shaken", value)
        assert match, f"not the form of an Identity header: {value}"
        self.header_text = unbase64url(match.group(1)).decode("ascii")
        self.payload_text = unbase64url(match.group(2)).decode("ascii")
        self.signature = unbase64url(match.group(3))
        self.info = match.group(4)
        self.header = json.loads(self.header_text)
        self.claims = json.loads(self.payload_text)

    def verifies(self, certificate):
        """Whether secsipidx, an implementation that shares no code with ours, accepts it with this certificate."""
        with tempfile.NamedTemporaryFile("w", prefix="identity-") as file:
            file.write(self.value)
            file.flush()
            done = subprocess.run(
                ["secsipidx", "-check", "-fidentity", file.name, "-fpubkey", str(certificate), "-expire", "60"],
                capture_output=True, text=True, timeout=20, check=False)
        return done.returncode == 0 and done.stdout.split() == ["ok"]


# ---- processes ----


def parent_of(pid):
    with contextlib.suppress(OSError):
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return None


def title_of(pid):
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0].decode("utf-8", "replace").strip()
    return ""


def children_of(pid):
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit() and parent_of(entry.name) == pid]


def is_alive(pid):
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def die_with_parent():
    """In the child, before exec: a test that is ended takes its daemon along."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


# ---- the daemon ----


def make_pki(directory):
    """Credentials alpha (SPC 1234) and beta (SPC 5678) under one throw-away root."""
    for name, spc in (("alpha", "1234"), ("beta", "5678")):
        subprocess.run([ROOT / "tests/pki/make-pki.sh", "--name", name, "--spc", spc, directory], check=True, timeout=60)


DEFAULT_CONFIG = """\
sip: {{
  listen = [ "udp:127.0.0.1:{port}", "tcp:127.0.0.1:{port}", "udp:[::1]:{port}", "tcp:[::1]:{port}"{more_listeners} ];
  workers = {workers};
  secret_file = "secret";
  node = "test-node";{sip}
}};
credentials = (
  {{ name = "alpha"; certificate = "pki/alpha.pem"; private_key = "pki/alpha.key";
    x5u = "https://certs.example.net/alpha.pem"; spc = "1234"; }},
  {{ name = "beta"; certificate = "pki/beta.pem"; private_key = "pki/beta.key";
    x5u = "https://certs.example.net/beta.pem"; spc = "5678"; }}
);
customers = (
  {{ name = "acme"; credential = "alpha";
    numbers = ( "+12155551212", "+12155550100-+12155550199", "+1215556*",
                {{ number = "+12155551300"; attestation = "B"; }} );
    own_numbers = "{own_numbers}"; other_numbers = "B"; }},
  {{ name = "strict"; credential = "alpha"; own_numbers = "A"; other_numbers = "reject"; }},
  {{ name = "quiet"; credential = "alpha"; own_numbers = "A"; other_numbers = "unsigned"; }}
);
peers = (
  {{ name = "core"; addresses = [ "127.0.0.1", "::1" ]; customer = "acme"; country_code = "1"; {core} }},
  {{ name = "strict"; addresses = [ "127.0.0.11" ]; customer = "strict"; country_code = "1"; }},
  {{ name = "quiet"; addresses = [ "127.0.0.12" ]; customer = "quiet"; country_code = "1"; }},
  {{ name = "gateway"; addresses = [ "127.0.0.13" ]; customer_by = "number"; authenticates_callers = false;
    unknown_customer = "C"; credential = "beta"; country_code = "1"; }},
  {{ name = "hop"; addresses = [ "127.0.0.14" ]; customer = "acme"; country_code = "1";
    next_hop = "sip:198.51.100.7:5070"; }},
  {{ name = "by-from"; addresses = [ "127.0.0.15" ]; customer = "acme"; country_code = "1"; identity_from = "from"; }}
);
records: {{ file = "{records}"; }};
{more}
"""


class Stirrup:
    """A running stirrupd with a directory of its own: with Stirrup() as stirrup: ..."""

    def __init__(self, *, config=None, workers=1, records="calls.jsonl", sip="", core="", more="",
                 more_listeners="", own_numbers="A", port=None, directory=None):
        self.directory = Path(directory or tempfile.mkdtemp(prefix="stirrup-test-"))
        self.port = port or free_port()
        self.path = self.directory / "stirrup.conf"
        self.settings = {"port": self.port, "workers": workers, "records": records, "sip": sip, "core": core,
                         "more": more, "more_listeners": more_listeners, "own_numbers": own_numbers}
        self.config = config or DEFAULT_CONFIG
        self.workers = workers
        self.records_path = self.directory / records
        self.log_path = self.directory / "log"
        self.process = None
        self.stopped_cleanly = None

    def write_config(self, **changes):
        self.settings.update(changes)
        self.path.write_text(self.config.format(**self.settings))

    def __enter__(self):
        make_pki(self.directory / "pki")
        self.write_config()
        try:
            self.start()
        except BaseException:
            self.__exit__(*sys.exc_info())
            raise
        return self

    def __exit__(self, kind, *_):
        self.stop()
        log = self.log()
        if kind is not None:
            sys.stderr.write("---- the daemon's log ----\n" + log[-6000:] + "\n----\n")
        shutil.rmtree(self.directory, ignore_errors=True)
        if kind is None:
            assert "Sanitizer" not in log and "runtime error" not in log, log[-6000:]
            assert self.stopped_cleanly, "stirrupd did not stop with status 0 after SIGTERM\n" + log[-3000:]

    def start(self):
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen([STIRRUPD, "-f", self.path], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            cwd=self.directory, preexec_fn=die_with_parent)
        wait_until(self.answers, 10, "an answer to OPTIONS")

    def stop(self):
        """SIGTERM to our own child, by its id."""
        if self.process is None or self.stopped_cleanly is not None:
            return
        self.process.terminate()
        try:
            self.stopped_cleanly = self.process.wait(10) == 0
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            self.stopped_cleanly = False

    def answers(self, seconds=0.3, source=CORE):
        if self.process.poll() is not None:
            raise AssertionError(f"stirrupd ended with status {self.process.returncode}")
        with Client(self.port, source) as client:
            client.send(client.request("OPTIONS", uri=f"sip:{client.server}"))
            answer = client.receive(seconds)
            return answer is not None and answer.status == 200

    def client(self, source=CORE, **options):
        return Client(self.port, source, **options)

    def log(self):
        with contextlib.suppress(OSError):
            return self.log_path.read_text("utf-8", "replace")
        return ""

    def wait_for_log(self, text, seconds=5.0):
        return wait_until(lambda: text in self.log(), seconds, f"{text!r} in the log")

    def reload(self):
        self.process.send_signal(signal.SIGHUP)

    @property
    def pid(self):
        return self.process.pid

    def children(self):
        """{ "worker 0": pid, "signer": pid, "recorder": pid }"""
        found = {}
        for pid in children_of(self.pid):
            title = title_of(pid)
            if title.startswith("stirrupd: ") and is_alive(pid):
                found[title.removeprefix("stirrupd: ")] = pid
        return found

    def child(self, name):
        return wait_until(lambda: self.children().get(name), 5, f"a child called {name!r}")

    def certificate(self, name="alpha"):
        return self.directory / "pki" / f"{name}.pem"

    def records(self):
        """All records so far; each must be one whole JSON line with exactly the documented fields in their order."""
        if not self.records_path.exists():
            return []
        text = self.records_path.read_text("utf-8")
        # A read may see the first page of a write that is under way.
        for _ in range(20):
            if text == "" or text.endswith("\n"):
                break
            time.sleep(0.05)
            text = self.records_path.read_text("utf-8")
        assert text == "" or text.endswith("\n"), "the last record is cut: " + text[-200:]
        records = []
        for line in text.splitlines():
            pairs = json.loads(line, object_pairs_hook=lambda pairs: pairs)
            assert [name for name, _ in pairs] == RECORD_FIELDS, line
            records.append(json.loads(line))
        return records

    def wait_for_records(self, count, seconds=5.0):
        def enough():
            with contextlib.suppress(AssertionError, ValueError):
                return len(self.records()) >= count
            return False
        wait_until(enough, seconds, f"{count} records")
        records = self.records()
        assert len(records) == count, f"{len(records)} records, not {count}"
        return records

    def wait_for_record(self, seconds=5.0, **fields):
        """The one record with these fields."""
        def found():
            return [record for record in self.records() if all(record[name] == value for name, value in fields.items())]
        wait_until(found, seconds, f"a record with {fields}")
        assert len(found()) == 1, found()
        return found()[0]


# ---- SIPp ----


class Sipp:
    """A run of SIPp with one of sipp-scenarios/, ended by itself after its calls or its time."""

    def __init__(self, scenario, port, *, calls=1, rate=10, source=CORE, transport="u1", seconds=30, options=(),
                 listen_port=None, file=None):
        self.directory = Path(tempfile.mkdtemp(prefix="sipp-"))
        target = f"[::1]:{port}" if ":" in source else f"127.0.0.1:{port}"
        command = ["sipp", "-sf", str(file or SCENARIOS / scenario / "scenario.xml"), "-i", source, "-t", transport,
                   "-m", str(calls), "-r", str(rate), "-l", str(max(10, calls)), "-nostdin", "-timeout", f"{seconds}s",
                   "-timeout_error", "-trace_stat", "-stf", "stat.csv", "-fd", "1", "-trace_err", "-error_file", "errors.log",
                   *options]
        if listen_port is not None:
            command += ["-p", str(listen_port)]
        if port is not None:
            command.append(target)
        self.seconds = seconds
        self.output = open(self.directory / "output", "wb")
        self.process = subprocess.Popen(command, cwd=self.directory, stdin=subprocess.DEVNULL, stdout=self.output,
                                        stderr=subprocess.STDOUT, preexec_fn=die_with_parent,
                                        env={**os.environ, "TERM": "dumb"})

    def wait(self):
        try:
            self.status = self.process.wait(self.seconds + 10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.status = self.process.wait()
        self.output.close()
        self.errors = ""
        with contextlib.suppress(OSError):
            self.errors = (self.directory / "errors.log").read_text("utf-8", "replace")
        if self.status not in (0, 1) and not self.errors:
            self.errors = (self.directory / "output").read_text("utf-8", "replace")[-3000:]
        counters = {}
        with contextlib.suppress(OSError):
            with open(self.directory / "stat.csv", newline="") as file:
                for counters in csv.DictReader(file, delimiter=";"):
                    pass
        self.successful = int(counters.get("SuccessfulCall(C)") or 0)
        self.failed = int(counters.get("FailedCall(C)") or 0)
        self.retransmissions = int(counters.get("Retransmissions(C)") or 0)
        shutil.rmtree(self.directory, ignore_errors=True)
        return self

    def assert_all(self, calls):
        assert (self.status, self.successful, self.failed) == (0, calls, 0), (
            f"sipp: status {self.status}, {self.successful} successful and {self.failed} failed of {calls}, "
            f"{self.retransmissions} retransmissions\n{self.errors[:3000]}")


def sipp(scenario, port, **options):
    return Sipp(scenario, port, **options).wait()

"""What the tests of verification share: a PKI with every kind of certificate, tokens made in a few lines of Python that
share nothing with Stirrup's code, a host that serves the certificates, and a stirrupd that verifies."""

import base64
import contextlib
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path

from harness import DEFAULT_CONFIG, DEST, OTHER, OWN, ROOT, Stirrup, die_with_parent

# Each way to treat inbound calls is a peer at an address of its own.
PLAIN = "127.0.0.21"
REJECTS = "127.0.0.22"      # on_failure = "reject"
REQUIRES = "127.0.0.23"     # identity_required = true
ERROR_503 = "127.0.0.24"    # on_error = "503"
SHADOW = "127.0.0.25"       # shadow, and all that would refuse a call
WITH_LEVEL = "127.0.0.26"   # verstat = "with-attestation", verstat_place = "both"
IN_FROM = "127.0.0.27"      # verstat_place = "from", attestation_headers = false
TRUSTED = "127.0.0.28"
TREATS = "127.0.0.29"
BY_FROM_ONLY = "127.0.0.30"  # identity_from = "from"

PASSED, FAILED, NONE = "TN-Validation-Passed", "TN-Validation-Failed", "No-TN-Validation"

VERIFICATION = """\
trust = ( {{ name = "us"; anchors = "{anchors}"; {trust} }} );
verification: {{
  cache = "certificates"; {verification}
  fetch: {{ tls_ca = "web/ca.pem"; allow_addresses = [ {addresses} ]; allow_ports = [ {ports} ]; {fetch} }};
}};
peers = (
  {{ name = "plain"; addresses = [ "127.0.0.21" ]; service = "verify"; mode = "redirect"; country_code = "1"; }},
  {{ name = "rejects"; addresses = [ "127.0.0.22" ]; service = "verify"; country_code = "1"; on_failure = "reject"; }},
  {{ name = "requires"; addresses = [ "127.0.0.23" ]; service = "verify"; country_code = "1"; identity_required = true; }},
  {{ name = "error-503"; addresses = [ "127.0.0.24" ]; service = "verify"; country_code = "1"; on_error = "503"; }},
  {{ name = "shadow"; addresses = [ "127.0.0.25" ]; service = "verify"; country_code = "1"; shadow = true;
    on_failure = "reject"; identity_required = true; on_error = "503";
    treatment = ( {{ reason = "orig_mismatch"; action = "reject"; status = 608; header = "X-Trust: none"; }} ); }},
  {{ name = "with-level"; addresses = [ "127.0.0.26" ]; service = "verify"; country_code = "1";
    verstat = "with-attestation"; verstat_place = "both"; }},
  {{ name = "in-from"; addresses = [ "127.0.0.27" ]; service = "verify"; country_code = "1";
    verstat_place = "from"; attestation_headers = false; }},
  {{ name = "trusted"; addresses = [ "127.0.0.28" ]; service = "verify"; country_code = "1"; trusted = true; }},
  {{ name = "treats"; addresses = [ "127.0.0.29" ]; service = "verify"; country_code = "1"; treatment = (
    {{ result = "passed"; attestation = "C"; action = "continue"; header = "X-Trust: low";
      next_hop = "sip:198.51.100.9:5060"; }},
    {{ result = "passed"; spc = "5678"; action = "reject"; }},
    {{ result = "failed"; reason = "bad_signature"; action = "reject"; status = 438; phrase = "Not Today";
      header = "X-Why: forged"; }},
    {{ reason = "stale_iat"; action = "reject"; }},
    {{ reason = "certificate_unreachable"; x5u_host = "*.localhost"; action = "reject"; status = 480; }},
    {{ result = "no_validation"; reason = "no_identity"; action = "continue"; header = "X-Trust: none"; }} ); }},
  {{ name = "by-from-only"; addresses = [ "127.0.0.30" ]; service = "verify"; country_code = "1"; identity_from = "from"; }},{peers}
"""
CONFIG = DEFAULT_CONFIG.replace('"https://certs.example.net/alpha.pem"', '"{x5u}"').replace("peers = (\n", VERIFICATION)


def openssl(*arguments):
    done = subprocess.run(["openssl", *map(str, arguments)], capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


# ---- certificates ----

PROFILE = """\
basicConstraints = critical,CA:false
keyUsage = critical,digitalSignature
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid:always
certificatePolicies = 2.16.840.1.114569.1.1.3
"""
SPC_LIST = """\
1.3.6.1.5.5.7.1.26 = ASN1:SEQUENCE:tn_auth_list
[tn_auth_list]
spc = EXPLICIT:0,IA5STRING:1234
"""


class Pki:
    """The throw-away STI-CA of tests/pki/make-pki.sh, and certificates that it does not make."""

    def __init__(self, directory):
        self.directory = Path(directory)

    def make(self, name, *options):
        """By the script: a good one, or one with other dates."""
        subprocess.run([ROOT / "tests/pki/make-pki.sh", "--name", name, *options, self.directory], check=True, timeout=60)

    def issue(self, name, extensions=PROFILE + SPC_LIST, key=("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256")):
        """A certificate of the intermediate CA with these extensions and this kind of key."""
        at = self.directory
        (at / f"{name}.ext").write_text("[end_entity]\n" + extensions)
        openssl("genpkey", *key, "-out", at / f"{name}.key")
        openssl("req", "-new", "-key", at / f"{name}.key", "-subj", "/C=US/O=Stirrup test/CN=SHAKEN 1234",
                "-out", at / f"{name}.csr")
        leaf = openssl("x509", "-req", "-in", at / f"{name}.csr", "-CA", at / "intermediate.pem", "-CAkey",
                       at / "ca/intermediate.key", "-days", 30, "-sha256", "-extfile", at / f"{name}.ext",
                       "-extensions", "end_entity")
        (at / f"{name}.pem").write_text(leaf + (at / "intermediate.pem").read_text())


# ---- the list of an STI-PA, which openssl's commands cannot make: it is indirect (RFC 5280 section 5.2.5) ----

CRL_URL = "http://crl.sti-pa.example/v1/crl"
ECDSA_SHA256 = bytes.fromhex("300a06082a8648ce3d040302")


def der(tag, *contents):
    content = b"".join(contents)
    length = len(content)
    octets = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes([tag]) + (bytes([length]) if length < 128 else bytes([0x80 | len(octets)]) + octets) + content


def elements(content):
    """The DER elements one behind the other, each whole."""
    found = []
    while content:
        start, length = 2, content[1]
        if length >= 128:
            start += length & 127
            length = int.from_bytes(content[2:start], "big")
        found.append(content[:start + length])
        content = content[start + length:]
    return found


def elements_of(element):
    start = 2 + (element[1] & 127 if element[1] >= 128 else 0)
    return elements(element[start:])


def integer(number):
    return der(0x02, number.to_bytes(number.bit_length() // 8 + 1, "big"))


def extension(arc, value, critical=False):
    """2.5.29.arc"""
    return der(0x30, der(0x06, bytes([0x55, 0x1D, arc])), b"\x01\x01\xff" if critical else b"", der(0x04, value))


def certificate_fields(path):
    """The elements of the first certificate's TBSCertificate: version, serial, algorithm, issuer, validity, subject, ..."""
    text = Path(path).read_text().partition("-----BEGIN CERTIFICATE-----")[2].partition("-----END")[0]
    return elements_of(elements_of(base64.b64decode(text))[0])


def utc_time(seconds):
    return der(0x17, time.strftime("%y%m%d%H%M%SZ", time.gmtime(seconds)).encode())


def revocation_list(signer, signer_certificate, revoked, number=1, seconds=3600):
    """DER, signed now, for so long; revoked: paths of certificates."""
    now = int(time.time())
    entries = []
    for path in revoked:
        fields = certificate_fields(path)
        entries.append(der(0x30, fields[1], utc_time(now - 60),
                           der(0x30, extension(29, der(0x30, der(0xA4, fields[3])), critical=True))))
    scope = der(0x30, der(0xA0, der(0xA0, der(0x86, CRL_URL.encode()))), b"\x84\x01\xff")
    signed = der(0x30, integer(1), ECDSA_SHA256, certificate_fields(signer_certificate)[5],
                 utc_time(now - 60), utc_time(now + seconds),
                 der(0x30, *entries) if entries else b"",
                 der(0xA0, der(0x30, extension(20, integer(number)), extension(28, scope, critical=True))))
    signature = signer.sign(signed)
    both = der(0x30, *(integer(int.from_bytes(half, "big")) for half in (signature[:32], signature[32:])))
    return der(0x30, signed, ECDSA_SHA256, der(0x03, b"\0", both))


# ---- signatures ----


def private_number(key_path):
    """The secret number of a private key, and the x of its public point."""
    text = openssl("pkey", "-in", key_path, "-noout", "-text")
    found = [re.search(name + r":\s*\n((?:\s+[0-9a-f:]+\n)+)", text).group(1) for name in ("priv", "pub")]
    private, public = (bytes.fromhex(re.sub(r"[\s:]", "", octets)) for octets in found)
    return int.from_bytes(private, "big"), int.from_bytes(public[1:33], "big")


P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


class Signer:
    """Signs by ECDSA as FIPS 186 has it, but with one nonce for all: what its keys are worth is known anyway."""

    def __init__(self, directory, name):
        directory = Path(directory)
        self.secret, _ = private_number(directory / f"{name}.key")
        nonce = directory / "nonce.key"
        if not nonce.exists():
            openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", nonce)
        k, x = private_number(nonce)
        self.r = x % P256_ORDER
        self.inverse = pow(k, -1, P256_ORDER)

    def sign(self, data):
        digest = int.from_bytes(hashlib.sha256(data).digest(), "big")
        s = self.inverse * (digest + self.r * self.secret) % P256_ORDER
        return self.r.to_bytes(32, "big") + s.to_bytes(32, "big")


def base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def to_json(value):
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"), sort_keys=True)


GONE = object()  # as a member's value: leave it out


def changed(members, changes):
    return {name: value for name, value in {**members, **changes}.items() if value is not GONE}


# ---- the host of the certificates ----


class CertificateHost:
    """tests/hosts/https_host.py in a directory of its own, with a certificate that has the names it is called by here."""

    def __init__(self, directory, names=()):
        self.directory = Path(directory)
        self.names = ["localhost", "good.localhost", *names]

    def __enter__(self):
        at = self.directory
        web = Pki(at / "web-pki")
        web.make("shaken")
        names = "".join(f",DNS:{name}" for name in self.names)
        (at / "tls.ext").write_text(f"subjectAltName = IP:127.0.0.1{names}\n")
        openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", at / "tls.key")
        openssl("req", "-new", "-key", at / "tls.key", "-subj", "/CN=localhost", "-out", at / "tls.csr")
        openssl("x509", "-req", "-in", at / "tls.csr", "-CA", at / "web-pki/root.pem",
                "-CAkey", at / "web-pki/ca/root.key", "-days", 30, "-sha256", "-extfile", at / "tls.ext", "-out", at / "tls.pem")
        shutil.copy(at / "web-pki/root.pem", at / "ca.pem")
        self.process = subprocess.Popen(
            [sys.executable, ROOT / "tests/hosts/https_host.py", at], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            text=True, preexec_fn=die_with_parent)
        self.port, self.silent_port, self.reset_port = map(int, self.process.stdout.readline().split())
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def url(self, path, host="localhost", port=None):
        return f"https://{host}:{port or self.port}/{path.lstrip('/')}"

    def lines(self):
        with contextlib.suppress(OSError):
            return (self.directory / "requests").read_text().splitlines()
        return []

    def connections(self):
        return self.lines().count("connection")

    def requests(self, path):
        return self.lines().count(path)


# ---- a verifying daemon ----


def note_reasons(record):
    """For the last test of test_verify.py: which reasons any test has seen, each in a line."""
    path = os.environ.get("STIRRUP_REASONS")
    if path:
        with open(path, "a") as file:
            for judged in (record, *record["identities"]):
                file.write(f"{judged['reason'] or judged['result']}\n")


class Inbound:
    """with Inbound() as inbound: a stirrupd whose peers verify, its PKI, and the host of its certificates."""

    def __init__(self, names=(), workers=1, port=None, **settings):
        self.directory = Path(tempfile.mkdtemp(prefix="stirrup-test-"))
        self.names = names
        self.settings = {"addresses": '"127.0.0.0/8"', "anchors": "pki/root.pem", "trust": "", "verification": "",
                         "fetch": "", "peers": "", **settings}
        self.workers, self.port = workers, port
        self.signers = {}

    def __enter__(self):
        with contextlib.ExitStack() as stack:
            stack.callback(shutil.rmtree, self.directory, ignore_errors=True)
            (self.directory / "web").mkdir()
            self.pki = Pki(self.directory / "pki")
            self.host = stack.enter_context(CertificateHost(self.directory / "web", self.names))
            ports = ", ".join(str(port) for port in (self.host.port, self.host.silent_port, self.host.reset_port))
            self.x5u = self.host.url("/alpha.pem")
            self.stirrup = Stirrup(config=CONFIG, directory=self.directory, workers=self.workers, port=self.port)
            self.stirrup.settings.update(self.settings, ports=ports, x5u=self.x5u)
            self.prepare()
            stack.enter_context(self.stirrup)
            self.publish("alpha")
            self.publish("beta")
            shutil.copy(self.directory / "web/web-pki/shaken.pem", self.directory / "web/stranger.pem")
            self.stack = stack.pop_all()
        return self

    @classmethod
    def at(cls, directory):
        """One that runs already, to make tokens for."""
        found = cls.__new__(cls)
        found.directory, found.signers = Path(directory), {}
        found.pki = Pki(found.directory / "pki")
        config = (found.directory / "stirrup.conf").read_text()
        found.x5u = re.search(r'"(https://localhost:\d+/alpha\.pem)"', config).group(1)
        return found

    def example(self, kind):
        """The Identity of sipp-scenarios/verify-KIND."""
        if kind == "untrusted-cert":
            self.signers["stranger"] = Signer(self.directory / "web/web-pki", "shaken")
            return self.identity(by="stranger", x5u=self.x5u.replace("alpha", "stranger"))
        return self.identity(**{"passed": {}, "stale-iat": {"iat": int(time.time()) - 600}, "bad-signature": {"by": "beta"},
                                "orig-mismatch": {"orig": OTHER}}[kind])

    def prepare(self):
        """For what has to be there before the daemon starts."""

    def __exit__(self, *exception):
        return self.stack.__exit__(*exception)

    def publish(self, name, *, as_name=None):
        """Puts the chain on the host; returns its URL."""
        shutil.copy(self.pki.directory / f"{name}.pem", self.directory / "web" / f"{as_name or name}.pem")
        return self.host.url(f"/{as_name or name}.pem")

    def serve(self, name, content):
        (self.directory / "web" / name).write_bytes(content)
        return self.host.url("/" + name)

    def signer(self, name="alpha"):
        if name not in self.signers:
            self.signers[name] = Signer(self.pki.directory, name)
        return self.signers[name]

    def token(self, *, by="alpha", x5u=None, orig=OWN, dest=DEST, header=None, **claims):
        """A good token but for what is changed: claims by name, members of the header by a dict; text stands as it is."""
        if not isinstance(header, str):
            header = changed({"alg": "ES256", "ppt": "shaken", "typ": "passport", "x5u": x5u or self.x5u}, header or {})
        payload = claims.get("payload") or changed(
            {"attest": "A", "dest": {"tn": [dest.lstrip("+")]}, "iat": int(time.time()),
             "orig": {"tn": orig.lstrip("+")}, "origid": str(uuid.uuid4())}, claims)
        signed = base64url(to_json(header).encode()) + "." + base64url(to_json(payload).encode())
        return signed + "." + base64url(self.signer(by).sign(signed.encode()))

    def identity(self, token=None, *, info=None, parameters=";alg=ES256;ppt=shaken", **parts):
        """The value of an Identity header field."""
        return f"{token or self.token(**parts)};info=<{info or parts.get('x5u') or self.x5u}>{parameters}"

    def call(self, *identities, source=PLAIN, headers=(), client=None, seconds=4.0, **parts):
        """A call with these Identity header fields, each a value or a whole line. The answer gets its record as an attribute."""
        call_id = parts.pop("call_id", None) or uuid.uuid4().hex + "@verify"
        lines = [line if re.match(r"(?i)(identity|y)\s*:", line) else "Identity: " + line for line in identities]
        with contextlib.ExitStack() as stack:
            if client is None:
                client = stack.enter_context(self.stirrup.client(source))
            invite = client.request("INVITE", call_id=call_id, headers=[*lines, *headers], **parts)
            answer = client.ask(invite, seconds)
            client.acknowledge(invite, answer)
        answer.record = self.stirrup.wait_for_record(call_id=call_id)
        note_reasons(answer.record)
        return answer

    def warm(self, by="alpha", x5u=None):
        """One good call, so that the certificate is known."""
        x5u = x5u or self.host.url(f"/{by}.pem")
        check_passed(self.call(self.identity(by=by, x5u=x5u)))


# ---- what is expected ----


def verstats(value):
    """The verstat parameters within the numbers of a header field's value."""
    return re.findall(r"<(?:sips?:[^@>]*|tel:[^>]*);verstat=([A-Za-z-]+)[@>;]", value)


def verstat_of(answer):
    """Of the one P-Asserted-Identity."""
    found = verstats(answer["P-Asserted-Identity"])
    assert len(found) == 1, answer.raw
    return found[0]


def reason_of(answer):
    """(cause, text, ppi or None) for each Reason header field."""
    reasons = []
    for value in answer.all("Reason"):
        match = re.fullmatch(r'STIR;cause=(\d{3});text="([^"]*)"(?:;ppi="(\.\.[A-Za-z0-9_-]+)")?', value)
        assert match, value
        reasons.append((int(match.group(1)), match.group(2), match.group(3)))
    return reasons


def check_passed(answer, attest="A"):
    assert answer.status == 302, answer.raw
    assert verstat_of(answer) == PASSED, (answer.raw, answer.record)
    assert answer["Attestation-Info"] == attest
    assert answer.record["result"] == "passed", answer.record
    assert answer.record["attest"] == attest
    assert not answer.has("Identity")


PHRASES = {403: "Stale Date", 428: "Use Identity Header", 436: "Bad Identity Info", 437: "Unsupported Credential",
           438: "Invalid Identity Header"}


def check_failing(answer, reason, cause, verstat=NONE):
    """A 302 that says so in verstat and Reason, and in the record; cause None: no Reason."""
    said = f"{reason}: {answer.record}\n{answer.raw!r}"
    assert answer.status == 302, said
    assert verstat_of(answer) == verstat, said
    assert reason_of(answer) == ([] if cause is None else [(cause, PHRASES[cause], None)]), said
    assert not answer.has("Attestation-Info") and not answer.has("Origination-Id") and not answer.has("Identity"), said
    record = answer.record
    assert record["reason"] == reason, said
    assert record["result"] == {NONE: "no_validation", FAILED: "failed"}[verstat], said
    assert record["status"] == record["final_status"] == 302, said
    assert record["rule"] and record["cause"], said

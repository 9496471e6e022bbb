"""What the measurements of verification share: hosts of certificates, tokens, and the servers that verify them."""

import base64
import contextlib
import json
import selectors
import socket
import ssl
import subprocess
import sys
import threading
import time

from common import PLAIN, PROGRAM, SIGNED, KamailioServer, StirrupServer, sip_load

HELD = "127.0.0.3"         # what comes from here is signed with the x5u whose host holds the answer
HOLD_S = 1.0


# ---- hosts ----


class CertificateHost:
    """An HTTPS host on loopback that serves one file under every path; under /held/ a while later. Counts."""

    def __init__(self, directory, content):
        self.content = content.read_bytes()
        self.certificate, key = directory / "tls.pem", directory / "tls.key"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                        "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-days", "2",
                        "-keyout", str(key), "-out", str(self.certificate)], check=True, capture_output=True)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(self.certificate, key)
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.port = self.socket.getsockname()[1]
        self.connections = 0
        self.requests = 0
        threading.Thread(target=self.accept, daemon=True).start()

    def url(self, path):
        return f"https://localhost:{self.port}{path}"

    def accept(self):
        while True:
            link, _ = self.socket.accept()
            self.connections += 1
            threading.Thread(target=self.serve, args=(link,), daemon=True).start()

    def serve(self, link):
        with contextlib.suppress(OSError), link:
            link.settimeout(10)
            with self.context.wrap_socket(link, server_side=True) as stream:
                head = b""
                while b"\r\n\r\n" not in head:
                    data = stream.recv(4096)
                    if not data:
                        return
                    head += data
                self.requests += 1
                if head.startswith(b"GET /held/"):
                    time.sleep(HOLD_S)
                stream.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/pem-certificate-chain\r\n"
                               b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(self.content) + self.content)


class SilentHost:
    """Accepts connections to every address of loopback on one port and never says a word. Counts them."""

    def __init__(self):
        self.socket = socket.socket()
        # Every 127.x.y.z, but nothing that comes from another machine.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo")
        self.socket.bind(("0.0.0.0", 0))
        self.socket.listen(4096)
        self.port = self.socket.getsockname()[1]
        self.connections = 0
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with selectors.DefaultSelector() as selector:
            selector.register(self.socket, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select():
                    if key.fileobj is self.socket:
                        selector.register(self.socket.accept()[0], selectors.EVENT_READ)
                        self.connections += 1
                    elif not self.more(key.fileobj):
                        selector.unregister(key.fileobj)
                        key.fileobj.close()

    @staticmethod
    def more(link):
        with contextlib.suppress(OSError):
            return link.recv(4096)
        return b""


# ---- tokens ----


class Signer(StirrupServer):
    """Signs the calls of an address with the x5u that belongs to it."""

    name = "signer"

    def __init__(self, directory, pki, x5u_by_source):
        super().__init__(directory, pki)
        self.x5u_by_source = x5u_by_source
        self.files = 0

    def configuration(self):
        sources = list(enumerate(self.x5u_by_source.items()))
        credentials = ",\n".join(
            f'''  {{ name = "c{i}"; certificate = "{self.pki}/alpha.pem"; private_key = "{self.pki}/alpha.key";
    x5u = "{x5u}"; spc = "1234"; }}''' for i, (_, x5u) in sources)
        customers = ",\n".join(
            f'''  {{ name = "c{i}"; credential = "c{i}"; own_numbers = "A"; other_numbers = "B"; }}'''
            for i, _ in sources)
        peers = ",\n".join(
            f'''  {{ name = "c{i}"; addresses = [ "{source}" ]; service = "sign"; mode = "redirect"; customer = "c{i}"; }}'''
            for i, (source, _) in sources)
        return f"""\
sip: {{ listen = [ "udp:127.0.0.1:{self.port}" ]; workers = 1; secret_file = "secret"; }};
credentials = (
{credentials}
);
customers = (
{customers},
  {{ name = "plain"; credential = "c0"; own_numbers = "unsigned"; other_numbers = "unsigned"; }}
);
peers = (
{peers},
  {{ name = "plain"; addresses = [ "{PLAIN}" ]; service = "sign"; mode = "redirect"; customer = "plain"; }}
);
signer: {{ deadline = "2s"; }};
"""

    def tokens(self, calls, source=SIGNED):
        """The file of new Identity values for so many calls of sip-load."""
        self.files += 1
        path = self.directory / f"identities-{self.files}"
        for _ in range(3):
            result = sip_load(self, source, "--calls", calls, "--window", 64, "--ack", "--save", path)
            if result["with_identity"] == calls:
                return path
        sys.exit(f"{PROGRAM}: {calls - result['with_identity']} of {calls} calls were not signed")


def base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def elsewhere(path, urls):
    """The same tokens as far as the claims go, each with another x5u. Their signatures are wrong, which only somebody who
    has the certificate can find out."""
    lines = []
    for line, url in zip(path.read_text().splitlines(), urls):
        token, _, _ = line.partition(";")
        _, payload, signature = token.split(".")
        header = {"alg": "ES256", "ppt": "shaken", "typ": "passport", "x5u": url}
        head = base64url(json.dumps(header, separators=(",", ":")).encode())
        lines.append(f"{head}.{payload}.{signature};info=<{url}>;alg=ES256;ppt=shaken\n")
    result = path.with_suffix(".elsewhere")
    result.write_text("".join(lines))
    return result


# ---- the servers ----


class Stirrup(StirrupServer):
    description = "default processes, 1 worker, records on; claims, chain, signature and replay judged"

    def __init__(self, directory, pki, host, more_ports=()):
        super().__init__(directory, pki)
        self.host = host
        self.ports = ", ".join(map(str, (host.port, *more_ports)))

    def configuration(self):
        return f"""\
sip: {{ listen = [ "udp:127.0.0.1:{self.port}" ]; workers = 1; secret_file = "secret"; max_waiting = 16384; }};
trust = ( {{ name = "bench"; anchors = "{self.pki}/root.pem"; }} );
verification: {{
  freshness = "10m"; replay = "record"; cache = "certificates";
  fetch: {{ tls_ca = "{self.host.certificate}"; allow_addresses = [ "127.0.0.0/8" ]; allow_ports = [ {self.ports} ]; }};
}};
peers = (
  {{ name = "inbound"; addresses = [ "127.0.0.0/8" ]; service = "verify"; mode = "redirect"; country_code = "1"; }}
);
records: {{ file = "calls.jsonl"; }};
"""


class Kamailio(KamailioServer):
    """The same 302 from secsipid, which checks the signature and the age of iat. With known_key it has the public key in
    memory, otherwise it finds the certificate by x5u, from then on in its cache of files."""

    def __init__(self, directory, pki, host, children, known_key=False):
        self.name = "Kamailio-key" if known_key else "Kamailio"
        super().__init__(directory, pki, children)
        self.environment = {"SSL_CERT_FILE": str(host.certificate)}
        self.known_key = known_key
        function = "secsipid_check_identity_pubkey, key in memory" if known_key else "secsipid_check_identity, cache_dir"
        self.description = f"{function}, children={children}, no logging; signature and iat judged"

    def route(self):
        check = 'secsipid_check_identity_pubkey("$shv(key)")' if self.known_key else 'secsipid_check_identity("")'
        return f"""\
modparam("secsipid", "expire", 600)
modparam("pv", "shvset", "key=s:{(self.pki / "alpha.pub").read_text()}")
request_route {{
	if (!is_method("INVITE")) exit;
	if (is_present_hf("Identity")) {{
		if ({check}) {{
			append_to_reply("P-Asserted-Identity: <sip:$fU;verstat=TN-Validation-Passed@127.0.0.1;user=phone>\\r\\n");
		}} else {{
			append_to_reply("P-Asserted-Identity: <sip:$fU;verstat=No-TN-Validation@127.0.0.1;user=phone>\\r\\n");
		}}
	}}
	append_to_reply("Contact: <sip:$rU@$si:$sp>\\r\\n");
	sl_send_reply("302", "Moved Temporarily");
	exit;
}}
"""

"""Whatever comes in: the daemon answers the next good call, and no child has died."""

import os
import random
import socket
import struct

from harness import OWN, ROOT, Identity, Stirrup, new_branch

TORTURE = ROOT / "tests/data/torture"


class Survivor:
    """A daemon whose children must all be the same ones after each piece of bad input."""

    def __init__(self):
        self.stirrup = Stirrup()

    def __enter__(self):
        self.stirrup.__enter__()
        self.children = self.stirrup.children()
        assert len(self.children) == 4, self.children
        self.client = self.stirrup.client()
        return self

    def __exit__(self, *error):
        self.client.close()
        self.stirrup.__exit__(*error)

    def check(self, what):
        while self.client.receive(0) is not None:
            pass
        assert self.stirrup.answers(2.0), what
        assert self.stirrup.children() == self.children, f"after {what}: {self.stirrup.children()}, was {self.children}"

    def check_good_call(self, what):
        with self.stirrup.client() as client:
            assert Identity(client.call()["Identity"]).verifies(self.stirrup.certificate()), what
        self.check(what)

    def udp(self, what, data):
        """Sends it; what is answered, if anything is, has to be a SIP answer without a signature of nonsense."""
        self.client.send(data)
        answer = self.client.receive(0.05)
        self.check(what)
        return answer

    def tcp(self, what, data, answers=False):
        with self.stirrup.client(tcp=True) as client:
            try:
                client.send(data)
                if answers:
                    client.receive(0.3)
                else:
                    client.socket.shutdown(socket.SHUT_WR)
                    client.receive(0.3)
            except OSError:
                pass
        self.check(what)


def test_torture_messages_of_rfc_4475():
    files = sorted(TORTURE.glob("*.sip"))
    assert len(files) >= 15
    with Survivor() as survivor:
        for file in files:
            survivor.udp(file.name, file.read_bytes())
            survivor.tcp(file.name, file.read_bytes())
        survivor.check_good_call("the torture messages")


def test_torture_messages_that_are_no_valid_requests_are_not_signed():
    with Survivor() as survivor:
        for name in ("badinv01", "ncl", "quotbal", "ltgtruri", "lwsruri", "mismatch01", "insuf", "multi01", "badvers"):
            answer = survivor.udp(name, (TORTURE / f"{name}.sip").read_bytes())
            assert answer is None or answer.status >= 400, f"{name}: {answer.raw}"
        answer = survivor.udp("baddate", (TORTURE / "baddate.sip").read_bytes())
        assert answer is None or not answer.has("Identity"), answer.raw


def test_truncations_at_every_length():
    with Survivor() as survivor:
        invite = survivor.client.request(body=b"v=0\r\n", headers=[f"P-Asserted-Identity: <tel:{OWN}>", "Date: x"])
        for length in range(len(invite)):
            survivor.client.send(invite[:length])
            if length % 50 == 0:
                survivor.check(f"a request cut at {length}")
        survivor.check_good_call("truncations")


def test_truncations_over_tcp():
    with Survivor() as survivor:
        invite = survivor.client.request(body=b"v=0\r\n")
        for length in range(0, len(invite), 23):
            survivor.tcp(f"a connection that ends after {length}", invite[:length])
        survivor.check_good_call("truncations")


def test_datagrams_that_are_no_sip():
    cases = {
        "empty": b"",
        "one octet": b"\0",
        "CRLF": b"\r\n\r\n",
        "many CRLF": b"\r\n" * 10000,
        "NULs": b"\0" * 2000,
        "0xff": b"\xff" * 65000,
        "a STUN binding request": struct.pack("!HHI", 1, 0, 0x2112A442) + os.urandom(12),
        "DTLS": b"\x16\xfe\xff" + os.urandom(200),
        "RTP": b"\x80\x00" + os.urandom(170),
        "HTTP": b"GET / HTTP/1.1\r\nHost: example.net\r\n\r\n",
        "only a request line": b"INVITE sip:a@b SIP/2.0\r\n\r\n",
        "a request line without end": b"INVITE sip:" + b"a" * 60000,
        "a response": b"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 127.0.0.1\r\nCSeq: 1 INVITE\r\n\r\n",
        "no line end at all": b"INVITE sip:a@b SIP/2.0 Via: SIP/2.0/UDP 127.0.0.1;branch=z9hG4bKx",
        "format strings": b"%n%s%x" * 1000,
    }
    with Survivor() as survivor:
        for what, data in cases.items():
            survivor.udp(what, data)
            if data:
                survivor.tcp(what, data)
        survivor.check_good_call("garbage")


def test_random_octets():
    generator = random.Random(4475)
    with Survivor() as survivor:
        for i in range(300):
            survivor.client.send(generator.randbytes(generator.randrange(1, 1500)))
            if i % 50 == 0:
                survivor.check(f"random datagram {i}")
        survivor.check_good_call("random octets")


def test_random_changes_of_a_good_request():
    generator = random.Random(8224)
    with Survivor() as survivor:
        for i in range(3000):
            data = bytearray(survivor.client.request(headers=[f"P-Asserted-Identity: <tel:{OWN}>", "Date: "
                                                              "Sun, 06 Nov 1994 08:49:37 GMT"], body=b"v=0\r\n"))
            for _ in range(generator.randrange(1, 8)):
                at = generator.randrange(len(data))
                kind = generator.randrange(4)
                if kind == 0:
                    data[at] = generator.randrange(256)
                elif kind == 1:
                    del data[at:at + generator.randrange(1, 40)]
                elif kind == 2:
                    data[at:at] = generator.choice([b"\0", b"\r\n", b";", b",", b"<", b">", b'"', b"%", b" ", b"\xff" * 9])
                else:
                    data[at:at] = data[at:at + generator.randrange(1, 200)]
                if not data:
                    data = bytearray(b"x")
            survivor.client.send(bytes(data))
            if i % 200 == 0:
                survivor.check(f"changed request {i}")
        survivor.check_good_call("changed requests")


def test_headers_twice_that_may_be_there_once():
    """Sofia puts the second one among the errors of the message, as a header of its own kind."""
    with Survivor() as survivor:
        for line in ("Max-Forwards: 70", "Expires: 70", "Min-Expires: 70", "Min-SE: 90", "Session-Expires: 90", "Date: 1", "RSeq: 9",
                     "Subject: a", "User-Agent: a", "MIME-Version: 1.0", "Timestamp: 54", "Retry-After: 9", "CSeq: 1 INVITE",
                     "Refer-To: <sip:a@b>", "Replaces: a;to-tag=1;from-tag=2", "RAck: 1 2 INVITE", "Content-Type: a/b"):
            survivor.client.send(survivor.client.request(headers=[line, line]))
            survivor.client.receive(0.3)
            survivor.check(f"{line}, twice")
        survivor.check_good_call("headers twice")


def test_a_thousand_headers():
    with Survivor() as survivor:
        for name, value in (("X-Header", "value"), ("Via", "SIP/2.0/UDP h.example;branch=z9hG4bKh"), ("Identity", "a.b.c"),
                            ("P-Asserted-Identity", "<tel:+12155551212>"), ("Contact", "<sip:a@b>"), ("Date", "now"),
                            ("Record-Route", "<sip:a;lr>"), ("From", "<sip:a@b>;tag=1"), ("Content-Length", "0"),
                            ("Call-ID", "twice@test")):
            survivor.udp(f"1000 {name}", survivor.client.request(headers=[f"{name}: {value}"] * 1000))
            survivor.tcp(f"1000 {name}", survivor.client.request(headers=[f"{name}: {value}"] * 1000), answers=True)
        survivor.check_good_call("a thousand headers")


def test_very_long_fields():
    with Survivor() as survivor:
        client = survivor.client
        long = "x" * 30000
        for what, parts in {
                "Request-URI": {"uri": f"sip:{long}@example.net"}, "From": {"from_": f"<sip:{long}@example.net>"},
                "From's name": {"from_": f'"{long}" <sip:{OWN}@example.net>'}, "To": {"to": f"<sip:{long}@example.net>"},
                "Call-ID": {"call_id": long}, "branch": {"branch": "z9hG4bK" + long}, "tag": {"from_tag": long},
                "a digit string": {"from_": "<tel:+" + "1" * 30000 + ">"}, "CSeq": {"cseq": "9" * 30000},
                "Identity": {"headers": [f"Identity: {long}.{long}.x;info=<{long}>"]},
                "P-Asserted-Identity": {"headers": [f"P-Asserted-Identity: <tel:{long}>"]},
                "Date": {"headers": [f"Date: {long}"]}, "a header's name": {"headers": [f"{long}: x"]},
                "commas": {"headers": ["P-Asserted-Identity: " + "," * 30000]},
                "parameters": {"uri": "sip:+12155551213@example.net" + ";a=b" * 7000},
                "folding": {"headers": ["X: " + "\r\n " * 10000 + "y"]},
        }.items():
            survivor.udp(f"a long {what}", client.request(**parts)[:65000])
            with survivor.stirrup.client(tcp=True) as tcp:
                survivor.tcp(f"a long {what}", tcp.request(**parts), answers=True)
        survivor.check_good_call("long fields")


def test_a_long_call_id_does_not_cost_the_record():
    with Survivor() as survivor:
        answer = survivor.client.call(call_id="long" * 500 + "@test")
        assert answer.status == 302
        assert survivor.stirrup.wait_for_records(1)[0]["call_id"].startswith("longlong")


def test_messages_over_64_kib():
    with Survivor() as survivor:
        with survivor.stirrup.client(tcp=True) as tcp:
            survivor.tcp("a body of 1 MB", tcp.request(body=b"x" * 1_000_000), answers=True)
            survivor.tcp("headers of 1 MB", tcp.request(headers=["X-Filler: " + "x" * 1000] * 1000), answers=True)
            survivor.tcp("a start line of 1 MB", b"INVITE sip:" + b"a" * 1_000_000, answers=True)
            survivor.tcp("4 MB without a line end", b"x" * 4_000_000)
        survivor.udp("the largest datagram", survivor.client.request(body=b"x" * 64800)[:65507])
        survivor.check_good_call("large messages")


def test_wrong_content_lengths():
    with Survivor() as survivor:
        for length in ("-1", "99999999999999999999", "4294967296", "2147483648", "1000000", "abc", "", "0x10", "5 5", "+5",
                       "00000005"):
            data = survivor.client.request(content_length=length, body=b"v=0\r\n")
            survivor.udp(f"Content-Length {length!r}", data)
            survivor.tcp(f"Content-Length {length!r}", data)
        survivor.check_good_call("content lengths")


def test_nul_and_control_characters_in_headers():
    with Survivor() as survivor:
        for octet in [0, 1, 8, 9, 10, 11, 12, 13, 27, 127, 128, 155, 255]:
            character = bytes([octet]).decode("latin-1").encode("latin-1").decode("utf-8", "surrogateescape")
            for parts in ({"from_": f"<sip:{OWN}{character}@example.net>"}, {"to": f'"{character}" <sip:{OWN}@example.net>'},
                          {"call_id": f"a{character}b@test"}, {"headers": [f"P-Asserted-Identity: <tel:{OWN}{character}>"]},
                          {"uri": f"sip:{OWN}{character}@example.net"}, {"headers": [f"X: a{character}b"]},
                          {"branch": new_branch() + character}):
                survivor.udp(f"octet {octet} in {parts}", survivor.client.request(**parts))
        survivor.check_good_call("control characters")
        survivor.stirrup.records()  # each line is whole and valid JSON


def test_log_and_records_cannot_be_forged():
    with Survivor() as survivor:
        forged = 'x","result":"signed","forged":"yes'
        survivor.client.call(call_id=forged + "@test")
        for record in survivor.stirrup.wait_for_records(1):
            assert record["call_id"] == forged + "@test"
        assert "\x1b" not in survivor.stirrup.log()


def test_fuzzed_tcp_streams():
    generator = random.Random(3261)
    with Survivor() as survivor:
        for i in range(60):
            stream = b""
            for _ in range(generator.randrange(1, 6)):
                stream += survivor.client.request(body=b"x" * generator.randrange(50))
                stream += generator.randbytes(generator.randrange(0, 30)) if generator.randrange(3) == 0 else b""
            cut = generator.randrange(len(stream))
            survivor.tcp(f"stream {i}", stream[:cut] + stream[cut + generator.randrange(3):])
        survivor.check_good_call("fuzzed streams")

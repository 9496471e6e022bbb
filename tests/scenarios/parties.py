"""The two ends of a call, scripted: SIP user agents over UDP and TCP, IPv4 and IPv6, that say only what a test has them
say, and check what they hear against RFC 3261 byte by byte. Everything runs in one asyncio loop.

    async with Party("127.0.0.41", server=proxy) as caller, Party("127.0.0.61") as callee:
        call = caller.invite()
        incoming = await callee.incoming()
        incoming.respond(180, tag="a")
        await call.expect(180)
        far = incoming.accept(tag="a")
        near = call.dialog(await call.expect(200))
        near.ack()
        await incoming.acknowledged("a")
        bye = far.send("BYE")
        (await near.expect("BYE")).respond(200)
        await bye.expect(200)
"""

import asyncio
import contextlib
import re
import socket
import uuid

from harness import DEST, OWN

T1, T2 = 0.5, 4.0  # RFC 3261 section 17.1.1.1
SECONDS = 4.0      # for what is to come, unless a test says otherwise
patience = 1.0     # times that: for a test with many calls at a time

COMPACT = {"v": "via", "f": "from", "t": "to", "i": "call-id", "m": "contact", "l": "content-length", "c": "content-type",
           "k": "supported", "s": "subject", "o": "event", "r": "refer-to", "x": "session-expires", "b": "referred-by",
           "e": "content-encoding", "y": "identity", "u": "allow-events"}

PHRASES = {100: "Trying", 180: "Ringing", 181: "Call Is Being Forwarded", 182: "Queued", 183: "Session Progress", 200: "OK",
           202: "Accepted", 302: "Moved Temporarily", 404: "Not Found", 481: "Call/Transaction Does Not Exist",
           486: "Busy Here", 487: "Request Terminated", 488: "Not Acceptable Here", 491: "Request Pending",
           500: "Server Internal Error", 503: "Service Unavailable", 603: "Decline"}

SDP = (b"v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 6000 RTP/AVP 0\r\n"
       b"a=rtpmap:0 PCMU/8000\r\n")


# ---- what is in a message ----


def canonical(name):
    name = name.strip().lower()
    return COMPACT.get(name, name)


def split_list(value):
    """The items of a comma list; commas in quotes and in <> separate nothing."""
    items, item, quoted, bracketed, escaped = [], "", False, False, False
    for char in value:
        if escaped:
            escaped = False
        elif quoted and char == "\\":
            escaped = True
        elif char == '"' and not bracketed:
            quoted = not quoted
        elif not quoted and char in "<>":
            bracketed = char == "<"
        elif char == "," and not quoted and not bracketed:
            items.append(item.strip())
            item = ""
            continue
        item += char
    return [*items, item.strip()] if item.strip() or items else []


def uri_of(value):
    """The URI of a From, To, Contact or Route value."""
    match = re.match(r'\s*(?:"(?:[^"\\]|\\.)*"\s*|[^<"]*)<([^>]*)>', value)
    return match.group(1) if match else value.split(";")[0].strip()


def tag_of(value):
    """The tag of a From or To value; None without."""
    match = re.search(r";\s*tag\s*=\s*([^;\s>]+)\s*(?:;[^>]*)?$", value)
    return match.group(1) if match else None


class Uri:
    """sip:user@host:port;parameters: user with its own parameters, host without brackets."""

    def __init__(self, text):
        match = re.fullmatch(r"(sips?):(?:([^@]*)@)?(\[[^\]]*\]|[^:;?\[\]]*)(?::(\d+))?((?:;[^;?]*)*)(\?.*)?", text)
        assert match, f"not a SIP URI: {text!r}"
        self.text = text
        self.user = match.group(2)
        self.host = match.group(3).strip("[]")
        self.port = int(match.group(4) or 5060)
        self.parameters = {}
        for part in match.group(5).split(";")[1:]:
            name, _, value = part.partition("=")
            assert name.lower() not in self.parameters, f"twice {name}: {text}"
            self.parameters[name.lower()] = value
        self.transport = self.parameters.get("transport", "udp").lower()

    @property
    def place(self):
        return self.host, self.port, self.transport


def hostport(host, port):
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def sip_uri(user, host, port, transport="udp", parameters=""):
    return f"sip:{user + '@' if user else ''}{hostport(host, port)}{parameters}" + (
        "" if transport == "udp" else f";transport={transport}")


def without_source(via):
    """A Via item without what its receiver adds (RFC 3261 section 18.2.1, RFC 3581)."""
    return re.sub(r";\s*(?:received=[^;,\s]*|rport(?:=\d+)?)", "", via)


def without_verstat(value):
    return re.sub(r";verstat=[A-Za-z-]+", "", value)


class Message:
    """A received or a built message; every line keeps its octets."""

    def __init__(self, raw):
        self.raw = raw
        head, separator, self.body = raw.partition(b"\r\n\r\n")
        assert separator, f"no end of the header: {raw[:500]!r}"
        lines = head.decode("utf-8", "surrogateescape").split("\r\n")
        self.start = lines[0]
        self.lines = []  # [name as written, value with its folds, whole line]
        for line in lines[1:]:
            if line[:1] in (" ", "\t"):
                name, value, whole = self.lines[-1]
                self.lines[-1] = (name, value + "\r\n" + line.rstrip(), whole + "\r\n" + line)
            else:
                name, colon, value = line.partition(":")
                assert colon and name.strip(), f"not a header line: {line!r} in {raw[:500]!r}"
                self.lines.append((name.strip(), value.strip(), line))
        self.is_response = self.start.startswith("SIP/2.0 ")
        if self.is_response:
            _, status, self.phrase = self.start.split(" ", 2)
            self.status, self.method, self.uri = int(status), None, None
        else:
            self.method, self.uri, version = self.start.split(" ")
            assert version == "SIP/2.0", self.start
            self.status = None
        self.cseq, self.cseq_method = self["CSeq"].split()
        self.cseq = int(self.cseq)
        if self.has("Content-Length"):
            assert int(self["Content-Length"]) == len(self.body), f"Content-Length: {raw!r}"

    def all(self, name):
        name = canonical(name)
        return [value for known, value, _ in self.lines if canonical(known) == name]

    def items(self, name):
        """Of a comma list, over all its lines."""
        return [item for value in self.all(name) for item in split_list(value.replace("\r\n", ""))]

    def __getitem__(self, name):
        values = self.all(name)
        assert len(values) == 1, f"{len(values)} {name} headers in {self.raw!r}"
        return values[0]

    def get(self, name):
        return self[name] if self.has(name) else None

    def has(self, name):
        return bool(self.all(name))

    @property
    def call_id(self):
        return self["Call-ID"]

    @property
    def from_tag(self):
        return tag_of(self["From"])

    @property
    def to_tag(self):
        return tag_of(self["To"])

    @property
    def branch(self):
        match = re.search(r";\s*branch\s*=\s*([^;,\s]+)", self.items("Via")[0])
        return match.group(1) if match else ""

    @property
    def contact(self):
        """Its URI."""
        return uri_of(self["Contact"])

    def others(self, owned):
        """The header lines but those of the names in owned, in their order, byte for byte."""
        owned = {canonical(name) for name in owned}
        return [line for name, _, line in self.lines if canonical(name) not in owned]

    def __repr__(self):
        return repr(self.raw[:3000])


class Mailbox:
    """What has come and nobody has asked for yet."""

    def __init__(self):
        self.waiting, self.items = [], []

    def put(self, item):
        for entry in self.waiting:
            matches, future = entry
            if not future.done() and matches(item):
                future.set_result(item)
                return
        self.items.append(item)

    async def get(self, matches, seconds, what):
        for i, item in enumerate(self.items):
            if matches(item):
                return self.items.pop(i)
        entry = (matches, asyncio.get_running_loop().create_future())
        self.waiting.append(entry)
        try:
            return await asyncio.wait_for(entry[1], seconds * patience)
        except asyncio.TimeoutError:
            raise AssertionError(f"{what}: not within {seconds} s; what came instead: {self.items}") from None
        finally:
            self.waiting.remove(entry)


# ---- transactions ----


class Repeater:
    """Sends at once and, over UDP, again until it is stopped."""

    def __init__(self, send, reliable, longest=T2):
        self.send, self.interval, self.longest, self.handle = send, T1, longest, None
        self.loop = asyncio.get_running_loop()
        send()
        if not reliable:
            self.handle = self.loop.call_later(self.interval, self.again)
            self.end = self.loop.time() + 64 * T1

    def again(self):
        self.send()
        self.interval = min(2 * self.interval, self.longest)
        self.handle = self.loop.call_later(self.interval, self.again) if self.loop.time() < self.end else None

    def stop(self):
        if self.handle is not None:
            self.handle.cancel()
            self.handle = None


class Outgoing:
    """A request of ours and what is answered to it."""

    def __init__(self, party, raw, place, dialog=None):
        self.party, self.place, self.request, self.from_dialog = party, place, Message(raw), dialog
        self.responses, self.seen, self.repeated = Mailbox(), set(), 0
        self.acknowledges = True  # else a refusal gets no ACK
        self.acks = {}  # by To tag: the ACK of a 2xx
        self.dialogs = {}
        self.tried = asyncio.Event()
        party.outgoing[self.request.branch, self.request.method] = self
        self.repeater = Repeater(lambda: party.transmit(raw, place), place[2] != "udp",
                                 64.0 if self.request.method == "INVITE" else T2)

    def receive(self, response):
        invite = self.request.method == "INVITE"
        if invite or response.status >= 200:
            self.repeater.stop()
        if invite and 300 <= response.status and self.acknowledges:
            self.acknowledge_failure(response)
        if response.raw in self.seen:
            self.repeated += 1
            if invite and 200 <= response.status < 300 and response.to_tag in self.acks:
                self.acks[response.to_tag]()
            return
        self.seen.add(response.raw)
        if response.status == 100:
            self.tried.set()
        self.responses.put(response)

    def acknowledge_failure(self, response):
        """RFC 3261 section 17.1.1.3."""
        request = self.request
        keep = [line for name, _, line in request.lines if canonical(name) in ("from", "call-id", "route", "max-forwards")]
        via = next(line for name, _, line in request.lines if canonical(name) == "via")
        to = next(line for name, _, line in response.lines if canonical(name) == "to")
        self.party.transmit(build(f"ACK {request.uri} SIP/2.0", [via, *keep, to, f"CSeq: {request.cseq} ACK"]), self.place)

    async def expect(self, status, seconds=SECONDS):
        """The next response, which must have this status; a 100 is passed over unless it is asked for."""
        response = await self.responses.get(lambda item: status == 100 or item.status != 100, seconds,
                                            f"{status} to {self.request.start}")
        self.check(response)
        assert response.status == status, f"not {status} to {self.request.start}: {response}"
        if self.from_dialog is not None and 200 <= status < 300 and response.has("Contact"):
            self.from_dialog.target = response.contact
        return response

    async def final(self, seconds=SECONDS):
        response = await self.responses.get(lambda item: item.status >= 200, seconds,
                                            f"final response to {self.request.start}")
        self.check(response)
        return response

    async def silence(self, seconds=0.3):
        await asyncio.sleep(seconds)
        assert not self.responses.items, f"an answer to {self.request.start}: {self.responses.items}"

    def check(self, response):
        """RFC 3261 section 8.2.6.2, as far as a request may be changed on its way: not at all, for him who sent it."""
        request = self.request
        vias = [without_source(via) for via in response.items("Via")]
        assert vias == [without_source(via) for via in request.items("Via")], f"Via: {response}"
        assert response["From"] == request["From"], f"From is not {request['From']!r}: {response}"
        assert response.call_id == request.call_id, f"Call-ID: {response}"
        assert (response.cseq, response.cseq_method) == (request.cseq, request.method), f"CSeq: {response}"
        if self.from_dialog is not None and self.from_dialog.callee:
            # Its To is the caller's From, perhaps with a verstat that nobody but the callee has ever seen.
            assert response.to_tag == request.to_tag, f"To: {response}"
            assert without_verstat(uri_of(response["To"])) == without_verstat(uri_of(request["To"])), f"To: {response}"
        elif request.to_tag or response.status == 100:
            assert response["To"] in (request["To"], request["To"] + f";tag={response.to_tag}"), f"To: {response}"
        else:
            assert response.to_tag and response["To"] == f"{request['To']};tag={response.to_tag}", f"To: {response}"

    def dialog(self, response):
        """That of an INVITE's response with a tag; the same object for the same tag."""
        tag = response.to_tag
        known = self.dialogs.get(tag)
        if known is None:
            known = Dialog(self.party, self.request.call_id, self.request["From"], response["To"], self.request.cseq,
                           response.contact, response.items("Record-Route")[::-1])
            known.invite = self
            self.dialogs[tag] = known
        elif 200 <= response.status < 300:
            # RFC 3261 section 13.2.2.4: the route set and the target are the 2xx's.
            known.target, known.routes = response.contact, response.items("Record-Route")[::-1]
        return known

    def cancel(self, headers=()):
        """RFC 3261 section 9.1."""
        request = self.request
        via = next(line for name, _, line in request.lines if canonical(name) == "via")
        keep = [line for name, _, line in request.lines
                if canonical(name) in ("from", "to", "call-id", "route", "max-forwards")]
        return Outgoing(self.party, build(f"CANCEL {request.uri} SIP/2.0",
                                          [via, *keep, f"CSeq: {request.cseq} CANCEL", *headers]), self.place,
                        self.from_dialog)


class Incoming:
    """A request that has come and what we answer to it."""

    def __init__(self, party, request, answer_by):
        self.party, self.request, self.answer_by = party, request, answer_by
        self.sent, self.repeated, self.repeaters, self.acks, self.tags = [], 0, {}, {}, set()
        self.ack_of_failure = asyncio.get_running_loop().create_future()
        self.acknowledgements = 0

    @property
    def method(self):
        return self.request.method

    def __repr__(self):
        return repr(self.request)

    def build(self, status, phrase=None, headers=(), body=b"", tag=None, contact=None, record_routes=None):
        request = self.request
        keep = []
        for name, _, line in request.lines:
            known = canonical(name)
            if known in ("via", "from", "call-id", "cseq") or (
                    known == "record-route" and record_routes is None and 100 < status < 300):
                keep.append(line)
            elif known == "to":
                keep.append(line + (f";tag={tag}" if tag and not request.to_tag else ""))
        for route in record_routes or ():
            keep.append(f"Record-Route: {route}")
        if contact is None:
            contact = (request.method == "INVITE" and 100 < status < 300) or (
                request.method == "UPDATE" and 200 <= status < 300)
        if contact:
            keep.append(f"Contact: {self.party.contact if contact is True else contact}")
        phrase = PHRASES.get(status, "Whatever") if phrase is None else phrase
        return build(f"SIP/2.0 {status} {phrase}", [*keep, *headers], body)

    def send(self, raw):
        self.answer_by(raw)

    def respond(self, status, phrase=None, headers=(), body=b"", tag="callee", **parts):
        """Sends it, over UDP again and again until the ACK, where one is due."""
        raw = self.build(status, phrase, headers, body, tag if status > 100 else None, **parts)
        if status > 100 and not self.request.to_tag:
            self.tags.add(tag)
        if self.request.method == "INVITE" and status >= 200:
            key = (self.request.to_tag or tag) if status < 300 else None
            if key in self.repeaters:
                self.repeaters[key].stop()
            self.repeaters[key] = Repeater(lambda: self.answer_by(raw), self.party.reliable)
            if status < 300:
                self.acks[key] = asyncio.get_running_loop().create_future()
                self.party.answered[self.request.call_id, self.request.cseq, key] = self
        else:
            self.answer_by(raw)
        self.sent.append(raw)
        return Message(raw)

    def accept(self, tag="callee", headers=(), body=SDP, **parts):
        """200 with SDP; returns our dialog."""
        headers = [*headers, "Content-Type: application/sdp"] if body is SDP else headers
        return self.dialog(tag, self.respond(200, None, headers, body, tag, **parts))

    def dialog(self, tag="callee", response=None):
        """The one that we have begun with that tag."""
        request = self.request
        routes = (response or request).items("Record-Route")
        return Dialog(self.party, request.call_id, request["To"] + f";tag={tag}", request["From"], 100,
                      request.contact, routes, callee=True)

    def repeat(self):
        self.repeated += 1
        if self.sent:
            self.answer_by(self.sent[-1])

    async def acknowledged(self, tag="callee", seconds=SECONDS):
        """The ACK of the 2xx with that tag; for tag None, that of another final answer."""
        future = self.ack_of_failure if tag is None else self.acks[self.request.to_tag or tag]
        try:
            return await asyncio.wait_for(asyncio.shield(future), seconds * patience)
        except asyncio.TimeoutError:
            raise AssertionError(f"no ACK of {self.request.start} within {seconds} s; {self.party.unexpected}") from None

    def receive_ack(self, ack, tag):
        self.acknowledgements += 1
        if tag in self.repeaters:
            self.repeaters[tag].stop()
        future = self.ack_of_failure if tag is None else self.acks[tag]
        if not future.done():
            future.set_result(ack)


class Dialog:
    """RFC 3261 section 12, as one end knows it."""

    def __init__(self, party, call_id, local, remote, cseq, target, routes, callee=False):
        self.party, self.call_id, self.local, self.remote, self.cseq = party, call_id, local, remote, cseq
        self.target, self.routes, self.callee, self.invite = target, routes, callee, None
        self.by = None  # a place to send to, whatever the route set says

    def request(self, method, headers=(), body=b"", cseq=None, contact=None, **parts):
        """The octets, by the rules of section 12.2.1.1, and the place where they go."""
        if cseq is None:
            self.cseq += 1
            cseq = self.cseq
        if contact is None:
            contact = method in ("INVITE", "UPDATE", "SUBSCRIBE", "REFER", "NOTIFY")
        first = Uri(uri_of(self.routes[0]) if self.routes else self.target)
        assert not self.routes or "lr" in first.parameters, f"no loose router: {self.routes}"
        parts = {"call_id": self.call_id, "from_": self.local, "to": self.remote, **parts}
        raw = self.party.request(method, self.target, cseq=cseq, headers=headers, body=body, contact=contact,
                                 routes=self.routes, transport=first.transport, **parts)
        return raw, self.by or first.place

    def send(self, method, headers=(), body=b"", **parts):
        raw, place = self.request(method, headers, body, **parts)
        return Outgoing(self.party, raw, place, dialog=self)

    def ack(self, invite=None, headers=(), body=b""):
        """Of the 2xx to our INVITE: the first one, or the Outgoing of a later one. Repeated whenever the 2xx comes again."""
        invite = invite or self.invite
        raw, place = self.request("ACK", headers, body, cseq=invite.request.cseq)
        invite.acks[tag_of(self.remote)] = lambda: self.party.transmit(raw, place)
        self.party.transmit(raw, place)
        return Message(raw)

    async def expect(self, method, seconds=SECONDS):
        """A request of the other end within this dialog."""
        incoming = await self.party.mail_of(self.call_id).get(
            lambda item: item.method == method and item.request.to_tag == tag_of(self.local), seconds,
            f"{method} in the dialog {self.local}")
        request = incoming.request
        assert request["To"] == self.local, f"To is not {self.local!r}: {request}"
        if self.callee:
            # A verified call may have a verstat in the From of its first INVITE only.
            assert request.from_tag == tag_of(self.remote), f"From: {request}"
            assert without_verstat(uri_of(request["From"])) == without_verstat(uri_of(self.remote)), f"From: {request}"
        else:
            assert request["From"] == self.remote, f"From is not {self.remote!r}: {request}"
        if method in ("INVITE", "UPDATE") and request.has("Contact"):
            self.target = request.contact
        return incoming

    async def offer(self, other, method="INVITE", headers=(), body=SDP, answer=SDP, **parts):
        """A re-INVITE or UPDATE that the other end accepts; returns it as it arrived, and the answer as it came back."""
        headers = [*headers, "Content-Type: application/sdp"] if body is SDP else headers
        sent = self.send(method, headers, body, **parts)
        incoming = await other.expect(method)
        incoming.respond(200, None, ["Content-Type: application/sdp"], answer)
        response = await sent.expect(200)
        assert incoming.request.body == body and response.body == answer
        if method == "INVITE":
            self.ack(sent)
            await incoming.acknowledged()
        return incoming.request, response

    async def ask(self, other, method, headers=(), body=b"", status=200):
        """A request that the other end answers; returns it as it arrived, and the answer as it came back."""
        sent = self.send(method, headers, body)
        incoming = await other.expect(method)
        incoming.respond(status)
        return incoming.request, await sent.expect(status)

    async def end(self, other, **parts):
        return await self.ask(other, "BYE", **parts)


# ---- a user agent ----


def build(start, lines, body=b""):
    text = "\r\n".join([start, *lines, f"Content-Length: {len(body)}"])
    return text.encode("utf-8", "surrogateescape") + b"\r\n\r\n" + body


class Endpoint(asyncio.DatagramProtocol):
    """A UDP socket and a TCP listener at one address and port."""

    def __init__(self, party, host, port):
        self.party, self.host, self.port = party, host, port

    async def open(self):
        loop = asyncio.get_running_loop()
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        for _ in range(50):
            datagrams = socket.socket(family, socket.SOCK_DGRAM)
            datagrams.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
            stream = socket.socket(family, socket.SOCK_STREAM)
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                datagrams.bind((self.host, self.port))
                stream.bind((self.host, datagrams.getsockname()[1]))
                break
            except OSError:
                datagrams.close()
                stream.close()
                if self.port:
                    raise
        else:
            raise RuntimeError("no free port")
        self.port = datagrams.getsockname()[1]
        datagrams.setblocking(False)
        self.udp, _ = await loop.create_datagram_endpoint(lambda: self, sock=datagrams)
        self.tcp = await asyncio.start_server(self.party.serve_stream, sock=stream, limit=1 << 20)
        return self

    def close(self):
        self.udp.close()
        self.tcp.close()

    def datagram_received(self, data, source):
        if len(data.strip(b"\r\n\0 ")) == 0:
            return  # a keep-alive
        self.party.receive(data, self, source, None)

    def error_received(self, error):
        """An ICMP error of an earlier datagram: that one's repeat deals with it."""


class Party:
    """A user agent. transport: what it sends its requests by where no route says otherwise; server: (host, port) that its
    calls go to."""

    def __init__(self, host, *, user=OWN, transport="udp", server=None, port=0, user_parameters=""):
        self.host, self.user, self.transport, self.server, self.first_port = host, user, transport, server, port
        self.user_parameters = user_parameters
        self.endpoints, self.connections, self.accepted, self.tasks = [], {}, [], set()
        self.outgoing, self.requests, self.answered, self.mail = {}, {}, {}, {}
        self.new_calls, self.unexpected, self.on_call = Mailbox(), [], None
        # Of no call of ours: what a stateless hop has answered itself, it may still send on the ACK of.
        self.stray_acks = []
        self.probes, self.answers_probes = 0, True  # OPTIONS outside a dialog: answered at once

    @property
    def reliable(self):
        return self.transport != "udp"

    async def __aenter__(self):
        await self.move(self.host, self.first_port)
        return self

    async def __aexit__(self, *_):
        for transaction in self.outgoing.values():
            transaction.repeater.stop()
        for incoming in self.requests.values():
            for repeater in incoming.repeaters.values():
                repeater.stop()
        for writer in (*self.connections.values(), *self.accepted):
            with contextlib.suppress(OSError, RuntimeError):
                writer.close()
        for endpoint in self.endpoints:
            endpoint.close()
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    async def move(self, host=None, port=0):
        """From now on our Contact is another address; what comes to the old ones is read on."""
        self.endpoints.append(await Endpoint(self, host or self.host, port).open())
        self.here = self.endpoints[-1]
        return self.contact

    @property
    def port(self):
        return self.here.port

    @property
    def contact_uri(self):
        return sip_uri(self.user + self.user_parameters, self.here.host, self.here.port, self.transport)

    @property
    def contact(self):
        return f"<{self.contact_uri}>"

    # -- sending --

    def via(self, transport=None, branch=None):
        transport = transport or self.transport
        return (f"SIP/2.0/{transport.upper()} {hostport(self.here.host, self.here.port)};rport;"
                f"branch={branch or 'z9hG4bK' + uuid.uuid4().hex}")

    def request(self, method, uri=None, *, from_=None, to=None, call_id=None, cseq=1, headers=(), body=b"", contact=None,
                routes=(), transport=None, via=None, more_vias=(), max_forwards=70, from_tag="caller"):
        """The octets of a request; every part has a good default."""
        server = hostport(*self.server) if self.server else "192.0.2.1"
        lines = [f"Via: {via or self.via(transport)}", *(f"Via: {item}" for item in more_vias)]
        if max_forwards is not None:
            lines.append(f"Max-Forwards: {max_forwards}")
        lines += [f"Route: {route}" for route in routes]
        lines += [
            f"From: {from_ or f'<sip:{self.user}@{hostport(self.host, self.port)};user=phone>;tag={from_tag}'}",
            f"To: {to or f'<sip:{DEST}@{server};user=phone>'}",
            f"Call-ID: {call_id or uuid.uuid4().hex + '@parties'}",
            f"CSeq: {cseq} {method}",
        ]
        if contact or (contact is None and method == "INVITE"):
            lines.append(f"Contact: {contact if isinstance(contact, str) else self.contact}")
        return build(f"{method} {uri or f'sip:{DEST}@{server};user=phone'} SIP/2.0", [*lines, *headers], body)

    def send(self, raw, place=None):
        """A request as it stands."""
        return Outgoing(self, raw, place or (*self.server, self.transport))

    def invite(self, uri=None, headers=(), body=SDP, **parts):
        headers = [*headers, "Content-Type: application/sdp"] if body is SDP else headers
        return self.send(self.request("INVITE", uri, headers=headers, body=body, **parts))

    def transmit(self, raw, place):
        host, port, transport = place
        if transport == "udp":
            self.here.udp.sendto(raw, (host, port))
        else:
            self.spawn(self.transmit_stream(raw, (host, port)))

    async def transmit_stream(self, raw, address):
        writer = self.connections.get(address)
        if writer is None or writer.is_closing():
            # One at a time: two requests must not open two connections.
            lock = self.__dict__.setdefault("locks", {}).setdefault(address, asyncio.Lock())
            async with lock:
                writer = self.connections.get(address)
                if writer is None or writer.is_closing():
                    reader, writer = await asyncio.open_connection(*address, local_addr=(self.here.host, 0), limit=1 << 20)
                    self.connections[address] = writer
                    self.spawn(self.read_stream(reader, writer))
        writer.write(raw)

    def spawn(self, coroutine):
        task = asyncio.get_running_loop().create_task(coroutine)
        self.tasks.add(task)
        task.add_done_callback(self.ended)

    def ended(self, task):
        self.tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self.unexpected.append(task.exception())

    # -- receiving --

    async def serve_stream(self, reader, writer):
        self.accepted.append(writer)
        self.spawn(self.read_stream(reader, writer))

    async def read_stream(self, reader, writer):
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lstrip(b"\r\n")
                if not head:
                    continue
                length = int(re.search(rb"(?im)^(?:content-length|l)[ \t]*:\s*(\d+)", head).group(1))
                body = await reader.readexactly(length)
                self.receive(head + body, writer, writer.get_extra_info("peername"), writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    def receive(self, raw, by, source, connection):
        try:
            message = Message(raw)
        except (AssertionError, ValueError, IndexError) as fault:
            self.unexpected.append(f"unreadable: {fault!r}: {raw!r}")
            return
        message.source, message.by = source, by
        message.tcp = connection is not None
        if message.is_response:
            transaction = self.outgoing.get((message.branch, message.cseq_method))
            if transaction is None:
                self.unexpected.append(message)
            else:
                transaction.receive(message)
        elif message.method == "ACK":
            self.receive_ack(message)
        else:
            self.receive_request(message, by, connection)

    def receive_ack(self, ack):
        incoming = self.answered.get((ack.call_id, ack.cseq, ack.to_tag))
        if incoming is not None:
            incoming.receive_ack(ack, ack.to_tag)
            return
        incoming = self.requests.get((ack.branch, "INVITE"))
        if incoming is not None and ack.to_tag:
            incoming.receive_ack(ack, None)
        else:
            self.stray_acks.append(ack)

    def receive_request(self, request, by, connection):
        key = (request.branch, request.method)
        known = self.requests.get(key)
        if known is not None:
            known.repeat()
            return
        if connection is not None:
            answer_by = connection.write
        else:
            # RFC 3261 section 18.2.2, RFC 3581: to where the topmost Via and the source address say.
            via = request.items("Via")[0]
            sent_by = re.match(r"SIP\s*/\s*2\.0\s*/\s*\w+\s+(\[[^\]]*\]|[^:;\s]+)(?::(\d+))?", via)
            port = request.source[1] if re.search(r";\s*rport(?:=\d+)?\b", via) else int(sent_by.group(2) or 5060)
            address = (request.source[0], port)
            answer_by = lambda raw: by.udp.sendto(raw, address)  # noqa: E731
        incoming = self.requests[key] = Incoming(self, request, answer_by)
        if request.method == "OPTIONS" and not request.to_tag:
            self.probes += 1
            if self.answers_probes:
                incoming.respond(200)
            return
        if request.method == "CANCEL" and (invite := self.requests.get((request.branch, "INVITE"))) is not None:
            self.mail_of(invite.request.call_id).put(incoming)
        elif request.to_tag or request.method == "CANCEL":
            self.mail_of(request.call_id).put(incoming)
        elif self.on_call is not None:
            self.spawn(self.on_call(incoming))
        else:
            self.new_calls.put(incoming)

    def mail_of(self, call_id):
        return self.mail.setdefault(call_id, Mailbox())

    async def incoming(self, method="INVITE", seconds=SECONDS, call_id=None):
        """A request outside any dialog."""
        return await self.new_calls.get(lambda item: item.method == method and call_id in (None, item.request.call_id), seconds,
                                        f"{method} at {self.host}")

    async def cancelled(self, incoming, seconds=SECONDS):
        """The CANCEL of an INVITE that we have."""
        return await self.mail_of(incoming.request.call_id).get(
            lambda item: item.method == "CANCEL" and item.request.branch == incoming.request.branch, seconds, "CANCEL")

    async def unknown_cancel(self, incoming, seconds=SECONDS):
        """A CANCEL of that call that is of no INVITE that we have."""
        return await self.mail_of(incoming.request.call_id).get(
            lambda item: item.method == "CANCEL" and (item.request.branch, "INVITE") not in self.requests, seconds, "CANCEL")

    def left(self):
        """What nobody has asked for."""
        left = [*self.unexpected, *self.new_calls.items]
        for mail in self.mail.values():
            left += mail.items
        return left

    async def silence(self, seconds=0.3):
        """Nothing comes."""
        before = len(self.left())
        await asyncio.sleep(seconds)
        assert len(self.left()) == before, f"came to {self.host}: {self.left()}"


# ---- what must pass ----

# Never the sender's own business alone: each hop has a hand in them.
HOP_HEADERS = ("Via", "Record-Route", "Route", "Max-Forwards", "Content-Length")


def assert_passed(sent, received, *, changed=(), added=()):
    """received is sent, byte for byte and in its order, but for the headers of the hops, those in changed, and those in
    added, which only received may have."""
    was = sent.others((*HOP_HEADERS, *changed))
    present = {canonical(name) for name, _, _ in sent.lines}
    new = [name for name in added if canonical(name) not in present]
    now = received.others((*HOP_HEADERS, *changed, *new))
    assert now == was, f"the header lines\n{was}\nbecame\n{now}"
    assert received.body == sent.body, f"the body of {len(sent.body)} octets became {len(received.body)}: {received.body[:200]!r}"
    if sent.is_response:
        assert received.start == sent.start, f"{sent.start!r} became {received.start!r}"
    else:
        assert received.method == sent.method

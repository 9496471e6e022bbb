"""A stirrupd in mode "forward" or "b2bua" between two parties, and what must come out of it.

STIRRUP_SCENARIO_REFERENCE=1 puts Kamailio, which only relays, in Stirrup's place: that tells whether the tests of what both
modes share ask for nothing but SIP."""

import asyncio
import contextlib
import os
import re
import shutil
import signal

import verifying
from harness import DEFAULT_CONFIG, DEST, OWN, Identity, Stirrup, is_alive, wait_until
from parties import Party, Uri, assert_passed, uri_of, without_source, without_verstat
from switches import BEHIND, Kamailio

REFERENCE = bool(os.environ.get("STIRRUP_SCENARIO_REFERENCE"))
MODES = ("kamailio",) if REFERENCE else ("forward", "b2bua")
STIRRUP_MODES = () if REFERENCE else MODES  # for what no plain proxy does
SERVICES = ("sign",) if REFERENCE else ("sign", "verify")

CALLER = "127.0.0.41"        # of the peer under test, like the next one
CALLER_MOVED = "127.0.0.42"
OTHER_PEER = "127.0.0.45"    # listed, and no part of any call
CALLEE = "127.0.0.61"        # the next hop
CALLEE_MOVED = "127.0.0.62"  # in far_side, like the next one
SECOND_HOP = "127.0.0.63"
STRANGER = "127.0.0.77"      # not listed

PEERS = """\
  {{ name = "under-test"; addresses = [ {near} ]; service = "{service}"; mode = "{mode}"; {customer}
    next_hop = {next_hop}; far_side = [ "127.0.0.60/30" ]; country_code = "1"; {peer} }},
  {{ name = "other"; addresses = [ "127.0.0.45" ]; service = "{service}"; mode = "{mode}"; {customer}
    next_hop = "sip:127.0.0.61:9;transport=udp"; country_code = "1"; }},
"""


def with_peers(config, more=""):
    """The configuration with a place for the peers under test, and none that would have their address."""
    return config.replace('"127.0.0.1", "::1" ];', '"127.0.0.1" ];').replace("peers = (\n", f"{more}peers = (\n{{under_test}}")


TRUST = """trust = ( {{ name = "us"; anchors = "pki/root.pem"; }} );\n"""
DIALOGS = """dialogs: {{ {dialogs} }};\n"""


class JudgingStirrup(verifying.Inbound):
    """With hosts of certificates, for calls that bring tokens along."""

    def __init__(self, settings, **options):
        super().__init__(**options)
        self.more_settings = settings

    def prepare(self):
        self.stirrup.config = with_peers(verifying.CONFIG, DIALOGS)
        self.stirrup.settings.update(self.more_settings)


# A loaded machine is no reason to leave a call unsigned.
PATIENT = 'signer: { deadline = "2s"; };'


class World:
    """async with World("forward", "sign") as world: world.caller, world.stirrup, world.callee.

    near and far are transports; hop is what next_hop has behind the address; hops more than one next hop, as the
    configuration has it, with {port} for the callee's; peer further settings of the peer; tokens: real certificates."""

    def __init__(self, mode, service="sign", *, near="udp", far="udp", near_host=CALLER, far_host=CALLEE, hop=None, hops=None,
                 peer="", workers=1, tokens=False, dialogs='store = "dialogs";', tolerant=False, user_parameters="", sip="",
                 more_near=(), more_peers="", more_listeners="", more=PATIENT, before=None):
        self.mode, self.service, self.near, self.far = mode, service, near, far
        self.near_host, self.far_host, self.peer, self.workers = near_host, far_host, peer, workers
        self.hop = f";transport={far}" if hop is None else hop
        self.hops, self.tokens, self.dialogs, self.tolerant = hops, tokens, dialogs, tolerant
        self.user_parameters, self.sip, self.more_near, self.more_listeners = user_parameters, sip, more_near, more_listeners
        self.more_peers, self.more, self.before = more_peers, more, before
        self.inbound = self.stirrup = None

    async def __aenter__(self):
        async with contextlib.AsyncExitStack() as stack:
            self.callee = await stack.enter_async_context(
                Party(self.far_host, user=DEST, transport=self.far, user_parameters=self.user_parameters))
            self.start_server(stack)
            server = "::1" if ":" in self.near_host else "127.0.0.1"
            self.caller = await stack.enter_async_context(
                Party(self.near_host, transport=self.near, server=(server, self.port), user_parameters=self.user_parameters))
            self.callee.server = ("::1" if ":" in self.far_host else "127.0.0.1", self.port)
            self.stack = stack.pop_all()
        return self

    async def __aexit__(self, kind, fault, trace):
        left = [*self.caller.left(), *self.callee.left()]
        # Before the parties go: who stops last must not be waited for.
        await self.stack.__aexit__(kind, fault, trace)
        if kind is None and not self.tolerant:
            assert not left, f"came, and nobody had asked for it: {left}"

    def start_server(self, stack):
        if self.mode == "kamailio":
            kamailio = stack.enter_context(Kamailio(
                0, self.callee.port, config=BEHIND, next_hop_host=self.far_host, STIRRUP_ADDRESS=self.near_host))
            self.port = kamailio.port
            return
        settings = self.settings()
        if self.tokens:
            self.inbound = stack.enter_context(JudgingStirrup(settings, workers=self.workers))
            self.stirrup = self.inbound.stirrup
        else:
            config = with_peers(DEFAULT_CONFIG, (TRUST if self.service == "verify" else "") + DIALOGS)
            self.stirrup = Stirrup(config=config, workers=self.workers, sip=self.sip,
                                   more_listeners=self.more_listeners, more=self.more)
            self.stirrup.settings.update(settings)
            if self.before is not None:
                self.before(self.stirrup.directory)
            stack.enter_context(self.stirrup)
        self.port = self.stirrup.port

    def settings(self):
        host = f"[{self.far_host}]" if ":" in self.far_host else self.far_host
        next_hop = (self.hops or f'"sip:{host}:{{port}}{self.hop}"').replace("{port}", str(self.callee.port))
        near = [self.near_host, *self.more_near, *([CALLER_MOVED] if self.near_host == CALLER else [])]
        return {"under_test": PEERS.format(
            near=", ".join(f'"{address}"' for address in near), service=self.service, mode=self.mode, next_hop=next_hop,
            customer='customer = "acme";' if self.service == "sign" else "", peer=self.peer) + self.more_peers,
            "dialogs": self.dialogs}

    def party(self, host, **options):
        """A further one, who speaks to the same server."""
        return Party(host, server=("::1" if ":" in host else "127.0.0.1", self.port), **options)

    # -- whole pieces of calls --

    async def ring(self, tag="callee", headers=(), **parts):
        """An INVITE that rings: what the caller has of it, and what the callee."""
        call = self.caller.invite(headers=headers, **parts)
        incoming = await self.callee.incoming()
        self.check_invite(call.request, incoming.request)
        sent = incoming.respond(180, tag=tag)
        self.check_response(sent, await call.expect(180))
        return call, incoming

    async def connect(self, tag="callee", headers=(), **parts):
        """An established call: the dialog as the caller has it, and as the callee."""
        call, incoming = await self.ring(tag, headers, **parts)
        return await self.answer(call, incoming, tag)

    async def answer(self, call, incoming, tag="callee", **parts):
        far = incoming.accept(tag, **parts)
        near = call.dialog(await call.expect(200))
        ack = near.ack()
        self.check_request(ack, await incoming.acknowledged(tag))
        return near, far

    # -- what is expected --

    def owned(self):
        """The headers that a mode may write anew."""
        if self.mode != "b2bua":
            return ()
        return ("Contact", "Call-ID", "From", "To") if 'call_id = "new"' in self.peer else ("Contact",)

    def check_invite(self, sent, received):
        """The first INVITE, as it arrived: as it was sent but for what the mode and the service have to do."""
        added = {"sign": ("Identity", "Date"), "verify": ("Attestation-Info", "Origination-Id")}[self.service]
        changed = [*self.owned()]
        if self.service == "verify":
            changed += ["From", "P-Asserted-Identity"]
            assert without_verstat(uri_of(received["From"])) == uri_of(sent["From"]), received
            assert received.from_tag == sent.from_tag
        assert_passed(sent, received, changed=changed, added=added)
        assert int(received["Max-Forwards"]) == int(sent["Max-Forwards"]) - 1, received
        assert Uri(received.uri).user == Uri(sent.uri).user, received
        if self.mode != "kamailio":
            if self.service == "sign":
                self.check_identity(received)
            self.check_contact(sent, received)
            self.check_vias(sent, received)

    def check_identity(self, received, attest="A"):
        identity = Identity(received["Identity"])
        assert identity.verifies(self.stirrup.certificate()), received
        assert (identity.claims["attest"], identity.claims["orig"], identity.claims["dest"]) == (
            attest, {"tn": OWN[1:]}, {"tn": [DEST[1:]]}), received
        assert received.has("Date"), received
        return identity

    def check_vias(self, sent, received):
        vias = [without_source(via) for via in received.items("Via")]
        assert self.is_ours(vias[0].split()[1].split(";")[0]), received
        if self.mode == "forward":
            assert vias[1:] == [without_source(via) for via in sent.items("Via")], received
        else:
            assert len(vias) == 1 and not received.has("Record-Route"), received

    def is_ours(self, place):
        return place in (f"127.0.0.1:{self.port}", f"[::1]:{self.port}")

    def check_contact(self, sent, received):
        """Mode "b2bua": the user part with its parameters at our address; else as it was."""
        if not sent.has("Contact"):
            return
        if self.mode != "b2bua":
            assert received["Contact"] == sent["Contact"], received
            return
        was, now = Uri(sent.contact), Uri(received.contact)
        assert now.user == was.user, received
        assert self.is_ours(f"[{now.host}]:{now.port}" if ":" in now.host else f"{now.host}:{now.port}"), received

    def check_response(self, sent, received, changed=()):
        """A response, as it arrived."""
        assert_passed(sent, received, changed=[*self.owned(), *changed, *(("From",) if self.service == "verify" else ())],
                      added=("Reason",) if self.service == "verify" else ())
        if sent.status < 300:
            self.check_contact(sent, received)

    def check_request(self, sent, received, changed=()):
        """A request within a dialog."""
        addressed = ("To", "From") if self.service == "verify" else ()
        assert_passed(sent, received, changed=[*self.owned(), *addressed, *changed])
        assert int(received["Max-Forwards"]) == int(sent["Max-Forwards"]) - 1, received
        self.check_contact(sent, received)

    # -- the daemon --

    def record(self, call_id, seconds=5.0, **expected):
        """The one record of a call, once it is there."""
        if self.mode == "kamailio":
            return None
        record = self.stirrup.wait_for_record(seconds, call_id=call_id)
        for name, value in {"service": self.service, "mode": self.mode, "peer": "under-test", **expected}.items():
            assert record[name] == value, f"{name} is not {value!r}: {record}"
        return record

    def kill_workers(self):
        """kill -9 of each worker; returns when their successors answer."""
        old = {name: pid for name, pid in self.stirrup.children().items() if name.startswith("worker")}
        assert len(old) == self.workers, old
        for pid in old.values():
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: all(self.stirrup.children().get(name) not in (None, pid) for name, pid in old.items()), 5,
                   "new workers")
        wait_until(self.stirrup.answers, 5, "an answer of the new workers")

    def kill_all(self, change=lambda: None):
        """kill -9 of every process, and a new start; change is done between."""
        children = list(self.stirrup.children().values())
        for pid in (self.stirrup.pid, *children):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.stirrup.process.wait()
        wait_until(lambda: not any(is_alive(pid) for pid in children), 5, "the end of all")
        change()
        self.stirrup.start()

    def restart(self, change=lambda: None):
        """As an operator does it; change what is to be changed while nothing runs."""
        self.stirrup.process.terminate()
        assert self.stirrup.process.wait(10) == 0
        change()
        self.stirrup.start()

    async def reload(self, **changes):
        """changes: of the settings of the configuration."""
        before = self.stirrup.log().count("reloaded: ")
        self.stirrup.write_config(**{**self.settings(), **changes})
        self.stirrup.reload()
        for _ in range(100):
            if self.stirrup.log().count("reloaded: ") > before:
                return
            await asyncio.sleep(0.05)
        raise AssertionError("not reloaded within 5 s")

    def second_node(self, port=None, advertise=False):
        """With the same configuration and secret, and nothing else; advertise: it shows the address of the first one."""
        config = self.stirrup.config
        if advertise:
            config = re.sub(r"listen = \[.*?\];", f"""listen = (
    {{{{ address = "udp:127.0.0.1:{{port}}"; advertise = "127.0.0.1:{self.port}"; }}}}, "tcp:127.0.0.1:{{port}}" );""",
                            config, count=1)
        node = Stirrup(config=config, port=port)
        node.settings.update(self.settings())
        shutil.copy(self.stirrup.directory / "secret", node.directory / "secret")
        return node

    @contextlib.contextmanager
    def signer_stopped(self):
        signer = self.stirrup.child("signer")
        os.kill(signer, signal.SIGSTOP)
        try:
            yield
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.kill(signer, signal.SIGCONT)


# ---- sipp-scenarios/ ----

# Each way to forward is a peer at an address of its own; the called party of all but the loops is a SIPp at 127.0.0.61 or ::1.
SERVED = """\
  {{ name = "forwards"; addresses = [ "127.0.0.31" ]; mode = "forward"; {sign} {hop} }},
  {{ name = "b2bua"; addresses = [ "127.0.0.32" ]; mode = "b2bua"; {sign} {hop} }},
  {{ name = "forwards-verified"; addresses = [ "127.0.0.33" ]; service = "verify"; mode = "forward"; country_code = "1"; {hop} }},
  {{ name = "b2bua-verified"; addresses = [ "127.0.0.34" ]; service = "verify"; mode = "b2bua"; country_code = "1"; {hop} }},
  {{ name = "b2bua-second-hop"; addresses = [ "127.0.0.35" ]; mode = "b2bua"; {sign} {two_hops} }},
  {{ name = "forwards-second-hop"; addresses = [ "127.0.0.36" ]; mode = "forward"; {sign} {two_hops} }},
  {{ name = "forwards-to-tcp"; addresses = [ "127.0.0.37" ]; mode = "forward"; {sign} {tcp_hop} }},
  {{ name = "b2bua-to-tcp"; addresses = [ "127.0.0.38" ]; mode = "b2bua"; {sign} {tcp_hop} }},
  {{ name = "forwards-to-ipv6"; addresses = [ "127.0.0.39" ]; mode = "forward"; {sign} {ipv6_hop} }},
  {{ name = "b2bua-to-ipv6"; addresses = [ "127.0.0.40" ]; mode = "b2bua"; {sign} {ipv6_hop} }},
  {{ name = "forwards-in-a-loop"; addresses = [ "127.0.0.41", "127.0.0.64" ]; mode = "forward"; {sign}
    next_hop = "sip:127.0.0.64:{port};transport=udp"; }},
  {{ name = "b2bua-in-a-loop"; addresses = [ "127.0.0.42", "127.0.0.65" ]; mode = "b2bua"; call_id = "keep"; {sign}
    next_hop = "sip:127.0.0.65:{port};transport=udp"; }},
  {{ name = "b2bua-new-call-id"; addresses = [ "127.0.0.43" ]; mode = "b2bua"; call_id = "new"; {sign} {hop} }},
  {{ name = "b2bua-no-answer"; addresses = [ "127.0.0.44" ]; mode = "b2bua"; no_answer = "10s"; {sign} {hop} }},
  {{ name = "b2bua-any-transport"; addresses = [ "127.0.0.45" ]; mode = "b2bua"; {sign}
    next_hop = "sip:127.0.0.61:{port}"; }},
"""


class Served(verifying.Inbound):
    """What sipp-scenarios/ expects: with hop_port, where the called party listens."""

    def __init__(self, *, hop_port=5090, **options):
        super().__init__(**options)
        self.hop_port = hop_port

    def prepare(self):
        self.stirrup.config = verifying.CONFIG.replace("peers = (\n", DIALOGS + "peers = (\n{served}")
        callee = f"sip:127.0.0.61:{self.hop_port}"
        # A SIPp takes OPTIONS for a call that goes wrong.
        self.stirrup.settings.update(dialogs='store = "dialogs";', sip='\n  probe_interval = "0s";', served=SERVED.format(
            port=self.hop_port, sign='customer = "acme"; country_code = "1";', hop=f'next_hop = "{callee};transport=udp";',
            tcp_hop=f'next_hop = "{callee};transport=tcp";', ipv6_hop=f'next_hop = "sip:[::1]:{self.hop_port};transport=udp";',
            two_hops=f'next_hop = [ "sip:127.0.0.62:{self.hop_port};transport=tcp", "{callee};transport=udp" ];'))


# ---- tests ----


def scenario(modes=MODES, services=SERVICES, seconds=60, alone=False):
    """Makes a test for each mode and service of a coroutine function. alone: it loads the machine."""
    def make(function):
        for mode in modes:
            for service in services:
                def test(mode=mode, service=service):
                    asyncio.run(function(mode, service))
                test.seconds = seconds
                test.alone = alone
                function.__globals__[f"test_{mode}_{service}_{function.__name__}"] = test
        return function
    return make


def in_mode(mode, seconds=60):
    """Makes a test of a coroutine function for this mode alone."""
    def make(function):
        if not REFERENCE:
            def test():
                asyncio.run(function())
            test.seconds = seconds
            function.__globals__[f"test_{function.__name__}"] = test
        return function
    return make


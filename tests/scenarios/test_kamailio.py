"""A real switch: Kamailio has its calls signed, and the far end receives an Identity that verifies."""

import contextlib
import glob
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from harness import (DEST, OWN, SCENARIOS, Client, Identity, Sipp, Skip, Stirrup, die_with_parent, free_port, wait_until)
from verifying import PLAIN, Inbound, check_passed

CONFIG = Path(__file__).with_name("kamailio-redirect.cfg")
CALLS = 20


class Kamailio:
    """Kamailio with its own port and directory; ended by its process id."""

    def __init__(self, stirrup_port, next_hop_port=0, config=CONFIG, host="127.0.0.1", **constants):
        self.port = free_port()
        self.host = host
        self.directory = Path(tempfile.mkdtemp(prefix="kamailio-"))
        self.command = [
            shutil.which("kamailio") or "/usr/sbin/kamailio", "-f", config, "-DD", "-E", "-m", "16", "-M", "4",
            "-Y", self.directory, "-P", self.directory / "pid", "-w", self.directory,
            "-A", f"SWITCH=udp:{host}:{self.port}", "-A", f'STIRRUP="sip:127.0.0.1:{stirrup_port}"',
            "-A", f'NEXT_HOP="sip:127.0.0.1:{next_hop_port}"',
            *[part for name, value in constants.items() for part in ("-A", f'{name}="{value}"')]]

    def answers(self):
        assert self.process.poll() is None, self.log()
        with Client(self.port, server=self.host) as client:
            client.send(client.request("OPTIONS", uri=f"sip:{client.server}"))
            answer = client.receive(0.3)
            return answer is not None and answer.status == 200

    def log(self):
        return (self.directory / "log").read_text("utf-8", "replace")[-4000:]

    def __enter__(self):
        with open(self.directory / "log", "wb") as log:
            self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            preexec_fn=die_with_parent)
        try:
            wait_until(self.answers, 10, "an answer of Kamailio")
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
        shutil.rmtree(self.directory, ignore_errors=True)


class FarEnd(Sipp):
    """SIPp as the callee: every INVITE must have Identity and Date; keeps what they say."""

    def __init__(self, port, calls, scenario="uas.xml"):
        super().__init__(None, None, file=SCENARIOS / "switch-kamailio" / scenario, calls=calls, listen_port=port,
                         options=("-trace_logs", "-log_file", "said.log"), seconds=30)
        self.said = ""

    def wait(self):
        self.process.wait(60)
        with contextlib.suppress(OSError):
            self.said = (self.directory / "said.log").read_text("utf-8", "replace")
        return super().wait()


def caller(port, calls, **options):
    return Sipp(None, port, file=SCENARIOS / "switch-kamailio/uac.xml", calls=calls, rate=20, **options)


def test_calls_through_kamailio_arrive_with_an_identity_that_verifies():
    far_port = free_port()
    with Stirrup() as stirrup, Kamailio(stirrup.port, far_port) as switch:
        far = FarEnd(far_port, CALLS)
        try:
            time.sleep(0.3)
            near = caller(switch.port, CALLS).wait()
            far.wait()
            near.assert_all(CALLS)
            far.assert_all(CALLS)
        except BaseException:
            print(switch.log())
            raise
        identities = [Identity(value) for value in re.findall(r"(?m)^.*?identity \s*(eyJ\S+)", far.said)]
        assert len(identities) == CALLS, far.said[:2000]
        dates = re.findall(r"(?m)^.*?date \s*(\S+, .* GMT)", far.said)
        assert len(dates) == CALLS
        assert len({identity.claims["origid"] for identity in identities}) == CALLS
        for identity in identities:
            assert identity.verifies(stirrup.certificate())
            assert identity.claims["attest"] == "A"
            assert identity.claims["orig"] == {"tn": OWN[1:]}
            assert identity.claims["dest"] == {"tn": [DEST[1:]]}
        records = stirrup.wait_for_records(CALLS)
        assert {record["origid"] for record in records} == {identity.claims["origid"] for identity in identities}


def test_calls_survive_a_worker_that_is_killed_behind_kamailio():
    far_port = free_port()
    with Stirrup() as stirrup, Kamailio(stirrup.port, far_port) as switch:
        far = FarEnd(far_port, 3 * CALLS)
        try:
            time.sleep(0.3)
            near = caller(switch.port, 3 * CALLS)
            for _ in range(3):
                time.sleep(0.7)
                os.kill(stirrup.child("worker 0"), signal.SIGKILL)
                wait_until(lambda: stirrup.answers(), 5, "the next worker")
            near.wait().assert_all(3 * CALLS)
            far.wait().assert_all(3 * CALLS)
        except BaseException:
            print(switch.log())
            raise


def test_what_kamailio_signs_verifies():
    if not glob.glob("/usr/lib/*/kamailio/modules/secsipid.so"):
        raise Skip("Kamailio has no secsipid module here")
    with Inbound() as inbound, Kamailio(
            inbound.stirrup.port, config=CONFIG.with_name("kamailio-sign.cfg"), host=PLAIN, X5U=inbound.x5u,
            KEY=inbound.pki.directory / "alpha.key") as switch, Client(switch.port, server=PLAIN) as client:
        try:
            for i in range(3):
                answer = client.call(call_id=f"{i}@kamailio")
                answer.record = inbound.stirrup.wait_for_record(call_id=f"{i}@kamailio")
                check_passed(answer, attest="B")
        except BaseException:
            print(switch.log())
            raise

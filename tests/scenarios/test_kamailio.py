"""A real switch: Kamailio has its calls signed, and the far end receives an Identity that verifies."""

import contextlib
import glob
import os
import re
import signal
import time

from harness import DEST, OWN, SCENARIOS, Client, Identity, Sipp, Skip, Stirrup, free_port, wait_until
from switches import REDIRECT, Kamailio
from verifying import PLAIN, Inbound, check_passed

CALLS = 20


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
            inbound.stirrup.port, config=REDIRECT.with_name("kamailio-sign.cfg"), host=PLAIN, X5U=inbound.x5u,
            KEY=inbound.pki.directory / "alpha.key") as switch, Client(switch.port, server=PLAIN) as client:
        try:
            for i in range(3):
                answer = client.call(call_id=f"{i}@kamailio")
                answer.record = inbound.stirrup.wait_for_record(call_id=f"{i}@kamailio")
                check_passed(answer, attest="B")
        except BaseException:
            print(switch.log())
            raise

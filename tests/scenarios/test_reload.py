"""A reload changes everything or nothing, and no call notices."""

import os
import re
import signal
import subprocess
import time

from harness import OTHER, ROOT, Client, Identity, Sipp, Stirrup, free_port, wait_until


def attest(stirrup):
    with stirrup.client() as client:
        return Identity(client.call()["Identity"]).claims["attest"]


def test_a_good_reload_changes_the_attestation_and_loses_no_call():
    with Stirrup() as stirrup:
        assert attest(stirrup) == "A"
        # "sign-full-attestation" wants A; "sign-partial" comes from another number, which is B before and after.
        load = Sipp("sign-partial-attestation", stirrup.port, calls=2000, rate=500)
        for level in "BCABA":
            time.sleep(0.5)
            stirrup.write_config(own_numbers=level)
            stirrup.reload()
            wait_until(lambda: attest(stirrup) == level, 5, f"attestation {level} after a reload")
        load.wait().assert_all(2000)


def test_a_reload_is_told_when_all_serve_it():
    with Stirrup(workers=2) as stirrup:
        worker = stirrup.child("worker 1")
        os.kill(worker, signal.SIGSTOP)
        stirrup.reload()
        time.sleep(0.7)
        assert "reloaded: " not in stirrup.log(), stirrup.log()
        os.kill(worker, signal.SIGCONT)
        stirrup.wait_for_log("reloaded: generation 2 serves")
        # One that dies is told of it, too.
        worker = stirrup.child("worker 0")
        os.kill(worker, signal.SIGSTOP)
        stirrup.reload()
        time.sleep(0.7)
        os.kill(worker, signal.SIGKILL)
        stirrup.wait_for_log("reloaded: generation 3 serves")


def test_fifty_reloads_under_load_lose_no_call():
    with Stirrup(workers=2) as stirrup:
        load = Sipp("sign-partial-attestation", stirrup.port, calls=2000, rate=400)
        for i in range(50):
            stirrup.write_config(own_numbers="AB"[i % 2])
            stirrup.reload()
            time.sleep(0.08)
        load.wait().assert_all(2000)
        wait_until(lambda: len(stirrup.children()) == 5, 5, "five children")
        assert attest(stirrup) in "AB"
        records = stirrup.records()
        assert len([record for record in records if record["orig"] == OTHER[1:]]) == 2000


def test_a_bad_file_keeps_the_old_one_and_says_so():
    with Stirrup() as stirrup:
        for text, says in (
                ("sip: { listen = [", "stirrup.conf:"),
                (stirrup.path.read_text().replace('own_numbers = "A"', 'own_numbers = "Z"'), "own_numbers"),
                (stirrup.path.read_text().replace('customer = "acme"', 'customer = "acne"'), "acne"),
                (stirrup.path.read_text().replace("node", "nude"), "nude")):
            before = len(stirrup.log())
            children = stirrup.children()
            stirrup.path.write_text(text)
            stirrup.reload()
            wait_until(lambda: "goes on" in stirrup.log()[before:], 5, "a word about the old configuration")
            assert says in stirrup.log()[before:], stirrup.log()[before:]
            assert attest(stirrup) == "A"
            assert stirrup.children() == children
        stirrup.write_config(own_numbers="B")
        stirrup.reload()
        wait_until(lambda: attest(stirrup) == "B", 5, "the good file")


def test_a_key_that_cannot_be_loaded_keeps_the_old_one():
    """Whether the reload is refused or this credential alone: the calls that were signed before still are, or the
    record has the reason."""
    with Stirrup() as stirrup, stirrup.client() as client:
        key = stirrup.directory / "pki/alpha.key"
        for mode in (0o644, 0o640):
            os.chmod(key, mode)
            stirrup.reload()
            time.sleep(0.7)
            answer = client.call(call_id=f"mode{mode:o}@test")
            if not answer.has("Identity"):
                record = stirrup.wait_for_record(call_id=f"mode{mode:o}@test")
                assert record["reason"] == "credential_refused", record
            assert "alpha.key" in stirrup.log()
        os.chmod(key, 0o600)
        stirrup.reload()
        wait_until(lambda: client.call().has("Identity"), 5, "signatures with the mended key")


def test_a_new_key_signs_after_a_reload():
    with Stirrup() as stirrup, stirrup.client() as client:
        before = Identity(client.call()["Identity"])
        assert before.verifies(stirrup.certificate())
        subprocess.run([ROOT / "tests/pki/make-pki.sh", "--name", "alpha", "--spc", "1234", stirrup.directory / "pki"],
                       check=True)
        stirrup.reload()
        wait_until(lambda: Identity(client.call()["Identity"]).verifies(stirrup.certificate()), 5, "the new key")
        assert not before.verifies(stirrup.certificate())


def test_a_new_listener_serves_after_a_reload_and_an_old_one_no_longer():
    port = free_port()
    with Stirrup() as stirrup:
        def signed_at_new_port():
            with Client(port) as client:
                client.send(client.request())
                answer = client.receive(0.3)
                return answer is not None and answer.has("Identity")

        stirrup.write_config(more_listeners=f', "udp:127.0.0.1:{port}"')
        stirrup.reload()
        wait_until(signed_at_new_port, 5, "an answer at the new listener")
        assert attest(stirrup) == "A"
        stirrup.write_config(more_listeners="")
        stirrup.reload()
        wait_until(lambda: not signed_at_new_port(), 5, "silence at the removed listener")
        assert attest(stirrup) == "A"


def test_a_peer_that_is_removed_meets_silence():
    with Stirrup() as stirrup:
        assert stirrup.answers(1.0, "127.0.0.11")
        stirrup.path.write_text(stirrup.path.read_text().replace('"127.0.0.11"', '"127.0.0.99"'))
        stirrup.reload()
        wait_until(lambda: not stirrup.answers(0.2, "127.0.0.11"), 5, "silence for the removed peer")
        assert stirrup.answers(1.0, "127.0.0.99")


def test_a_reload_while_the_signer_is_stopped_does_not_stop_the_calls():
    with Stirrup() as stirrup, stirrup.client() as client:
        signer = stirrup.child("signer")
        os.kill(signer, signal.SIGSTOP)
        try:
            stirrup.reload()
            assert client.call().status == 302
        finally:
            if stirrup.children().get("signer") == signer:
                os.kill(signer, signal.SIGCONT)
        wait_until(lambda: client.call().has("Identity"), 10, "signatures again")


# ---- what ends by its own date ----


def in_days(days):
    return time.strftime("%Y%m%d%H%M%SZ", time.gmtime(time.time() + days * 86400))


def test_a_certificate_that_is_about_to_expire_is_told_once():
    with Stirrup() as stirrup:
        def told():
            return re.findall(r"signer: (\w+): credential beta: its certificates expire (in \d+ \w+), 2", stirrup.log())

        def replace_beta(days):
            subprocess.run([ROOT / "tests/pki/make-pki.sh", "--name", "beta", "--spc", "5678", "--not-before", in_days(-90),
                            "--not-after", in_days(days), stirrup.directory / "pki"], check=True, timeout=60)

        def reload(generation):
            stirrup.reload()
            stirrup.wait_for_log(f"generation {generation} serves", 8)

        replace_beta(40)
        reload(2)
        assert told() == []
        replace_beta(12.5)
        reload(3)
        wait_until(lambda: told() == [("warning", "in 12 days")], 5, "a warning")
        reload(4)
        replace_beta(0.9)
        reload(5)
        wait_until(lambda: told() == [("warning", "in 12 days"), ("error", "in 21 hours")], 5, "an error")


# These load the machine, or count on nobody else doing so.
for heavy in (test_a_good_reload_changes_the_attestation_and_loses_no_call, test_fifty_reloads_under_load_lose_no_call):
    heavy.alone = True

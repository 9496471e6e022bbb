"""Children die, hang and are replaced; calls go on; keys stay where they belong."""

import os
import re
import signal
import subprocess
import time
from pathlib import Path

from harness import Identity, Sipp, Skip, Stirrup, children_of, is_alive, sipp, wait_until

CALLS = 6000
RATE = 1000


def kill_under_load(name, workers=1, times=3):
    """kill -9 of a child in the middle of the load; returns how long its successor took, in seconds."""
    took = []
    with Stirrup(workers=workers) as stirrup:
        load = Sipp("sign-full-attestation", stirrup.port, calls=CALLS, rate=RATE, seconds=40)
        for _ in range(times):
            time.sleep(1)
            old = stirrup.child(name)
            start = time.monotonic()
            os.kill(old, signal.SIGKILL)
            new = wait_until(lambda: (pid := stirrup.children().get(name)) not in (None, old) and pid, 5,
                             f"a new {name}")
            took.append(time.monotonic() - start)
            assert new != old
        load.wait().assert_all(CALLS)
        assert stirrup.answers(1.0)
        records = stirrup.records()
        assert all(record["result"] == "signed" for record in records)
        print(f"replaced within {max(took) * 1000:.0f} ms; {load.retransmissions} retransmissions, "
              f"{len(records)} records of {CALLS} calls")
        return max(took), len(records)


def test_a_killed_worker_costs_no_call_and_no_signature():
    took, _ = kill_under_load("worker 0")
    assert took < 1.0


def test_a_killed_worker_of_two_costs_no_call():
    took, _ = kill_under_load("worker 1", workers=2)
    assert took < 1.0


def test_a_killed_signer_costs_no_call_and_no_signature():
    took, records = kill_under_load("signer")
    assert took < 1.0
    assert records == CALLS, f"{records} records"


def test_a_killed_recorder_costs_no_call():
    took, records = kill_under_load("recorder")
    assert took < 1.0
    # What the dead one had read but not written is gone; that is a few milliseconds' worth at each kill.
    assert records >= CALLS - 3 * RATE // 10, f"{records} records"


def test_a_stopped_signer_is_answered_for_within_its_deadline():
    with Stirrup() as stirrup, stirrup.client() as client:
        signer = stirrup.child("signer")
        os.kill(signer, signal.SIGSTOP)
        try:
            start = time.monotonic()
            answer = client.call(call_id="late@test")
            took = time.monotonic() - start
            assert answer.status == 302 and not answer.has("Identity"), answer.raw
            assert took < 2.5, f"{took} s"
            record = stirrup.wait_for_record(call_id="late@test")
            assert (record["result"], record["reason"], record["cause"]) == ("unsigned", "signer_timeout", "fault")
        finally:
            if is_alive(signer):
                os.kill(signer, signal.SIGCONT)
        wait_until(lambda: client.call().has("Identity"), 5, "signatures again")


def test_on_error_503_refuses_instead():
    with Stirrup(core='on_error = "503";') as stirrup, stirrup.client() as client:
        signer = stirrup.child("signer")
        os.kill(signer, signal.SIGSTOP)
        try:
            answer = client.call(call_id="late@test")
            assert answer.status == 503 and not answer.has("Retry-After"), answer.raw
        finally:
            if is_alive(signer):
                os.kill(signer, signal.SIGCONT)


def test_cancel_of_a_call_that_waits_ends_it_with_487():
    with Stirrup() as stirrup, stirrup.client() as client:
        signer = stirrup.child("signer")
        os.kill(signer, signal.SIGSTOP)
        try:
            invite = client.request(call_id="waits@test", branch="z9hG4bKwaits")
            client.send(invite)
            time.sleep(0.05)
            client.send(client.request("CANCEL", call_id="waits@test", branch="z9hG4bKwaits"))
            answers = {answer["CSeq"]: answer for answer in (client.receive(), client.receive())}
            assert answers["1 CANCEL"].status == 200
            assert answers["1 INVITE"].status == 487
            client.acknowledge(invite, answers["1 INVITE"])
            record = stirrup.wait_for_record(call_id="waits@test")
            assert (record["reason"], record["final_status"]) == ("cancelled", 487)
        finally:
            if is_alive(signer):
                os.kill(signer, signal.SIGCONT)


def private_scalar(key_file):
    text = subprocess.run(["openssl", "pkey", "-in", key_file, "-noout", "-text"], capture_output=True, text=True,
                          check=True, timeout=20).stdout
    scalar = bytes.fromhex(re.search(r"priv:\s*((?:[0-9a-f]{2}:?\s*)+)", text).group(1).translate(
        {ord(c): None for c in ": \n"}))
    return scalar.rjust(32, b"\0")[-32:]


def memory_has(pid, needles):
    """Which of the needles are in the readable memory of a process."""
    found = set()
    with open(f"/proc/{pid}/mem", "rb", 0) as memory:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            place, mode = line.split()[:2]
            if "r" not in mode or "[v" in line:
                continue
            start, end = (int(part, 16) for part in place.split("-"))
            tail = b""
            while start < end:
                try:
                    memory.seek(start)
                    piece = memory.read(min(end - start, 1 << 20))
                except (OSError, OverflowError, ValueError):
                    break
                if not piece:
                    break
                found |= {name for name, needle in needles.items() if needle in tail + piece}
                tail = piece[-64:]
                start += len(piece)
    return found


def test_the_private_key_is_in_the_memory_of_the_signer_alone():
    if os.geteuid() != 0:
        raise Skip("reading other processes' memory needs root")
    with Stirrup(workers=2) as stirrup, stirrup.client() as client:
        for _ in range(20):
            assert client.call().has("Identity")
        stirrup.reload()
        wait_until(lambda: client.call().has("Identity"), 5, "signatures after the reload")
        key = stirrup.directory / "pki/alpha.key"
        scalar = private_scalar(key)
        # As OpenSSL's big numbers hold it, as the file says it, and the text of the file.
        needles = {"big-endian": scalar, "little-endian": scalar[::-1], "file": key.read_bytes().splitlines()[1]}
        children = stirrup.children()
        signer = children.pop("signer")
        assert {"worker 0", "worker 1", "recorder"} <= set(children), children
        for name, pid in {"supervisor": stirrup.pid, **children}.items():
            found = memory_has(pid, needles)
            assert not found, f"{name} has the key: {found}"
        assert memory_has(signer, needles), "the scan does not even see it in the signer"


def test_the_private_key_is_opened_by_the_signer_alone_and_kept_out_of_cores():
    with Stirrup() as stirrup:
        signer = stirrup.child("signer")
        limits = Path(f"/proc/{signer}/limits").read_text()
        core = re.search(r"Max core file size\s+(\d+|unlimited)\s+(\d+|unlimited)", limits)
        assert core.group(1) == "0", core.group(0)
        for fd in Path(f"/proc/{signer}/fd").iterdir():
            try:
                assert not os.readlink(fd).endswith(".key"), os.readlink(fd)
            except FileNotFoundError:
                pass


def test_the_children_are_one_of_each():
    with Stirrup(workers=2) as stirrup:
        wait_until(lambda: sorted(stirrup.children()) == ["fetcher", "recorder", "signer", "worker 0", "worker 1"], 5,
                   f"exactly two workers, a signer, a fetcher and a recorder, not {sorted(stirrup.children())}")


def test_nothing_is_left_behind_after_a_stop():
    with Stirrup() as stirrup:
        children = children_of(stirrup.pid)
        stirrup.stop()
        wait_until(lambda: not any(is_alive(pid) for pid in children), 3, "the end of all children")


def test_children_end_when_the_supervisor_is_killed():
    with Stirrup() as stirrup:
        children = children_of(stirrup.pid)
        stirrup.process.kill()
        stirrup.process.wait()
        wait_until(lambda: not any(is_alive(pid) for pid in children), 3, "the end of all children")
        stirrup.stopped_cleanly = True


def test_a_stop_under_load_answers_what_is_in_hand():
    with Stirrup() as stirrup:
        load = Sipp("sign-full-attestation", stirrup.port, calls=500, rate=500, options=("-nr", "-recv_timeout", "500"))
        time.sleep(0.5)
        stirrup.stop()
        load.wait()
        assert load.successful > 50
        # Each call that had an answer has a record.
        assert len(stirrup.records()) >= load.successful


def test_an_origid_is_the_same_after_a_restart():
    """It is a keyed hash of the call, with the installation's secret."""
    with Stirrup() as stirrup:
        with stirrup.client() as client:
            invite = client.request(call_id="same@test", branch="z9hG4bKsame", via="SIP/2.0/UDP 127.0.0.1:5099;rport;"
                                    "branch=z9hG4bKsame")
            first = client.ask(invite)
            os.kill(stirrup.child("worker 0"), signal.SIGKILL)
            wait_until(lambda: stirrup.answers(), 5, "the next worker")
            second = client.ask(invite)
        assert first["To"] == second["To"]
        one, two = (Identity(answer["Identity"]).claims["origid"] for answer in (first, second))
        assert one == two


def resident_kib(pid):
    return int(re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text()).group(1))


def test_the_memory_of_a_worker_does_not_grow_with_calls():
    with Stirrup(sip=' answer_memo = "1M";') as stirrup:
        worker = stirrup.child("worker 0")
        sizes = []
        for scenario, transport in (("sign-full-attestation", "u1"), ("tcp", "t1")) * 3:
            sipp(scenario, stirrup.port, calls=4000, rate=2000, transport=transport, seconds=40).assert_all(4000)
            sizes.append(resident_kib(worker))
        print(f"KiB after every 4000 calls: {sizes}")
        # A burst may cost buffers once; 2 MiB in the last 16000 calls would be 130 octets a call.
        assert sizes[5] - sizes[1] < 2048, sizes


def test_sipp_itself_sees_no_failure_without_faults():
    """The measure that the tests above rely on."""
    with Stirrup() as stirrup:
        sipp("sign-full-attestation", stirrup.port, calls=500, rate=500).assert_all(500)


# These load the machine, or count on nobody else doing so.
for heavy in (test_a_killed_worker_costs_no_call_and_no_signature, test_a_killed_worker_of_two_costs_no_call, test_a_killed_signer_costs_no_call_and_no_signature, test_a_killed_recorder_costs_no_call, test_a_stop_under_load_answers_what_is_in_hand, test_the_memory_of_a_worker_does_not_grow_with_calls, test_sipp_itself_sees_no_failure_without_faults):
    heavy.alone = True

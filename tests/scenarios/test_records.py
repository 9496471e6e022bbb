"""Whatever happens to the records: no call notices, and the records recover by themselves."""

import os
import subprocess
import time

from harness import STIRRUPD, Sipp, Skip, Stirrup, die_with_parent, sipp, wait_until


def test_a_full_disk_costs_records_and_no_call():
    with Stirrup(records="/dev/full") as stirrup:
        sipp("sign-full-attestation", stirrup.port, calls=1000, rate=500).assert_all(1000)
        stirrup.wait_for_log("No space left on device")
        # Once a second at most: 1000 lost records are not 1000 lines.
        assert stirrup.log().count("No space left") <= 10


def test_a_disk_that_was_full_is_written_again_with_whole_lines():
    with Stirrup(records="small/calls.jsonl") as stirrup:
        small = stirrup.directory / "small"
        stirrup.stop()
        stirrup.stopped_cleanly = None
        small.mkdir(exist_ok=True)
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", small], capture_output=True, check=False)
        if done.returncode != 0:
            raise Skip("mounting a small file system is not allowed here")
        try:
            stirrup.start()
            sipp("sign-full-attestation", stirrup.port, calls=500, rate=500).assert_all(500)
            stirrup.wait_for_log("No space left on device")
            kept = len(stirrup.records())  # each line is whole
            assert 0 < kept < 500
            stirrup.records_path.rename(small / "old")
            (small / "old").unlink()
            time.sleep(1.5)
            sipp("sign-full-attestation", stirrup.port, calls=20, rate=100).assert_all(20)
            stirrup.wait_for_records(20)
            stirrup.stop()
        finally:
            subprocess.run(["umount", "-l", small], check=False)


def test_a_fifo_that_nobody_reads_costs_no_call_and_no_stop():
    with Stirrup(records="fifo") as stirrup:
        stirrup.stop()
        stirrup.stopped_cleanly = None
        stirrup.records_path.unlink(missing_ok=True)
        os.mkfifo(stirrup.records_path)
        stirrup.start()
        sipp("sign-full-attestation", stirrup.port, calls=500, rate=500).assert_all(500)
        # A reader that opens and hangs: the pipe fills, still nobody waits.
        reader = os.open(stirrup.records_path, os.O_RDONLY | os.O_NONBLOCK)
        try:
            sipp("sign-full-attestation", stirrup.port, calls=1500, rate=500).assert_all(1500)
            start = time.monotonic()
            stirrup.stop()
            assert time.monotonic() - start < 5
        finally:
            os.close(reader)


def test_a_renamed_file_is_begun_anew_and_nothing_is_lost():
    with Stirrup() as stirrup:
        old = stirrup.directory / "calls.jsonl.1"
        load = Sipp("sign-full-attestation", stirrup.port, calls=1500, rate=500)
        time.sleep(1)
        stirrup.records_path.rename(old)
        load.wait().assert_all(1500)
        time.sleep(1.2)
        total = len(stirrup.records())
        assert total > 0
        stirrup.records_path = old
        assert len(stirrup.records()) + total == 1500


def test_a_reload_writes_to_another_file():
    with Stirrup() as stirrup, stirrup.client() as client:
        client.call()
        stirrup.wait_for_records(1)
        stirrup.write_config(records="other.jsonl")
        stirrup.records_path = stirrup.directory / "other.jsonl"
        stirrup.reload()
        wait_until(stirrup.records_path.exists, 5, "the other file")
        wait_until(lambda: client.call() and stirrup.records(), 5, "records in the other file")


def test_records_are_not_readable_by_everyone():
    with Stirrup() as stirrup, stirrup.client() as client:
        client.call()
        stirrup.wait_for_records(1)
        assert stirrup.records_path.stat().st_mode & 0o027 == 0


def test_a_directory_that_does_not_exist_costs_no_call():
    with Stirrup(records="nowhere/calls.jsonl") as stirrup, stirrup.client() as client:
        assert client.call().has("Identity")
        stirrup.wait_for_log("nowhere/calls.jsonl")
        (stirrup.directory / "nowhere").mkdir()
        time.sleep(1.5)
        client.call()
        stirrup.wait_for_records(1)


def test_a_hung_log_reader_stops_no_call():
    """Standard error is a pipe that nobody empties."""
    with Stirrup() as stirrup:
        stirrup.stop()
        stirrup.stopped_cleanly = None
        read_end, write_end = os.pipe()
        os.set_blocking(write_end, False)
        try:
            while True:
                os.write(write_end, b"x" * 4096)
        except BlockingIOError:
            pass
        os.set_blocking(write_end, True)
        stirrup.process = subprocess.Popen([STIRRUPD, "-f", stirrup.path], stdin=subprocess.DEVNULL, stdout=write_end,
                                           stderr=write_end, cwd=stirrup.directory, preexec_fn=die_with_parent)
        os.close(write_end)
        try:
            wait_until(stirrup.answers, 10, "an answer to OPTIONS")
            for _ in range(3):
                stirrup.path.write_text("nonsense")
                stirrup.reload()
                sipp("sign-full-attestation", stirrup.port, calls=100, rate=500).assert_all(100)
            stirrup.stop()
        finally:
            os.close(read_end)

"""Kamailio as the switch beside Stirrup."""

import shutil
import subprocess
import tempfile
from pathlib import Path

from harness import ROOT, Client, die_with_parent, free_port, wait_until

REDIRECT = ROOT / "tests/scenarios/kamailio-redirect.cfg"
IN_FRONT = ROOT / "conf/kamailio/in-front.cfg"
BEHIND = ROOT / "conf/kamailio/behind.cfg"


class Kamailio:
    """Kamailio with its own port and directory; ended by its process id. Constants become its -A NAME="VALUE"."""

    def __init__(self, stirrup_port, next_hop_port=0, config=REDIRECT, host="127.0.0.1", next_hop_host="127.0.0.1", port=0,
                 megabytes=16, **constants):
        self.port = port or free_port()
        self.host = host
        self.directory = Path(tempfile.mkdtemp(prefix="kamailio-"))
        self.command = [
            shutil.which("kamailio") or "/usr/sbin/kamailio", "-f", config, "-DD", "-E", "-m", str(megabytes), "-M", "4",
            "-Y", self.directory, "-P", self.directory / "pid", "-w", self.directory,
            "-A", f"SWITCH=udp:{host}:{self.port}", "-A", f'STIRRUP="sip:127.0.0.1:{stirrup_port}"',
            "-A", f'NEXT_HOP="sip:{next_hop_host}:{next_hop_port}"',
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

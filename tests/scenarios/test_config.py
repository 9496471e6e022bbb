"""stirrupd -t says everything that is wrong, at once, and what the daemon would do."""

import os
import subprocess
import tempfile
import time
from pathlib import Path

from harness import BUILD, DEFAULT_CONFIG, ROOT, STIRRUPCTL, STIRRUPD, Identity, Stirrup, free_port, make_pki


class Directory:
    """A directory with keys and a configuration that is good."""

    def __init__(self):
        self.temporary = tempfile.TemporaryDirectory(prefix="stirrup-config-")
        self.path = Path(self.temporary.name)
        self.file = self.path / "stirrup.conf"

    def __enter__(self):
        make_pki(self.path / "pki")
        self.good = DEFAULT_CONFIG.format(port=free_port(), workers=1, records="calls.jsonl", sip="", core="", more="",
                                          more_listeners="", own_numbers="A")
        self.file.write_text(self.good)
        return self

    def __exit__(self, *_):
        self.temporary.cleanup()

    def check(self, text=None, *replacements):
        """Runs stirrupd -t; returns its status and what it says."""
        text = self.good if text is None else text
        for old, new in replacements:
            assert old in text, old
            text = text.replace(old, new, 1)
        self.file.write_text(text)
        done = subprocess.run([STIRRUPD, "-t", "-f", self.file], capture_output=True, text=True, timeout=20, check=False)
        return done.returncode, done.stdout + done.stderr


def test_a_good_file_is_good():
    with Directory() as directory:
        status, said = directory.check()
        assert status == 0, said
        assert "error" not in said, said


def test_every_mistake_is_said_at_once_with_file_line_and_setting():
    with Directory() as directory:
        status, said = directory.check(
            None, ("workers = 1", "wokers = 1"), ('own_numbers = "A"', 'own_numbers = "Z"'),
            ('customer = "strict"', 'customer = "nobody"'), ('other_numbers = "unsigned"', 'other_numbers = "A"'),
            ('spc = "5678"', "spc = 5678"), ('"127.0.0.14"', '"127.0.0.1400"'), ('"+1215556*"', '"1215556*"'))
        assert status == 1
        lines = [line for line in said.splitlines() if "stirrup.conf:" in line]
        for part in ("wokers", "own_numbers", "nobody", "other_numbers", "spc", "127.0.0.1400", "1215556*"):
            assert any(part in line for line in lines), f"{part}: {said}"
        assert "workers" in said, "no hint for wokers: " + said


def test_the_line_is_the_right_one():
    with Directory() as directory:
        status, said = directory.check(None, ("workers = 1", 'workers = "one"'))
        number = directory.file.read_text().splitlines().index('  workers = "one";') + 1
        assert status == 1
        assert f"stirrup.conf:{number}:" in said, said


def test_broken_files_are_refused_and_never_crash():
    broken = ["sip", "sip:", "sip: {", "}", '"', "/*", "sip: { listen = 5; };", "peers = 1;",
              "peers = ( 1, 2 );", "peers = ( { } );", "customers = ( { name = 5; } );", "@include \"/etc/passwd\"\n",
              "sip: { workers = 99999999999999999999; };", "sip: { workers = -1; };", "x" * 100000, "(" * 10000,
              "sip: {" * 1000, "\0", "\xff\xfe", "sip: { listen = [ 1, \"a\" ]; };", "a = 1; a = 2;"]
    with Directory() as directory:
        for text in broken:
            status, said = directory.check(text)
            assert status == 1, f"{text[:60]!r}: status {status}: {said[:500]}"
            assert "stirrup.conf" in said, f"{text[:60]!r}: {said[:500]}"
        for length in range(0, len(directory.good), 97):
            status, said = directory.check(directory.good[:length])
            assert status in (0, 1) and said, f"cut at {length}: status {status}: {said}"


def test_keys_and_certificates_are_checked_too():
    with Directory() as directory:
        pki = directory.path / "pki"
        assert directory.check()[0] == 0
        os.chmod(pki / "alpha.key", 0o644)
        (pki / "beta.pem").write_text("nothing")
        status, said = directory.check()
        assert status == 1
        assert "alpha.key" in said and "beta.pem" in said, said
        os.chmod(pki / "alpha.key", 0o600)
        make_pki(pki)
        status, said = directory.check(None, ("pki/alpha.key", "pki/beta.key"))
        assert status == 1 and "beta.key" in said, said
        status, said = directory.check(None, ('spc = "1234"', 'spc = "9999"'))
        assert status == 1 and "9999" in said, said


def test_no_check_ever_prints_a_key():
    with Directory() as directory:
        key = (directory.path / "pki/alpha.key").read_text()
        status, said = directory.check(None, ("pki/alpha.pem", "pki/alpha.key"))
        assert status == 1
        for line in key.splitlines()[1:-1]:
            assert line not in said


def test_the_check_takes_no_port_and_writes_nothing():
    with Stirrup() as stirrup:
        before = sorted(path.name for path in stirrup.directory.iterdir())
        done = subprocess.run([STIRRUPD, "-t", "-f", stirrup.path], capture_output=True, text=True, timeout=20, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert sorted(path.name for path in stirrup.directory.iterdir()) == before


def test_a_thousand_customers_are_checked_in_no_time():
    many = "".join(f'  {{ name = "c{i}"; credential = "alpha"; numbers = ( "+1303{i:07}" ); own_numbers = "A"; '
                   f'other_numbers = "B"; }},\n' for i in range(1000))
    with Directory() as directory:
        start = time.monotonic()
        status, said = directory.check(None, ("customers = (\n", "customers = (\n" + many))
        took = time.monotonic() - start
        assert status == 0, said[:2000]
        assert took < 2.0, f"{took:.2f} s"
        print(f"{took * 1000:.0f} ms")


def test_a_daemon_does_not_start_with_a_bad_file():
    with Directory() as directory:
        directory.check(None, ("workers = 1", "wokers = 1"))
        done = subprocess.run([STIRRUPD, "-f", directory.file], capture_output=True, text=True, timeout=20, check=False)
        assert done.returncode == 1, done.returncode
        assert "wokers" in done.stdout + done.stderr


def test_a_port_in_use_is_an_error_and_not_a_crash():
    with Stirrup() as stirrup:
        done = subprocess.run([STIRRUPD, "-f", stirrup.path], capture_output=True, text=True, timeout=20, check=False)
        assert done.returncode == 1, done.returncode
        assert "Address already in use" in done.stderr, done.stderr
        assert stirrup.answers(1.0)


def test_unknown_options_are_a_usage_error():
    for arguments in (["-x"], ["--nonsense"], ["-f"], ["surplus"]):
        assert subprocess.run([STIRRUPD, *arguments], capture_output=True, timeout=20, check=False).returncode == 2
    done = subprocess.run([STIRRUPD, "-h"], capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 0 and "-f FILE" in done.stdout


def test_the_sample_can_be_read():
    """All of the sample's settings are known and in range; its key files do not exist here, and only they are missing."""
    sample = ROOT / "conf/stirrup.conf.sample"
    done = subprocess.run([STIRRUPD, "-t", "-f", sample], capture_output=True, text=True, timeout=20, check=False)
    errors = [line for line in (done.stdout + done.stderr).splitlines() if line.startswith("error:")]
    assert all("No such file" in line for line in errors), "\n".join(errors)


def test_conf_d_is_read():
    with Directory() as directory:
        (directory.path / "conf.d").mkdir()
        addition = directory.path / "conf.d/10-wrong.conf"
        addition.write_text('signer: { deadline = "9h"; };\n')
        status, said = directory.check()
        assert status == 1
        assert "10-wrong.conf:1" in said and "deadline" in said, said
        addition.write_text('signer: { deadline = "500ms"; };\n')
        assert directory.check()[0] == 0


def test_stirrupctl_decodes_what_stirrupd_signs():
    with Stirrup() as stirrup, stirrup.client() as client:
        identity = client.call()["Identity"]
        done = subprocess.run([STIRRUPCTL, "decode"], input=identity, capture_output=True, text=True, timeout=20, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        claims = Identity(identity).claims
        for part in (claims["origid"], claims["orig"]["tn"], claims["dest"]["tn"][0], str(claims["iat"]), "alpha.pem"):
            assert part in done.stdout, done.stdout


def test_the_version_is_said():
    done = subprocess.run([BUILD / "stirrupd", "-V"], capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 0 and done.stdout.startswith("stirrup "), done

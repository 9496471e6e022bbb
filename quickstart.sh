#!/bin/sh
# From a checkout to a signed call, on loopback, in one command: installs what is missing (apt-get), builds in build/,
# makes a throw-away PKI and a configuration in a temporary directory, starts stirrupd, sends it a call with SIPp, and
# shows the answer, the PASSporT in it, and that an independent implementation verifies it. Leaves nothing running.
set -eu
cd "$(dirname "$0")"
. scripts/build.sh

# shellcheck disable=SC2086
install_packages $PACKAGES_BUILD $PACKAGES_CALL
build build

top=$PWD
dir=$(mktemp -d)
daemon=

clean_up()
{
	if [ -n "$daemon" ]; then
		kill "$daemon" 2>/dev/null || true
		wait "$daemon" 2>/dev/null || true
	fi
	rm -rf "$dir"
}
trap clean_up EXIT
trap 'exit 1' INT TERM

write_config()
{
	cat >"$dir/stirrup.conf" <<END
sip: { listen = [ "udp:127.0.0.1:$1" ]; secret_file = "secret"; };
credentials = ( { name = "alpha"; certificate = "pki/alpha.pem"; private_key = "pki/alpha.key";
                  x5u = "https://certs.example.net/alpha.pem"; spc = "1234"; } );
customers = ( { name = "acme"; credential = "alpha"; numbers = ( "+12155551212" );
                own_numbers = "A"; other_numbers = "B"; } );
peers = ( { name = "switch"; addresses = [ "127.0.0.1" ]; customer = "acme"; country_code = "1"; } );
records: { file = "calls.jsonl"; };
END
}

# sipp_call SCENARIO: one call; what SIPp sends and receives is in $dir/messages.
sipp_call()
{
	(cd "$dir" && sipp -sf "$top/sipp-scenarios/$1/scenario.xml" -i 127.0.0.1 -m 1 -nostdin -timeout 5s -timeout_error \
		-trace_msg -message_file messages "127.0.0.1:$port") >"$dir/sipp.out" 2>&1
}

# A port that is taken ends the daemon at once; then the next one is tried.
start()
{
	for port in 15060 15160 15260 15360 15460; do
		write_config $port
		build/stirrupd -f "$dir/stirrup.conf" 2>"$dir/log" &
		daemon=$!
		for _ in 1 2 3 4 5 6 7 8 9 10; do
			kill -0 "$daemon" 2>/dev/null || break
			sipp_call options && return 0
			sleep 0.2
		done
		kill "$daemon" 2>/dev/null || true
		wait "$daemon" 2>/dev/null || true
		daemon=
	done
	cat "$dir/log" >&2
	die "stirrupd does not start"
}

say "Making a throw-away PKI"
tests/pki/make-pki.sh "$dir/pki"
openssl verify -CAfile "$dir/pki/root.pem" -untrusted "$dir/pki/intermediate.pem" "$dir/pki/alpha.pem" |
	sed "s|$dir/||"

say "Starting stirrupd with this configuration"
start
cat "$dir/stirrup.conf"

say "Sending a call from +12155551212 to +12155551213"
sipp_call sign-full-attestation || {
	cat "$dir/sipp.out" "$dir/log" >&2
	die "the call did not get the answer that the scenario wants"
}
tr -d '\r' <"$dir/messages" | sed -n '/^SIP\/2.0 302/,/^$/p' >"$dir/answer"
cat "$dir/answer"

say "The PASSporT in it (stirrupctl decode)"
sed -n 's/^Identity: *//p' "$dir/answer" >"$dir/identity"
build/stirrupctl decode "$dir/identity"

say "Verified by secsipidx, which shares no code with Stirrup"
printf '%s' "$(cat "$dir/identity")" >"$dir/identity"
secsipidx -check -fidentity "$dir/identity" -fpubkey "$dir/pki/alpha.pem" -expire 60

say "The record of the call"
for _ in 1 2 3 4 5 6 7 8 9 10; do
	[ -s "$dir/calls.jsonl" ] && break
	sleep 0.2
done
cat "$dir/calls.jsonl"

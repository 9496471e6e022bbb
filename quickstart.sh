#!/bin/sh
# From a checkout to a signed and a verified call, on loopback, in one command: installs what is missing (apt-get), builds in
# build/, makes a throw-away PKI and a configuration in a temporary directory, starts stirrupd, sends it a call with SIPp,
# and shows the answer, the PASSporT in it, and that an independent implementation verifies it; then sends the signed call
# back as an inbound one, and once more with a forged signature; then calls that go on to a called party, by mode "forward"
# and by mode "b2bua", and what arrives there. Leaves nothing running.
set -eu
cd "$(dirname "$0")"
. scripts/build.sh

# shellcheck disable=SC2086
install_packages $PACKAGES_BUILD $PACKAGES_CALL
build build

top=$PWD
dir=$(mktemp -d)
daemon=
host=
callee=

end()
{
	[ -n "$1" ] || return 0
	kill "$1" 2>/dev/null || true
	wait "$1" 2>/dev/null || true
}

clean_up()
{
	end "$callee"
	end "$daemon"
	end "$host"
	rm -rf "$dir"
}
trap clean_up EXIT
trap 'exit 1' INT TERM

write_config()
{
	cat >"$dir/stirrup.conf" <<END
sip: { listen = [ "udp:127.0.0.1:$1" ]; secret_file = "secret"; probe_interval = "0s"; };
credentials = ( { name = "alpha"; certificate = "pki/alpha.pem"; private_key = "pki/alpha.key";
                  x5u = "https://localhost:$2/alpha.pem"; spc = "1234"; } );
customers = ( { name = "acme"; credential = "alpha"; numbers = ( "+12155551212" );
                own_numbers = "A"; other_numbers = "B"; } );
trust = ( { name = "lab"; anchors = "pki/root.pem"; } );
verification: { fetch: { tls_ca = "web.pem"; allow_addresses = [ "127.0.0.0/8", "::1/128" ]; allow_ports = [ $2 ]; }; };
peers = ( { name = "switch"; addresses = [ "127.0.0.1" ]; service = "sign"; mode = "redirect";
            customer = "acme"; country_code = "1"; },
          { name = "inbound"; addresses = [ "127.0.0.2" ]; service = "verify"; mode = "redirect"; country_code = "1"; },
          { name = "proxied"; addresses = [ "127.0.0.31" ]; service = "sign"; mode = "forward"; next_hop = "sip:127.0.0.61:$1";
            customer = "acme"; country_code = "1"; },
          { name = "two-legs"; addresses = [ "127.0.0.32" ]; service = "sign"; mode = "b2bua"; next_hop = "sip:127.0.0.61:$1";
            customer = "acme"; country_code = "1"; } );
dialogs: { store = "dialogs"; };
records: { file = "calls.jsonl"; };
END
}

# sipp_call SCENARIO [ADDRESS [IDENTITY]]: one call; what SIPp sends and receives is in $dir/messages.
sipp_call()
{
	(cd "$dir" && sipp -sf "$top/sipp-scenarios/$1/scenario.xml" -i "${2:-127.0.0.1}" -key identity "${3:-}" -m 1 -nostdin -timeout 5s -timeout_error \
		-trace_msg -message_file messages "127.0.0.1:$port") >"$dir/sipp.out" 2>&1
}

# sent_on SCENARIO ADDRESS: a whole call that goes on to a called party on 127.0.0.61; prints the head of the INVITE that
# arrives there.
sent_on()
{
	rm -f "$dir/arrived"
	(cd "$dir" && exec sipp -sf "$top/sipp-scenarios/$1/uas.xml" -i 127.0.0.61 -p "$port" -m 1 -nostdin -timeout 15s -timeout_error \
		-trace_msg -message_file arrived) >"$dir/callee.out" 2>&1 &
	callee=$!
	sleep 1
	if (cd "$dir" && sipp -sf "$top/sipp-scenarios/$1/uac.xml" -i "$2" -m 1 -nostdin -timeout 10s -timeout_error "127.0.0.1:$port") \
		>"$dir/sipp.out" 2>&1 && wait "$callee"; then
		callee=
	else
		cat "$dir/callee.out" "$dir/sipp.out" "$dir/log" >&2
		die "the call was not set up and ended as the scenario wants"
	fi
	tr -d '\r' <"$dir/arrived" | sed -n '/^INVITE /,/^$/p'
}

# A port that is taken ends the daemon at once; then the next one is tried.
start()
{
	for port in 15060 15160 15260 15360 15460; do
		write_config $port "$web_port"
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

# The certificate repository: what an x5u points to.
start_host()
{
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 -subj /CN=localhost \
		-addext subjectAltName=DNS:localhost -keyout "$dir/web.key" -out "$dir/web.pem" 2>/dev/null
	for web_port in 15443 15543 15643 15743 15843; do
		(cd "$dir/pki" && exec openssl s_server -quiet -WWW -accept "$web_port" -cert ../web.pem -key ../web.key) \
			>/dev/null 2>&1 &
		host=$!
		sleep 0.5
		kill -0 "$host" 2>/dev/null && return 0
	done
	die "no port is free for the certificate repository"
}

answer()
{
	tr -d '\r' <"$dir/messages" | sed -n '/^SIP\/2.0 302/,/^$/p'
}

call()
{
	sipp_call "$@" || {
		cat "$dir/sipp.out" "$dir/log" >&2
		die "the call did not get the answer that the scenario wants"
	}
}

say "Starting stirrupd with this configuration"
start_host
start
cat "$dir/stirrup.conf"

say "Sending a call from +12155551212 to +12155551213"
call sign-full-attestation
answer >"$dir/answer"
cat "$dir/answer"

say "The PASSporT in it (stirrupctl decode)"
sed -n 's/^Identity: *//p' "$dir/answer" >"$dir/identity"
build/stirrupctl decode "$dir/identity"

say "Verified by secsipidx, which shares no code with Stirrup"
printf '%s' "$(cat "$dir/identity")" >"$dir/identity"
secsipidx -check -fidentity "$dir/identity" -fpubkey "$dir/pki/alpha.pem" -expire 60

say "The same call comes in, as to the terminating provider: verified"
rm -f "$dir/messages"
call verify-passed 127.0.0.2 "$(cat "$dir/identity")"
answer | grep -v '^Identity'

say "And once more with a forged signature: failed"
forged=$(sed 's/^\([^.]*\.[^.]*\.\)Q/\1R/; t; s/^\([^.]*\.[^.]*\.\)./\1Q/' "$dir/identity")
rm -f "$dir/messages"
call verify-bad-signature 127.0.0.2 "$forged"
answer | grep -v '^Identity'

say "A call by mode \"forward\": the INVITE at the called party, with our Identity, our Record-Route, our Via above the caller's"
sent_on forward-basic 127.0.0.31

say "The same by mode \"b2bua\": our Via alone, our address in the caller's Contact"
sent_on b2bua-basic 127.0.0.32

say "The records of the calls"
for _ in 1 2 3 4 5 6 7 8 9 10; do
	[ "$(wc -l <"$dir/calls.jsonl")" -ge 5 ] && break
	sleep 0.2
done
cat "$dir/calls.jsonl"

# shellcheck shell=sh disable=SC2034
# What quickstart.sh, check.sh and .ci/run share: which packages are needed, and how the tree is built. Sourced, with
# the top of the tree as the working directory.

PACKAGES_BUILD="autoconf automake gcc libc6-dev make pkg-config
	libc-ares-dev libconfig-dev libcurl4-openssl-dev libjansson-dev liblmdb-dev libsofia-sip-ua-dev libssl-dev"
# SIPp calls, secsipidx verifies, openssl makes the throw-away PKI.
PACKAGES_CALL="openssl secsipidx sip-tester"
PACKAGES_TEST="kamailio kamailio-secsipid-modules libcmocka-dev python3"
PACKAGES_CI="cppcheck mandoc shellcheck"

say()
{
	printf '\n== %s\n' "$*"
}

die()
{
	printf '%s: %s\n' "${0##*/}" "$*" >&2
	exit 1
}

as_root()
{
	if [ "$(id -u)" = 0 ]; then
		"$@"
	elif command -v sudo >/dev/null; then
		sudo "$@"
	else
		die "neither root nor sudo: please install by hand: $missing"
	fi
}

# Nothing is asked of apt when nothing is missing. A service that a package brings (Kamailio's) is not started: this
# machine did not ask for one.
install_packages()
{
	missing=
	for package in "$@"; do
		status=$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null) || status=
		[ "$status" = installed ] || missing="$missing $package"
	done
	[ -n "$missing" ] || return 0
	say "Installing by apt-get:$missing"
	policy=/usr/sbin/policy-rc.d
	if [ -e $policy ]; then
		policy=
	else
		# shellcheck disable=SC2016
		as_root sh -c 'printf "#!/bin/sh\nexit 101\n" >"$1" && chmod 755 "$1"' sh $policy
	fi
	installed=yes
	# shellcheck disable=SC2086
	{
		as_root apt-get -qq -o DPkg::Lock::Timeout=300 update &&
			as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o DPkg::Lock::Timeout=300 \
				-o Dpkg::Use-Pty=0 install --no-install-recommends $missing
	} >&2 || installed=no
	[ -z "$policy" ] || as_root rm -f "$policy"
	[ $installed = yes ] || die "apt-get failed"
}

# build DIR [CONFIGURE OPTION]...: configures and makes in DIR, apart from the sources.
build()
{
	directory=$1
	shift
	say "Building in $directory${*:+ ($*)}"
	if [ -e config.status ]; then
		# A build in the sources themselves hinders all others (automake).
		make -s distclean
	fi
	[ -e configure ] || autoreconf -i
	mkdir -p "$directory"
	(
		cd "$directory" || exit
		if [ ! -e Makefile ] || [ "$(cat configured)" != "$*" ]; then
			../configure -q "$@"
			echo "$*" >configured
		fi
		make -s -j "$(nproc)"
	)
}

# unit_tests DIR: "make check" there; adds its numbers to $passed and $failed.
unit_tests()
{
	# Published certificates and tokens that are not part of the tree: tests that want them skip without.
	[ ! -d ../shared/corpus ] || export STIRRUP_SHARED="$PWD/../shared"
	say "Unit tests in $1"
	check_programs "$1"
}

# fuzzers DIR: each for a moment; DIR is a build with --enable-fuzzing.
fuzzers()
{
	say "Fuzzers in $1"
	check_programs "$1/tests/fuzz"
}

# check_programs DIR: "make check" in this directory alone.
check_programs()
{
	find "$1" -name '*.trs' -exec rm -f {} +
	(cd "$1" && make -s -k check SUBDIRS=.) || true
	results=$(mktemp)
	find "$1" -name '*.trs' >"$results"
	if [ ! -s "$results" ]; then
		echo "no test ran" >&2
		failed=$((failed + 1))
	fi
	while read -r trs; do
		count_program "${trs%.trs}.log" "$(sed -n 's/^:test-result: //p' "$trs")"
	done <"$results"
	rm -f "$results"
}

# count_program LOG RESULT: the numbers are cmocka's, or those of a line "N passed, N failed".
count_program()
{
	ok=$(sed -n -e 's/^\[  PASSED  \] \([0-9]*\) test(s).*/\1/p' -e 's/^\([0-9]*\) passed, [0-9]* failed$/\1/p' "$1" | tail -n 1)
	bad=$(sed -n -e 's/^\[  FAILED  \] \([0-9]*\) test(s).*/\1/p' -e 's/^[0-9]* passed, \([0-9]*\) failed$/\1/p' "$1" | tail -n 1)
	case $2 in
	PASS) ;;
	*)
		cat "$1"
		# A crash or a sanitizer's report is a failure though no test says so.
		[ "${bad:-0}" -gt 0 ] || bad=1
		;;
	esac
	passed=$((passed + ${ok:-0}))
	failed=$((failed + ${bad:-0}))
}

# scenarios DIR [FILTER]...: runs them with the programs in DIR and adds their numbers.
scenarios()
{
	programs=$(cd "$1" && pwd)
	shift
	say "Scenarios${*:+: $*}"
	lines=$(mktemp)
	STIRRUP_BUILD=$programs tests/scenarios/run --jobs 2 "$@" 2>&1 | tee "$lines" || true
	add_counts "$(tail -n 1 "$lines")"
	rm -f "$lines"
}

# add_counts "... N passed, N failed"
add_counts()
{
	case $1 in
	*[0-9]\ passed,\ [0-9]*\ failed)
		before=${1% passed,*}
		after=${1#* passed, }
		passed=$((passed + ${before##* }))
		failed=$((failed + ${after% failed}))
		;;
	*)
		echo "no totals: $1" >&2
		failed=$((failed + 1))
		;;
	esac
}

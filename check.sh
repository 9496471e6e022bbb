#!/bin/sh
# Builds Stirrup and runs every test: installs what is missing (apt-get), builds in build/ with warnings as errors, runs
# the unit tests and the scenarios with the real daemon, SIPp, secsipidx and Kamailio, and the fuzzers for a moment. The last
# line is "check: N passed, N failed".
set -eu
cd "$(dirname "$0")"
. scripts/build.sh

passed=0
failed=0

# shellcheck disable=SC2086
install_packages $PACKAGES_BUILD $PACKAGES_CALL $PACKAGES_TEST
build build --enable-werror
unit_tests build
scenarios build
# The same build as that of .ci/run.
build build-asan --enable-werror --enable-sanitizers --enable-fuzzing
fuzzers build-asan

echo "check: $passed passed, $failed failed"
[ "$failed" -eq 0 ]

#!/bin/sh
# Makes sure that system commands are there: sh tools/system_packages.sh COMMAND=PACKAGE ...
# As root on Debian or Ubuntu it installs what is missing; elsewhere it says what to install, and fails.
set -eu
missing=
for pair in "$@"; do
    command=${pair%%=*} package=${pair#*=}
    case $command in
    */*) [ -e "$command" ] || missing="$missing $package" ;;
    *) command -v "$command" >/dev/null 2>&1 || missing="$missing $package" ;;
    esac
done
[ -n "$missing" ] || exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "installing$missing"
    exec 9>"${TMPDIR:-/tmp}/lipwire-packages.lock"
    flock 9 # two steps of CI may want something at once
    apt-get update -qq
    # shellcheck disable=SC2086
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
else
    echo "please install, then try again: sudo apt-get install$missing" >&2
    exit 1
fi

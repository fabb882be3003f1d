#!/bin/sh
# One line for a step of the set-up: sh tools/step.sh "what it does" "about how long" COMMAND [ARGUMENT ...]
# Says what begins and how long that takes, runs it, and says how long it took. What the command prints comes in between.
set -eu
what=$1 about=$2
shift 2
began=$(date +%s)
printf '%s (%s) ... ' "$what" "$about"
if "$@"; then
    echo "done in $(($(date +%s) - began)) s"
else
    status=$?
    echo "failed after $(($(date +%s) - began)) s"
    exit "$status"
fi

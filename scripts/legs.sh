#!/bin/sh
# Run make targets, all of them even when one fails, and print the seconds of each.
# One after another; those joined by a plus (one+other) at the same time, their output in turn.
set -u
cd "$(dirname "$0")/.."

summary=
failed=0
said=$(mktemp -d)
trap 'rm -rf "$said"' EXIT

# Its output is that of the target; what came of it goes to a file of its own.
run() {
    printf '\n== %s\n' "$1"
    started=$(date +%s)
    make "$1"
    code=$?
    seconds=$(($(date +%s) - started))

    if [ "$code" -eq 0 ]; then verdict=ok; else verdict=FAILED; fi
    printf '%-16s %5s s  %s\n' "$1" "$seconds" "$verdict" >"$said/$1.line"
}

for group in "$@"; do
    legs=$(printf '%s' "$group" | tr + ' ')
    first=${legs%% *}

    for leg in $legs; do
        if [ "$leg" != "$first" ]; then run "$leg" >"$said/$leg.output" 2>&1 & fi
    done

    run "$first"
    wait

    for leg in $legs; do
        if [ "$leg" != "$first" ]; then cat "$said/$leg.output"; fi
        line=$(cat "$said/$leg.line")
        case $line in *FAILED) failed=1 ;; esac
        summary="$summary$line
"
    done
done

printf '\n%s' "$summary"
exit "$failed"

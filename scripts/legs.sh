#!/bin/sh
# Run make targets one after another, all of them even when one fails, and print the seconds of each.
set -u
cd "$(dirname "$0")/.."

summary=
failed=0

for leg in "$@"; do
    printf '\n== %s\n' "$leg"
    started=$(date +%s)
    make "$leg"
    code=$?
    seconds=$(($(date +%s) - started))

    if [ "$code" -eq 0 ]; then verdict=ok; else verdict=FAILED failed=1; fi
    line=$(printf '%-16s %5s s  %s' "$leg" "$seconds" "$verdict")
    summary="$summary$line
"
done

printf '\n%s' "$summary"
exit "$failed"

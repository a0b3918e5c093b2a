#!/usr/bin/env bash
# Run pytest with the reports of the gate; its exit status becomes an output, so that the later steps run first.
set -uo pipefail
rm -rf robustcheck-report # of an earlier run in the same folder
mkdir robustcheck-report
store=off
[ "${STORE:-false}" = true ] && store=.robustcheck-store
arguments=(--robustcheck-store="$store" --robustcheck-report=robustcheck-report/report.html
  --robustcheck-json=robustcheck-report/run.json --junit-xml=robustcheck-report/junit.xml)
[ -n "${BASELINE:-}" ] && arguments+=(--robustcheck-compare="$BASELINE")
declare -a typed="(${ARGUMENTS:-})" # quoted as on a command line
summary=robustcheck-report/summary.md
errors=robustcheck-report/errors.txt
GITHUB_STEP_SUMMARY=$summary python -m pytest "${arguments[@]}" "${typed[@]}" 2> "$errors"
status=$?
cat "$errors" >&2
echo "status=$status" >> "${GITHUB_OUTPUT:-/dev/stdout}"
[ -s "$summary" ] || {
  printf '## robustcheck\n\nNothing was evaluated; pytest ended with exit status %s.\n' "$status"
  # An indented block, in which nothing is Markdown: of a mistake in options or settings, pytest's line.
  grep -a '^ERROR: ' "$errors" | head -n 5 | cut -c 1-500 | sed 's/^/    /; 1s/^/\n/'
} > "$summary"
cat "$summary" >> "${GITHUB_STEP_SUMMARY:-/dev/null}"
exit 0

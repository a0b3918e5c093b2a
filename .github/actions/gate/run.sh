#!/usr/bin/env bash
# Run pytest with the reports of the gate; its exit status becomes an output, so that the later steps run first.
set -uo pipefail
mkdir -p robustcheck-report
store=off
[ "${STORE:-false}" = true ] && store=.robustcheck-store
arguments=(--robustcheck-store="$store" --robustcheck-report=robustcheck-report/report.html
  --robustcheck-json=robustcheck-report/run.json --junit-xml=robustcheck-report/junit.xml)
[ -n "${BASELINE:-}" ] && arguments+=(--robustcheck-compare="$BASELINE")
declare -a typed="(${ARGUMENTS:-})" # quoted as on a command line
summary=robustcheck-report/summary.md
GITHUB_STEP_SUMMARY=$summary python -m pytest "${arguments[@]}" "${typed[@]}"
status=$?
echo "status=$status" >> "${GITHUB_OUTPUT:-/dev/stdout}"
[ -s "$summary" ] || echo "robustcheck: nothing was evaluated; pytest ended with exit status $status." > "$summary"
cat "$summary" >> "${GITHUB_STEP_SUMMARY:-/dev/null}"
exit 0

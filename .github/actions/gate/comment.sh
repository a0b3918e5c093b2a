#!/usr/bin/env bash
# Keep one comment of ours on the pull request up to date: found by its first line, edited where it is there.
set -euo pipefail
marker="<!-- robustcheck gate -->"
summary=robustcheck-report/summary.md
mkdir -p robustcheck-report
[ -s "$summary" ] || printf '## robustcheck\n\nNothing was evaluated: an earlier step of the job failed.\n' > "$summary"
{
  echo "$marker"
  head -c 60000 "$summary" # GitHub takes 65,536 characters of a comment
  echo
  [ -n "${BASELINE:-}" ] || grep -q '^Against the baseline' "$summary" || echo "Not compared with an earlier run: the action's input \`baseline\` names none."
  if [ "${STORE:-false}" = true ]; then
    records=$(python -c 'import json; print(json.load(open("robustcheck-report/run.json"))["session"].get("records", ""))' \
      2> /dev/null) || true
    echo "Records from the store of earlier runs: ${records:-none}."
  fi
  echo
  if [ -f robustcheck-report/report.html ]; then
    echo "The page with tables and pictures is in the artifact \`${ARTIFACT:-robustcheck}\`, a zip, of [this run]($RUN_URL)."
  else
    echo "No page was written; the log is that of [this run]($RUN_URL)."
  fi
} > robustcheck-report/body.md
comments="repos/$GITHUB_REPOSITORY/issues/$PULL_REQUEST/comments"
id=$(gh api --paginate "$comments" --jq ".[] | select(.body | startswith(\"$marker\")) | .id" | head -n 1)
if [ -n "$id" ]; then
  gh api --method PATCH "repos/$GITHUB_REPOSITORY/issues/comments/$id" -F body=@robustcheck-report/body.md > /dev/null
else
  gh api --method POST "$comments" -F body=@robustcheck-report/body.md > /dev/null
fi

#!/usr/bin/env bash
# Keep one comment of ours on the pull request up to date: found by its first line, edited where it is there.
set -euo pipefail
marker="<!-- robustcheck gate -->"
{
  echo "$marker"
  head -c 60000 robustcheck-report/summary.md # GitHub takes 65,536 characters of a comment
  echo
  echo "The page with tables and pictures is in the artifact \`robustcheck\` of [this run]($RUN_URL)."
} > robustcheck-report/body.md
comments="repos/$GITHUB_REPOSITORY/issues/$PULL_REQUEST/comments"
id=$(gh api --paginate "$comments" --jq ".[] | select(.body | startswith(\"$marker\")) | .id" | head -n 1)
if [ -n "$id" ]; then
  gh api --method PATCH "repos/$GITHUB_REPOSITORY/issues/comments/$id" -F body=@robustcheck-report/body.md > /dev/null
else
  gh api --method POST "$comments" -F body=@robustcheck-report/body.md > /dev/null
fi

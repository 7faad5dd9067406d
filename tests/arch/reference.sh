#!/bin/sh
# The reference, which is generated and not kept, has a page for every row of the tables.
# usage: reference.sh TESS ROOT
page=$("$1" explain --all) || exit 1
missing=0
expect() {
  printf '%s\n' "$page" | grep -qF "$1" && return
  echo "no page for $1"
  missing=$((missing + 1))
}
for name in $(sed -n 's/^INST([a-z0-9_]*, "\([^"]*\)".*/\1/p' "$2/isa/isa.def"); do expect "#### \`$name\`"; done
for number in $(sed -n 's/^DIAG([A-Za-z0-9_]*, \([0-9]*\), .*/\1/p' "$2"/isa/diag/*.def); do
  code=$(printf '%04d' "$number")
  printf '%s\n' "$page" | grep -q "^#### [EWTL]$code:" || { echo "no page for code $code"; missing=$((missing + 1)); }
done
for name in $(sed -n 's/^DTYPE(\([a-z0-9]*\),.*/\1/p' "$2/isa/dtypes.def"); do expect "\`$name\`"; done
if [ "$missing" = 0 ]; then echo "1 passed, 0 failed"; else echo "0 passed, 1 failed"; exit 1; fi

#!/bin/bash
# The demo as a newcomer runs it, and what it says when something is amiss. demo_test.sh TESS ROOT
set -uo pipefail
tess=$(realpath "$1") root=$2
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
passed=0 failed=0

# expect NAME CODE PATTERN OPTION...: the exit code, and a line that matches.
expect() {
  local name=$1 code=$2 pattern=$3 rc=0
  "$root/samples/demo/run.sh" --tess "$tess" --scratch "$scratch" "${@:4}" >"$scratch/log" 2>&1 || rc=$?
  if ((rc == code)) && grep -Eq "$pattern" "$scratch/log"; then
    passed=$((passed + 1))
  else
    failed=$((failed + 1))
    echo "FAILED: $name: code $rc, expected $code and a line like '$pattern'"
    cat "$scratch/log"
  fi
}

expect "every tensor of the sample agrees with NumPy" 0 '^all agree with NumPy$'
expect "dequantised values are the same bits" 0 "^dequantised values: the same bits as NumPy's$" --repeat 1
expect "a real projection is among them" 0 '^blk\.0\.attn_q\.weight +Q4_1 +576 x 576 .* GB/s$' --repeat 1
expect "another limit on the error fails" 3 '^demo: 6 of 6 differ from NumPy$' --repeat 1 --most-error 0
expect "a tess that is not there" 6 'is not there: ./dev build$' --tess "$scratch/no-such-file"
expect "a model that is not there" 6 'no-such.gguf' --model "$scratch/no-such.gguf"

echo "$passed passed, $failed failed"
((failed == 0))

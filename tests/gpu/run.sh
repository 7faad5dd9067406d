#!/bin/bash
# Golden programs on the GPU through both back ends. usage: run.sh [--sanitizer] [TESS]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

sanitizer=no
if [[ ${1:-} == --sanitizer ]]; then
  sanitizer=yes
  shift
fi
tess=${1:-build/tess}
[[ -x $tess ]] || { echo "run.sh: $tess is not there; ./dev build makes it" >&2; exit 6; }

if ! gpu=$("$tess" doctor | grep '^ok .* GPU '); then
  echo "skipped: $("$tess" doctor | sed -n 's/^missing *GPU *//p')"
  exit 0
fi
echo "${gpu#ok}"

if [[ $sanitizer == yes ]]; then
  tool=$(command -v compute-sanitizer || true)
  [[ -n $tool ]] || { echo "skipped: compute-sanitizer is not installed"; exit 0; }
  mapfile -t files < <(find samples -name '*.vmasm' | LC_ALL=C sort)
  exec "$tool" --error-exitcode 3 "$tess" test --on cuda:nvptx "${files[@]}"
fi

mapfile -t files < <(find tests/golden samples stdlib -name '*.vmasm' | LC_ALL=C sort)
exec "$tess" test --on cuda:nvrtc,cuda:nvptx "${files[@]}"

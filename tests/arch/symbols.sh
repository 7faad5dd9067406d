#!/bin/sh
# The library exports tess_* and nothing else. A symbol that goes away breaks programs compiled against
# it: that is a new ABI. usage: symbols.sh LIBTESSERA.so SYMBOLS.txt
if nm -D --defined-only "$1" | awk '{print $3}' | LC_ALL=C sort | diff - "$2"; then
  echo "1 passed, 0 failed"
else
  echo "the exported symbols (<) are not those of symbols.txt (>)"
  echo "0 passed, 1 failed"
  exit 1
fi

#!/bin/sh
# isa/reference.md is what the tables say. usage: reference.sh TESS ROOT
if "$1" explain --all | cmp - "$2/isa/reference.md"; then
  echo "1 passed, 0 failed"
else
  echo "isa/reference.md is out of date: build/tess explain --all -o isa/reference.md"
  echo "0 passed, 1 failed"
  exit 1
fi

#!/bin/bash
# ./dev demo: real weights of a language model through .vmasm kernels. --full: every linear of the model.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
exec /usr/bin/python3 samples/demo/demo.py "$@"

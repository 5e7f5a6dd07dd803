#!/usr/bin/env bash
# The paper's budget (1 024 images, 4 000 generator steps, 20 000 a unit) on the recipes and real images at all four widths.
# It works for at most LIMIT seconds (570) and goes on where it was when given again; it ends by saying "complete".
#   bench/paper_budget.sh OUT TEST_IMAGES TRAIN_IMAGES WEIGHTS
set -u
cd "$(dirname "$0")/.."
timeout "${LIMIT:-570}" "${PYTHON:-python3}" -c 'import sys; from sadag_nb.app.cli import main; sys.exit(main())' \
  sweep recipes --cases genie sadag real --n 1024 --steps 4000 --unit-steps 20000 \
  --out "$1" --data "$2" --train "$3" --weights "$4"
code=$?
[ $code = 0 ] && echo complete
[ $code = 124 ] && echo "not complete: give the same command again"
exit $code

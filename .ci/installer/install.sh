#!/bin/sh
# Linux and macOS: `sh install.sh`. Any Python 3 begins; install.py then looks for one that fits.
for python in python3 python3.13 python3.12 python3.11; do
  if "$python" -c "" 2> /dev/null; then
    exec "$python" "$(dirname "$0")/install.py" "$@"
  fi
done
echo "There is no Python here. Install Python 3.11, 3.12 or 3.13 (https://www.python.org/downloads/)"
echo "and run this again."
exit 1

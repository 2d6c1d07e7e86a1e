#!/bin/sh
# Compiles the CNI plugin: build.sh OUT [fuzz]. Static, so that it runs on any node image and starts in half a millisecond.
# "fuzz" compiles the mutation harness with the address and undefined-behaviour sanitizers instead.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
out=${1:?usage: build.sh OUT [fuzz]}
cc=${CC:-cc}
command -v "$cc" >/dev/null || {
  echo "build.sh: no C compiler: install gcc and libc6-dev (apt-get install gcc libc6-dev)" >&2
  exit 1
}
mkdir -p "$(dirname "$out")"
# Written aside and renamed: a runtime that executes the plugin meanwhile sees the old or the new one, never a part.
temporary="$out.tmp.$$"
trap 'rm -f "$temporary"' EXIT
if [ "${2:-}" = fuzz ]; then
  "$cc" -O1 -g -Wall -Wextra -Werror -fsanitize=address,undefined -fno-sanitize-recover=all -o "$temporary" "$here/fuzz.c"
else
  "$cc" -O2 -static -s -Wall -Wextra -Werror -o "$temporary" "$here/breakwater-cni.c"
fi
mv -f "$temporary" "$out"

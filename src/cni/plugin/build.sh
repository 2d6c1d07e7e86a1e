#!/bin/sh
# Compiles the CNI plugin: build.sh OUT [fuzz]. Static, so that it runs on any node image and starts in a fraction of a
# millisecond.
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
  # tiny-libc.c stands in for the C library, whose start-up costs more than all that the plugin does.
  case $("$cc" -dumpmachine) in
    x86_64-*linux* | aarch64-*linux*)
      # -fno-builtin alone would not do: compilers turn the loops of a memcpy() into calls of memcpy().
      own="-nostdlib -fno-builtin -fno-tree-loop-distribute-patterns -fno-stack-protector -U_FORTIFY_SOURCE"
      libc="$here/tiny-libc.c"
      ;;
    *) own="" libc="" ;;
  esac
  # shellcheck disable=SC2086 # a list of options
  "$cc" -O2 -static $own -s -Wall -Wextra -Werror -o "$temporary" "$here/breakwater-cni.c" ${libc:+"$libc"}
fi
mv -f "$temporary" "$out"

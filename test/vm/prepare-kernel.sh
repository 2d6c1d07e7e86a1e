#!/bin/bash
# prepare-kernel.sh FOLDER: puts Debian's stock kernel into FOLDER: vmlinux, and below lib/modules what tests of networks
# need of its modules. Downloads one package, installs nothing; does nothing when it was done before.
set -euo pipefail
folder=$(readlink -m "$1")
[ ! -e "$folder/ready" ] || exit 0
mkdir -p "$folder"
work=$(mktemp -d "$folder/work.XXXXXX")
trap 'rm -rf "$work"' EXIT
cd "$work"
package=${VM_KERNEL_PACKAGE:-$(apt-cache depends linux-image-amd64 | awk '/Depends: linux-image-/{print $2; exit}')}
[ -n "$package" ] || { echo "prepare-kernel: apt knows no linux-image-amd64: run apt-get update" >&2; exit 1; }
echo "prepare-kernel: downloading $package" >&2
apt-get -q download "$package" >&2
mkdir tree
dpkg-deb --fsys-tarfile "$package"_*.deb | tar -x -C tree --wildcards --no-wildcards-match-slash \
  --exclude='*/kernel/drivers/net/ethernet' --exclude='*/kernel/drivers/net/wireless' --exclude='*/kernel/drivers/net/usb' \
  './boot/vmlinuz-*' './lib/modules/*/modules.*' './lib/modules/*/kernel/net' './lib/modules/*/kernel/lib' \
  './lib/modules/*/kernel/crypto' './lib/modules/*/kernel/arch' './lib/modules/*/kernel/drivers/net' \
  './lib/modules/*/kernel/drivers/virtio' './lib/modules/*/kernel/drivers/char' './lib/modules/*/kernel/fs'
version=$(ls tree/lib/modules)
depmod -b tree "$version"
# The uncompressed kernel starts by its PVH note: unpacking it inside an emulated processor takes longer than the boot.
# Where it lies in the image: the x86 boot protocol, fields setup_sects, payload_offset and payload_length.
image=$(ls tree/boot/vmlinuz-*)
field() { od -An -tu"$1" -j"$2" -N"$1" "$image" | tr -d ' '; }
start=$((($(field 1 497) + 1) * 512 + $(field 4 584)))
dd if="$image" iflag=skip_bytes,count_bytes skip=$start count=$(($(field 4 588) - 4)) bs=1M status=none | xz -dc > vmlinux
rm -rf "$folder/lib" "$folder/vmlinux"
mv vmlinux tree/lib "$folder/"
echo "$version" > "$folder/ready"

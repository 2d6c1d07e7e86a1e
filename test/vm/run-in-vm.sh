#!/bin/bash
# run-in-vm.sh KERNEL CMD...: runs CMD in a throw-away machine with the kernel of prepare-kernel.sh. Its root is this
# machine's own, read-only under a memory overlay; CMD starts in the present folder. Exits as CMD does; 125: the machine
# died, 124: VM_TIMEOUT seconds (600) went by. Emulated (QEMU TCG): works without /dev/kvm and without root, and says
# nothing about speed.
set -u
here=$(dirname "$(readlink -f "$0")")
kernel=$(readlink -f "$1")
shift
PATH=$PATH:/usr/sbin:/sbin
version=$(cat "$kernel/ready") || { echo "run-in-vm: no kernel in $kernel: run prepare-kernel.sh first" >&2; exit 125; }
run=$(mktemp -d /tmp/vm-run.XXXXXX)
trap 'rm -rf "$run"' EXIT

{
  printf 'export PATH=%q HOME=/tmp LANG=C.UTF-8 BREAKWATER_TEST_PATIENCE=5\ncd %q || exit 126\n' "$PATH" "$PWD"
  printf '%q ' "$@"
  echo
} > "$run/command"
cp "$here/guest-init.sh" "$run/init"

# The first root: busybox, and the modules without which the real root cannot be mounted, in their order.
mkdir -p "$run/first"/{bin,dev,proc,modules}
cp "$(command -v busybox)" "$run/first/bin/busybox"
install -m 755 "$run/init" "$run/first/init"
for module in virtio_pci virtio_console 9pnet_virtio 9p overlay; do
  modprobe -d "$kernel" -S "$version" --show-depends "$module"
done | awk '$1 == "insmod" && !seen[$2]++ { print $2 }' | while read -r file; do
  cp "$file" "$run/first/modules/"
  basename "$file" >> "$run/first/modules/order"
done
(cd "$run/first" && find . | cpio -o -H newc --quiet) > "$run/initrd"
rm -rf "$run/first"

share() { echo "local,path=$1,mount_tag=$2,security_model=none,multidevs=remap$3"; }
timeout -k 5 "${VM_TIMEOUT:-600}" qemu-system-x86_64 -nodefaults -no-user-config -display none -monitor none -no-reboot \
  -M q35 -accel tcg,thread=multi,tb-size=512 -cpu max,la57=off -smp 2 -m "${VM_MEMORY:-1024}" \
  -kernel "$kernel/vmlinux" -initrd "$run/initrd" -device virtio-rng-pci \
  -virtfs "$(share / host ,readonly=on)" -virtfs "$(share "$run" run "")" \
  -serial "file:$run/console" -device virtio-serial-pci -chardev file,id=out,path=/dev/stdout,append=on -device virtserialport,chardev=out,name=out \
  -append "console=ttyS0 quiet loglevel=4 panic=-1 mitigations=off no_timer_check tsc=reliable random.trust_cpu=on nowatchdog vm.run=$run vm.modules=$kernel/lib/modules/$version" \
  < /dev/null | cat
# Through cat: QEMU opens its output by name, which no socket has, and Node gives its children sockets.
status=${PIPESTATUS[0]}
[ ! -e "$run/status" ] || exit "$(cat "$run/status")"
tail -n 40 "$run/console" >&2
[ $status -ne 124 ] || { echo "run-in-vm: VM_TIMEOUT went by" >&2; exit 124; }
echo "run-in-vm: the machine ended without an exit code (qemu: $status)" >&2
exit 125

#!/bin/busybox sh
# The first process of run-in-vm.sh's machine: mounts the real root and goes there, runs the command, switches off. It
# stays process 1 all along: the kernel's own modprobe looks for its modules in the root that this process has.
B=/bin/busybox
[ -x $B ] || B=/usr/bin/busybox
fail() { echo "guest-init: $*"; $B poweroff -f; $B sleep 9; }
if [ "${1:-}" != real ]; then
  $B mount -t proc proc /proc
  for word in $($B cat /proc/cmdline); do
    case $word in vm.run=*) run=${word#*=} ;; vm.modules=*) modules=${word#*=} ;; esac
  done
  $B mount -t devtmpfs dev /dev
  while read -r module; do $B insmod "/modules/$module" || echo "guest-init: cannot load $module"; done < /modules/order
  $B mkdir -p /host /memory
  $B mount -t 9p -o trans=virtio,version=9p2000.L,msize=512000,cache=loose,ro host /host || fail "cannot mount the root"
  $B mount -t tmpfs -o mode=755,size=75% memory /memory
  $B mkdir -p /memory/upper /memory/work /root
  $B mount -t overlay -o lowerdir=/host,upperdir=/memory/upper,workdir=/memory/work root /root || fail "no overlay"
  version=$($B uname -r)
  $B mkdir -p "/root/lib/modules/$version" "/root$run" /root/proc /root/sys /root/dev /root/run
  $B mount --bind "/host$modules" "/root/lib/modules/$version" || fail "no modules"
  $B mount -t proc proc /root/proc
  $B mount -t sysfs sys /root/sys
  $B mount -t cgroup2 cgroup /root/sys/fs/cgroup
  $B mount -t devtmpfs dev /root/dev
  $B mkdir -p /root/dev/pts /root/dev/shm
  $B mount -t devpts devpts /root/dev/pts
  $B mount -t tmpfs -o mode=1777 shm /root/dev/shm
  $B ln -sf /proc/self/fd /root/dev/fd
  $B mount -t tmpfs -o mode=755 run /root/run
  $B mount -t 9p -o trans=virtio,version=9p2000.L,cache=none run "/root$run" || fail "cannot mount $run"
  # Over the first root, not beside it: who enters this mount namespace (nsenter) comes to its root, whatever a process has.
  cd /root && $B mount --move . / || fail "cannot move the root"
  exec $B chroot . $B sh "$run/init" real "$run"
fi
run=$2
for port in /sys/class/virtio-ports/*; do [ "$($B cat "$port/name")" != out ] || out=/dev/${port##*/}; done
$B ip link set lo up
/bin/bash "$run/command" > "$out" 2>&1 < /dev/null
echo $? > "$run/status"
$B sync
echo o > /proc/sysrq-trigger
$B sleep 30

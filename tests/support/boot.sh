#!/bin/bash
# Boots systemd over the files of this machine: becomes its first process in the namespaces that
# tests/support/systemd.py gave it. Nothing below can be written but what is made here.
#
#   boot.sh FOLDER CHECKOUT BIN    FOLDER appears at its own path and can be written;
#                                  CHECKOUT likewise, read-only; BIN/cloudfs is on the PATH
set -eu
folder=$1 checkout=$2 bin=$3
root=$folder/.root

mount --make-rprivate /
mkdir -p "$root" "$folder/.over" "$folder/.cache" "$folder/.home" "$folder/.nvme"
mount -t tmpfs -o size=512m,mode=755 tmpfs "$folder/.over"
mkdir "$folder/.over/up" "$folder/.over/work"
mount -t overlay overlay \
    -o "lowerdir=/,upperdir=$folder/.over/up,workdir=$folder/.over/work" "$root"

mount -t proc proc "$root/proc"
# A first process sets kernel parameters; those of the machine are not ours to set.
mount --bind "$root/proc/sys" "$root/proc/sys"
mount -o remount,bind,ro "$root/proc/sys"
mount -t sysfs sysfs "$root/sys"
mount -t fusectl fusectl "$root/sys/fs/fuse/connections"
mkdir -p "$root/sys/fs/cgroup"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"

mount -t tmpfs -o mode=755 tmpfs "$root/dev"
while read -r name major minor; do
    mknod -m 666 "$root/dev/$name" c "$major" "$minor"
done <<'NODES'
null 1 3
zero 1 5
full 1 7
random 1 8
urandom 1 9
tty 5 0
fuse 10 229
autofs 10 235
NODES
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
# Open descriptors are duplicated through these.
ln -s fd/0 "$root/dev/stdin"
ln -s fd/1 "$root/dev/stdout"
ln -s fd/2 "$root/dev/stderr"

# The overlay is one file system: what else is needed is brought in by name. A cache wants a disk.
for path in "$folder" "$checkout"; do
    mkdir -p "$root$path"
    mount --bind "$path" "$root$path"
done
mount -o remount,bind,ro "$root$checkout"
mkdir -p "$root/var/cache" "$root/home" "$root/mnt/nvme"
mount --bind "$folder/.cache" "$root/var/cache"
mount --bind "$folder/.home" "$root/home"
mount --bind "$folder/.nvme" "$root/mnt/nvme"

units=$root/etc/systemd/system
rm -rf "$units" "$root/etc/systemd/user" "$root/var/log/journal"
mkdir -p "$units" "$root/etc/systemd/user" "$root/etc/systemd/journald.conf.d"
ln -s /lib/systemd/system/basic.target "$units/default.target"
for unit in systemd-{udevd,udev-trigger,resolved,networkd,logind,timesyncd}.service \
    systemd-{sysctl,modules-load,binfmt,random-seed,pstore,tmpfiles-setup-dev}.service \
    systemd-{sysusers,update-utmp,hwdb-update,machine-id-commit,firstboot}.service \
    getty.target kmod-static-nodes.service ldconfig.service systemd-{udevd-control,udevd-kernel,journald-audit}.socket \
    dev-hugepages.mount dev-mqueue.mount sys-kernel-{config,debug,tracing}.mount \
    sys-fs-fuse-connections.mount proc-sys-fs-binfmt_misc.automount \
    systemd-ask-password-{console,wall}.path systemd-tmpfiles-clean.timer apt-daily{,-upgrade}.timer; do
    ln -s /dev/null "$units/$unit"
done
printf '[Journal]\nStorage=volatile\nReadKMsg=no\nAudit=\nRateLimitBurst=0\n' \
    >"$root/etc/systemd/journald.conf.d/test.conf"
# Else /tmp is emptied at boot, where the folder may be.
mkdir -p "$root/etc/tmpfiles.d"
ln -sf /dev/null "$root/etc/tmpfiles.d/tmp.conf"
rm -f "$root/etc/fstab"
: >"$root/etc/fstab"
echo 0123456789abcdef0123456789abcdef >"$root/etc/machine-id"
ln -sf "$bin/cloudfs" "$root/usr/local/bin/cloudfs"
ln -sf "$bin/mount.cloudfs" "$root/sbin/mount.cloudfs"
mkdir -p "$root/oldroot" "$root/etc/cloudfs"

cd "$root"
pivot_root . oldroot
umount -l /oldroot
rmdir /oldroot
mount --make-rshared /
exec env -i container=cloudfs-test PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    /lib/systemd/systemd --log-target=journal --log-level=info --show-status=false

#!/bin/bash
# Become a machine of its own for the commands of one page, and run them there:
#
#   world.sh FOLDER KEEP... -- COMMAND...
#
# To be started in new mount and process namespaces. What follows sees all of this machine, with its
# paths, but every change goes into memory and ends with the namespaces. FOLDER is an empty folder.
# KEEP are folders that have to be there though what they are in is hidden (the checkout may be in
# /tmp, the interpreter in /root).
set -eu

folder=$1
shift
mount -t tmpfs none "$folder"
mkdir "$folder/root"

layers=0
# Lay a folder of this machine over itself in the new one; changes are kept apart.
overlay() {
    layers=$((layers + 1))
    mkdir -p "$folder/$layers/upper" "$folder/$layers/work" "$folder/root$1"
    mount -t overlay -o "lowerdir=$1,upperdir=$folder/$layers/upper,workdir=$folder/$layers/work" \
        none "$folder/root$1"
}

overlay /
cd "$folder/root"
mount -t proc none proc
mount --rbind /dev dev
mount --rbind /sys sys
for hidden in tmp run mnt root var/cache; do
    mount -t tmpfs none "$hidden"
done
while test "$1" != --; do
    overlay "$1"
    shift
done
shift

mkdir -p etc/cloudfs
mount -t tmpfs none etc/cloudfs
mkdir -p mnt/data mnt/nvme .before
mkdir -m 700 run/cloudfs var/cache/cloudfs
helper=$(command -v mount.cloudfs || true)
test -z "$helper" || ln -sf "$helper" sbin/mount.cloudfs
if ! command -v sudo >/dev/null; then
    printf '#!/bin/sh\nexec "$@"\n' >usr/local/bin/sudo
    chmod 755 usr/local/bin/sudo
fi

pivot_root . .before
umount --lazy /.before
rmdir /.before
cd "$DOCS_FOLDER"
unset DOCS_FOLDER OLDPWD
exec "$@"

#!/bin/sh
# Install cloudfs for every user of the machine, or remove it: what `make install` and
# `make uninstall` run, as root. Running it again upgrades.
#
#   scripts/install.sh install|uninstall
#
# PREFIX   where it goes                           /usr/local
# DESTDIR  a folder that stands for /, to pack it  none
# PACKAGE  what pip installs                       this checkout with all clouds
# PYTHON   the interpreter, 3.11 or newer          python3
#
# Configuration (/etc/cloudfs), caches and logs are left alone.
set -eu

cd "$(dirname "$0")/.."
do=${1:-}
prefix=${PREFIX:-/usr/local}
root=${DESTDIR:-}
package=${PACKAGE:-.[all]}
home=$prefix/lib/cloudfs
units=$prefix/lib/systemd
share=$prefix/share

say() { printf 'install: %s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }

# Make the link $2, within $root, to the place $1, which is one of the installed system.
link() {
    mkdir -p "$root${2%/*}"
    ln -sfn "$1" "$root$2"
}

# Copy the files $2... to the folder $1, readable for all users.
copy() {
    folder=$root$1
    shift
    mkdir -p "$folder"
    install -m 644 "$@" "$folder"
}

environment() {
    python=${PYTHON:-python3}
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        fail "$python is older than Python 3.11: name another one with PYTHON="
    # One that was made with an interpreter that is gone does not run.
    if ! "$root$home/bin/python" -I -c 'import pip' 2>/dev/null; then
        "$python" -m venv --clear "$root$home"
    fi
    # The distribution was called cloudfs before: its files would stay beside those of the new one.
    for old in "$root$home"/lib/python*/site-packages/cloudfs-[0-9]*.dist-info; do
        test ! -e "$old" || "$root$home/bin/python" -I -m pip uninstall --quiet --yes cloudfs
    done
    "$root$home/bin/python" -I -m pip install --quiet --disable-pip-version-check --upgrade "$package"
}

completions() {
    for place in bash:bash-completion/completions/cloudfs zsh:zsh/site-functions/_cloudfs \
        fish:fish/vendor_completions.d/cloudfs.fish; do
        file=$root$share/${place#*:}
        mkdir -p "${file%/*}"
        "$root$home/bin/cloudfs" completion "${place%%:*}" >"$file"
    done
}

reload() {
    if test -z "$root" && test -d /run/systemd/system; then
        systemctl daemon-reload || say "run 'systemctl daemon-reload' yourself"
    fi
}

case $do in
install)
    umask 022
    environment
    link "$home/bin/cloudfs" "$prefix/bin/cloudfs"
    # Where mount(8) looks, whatever the prefix is.
    link "$home/bin/mount.cloudfs" /sbin/mount.cloudfs
    copy "$units/system" systemd/cloudfs@.service systemd/cloudfs.target
    copy "$units/user" systemd/user/cloudfs@.service systemd/user/cloudfs.target
    copy "$share/doc/cloudfs/examples" systemd/examples/* docs/examples/*
    copy "$share/man/man1" docs/man/*.1
    copy "$share/man/man8" docs/man/*.8
    completions
    reload
    say "installed $root$prefix/bin/cloudfs and $root/sbin/mount.cloudfs"
    ;;
uninstall)
    test ! -e "$root$home" || test -e "$root$home/pyvenv.cfg" ||
        fail "$root$home is not what this script made: remove it yourself"
    rm -rf "$root$home" "$root$share/doc/cloudfs"
    rm -f "$root$prefix/bin/cloudfs" "$root/sbin/mount.cloudfs"
    for kind in system user; do
        rm -f "$root$units/$kind/cloudfs@.service" "$root$units/$kind/cloudfs.target"
    done
    for page in docs/man/*.[18]; do
        rm -f "$root$share/man/man${page##*.}/${page##*/}"
    done
    rm -f "$root$share/bash-completion/completions/cloudfs" \
        "$root$share/zsh/site-functions/_cloudfs" \
        "$root$share/fish/vendor_completions.d/cloudfs.fish"
    reload
    say "removed cloudfs from $root$prefix; /etc/cloudfs and the caches are as they were"
    ;;
*)
    fail "usage: scripts/install.sh install|uninstall"
    ;;
esac

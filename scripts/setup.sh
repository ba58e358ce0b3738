#!/bin/sh
# Set up what `make demo` and `make test` need, inside this checkout: system packages through apt
# where root or sudo allows (else it says what to install), and a virtual environment in .venv.
#
#   scripts/setup.sh demo    what the mount and the demo need
#   scripts/setup.sh dev     that, and what tests, ruff, mypy and the benchmarks need
#
# A stamp in .setup/ says what is done; it is named after a hash of what the set-up depends on. The
# Azure server of the tests, Azurite, is in .setup/azurite. Where it cannot be had all else is set up
# all the same, and the next run tries again.
set -eu

packages_runtime="fuse3 libfuse3-dev pkg-config gcc python3-venv python3-dev"
packages_test="nginx-light libnginx-mod-http-lua fio iproute2 attr e2fsprogs xfsprogs \
nfs-ganesha nfs-ganesha-vfs libnfs-dev systemd dbus prometheus groff-base"
packages_azurite="nodejs npm"
azurite_version="3.35.0"
torch_requirement="torch==2.13.0"
python_oldest="3.11"

cd "$(dirname "$0")/.."
kind=${1:?usage: setup.sh demo|dev}
venv=.venv
stamps=.setup
azurite=$stamps/azurite

say() { printf 'setup: %s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }
runs() { command -v "$1" >/dev/null 2>&1; }

new_enough() {
    "$1" -c "import sys; sys.exit(sys.version_info < tuple(map(int, '$python_oldest'.split('.'))))" \
        >/dev/null 2>&1
}

find_python() {
    for candidate in "${PYTHON:-python3}" python3 python3.13 python3.12 python3.11 python3.14; do
        if runs "$candidate" && new_enough "$candidate"; then
            command -v "$candidate"
            return
        fi
    done
}

# Succeed if the contents of a package are installed, from Debian's package or from elsewhere.
have() {
    case $1 in
        fuse3) runs fusermount3 ;;
        libfuse3-dev) runs pkg-config && pkg-config --exists fuse3 ;;
        pkg-config | gcc | fio) runs "$1" ;;
        nginx-light) PATH=$PATH:/usr/sbin runs nginx ;;
        iproute2) PATH=$PATH:/usr/sbin runs ip ;;
        attr) runs getfattr ;;
        nodejs) runs node ;;
        npm) runs npm ;;
        nfs-ganesha) runs ganesha.nfsd ;;
        libnfs-dev) runs pkg-config && pkg-config --exists libnfs ;;
        systemd) test -x /lib/systemd/systemd ;;
        dbus) runs dbus-daemon ;;
        prometheus) runs prometheus && runs promtool ;;
        groff-base) runs groff ;;
        e2fsprogs) PATH=$PATH:/usr/sbin runs mkfs.ext4 ;;
        xfsprogs) PATH=$PATH:/usr/sbin runs mkfs.xfs ;;
        python3*-venv) runs uv || "$python" -c 'import ensurepip, venv' 2>/dev/null ;;
        python3*-dev) test -e "$("$python" -c \
            'import sysconfig; print(sysconfig.get_path("include"))')/Python.h" ;;
        *) test "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ;;
    esac
}

missing_of() {
    for package in "$@"; do
        have "$package" || printf ' %s' "$package"
    done
}

apt_install() {
    line="apt-get install --yes --no-install-recommends$1"
    runs apt-get || fail "please install the equivalents of these Debian packages:$1"
    if test "$(id -u)" = 0; then
        as_root="env"
    elif runs sudo && { sudo -n true 2>/dev/null || test -t 0; }; then
        as_root="sudo env"
    else
        fail "not root and no sudo; please run: sudo apt-get update && sudo $line"
    fi
    say "$line"
    services=""
    case $1 in *nginx-light*) services="nginx" ;; esac
    case $1 in *nfs-ganesha*) services="$services nfs-ganesha rpcbind" ;; esac
    case $1 in *prometheus*) services="$services prometheus" ;; esac
    # On stderr, and quiet: the last line of standard output belongs to pytest.
    as_root="$as_root DEBIAN_FRONTEND=noninteractive"
    # shellcheck disable=SC2086 - lists of words
    if ! { $as_root apt-get update --quiet && $as_root $line --quiet; } >&2; then
        fail "apt-get failed; please run: sudo apt-get update && sudo $line"
    fi
    if test -n "$services" && test -d /run/systemd/system; then
        # The tests start servers of their own; those of the packages would listen on ports 80,
        # 2049, 111 and 9090.
        $as_root systemctl disable --now $services >&2 || say "could not disable$services"
    fi
}

# Make .setup/azurite, all of it or nothing; the marker's name is the version. Reports failures.
install_azurite() {
    missing=$(missing_of $packages_azurite)
    # In a subshell: without these packages the rest is set up all the same.
    test -z "$missing" || (apt_install "$missing") || return 0
    say "installing azurite@$azurite_version into $azurite"
    rm -rf $azurite.new
    mkdir -p $azurite.new
    if ! npm install --prefix $azurite.new --loglevel=error --no-progress --no-audit --no-fund \
        --no-update-notifier --fetch-retries=1 --ignore-scripts azurite@$azurite_version \
        >$azurite.log 2>&1; then
        say "going on without Azurite: npm failed, see $azurite.log"
    elif ! $azurite.new/node_modules/.bin/azurite-blob --version >$azurite.log 2>&1; then
        say "going on without Azurite: node $(node --version) cannot run it, see $azurite.log"
    else
        : >$azurite.new/installed-$azurite_version
        rm -rf $azurite
        mv $azurite.new $azurite
    fi
}

if test "$kind" = dev && ! test -e $azurite/installed-$azurite_version; then
    install_azurite
fi

# Interpreters and packages: `python` is what the virtual environment is made with.
python=$(find_python)
if test "$kind" = dev; then
    packages="$packages_runtime $packages_test"
else
    packages=$packages_runtime
fi
if test -z "$python"; then
    runs apt-get || fail "Python $python_oldest or newer is needed"
    # Ubuntu 22.04 has it beside its older default.
    packages="$packages python$python_oldest python$python_oldest-venv python$python_oldest-dev"
    python=python$python_oldest
fi

hash=$({ cat pyproject.toml scripts/cloudfs scripts/mount.cloudfs "$0"; readlink -f "$(command -v "$python" || echo none)"; "$python" -VV || :; } 2>/dev/null |
    sha256sum | cut -c1-16)
stamp=$stamps/$kind-$hash
# What is set up for `dev` is set up for `demo` too.
if test -x $venv/bin/python && { test -e "$stamp" || test -e "$stamps/dev-$hash"; }; then
    exit 0
fi

# shellcheck disable=SC2086 - lists of words
missing=$(missing_of $packages)
test -z "$missing" || apt_install "$missing"
runs "$python" && new_enough "$python" || fail "Python $python_oldest or newer is needed"

if test -e $venv && ! new_enough $venv/bin/python; then
    say "replacing $venv, whose Python does not run or is too old"
    rm -rf $venv
fi
if ! test -e $venv; then
    say "creating $venv with $python"
    if runs uv; then uv venv --quiet --python "$python" $venv; else "$python" -m venv $venv; fi
fi

install() {
    if runs uv; then
        uv pip install --quiet --python $venv/bin/python "$@" >&2
    else
        $venv/bin/python -m pip install --quiet --quiet --disable-pip-version-check "$@" >&2
    fi
}

uninstall() {
    if runs uv; then
        uv pip uninstall --quiet --python $venv/bin/python "$@" >&2
    else
        $venv/bin/python -m pip uninstall --quiet --yes "$@" >&2
    fi
}

# The distribution was called cloudfs before, and both would own the same commands.
for old in $venv/lib/python*/site-packages/cloudfs-[0-9]*.dist-info; do
    test ! -e "$old" || uninstall cloudfs
done
say "installing cloudfs with [$kind] into $venv (minutes on the first run)"
install --editable ".[$kind]"
if test "$kind" = dev; then
    # The training script works without it, and so do its tests.
    install "$torch_requirement" || say "$torch_requirement is not to be had here: going on without"
fi

mkdir -p $stamps
rm -f "$stamps/$kind-"*
: >"$stamp"

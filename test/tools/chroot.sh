#!/bin/bash
# chroot.sh: the project on another Debian, in a folder.
#
#   chroot.sh next     build and database tests on Debian 13 and the PostgreSQL it carries; the folder
#                      is kept, so that a second run needs no downloads
#   chroot.sh odoo     a Debian 13 with Odoo 19 from Debian's packages in build/chroot-odoo, kept; for
#                      test/peers/odoo.sh. Ends with 1, the reason in the last line, where it cannot be had
#   chroot.sh fresh    the README's two commands on a Debian 12 with nothing but make and git on it
#   chroot.sh unmount  fails when something is mounted below build/ (make clean-dev asks)
#
# Everything lies in build/: chroot-base-SUITE.tar (what debootstrap made), chroot-SUITE (the system).
# All mounts are made in a mount namespace of their own, which ends with the last process in it:
# nothing stays mounted, whatever kills this script, and a folder is removed only from outside.
#
# Where it cannot be had (no root, no debootstrap, no network), the script says so loudly and ends
# with 0 for `next`, which is an extra, and with 1 for `fresh`, which was asked for.
set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
BUILD=$ROOT/build
# The mirror that this machine itself installs from.
MIRROR=${DEBIAN_MIRROR:-$(apt-get indextargets --format '$(REPO_URI)' 2>/dev/null | grep -v security | head -n 1)}

skip()
{
  echo
  echo "!!! SKIPPED: $*"
  echo
}

# Whether a chroot can be made here; prints why not.
obstacle()
{
  if [ "$(id -u)" -ne 0 ]; then
    echo "a chroot takes root"
  elif ! unshare --mount true 2>/dev/null; then
    echo "this system allows no mount namespaces"
  elif ! command -v debootstrap >/dev/null &&
    ! { apt-get -q update && apt-get -q -y --no-install-recommends install debootstrap; } >/dev/null 2>&1; then
    echo "debootstrap is not installed and cannot be"
  fi
}

nothing_is_mounted()
{
  if grep -q " $BUILD/" /proc/self/mounts; then
    echo "Unmount these first:" >&2
    grep " $BUILD/" /proc/self/mounts >&2
    return 1
  fi
}

remove_tree()
{
  nothing_is_mounted && rm -rf --one-file-system "$1"
}

# make_base SUITE: a minimal system as a tar file, once.
make_base()
{
  local suite=$1 tree=$BUILD/chroot-new-$1
  [ ! -e "$BUILD/chroot-base-$suite.tar" ] || return 0
  remove_tree "$tree"
  mkdir -p "$tree"
  echo "debootstrap $suite from $MIRROR"
  debootstrap --variant=minbase --include=ca-certificates,make,git "$suite" "$tree" ${MIRROR:+"$MIRROR"} \
    >"$BUILD/debootstrap-$suite.log" 2>&1 || {
    tail -n 5 "$BUILD/debootstrap-$suite.log"
    remove_tree "$tree"
    return 1
  }
  tar -C "$tree" --numeric-owner -cf "$BUILD/chroot-base-$suite.tar.new" .
  mv "$BUILD/chroot-base-$suite.tar.new" "$BUILD/chroot-base-$suite.tar"
  remove_tree "$tree"
}

# unpack SUITE TREE: the base system into a new folder.
unpack()
{
  remove_tree "$2"
  mkdir -p "$2"
  tar -C "$2" --numeric-owner -xpf "$BUILD/chroot-base-$1.tar"
}

# The checkout's files, without what was built.
copy_sources()
{
  local target=$1/voiceagent
  mkdir -p "$target"
  find "$target" -mindepth 1 -maxdepth 1 ! -name build -exec rm -rf {} +
  if git -C "$ROOT" rev-parse >/dev/null 2>&1; then
    git -C "$ROOT" ls-files -z --cached --others --exclude-standard
  else
    (cd "$ROOT" && find . -type f -not -path './build/*' -not -name '*.[od]' -not -name '*.so' -print0)
  fi | (cd "$ROOT" && xargs -0 sh -c 'for f; do [ ! -e "$f" ] || printf "%s\0" "$f"; done' sh) |
    tar -C "$ROOT" --null -T - -cf - | tar -C "$target" --no-same-owner -xf -
}

# inside TREE COMMAND…: runs a shell command in the chroot, in /voiceagent.
inside()
{
  local tree=$1
  shift
  cp -L /etc/resolv.conf "$tree/etc/resolv.conf" 2>/dev/null || true
  # shellcheck disable=SC2016
  unshare --mount --propagation private bash -c '
    set -e
    tree=$1
    mount -t proc proc "$tree/proc"
    mount --rbind /dev "$tree/dev"
    mount -t tmpfs tmpfs "$tree/dev/shm"
    mount -t tmpfs tmpfs "$tree/tmp"
    chmod 1777 "$tree/tmp" "$tree/dev/shm"
    exec chroot "$tree" /usr/bin/env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
      HOME=/root LANG=C.UTF-8 TERM="${TERM:-dumb}" FUZZ_SECONDS="${FUZZ_SECONDS:-10}" \
      bash -c "cd /voiceagent && $2"' inside "$tree" "$*"
}

run_next()
{
  local suite=trixie tree=$BUILD/chroot-trixie why
  why=$(obstacle)
  if [ -n "$why" ]; then
    skip "no tests on Debian 13: $why"
    return 0
  fi
  if ! make_base $suite; then
    skip "no tests on Debian 13: debootstrap failed (no network?)"
    return 0
  fi
  [ -e "$tree/.unpacked" ] || unpack $suite "$tree"
  touch "$tree/.unpacked"
  copy_sources "$tree"
  inside "$tree" "make check ONLY='${ONLY:-unit pgtap regress isolation chaos}'"
}

run_fresh()
{
  local suite=bookworm tree=$BUILD/chroot-fresh why status=0 began
  why=$(obstacle)
  if [ -n "$why" ]; then
    skip "no fresh machine: $why"
    return 1
  fi
  make_base $suite
  unpack $suite "$tree"
  copy_sources "$tree"
  for command in 'make demo ONESHOT=1' 'make check'; do
    began=$SECONDS
    echo "== fresh Debian 12: $command"
    inside "$tree" "$command" || status=1
    echo "== $command: $((SECONDS - began)) s, status $status"
    [ $status -eq 0 ] || break
  done
  remove_tree "$tree"
  return $status
}

# What stands in the way of a Debian 13 with Odoo goes to the log; its last line says what it was.
run_odoo()
{
  local tree=$BUILD/chroot-odoo log=$BUILD/chroot-odoo.log why
  [ ! -e "$tree/.installed" ] || return 0
  why=$(obstacle)
  if [ -n "$why" ]; then
    echo "$why"
    return 1
  fi
  if ! make_base trixie; then
    echo "debootstrap failed (no network?)"
    return 1
  fi
  unpack trixie "$tree"
  cp -L /etc/resolv.conf "$tree/etc/resolv.conf" 2>/dev/null || true
  # Nothing may start in there, and of unstable only this package is wanted: its dependencies are those
  # of Debian 13, whose Python it needs.
  printf '#!/bin/sh\nexit 101\n' >"$tree/usr/sbin/policy-rc.d"
  chmod 755 "$tree/usr/sbin/policy-rc.d"
  echo "deb ${MIRROR:-http://deb.debian.org/debian} sid main" >"$tree/etc/apt/sources.list.d/sid.list"
  printf 'Package: *\nPin: release n=sid\nPin-Priority: 100\n' >"$tree/etc/apt/preferences.d/sid"
  # shellcheck disable=SC2016
  if ! timeout 900 unshare --mount --propagation private bash -c '
    set -e
    mount -t proc proc "$1/proc"
    exec chroot "$1" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 DEBIAN_FRONTEND=noninteractive \
      bash -c "apt-get -q -o Acquire::Check-Valid-Until=false update &&
        apt-get -q -y --no-install-recommends install tzdata tzdata-legacy odoo-19"' odoo "$tree" >"$log" 2>&1; then
    tail -n 3 "$log"
    echo "the package odoo-19 cannot be installed (see build/chroot-odoo.log)"
    return 1
  fi
  touch "$tree/.installed"
}

mkdir -p "$BUILD"
case ${1:-} in
  next) run_next ;;
  odoo) run_odoo ;;
  fresh) run_fresh ;;
  unmount) nothing_is_mounted ;;
  *) sed -n 's/^# \{0,1\}//p;/^set/q' "$0"; exit 2 ;;
esac

#!/bin/bash
# packages.sh [GROUP…]: see to it that the packages of packages.txt are installed.
#
# As root, installs what is missing; as an ordinary user, names the command to run as root and
# fails. With nothing missing it does nothing and takes a moment. Groups default to all but bench.
#
# The server's package would create and start a cluster on port 5432. A checkout's tests have no
# business there, so that is switched off while it is installed, and only then.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
[ $# -gt 0 ] || set -- build runtime test

os_version()
{
  sed -n 's/^VERSION_ID="\{0,1\}\([0-9]*\).*/\1/p' /etc/os-release 2>/dev/null
}

# The server to build against: the one pg_config speaks for if it can build extensions, else the
# one of the release.
postgres_major()
{
  local makefile
  if makefile=$(pg_config --pgxs 2>/dev/null) && [ -e "$makefile" ]; then
    pg_config --version | sed 's/[^0-9]*\([0-9]*\).*/\1/'
    return
  fi
  case $(os_version) in
    12) echo 15 ;;
    13) echo 17 ;;
    *) apt-cache show postgresql 2>/dev/null | sed -n 's/^Version: \([0-9]*\).*/\1/p' | head -n 1 ;;
  esac
}

clang_major()
{
  case $(os_version) in
    12) echo 14 ;;
    13) echo 19 ;;
    *) apt-cache show clang 2>/dev/null | sed -n 's/^Depends: .*clang-\([0-9]*\).*/\1/p' | head -n 1 ;;
  esac
}

# Prints the packages of the groups asked for that are not there.
missing_packages()
{
  local wanted=" $* " pg clang group package command
  local -a candidates=()
  pg=$(postgres_major)
  clang=$(clang_major)
  while read -r group package command; do
    case $group in '' | '#'*) continue ;; esac
    case $wanted in *" $group "*) ;; *) continue ;; esac
    if [ -n "$command" ] && command -v "$command" >/dev/null; then
      continue
    fi
    package=${package//\{pg\}/$pg}
    candidates+=("${package//\{clang\}/$clang}")
  done <"$here/packages.txt"
  [ ${#candidates[@]} -gt 0 ] || return 0
  # dpkg-query complains about packages it never heard of: those are the missing ones.
  comm -23 <(printf '%s\n' "${candidates[@]}" | sort -u) \
    <(dpkg-query -W -f '${Package} ${db:Status-Status}\n' "${candidates[@]}" 2>/dev/null |
      sed -n 's/ installed$//p' | sort -u)
}

# createcluster.conf is read by the server package's maintainer script. Our file is put in place
# before and whatever was there is put back after, also when the installation fails.
quiet_cluster=/etc/postgresql-common/createcluster.conf
saved=
forbid_clusters()
{
  mkdir -p "${quiet_cluster%/*}"
  saved=$(mktemp)
  if [ -e "$quiet_cluster" ]; then
    cp -p "$quiet_cluster" "$saved"
  else
    rm -f "$saved"
  fi
  trap allow_clusters EXIT
  echo 'create_main_cluster = false' >"$quiet_cluster"
}

allow_clusters()
{
  if [ -e "$saved" ]; then
    cp -p "$saved" "$quiet_cluster"
    rm -f "$saved"
  elif [ -e /usr/share/postgresql-common/createcluster.conf ]; then
    cp /usr/share/postgresql-common/createcluster.conf "$quiet_cluster"
  else
    rm -f "$quiet_cluster"
  fi
  trap - EXIT
}

if ! command -v dpkg-query >/dev/null; then
  echo "This is not Debian: install what test/tools/packages.txt names by your own means." >&2
  exit 0
fi

mapfile -t missing < <(missing_packages "$@")
[ ${#missing[@]} -gt 0 ] || exit 0

if [ "$(id -u)" -ne 0 ]; then
  echo "Packages are missing. Run this as root, then try again:" >&2
  echo "  apt-get update && apt-get install --no-install-recommends ${missing[*]}" >&2
  exit 1
fi

echo "installing: ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive UCF_FORCE_CONFFOLD=1
options=(-q -y -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3
  --no-install-recommends -o Dpkg::Options::=--force-confold)
log=$(mktemp)
forbid_clusters
if ! { apt-get -q update && apt-get "${options[@]}" install "${missing[@]}"; } >"$log" 2>&1; then
  tail -n 40 "$log" >&2
  rm -f "$log"
  echo "apt-get failed; see above." >&2
  exit 1
fi
rm -f "$log"

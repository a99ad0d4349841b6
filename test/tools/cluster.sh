#!/bin/bash
# cluster.sh: a private PostgreSQL with this checkout's extension in it.
#
# Nothing is installed into the system: build/inst mirrors the server's folders, its programs copied
# and the rest linked, with our files put beside them. The server finds its library and share folders
# relative to where its executable really is, hence the copies.
#
# As a library (bash):
#   . test/tools/cluster.sh
#   va_cluster_start [--auth trust|peer|scram-sha-256] [--extension] [name=value …]
#   va_psql -c 'SELECT 1'                      psql as the superuser: quiet, unaligned, stops on error
#   va_wait_for 'SELECT count(*) > 0 FROM calls' 10      polls until true; fails after 10 seconds
#   va_cluster_stop [fast|immediate]           also done by itself when the script ends
#   va_cluster_restart [fast|immediate|kill]
#   va_free_port                               prints a port of 127.0.0.1 that nobody uses
#   va_at_exit COMMAND                         run before the cluster is stopped
# and as a command:
#   test/tools/cluster.sh run [OPTIONS as above] -- COMMAND …    with PGHOST, PGPORT, PGUSER set
#   test/tools/cluster.sh install                                only bring build/inst up to date
#
# Set by va_cluster_start: VA_BIN (the server's programs and ours), VA_DIR (everything of this
# cluster), VA_LOG, VA_SOCKET, VA_PORT, VA_USER (superuser, the operating system's and the
# database's), VA_PID (postmaster), VA_HTTP_PORT, VA_MEDIA_PORT.
# Read from the environment: PG_CONFIG, MAKE, VA_PROGRAM (a program to install in place of
# build/voiceagent, for instance the sanitized one), VA_KEEP=1 (leave the cluster's folder behind).
#
# The server may not run as root: there it runs as the user postgres (or nobody). va_cluster_start
# must run in the script's own shell, not in a subshell: the server dies with the shell that
# started it, even with kill -9, so that no test leaves one behind.

VA_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
: "${MAKE:=make}" "${PG_CONFIG:=pg_config}"
VA_PID=
VA_DIR=
VA_SOCKET=
va_exit_commands=()

if [ "$(id -u)" -ne 0 ]; then
  VA_USER=$(id -un)
elif id postgres >/dev/null 2>&1; then
  VA_USER=postgres
else
  VA_USER=nobody
fi

va_fail()
{
  echo "cluster.sh: $*" >&2
  return 1
}

# A command that becomes VA_USER, to stand before another one.
va_become=(env)
if [ "$(id -u)" -eq 0 ]; then
  va_become=(setpriv "--reuid=$VA_USER" "--regid=$(id -g "$VA_USER")" --init-groups --)
fi

va_as_server()
{
  "${va_become[@]}" env HOME=/nonexistent "$@"
}

# The folder for what the server reads and writes: build/ of the checkout, or, where the server's
# user cannot get there (a checkout below /root), one in /tmp that only we can write to.
va_choose_build()
{
  local key probe
  mkdir -p "$VA_ROOT/build"
  VA_BUILD=$VA_ROOT/build
  probe=$VA_ROOT/test/tools/cluster.sh
  if ! va_as_server test -r "$probe" || ! va_as_server test -x "$VA_BUILD"; then
    key=$(printf '%s' "$VA_ROOT" | cksum | cut -d ' ' -f 1)
    VA_BUILD=/tmp/voiceagent-$(id -u)-$key
    mkdir -m 0755 "$VA_BUILD" 2>/dev/null || true
    if [ -L "$VA_BUILD" ] || [ ! -O "$VA_BUILD" ]; then
      va_fail "$VA_BUILD belongs to somebody else"
      return 1
    fi
  fi
}

# Links what is in folder $1 of the system into the same place of the private install.
va_mirror()
{
  mkdir -p "$VA_INST$1"
  find "$1" -mindepth 1 -maxdepth 1 ! -name 'voiceagent*' ! -name extension \
    -exec ln -sfnt "$VA_INST$1" {} +
}

va_install()
{
  local bindir libdir sharedir variant=
  va_choose_build || return 1
  bindir=$("$PG_CONFIG" --bindir) || { va_fail "$PG_CONFIG not found; run make setup"; return 1; }
  libdir=$("$PG_CONFIG" --pkglibdir)
  sharedir=$("$PG_CONFIG" --sharedir)
  [ -z "${VA_PROGRAM:-}" ] || variant=-$(printf '%s' "$VA_PROGRAM" | cksum | cut -d ' ' -f 1)
  VA_INST=$VA_BUILD/inst$variant
  VA_BIN=$VA_INST$bindir
  mkdir -p "$VA_BIN"
  exec {va_lock}>"$VA_BUILD/inst.lock"
  flock "$va_lock"
  va_install_locked "$bindir" "$libdir" "$sharedir"
  local status=$?
  exec {va_lock}>&-
  return $status
}

va_install_locked()
{
  local log
  cp -Lpu "$1"/* "$VA_BIN/" || return 1
  va_mirror "$2" && va_mirror "$3" || return 1
  mkdir -p "$VA_INST$3/extension"
  find "$3/extension" -mindepth 1 -maxdepth 1 ! -name 'voiceagent*' \
    -exec ln -sfnt "$VA_INST$3/extension" {} +
  log=$VA_BUILD/install.log
  if ! "$MAKE" -C "$VA_ROOT" -s install PG_CONFIG="$PG_CONFIG" DESTDIR="$VA_INST" >"$log" 2>&1; then
    cat "$log" >&2
    va_fail "make install failed"
    return 1
  fi
  if [ -n "${VA_PROGRAM:-}" ]; then
    install -m 755 "$VA_PROGRAM" "$VA_BIN/voiceagent" || return 1
  fi
}

# A port in the range that the kernel hands to nobody by itself, and that no socket has.
va_free_port()
{
  local port hex try
  for ((try = 0; try < 100; try++)); do
    port=$((20000 + (RANDOM * 32768 + RANDOM) % 12000))
    printf -v hex ':%04X' "$port"
    if ! cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | grep -q "^ *[0-9]*: [0-9A-F]*$hex "; then
      echo "$port"
      return 0
    fi
  done
  va_fail "no free port found"
}

va_psql()
{
  va_as_server env PGPASSFILE="$VA_DIR/pgpass" PGOPTIONS="${PGOPTIONS:-}" PGCONNECT_TIMEOUT=10 \
    "$VA_BIN/psql" -X -q -A -t -v ON_ERROR_STOP=1 -h "$VA_SOCKET" -p "$VA_PORT" -U "$VA_USER" \
    -d "${PGDATABASE:-postgres}" "$@"
}

# va_wait_until SECONDS COMMAND…: polls a command until it succeeds.
va_wait_until()
{
  local deadline=$((${EPOCHREALTIME/./} + $1 * 1000000))
  shift
  until "$@"; do
    if [ "${EPOCHREALTIME/./}" -gt "$deadline" ]; then
      return 1
    fi
    sleep 0.02
  done
}

va_is_true()
{
  [ "$(va_psql -c "$1" 2>/dev/null)" = t ]
}

# va_wait_for SQL SECONDS: polls until the query's one value is true.
va_wait_for()
{
  va_wait_until "${2:-10}" va_is_true "$1"
}

va_log_has()
{
  grep -q -e "$1" "$VA_LOG"
}

va_cluster_start()
{
  local auth=trust extension=
  while [ $# -gt 0 ]; do
    case $1 in
      --auth) auth=$2; shift 2 ;;
      --extension) extension=yes; shift ;;
      *) break ;;
    esac
  done
  [ -z "$VA_PID" ] || { va_fail "a cluster is running already"; return 1; }
  va_install || return 1
  va_cluster_create "$auth" "$@" || return 1
  va_postmaster_start || return 1
  [ -z "$extension" ] || va_psql -c 'CREATE EXTENSION voiceagent'
}

va_cluster_create()
{
  local auth=$1 password setting
  shift
  mkdir -p "$VA_BUILD/clusters"
  VA_DIR=$(mktemp -d "$VA_BUILD/clusters/XXXXXX")
  # The path of a socket may have 107 characters; a checkout may lie deeper than that.
  VA_SOCKET=$(mktemp -d /tmp/va.XXXXXX)
  VA_DATA=$VA_DIR/data
  VA_LOG=$VA_DIR/log
  VA_PORT=$(va_free_port)
  VA_HTTP_PORT=$(va_free_port)
  VA_MEDIA_PORT=$(va_free_port)
  password=$(head -c 18 /dev/urandom | base64 | tr '+/' '-_')
  echo "$password" >"$VA_DIR/password"
  echo "*:*:*:*:$password" >"$VA_DIR/pgpass"
  : >"$VA_LOG"
  chmod 600 "$VA_DIR/pgpass" "$VA_DIR/password"
  if [ "$(id -u)" -eq 0 ]; then
    chown -R "$VA_USER:" "$VA_DIR" "$VA_SOCKET"
  fi
  if ! va_as_server "$VA_BIN/initdb" -D "$VA_DATA" -U "$VA_USER" --auth-local="$auth" \
    --auth-host="$([ "$auth" = peer ] && echo scram-sha-256 || echo "$auth")" \
    --pwfile="$VA_DIR/password" -E UTF8 --locale=C --no-sync --no-instructions \
    >"$VA_DIR/initdb.log" 2>&1; then
    cat "$VA_DIR/initdb.log" >&2
    va_fail "initdb failed"
    return 1
  fi
  {
    echo "listen_addresses = '127.0.0.1'"
    echo "port = $VA_PORT"
    echo "unix_socket_directories = '$VA_SOCKET'"
    echo "fsync = off"
    echo "max_connections = 60"
    echo "shared_buffers = 32MB"
    echo "log_line_prefix = '%m [%p] %b '"
    echo "shared_preload_libraries = 'voiceagent'"
    echo "voiceagent.listen_addresses = '127.0.0.1'"
    echo "voiceagent.http_port = $VA_HTTP_PORT"
    echo "voiceagent.media_port = $VA_MEDIA_PORT"
    for setting in "$@"; do
      echo "${setting%%=*} = '${setting#*=}'"
    done
  } >>"$VA_DATA/postgresql.conf"
}

va_answers()
{
  ! kill -0 "$VA_PID" 2>/dev/null || va_psql -c 'SELECT 1' >/dev/null 2>&1
}

# Starts the postmaster as a child of this shell that gets SIGINT (fast shutdown) when it ends.
va_postmaster_start()
{
  local -a become=(setpriv --pdeathsig INT --)
  if [ "$(id -u)" -eq 0 ]; then
    become=(setpriv "--reuid=$VA_USER" "--regid=$(id -g "$VA_USER")" --init-groups --pdeathsig INT --)
  fi
  "${become[@]}" "$VA_BIN/postgres" -D "$VA_DATA" >>"$VA_LOG" 2>&1 </dev/null &
  VA_PID=$!
  if va_wait_until 60 va_answers && kill -0 "$VA_PID" 2>/dev/null; then
    return 0
  fi
  tail -n 30 "$VA_LOG" >&2
  va_cluster_kill
  va_fail "the server did not start; its log is above"
}

# A process that has ended counts as gone, even while its parent has not yet asked how.
va_is_gone()
{
  ! kill -0 "$1" 2>/dev/null || grep -q '^State:[[:space:]]*Z' "/proc/$1/status" 2>/dev/null
}

# Ends the postmaster whatever its state.
va_cluster_kill()
{
  if [ -n "$VA_PID" ]; then
    kill -KILL "$VA_PID" 2>/dev/null
    wait "$VA_PID" 2>/dev/null
    VA_PID=
  fi
}

# Stops the server and keeps its data; fails when a fast shutdown takes longer than 20 s.
va_postmaster_stop()
{
  local signal=INT status=0
  [ "${1:-fast}" = fast ] || signal=QUIT
  [ -n "$VA_PID" ] || return 0
  kill "-$signal" "$VA_PID" 2>/dev/null
  if ! va_wait_until 20 va_is_gone "$VA_PID"; then
    echo "cluster.sh: the server did not stop in 20 s; end of its log:" >&2
    tail -n 20 "$VA_LOG" >&2
    kill -QUIT "$VA_PID" 2>/dev/null
    va_wait_until 5 va_is_gone "$VA_PID" || status=1
    status=1
  fi
  va_cluster_kill
  return $status
}

va_cluster_restart()
{
  if [ "${1:-fast}" = kill ]; then
    va_cluster_kill
  else
    va_postmaster_stop "$@"
  fi
  va_postmaster_start
}

# Stops the server and removes all that was its.
va_cluster_stop()
{
  local status=0
  va_postmaster_stop "$@" || status=1
  if [ -n "${VA_KEEP:-}" ]; then
    [ -z "$VA_DIR" ] || echo "cluster.sh: kept $VA_DIR" >&2
  elif [ -n "$VA_DIR" ]; then
    rm -rf "$VA_DIR"
  fi
  [ -z "$VA_SOCKET" ] || rm -rf "$VA_SOCKET"
  VA_DIR=
  VA_SOCKET=
  return $status
}

va_at_exit()
{
  va_exit_commands+=("$1")
}

va_cleanup()
{
  local status=$? command
  trap - EXIT
  for command in "${va_exit_commands[@]}"; do
    eval "$command" || true
  done
  va_cluster_stop fast || [ $status -ne 0 ] || status=1
  exit $status
}

trap va_cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# ---- as a command -------------------------------------------------------------------------------

va_command_run()
{
  local -a options=()
  while [ $# -gt 0 ] && [ "$1" != -- ]; do
    options+=("$1")
    shift
  done
  shift
  va_cluster_start "${options[@]}" || exit 1
  export PGHOST=$VA_SOCKET PGPORT=$VA_PORT PGUSER=$VA_USER PGPASSFILE=$VA_DIR/pgpass
  export VA_BIN VA_LOG VA_HTTP_PORT VA_MEDIA_PORT VA_PID
  "$@"
}

if [ "${BASH_SOURCE[0]}" = "$0" ]; then
  command=${1:-}
  [ $# -eq 0 ] || shift
  case $command in
    run) va_command_run "$@" ;;
    install) va_install ;;
    *) sed -n 's/^# \{0,1\}//p;/^$/q' "$0"; exit 2 ;;
  esac
fi

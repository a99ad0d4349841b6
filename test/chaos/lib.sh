#!/bin/bash
# lib.sh: what the chaos tests share: a cluster, TAP, and questions about the gateways.
here=$(dirname "${BASH_SOURCE[0]}")
# shellcheck source=../tools/cluster.sh
. "$here/../tools/cluster.sh"
# shellcheck source=../tools/tap.sh
. "$here/../tools/tap.sh"

# Process ids of this cluster's gateways, among the launcher's children.
gateway_pids()
{
  local launcher
  launcher=$(launcher_pid)
  [ -z "$launcher" ] || pgrep -P "$launcher" -f '^voiceagent gateway' || true
}

launcher_pid()
{
  [ -z "$VA_PID" ] || pgrep -P "$VA_PID" -f 'voiceagent launcher' || true
}

gateway_count_is()
{
  [ "$(gateway_pids | wc -l)" -eq "$1" ]
}

# Sessions of gateways, whichever way they logged in.
GATEWAY_SESSIONS="SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'voiceagent gateway%'"

gateway_connected()
{
  va_is_true "SELECT ($GATEWAY_SESSIONS) > 0"
}

server_start()
{
  va_psql -c 'SELECT pg_postmaster_start_time()'
}

# True when a gateway runs that is none of the pids given.
new_gateway()
{
  local pid
  for pid in $(gateway_pids); do
    case " $* " in *" $pid "*) ;; *) return 0 ;; esac
  done
  return 1
}

# Writes settings as ALTER SYSTEM does and reloads.
set_and_reload()
{
  va_psql -c "ALTER SYSTEM SET $1" -c 'SELECT pg_reload_conf()' >/dev/null
}

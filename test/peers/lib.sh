#!/bin/bash
# lib.sh: what the tests with real peers share: libraries of the services' own makers, from npm.
#
#   . test/peers/lib.sh      after cluster.sh and tap.sh
#   peer_skip WHY            ends the test as skipped, loudly
#   peer_npm NAME            installs test/peers/NAME/package-lock.json into build/peers/NAME, where NODE_PATH
#                            then points; skips when there is no node, or npm cannot get the packages

peer_skip()
{
  echo "1..0 # SKIP $1"
  exit 0
}

peer_npm()
{
  local from=$VA_ROOT/test/peers/$1 to=$VA_ROOT/build/peers/$1
  command -v node >/dev/null && command -v npm >/dev/null || peer_skip 'there is no node or npm'
  mkdir -p "$to"
  if ! cmp -s "$from/package-lock.json" "$to/package-lock.json" || [ ! -d "$to/node_modules" ]; then
    cp "$from/package.json" "$from/package-lock.json" "$to/"
    if ! (cd "$to" && npm ci --no-audit --no-fund --ignore-scripts) >"$to/npm.log" 2>&1; then
      rm -f "$to/package-lock.json"
      peer_skip "npm cannot get the packages of $1: see $to/npm.log"
    fi
  fi
  export NODE_PATH=$to/node_modules
}

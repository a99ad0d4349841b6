#!/bin/sh
#
# build.sh: builds the benchmark's programs into build/bench, each only when its sources changed.
# The Node.js programs' packages are installed there too (npm ci, from the lock file), when npm is
# at hand; without it the benchmark leaves them out and says so.
#
#   test/bench/build.sh [BUILD_DIRECTORY]
set -eu

here=$(cd "$(dirname "$0")" && pwd)
out=${1:-$here/../../build/bench}
cc=${CC:-cc}
flags="-std=gnu11 -O2 -g -Wall -Wextra -Werror -Wvla -Wmissing-prototypes -Wshadow ${BENCH_CFLAGS:-}"

mkdir -p "$out"

# compile NAME FLAG... SOURCE...: paths relative to this folder
compile()
{
	target=$out/$1
	shift
	if [ -x "$target" ] && [ -z "$(find "$here" -name '*.[ch]' -newer "$target")" ]; then
		return
	fi
	(cd "$here" && $cc $flags -o "$target" "$@" -lcrypto)
}

compile load load.c load_caller.c load_check.c load_engine.c load_http.c load_webhook.c track.c wire.c
compile relay_epoll relay_epoll.c wire.c
compile relay_faulty -DRELAY_FAULTS relay_epoll.c wire.c

if command -v npm > /dev/null && command -v node > /dev/null; then
	mkdir -p "$out/node"
	if ! cmp -s "$here/package-lock.json" "$out/node/package-lock.json" || [ ! -d "$out/node/node_modules/graphile-worker" ]; then
		cp "$here/package.json" "$here/package-lock.json" "$out/node/"
		(cd "$out/node" && npm ci --no-audit --no-fund > npm.log 2>&1) ||
			{ echo "npm ci failed, see $out/node/npm.log" >&2; rm -f "$out/node/package-lock.json"; }
	fi
fi

#!/usr/bin/env bash
# Runs the demonstration with Debian's redis-server, unpacked into a temporary directory:
# nothing is installed, and no service started. Flags are those of the program.
set -euo pipefail
cd "$(dirname "$0")"
if ! command -v redis-server >/dev/null; then
  command -v apt-get >/dev/null || { echo "run.sh: there is no redis-server in the PATH" >&2; exit 1; }
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  # redis-server is a link into redis-tools. The libraries are those that it wants, where they are missing.
  (cd "$work" && apt-get download -q -o APT::Sandbox::User=root redis-server redis-tools libjemalloc2 liblua5.1-0 liblzf1 lua-bitop lua-cjson >/dev/null)
  for deb in "$work"/*.deb; do dpkg -x "$deb" "$work/root"; done
  export PATH=$work/root/usr/bin:$PATH
  LD_LIBRARY_PATH=$(find "$work/root/usr/lib" -name '*.so*' -printf '%h\n' | sort -u | paste -sd:)${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
  export LD_LIBRARY_PATH
fi
go run . "$@"

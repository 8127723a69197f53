#!/usr/bin/env bash
# Runs the API under traffic, with an outage in the middle, and a Prometheus that
# watches it; then asks that Prometheus a few questions.
#
#   run.sh                                                       two minutes
#   run.sh -duration 3m -outage-at 60s -outage-for 60s           any flags of the program but -listen
#   KEEP=1 run.sh                                                leaves Prometheus and its pages until Ctrl-C
#   API=127.0.0.1:8081 PROMETHEUS=127.0.0.1:9091 run.sh          other addresses
#   PICTURE=1 run.sh -duration 190s -outage-at 60s -outage-for 60s
#                                                                takes the picture of docs/observability.md anew
#   NATIVE=0 run.sh                                              classic buckets, even if native histograms are known
#
# Prometheus is taken from the PATH. On Debian and Ubuntu it is otherwise unpacked
# from the distribution's package into a temporary directory: nothing is installed,
# and no service started.
set -euo pipefail
cd "$(dirname "$0")"
api=${API:-127.0.0.1:8080}
web=${PROMETHEUS:-127.0.0.1:9090}
work=$(mktemp -d)
pids=()
cleanup() {
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
  wait
  rm -rf "$work"
}
trap cleanup EXIT

flags=(--enable-feature=exemplar-storage --config.file="$work/prometheus.yml" --storage.tsdb.path="$work/data" --web.listen-address="$web" --log.level=warn)
if ! { command -v prometheus && command -v promtool; } >/dev/null; then
  command -v apt-get >/dev/null || { echo "run.sh: prometheus and promtool are not in the PATH" >&2; exit 1; }
  echo "Unpacking the package prometheus into $work."
  mkdir "$work/debs" "$work/root"
  # The libraries are those of its pages. When a download fails: apt-get update.
  (cd "$work/debs" && apt-get download -q -o APT::Sandbox::User=root prometheus libjs-bootstrap4 libjs-d3 libjs-eonasdan-bootstrap-datetimepicker \
    fonts-glyphicons-halflings libjs-jquery libjs-jquery-hotkeys libjs-moment libjs-moment-timezone libjs-mustache libjs-popper.js libjs-rickshaw >/dev/null)
  for deb in "$work"/debs/*.deb; do dpkg -x "$deb" "$work/root"; done
  PATH=$work/root/usr/bin:$PATH
  flags+=(--web.local-assets="$work/root/usr/share/prometheus/web")
fi
if [ "${NATIVE:-1}" = 1 ] && [[ $(prometheus --help 2>&1) == *native-histograms* ]]; then
  flags+=(--enable-feature=native-histograms)
fi

cp -r rules "$work/rules"
sed -i.was 's/interval: 5m/interval: 2s/' "$work/rules/recording.yml" # the month, which is none here
sed "s/127\.0\.0\.1:8080/$api/" prometheus.yml >"$work/prometheus.yml"
promtool check config "$work/prometheus.yml"
go build -o "$work/observability" .

prometheus "${flags[@]}" &
pids+=($!)
echo "Prometheus is at http://$web/graph and http://$web/alerts."
"$work/observability" -listen "$api" -duration 2m -outage-at 40s -outage-for 40s "$@" &
pids+=($!)
wait "${pids[1]}"

ask() {
  printf '\n%s\n  %s\n' "$1" "$2"
  promtool query instant "http://$web" "$2" | sed 's/ @\[.*//; s/^/    /'
}
ask "Decisions, by outcome and reason" 'sort_desc(round(sum by (outcome, reason) (increase(bearergate_decisions_total[15m]))))'
ask "Infrastructure failures, share of requests at worst" 'max_over_time(job:bearergate_infrastructure_failures:ratio_rate5m[15m])'
ask "Age of the keys at worst, in seconds" 'max_over_time(job_issuer:bearergate_jwks_age_seconds:max[15m])'
ask "Introspection, 95th percentile at the end, in seconds" 'last_over_time(job_issuer:bearergate_introspection_call_duration_seconds:p95_5m[15m])'
ask "From revocation to refusal, 95th percentile at the end, in seconds" 'last_over_time(job:revocation_to_refusal_seconds:p95_5m[15m])'
ask "For how many evaluations an alert was pending or firing" 'sum by (alertname, alertstate) (count_over_time(ALERTS[15m]))'

if [ "${PICTURE:-0}" = 1 ]; then
  (cd ../.. && go run ./tools/pictures -record "http://$web")
  printf '\ndocs/observability-outage.svg is of this run.\n'
fi

if [ "${KEEP:-0}" = 1 ]; then
  printf '\nPrometheus stays at http://%s until Ctrl-C.\n' "$web"
  wait "${pids[0]}"
fi

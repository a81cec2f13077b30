#!/usr/bin/env bash
# A real Apache Kafka for the tests: one broker, no container, no tarball.
#
#   kafka.sh fetch         copies Apache Kafka 4.3.1 into the cache (once; needs mvn)
#   kafka.sh start DIR     starts a broker whose data lie in DIR (kept or new), on free ports; prints 127.0.0.1:PORT when it is ready
#   kafka.sh stop DIR      stops it; the data stay
#   kafka.sh kill DIR      stops it as a power cut would (SIGKILL); `start DIR` brings the same port back
#
# The cache is ${DRIFTLINE_KAFKA_CACHE:-.cache/kafka in this project}. Typical use:
#   broker=$(tests/kafka/kafka.sh start /tmp/k) && DRIFTLINE_TEST_BROKERS=$broker cargo test --test broker_checks
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${DRIFTLINE_KAFKA_CACHE:-$here/../../.cache/kafka}

die() { echo "kafka.sh: $*" >&2; exit 1; }

need_java() {
  command -v java >/dev/null || die "java is missing; Apache Kafka needs Java 17 or later"
  local major
  major=$(java -version 2>&1 | sed -n 's/.*version "\([0-9]*\).*/\1/p' | head -1)
  [ "${major:-0}" -ge 17 ] || die "java is version ${major:-unknown}; Apache Kafka needs Java 17 or later"
}

fetch() {
  need_java
  [ -e "$cache/complete" ] && return
  command -v mvn >/dev/null || die "mvn is missing; it copies Apache Kafka from Maven Central"
  mkdir -p "$cache"
  mvn -q -B -f "$here/pom.xml" dependency:copy-dependencies "-DoutputDirectory=$(cd "$cache" && pwd)/libs" >&2 ||
    die "mvn could not copy Apache Kafka into $cache"
  touch "$cache/complete"
}

# Two different ports that nobody listens on at the moment.
free_ports() {
  local port found=()
  while [ ${#found[@]} -lt 2 ]; do
    port=$((20000 + RANDOM % 12000))
    [[ " ${found[*]-} " == *" $port "* ]] && continue
    (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || found+=("$port")
  done
  echo "${found[@]}"
}

configure() {
  local dir=$1 port controller
  read -r port controller <<<"$(free_ports)"
  echo "$port" >"$dir/port"
  cat >"$dir/log4j2.properties" <<'LOG'
rootLogger.level = WARN
rootLogger.appenderRef.console.ref = STDOUT
appender.console.type = Console
appender.console.name = STDOUT
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d %p %m (%c)%n
LOG
  cat >"$dir/server.properties" <<CONF
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=127.0.0.1:$controller
listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$controller
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dir=$dir/data
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
transaction.abort.timed.out.transaction.cleanup.interval.ms=1000
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=false
log.retention.check.interval.ms=1000
log.cleaner.backoff.ms=500
CONF
  # A cluster id is 16 bytes as unpadded URL-safe base64. With a dash in front it would be read as an option.
  local id=-
  while [[ $id == -* ]]; do id=$(head -c 16 /dev/urandom | base64 | tr '+/' '-_' | tr -d '='); done
  java -cp "$cache/libs/*" "-Dlog4j2.configurationFile=$dir/log4j2.properties" \
    kafka.tools.StorageTool format --standalone -t "$id" -c "$dir/server.properties" >"$dir/format.log" 2>&1 ||
    { cat "$dir/format.log" >&2; die "formatting $dir failed"; }
}

start() {
  [ $# -eq 1 ] || die "usage: kafka.sh start DIR (one broker; clusters of several are not offered yet)"
  fetch
  mkdir -p "$1"
  local dir port pid
  dir=$(cd "$1" && pwd)
  [ -e "$dir/pid" ] && kill -0 "$(cat "$dir/pid")" 2>/dev/null && die "a broker already runs in $dir"
  [ -e "$dir/server.properties" ] || configure "$dir"
  port=$(cat "$dir/port")
  java -Xmx1g -cp "$cache/libs/*" "-Dlog4j2.configurationFile=$dir/log4j2.properties" \
    kafka.Kafka "$dir/server.properties" >>"$dir/broker.log" 2>&1 </dev/null &
  pid=$!
  echo "$pid" >"$dir/pid"
  for _ in $(seq 600); do
    kill -0 "$pid" 2>/dev/null || die "the broker ended at start, see $dir/broker.log"
    # The port opens last, after the broker has caught up with its metadata.
    if (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
      echo "127.0.0.1:$port"
      return
    fi
    sleep 0.1
  done
  die "the broker was not ready within 60 s, see $dir/broker.log"
}

end() {
  local signal=$1 dir=$2 pid
  [ -e "$dir/pid" ] || die "no broker was started in $dir"
  pid=$(cat "$dir/pid")
  kill "-$signal" "$pid" 2>/dev/null || true
  for _ in $(seq 300); do
    kill -0 "$pid" 2>/dev/null || { rm -f "$dir/pid"; return; }
    sleep 0.1
  done
  die "the broker (pid $pid) did not end within 30 s"
}

case ${1-} in
  fetch) fetch ;;
  start) shift; start "$@" ;;
  stop) end TERM "${2:?usage: kafka.sh stop DIR}" ;;
  kill) end KILL "${2:?usage: kafka.sh kill DIR}" ;;
  *) sed -n '2,11s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2; exit 2 ;;
esac

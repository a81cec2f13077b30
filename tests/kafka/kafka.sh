#!/usr/bin/env bash
# A real Apache Kafka for the tests: one broker or three, no container, no tarball.
#
#   kafka.sh fetch         copies Apache Kafka 4.3.1 into the cache (once; needs mvn)
#   kafka.sh start DIR     starts a broker whose data lie in DIR (kept or new), on free ports; prints 127.0.0.1:PORT when it is ready
#   kafka.sh stop DIR      stops it; the data stay
#   kafka.sh kill DIR      stops it as a power cut would (SIGKILL); `start DIR` brings the same port back
#   kafka.sh cluster DIR [PORT,PORT,PORT]...
#                          starts three brokers in DIR/1, DIR/2, DIR/3 (replication 3, min.insync.replicas 2); prints a line for each.
#                          start, stop and kill do the same to one of them (DIR/2). Each PORT,PORT,PORT is one more listener that
#                          advertises 127.0.0.1:PORT (a proxy's, by broker); line i of DIR/N/behind is the port that it really has.
#   kafka.sh secure DIR NAME...
#                          starts a broker as it is in production: TLS, passwords (SCRAM-SHA-512), nobody may do what no ACL allows.
#                          NAME-secret is the password of user NAME; `admin` and who comes in without TLS may do everything. Prints its
#                          addresses: without TLS, with TLS, and with certificates that a client must refuse (see `certificates`).
#   kafka.sh COMMAND.sh ARGUMENT...
#                          Kafka's own command-line tools, by the names that its manual gives them: kafka-acls.sh
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
  cmp -s "$here/pom.xml" "$cache/complete" && return
  command -v mvn >/dev/null || die "mvn is missing; it copies Apache Kafka from Maven Central"
  mkdir -p "$cache"
  mvn -q -B -f "$here/pom.xml" dependency:copy-dependencies "-DoutputDirectory=$(cd "$cache" && pwd)/libs" >&2 ||
    die "mvn could not copy Apache Kafka into $cache"
  cp "$here/pom.xml" "$cache/complete"
}

# So many different ports that nobody listens on at the moment.
free_ports() {
  local port found=()
  while [ ${#found[@]} -lt "$1" ]; do
    port=$((20000 + RANDOM % 12000))
    [[ " ${found[*]-} " == *" $port "* ]] && continue
    (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || found+=("$port")
  done
  echo "${found[@]}"
}

# A cluster id is 16 bytes as unpadded URL-safe base64. With a dash in front it would be read as an option.
new_id() {
  local id=-
  while [[ $id == -* ]]; do id=$(head -c 16 /dev/urandom | base64 | tr '+/' '-_' | tr -d '='); done
  echo "$id"
}

# configure DIR NODE PORT CONTROLLER COPIES: what one broker and one of three have in common; more settings come from stdin.
configure() {
  local dir=$1 node=$2 port=$3 controller=$4 copies=$5
  echo "$port" >"$dir/port"
  cat >"$dir/log4j2.properties" <<'LOG'
rootLogger.level = WARN
rootLogger.appenderRef.console.ref = STDOUT
logger.group.name = org.apache.kafka.coordinator.group
logger.group.level = INFO
appender.console.type = Console
appender.console.name = STDOUT
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d %p %m (%c)%n
LOG
  cat - >"$dir/server.properties" <<CONF
process.roles=broker,controller
node.id=$node
controller.listener.names=CONTROLLER
log.dir=$dir/data
offsets.topic.replication.factor=$copies
offsets.topic.num.partitions=$copies
transaction.state.log.replication.factor=$copies
transaction.state.log.min.isr=$(((copies + 1) / 2))
transaction.state.log.num.partitions=$copies
transaction.abort.timed.out.transaction.cleanup.interval.ms=1000
share.coordinator.state.topic.replication.factor=$copies
share.coordinator.state.topic.min.isr=$(((copies + 1) / 2))
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=false
log.retention.check.interval.ms=1000
log.cleaner.backoff.ms=500
CONF
  cat >>"$dir/server.properties"
}

format() {
  local dir=$1
  shift
  java -cp "$cache/libs/*" "-Dlog4j2.configurationFile=$dir/log4j2.properties" \
    kafka.tools.StorageTool format "$@" -c "$dir/server.properties" >"$dir/format.log" 2>&1 ||
    { cat "$dir/format.log" >&2; die "formatting $dir failed"; }
}

configure_one() {
  local dir=$1 port controller
  read -r port controller <<<"$(free_ports 2)"
  configure "$dir" 1 "$port" "$controller" 1 <<CONF
controller.quorum.bootstrap.servers=127.0.0.1:$controller
listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$controller
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
CONF
  format "$dir" --standalone -t "$(new_id)"
}

# Three brokers, each a controller, too. Whatever follows DIR are the listeners behind proxies.
configure_three() {
  local dir=$1 ports id n i listeners advertised map via
  shift
  read -ra ports <<<"$(free_ports $((6 + 3 * $#)))"
  id=$(new_id)
  for n in 1 2 3; do
    mkdir -p "$dir/$n"
    listeners=PLAINTEXT://127.0.0.1:${ports[n - 1]}
    advertised=$listeners
    listeners+=,CONTROLLER://127.0.0.1:${ports[n + 2]}
    map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
    : >"$dir/$n/behind"
    for i in $(seq $#); do
      IFS=, read -ra via <<<"${!i}"
      echo "${ports[3 * i + 2 + n]}" >>"$dir/$n/behind"
      listeners+=,VIA$i://127.0.0.1:${ports[3 * i + 2 + n]}
      advertised+=,VIA$i://127.0.0.1:${via[n - 1]}
      map+=,VIA$i:PLAINTEXT
    done
    # A broker that died is known to be dead after 3 s instead of 9, and leads again 5 s after its return instead of 300.
    echo "-Xmx512m -XX:TieredStopAtLevel=1 -XX:+UseSerialGC" >"$dir/$n/jvm"
    configure "$dir/$n" "$n" "${ports[n - 1]}" "${ports[n + 2]}" 3 <<CONF
controller.quorum.voters=1@127.0.0.1:${ports[3]},2@127.0.0.1:${ports[4]},3@127.0.0.1:${ports[5]}
listeners=$listeners
advertised.listeners=$advertised
listener.security.protocol.map=$map
inter.broker.listener.name=PLAINTEXT
default.replication.factor=3
min.insync.replicas=2
unclean.leader.election.enable=false
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
leader.imbalance.check.interval.seconds=5
group.min.session.timeout.ms=2000
CONF
    format "$dir/$n" -t "$id" &
  done
  wait
}

# The listeners are called as the files with their certificates.
configure_secure() {
  local dir=$1 ports i name users=()
  local listeners advertised map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT certificates=(good expired elsewhere stranger)
  shift
  "$here/certificates" "$dir/tls"
  read -ra ports <<<"$(free_ports 6)"
  advertised=PLAINTEXT://127.0.0.1:${ports[0]}
  listeners=$advertised,CONTROLLER://127.0.0.1:${ports[1]}
  echo "127.0.0.1:${ports[0]}" >"$dir/addresses"
  for i in 0 1 2 3; do
    name=${certificates[i]}
    advertised+=,${name^^}://localhost:${ports[i + 2]}
    listeners+=,${name^^}://127.0.0.1:${ports[i + 2]}
    map+=,${name^^}:SASL_SSL
    echo "localhost:${ports[i + 2]}" >>"$dir/addresses"
  done
  {
    cat <<CONF
controller.quorum.bootstrap.servers=127.0.0.1:${ports[1]}
listeners=$listeners
advertised.listeners=$advertised
listener.security.protocol.map=$map
inter.broker.listener.name=PLAINTEXT
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
allow.everyone.if.no.acl.found=false
super.users=User:ANONYMOUS;User:admin
sasl.enabled.mechanisms=SCRAM-SHA-512
CONF
    for name in "${certificates[@]}"; do
      cat <<CONF
listener.name.$name.ssl.keystore.type=PEM
listener.name.$name.ssl.keystore.location=$dir/tls/$name.pem
listener.name.$name.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
CONF
    done
  } | configure "$dir" 1 "${ports[0]}" "${ports[1]}" 1
  for name in admin "$@"; do users+=(--add-scram "SCRAM-SHA-512=[name=$name,password=$name-secret]"); done
  format "$dir" --standalone -t "$(new_id)" "${users[@]}"
}

launch() {
  local dir=$1
  [ -e "$dir/pid" ] && kill -0 "$(cat "$dir/pid")" 2>/dev/null && die "a broker already runs in $dir"
  # shellcheck disable=SC2046  # options, one a word
  java $(cat "$dir/jvm" 2>/dev/null || echo -Xmx1g) -cp "$cache/libs/*" "-Dlog4j2.configurationFile=$dir/log4j2.properties" \
    kafka.Kafka "$dir/server.properties" >>"$dir/broker.log" 2>&1 </dev/null &
  echo "$!" >"$dir/pid"
}

await() {
  local dir=$1 port pid
  port=$(cat "$dir/port") pid=$(cat "$dir/pid")
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

start() {
  fetch
  mkdir -p "$1"
  local dir
  dir=$(cd "$1" && pwd)
  [ -e "$dir/server.properties" ] || configure_one "$dir"
  launch "$dir"
  await "$dir"
}

cluster() {
  fetch
  mkdir -p "$1"
  local dir n
  dir=$(cd "$1" && pwd)
  shift
  [ -e "$dir/3/server.properties" ] || configure_three "$dir" "$@"
  for n in 1 2 3; do launch "$dir/$n"; done
  for n in 1 2 3; do await "$dir/$n"; done
}

secure() {
  fetch
  mkdir -p "$1"
  local dir
  dir=$(cd "$1" && pwd)
  shift
  configure_secure "$dir" "$@"
  launch "$dir"
  await "$dir" >/dev/null
  cat "$dir/addresses"
}

tool() {
  local class
  case $1 in
    kafka-acls.sh) class=org.apache.kafka.tools.AclCommand ;;
    *) die "$1 is not known here" ;;
  esac
  fetch
  shift
  exec java -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Dlog4j2.level=OFF -cp "$cache/libs/*" "$class" "$@"
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
  start) start "${2:?usage: kafka.sh start DIR}" ;;
  cluster) shift; cluster "${@:?usage: kafka.sh cluster DIR [PORT,PORT,PORT]...}" ;;
  secure) shift; secure "${@:?usage: kafka.sh secure DIR NAME...}" ;;
  *.sh) tool "$@" ;;
  stop) end TERM "${2:?usage: kafka.sh stop DIR}" ;;
  kill) end KILL "${2:?usage: kafka.sh kill DIR}" ;;
  *) sed -n '2,21s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2; exit 2 ;;
esac

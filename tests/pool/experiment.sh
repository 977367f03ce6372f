# shellcheck shell=bash
# An experiment on the pool: four clients and three rounds on real radiographs, with a host that vanishes and a job that fails.
# Sourced by `run.sh`, whose $pool, $experiments and `fail` it uses. Start at `run_experiment`.
#
# shellcheck disable=SC2154 # what `run.sh` sets
#
# In, by environment: FEDWING_DATA (the folder of real data), FEDWING_BIN (a folder of job binaries; built when not given).

# Specification, data and binaries as the submit host sees them. The local engine runs there too, so both read one path.
prepare_experiment() {
  local data=$1 bin=${FEDWING_BIN:-target/debug} binary
  if [[ -z ${FEDWING_BIN:-} ]]; then
    cargo build --quiet -p fedwing -p fl-client -p fl-aggregator || fail "the binaries do not build"
  fi
  mkdir -p "$experiments/bin"
  for binary in fedwing fl-client fl-aggregator; do cp "$bin/$binary" "$experiments/bin/"; done
  cp -r "$data" "$experiments/nih1000"
  sed -e 's,\.\./\.\./shared/data/,,' -e 's/rounds: 5/rounds: 3/' -e '/^evaluation:/,$d' examples/nih1000.yml >"$experiments/flat.yml"
  cat >>"$experiments/flat.yml" <<'SPEC'
execution:
  layout: flat
  resources:
    train: {cpus: 1, memory: 1 GiB}
SPEC
  sed -e 's/layout: flat/layout: rounds/' "$experiments/flat.yml" >"$experiments/rounds.yml"
  grep -q 'rounds: 3' "$experiments/flat.yml" || fail "the example is not what this test makes its own of"
  chown -R 1000:1000 "$experiments"/{bin,nih1000,flat.yml,rounds.yml}
}

generate() {
  local said
  said=$("$pool" run bin/fedwing generate "$1.yml" -o "$1" --target dagman 2>&1) || fail "$1 is not generated: $said"
}

submit_experiment() { "$pool" run "$1/submit.sh" >"$experiments/$1.submitted"; }

# How often DAGMan has ended.
ended() { { grep -c 'EXITING WITH STATUS' "$experiments/$1/nih1000.dag.dagman.out" 2>/dev/null || echo 0; } | tail -n 1; }

# Waits until the DAGMan of $1 has ended $2 times, the last time with status $3, for $4 s at most.
wait_for_end() {
  local name=$1 times=$2 status=$3 deadline=$((SECONDS + $4))
  until (($(ended "$name") >= times)); do
    ((SECONDS < deadline)) || fail "$name did not end within $4 s"
    sleep 0.5
  done
  tail -n 3 "$experiments/$name/nih1000.dag.dagman.out" | grep -q "EXITING WITH STATUS $status" ||
    fail "$name did not end with status $status: $(tail -n 5 "$experiments/$name/nih1000.dag.dagman.out")"
}

# A machine that trains for a client in round $1 at this moment.
trains_now() {
  "$pool" run condor_q -constraint "JobStatus == 2 && FL_JobType == \"train\" && FL_Round == $1" -af RemoteHost | head -n 1
}

# Every job of the plan ended, once, and well: what event logs say, of all DAGs of the experiment.
check_events() {
  local folder=$experiments/$1 jobs
  jobs=$(wc -l <"$folder/jobs.jsonl")
  find "$folder" -name '*.nodes.log*' -exec cat {} + |
    awk '/^000 /{id=$2; named=0} /DAG Node: /{if (id != "") node[id]=$3; id=""}
         /^005 /{over=$2} /Normal termination \(return value 0\)/{if (over != "") print node[over]; over=""}' |
    sort >"$folder/well"
  sed 's/^{"job":"\([^"]*\)".*/\1/' "$folder/jobs.jsonl" | sort >"$folder/planned"
  # A nested DAG is a node too, by the name of its rounds, and so is what deletes behind them.
  grep -Ev '^(round|clean)-' "$folder/well" | diff "$folder/planned" - >"$folder/differ" ||
    fail "$1: of $jobs jobs some did not end well exactly once: $(head -n 5 "$folder/differ")"
}

# Updates are gone, and the report tells of them all the same.
check_cleaned() {
  local left facts
  left=$(find "$experiments/$1/files" -name '*.update.*')
  [[ -z $left ]] || fail "$1: updates are left: $left"
  "$pool" run bin/fedwing report "$1" --json >"$experiments/$1.report.json"
  facts=$(cat "$experiments/$1"/clean/*.deleted | grep -c '^[0-9a-f]\{64\}  files/nih1000\.nih\.r000[123]\.c000[0-3]\.update\.safetensors$')
  [[ $facts == 12 ]] || fail "$1: $facts updates are written down as deleted, not 12"
  python3 - "$experiments/$1.report.json" <<'PYTHON' || fail "$1: the report does not tell what training wrote"
import json, sys

stages = {stage["kind"]: stage["used"]["bytes_out"] for stage in json.load(open(sys.argv[1]))["stages"]}
sys.exit(stages.keys() - {"prepare", "stats", "init", "train", "aggregate", "evaluate"} or stages["train"] < 12 * stages["init"])
PYTHON
}

# shellcheck disable=SC2016 # the quotes of Markdown
digest() { sed -n 's/^`\([0-9a-f]*\)`\.$/\1/p' "$experiments/$1/README.md"; }

# Every global model is that of the local engine's run of the flat specification, byte by byte; but for the specification's
# digest, which stands in every model.
check_models() {
  local round file digests
  digests="s/$(digest flat)/$(digest "$1")/"
  for round in 0 1 2 3; do
    file=files/nih1000.nih.r000$round.global.safetensors
    LC_ALL=C sed -e "$digests" "$experiments/flat-local/$file" | cmp - "$experiments/$1/$file" ||
      fail "$1: round $round's model differs from the local engine's"
  done
}

run_locally() {
  "$pool" run bin/fedwing run flat.yml --dir flat-local >"$experiments/flat-local.log" 2>&1 ||
    fail "the local run fails: $(tail -n 5 "$experiments/flat-local.log")"
}

# One host is lost while it trains in round 2.
lost=
lose_a_host() {
  local host deadline=$((SECONDS + 120)) begun=$SECONDS
  generate flat
  submit_experiment flat
  until host=$(trains_now 2) && [[ $host == *@execute* ]]; do
    ((SECONDS < deadline)) || fail "round 2 did not begin within 120 s"
    sleep 0.1
  done
  host=${host#*@execute}
  lost=${host%%.*}
  "$pool" kill-host "$lost"
  echo "host $lost lost in round 2, $((SECONDS - begun)) s after submitting"
}

# Its jobs run again elsewhere, and nothing is counted twice.
recover() {
  wait_for_end flat 1 0 240
  grep -qE '^(022|024|004) ' "$experiments/flat/nih1000.dag.nodes.log" || fail "no job noticed that its host was lost"
  "$pool" start-host "$lost"
  check_events flat
  check_models flat
  check_cleaned flat
}

# Aggregation fails in round 1, by a code that another attempt does not mend; then the cause is removed.
fail_and_go_on() {
  local folder=$experiments/rounds begun=$SECONDS
  generate rounds
  mv "$folder/bin/fl-aggregator" "$folder/bin/sound"
  cp "$folder/bin/fl-client" "$folder/bin/fl-aggregator"
  submit_experiment rounds
  wait_for_end rounds 1 1 180
  local log=$folder/rounds/round-nih-r0001.dag.nodes.log
  [[ $(grep -c 'return value 2' "$log") == 1 ]] || fail "the failed job did not end once by its own exit code"
  grep -q 'aggregate' "$folder/logs/aggregate-nih-r0001.err" || fail "the failed job's stderr did not arrive"
  echo "failed as it should after $((SECONDS - begun)) s"
  mv "$folder/bin/sound" "$folder/bin/fl-aggregator"
  # DAGMan begins its event logs anew.
  find "$folder" -name '*.nodes.log' -exec cp {} {}.first \;
  submit_experiment rounds
  wait_for_end rounds 2 0 180
  echo "went on and completed after $((SECONDS - begun)) s"
  check_events rounds
  check_models rounds
  check_cleaned rounds
}

# The four clients' images are at four sites, each only its own; the submit host has those of the test set.
share_out_images() {
  local site
  for site in 0 1 2 3; do
    mkdir -p "$experiments/sites/site$site/nih/images"
    cp "$experiments/nih1000/Data_Entry_2017.csv" "$experiments/sites/site$site/nih/"
  done
  python3 - "$experiments" <<'PYTHON'
import json, pathlib, sys

folder = pathlib.Path(sys.argv[1])
manifest = json.loads((folder / "flat-local/files/nih1000.nih.manifest.json").read_text())
for row in manifest["rows"]:
    if row["client"] is not None:
        name = row["image"].rsplit("/", 1)[-1]
        (folder / "nih1000/images" / name).rename(folder / f"sites/site{row['client']}/nih/images/{name}")
PYTHON
  chown -R 1000:1000 "$experiments/sites"
  {
    cat "$experiments/flat.yml"
    echo "sites:"
    for site in 0 1 2 3; do
      echo "  site$site: {clients: [$site], data: /srv/site, condor: {requirements: 'FedwingSite == \"site$site\"'}}"
    done
    echo "privacy: {data_stays_at_site: true}"
  } >"$experiments/stay.yml"
}

# Data stays at its site, and the models are the same.
stay_at_sites() {
  local begun=$SECONDS shards
  share_out_images
  generate stay
  submit_experiment stay
  wait_for_end stay 1 0 240
  echo "complete after $((SECONDS - begun)) s"
  check_events stay
  check_models stay
  check_cleaned stay
  shards=$(find "$experiments/sites" -path '*/fedwing/*' -name '*.shard.safetensors' | sed "s,$experiments/sites/,,;s,/.*\.nih\., ,;s,\..*,," | sort | tr '\n' ';')
  [[ $shards == "site0 c0000;site1 c0001;site2 c0002;site3 c0003;" ]] || fail "sites hold the shards $shards"
}

run_experiment() {
  local data=${FEDWING_DATA:-$PWD/../shared/data}/nih1000
  if [[ ! -d $data ]]; then
    echo "SKIPPED: no experiment on the pool: no folder $data; set FEDWING_DATA"
    return
  fi
  prepare_experiment "$data"
  run_locally
  echo "== an experiment loses a host"
  lose_a_host
  echo "== another one, in nested DAGs, fails meanwhile, and goes on from there"
  fail_and_go_on
  echo "== the first one is complete, and its models are those of the local engine"
  recover
  echo "== an experiment whose data stays at its sites"
  stay_at_sites
}

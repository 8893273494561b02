#!/usr/bin/env bash
# The whole benchmark on one large GPU, in under ten minutes; its reduced form runs on any CPU.
#
#   benchmarks/gpu.sh                 one H200: tier gpu of the generated world, TOFU, vLLM where it can be imported
#   benchmarks/gpu.sh --small         any CPU: tier small, an untrained TOFU model, the local engine, few questions; no
#                                     figure of it means anything, it shows that all parts work
#
#   --data DIR   folder with tofu/ and knowundo_privacy/ (default ../shared/data); without it these steps are skipped
#   --base NAME  what is fine-tuned on TOFU (default: SmolLM2-135M-Instruct where it was fetched, else an untrained one)
#   OUT          folder of the results (default gpu-results)
#   WORK         folder of models and logs (default: OUT/work)
#   PYTHON       interpreter (default .venv/bin/python, else python3)
#   FAMILIES, ITEMS    what the leakage benchmark asks, see `lethe bench leakage --help`
#   DEADLINE     seconds after which no step goes on (default 590; --small: 1800, with limits five times as long)
#
# A step that fails or runs too long is reported, the others still write their results, and the exit status is 1.
# OUT/steps.json says what ran, for how long, and on what.
#
# Estimate for one H200, not measured: 6 x parameters x tokens is 2.8e15 FLOP for the full model of the world (85 M
# parameters, 92 thousand tokens, 60 passes), 2.3e15 for each of the other two, 3.4e15 (untrained base, 329
# thousand tokens, 20 passes) or 1.3e15 (SmolLM2, 5 passes) for each TOFU model: a minute in all at 200 TFLOP/s. What
# takes time is starting some thousands of kernels a step (about 45 ms; 1,400 steps for a model of the world, 1,700 for
# TOFU), so the five models are trained side by side: two to three minutes. TOFU is evaluated beside the training of the
# world. Then leakage with three engines: four to five minutes; latency: under a minute.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1

small=0 data=../shared/data base=
while [ $# -gt 0 ]; do
  case $1 in
    --small) small=1 ;;
    --data) data=${2:?--data needs a folder}; shift ;;
    --base) base=${2:?--base needs a name}; shift ;;
    *) sed -n '2,19s/^# \{0,1\}//p' "$0"; exit 2 ;;
  esac
  shift
done

OUT=${OUT:-gpu-results}
WORK=${WORK:-$OUT/work}
patience=1
if [ "$small" = 1 ]; then patience=5 DEADLINE=${DEADLINE:-1800}; else DEADLINE=${DEADLINE:-590}; fi
if [ -z "${PYTHON:-}" ]; then PYTHON=python3; [ -x .venv/bin/python ] && PYTHON=.venv/bin/python; fi
lethe=("$PYTHON" -m gateway.cli)
mkdir -p "$OUT" "$WORK/logs" "$WORK/steps" || exit 1
rm -f "$WORK"/steps/*
export PYTHONPATH=$PWD${PYTHONPATH:+:$PYTHONPATH} HF_HUB_OFFLINE=1

# step NAME LIMIT COMMAND...: run it with a limit in seconds, say how long it took, note the outcome.
step() {
  local name=$1 limit=$(($2 * patience)) began=$SECONDS status left
  shift 2
  left=$((DEADLINE - SECONDS))
  [ "$limit" -gt "$left" ] && limit=$left
  if [ "$limit" -lt 1 ]; then
    status=124
    echo "no time left" >"$WORK/logs/$name.log"
  else
    # in the foreground, so that Ctrl-C reaches it; whoever starts engines ends them on SIGTERM
    timeout --foreground --kill-after=20 "$limit" "$@" >"$WORK/logs/$name.log" 2>&1 </dev/null
    status=$?
  fi
  note "$name" "$status" $((SECONDS - began))
  if [ "$status" -eq 0 ]; then
    echo "$name: done in $((SECONDS - began)) s"
  else
    [ "$status" -eq 124 ] && echo "$name: stopped after $limit s" || echo "$name: FAILED with status $status"
    tail -n 15 "$WORK/logs/$name.log" | tr '\r' '\n' | tail -n 15 | sed 's/^/    /'
  fi
  return "$status"
}

# keep FOLDER FILE...: put results where they belong; a file that is missing is a failure like any other.
keep() {
  local into=$1
  shift
  mkdir -p "$into" && cp "$@" "$into/" || note "result-$(basename "$1")" 1 0
}

note() { printf '%s\t%s\t%s\n' "$1" "$2" "$3" >"$WORK/steps/$(date +%s%N)-$1"; }

# What the machine can do. `small` never looks for a GPU, so that it does the same everywhere.
found=$("$PYTHON" - <<'PYTHON'
from importlib.util import find_spec
import torch
print("cuda" if torch.cuda.is_available() else "cpu", "vllm" if find_spec("vllm") else "local")
PYTHON
) || { echo "$PYTHON cannot import torch: install '.[engine]' or '.[vllm]', or name an interpreter with PYTHON="; exit 1; }
read -r device backend <<<"$found"
if [ "$small" = 1 ]; then
  device=cpu backend=local tier=small methods=eco-noise
  families=${FAMILIES:-direct,sample_direct} items=${ITEMS:-8}
  base=${base:-blank-small}
  trial=(--steps 4) ceilings=()
  tofu=(--items 8 --tokens 8 --strength 32)
  overhead=(--rounds 1 --seconds 0.3 --skip-engine)
  export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
elif [ "$device" != cuda ]; then
  echo "torch sees no CUDA device; benchmarks/gpu.sh --small is the form for CPUs"
  exit 1
else
  tier=gpu methods=eco-noise,eco-null families=${FAMILIES:-narrow} items=${ITEMS:-64}
  # the local engine runs on the CPU: fewer questions
  [ "$backend" = local ] && families=${FAMILIES:-direct,paraphrase,prefill_rendered,sample_direct} items=${ITEMS:-16}
  if [ -z "$base" ]; then
    base=blank
    "$PYTHON" -c 'import sys; from steering.weights import folder_of; sys.exit(not folder_of(sys.argv[1]).is_dir())' \
      smollm2-135m-instruct && base=smollm2-135m-instruct
  fi
  trial=()
  tofu=(--items 200)
  ceilings=(--ceilings)
  overhead=(--rounds 2 --seconds 1)
  if [ "$backend" = vllm ]; then overhead+=(--model "$WORK/world/full"); else overhead+=(--skip-engine); fi
  # one model runner in every engine that is compared, and no kernels that are compiled at first use
  export VLLM_USE_V2_MODEL_RUNNER=${VLLM_USE_V2_MODEL_RUNNER:-0} LETHE_ALLOW_UNTESTED=${LETHE_ALLOW_UNTESTED:-1}
  export VLLM_NO_USAGE_STATS=1 VLLM_USE_FLASHINFER_SAMPLER=${VLLM_USE_FLASHINFER_SAMPLER:-0}
  export VLLM_USE_DEEP_GEMM=${VLLM_USE_DEEP_GEMM:-0}
fi
echo "device $device, engine $backend, tier $tier, TOFU from $base; results in $OUT, logs in $WORK/logs"

# Members first, in processes of their own; `bench train` then only puts copies where the next steps look for them.
world() {
  local name
  if [ "$small" = 0 ]; then
    for name in full retain-a retain-b; do
      step "train-$name" 240 "$PYTHON" -m benchmarks.worlds.member --tier "$tier" --name "$name" --device "$device" &
    done
    wait
  fi
  step train-world 240 "${lethe[@]}" bench train --tier "$tier" --device "$device" --out "$WORK/world" \
    ${ceilings[@]+"${ceilings[@]}"} || return
  [ "$small" = 1 ] || keep "$OUT" "$WORK/world/ceilings.json"
}

on_tofu() {
  local name
  if [ ! -d "$data/tofu" ]; then
    echo "tofu: skipped, $data/tofu is not there (--data)"
    note tofu skipped 0
    return
  fi
  if [ "$small" = 0 ]; then
    for name in full retain90; do
      step "train-tofu-$name" 240 "$PYTHON" -m benchmarks.worlds.member --tier tofu --name "$name" --base "$base" \
        --data "$data/tofu" --device "$device" &
    done
    wait
  fi
  step train-tofu 240 "${lethe[@]}" bench train --tier tofu --base "$base" --data "$data/tofu" --device "$device" \
    ${trial[@]+"${trial[@]}"} --out "$WORK/tofu" &&
    step tofu 240 "$PYTHON" -m benchmarks.tofu --data "$data/tofu" --models "$WORK/tofu" --out "$OUT/tofu" \
      --device "$device" "${tofu[@]}"
}

leakage() {
  step leakage 360 "${lethe[@]}" bench leakage --tier "$tier" --backend "$backend" --families "$families" \
    --items "$items" --methods "$methods" --out "$WORK/leakage" &&
    keep "$OUT/leakage" "$WORK"/leakage/{scorecard.json,report.html}
}

latency() {
  step latency 150 "$PYTHON" -m benchmarks.overhead --json "$OUT/overhead.json" "${overhead[@]}"
}

if [ "$small" = 1 ]; then # two chains, for time; what is measured means nothing here
  { on_tofu; latency; } &
  world
  leakage
  wait
else # latencies need a quiet machine, and vLLM measures the GPU's free memory when it starts
  on_tofu &
  world
  wait
  leakage
  latency
fi

"$PYTHON" - "$WORK/steps" "$OUT/steps.json" "$device" "$backend" "$tier" "$base" "$small" "$SECONDS" <<'PYTHON'
import json
import sys
from importlib.metadata import version
from pathlib import Path

from benchmarks.where import engine_of, where

folder, target, device, backend, tier, base, small, seconds = sys.argv[1:]
rows = [file.read_text().split("\t") for file in sorted(Path(folder).iterdir())]
steps = [
    {"step": name, "outcome": {"0": "done", "124": "out of time", "skipped": "skipped"}.get(status, f"status {status}"),
     "seconds": int(took)}
    for name, status, took in rows
]
Path(target).write_text(json.dumps({
    "steps": steps, "seconds": int(seconds), "reduced": small == "1", "device": device, "tier": tier, "tofu_base": base,
    "engine": engine_of(backend), "torch": version("torch"), "hardware": where(),
}, indent=1) + "\n")
bad = [step["step"] for step in steps if step["outcome"] not in ("done", "skipped")]
print(f"{seconds} s in all; failed: {', '.join(bad) or 'nothing'}; results in {Path(target).parent}")
sys.exit(bool(bad))
PYTHON

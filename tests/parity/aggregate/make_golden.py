"""Writes golden.json, inputs.safetensors and golden.safetensors: what Flower makes of small seeded updates.

Made with Python 3.11, flwr 1.42.0, numpy 2.4.6, safetensors 0.8; golden.json states the versions of its run.
Run in an environment with these: `python make_golden.py` writes beside this script. `python make_golden.py --seed 5 --out DIR`
writes other inputs and what Flower makes of them; `FEDWING_PARITY=DIR cargo test -p fl-aggregator --test parity` compares.

Flower's own classes aggregate: `flwr.serverapp.strategy` (its message API), Bulyan excepted. Each gets the inputs, which
are f32, widened to f64, because Flower computes in the type of its inputs; `float32_noise` in golden.json is the largest
relative error of Flower's f32 result against its f64 result. Between rounds the global model is rounded to f32, as a file
is; the next updates are that model plus the stored differences, summed in f64 and rounded.

Where Flower is not followed:
- Integers: Flower averages them into floats and counts them in Krum's distances and in norms. They are kept from it; the
  golden integer is the largest of the updates under means, the lower median under rules that resist outliers (of the
  selected updates under Krum, multi-Krum and Bulyan).
- Running statistics of batch normalisation: Flower applies server optimisers to them. Under the rules that step (FedAvgM,
  FedAdam, FedYogi, FedAdagrad, q-FedAvg) they are kept from it and golden is its FedAvg; q-FedAvg's norm is over the
  parameters only. Under all other rules Flower gets them with the parameters, and they are part of distances and norms.
- Bulyan: the message API selects once, by multi-Krum; the paper selects by repeated Krum, removing the winner each time, as
  Flower's older `flwr.server.strategy.aggregate.aggregate_bulyan` does. Golden is the older function. golden.json says
  whether both give the same here.
- Adaptive clipping: Flower moves the norm by the share of *clipped* updates, so that it runs away from the quantile; Andrew et
  al. (and golden) take the share that is *not* clipped. Flower also draws the noise for the norm of the next round.
- FedAvgM, FedAdam, FedYogi and FedAdagrad start the momenta anew when the process does; golden is one process for all rounds.
"""

import argparse
import json
import logging
import pathlib
import platform

import flwr
import numpy as np
import safetensors
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.server.strategy.aggregate import aggregate_bulyan, aggregate_krum
from flwr.serverapp import strategy as flower
from flwr.serverapp.strategy.multikrum import select_multikrum
from flwr.supercore.task_identity import TaskIdentity
from safetensors.numpy import save_file

COUNTER = "norm.num_batches_tracked"
STATISTICS = ["norm.running_mean", "norm.running_var"]
SHAPES = {
    "conv.weight": (5, 3, 3, 3),
    "conv.bias": (5,),
    "norm.weight": (5,),
    "norm.bias": (5,),
    "norm.running_mean": (5,),
    "norm.running_var": (5,),
    "linear.weight": (7, 13),
    "linear.bias": (7,),
}
PARAMETERS = [name for name in SHAPES if name not in STATISTICS]
CLIENTS = 11
ROUNDS = 3
# Clients that send large differences, so that rules that resist them have something to resist.
OUTLIERS = (2, 5)


def make_inputs(seed):
    """A global model, and for each round and client the difference of its update."""
    rng = np.random.default_rng(seed)
    model = {name: (rng.normal(size=shape) * 0.3).astype(np.float32) for name, shape in SHAPES.items()}
    model["norm.running_var"] = (0.5 + rng.random(5)).astype(np.float32)
    model[COUNTER] = np.array(100, np.int64)
    rounds = []
    for _ in range(ROUNDS):
        clients = []
        for client in range(CLIENTS):
            scale = 0.05 * (1 + 0.1 * client) * (6 if client in OUTLIERS else 1)
            difference = {
                name: (rng.normal(size=shape) * scale).astype(np.float32) for name, shape in SHAPES.items()
            }
            difference["norm.running_var"] = (rng.random(5) * 0.2).astype(np.float32)
            difference[COUNTER] = np.array(rng.integers(5, 90), np.int64)
            clients.append(difference)
        rounds.append(clients)
    samples = [int(n) for n in rng.integers(20, 400, CLIENTS)]
    losses = [round(float(loss), 4) for loss in 0.2 + 2 * rng.random(CLIENTS)]
    return model, rounds, samples, losses


def update_of(model, difference):
    """The difference added in f64 and rounded once; integers exactly."""
    moved = {
        name: (model[name].astype(np.float64) + difference[name].astype(np.float64)).astype(np.float32)
        for name in SHAPES
    }
    moved[COUNTER] = model[COUNTER] + difference[COUNTER]
    return moved


class Nodes:
    """The part of a grid that `configure_train` asks for."""

    def get_node_ids(self):
        return [1, 2]


def record(tensors, names, dtype):
    return ArrayRecord({name: Array(tensors[name].astype(dtype)) for name in names})


def replies(updates, names, dtype, samples, losses):
    messages = []
    for update, count, loss in zip(updates, samples, losses, strict=True):
        metrics = MetricRecord({"num-examples": count, "train_loss": loss})
        content = RecordDict({"arrays": record(update, names, dtype), "metrics": metrics})
        messages.append(Message(content, dst_node_id=0, message_type="train"))
    return messages


class NotClipped(flower.DifferentialPrivacyServerSideAdaptiveClipping):
    """Flower's adaptive clipping, moved by the share of updates that are not clipped."""

    def _noisy_fraction(self, count, total):
        return super()._noisy_fraction(total - count, total)


class IterativeBulyan(flower.FedAvg):
    """Flower's older Bulyan behind the interface of the message API."""

    def __init__(self, num_malicious_nodes):
        super().__init__()
        self.byzantine = num_malicious_nodes

    def aggregate_train(self, server_round, replies):
        arrays = [reply.content["arrays"] for reply in replies]
        results = [(record.to_numpy_ndarrays(), 1) for record in arrays]
        combined = aggregate_bulyan(results, self.byzantine, aggregate_krum, to_keep=0)
        return ArrayRecord({k: Array(np.asarray(v)) for k, v in zip(arrays[0], combined)}), None


def selected(case, updates, names):
    """The updates that the rule chose, by their number."""
    rule, settings = next(iter(case["strategy"].items()))
    if rule == "bulyan":
        f, chosen, left = settings["byzantine"], [], list(range(len(updates)))
        while len(chosen) < len(updates) - 2 * f:
            vectors = [[updates[k][name].astype(np.float64) for name in names] for k in left]
            best = aggregate_krum([(vector, 1) for vector in vectors], f, 0)
            chosen.append(left.pop(next(i for i, vector in enumerate(vectors) if vector is best)))
        return chosen
    keep = settings.get("keep", 1)
    contents = [RecordDict({"arrays": record(update, names, np.float64)}) for update in updates]
    best = select_multikrum(contents, settings["byzantine"], keep)
    return [next(i for i, content in enumerate(contents) if content is one) for one in best]


def lower_median(values):
    return sorted(values)[(len(values) - 1) // 2]


def counter(case, updates):
    values = [int(update[COUNTER]) for update in updates]
    if case["integer"] == "largest":
        return max(values)
    if case["integer"] == "lower median of the selected":
        values = [values[number] for number in selected(case, updates, list(SHAPES))]
    return lower_median(values)


def cases():
    """Name, the rule as fl-aggregator reads it, and Flower's class with the same settings."""

    def case(name, strategy, make, rounds=1, integer="largest", steps=False, **more):
        return {
            "name": name,
            "strategy": strategy,
            "make": make,
            "rounds": rounds,
            "integer": integer,
            "steps": steps,
            "clients": 7,
            "privacy": None,
            "equal_samples": False,
            **more,
        }

    adaptive = {"initial_norm": 1.0, "quantile": 0.4, "learning_rate": 0.2, "count_noise": 0.0}
    clipping = dict(clients=7, equal_samples=True)
    chosen = "lower median of the selected"
    return [
        case("fedavg", "fedavg", flower.FedAvg, rounds=3),
        case("fedprox", "fedprox", lambda: flower.FedProx(proximal_mu=0.1)),
        case(
            "fedavgm",
            {"fedavgm": {"learning_rate": 0.8, "momentum": 0.9}},
            lambda: flower.FedAvgM(server_learning_rate=0.8, server_momentum=0.9),
            rounds=3,
            steps=True,
        ),
        case("fedadam", {"fedadam": {}}, flower.FedAdam, rounds=3, steps=True),
        case(
            "fedyogi",
            {"fedyogi": {"learning_rate": 0.02, "beta1": 0.8, "beta2": 0.95, "tau": 0.002}},
            lambda: flower.FedYogi(eta=0.02, beta_1=0.8, beta_2=0.95, tau=0.002),
            rounds=3,
            steps=True,
        ),
        case("fedadagrad", {"fedadagrad": {}}, flower.FedAdagrad, rounds=3, steps=True),
        case(
            "qfedavg",
            {"qfedavg": {"q": 0.3, "learning_rate": 0.05}},
            lambda: flower.QFedAvg(client_learning_rate=0.05, q=0.3),
            steps=True,
        ),
        case("median", "median", flower.FedMedian, integer="lower median"),
        case("median_of_even", "median", flower.FedMedian, integer="lower median", clients=6),
        case("trimmed_mean", {"trimmed_mean": {}}, flower.FedTrimmedAvg, integer="lower median"),
        case(
            "trimmed_mean_of_11",
            {"trimmed_mean": {"beta": 0.3}},
            lambda: flower.FedTrimmedAvg(beta=0.3),
            integer="lower median",
            clients=11,
        ),
        case(
            "krum", {"krum": {"byzantine": 2}}, lambda: flower.Krum(num_malicious_nodes=2), integer=chosen
        ),
        case(
            "multi_krum",
            {"multi_krum": {"byzantine": 2, "keep": 3}},
            lambda: flower.MultiKrum(num_malicious_nodes=2, num_nodes_to_select=3),
            integer=chosen,
        ),
        case(
            "bulyan",
            {"bulyan": {"byzantine": 2}},
            lambda: IterativeBulyan(num_malicious_nodes=2),
            integer=chosen,
            clients=11,
        ),
        case(
            "fixed_clipping",
            "fedavg",
            lambda: flower.DifferentialPrivacyServerSideFixedClipping(flower.FedAvg(), 0.0, 1.5, 7),
            rounds=1,
            privacy={"fixed": {"norm": 1.5, "noise_multiplier": 0.0, "delta": 1e-5}},
            **clipping,
        ),
        case(
            "adaptive_clipping",
            "fedavg",
            lambda: NotClipped(flower.FedAvg(), 0.0, 7, 1.0, 0.4, 0.2),
            rounds=3,
            privacy={"adaptive": {**adaptive, "noise_multiplier": 0.0, "delta": 1e-5}},
            **clipping,
        ),
    ]


def run_round(strategy, number, model, updates, names, dtype, samples, losses):
    """One round of Flower on `names`; FedAvgM alone would keep its own unrounded model."""
    arrays = record(model, names, dtype)
    if hasattr(strategy, "momentum_vector"):
        strategy.current_arrays = arrays
    strategy.configure_train(number, arrays, ConfigRecord(), Nodes())
    combined, _ = strategy.aggregate_train(number, replies(updates, names, dtype, samples, losses))
    return {name: array.numpy() for name, array in combined.items()}


def run(case, inputs, golden):
    model, rounds, samples, losses = inputs
    clients = case["clients"]
    samples = [50] * clients if case["equal_samples"] else samples[:clients]
    losses = losses[:clients]
    names = PARAMETERS if case["steps"] else list(SHAPES)
    types = {np.float64: case["make"](), np.float32: case["make"]()}
    noise, norms = 0.0, []
    for number in range(1, case["rounds"] + 1):
        updates = [update_of(model, difference) for difference in rounds[number - 1][:clients]]
        results = {}
        for dtype, strategy in types.items():
            result = run_round(strategy, number, model, updates, names, dtype, samples, losses)
            if case["steps"]:
                plain = run_round(flower.FedAvg(), number, model, updates, STATISTICS, dtype, samples, losses)
                result.update(plain)
            results[dtype] = result
        wide, narrow = results[np.float64], results[np.float32]
        for name in SHAPES:
            assert wide[name].dtype == np.float64, (case["name"], name, wide[name].dtype)
            error = np.abs(narrow[name].astype(np.float64) - wide[name]) / np.abs(wide[name])
            noise = max(noise, float(error.max()))
            golden[f"{case['name']}/round{number}/{name}"] = wide[name]
        count = np.array(counter(case, updates), np.int64)
        golden[f"{case['name']}/round{number}/{COUNTER}"] = count
        model = {name: wide[name].astype(np.float32) for name in SHAPES} | {COUNTER: count}
        if case["privacy"] and case["rounds"] > 1:
            norms.append(types[np.float64].clipping_norm)
    entry = {key: case[key] for key in ("name", "strategy", "privacy", "rounds", "integer")}
    entry |= {"samples": samples, "losses": losses, "float32_noise": float(f"{noise:.2g}")}
    if norms:
        entry["norms_after"] = norms
    return entry


def margins(case, inputs):
    """What the rule chose, and the smallest relative gap of scores that decided it: far beyond any rounding.

    With as few as five updates left Bulyan's Krum has one neighbour to count, so that the two that are closest to each
    other tie exactly: the first of them, by client, is taken.
    """
    model, rounds, _, _ = inputs
    updates = [update_of(model, difference) for difference in rounds[0][: case["clients"]]]
    vectors = [np.concatenate([u[name].astype(np.float64).ravel() for name in SHAPES]) for u in updates]
    chosen = selected(case, updates, list(SHAPES))
    rule, settings = next(iter(case["strategy"].items()))
    left, gaps, ties = list(range(len(updates))), [], 0
    # Krum and multi-Krum take all they take at once; Bulyan takes the best of what is left, then the next.
    for taken in chosen if rule == "bulyan" else [chosen]:
        nearest = max(1, len(left) - settings["byzantine"] - 2)
        rows = [sorted(((vectors[i] - vectors[j]) ** 2).sum() for j in left) for i in left]
        scores = sorted(sum(row[1 : nearest + 1]) for row in rows)
        keep = 1 if rule == "bulyan" else len(chosen)
        gap = (scores[keep] - scores[keep - 1]) / scores[keep]
        if gap == 0 and nearest == 1:
            ties += 1
        else:
            gaps.append(gap)
        if rule == "bulyan":
            left.remove(taken)
    assert min(gaps) > 1e-5, f"{case['name']}: too close to call; take another seed"
    entry = {"selected": chosen, "gap": float(f"{min(gaps):.2g}"), "ties": ties}
    return entry | {"same_without_statistics": chosen == selected(case, updates, PARAMETERS)}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=9)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path(__file__).parent)
    arguments = parser.parse_args()
    logging.getLogger("flwr").setLevel(logging.ERROR)
    # Messages belong to a run, which Flower's server would have begun.
    TaskIdentity.task_id = TaskIdentity.run_id = TaskIdentity.node_id = 1
    inputs = make_inputs(arguments.seed)
    model, rounds, _, _ = inputs
    stored = {f"global/{name}": tensor for name, tensor in model.items()}
    for number, clients in enumerate(rounds, start=1):
        for client, difference in enumerate(clients):
            stored |= {f"round{number}/client{client}/{name}": t for name, t in difference.items()}
    golden, entries = {}, []
    for case in cases():
        entry = run(case, inputs, golden)
        if case["integer"].endswith("selected"):
            entry |= margins(case, inputs)
        if case["name"] == "bulyan":
            updates = [update_of(model, difference) for difference in rounds[0][: case["clients"]]]
            message = flower.Bulyan(num_malicious_nodes=2)
            once = run_round(
                message, 1, model, updates, list(SHAPES), np.float64, entry["samples"], entry["losses"]
            )
            same = all(np.allclose(once[n], golden[f"bulyan/round1/{n}"], 1e-9, 0) for n in SHAPES)
            entry["same_as_message_api"] = same
        entries.append(entry)
        print(f"{entry['name']}: noise of f32 {entry['float32_noise']:.1e}", entry.get("selected", ""))
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name, tensors in (("inputs", stored), ("golden", golden)):
        path = arguments.out / f"{name}.safetensors"
        save_file(tensors, path)
        path.chmod(0o644)
    made_with = {
        "seed": arguments.seed,
        "python": platform.python_version(),
        "flwr": flwr.__version__,
        "numpy": np.__version__,
        "safetensors": safetensors.__version__,
    }
    lines = ",\n".join(json.dumps(entry) for entry in entries)
    text = f'{{"made_with": {json.dumps(made_with)},\n"cases": [\n{lines}\n]}}\n'
    (arguments.out / "golden.json").write_text(text)


main()

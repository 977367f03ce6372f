"""The Python peers, each as a fresh process from files to file: peers.py PEER OUTPUT UPDATE..

`reference` averages as the public workflow's script does (torch state dicts), `flower` calls Flower's FedAvg function,
`nvflare` NVFlare's helper, `numpy` streams tensor by tensor. `flower_RULE` reads first and then prints the seconds that
Flower's function takes in memory, as wall and processor time. `check` compares two models' floats.
"""

import json
import sys
import time


def safetensors_file(path):
    from safetensors import safe_open

    return safe_open(path, framework="numpy")


def samples_of(path):
    with safetensors_file(path) as file:
        return int(file.metadata()["num_samples"])


def load(path):
    from safetensors.numpy import load_file

    return load_file(path)


def save(tensors, path):
    import numpy as np
    from safetensors.numpy import save_file

    # Arithmetic on counters leaves NumPy's numbers, not arrays.
    save_file({name: np.asarray(tensor) for name, tensor in tensors.items()}, path)


def reference(output, updates):
    import torch

    total, mean = 0, None
    for path in updates:
        update = torch.load(path, map_location="cpu", weights_only=True)
        samples = update["num_samples"]
        total += samples
        weighted = {name: tensor.float() * samples for name, tensor in update["model"].items()}
        if mean is None:
            mean = weighted
        else:
            for name, tensor in weighted.items():
                mean[name] += tensor
    torch.save({name: tensor / total for name, tensor in mean.items()}, output)


def flower(output, updates):
    from flwr.server.strategy.aggregate import aggregate

    models = [load(path) for path in updates]
    names = list(models[0])
    results = [([m[name] for name in names], samples_of(p)) for m, p in zip(models, updates)]
    save(dict(zip(names, aggregate(results))), output)


def nvflare(output, updates):
    from nvflare.app_common.aggregators.weighted_aggregation_helper import WeightedAggregationHelper

    helper = WeightedAggregationHelper()
    for number, path in enumerate(updates):
        helper.add(load(path), samples_of(path), f"client-{number}", 0)
    save(helper.get_result(), output)


def numpy(output, updates):
    import numpy as np

    files = [safetensors_file(path) for path in updates]
    counts = [int(file.metadata()["num_samples"]) for file in files]
    shares = [count / sum(counts) for count in counts]
    made = {}
    for name in files[0].keys():
        first = files[0].get_tensor(name)
        if first.dtype.kind == "i":
            made[name] = max((file.get_tensor(name) for file in files), key=int)
            continue
        mean = first * np.float32(shares[0])
        for file, share in zip(files[1:], shares[1:]):
            mean += file.get_tensor(name) * np.float32(share)
        made[name] = mean
    save(made, output)


def flower_rule(rule, output, updates):
    from flwr.server.strategy import aggregate as rules

    models = [load(path) for path in updates]
    names = [name for name, tensor in models[0].items() if tensor.dtype.kind == "f"]
    results = [([model[name] for name in names], samples_of(p)) for model, p in zip(models, updates)]
    work = {
        "median": lambda: rules.aggregate_median(results),
        "trimmed_mean": lambda: rules.aggregate_trimmed_avg(results, 0.2),
        "krum": lambda: rules.aggregate_krum(results, 2, 0),
    }[rule]
    wall, processor = time.perf_counter(), time.process_time()
    made = work()
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    save(dict(zip(names, made)), output)
    print(json.dumps({"wall": wall, "cpu": processor}))


def check(expected, made):
    """Fails where a float is off by more than 1e-5 of its tensor's size."""
    import numpy as np

    def read(path):
        if path.endswith(".pt"):
            import torch

            return {name: tensor.numpy() for name, tensor in torch.load(path).items()}
        return load(path)

    expected, made = read(expected), read(made[0])
    for name, tensor in expected.items():
        if tensor.dtype.kind == "f" and tensor.ndim:
            size = np.sqrt(np.mean(tensor.astype(np.float64) ** 2))
            error = np.abs(made[name].astype(np.float64) - tensor).max() / size
            assert error < 1e-5, f"{name} is off by {error}"


def main():
    peer, output, updates = sys.argv[1], sys.argv[2], sys.argv[3:]
    if peer.startswith("flower_"):
        flower_rule(peer.removeprefix("flower_"), output, updates)
    else:
        peers = {f.__name__: f for f in (reference, flower, nvflare, numpy, check)}
        peers[peer](output, updates)


main()

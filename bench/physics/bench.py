#!/usr/bin/env python3
"""Waves, networks, spectra and training steps of Fornax and of PyTorch on the processor, with the same threads, in turns.

    cargo build --release -p physics --example bench_physics
    python3 bench/physics/bench.py            # with an interpreter that has torch (made with Debian's python3-torch 1.13)

PyTorch runs each model twice: as DREDGE writes it (one module per wave, scalar parameters), and with all waves in one broadcast,
which is the faster form; ratios are against the faster one. Outputs are compared before anything is timed. Writes
bench/results/physics.json; with --training also the comparison table of the models on the travelling chirp.
"""
import argparse
import datetime
import json
import math
import os
import pathlib
import statistics
import subprocess
import time

import torch

ROOT = pathlib.Path(__file__).resolve().parents[2]
BATCHES = [1, 16, 256, 4096, 65536]
MODES = [10, 100, 1000, 65536]
STEP_ROWS = [256, 4096]
CHECKED = 64
SECONDS, RUNS_MIN = 0.15, 7


def machine():
    model = "unknown processor"
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.split(":", 1)[1].strip()
            break
    memory = int(pathlib.Path("/proc/meminfo").read_text().split()[1]) // 2**20
    return f"{os.cpu_count()} cores of {model}, {memory} GiB, Linux {os.uname().release.split('-')[0]}"


def timed(run):
    """The median time of one run, microseconds: the same method as the other side's."""
    start = time.perf_counter()
    while time.perf_counter() - start < SECONDS / 5:
        run()
    start, runs = time.perf_counter(), []
    while time.perf_counter() - start < SECONDS or len(runs) < RUNS_MIN:
        one = time.perf_counter()
        run()
        runs.append((time.perf_counter() - one) * 1e6)
    return statistics.median(runs)


def inputs(count):
    return torch.tensor([math.sin(0.37 * i) * 3 for i in range(count)], dtype=torch.float32)


def columns(width, rows):
    return list(inputs(width * rows).reshape(width, rows))


class ModulePerWave(torch.nn.Module):
    """One module per wave, every parameter a scalar."""

    def __init__(self, dimensions, waves, parameters):
        super().__init__()
        n, width = dimensions, 3 * dimensions + 5
        self.n = n
        self.waves = torch.nn.ModuleList()
        for wave in range(waves):
            module = torch.nn.Module()
            values = parameters[wave * width:(wave + 1) * width]
            module.scalars = torch.nn.ParameterList([torch.nn.Parameter(torch.tensor(value)) for value in values])
            self.waves.append(module)
        self.head = torch.nn.Linear(waves, 1)
        with torch.no_grad():
            self.head.weight.copy_(torch.tensor(parameters[waves * width:-1]).reshape(1, waves))
            self.head.bias.fill_(parameters[-1])

    def forward(self, columns):
        n, t, values = self.n, columns[-1], []
        for wave in self.waves:
            p = wave.scalars
            phase = sum(p[1 + i] * columns[i] for i in range(n)) - p[1 + n] * t
            squares = sum((columns[i] - p[2 + n + i] * t) ** 2 for i in range(n))
            envelope = torch.exp(-0.5 * squares / torch.exp(p[2 + 2 * n]) ** 2)
            turn = sum(p[5 + 2 * n + i] * columns[i] for i in range(n))
            values.append(p[0] * torch.cos(phase) * envelope * torch.sin(p[3 + 2 * n] + p[4 + 2 * n] * torch.cos(turn)))
        return self.head(torch.stack(values, dim=-1)).squeeze(-1)


class Broadcast(torch.nn.Module):
    """All waves at once."""

    def __init__(self, dimensions, waves, parameters):
        super().__init__()
        n, width = dimensions, 3 * dimensions + 5
        self.n = n
        self.wave = torch.nn.Parameter(torch.tensor(parameters[:waves * width]).reshape(waves, width))
        self.weight = torch.nn.Parameter(torch.tensor(parameters[waves * width:-1]))
        self.bias = torch.nn.Parameter(torch.tensor(parameters[-1]))

    def forward(self, columns):
        n, p = self.n, self.wave
        position, t = torch.stack(columns[:-1], dim=1), columns[-1].unsqueeze(1)
        phase = position @ p[:, 1:1 + n].T - t * p[:, 1 + n]
        narrow = torch.exp(-p[:, 2 + 2 * n])
        squares = 0
        for i in range(n):
            squares = squares + ((position[:, i:i + 1] - t * p[:, 2 + n + i]) * narrow) ** 2
        turn = position @ p[:, 5 + 2 * n:].T
        value = torch.cos(phase) * torch.exp(-0.5 * squares) * torch.sin(p[:, 3 + 2 * n] + p[:, 4 + 2 * n] * torch.cos(turn))
        return (value * p[:, 0]) @ self.weight + self.bias


def network(model):
    parts, width, parameters = [], model["dimensions"], torch.tensor(model["parameters"])
    for _ in range(model["layers"]):
        parts.append(torch.nn.Linear(width, model["hidden"]))
        if model["batch_norm"]:
            parts.append(torch.nn.BatchNorm1d(model["hidden"]))
        parts.append(torch.nn.Tanh())
        width = model["hidden"]
    parts.append(torch.nn.Linear(width, 1))
    made, start = torch.nn.Sequential(*parts), 0
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.copy_(parameters[start:start + parameter.numel()].reshape(parameter.shape))
            start += parameter.numel()
    return made.eval()


def check(model, outputs):
    error = (outputs.flatten() - torch.tensor(model["outputs"])).abs().max().item()
    assert error < 2e-5, f"{model['name']}: outputs differ by {error}"
    return error


def wave_times(model, kind, errors):
    made = kind(model["dimensions"], model["waves"], model["parameters"])
    width = model["dimensions"] + 1
    with torch.inference_mode():
        errors[model["name"]] = check(model, made(columns(width, CHECKED)))
        return {str(rows): {"p50_us": timed(lambda x=columns(width, rows): made(x))} for rows in BATCHES}


def network_times(model, errors):
    made, width = network(model), model["dimensions"]
    with torch.inference_mode():
        errors[model["name"]] = check(model, made(inputs(CHECKED * width).reshape(-1, width)))
        return {str(rows): {"p50_us": timed(lambda x=inputs(rows * width).reshape(-1, width): made(x))} for rows in BATCHES}


def step_times(made, make_inputs):
    optimiser, times = torch.optim.Adam(made.parameters(), lr=1e-3), {}
    for rows in STEP_ROWS:
        x, y = make_inputs(rows), inputs(rows)

        def step():
            optimiser.zero_grad()
            torch.nn.functional.mse_loss(made(x).reshape(-1), y).backward()
            optimiser.step()

        times[str(rows)] = {"p50_us": timed(step)}
    return times


def peer(models, errors):
    """Both forms of PyTorch: times per workload and load."""
    as_written, broadcast = {}, {}
    for model in models:
        if "waves" in model:
            as_written[model["name"]] = wave_times(model, ModulePerWave, errors)
            broadcast[model["name"]] = wave_times(model, Broadcast, errors)
        else:
            as_written[model["name"]] = broadcast[model["name"]] = network_times(model, errors)
    with torch.inference_mode():
        fused = {str(n): {"p50_us": timed(lambda x=inputs(n): 0.5 * torch.sin(x) + 0.5 * x)} for n in BATCHES}
        spectrum = {str(n): {"p50_us": timed(lambda n=n: torch.arange(1, n + 1, dtype=torch.float64) / 2.0)} for n in MODES}
    ensemble = torch.rand(8 * 8 + 9, generator=torch.Generator().manual_seed(1)).tolist()
    plain = next(model for model in models if model["name"] == "network 10-64-64-1")
    for times, kind in ((as_written, ModulePerWave), (broadcast, Broadcast)):
        times["fused sine"], times["spectrum, by modes"] = fused, spectrum
        times["training step, ensemble of 8"] = step_times(kind(1, 8, ensemble), lambda rows: columns(2, rows))
    steps = step_times(network(plain).train(), lambda rows: inputs(rows * 10).reshape(-1, 10))
    as_written["training step, network 10-64-64-1"] = broadcast["training step, network 10-64-64-1"] = steps
    return as_written, broadcast


def median(rounds):
    return {work: {load: {"p50_us": round(statistics.median(one[work][load]["p50_us"] for one in rounds), 2)}
                   for load in rounds[0][work]} for work in rounds[0]}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", type=pathlib.Path, default=ROOT / "target/release/examples/bench_physics")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--rounds", type=int, default=3, help="each side once per round, in turns; medians are kept")
    parser.add_argument("--training", action="store_true", help="also train the models of the comparison table (minutes)")
    parser.add_argument("--output", type=pathlib.Path, default=ROOT / "bench/results/physics.json")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    ours, written, broadcast, errors = [], [], [], {}
    for number in range(arguments.rounds):
        output = subprocess.run([arguments.program, "speed", str(arguments.threads)], check=True, capture_output=True).stdout
        made = json.loads(output)
        ours.append(made["results"])
        first, second = peer(made["models"], errors)
        written.append(first)
        broadcast.append(second)
        print("round", number + 1, "of", arguments.rounds, flush=True)
    ours, written, broadcast = median(ours), median(written), median(broadcast)
    fastest = {work: {load: min(written[work][load]["p50_us"], broadcast[work][load]["p50_us"]) for load in loads}
               for work, loads in ours.items()}
    ratios = {f"speed, {work}, {load}": round(fastest[work][load] / max(times["p50_us"], 1e-3), 2)
              for work, loads in ours.items() for load, times in loads.items()}
    result = {
        "name": "physics", "date": datetime.date.today().isoformat(), "machine": machine(),
        "command": f"bench/physics/bench.py --threads {arguments.threads} --rounds {arguments.rounds}" + (" --training" if arguments.training else ""),
        "work": f"science models on the processor, {arguments.threads} threads on either side, single precision but for the spectrum; "
                "loads are rows of a batch, or modes; times of one call",
        "ours": ours,
        "peers": {f"torch {torch.__version__}, as DREDGE writes it": written, f"torch {torch.__version__}, one broadcast": broadcast},
        "ratios": ratios,
        "quality": {"largest difference of outputs": {name: float(f"{error:.1e}") for name, error in errors.items()}},
    }
    if arguments.training:
        output = subprocess.run([arguments.program, "training"], check=True, capture_output=True).stdout
        result["ours"]["travelling chirp, the same trainer"] = {
            name: {key: float(f"{value:.3g}") if isinstance(value, float) else value for key, value in row.items()}
            for name, row in json.loads(output).items()}
    arguments.output.write_text(json.dumps(result, indent=1) + "\n")
    for key, value in ratios.items():
        print(f"{key}: {value}")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Writes networks.json: outputs, running statistics and gradients of PyTorch for small networks with fixed weights.

Run where PyTorch is installed (made with 1.13.0): python3 make_networks.py > networks.json
"""
import json

import torch


def network(dimensions, hidden, layers, batch_norm):
    parts, inputs = [], dimensions
    for _ in range(layers):
        parts.append(torch.nn.Linear(inputs, hidden))
        if batch_norm:
            parts.append(torch.nn.BatchNorm1d(hidden))
        parts.append(torch.nn.Tanh())
        inputs = hidden
    parts.append(torch.nn.Linear(inputs, 1))
    return torch.nn.Sequential(*parts)


def flat(tensors):
    return [round(float(value), 9) for tensor in tensors for value in tensor.detach().flatten()]


def statistics(model):
    norms = [part for part in model if isinstance(part, torch.nn.BatchNorm1d)]
    return flat([tensor for norm in norms for tensor in (norm.running_mean, norm.running_var)])


def case(dimensions, hidden, layers, batch_norm, rows):
    torch.manual_seed(dimensions * 100 + hidden)
    model = network(dimensions, hidden, layers, batch_norm)
    for part in model:
        if isinstance(part, torch.nn.BatchNorm1d):
            torch.nn.init.uniform_(part.weight, 0.5, 1.5)
            torch.nn.init.uniform_(part.bias, -0.5, 0.5)
    inputs, targets = torch.randn(rows, dimensions), torch.randn(rows, 1)
    made = {"dimensions": dimensions, "hidden": hidden, "layers": layers, "batch_norm": batch_norm,
            "parameters": flat(model.parameters()), "inputs": flat([inputs]), "targets": flat([targets])}
    model.train()
    outputs = model(inputs)
    loss = torch.nn.functional.mse_loss(outputs, targets)
    loss.backward()
    made |= {"training_outputs": flat([outputs]), "loss": float(loss), "statistics": statistics(model),
             "gradient": flat([parameter.grad for parameter in model.parameters()])}
    model.eval()
    made["outputs"] = flat([model(inputs)])
    return made


print(json.dumps([case(10, 16, 2, False, 7), case(10, 16, 3, True, 9), case(3, 20, 1, True, 33)]))

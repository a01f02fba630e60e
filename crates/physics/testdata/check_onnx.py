#!/usr/bin/env python3
"""Compares the ONNX export of every kind of model with the model itself, in onnxruntime.

    pip install onnxruntime onnx numpy
    cargo run -p physics --example export_onnx DIRECTORY && python3 check_onnx.py DIRECTORY
"""
import json
import pathlib
import sys

import numpy
import onnx
import onnxruntime

paths = sorted(pathlib.Path(sys.argv[1]).glob("*.onnx"))
assert len(paths) == 7, paths
for path in paths:
    onnx.checker.check_model(str(path), full_check=True)
    case = json.loads(path.with_suffix(".json").read_text())
    inputs = numpy.array(case["inputs"], dtype=numpy.float32).reshape(-1, case["width"])
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    output = session.run(["output"], {"inputs": inputs})[0]
    error = numpy.abs(output.flatten() - numpy.array(case["output"])).max()
    print(f"{path.stem}: output {output.shape}, largest difference {error:.2e}")
    assert error < 2e-5, path
    alone = session.run(["output"], {"inputs": inputs[:1]})[0]
    assert numpy.abs(alone - output[:1]).max() < 1e-5, path

"""The science models and the string computations as tools, through the official SDK."""

import pytest
from conftest import connect

pytestmark = pytest.mark.anyio

SCIENCE = ["list_science_models", "describe_science_model", "create_science_model", "delete_science_model",
           "science_model_parameters", "infer_science_model", "train_science_model", "benchmark_science_model", "string_spectrum",
           "string_parameters", "compactify", "lift_insight", "unified_inference", "science_devices"]


async def call(client, tool, **arguments):
    result = await client.call_tool(tool, arguments)
    assert not result.is_error, result.content
    return result.structured_content


async def test_every_science_operation_is_a_tool_with_schemas(way):
    async with connect(way) as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        for name in SCIENCE:
            assert tools[name].input_schema["type"] == "object" and tools[name].output_schema["type"] == "object"
        assert tools["delete_science_model"].annotations.destructive_hint is True
        kinds = str(tools["create_science_model"].input_schema)
        assert "string_network" in kinds and "n_waves" in kinds


async def test_a_model_is_made_trained_evaluated_and_deleted(way):
    name = "wave-" + way.replace(" ", "-")
    async with connect(way) as client:
        made = await call(client, "create_science_model", name=name, config={"type": "wave"}, seed=7)
        assert made["parameter_count"] == 8
        before = await call(client, "infer_science_model", model=name, rows=[[0.5, 0.1]])
        trained = await call(client, "train_science_model", model=name, data="glitchy-chirp", options={"epochs": 20})
        assert trained["report"]["final_loss"] <= trained["report"]["initial_loss"]
        assert trained["model"]["digest"] != made["digest"]
        after = await call(client, "infer_science_model", model=name, rows=[[0.5, 0.1]])
        assert before["values"] != after["values"] and after["digest"] == trained["model"]["digest"]
        parameters = await call(client, "science_model_parameters", model=name)
        assert sum(len(one["values"]) for one in parameters["parameters"]) == 8
        listed = await call(client, "list_science_models")
        assert name in [model["name"] for model in listed["models"]]
        assert (await call(client, "delete_science_model", model=name))["deleted"] == name
        gone = await client.call_tool("describe_science_model", {"model": name})
        assert gone.is_error


async def test_strings_vibrate(way):
    async with connect(way) as client:
        spectrum = await call(client, "string_spectrum", kind="linear", modes=3, dimensions=10)
        assert spectrum["linear"] == [0.5, 1.0, 1.5]
        levels = await call(client, "string_spectrum", kind="open_bosonic", levels=2)
        assert levels["open_bosonic"]["dimensions"] == 26
        tower = await call(client, "compactify", dimensions=10, radius=2.0)
        assert tower["kaluza_klein_modes"][:3] == [0.5, 1.0, 1.5]
        assert (await call(client, "string_parameters", coupling_constant=0.1))["coupling_constant"] == 0.1
        lifted = await call(client, "lift_insight", insight_text="water", dimensions=4)
        assert len(lifted["vector"]) == 5 and len(lifted["folded"]) == 4
        unified = await call(client, "unified_inference", dredge_insight="x", quasimoto_coords=[0.5], string_modes=[1, 2, 3])
        assert unified["coupled_amplitude"] == pytest.approx(1.5)
        refused = await client.call_tool("compactify", {"dimensions": 10, "radius": -1.0})
        assert refused.is_error


async def test_a_benchmark_is_repeatable(way):
    arguments = {"config": {"type": "wave"}, "seed": 3, "options": {"epochs": 5}}
    async with connect(way) as client:
        first = await call(client, "benchmark_science_model", **arguments)
        again = await call(client, "benchmark_science_model", **arguments)
        assert first["report"]["final_loss"] == again["report"]["final_loss"] and first["seed"] == 3

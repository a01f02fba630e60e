//! Export to ONNX: one graph from `inputs` (`batch` rows in the order of the model's inputs, `f32`) to `output` (`batch` rows).
//!
//! Field numbers are those of onnx.proto3; operator set 17, whose operators every current runtime has. Sums over coordinates are
//! matrix products: the phase of all waves is the inputs times a matrix whose last row, for time, holds `-omega`, and each
//! envelope's distance along an axis the inputs times one with `1 / sigma` and `-v / sigma`.

use super::protobuf::Message;
use super::{Body, ScienceModel};
use crate::network::{Activation, FourierFeatures, Perceptron};
use crate::waves::{InterferenceBasis, Layout};

/// The version of the format that operator set 17 came with.
const FORMAT_VERSION: i64 = 8;
/// The version of the operators.
const OPERATORS: i64 = 17;
/// `TensorProto.DataType.FLOAT`.
const FLOAT: i64 = 1;

/// An attribute of an operator.
enum Attribute {
    Number(&'static str, i64),
    Float(&'static str, f32),
}

/// A graph being written; values are named by their number.
#[derive(Default)]
struct Graph {
    message: Message,
    values: usize,
}

impl Graph {
    fn name(&mut self) -> String {
        self.values += 1;
        format!("v{}", self.values)
    }

    /// A constant.
    fn tensor(&mut self, shape: &[usize], values: impl IntoIterator<Item = f64>) -> String {
        let name = self.name();
        let bytes: Vec<u8> = values
            .into_iter()
            .flat_map(|value| (value as f32).to_le_bytes())
            .collect();
        let mut tensor = Message::default();
        for size in shape {
            tensor = tensor.number(1, *size as i64);
        }
        let tensor = tensor.number(2, FLOAT).text(8, &name).bytes(9, &bytes);
        self.message = std::mem::take(&mut self.message).message(5, tensor);
        name
    }

    /// An operator with one output, which gets `output` as its name when given.
    fn apply_as(
        &mut self,
        operator: &str,
        inputs: &[&str],
        attributes: &[Attribute],
        output: Option<&str>,
    ) -> String {
        let output = output.map_or_else(|| self.name(), str::to_owned);
        let mut node = Message::default();
        for input in inputs {
            node = node.text(1, input);
        }
        node = node.text(2, &output).text(4, operator);
        for attribute in attributes {
            // AttributeProto: name 1, f 2, i 3, type 20 (FLOAT 1, INT 2).
            let attribute = match attribute {
                Attribute::Number(name, value) => Message::default()
                    .text(1, name)
                    .number(3, *value)
                    .number(20, 2),
                Attribute::Float(name, value) => Message::default()
                    .text(1, name)
                    .float(2, *value)
                    .number(20, 1),
            };
            node = node.message(5, attribute);
        }
        self.message = std::mem::take(&mut self.message).message(1, node);
        output
    }

    fn apply(&mut self, operator: &str, inputs: &[&str]) -> String {
        self.apply_as(operator, inputs, &[], None)
    }

    /// `inputs` times a matrix of `rows` by `columns`.
    fn times(
        &mut self,
        input: &str,
        (rows, columns): (usize, usize),
        values: impl IntoIterator<Item = f64>,
    ) -> String {
        let matrix = self.tensor(&[rows, columns], values);
        self.apply("MatMul", &[input, &matrix])
    }
}

/// A named value of `batch` rows: ValueInfoProto, TypeProto, TensorShapeProto.
fn value_info(name: &str, columns: usize) -> Message {
    let batch = Message::default().text(2, "batch");
    let columns = Message::default().number(1, columns as i64);
    let shape = Message::default().message(1, batch).message(1, columns);
    let tensor = Message::default().number(1, FLOAT).message(2, shape);
    Message::default()
        .text(1, name)
        .message(2, Message::default().message(1, tensor))
}

impl ScienceModel {
    /// The model as an ONNX file for inference.
    pub fn to_onnx(&self) -> Vec<u8> {
        let mut graph = Graph::default();
        match &self.body {
            Body::Wave(wave) => waves(&mut graph, wave.layout(), wave.parameters(), &[1.0, 0.0]),
            Body::Ensemble(ensemble) => {
                let (waves_of, head) = ensemble.parameters().split_at(ensemble.head());
                waves(&mut graph, ensemble.layout(), waves_of, head);
            }
            Body::Interference(basis) => interference(&mut graph, basis),
            Body::Network(network) => perceptron(&mut graph, network, "inputs".to_owned()),
            Body::Fourier(features) => fourier(&mut graph, features),
        }
        let graph = graph
            .message
            .text(2, self.config.kind())
            .message(11, value_info("inputs", self.inputs()))
            .message(12, value_info("output", self.outputs()));
        let mut model = Message::default()
            .number(1, FORMAT_VERSION)
            .text(2, "fornax")
            .text(3, env!("CARGO_PKG_VERSION"))
            .message(7, graph)
            .message(8, Message::default().text(1, "").number(2, OPERATORS));
        let config = serde_json::to_string(&self.config).unwrap_or_default();
        for (key, value) in [
            ("config", config),
            ("inputs", self.input_names().join(",")),
            ("seed", self.seed.to_string()),
        ] {
            model = model.message(14, Message::default().text(1, key).text(2, &value));
        }
        model.into_bytes()
    }
}

/// Waves and their head: weights, then bias.
fn waves(graph: &mut Graph, layout: Layout, parameters: &[f64], head: &[f64]) {
    let n = layout.dimensions();
    let waves: Vec<&[f64]> = parameters.chunks_exact(layout.count()).collect();
    let count = waves.len();
    let row = |index: usize| waves.iter().map(move |wave| wave[index]);
    let size = (n + 1, count);
    let wavenumbers = layout.wavenumbers().flat_map(row);
    let phase = wavenumbers.chain(row(layout.frequency()).map(|omega| -omega));
    let phase = graph.times("inputs", size, phase);
    let modulation = layout.modulation().flat_map(row);
    let modulation = modulation.chain(std::iter::repeat_n(0.0, count));
    let modulation = graph.times("inputs", size, modulation);
    let mut squares: Option<String> = None;
    for (axis, velocity) in layout.velocities().enumerate() {
        let narrowness = |wave: &[f64]| (-wave[layout.log_width()]).exp();
        let matrix = (0..=n).flat_map(|line| {
            waves.iter().map(move |wave| match line {
                _ if line == n => -wave[velocity] * narrowness(wave),
                _ if line == axis => narrowness(wave),
                _ => 0.0,
            })
        });
        let distance = graph.times("inputs", size, matrix);
        let square = graph.apply("Mul", &[&distance, &distance]);
        squares = Some(match squares {
            None => square,
            Some(sum) => graph.apply("Add", &[&sum, &square]),
        });
    }
    let squares = squares.unwrap_or_default();
    let half = graph.tensor(&[], [-0.5]);
    let exponent = graph.apply("Mul", &[&squares, &half]);
    let envelope = graph.apply("Exp", &[&exponent]);
    let unit = offset_sine(
        graph,
        &modulation,
        row(layout.depth()),
        row(layout.offset()),
        count,
    );
    let cosine = graph.apply("Cos", &[&phase]);
    let unit = graph.apply("Mul", &[&unit, &cosine]);
    let unit = graph.apply("Mul", &[&unit, &envelope]);
    let shares = waves.iter().zip(head).map(|(wave, share)| wave[0] * share);
    let sum = graph.times(&unit, (count, 1), shares);
    let bias = graph.tensor(&[1], [head[count]]);
    graph.apply_as("Add", &[&sum, &bias], &[], Some("output"));
}

/// `sin(offset + depth cos(modulation))` for `count` waves.
fn offset_sine(
    graph: &mut Graph,
    modulation: &str,
    depths: impl Iterator<Item = f64>,
    offsets: impl Iterator<Item = f64>,
    count: usize,
) -> String {
    let depths = graph.tensor(&[count], depths);
    let offsets = graph.tensor(&[count], offsets);
    let cosine = graph.apply("Cos", &[modulation]);
    let swing = graph.apply("Mul", &[&cosine, &depths]);
    let angle = graph.apply("Add", &[&swing, &offsets]);
    graph.apply("Sin", &[&angle])
}

fn interference(graph: &mut Graph, basis: &InterferenceBasis) {
    let (n, count) = (basis.layout().dimensions(), basis.fields());
    let parameters = basis.parameters();
    let (shared, rest) = parameters.split_at(2 * n);
    let (fields, mixing) = rest.split_at(count * (2 * n + 4));
    let fields: Vec<&[f64]> = fields.chunks_exact(2 * n + 4).collect();
    let row = |index: usize| fields.iter().map(move |field| field[index]);
    let widths: Vec<f64> = shared[..n].iter().map(|one| one.exp().max(1e-3)).collect();
    let scaled = (0..=n).flat_map(|line| {
        let widths = &widths;
        (0..n).map(move |axis| match line {
            _ if line == n => -shared[n + axis] / widths[axis],
            _ if line == axis => 1.0 / widths[axis],
            _ => 0.0,
        })
    });
    let scaled = graph.times("inputs", (n + 1, n), scaled);
    let squares = graph.apply("Mul", &[&scaled, &scaled]);
    let exponent = graph.times(&squares, (n, 1), std::iter::repeat_n(-0.5, n));
    let envelope = graph.apply("Exp", &[&exponent]);
    let norm = widths.iter().product::<f64>() * std::f64::consts::TAU.powf(n as f64 / 2.0);
    let size = (n + 1, count);
    let phase = (1..=n).flat_map(row).chain(row(n + 1).map(|omega| -omega));
    let phase = graph.times("inputs", size, phase);
    let modulation = (n + 4..2 * n + 4).flat_map(row);
    let modulation = modulation.chain(std::iter::repeat_n(0.0, count));
    let modulation = graph.times("inputs", size, modulation);
    let unit = offset_sine(graph, &modulation, row(n + 3), row(n + 2), count);
    let amplitudes = graph.tensor(&[count], row(0).map(|amplitude| amplitude / norm));
    let unit = graph.apply("Mul", &[&unit, &amplitudes]);
    let unit = graph.apply("Mul", &[&unit, &envelope]);
    let parts = ["Cos", "Sin"].map(|function| {
        let turn = graph.apply(function, &[&phase]);
        graph.apply("Mul", &[&unit, &turn])
    });
    let axis = [Attribute::Number("axis", 1)];
    let parts = graph.apply_as("Concat", &[&parts[0], &parts[1]], &axis, None);
    let weight = graph.tensor(&[basis.outputs(), 2 * count], mixing.iter().copied());
    let transposed = [Attribute::Number("transB", 1)];
    graph.apply_as("Gemm", &[&parts, &weight], &transposed, Some("output"));
}

fn fourier(graph: &mut Graph, features: &FourierFeatures) {
    let frequencies = features.frequencies().iter().map(|one| f64::from(*one));
    let angles = graph.times("inputs", (features.inputs(), features.count()), frequencies);
    let sine = graph.apply("Sin", &[&angles]);
    let cosine = graph.apply("Cos", &[&angles]);
    let axis = [Attribute::Number("axis", 1)];
    let joined = graph.apply_as("Concat", &[&sine, &cosine], &axis, None);
    perceptron(graph, features.head(), joined);
}

fn perceptron(graph: &mut Graph, network: &Perceptron, mut value: String) {
    let mut groups = network.shape().groups().into_iter();
    let (mut parameters, mut statistics) = (network.parameters(), network.statistics());
    let wide = |values: &[f32]| -> Vec<f64> { values.iter().map(|one| f64::from(*one)).collect() };
    let take = |from: &mut &[f32], count: usize| {
        let (first, rest) = from.split_at(count);
        *from = rest;
        wide(first)
    };
    let layers = network.shape().layers;
    for index in 0..=layers {
        let Some((_, shape)) = groups.next() else {
            break;
        };
        let outputs = shape[0];
        let weight = graph.tensor(&shape, take(&mut parameters, shape[0] * shape[1]));
        groups.next();
        let bias = graph.tensor(&[outputs], take(&mut parameters, outputs));
        let transposed = [Attribute::Number("transB", 1)];
        let name = (index == layers).then_some("output");
        value = graph.apply_as("Gemm", &[&value, &weight, &bias], &transposed, name);
        if index == layers {
            break;
        }
        if network.shape().batch_norm {
            groups.next();
            groups.next();
            let scale = graph.tensor(&[outputs], take(&mut parameters, outputs));
            let shift = graph.tensor(&[outputs], take(&mut parameters, outputs));
            let mean = graph.tensor(&[outputs], take(&mut statistics, outputs));
            let variance = graph.tensor(&[outputs], take(&mut statistics, outputs));
            let epsilon = [Attribute::Float("epsilon", 1e-5)];
            let inputs = [&value, &scale, &shift, &mean, &variance].map(String::as_str);
            value = graph.apply_as("BatchNormalization", &inputs, &epsilon, None);
        }
        value = match network.shape().activation {
            Activation::Tangent => graph.apply("Tanh", &[&value]),
            Activation::Sine { frequency } => {
                let factor = graph.tensor(&[], [frequency]);
                let angle = graph.apply("Mul", &[&value, &factor]);
                graph.apply("Sin", &[&angle])
            }
        };
    }
}

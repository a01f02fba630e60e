//! Where a model computes: asked for by name, given by what this build and this machine have.

use serde::{Deserialize, Serialize};

use crate::error::PhysicsError;
use crate::processor::Processor;

/// What a caller asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeviceRequest {
    /// The best there is: CUDA, then Metal, then the processor.
    #[default]
    Auto,
    /// The processor.
    Cpu,
    /// An NVIDIA graphics processor.
    Cuda,
    /// An Apple graphics processor; `mps` is accepted as its other name.
    #[serde(alias = "mps")]
    Metal,
}

/// What is really used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Device {
    /// The processor, through this crate's kernels.
    Cpu,
    /// An NVIDIA graphics processor.
    Cuda,
    /// An Apple graphics processor.
    Metal,
}

impl DeviceRequest {
    /// The request of a name: `auto`, `cpu`, `cuda`, `metal` or `mps`.
    ///
    /// # Errors
    /// Another name.
    pub fn parse(name: &str) -> Result<Self, PhysicsError> {
        match name {
            "auto" => Ok(DeviceRequest::Auto),
            "cpu" => Ok(DeviceRequest::Cpu),
            "cuda" => Ok(DeviceRequest::Cuda),
            "metal" | "mps" => Ok(DeviceRequest::Metal),
            _ => Err(PhysicsError::UnknownName {
                what: "a device",
                name: name.to_owned(),
                expected: "auto, cpu, cuda, metal, mps",
            }),
        }
    }
}

impl Device {
    /// The name in configurations and reports.
    pub fn name(self) -> &'static str {
        match self {
            Device::Cpu => "cpu",
            Device::Cuda => "cuda",
            Device::Metal => "metal",
        }
    }

    /// The name that DREDGE's clients know: Metal is `mps` to them.
    pub fn compatible_name(self) -> &'static str {
        match self {
            Device::Metal => "mps",
            other => other.name(),
        }
    }
}

/// A request and what came of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Placement {
    /// The device that is used.
    pub device: Device,
    /// Why it is not the one that was asked for. Whoever places a model logs it.
    pub warning: Option<String>,
}

/// Where and how a model computes: the processor's share, and an open accelerator if one was placed.
#[derive(Debug, Clone)]
pub struct Compute {
    /// What the processor's kernels may use.
    pub processor: Processor,
    #[cfg(feature = "accelerator")]
    pub(crate) accelerator: Option<(Device, crate::accelerator::Accelerator)>,
}

impl Compute {
    /// Computing on the processor alone.
    pub fn on_processor(processor: Processor) -> Self {
        Compute {
            processor,
            #[cfg(feature = "accelerator")]
            accelerator: None,
        }
    }

    /// Opens the device for a request, once for all models; the placement says which it became, and why.
    pub fn open(processor: Processor, request: DeviceRequest) -> (Self, Placement) {
        let placement = place(request);
        let compute = Compute::on_processor(processor);
        #[cfg(feature = "accelerator")]
        if placement.device != Device::Cpu {
            use crate::accelerator::Accelerator;
            return match Accelerator::open(placement.device) {
                Ok(accelerator) => {
                    let accelerator = Some((placement.device, accelerator));
                    (
                        Compute {
                            accelerator,
                            ..compute
                        },
                        placement,
                    )
                }
                Err(error) => (
                    compute,
                    Placement {
                        device: Device::Cpu,
                        warning: Some(format!(
                            "device {} could not {error}; computing on the cpu",
                            placement.device.name()
                        )),
                    },
                ),
            };
        }
        (compute, placement)
    }
}

/// What this build can use on this machine, with the keys of DREDGE's `device_info`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DeviceInformation {
    /// What `auto` gives, by its compatible name.
    pub optimal_device: &'static str,
    /// Always.
    pub cpu_available: bool,
    /// Whether this build computes with CUDA and the machine has a device for it.
    pub cuda_available: bool,
    /// The same of Metal.
    pub mps_available: bool,
    /// The NVIDIA devices that the driver shows, when CUDA is available.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cuda_device_count: Option<usize>,
    /// The first device's name, when the driver tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cuda_device_name: Option<String>,
    /// The driver's version, when it tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cuda_version: Option<String>,
}

/// Whether this build can compute on `device` on this machine.
pub fn is_available(device: Device) -> bool {
    match device {
        Device::Cpu => true,
        #[cfg(feature = "accelerator")]
        other => crate::accelerator::is_available(other),
        #[cfg(not(feature = "accelerator"))]
        _ => false,
    }
}

/// The device for a request; the processor with a warning when the one asked for is not there.
pub fn place(request: DeviceRequest) -> Placement {
    let wanted = match request {
        DeviceRequest::Auto => {
            let device = [Device::Cuda, Device::Metal]
                .into_iter()
                .find(|device| is_available(*device))
                .unwrap_or(Device::Cpu);
            return Placement {
                device,
                warning: None,
            };
        }
        DeviceRequest::Cpu => Device::Cpu,
        DeviceRequest::Cuda => Device::Cuda,
        DeviceRequest::Metal => Device::Metal,
    };
    if is_available(wanted) {
        return Placement {
            device: wanted,
            warning: None,
        };
    }
    let built = match wanted {
        Device::Cuda => cfg!(feature = "cuda"),
        Device::Metal => cfg!(feature = "metal"),
        Device::Cpu => true,
    };
    let reason = if built {
        "this machine has no such device"
    } else {
        "this build does not include it"
    };
    Placement {
        device: Device::Cpu,
        warning: Some(format!(
            "device {} was asked for, but {reason}; computing on the cpu",
            wanted.name()
        )),
    }
}

/// What this build can use on this machine.
pub fn information() -> DeviceInformation {
    let cuda = is_available(Device::Cuda);
    let devices = if cuda { nvidia_devices() } else { Vec::new() };
    DeviceInformation {
        optimal_device: place(DeviceRequest::Auto).device.compatible_name(),
        cpu_available: true,
        cuda_available: cuda,
        mps_available: is_available(Device::Metal),
        cuda_device_count: cuda.then_some(devices.len().max(1)),
        cuda_device_name: devices.into_iter().next(),
        cuda_version: cuda.then(driver_version).flatten(),
    }
}

/// The names of the NVIDIA devices, from the files that the Linux driver shows.
fn nvidia_devices() -> Vec<String> {
    let Ok(entries) = std::fs::read_dir("/proc/driver/nvidia/gpus") else {
        return Vec::new();
    };
    let mut names: Vec<String> = entries
        .flatten()
        .filter_map(|entry| std::fs::read_to_string(entry.path().join("information")).ok())
        .filter_map(|text| {
            let line = text.lines().find_map(|line| line.strip_prefix("Model:"))?;
            Some(line.trim().to_owned())
        })
        .collect();
    names.sort();
    names
}

/// The version that the Linux driver shows: the first word that looks like one.
fn driver_version() -> Option<String> {
    let text = std::fs::read_to_string("/proc/driver/nvidia/version").ok()?;
    text.lines()
        .next()?
        .split_whitespace()
        .find(|word| word.starts_with(|one: char| one.is_ascii_digit()) && word.contains('.'))
        .map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_falls_back_with_a_warning() {
        for (request, device) in [
            (DeviceRequest::Cuda, Device::Cuda),
            (DeviceRequest::Metal, Device::Metal),
        ] {
            let placement = place(request);
            if is_available(device) {
                assert_eq!((placement.device, placement.warning), (device, None));
            } else {
                assert_eq!(placement.device, Device::Cpu);
                let warning = placement.warning.expect("a warning");
                assert!(warning.contains(device.name()), "{warning}");
            }
        }
        let cpu = place(DeviceRequest::Cpu);
        assert_eq!((cpu.device, cpu.warning), (Device::Cpu, None));
        assert_eq!(place(DeviceRequest::Auto).warning, None);
    }

    #[test]
    fn information_has_the_published_keys() {
        let value = serde_json::to_value(information()).expect("value");
        for key in [
            "optimal_device",
            "cpu_available",
            "cuda_available",
            "mps_available",
        ] {
            assert!(value.get(key).is_some(), "{key}");
        }
        let optimal = value["optimal_device"].as_str().expect("text");
        assert!(["cpu", "cuda", "mps"].contains(&optimal));
        assert_eq!(
            value["cuda_available"] == false,
            value.get("cuda_device_count").is_none()
        );
    }

    #[test]
    fn opening_gives_what_the_placement_says() {
        let (_, placement) = Compute::open(Processor::single(), DeviceRequest::Cpu);
        assert_eq!(placement.device, Device::Cpu);
        let (_, placement) = Compute::open(Processor::single(), DeviceRequest::Cuda);
        assert_eq!(placement.device == Device::Cpu, placement.warning.is_some());
    }

    #[test]
    fn names_are_read_as_written() {
        assert_eq!(DeviceRequest::parse("mps"), Ok(DeviceRequest::Metal));
        assert_eq!(DeviceRequest::parse("auto"), Ok(DeviceRequest::Auto));
        assert!(DeviceRequest::parse("tpu").is_err());
    }
}

//! Where a model computes: on the CPU, or on a GPU that this binary was built for and this machine has.
//!
//! In: what `--device` asks for. Out: a [`Place`] that was tried out. Start at [`Place::find`].
//! This crate by itself computes on the CPU. A binary that is built with a GPU library (the workspace in `gpu/`) calls
//! [`offer`] before it takes a job, with the kinds of GPU it can list. A GPU that was asked for and is not there is an
//! error; only `auto` ends on the CPU, and says so.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::OnceLock,
};

use burn::tensor::{Device, FloatDType, Tensor};
use contract::{
    exit::JobExit,
    job::JobError,
    recipe::{DeviceChoice, Precision},
    training::Backend,
};

use crate::ops::multiplies_bf16;

/// Limits the CUDA devices of a process, and gives them their places; the driver reads it.
const VISIBLE: &str = "CUDA_VISIBLE_DEVICES";

/// A kind of GPU that a binary can compute on.
#[derive(Debug, Clone, Copy)]
pub struct Offer {
    /// The kind, never the CPU.
    pub backend: Backend,
    /// Lists the devices a process may use, in the order of their places, without opening them.
    pub list: fn() -> Vec<Gpu>,
    /// A device's name; may open it.
    pub name: fn(&Device) -> Option<String>,
}

/// A device that could be computed on.
#[derive(Debug, Clone)]
pub struct Gpu {
    /// To burn.
    pub device: Device,
    /// What it is.
    pub adapter: Adapter,
}

/// What computes behind a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Adapter {
    /// A GPU.
    Hardware,
    /// A program on the CPU that acts as one: right and slow, taken only when asked for by its place.
    Software,
}

static OFFERS: OnceLock<&'static [Offer]> = OnceLock::new();

/// Tells the jobs of this process which kinds of GPU its binary can compute on, the preferred one first.
///
/// The first call counts.
pub fn offer(offers: &'static [Offer]) {
    OFFERS.get_or_init(|| offers);
}

/// Where a model computes.
#[derive(Debug, Clone)]
pub struct Place {
    device: Device,
    backend: Backend,
}

impl Place {
    /// The CPU.
    pub fn cpu() -> Self {
        Self {
            device: Device::flex(),
            backend: Backend::Cpu,
        }
    }

    /// The place asked for, the CPU when nothing is; says on standard error what was taken, unless that is the CPU as asked.
    ///
    /// # Errors
    /// `Usage` if this binary was built without such devices; `DeviceMissing` if the device is not there, with those that
    /// are, or if it is there and does not compute.
    pub fn find(choice: Option<DeviceChoice>) -> Result<Self, JobError> {
        let offers = OFFERS.get().copied().unwrap_or_default();
        let visible = std::env::var_os(VISIBLE).map(|value| value.to_string_lossy().into_owned());
        let found = choose(choice.unwrap_or(DeviceChoice::Cpu), offers, visible.as_deref())?;
        for line in found.said {
            eprintln!("{line}");
        }
        Ok(found.place)
    }

    /// This place, if it can train in `precision`; says on standard error where that takes longer than full precision.
    ///
    /// # Errors
    /// `DeviceMissing` if a GPU has no such numbers.
    pub fn able_to(self, precision: Precision) -> Result<Self, JobError> {
        match (precision, self.backend) {
            (Precision::F32, _) => {}
            (Precision::Bf16, Backend::Cpu) if !multiplies_bf16() => eprintln!(
                "this processor has no instructions for bfloat16 (AVX512-BF16): `precision: bf16` takes longer here than `f32`"
            ),
            (Precision::Bf16, Backend::Cpu) => {}
            (Precision::Bf16, Backend::Cuda | Backend::Webgpu) => {
                if !self.device.supports_dtype(FloatDType::BF16) {
                    let text = format!("{} does not compute with bfloat16", kind(self.backend));
                    let help = "train with `precision: f32`, on another GPU, or with `--device cpu`";
                    return Err(JobError::new(JobExit::DeviceMissing, text).help(help));
                }
            }
        }
        Ok(self)
    }

    /// To burn, without gradients.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// For the record.
    pub fn backend(&self) -> Backend {
        self.backend
    }
}

/// A place, and what to tell about it.
struct Found {
    place: Place,
    said: Vec<String>,
}

fn kind(backend: Backend) -> &'static str {
    match backend {
        Backend::Cpu => "the CPU",
        Backend::Cuda => "CUDA",
        Backend::Webgpu => "WebGPU",
    }
}

/// [`Place::find`] without the process around it.
fn choose(choice: DeviceChoice, offers: &[Offer], visible: Option<&str>) -> Result<Found, JobError> {
    let (backend, place) = match choice {
        DeviceChoice::Cpu => {
            return Ok(Found {
                place: Place::cpu(),
                said: Vec::new(),
            });
        }
        DeviceChoice::Auto => return Ok(first_usable(offers)),
        DeviceChoice::Cuda(place) => (Backend::Cuda, place),
        DeviceChoice::Webgpu(place) => (Backend::Webgpu, place),
    };
    let Some(offer) = offers.iter().find(|offer| offer.backend == backend) else {
        let name = kind(backend);
        let text = format!("this fl-client was built without {name} and cannot compute on `{choice}`");
        return Err(JobError::new(JobExit::Usage, text).help(format!(
            "use an fl-client built for {name} (docs/gpu.md), or ask for `--device cpu`"
        )));
    };
    let devices = (offer.list)();
    let missing = |text: String| {
        let visible = visible.filter(|_| backend == Backend::Cuda);
        let because = visible.map_or(String::new(), |value| format!(" ({VISIBLE} is `{value}`)"));
        JobError::new(JobExit::DeviceMissing, format!("{text}{because}"))
    };
    let Some(gpu) = devices.get(place as usize) else {
        let there = match devices.len() {
            0 => format!("there is no {} device", kind(backend)),
            1 => format!("there is only `{backend}:0`"),
            count => format!("there are only `{backend}:0` to `{backend}:{}`", count - 1),
        };
        return Err(missing(format!("`{choice}` is not there: {there}")).help(match backend {
            Backend::Cuda => {
                "places count from 0 among the devices the job may see, whatever their numbers or UUIDs; ask for one of \
                 those, or see that the job gets a GPU and the machine a driver (`nvidia-smi -L`)"
            }
            Backend::Webgpu | Backend::Cpu => {
                "ask for one that is there, or see that the machine has a Vulkan driver (`vulkaninfo --summary`)"
            }
        }));
    };
    let place = Place {
        device: gpu.device.clone(),
        backend,
    };
    match try_out(&place.device) {
        Ok(()) => Ok(Found {
            said: vec![computing(offer, &place, devices.len(), choice)],
            place,
        }),
        Err(reason) => Err(missing(format!(
            "`{choice}` is there and does not compute: {reason}"
        ))),
    }
}

/// The first GPU that computes, else the CPU.
fn first_usable(offers: &[Offer]) -> Found {
    let mut said = Vec::new();
    for offer in offers {
        let devices = (offer.list)();
        for (at, gpu) in (0..).zip(&devices) {
            if gpu.adapter == Adapter::Software {
                continue;
            }
            let (place, choice) = match offer.backend {
                Backend::Cpu => continue,
                Backend::Cuda => (gpu.device.clone(), DeviceChoice::Cuda(at)),
                Backend::Webgpu => (gpu.device.clone(), DeviceChoice::Webgpu(at)),
            };
            let place = Place {
                device: place,
                backend: offer.backend,
            };
            match try_out(&place.device) {
                Ok(()) => {
                    said.push(computing(offer, &place, devices.len(), choice));
                    return Found { place, said };
                }
                Err(reason) => said.push(format!(
                    "warning: `{choice}` is there and does not compute: {reason}"
                )),
            }
        }
    }
    let kinds: Vec<_> = offers.iter().map(|offer| kind(offer.backend)).collect();
    said.push(if kinds.is_empty() {
        "computing on the CPU: this fl-client was built without GPUs".to_owned()
    } else {
        format!(
            "computing on the CPU: no GPU to use through {}",
            kinds.join(" or ")
        )
    });
    Found {
        place: Place::cpu(),
        said,
    }
}

fn computing(offer: &Offer, place: &Place, count: usize, choice: DeviceChoice) -> String {
    let name = (offer.name)(&place.device).map_or(String::new(), |name| format!(" ({name})"));
    format!(
        "computing on `{choice}`{name}, of {count} {} device{}",
        kind(offer.backend),
        if count == 1 { "" } else { "s" }
    )
}

/// Computes one sum on `device`: a driver that is listed may still lack its compiler, its memory or its permissions.
fn try_out(device: &Device) -> Result<(), String> {
    // What a failed sum leaves behind belongs to the device, which nobody uses then.
    let sum = catch_unwind(AssertUnwindSafe(|| {
        let ones = Tensor::<1>::ones([2], device);
        (ones + 1.0).into_data().try_into_vec::<f32>()
    }));
    match sum {
        Ok(Ok(values)) if values == [2.0, 2.0] => Ok(()),
        Ok(Ok(values)) => Err(format!("it says that 1 + 1 is {}", values[0])),
        Ok(Err(error)) => Err(format!("{error:?}")),
        Err(panic) => Err(first_line(panic.as_ref())),
    }
}

fn first_line(panic: &(dyn Any + Send)) -> String {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref().copied());
    let line = text.and_then(|text| text.lines().map(str::trim).find(|line| !line.is_empty()));
    line.unwrap_or("its library stopped without a reason").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gpu(adapter: Adapter) -> Gpu {
        // Stands for a GPU: what is tested is the choice.
        Gpu {
            device: Device::flex(),
            adapter,
        }
    }

    fn cuda(list: fn() -> Vec<Gpu>) -> Offer {
        Offer {
            backend: Backend::Cuda,
            list,
            name: |_| Some("A100".to_owned()),
        }
    }

    fn two() -> Vec<Gpu> {
        vec![gpu(Adapter::Hardware), gpu(Adapter::Hardware)]
    }

    fn webgpu(list: fn() -> Vec<Gpu>) -> Offer {
        Offer {
            backend: Backend::Webgpu,
            list,
            name: |_| None,
        }
    }

    fn refused(choice: DeviceChoice, offers: &[Offer], visible: Option<&str>) -> JobError {
        choose(choice, offers, visible)
            .err()
            .expect("there is no such device")
    }

    #[test]
    fn what_was_asked_for_is_taken_and_said() {
        let found = choose(DeviceChoice::Cuda(1), &[cuda(two)], None).unwrap();
        assert_eq!(found.place.backend(), Backend::Cuda);
        assert_eq!(found.said, ["computing on `cuda:1` (A100), of 2 CUDA devices"]);
        let found = choose(DeviceChoice::Cpu, &[cuda(two)], None).unwrap();
        assert_eq!((found.place.backend(), found.said.len()), (Backend::Cpu, 0));
    }

    #[test]
    fn a_binary_without_such_devices_is_the_wrong_one_and_another_try_is_useless() {
        let error = refused(DeviceChoice::Cuda(0), &[webgpu(two)], None);
        assert_eq!(error.exit, JobExit::Usage);
        assert_eq!(
            error.message,
            "this fl-client was built without CUDA and cannot compute on `cuda:0`"
        );
        let error = refused(DeviceChoice::Webgpu(0), &[], None);
        assert!(error.message.contains("without WebGPU"), "{}", error.message);
    }

    #[test]
    fn a_place_beyond_the_visible_devices_quotes_what_limits_them() {
        let visible = Some("GPU-8e1f,MIG-77aa");
        let error = refused(DeviceChoice::Cuda(2), &[cuda(two)], visible);
        assert_eq!(error.exit, JobExit::DeviceMissing);
        assert_eq!(
            error.message,
            "`cuda:2` is not there: there are only `cuda:0` to `cuda:1` (CUDA_VISIBLE_DEVICES is `GPU-8e1f,MIG-77aa`)"
        );
        let error = refused(DeviceChoice::Cuda(0), &[cuda(Vec::new)], Some(""));
        assert_eq!(
            error.message,
            "`cuda:0` is not there: there is no CUDA device (CUDA_VISIBLE_DEVICES is ``)"
        );
        let one = || vec![gpu(Adapter::Software)];
        let error = refused(DeviceChoice::Webgpu(9), &[webgpu(one)], visible);
        assert_eq!(error.message, "`webgpu:9` is not there: there is only `webgpu:0`");
    }

    #[test]
    fn auto_takes_the_first_gpu_and_no_program_that_acts_as_one() {
        let mixed = || vec![gpu(Adapter::Software), gpu(Adapter::Hardware)];
        let offers = [cuda(Vec::new), webgpu(mixed)];
        let found = choose(DeviceChoice::Auto, &offers, None).unwrap();
        assert_eq!(found.place.backend(), Backend::Webgpu);
        assert_eq!(found.said, ["computing on `webgpu:1`, of 2 WebGPU devices"]);
        // By its place it can be had.
        let found = choose(DeviceChoice::Webgpu(0), &offers, None).unwrap();
        assert_eq!(found.place.backend(), Backend::Webgpu);
    }

    #[test]
    fn auto_says_when_it_ends_on_the_cpu() {
        let software = || vec![gpu(Adapter::Software)];
        let found = choose(
            DeviceChoice::Auto,
            &[cuda(Vec::new), webgpu(software)],
            Some("GPU-1"),
        )
        .unwrap();
        assert_eq!(found.place.backend(), Backend::Cpu);
        assert_eq!(
            found.said,
            ["computing on the CPU: no GPU to use through CUDA or WebGPU"]
        );
        let found = choose(DeviceChoice::Auto, &[], None).unwrap();
        assert_eq!(
            found.said,
            ["computing on the CPU: this fl-client was built without GPUs"]
        );
    }
}

//! The kinds of GPU this build computes on: [`OFFERS`].

#[cfg(feature = "webgpu")]
use burn::tensor::DeviceKind;
#[cfg(any(feature = "cuda", feature = "webgpu"))]
use burn::tensor::{Device, DeviceType};
#[cfg(any(feature = "cuda", feature = "webgpu"))]
use contract::training::Backend;
use fl_client::device::Offer;
#[cfg(any(feature = "cuda", feature = "webgpu"))]
use fl_client::device::{Adapter, Gpu};

/// Kinds of GPU, the preferred one first.
pub const OFFERS: &[Offer] = &[
    #[cfg(feature = "cuda")]
    Offer {
        backend: Backend::Cuda,
        list: cuda,
        name,
    },
    #[cfg(feature = "webgpu")]
    Offer {
        backend: Backend::Webgpu,
        list: webgpu,
        name,
    },
];

/// The devices that the driver shows this process: it reads `CUDA_VISIBLE_DEVICES` itself, numbers and UUIDs alike.
/// None without a driver.
#[cfg(feature = "cuda")]
fn cuda() -> Vec<Gpu> {
    let hardware = |device| Gpu {
        device,
        adapter: Adapter::Hardware,
    };
    Device::enumerate(DeviceType::Cuda)
        .into_iter()
        .map(hardware)
        .collect()
}

/// The adapters of the Vulkan driver: discrete, integrated and virtual GPUs, then software, each in the driver's order.
#[cfg(feature = "webgpu")]
fn webgpu() -> Vec<Gpu> {
    let software = Device::wgpu(DeviceKind::Cpu);
    let gpu = |device: Device| Gpu {
        adapter: if device == software {
            Adapter::Software
        } else {
            Adapter::Hardware
        },
        device,
    };
    Device::enumerate(DeviceType::Wgpu)
        .into_iter()
        .map(gpu)
        .collect()
}

#[cfg(any(feature = "cuda", feature = "webgpu"))]
fn name(device: &Device) -> Option<String> {
    device.identity().map(|identity| identity.name)
}

//! Stands in for cubecl-llvm where CUDA kernels go through NVRTC: the names that cubecl-cuda uses, and no compiler.
//!
//! cubecl-cuda 0.11 is built with both of its compilers and, with its feature `cpp`, takes NVRTC for every kernel. So
//! nothing here runs; should it all the same, it stops with what is missing.

use std::fmt;

use cubecl_core::{
    CompilationError, Compiler,
    environment::backtrace::BackTrace,
    ir::{amd::GfxArch, nvidia::SmArch},
    prelude::KernelDefinition,
};
use cubecl_server::kernel::BufferIOAttr;

const MISSING: &str = "this program was built without LLVM; build cubecl-cuda with its feature `cpp`";

/// Of NVIDIA GPUs.
pub mod nvptx {
    /// Versions of PTX.
    pub mod ptx_version {
        use std::fmt;

        /// A version of PTX that LLVM would be asked for; there is none.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum PtxVersion {}

        impl PtxVersion {
            /// None, whatever the driver: NVRTC writes the version of its own toolkit.
            pub fn for_driver(_: i32) -> Option<Self> {
                None
            }
        }

        impl fmt::Display for PtxVersion {
            fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
                match *self {}
            }
        }
    }
}

/// Of every target.
pub mod shared {
    /// What a target can do.
    pub mod lowered_features {
        use cubecl_core::ir::DeviceProperties;

        /// A target.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum GpuTarget {
            /// NVIDIA GPUs.
            Nvptx,
        }

        /// Leaves of `properties` what LLVM can compile: asked only where LLVM compiles.
        ///
        /// # Panics
        /// Always.
        pub fn restrict_features(_: &mut DeviceProperties, _: GpuTarget) {
            panic!("{}", crate::MISSING);
        }
    }
}

/// What is compiled for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LlvmTarget {
    /// NVIDIA GPUs.
    Nvptx,
}

/// The compiler that is not here.
#[derive(Debug, Clone)]
pub struct PlironCompiler {
    /// What it would compile for.
    pub target: LlvmTarget,
}

/// What it would be told.
#[derive(Debug, Clone, Default)]
pub struct PlironOptions {
    /// The AMD GPU.
    pub arch: Option<GfxArch>,
    /// The NVIDIA GPU.
    pub sm_arch: Option<SmArch>,
    /// The version of PTX.
    pub ptx_version: Option<nvptx::ptx_version::PtxVersion>,
    /// How kernels get their parameters.
    pub grid_constants: bool,
}

/// A compiled kernel; none is ever made.
#[derive(Debug, Clone)]
pub struct NvptxModule {
    /// PTX.
    pub ptx: Vec<core::ffi::c_char>,
    /// Name of the kernel in it.
    pub entrypoint: String,
    /// What it was made of.
    pub ir: String,
    /// Bytes of shared memory.
    pub shared_memory_size: usize,
    /// What it does with its buffers.
    pub io: Vec<BufferIOAttr>,
}

/// What compiling yields.
#[derive(Debug, Clone)]
pub enum PlironArtifact {
    /// For NVIDIA GPUs.
    NvptxCode(NvptxModule),
}

impl fmt::Display for PlironArtifact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let PlironArtifact::NvptxCode(module) = self;
        f.write_str(&module.ir)
    }
}

impl Compiler for PlironCompiler {
    type Representation = PlironArtifact;
    type CompilationOptions = PlironOptions;

    fn compile(
        &mut self,
        _: KernelDefinition,
        _: &PlironOptions,
    ) -> Result<PlironArtifact, CompilationError> {
        Err(CompilationError::Generic {
            reason: MISSING.to_owned(),
            backtrace: BackTrace::capture(),
        })
    }

    fn extension(&self) -> &'static str {
        "ll"
    }

    fn lang_tag(&self) -> &'static str {
        "llvm"
    }
}

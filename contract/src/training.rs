//! Models, optimisers, and what a client does in a round.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::argv::ArgValue;

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $( $(#[$item:meta])* $variant:ident = $word:literal, )* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum $name { $( $(#[$item])* #[serde(rename = $word)] $variant, )* }

        impl $name {
            /// Every value.
            pub const ALL: &'static [$name] = &[$( $name::$variant, )*];

            /// The word it is written as.
            pub const fn as_str(self) -> &'static str {
                match self { $( $name::$variant => $word, )* }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = String;
            fn from_str(word: &str) -> Result<Self, String> {
                Self::ALL.iter().copied().find(|value| value.as_str() == word).ok_or_else(|| {
                    let known: Vec<_> = Self::ALL.iter().map(|value| value.as_str()).collect();
                    format!("must be one of {}", known.join(", "))
                })
            }
        }

        impl ArgValue for $name {
            fn write(&self) -> String {
                self.as_str().to_owned()
            }
            fn read(word: &str) -> Result<Self, String> {
                word.parse()
            }
        }
    };
}

words! {
    /// A network.
    Arch {
        /// Two 3x3 convolutions (16, 32) with ReLU and 2x2 max pooling, a hidden layer of 64, a linear head.
        SmallCnn = "small_cnn",
        /// The same with batch normalisation after each convolution.
        SmallCnnBn = "small_cnn_bn",
        /// ResNet-18 (He et al. 2015, arXiv:1512.03385) with torchvision's tensor names.
        Resnet18 = "resnet18",
        /// ResNet-50 (He et al. 2015, arXiv:1512.03385), strides in the 3x3 convolutions, with torchvision's tensor names.
        Resnet50 = "resnet50",
        /// DenseNet-121 (Huang et al. 2016, arXiv:1608.06993) with torchvision's tensor names.
        Densenet121 = "densenet121",
        /// EfficientNet-B0 (Tan and Le 2019, arXiv:1905.11946) with torchvision's tensor names.
        EfficientnetB0 = "efficientnet_b0",
    }
}

words! {
    /// What a network's outputs are about.
    Target {
        /// One class an image; probabilities by softmax.
        Classes = "classes",
        /// Any number of labels an image; a probability each by sigmoid.
        Labels = "labels",
    }
}

words! {
    /// What becomes of a head in a file of weights that has another size than the network's.
    Head {
        /// It is an error.
        Kept = "kept",
        /// The head starts anew, whatever its size in the file.
        New = "new",
    }
}

words! {
    /// How the trained values of a model are written on its way to the clients.
    Broadcast {
        /// As half floats.
        Fp16 = "fp16",
        /// As brain floats.
        Bf16 = "bf16",
        /// As 8-bit integers times a scale per tensor.
        Int8 = "int8",
    }
}

words! {
    /// What computed a result.
    Backend {
        /// The CPU.
        Cpu = "cpu",
        /// CUDA.
        Cuda = "cuda",
        /// WebGPU.
        Webgpu = "webgpu",
    }
}

words! {
    /// How a job tells of its progress, on standard error.
    Progress {
        /// For people.
        Text = "text",
        /// For machines: a JSON object a line.
        Json = "json",
        /// Not at all.
        None = "none",
    }
}

words! {
    /// What a client does whose training cannot be done.
    Absence {
        /// The job fails.
        Refused = "refused",
        /// The job writes an update that says the client is absent, and why.
        Allowed = "allowed",
    }
}

words! {
    /// What federated training is compared with.
    BaselineKind {
        /// One model trained on the union of all clients' samples.
        Centralized = "centralized",
        /// One model per client, trained on its samples alone.
        LocalOnly = "local_only",
    }
}

/// How weights follow gradients.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Optimizer {
    /// Stochastic gradient descent as PyTorch's: `v = momentum·v + (g + weight_decay·w)`, `w -= learning_rate·v`.
    Sgd {
        /// Step size, more than 0.
        learning_rate: f64,
        /// Share of the last step kept, from 0 to below 1; no dampening.
        momentum: f64,
        /// Whether the step looks ahead: `w -= learning_rate·(g + weight_decay·w + momentum·v)`; needs momentum.
        nesterov: bool,
        /// L2 penalty, 0 or more.
        weight_decay: f64,
    },
    /// Adam (Kingma and Ba 2015, arXiv:1412.6980) with L2 penalty in the gradient, as PyTorch's.
    Adam(Moments),
    /// AdamW (Loshchilov and Hutter 2017, arXiv:1711.05101): weights shrink by `learning_rate·weight_decay` of themselves
    /// before the step, as PyTorch's.
    Adamw(Moments),
}

/// Settings of Adam and its kin.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Moments {
    /// Step size, more than 0.
    pub learning_rate: f64,
    /// Decay of the first moment, from 0 to below 1.
    pub beta1: f64,
    /// Decay of the second moment, from 0 to below 1.
    pub beta2: f64,
    /// Added to the root of the second moment, more than 0.
    pub epsilon: f64,
    /// 0 or more.
    pub weight_decay: f64,
}

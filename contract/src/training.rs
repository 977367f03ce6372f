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
        /// ResNet-18 (He et al. 2015, arXiv:1512.03385) with torchvision's tensor names.
        Resnet18 = "resnet18",
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
        /// L2 penalty, 0 or more.
        weight_decay: f64,
    },
    /// Adam (Kingma and Ba 2015, arXiv:1412.6980) with L2 penalty in the gradient, as PyTorch's.
    Adam {
        /// Step size, more than 0.
        learning_rate: f64,
        /// Decay of the first moment, from 0 to below 1.
        beta1: f64,
        /// Decay of the second moment, from 0 to below 1.
        beta2: f64,
        /// Added to the root of the second moment, more than 0.
        epsilon: f64,
        /// L2 penalty, 0 or more.
        weight_decay: f64,
    },
}

impl Optimizer {
    /// Its word and its settings, in the order they are written.
    fn parts(&self) -> (&'static str, Vec<(&'static str, f64)>) {
        match *self {
            Optimizer::Sgd {
                learning_rate,
                momentum,
                weight_decay,
            } => (
                "sgd",
                vec![
                    ("learning_rate", learning_rate),
                    ("momentum", momentum),
                    ("weight_decay", weight_decay),
                ],
            ),
            Optimizer::Adam {
                learning_rate,
                beta1,
                beta2,
                epsilon,
                weight_decay,
            } => (
                "adam",
                vec![
                    ("learning_rate", learning_rate),
                    ("beta1", beta1),
                    ("beta2", beta2),
                    ("epsilon", epsilon),
                    ("weight_decay", weight_decay),
                ],
            ),
        }
    }
}

impl fmt::Display for Optimizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, settings) = self.parts();
        f.write_str(kind)?;
        for (i, (name, value)) in settings.into_iter().enumerate() {
            write!(f, "{}{name}={value:?}", if i == 0 { ':' } else { ',' })?;
        }
        Ok(())
    }
}

/// `sgd:learning_rate=0.01,momentum=0.9,weight_decay=0.0001`: every setting once, in this order.
impl ArgValue for Optimizer {
    fn write(&self) -> String {
        self.to_string()
    }

    fn read(word: &str) -> Result<Self, String> {
        let (kind, settings) = word
            .split_once(':')
            .ok_or("needs settings, as in `sgd:learning_rate=0.01,…`")?;
        let mut settings = settings.split(',');
        let mut setting = |name: &str| -> Result<f64, String> {
            let part = settings.next().ok_or_else(|| format!("`{name}=` is missing"))?;
            let value = part.strip_prefix(name).and_then(|rest| rest.strip_prefix('='));
            f64::read(value.ok_or_else(|| format!("`{part}` stands where `{name}=` belongs"))?)
        };
        let optimizer = match kind {
            "sgd" => Optimizer::Sgd {
                learning_rate: setting("learning_rate")?,
                momentum: setting("momentum")?,
                weight_decay: setting("weight_decay")?,
            },
            "adam" => Optimizer::Adam {
                learning_rate: setting("learning_rate")?,
                beta1: setting("beta1")?,
                beta2: setting("beta2")?,
                epsilon: setting("epsilon")?,
                weight_decay: setting("weight_decay")?,
            },
            _ => return Err("must be `sgd:…` or `adam:…`".to_owned()),
        };
        match settings.next() {
            Some(part) => Err(format!("`{part}` is not a setting of `{kind}`")),
            None => Ok(optimizer),
        }
    }
}

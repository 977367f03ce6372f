//! The tensors of a network: names, shapes, roles and first values, in the order layers declare them.

/// What a tensor is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Follows gradients.
    Trained,
    /// Follows the statistics of batches.
    Statistic,
    /// Counts batches: a single integer.
    Counter,
}

/// How a tensor starts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Start {
    /// Uniform within ±1/√`fan_in`: PyTorch's default for convolutions and linear layers, weights and biases, which it
    /// writes as `kaiming_uniform_(a=√5)` (He et al. 2015, arXiv:1502.01852).
    UniformFanIn {
        /// Inputs of one output.
        fan_in: usize,
    },
    /// Normal with standard deviation √(2/`fan_out`): torchvision's `kaiming_normal_(mode="fan_out")` for ResNets.
    NormalFanOut {
        /// Outputs of one input.
        fan_out: usize,
    },
    /// Normal with standard deviation √(2/`fan_in`): torchvision's `kaiming_normal_` for DenseNets.
    NormalFanIn {
        /// Inputs of one output.
        fan_in: usize,
    },
    /// Uniform within ±1/√`fan_out`: torchvision's heads of EfficientNets.
    UniformFanOut {
        /// Outputs of one input.
        fan_out: usize,
    },
    /// The same value everywhere.
    Constant(f32),
}

/// Name, shape, role and start of one tensor.
#[derive(Debug, Clone, PartialEq)]
pub struct TensorSpec {
    /// The name in the file, as in PyTorch's `state_dict`.
    pub name: String,
    /// The shape; empty for a single number.
    pub shape: Vec<usize>,
    /// What it is for.
    pub role: Role,
    /// How it starts.
    pub start: Start,
}

impl TensorSpec {
    /// Number of values.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether there are no values.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Place of a tensor in the order of its network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slot(pub(super) usize);

/// Collects the tensors of a network while its layers are made.
#[derive(Debug, Default)]
pub(super) struct Schema(Vec<TensorSpec>);

impl Schema {
    /// Adds a tensor.
    pub(super) fn add(&mut self, name: String, shape: &[usize], role: Role, start: Start) -> Slot {
        debug_assert!(
            self.0.iter().all(|tensor| tensor.name != name),
            "two tensors `{name}`"
        );
        self.0.push(TensorSpec {
            name,
            shape: shape.to_vec(),
            role,
            start,
        });
        Slot(self.0.len() - 1)
    }

    /// The tensors in order.
    pub(super) fn into_tensors(self) -> Vec<TensorSpec> {
        self.0
    }
}

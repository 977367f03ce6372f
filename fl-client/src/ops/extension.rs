//! The kernels as operations of burn: on the Flex backend, and differentiable.
//!
//! burn's dispatcher picks the implementation by the backend of the tensors, and stops the program at one that is not in
//! the lists of [`TrainOps`] and [`EvalOps`]: callers send only tensors on the CPU here.

use burn::{
    backend::{
        Autodiff, AutodiffBackend, Backend, ExtensionType, Flex,
        autodiff::{
            checkpoint::{base::Checkpointer, strategy::CheckpointStrategy},
            grads::Gradients,
            ops::{Backward, Ops, OpsKind},
        },
        backend_extension,
        flex::{FlexTensor, Layout},
        tensor::FloatTensor,
    },
    tensor::{Bytes, DType, Shape},
};

use super::{
    conv::{self, ConvOptions, Geometry},
    norm::{self, Activation, Affine, After, Planes, Saved},
    pool::{self, Pool},
};

/// Output and batch statistics of a normalisation.
#[derive(ExtensionType)]
pub struct Normalized<B: Backend> {
    /// The output.
    pub out: FloatTensor<B>,
    /// Mean of each channel; not differentiable.
    pub mean: FloatTensor<B>,
    /// Biased variance of each channel; not differentiable.
    pub variance: FloatTensor<B>,
}

/// Operations of training, with gradients.
#[backend_extension(Flex, Autodiff)]
pub trait TrainOps: Backend {
    /// Convolution without a bias.
    fn conv2d(x: FloatTensor<Self>, weight: FloatTensor<Self>, options: ConvOptions) -> FloatTensor<Self>;
    /// Convolution with a bias.
    fn conv2d_bias(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        options: ConvOptions,
    ) -> FloatTensor<Self>;
    /// Batch normalisation with the batch's statistics.
    fn batch_norm(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        epsilon: f32,
        activation: Activation,
    ) -> Normalized<Self>;
    /// Batch normalisation with the batch's statistics, plus a shortcut, through ReLU.
    fn batch_norm_add_relu(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        shortcut: FloatTensor<Self>,
        epsilon: f32,
    ) -> Normalized<Self>;
    /// Max pooling.
    fn max_pool2d(x: FloatTensor<Self>, pool: Pool) -> FloatTensor<Self>;
}

/// Operations of evaluation, without gradients.
#[backend_extension(Flex)]
pub trait EvalOps: Backend {
    /// `act(scale·x + shift)` for each channel.
    fn scale_shift(
        x: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        activation: Activation,
    ) -> FloatTensor<Self>;
    /// `relu(scale·x + shift + shortcut)` for each channel.
    fn scale_shift_add_relu(
        x: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        shortcut: FloatTensor<Self>,
    ) -> FloatTensor<Self>;
}

/// The tensor with its values in order and nothing before or after them.
pub(super) fn packed(tensor: FlexTensor) -> FlexTensor {
    let whole = tensor.is_contiguous()
        && tensor.layout().start_offset() == 0
        && tensor.storage::<f32>().len() == tensor.layout().num_elements();
    if whole { tensor } else { tensor.to_contiguous() }
}

pub(super) fn shape<const D: usize>(tensor: &FlexTensor) -> [usize; D] {
    std::array::from_fn(|axis| tensor.layout().shape()[axis])
}

pub(super) fn tensor<const D: usize>(values: Vec<f32>, shape: [usize; D]) -> FlexTensor {
    FlexTensor::new(
        Bytes::from_elems(values),
        Layout::contiguous(Shape::from(shape)),
        DType::F32,
    )
}

pub(super) fn lift(tensor: FlexTensor) -> FloatTensor<Autodiff<Flex>> {
    <Autodiff<Flex> as AutodiffBackend>::from_inner(tensor)
}

// ---- convolution

fn conv_forward(
    x: &FlexTensor,
    weight: &FlexTensor,
    bias: Option<&FlexTensor>,
    options: ConvOptions,
) -> FlexTensor {
    let geometry = Geometry::new(shape(x), shape(weight), options);
    let bias = bias.map(FlexTensor::storage);
    tensor(
        conv::forward(x.storage(), weight.storage(), bias, &geometry),
        geometry.output(),
    )
}

#[derive(Debug, Clone)]
struct ConvState {
    x: FlexTensor,
    weight: FlexTensor,
    options: ConvOptions,
}

impl ConvState {
    fn geometry(&self) -> Geometry {
        Geometry::new(shape(&self.x), shape(&self.weight), self.options)
    }
    fn image_gradient(&self, grad: &FlexTensor) -> FlexTensor {
        let values = conv::image_gradient(self.weight.storage(), grad.storage(), &self.geometry());
        tensor::<4>(values, shape(&self.x))
    }
    fn weight_gradient(&self, grad: &FlexTensor) -> FlexTensor {
        let values = conv::weight_gradient(self.x.storage(), grad.storage(), &self.geometry());
        tensor::<4>(values, shape(&self.weight))
    }
    fn bias_gradient(&self, grad: &FlexTensor) -> FlexTensor {
        let values = conv::bias_gradient(grad.storage(), &self.geometry());
        let length = values.len();
        tensor(values, [length])
    }
}

#[derive(Debug)]
struct ConvBackward;

impl Backward<Flex, 2> for ConvBackward {
    type State = ConvState;
    fn backward(self, ops: Ops<ConvState, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let ([x, weight], state) = (ops.parents, ops.state);
        let grad = packed(grads.consume::<Flex>(&ops.node));
        if let Some(node) = x {
            grads.register::<Flex>(node.id, state.image_gradient(&grad));
        }
        if let Some(node) = weight {
            grads.register::<Flex>(node.id, state.weight_gradient(&grad));
        }
    }
}

impl Backward<Flex, 3> for ConvBackward {
    type State = ConvState;
    fn backward(self, ops: Ops<ConvState, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let ([x, weight, bias], state) = (ops.parents, ops.state);
        let grad = packed(grads.consume::<Flex>(&ops.node));
        if let Some(node) = x {
            grads.register::<Flex>(node.id, state.image_gradient(&grad));
        }
        if let Some(node) = weight {
            grads.register::<Flex>(node.id, state.weight_gradient(&grad));
        }
        if let Some(node) = bias {
            grads.register::<Flex>(node.id, state.bias_gradient(&grad));
        }
    }
}

// ---- normalisation

pub(super) fn norm_forward(
    x: &FlexTensor,
    [gamma, beta]: [&FlexTensor; 2],
    shortcut: Option<&FlexTensor>,
    epsilon: f32,
    activation: Activation,
) -> Normalized<Flex> {
    let affine = Affine {
        gamma: gamma.storage(),
        beta: beta.storage(),
        epsilon,
    };
    let after = After {
        shortcut: shortcut.map(FlexTensor::storage),
        activation,
    };
    let dims: [usize; 4] = shape(x);
    let (out, statistics) = norm::train_forward(x.storage(), affine, after, Planes::of(dims));
    Normalized {
        out: tensor(out, dims),
        mean: tensor(statistics.mean, [dims[1]]),
        variance: tensor(statistics.variance, [dims[1]]),
    }
}

/// What the backward pass of a normalisation keeps. The output is not among it: its sign follows from the rest.
#[derive(Debug, Clone)]
pub(super) struct NormState {
    pub(super) x: FlexTensor,
    pub(super) gamma: FlexTensor,
    pub(super) beta: FlexTensor,
    pub(super) mean: FlexTensor,
    pub(super) variance: FlexTensor,
    pub(super) epsilon: f32,
    pub(super) activation: Activation,
}

impl NormState {
    pub(super) fn planes(&self) -> Planes {
        Planes::of(shape(&self.x))
    }

    pub(super) fn saved(&self) -> Saved<'_> {
        Saved {
            x: self.x.storage(),
            affine: Affine {
                gamma: self.gamma.storage(),
                beta: self.beta.storage(),
                epsilon: self.epsilon,
            },
            mean: self.mean.storage(),
            variance: self.variance.storage(),
            activation: self.activation,
        }
    }

    /// Gradients of input, scale and shift.
    pub(super) fn gradients(&self, grad: &[f32]) -> [FlexTensor; 3] {
        let dims: [usize; 4] = shape(&self.x);
        let norm::Gradients { x, gamma, beta } = norm::train_backward(self.saved(), grad, self.planes());
        [tensor(x, dims), tensor(gamma, [dims[1]]), tensor(beta, [dims[1]])]
    }
}

#[derive(Debug)]
struct NormBackward;

impl Backward<Flex, 3> for NormBackward {
    type State = NormState;
    fn backward(self, ops: Ops<NormState, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = packed(grads.consume::<Flex>(&ops.node));
        let gradients = ops.state.gradients(grad.storage());
        for (node, gradient) in ops.parents.into_iter().zip(gradients) {
            if let Some(node) = node {
                grads.register::<Flex>(node.id, gradient);
            }
        }
    }
}

impl Backward<Flex, 4> for NormBackward {
    /// What went into ReLU had the shortcut in it: its sign is kept as the output.
    type State = (NormState, FlexTensor);
    fn backward(self, ops: Ops<Self::State, 4>, grads: &mut Gradients, _: &mut Checkpointer) {
        let (state, out) = ops.state;
        let grad = packed(grads.consume::<Flex>(&ops.node));
        let grad = norm::relu_gradient(grad.storage(), out.storage());
        drop(out);
        let [x, gamma, beta] = state.gradients(&grad);
        let shortcut = tensor::<4>(grad, shape(&state.x));
        for (node, gradient) in ops.parents.into_iter().zip([x, gamma, beta, shortcut]) {
            if let Some(node) = node {
                grads.register::<Flex>(node.id, gradient);
            }
        }
    }
}

// ---- pooling

#[derive(Debug, Clone)]
struct PoolState {
    shape: [usize; 4],
    places: Vec<u32>,
    pool: Pool,
}

#[derive(Debug)]
struct PoolBackward;

impl Backward<Flex, 1> for PoolBackward {
    type State = PoolState;
    fn backward(self, ops: Ops<PoolState, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let ([x], PoolState { shape, places, pool }) = (ops.parents, ops.state);
        let grad = packed(grads.consume::<Flex>(&ops.node));
        if let Some(node) = x {
            let values = pool::backward(grad.storage(), &places, shape, pool);
            grads.register::<Flex>(node.id, tensor(values, shape));
        }
    }
}

// ---- the backends

impl TrainOps for Flex {
    fn conv2d(x: FlexTensor, weight: FlexTensor, options: ConvOptions) -> FlexTensor {
        conv_forward(&packed(x), &packed(weight), None, options)
    }

    fn conv2d_bias(x: FlexTensor, weight: FlexTensor, bias: FlexTensor, options: ConvOptions) -> FlexTensor {
        conv_forward(&packed(x), &packed(weight), Some(&packed(bias)), options)
    }

    fn batch_norm(
        x: FlexTensor,
        gamma: FlexTensor,
        beta: FlexTensor,
        epsilon: f32,
        activation: Activation,
    ) -> Normalized<Flex> {
        norm_forward(
            &packed(x),
            [&packed(gamma), &packed(beta)],
            None,
            epsilon,
            activation,
        )
    }

    fn batch_norm_add_relu(
        x: FlexTensor,
        gamma: FlexTensor,
        beta: FlexTensor,
        shortcut: FlexTensor,
        epsilon: f32,
    ) -> Normalized<Flex> {
        let affine = [&packed(gamma), &packed(beta)];
        norm_forward(
            &packed(x),
            affine,
            Some(&packed(shortcut)),
            epsilon,
            Activation::Relu,
        )
    }

    fn max_pool2d(x: FlexTensor, pool: Pool) -> FlexTensor {
        let x = packed(x);
        let dims = shape(&x);
        tensor(pool::forward(x.storage(), dims, pool).0, pool.output(dims))
    }
}

impl EvalOps for Flex {
    fn scale_shift(
        x: FlexTensor,
        scale: FlexTensor,
        shift: FlexTensor,
        activation: Activation,
    ) -> FlexTensor {
        let (x, scale, shift) = (packed(x), packed(scale), packed(shift));
        let (dims, after) = (
            shape(&x),
            After {
                shortcut: None,
                activation,
            },
        );
        let values = norm::scale_shift(
            x.storage(),
            scale.storage(),
            shift.storage(),
            after,
            Planes::of(dims),
        );
        tensor(values, dims)
    }

    fn scale_shift_add_relu(
        x: FlexTensor,
        scale: FlexTensor,
        shift: FlexTensor,
        shortcut: FlexTensor,
    ) -> FlexTensor {
        let (x, scale, shift, shortcut) = (packed(x), packed(scale), packed(shift), packed(shortcut));
        let after = After {
            shortcut: Some(shortcut.storage()),
            activation: Activation::Relu,
        };
        let dims = shape(&x);
        let values = norm::scale_shift(
            x.storage(),
            scale.storage(),
            shift.storage(),
            after,
            Planes::of(dims),
        );
        tensor(values, dims)
    }
}

impl<C: CheckpointStrategy> TrainOps for Autodiff<Flex, C> {
    fn conv2d(x: FloatTensor<Self>, weight: FloatTensor<Self>, options: ConvOptions) -> FloatTensor<Self> {
        let step = <ConvBackward as Backward<Flex, 2>>::prepare::<C>(ConvBackward, [x.node(), weight.node()]);
        let (x, weight) = (packed(x.into_primitive()), packed(weight.into_primitive()));
        let out = conv_forward(&x, &weight, None, options);
        match step.compute_bound().stateful() {
            OpsKind::Tracked(step) => step.finish(ConvState { x, weight, options }, out),
            OpsKind::UnTracked(step) => step.finish(out),
        }
    }

    fn conv2d_bias(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        options: ConvOptions,
    ) -> FloatTensor<Self> {
        let nodes = [x.node(), weight.node(), bias.node()];
        let step = <ConvBackward as Backward<Flex, 3>>::prepare::<C>(ConvBackward, nodes);
        let (x, weight) = (packed(x.into_primitive()), packed(weight.into_primitive()));
        let out = conv_forward(&x, &weight, Some(&packed(bias.into_primitive())), options);
        match step.compute_bound().stateful() {
            OpsKind::Tracked(step) => step.finish(ConvState { x, weight, options }, out),
            OpsKind::UnTracked(step) => step.finish(out),
        }
    }

    fn batch_norm(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        epsilon: f32,
        activation: Activation,
    ) -> Normalized<Self> {
        let nodes = [x.node(), gamma.node(), beta.node()];
        let step = <NormBackward as Backward<Flex, 3>>::prepare::<C>(NormBackward, nodes);
        let (x, gamma) = (packed(x.into_primitive()), packed(gamma.into_primitive()));
        let beta = packed(beta.into_primitive());
        let Normalized { out, mean, variance } = norm_forward(&x, [&gamma, &beta], None, epsilon, activation);
        let statistics = (lift(mean.clone()), lift(variance.clone()));
        let state = NormState {
            x,
            gamma,
            beta,
            mean,
            variance,
            epsilon,
            activation,
        };
        let out = match step.compute_bound().stateful() {
            OpsKind::Tracked(step) => step.finish(state, out),
            OpsKind::UnTracked(step) => step.finish(out),
        };
        Normalized {
            out,
            mean: statistics.0,
            variance: statistics.1,
        }
    }

    fn batch_norm_add_relu(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        shortcut: FloatTensor<Self>,
        epsilon: f32,
    ) -> Normalized<Self> {
        let nodes = [x.node(), gamma.node(), beta.node(), shortcut.node()];
        let step = <NormBackward as Backward<Flex, 4>>::prepare::<C>(NormBackward, nodes);
        let (x, gamma) = (packed(x.into_primitive()), packed(gamma.into_primitive()));
        let (beta, shortcut) = (packed(beta.into_primitive()), packed(shortcut.into_primitive()));
        let Normalized { out, mean, variance } =
            norm_forward(&x, [&gamma, &beta], Some(&shortcut), epsilon, Activation::Relu);
        let statistics = (lift(mean.clone()), lift(variance.clone()));
        let state = NormState {
            x,
            gamma,
            beta,
            mean,
            variance,
            epsilon,
            activation: Activation::None,
        };
        let out = match step.compute_bound().stateful() {
            OpsKind::Tracked(step) => step.finish((state, out.clone()), out),
            OpsKind::UnTracked(step) => step.finish(out),
        };
        Normalized {
            out,
            mean: statistics.0,
            variance: statistics.1,
        }
    }

    fn max_pool2d(x: FloatTensor<Self>, pool: Pool) -> FloatTensor<Self> {
        let step = PoolBackward.prepare::<C>([x.node()]);
        let x = packed(x.into_primitive());
        let shape = shape(&x);
        let (values, places) = pool::forward(x.storage(), shape, pool);
        let out = tensor(values, pool.output(shape));
        match step.compute_bound().stateful() {
            OpsKind::Tracked(step) => step.finish(PoolState { shape, places, pool }, out),
            OpsKind::UnTracked(step) => step.finish(out),
        }
    }
}

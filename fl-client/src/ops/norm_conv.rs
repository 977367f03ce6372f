//! Normalisation, activation and convolution as one operation of burn, which keeps what was normalised and not what was convolved.
//!
//! A convolution's weight gradient needs its input, which a normalisation made of values that are kept anyway: computing it
//! once more in the backward pass takes one pass over memory and halves what such a pair of layers holds until then.

use burn::backend::{
    Autodiff, Backend, Flex,
    autodiff::{
        checkpoint::{base::Checkpointer, strategy::CheckpointStrategy},
        grads::Gradients,
        ops::{Backward, Ops, OpsKind},
    },
    backend_extension,
    flex::FlexTensor,
    tensor::FloatTensor,
};

use super::{
    conv::{self, ConvOptions, Geometry},
    extension::{NormState, Normalized, lift, norm_forward, packed, shape, tensor},
    grouped::{self, Groups},
    norm::Activation,
};

/// Pairs of layers, with gradients.
#[backend_extension(Flex, Autodiff)]
pub trait PairOps: Backend {
    /// Batch normalisation with the batch's statistics, the activation, and a convolution, in groups or not, without a bias.
    fn batch_norm_conv2d(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        options: ConvOptions,
        epsilon: f32,
        activation: Activation,
    ) -> Normalized<Self>;
}

/// A convolution of either kind.
enum Conv {
    Whole(Geometry),
    InGroups(Groups),
}

impl Conv {
    fn new(images: [usize; 4], weights: [usize; 4], options: ConvOptions) -> Self {
        if images[1] == weights[1] {
            Self::Whole(Geometry::new(images, weights, options))
        } else {
            Self::InGroups(Groups::new(images, weights, options.slide))
        }
    }

    fn forward(&self, images: &[f32], weights: &[f32]) -> FlexTensor {
        match self {
            Self::Whole(g) => tensor(conv::forward(images, weights, None, g), g.output()),
            Self::InGroups(g) => tensor(grouped::forward(images, weights, g), g.output()),
        }
    }

    fn image_gradient(&self, weights: &[f32], grad: &[f32]) -> Vec<f32> {
        match self {
            Self::Whole(g) => conv::image_gradient(weights, grad, g),
            Self::InGroups(g) => grouped::image_gradient(weights, grad, g),
        }
    }

    fn weight_gradient(&self, images: &[f32], grad: &[f32]) -> Vec<f32> {
        match self {
            Self::Whole(g) => conv::weight_gradient(images, grad, g),
            Self::InGroups(g) => grouped::weight_gradient(images, grad, g),
        }
    }
}

/// Output of both layers and statistics of the first, on packed tensors.
fn forward(
    x: &FlexTensor,
    affine: [&FlexTensor; 2],
    weight: &FlexTensor,
    options: ConvOptions,
    epsilon: f32,
    activation: Activation,
) -> Normalized<Flex> {
    let between = norm_forward(x, affine, None, epsilon, activation);
    let conv = Conv::new(shape(x), shape(weight), options);
    Normalized {
        out: conv.forward(between.out.storage(), weight.storage()),
        ..between
    }
}

impl PairOps for Flex {
    fn batch_norm_conv2d(
        x: FlexTensor,
        gamma: FlexTensor,
        beta: FlexTensor,
        weight: FlexTensor,
        options: ConvOptions,
        epsilon: f32,
        activation: Activation,
    ) -> Normalized<Flex> {
        let affine = [&packed(gamma), &packed(beta)];
        forward(&packed(x), affine, &packed(weight), options, epsilon, activation)
    }
}

#[derive(Debug, Clone)]
struct PairState {
    norm: NormState,
    weight: FlexTensor,
    options: ConvOptions,
}

#[derive(Debug)]
struct PairBackward;

impl Backward<Flex, 4> for PairBackward {
    type State = PairState;
    fn backward(self, ops: Ops<PairState, 4>, grads: &mut Gradients, _: &mut Checkpointer) {
        let PairState {
            norm,
            weight,
            options,
        } = ops.state;
        let [x_node, gamma_node, beta_node, weight_node] = ops.parents;
        let grad = packed(grads.consume::<Flex>(&ops.node));
        let conv = Conv::new(shape(&norm.x), shape(&weight), options);
        if let Some(node) = weight_node {
            let between = norm.saved().output(norm.planes());
            let values = conv.weight_gradient(&between, grad.storage());
            grads.register::<Flex>(node.id, tensor::<4>(values, shape(&weight)));
        }
        let nodes = [x_node, gamma_node, beta_node];
        if nodes.iter().all(Option::is_none) {
            return;
        }
        let between = conv.image_gradient(weight.storage(), grad.storage());
        drop(grad);
        for (node, gradient) in nodes.into_iter().zip(norm.gradients(&between)) {
            if let Some(node) = node {
                grads.register::<Flex>(node.id, gradient);
            }
        }
    }
}

impl<C: CheckpointStrategy> PairOps for Autodiff<Flex, C> {
    fn batch_norm_conv2d(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        options: ConvOptions,
        epsilon: f32,
        activation: Activation,
    ) -> Normalized<Self> {
        let step = PairBackward.prepare::<C>([x.node(), gamma.node(), beta.node(), weight.node()]);
        let (x, weight) = (packed(x.into_primitive()), packed(weight.into_primitive()));
        let (gamma, beta) = (packed(gamma.into_primitive()), packed(beta.into_primitive()));
        let Normalized { out, mean, variance } =
            forward(&x, [&gamma, &beta], &weight, options, epsilon, activation);
        let statistics = (lift(mean.clone()), lift(variance.clone()));
        let norm = NormState {
            x,
            gamma,
            beta,
            mean,
            variance,
            epsilon,
            activation,
        };
        let out = match step.compute_bound().stateful() {
            OpsKind::Tracked(step) => step.finish(
                PairState {
                    norm,
                    weight,
                    options,
                },
                out,
            ),
            OpsKind::UnTracked(step) => step.finish(out),
        };
        Normalized {
            out,
            mean: statistics.0,
            variance: statistics.1,
        }
    }
}

//! Normalisation, ReLU and convolution as one operation of burn, which keeps what was normalised and not what was convolved.
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
    conv::{self, Geometry, Slide},
    extension::{NormState, Normalized, conv_forward, lift, norm_forward, packed, shape, tensor},
    norm::Activation,
};

/// Pairs of layers, with gradients.
#[backend_extension(Flex, Autodiff)]
pub trait PairOps: Backend {
    /// Batch normalisation with the batch's statistics, ReLU, and a convolution without a bias.
    fn batch_norm_relu_conv2d(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        slide: Slide,
        epsilon: f32,
    ) -> Normalized<Self>;
}

/// Output of both layers and statistics of the first, on packed tensors.
fn forward(
    x: &FlexTensor,
    affine: [&FlexTensor; 2],
    weight: &FlexTensor,
    slide: Slide,
    epsilon: f32,
) -> Normalized<Flex> {
    let between = norm_forward(x, affine, None, epsilon, Activation::Relu);
    Normalized {
        out: conv_forward(&between.out, weight, None, slide),
        ..between
    }
}

impl PairOps for Flex {
    fn batch_norm_relu_conv2d(
        x: FlexTensor,
        gamma: FlexTensor,
        beta: FlexTensor,
        weight: FlexTensor,
        slide: Slide,
        epsilon: f32,
    ) -> Normalized<Flex> {
        let affine = [&packed(gamma), &packed(beta)];
        forward(&packed(x), affine, &packed(weight), slide, epsilon)
    }
}

#[derive(Debug, Clone)]
struct PairState {
    norm: NormState,
    weight: FlexTensor,
    slide: Slide,
}

#[derive(Debug)]
struct PairBackward;

impl Backward<Flex, 4> for PairBackward {
    type State = PairState;
    fn backward(self, ops: Ops<PairState, 4>, grads: &mut Gradients, _: &mut Checkpointer) {
        let PairState { norm, weight, slide } = ops.state;
        let [x_node, gamma_node, beta_node, weight_node] = ops.parents;
        let grad = packed(grads.consume::<Flex>(&ops.node));
        let geometry = Geometry::new(shape(&norm.x), shape(&weight), slide);
        if let Some(node) = weight_node {
            let between = norm.saved().output(norm.planes());
            let values = conv::weight_gradient(&between, grad.storage(), &geometry);
            grads.register::<Flex>(node.id, tensor::<4>(values, shape(&weight)));
        }
        let nodes = [x_node, gamma_node, beta_node];
        if nodes.iter().all(Option::is_none) {
            return;
        }
        let between = conv::image_gradient(weight.storage(), grad.storage(), &geometry);
        drop(grad);
        for (node, gradient) in nodes.into_iter().zip(norm.gradients(&between)) {
            if let Some(node) = node {
                grads.register::<Flex>(node.id, gradient);
            }
        }
    }
}

impl<C: CheckpointStrategy> PairOps for Autodiff<Flex, C> {
    fn batch_norm_relu_conv2d(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        slide: Slide,
        epsilon: f32,
    ) -> Normalized<Self> {
        let step = PairBackward.prepare::<C>([x.node(), gamma.node(), beta.node(), weight.node()]);
        let (x, weight) = (packed(x.into_primitive()), packed(weight.into_primitive()));
        let (gamma, beta) = (packed(gamma.into_primitive()), packed(beta.into_primitive()));
        let Normalized { out, mean, variance } = forward(&x, [&gamma, &beta], &weight, slide, epsilon);
        let statistics = (lift(mean.clone()), lift(variance.clone()));
        let norm = NormState {
            x,
            gamma,
            beta,
            mean,
            variance,
            epsilon,
            activation: Activation::Relu,
        };
        let out = match step.compute_bound().stateful() {
            OpsKind::Tracked(step) => step.finish(PairState { norm, weight, slide }, out),
            OpsKind::UnTracked(step) => step.finish(out),
        };
        Normalized {
            out,
            mean: statistics.0,
            variance: statistics.1,
        }
    }
}

//! The kernels of convolutional blocks as operations of burn, beside those of `extension`.

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
    average, concat,
    conv::Slide,
    extension::{NormState, Normalized, lift, norm_forward, packed, shape, tensor},
    gate,
    grouped::{self, Groups},
    norm::{Activation, Line},
};

/// Operations of blocks, with gradients.
#[backend_extension(Flex, Autodiff)]
pub trait BlockOps: Backend {
    /// Convolution in groups, without a bias.
    fn grouped_conv2d(x: FloatTensor<Self>, weight: FloatTensor<Self>, slide: Slide) -> FloatTensor<Self>;
    /// Batch normalisation with the batch's statistics, then SiLU.
    fn batch_norm_silu(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        epsilon: f32,
    ) -> Normalized<Self>;
    /// SiLU.
    fn silu(x: FloatTensor<Self>) -> FloatTensor<Self>;
    /// Every plane times its gate.
    fn gate(x: FloatTensor<Self>, gates: FloatTensor<Self>) -> FloatTensor<Self>;
    /// Means of 2×2 windows.
    fn halve(x: FloatTensor<Self>) -> FloatTensor<Self>;
    /// Means of planes.
    fn plane_means(x: FloatTensor<Self>) -> FloatTensor<Self>;
    /// Channels one after another.
    fn join(a: FloatTensor<Self>, b: FloatTensor<Self>) -> FloatTensor<Self>;
}

fn plane([_, _, height, width]: [usize; 4]) -> usize {
    height * width
}

/// Forward of normalisation and SiLU, on packed tensors.
fn norm_silu(x: &FlexTensor, affine: [&FlexTensor; 2], epsilon: f32) -> Normalized<Flex> {
    let mut normalized = norm_forward(x, affine, None, epsilon, Activation::None);
    gate::silu(normalized.out.storage_mut());
    normalized
}

impl BlockOps for Flex {
    fn grouped_conv2d(x: FlexTensor, weight: FlexTensor, slide: Slide) -> FlexTensor {
        let (x, weight) = (packed(x), packed(weight));
        let groups = Groups::new(shape(&x), shape(&weight), slide);
        tensor(
            grouped::forward(x.storage(), weight.storage(), &groups),
            groups.output(),
        )
    }

    fn batch_norm_silu(x: FlexTensor, gamma: FlexTensor, beta: FlexTensor, epsilon: f32) -> Normalized<Flex> {
        norm_silu(&packed(x), [&packed(gamma), &packed(beta)], epsilon)
    }

    fn silu(x: FlexTensor) -> FlexTensor {
        let x = packed(x);
        let mut values = x.storage::<f32>().to_vec();
        gate::silu(&mut values);
        tensor::<4>(values, shape(&x))
    }

    fn gate(x: FlexTensor, gates: FlexTensor) -> FlexTensor {
        let (x, gates) = (packed(x), packed(gates));
        let dims = shape(&x);
        tensor(
            gate::scale_planes(x.storage(), gates.storage(), plane(dims)),
            dims,
        )
    }

    fn halve(x: FlexTensor) -> FlexTensor {
        let x = packed(x);
        let dims = shape(&x);
        tensor(average::halve(x.storage(), dims), average::halved(dims))
    }

    fn plane_means(x: FlexTensor) -> FlexTensor {
        let x = packed(x);
        let dims: [usize; 4] = shape(&x);
        tensor(average::means(x.storage(), plane(dims)), [dims[0], dims[1]])
    }

    fn join(a: FlexTensor, b: FlexTensor) -> FlexTensor {
        let (a, b) = (packed(a), packed(b));
        let ([batch, first, height, width], other) = (shape(&a), shape::<4>(&b));
        assert_eq!(
            [batch, height, width],
            [other[0], other[2], other[3]],
            "images differ in more than channels"
        );
        tensor(
            concat::join(a.storage(), b.storage(), batch),
            [batch, first + other[1], height, width],
        )
    }
}

// ---- gradients

#[derive(Debug)]
struct GroupedBackward;

impl Backward<Flex, 2> for GroupedBackward {
    type State = (FlexTensor, FlexTensor, Slide);
    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let ([x_node, weight_node], (x, weight, slide)) = (ops.parents, ops.state);
        let grad = packed(grads.consume::<Flex>(&ops.node));
        let groups = Groups::new(shape(&x), shape(&weight), slide);
        if let Some(node) = x_node {
            let values = grouped::image_gradient(weight.storage(), grad.storage(), &groups);
            grads.register::<Flex>(node.id, tensor::<4>(values, shape(&x)));
        }
        if let Some(node) = weight_node {
            let values = grouped::weight_gradient(x.storage(), grad.storage(), &groups);
            grads.register::<Flex>(node.id, tensor::<4>(values, shape(&weight)));
        }
    }
}

#[derive(Debug)]
struct NormSiluBackward;

impl Backward<Flex, 3> for NormSiluBackward {
    type State = NormState;
    fn backward(self, ops: Ops<NormState, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = packed(grads.consume::<Flex>(&ops.node));
        let saved = ops.state.saved();
        let dims: [usize; 4] = shape(&ops.state.x);
        let lines: Vec<_> = (0..dims[1]).map(|channel| saved.line(channel)).collect();
        let grad = gate::silu_gradient(grad.storage(), saved.x, &lines, plane(dims));
        let gradients = ops.state.gradients(&grad);
        for (node, gradient) in ops.parents.into_iter().zip(gradients) {
            if let Some(node) = node {
                grads.register::<Flex>(node.id, gradient);
            }
        }
    }
}

#[derive(Debug)]
struct SiluBackward;

impl Backward<Flex, 1> for SiluBackward {
    type State = FlexTensor;
    fn backward(self, ops: Ops<FlexTensor, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let ([node], x) = (ops.parents, ops.state);
        let grad = packed(grads.consume::<Flex>(&ops.node));
        if let Some(node) = node {
            let dims = shape(&x);
            let values = gate::silu_gradient(
                grad.storage(),
                x.storage(),
                &[Line {
                    scale: 1.0,
                    shift: 0.0,
                }],
                plane(dims),
            );
            grads.register::<Flex>(node.id, tensor(values, dims));
        }
    }
}

#[derive(Debug)]
struct GateBackward;

impl Backward<Flex, 2> for GateBackward {
    type State = (FlexTensor, FlexTensor);
    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let ([x_node, gates_node], (x, gates)) = (ops.parents, ops.state);
        let grad = packed(grads.consume::<Flex>(&ops.node));
        let dims = shape(&x);
        if let Some(node) = x_node {
            let values = gate::scale_planes(grad.storage(), gates.storage(), plane(dims));
            grads.register::<Flex>(node.id, tensor(values, dims));
        }
        if let Some(node) = gates_node {
            let values = gate::gate_gradient(grad.storage(), x.storage(), plane(dims));
            grads.register::<Flex>(node.id, tensor::<2>(values, shape(&gates)));
        }
    }
}

#[derive(Debug)]
struct HalveBackward;

impl Backward<Flex, 1> for HalveBackward {
    type State = [usize; 4];
    fn backward(self, ops: Ops<[usize; 4], 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let ([node], dims) = (ops.parents, ops.state);
        let grad = packed(grads.consume::<Flex>(&ops.node));
        if let Some(node) = node {
            let values = average::halve_gradient(grad.storage(), dims);
            grads.register::<Flex>(node.id, tensor(values, dims));
        }
    }
}

#[derive(Debug)]
struct MeansBackward;

impl Backward<Flex, 1> for MeansBackward {
    type State = [usize; 4];
    fn backward(self, ops: Ops<[usize; 4], 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let ([node], dims) = (ops.parents, ops.state);
        let grad = packed(grads.consume::<Flex>(&ops.node));
        if let Some(node) = node {
            let values = average::means_gradient(grad.storage(), plane(dims));
            grads.register::<Flex>(node.id, tensor(values, dims));
        }
    }
}

#[derive(Debug)]
struct JoinBackward;

impl Backward<Flex, 2> for JoinBackward {
    type State = [[usize; 4]; 2];
    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let (nodes, dims) = (ops.parents, ops.state);
        let grad = packed(grads.consume::<Flex>(&ops.node));
        let mut skip = 0;
        for (node, dims) in nodes.into_iter().zip(dims) {
            let take = dims[1] * plane(dims);
            if let Some(node) = node {
                let values = concat::part(grad.storage(), dims[0], skip, take);
                grads.register::<Flex>(node.id, tensor(values, dims));
            }
            skip += take;
        }
    }
}

impl<C: CheckpointStrategy> BlockOps for Autodiff<Flex, C> {
    fn grouped_conv2d(x: FloatTensor<Self>, weight: FloatTensor<Self>, slide: Slide) -> FloatTensor<Self> {
        let step = GroupedBackward.prepare::<C>([x.node(), weight.node()]);
        let (x, weight) = (packed(x.into_primitive()), packed(weight.into_primitive()));
        let out = Flex::grouped_conv2d(x.clone(), weight.clone(), slide);
        match step.compute_bound().stateful() {
            OpsKind::Tracked(step) => step.finish((x, weight, slide), out),
            OpsKind::UnTracked(step) => step.finish(out),
        }
    }

    fn batch_norm_silu(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        epsilon: f32,
    ) -> Normalized<Self> {
        let step = NormSiluBackward.prepare::<C>([x.node(), gamma.node(), beta.node()]);
        let (x, gamma) = (packed(x.into_primitive()), packed(gamma.into_primitive()));
        let beta = packed(beta.into_primitive());
        let Normalized { out, mean, variance } = norm_silu(&x, [&gamma, &beta], epsilon);
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
            OpsKind::Tracked(step) => step.finish(state, out),
            OpsKind::UnTracked(step) => step.finish(out),
        };
        Normalized {
            out,
            mean: statistics.0,
            variance: statistics.1,
        }
    }

    fn silu(x: FloatTensor<Self>) -> FloatTensor<Self> {
        let step = SiluBackward.prepare::<C>([x.node()]);
        let x = packed(x.into_primitive());
        let out = Flex::silu(x.clone());
        match step.compute_bound().stateful() {
            OpsKind::Tracked(step) => step.finish(x, out),
            OpsKind::UnTracked(step) => step.finish(out),
        }
    }

    fn gate(x: FloatTensor<Self>, gates: FloatTensor<Self>) -> FloatTensor<Self> {
        let step = GateBackward.prepare::<C>([x.node(), gates.node()]);
        let (x, gates) = (packed(x.into_primitive()), packed(gates.into_primitive()));
        let out = Flex::gate(x.clone(), gates.clone());
        match step.compute_bound().stateful() {
            OpsKind::Tracked(step) => step.finish((x, gates), out),
            OpsKind::UnTracked(step) => step.finish(out),
        }
    }

    fn halve(x: FloatTensor<Self>) -> FloatTensor<Self> {
        let step = HalveBackward.prepare::<C>([x.node()]);
        let x = x.into_primitive();
        let dims = shape(&x);
        let out = Flex::halve(x);
        match step.compute_bound().stateful() {
            OpsKind::Tracked(step) => step.finish(dims, out),
            OpsKind::UnTracked(step) => step.finish(out),
        }
    }

    fn plane_means(x: FloatTensor<Self>) -> FloatTensor<Self> {
        let step = MeansBackward.prepare::<C>([x.node()]);
        let x = x.into_primitive();
        let dims = shape(&x);
        let out = Flex::plane_means(x);
        match step.compute_bound().stateful() {
            OpsKind::Tracked(step) => step.finish(dims, out),
            OpsKind::UnTracked(step) => step.finish(out),
        }
    }

    fn join(a: FloatTensor<Self>, b: FloatTensor<Self>) -> FloatTensor<Self> {
        let step = JoinBackward.prepare::<C>([a.node(), b.node()]);
        let (a, b) = (a.into_primitive(), b.into_primitive());
        let dims = [shape(&a), shape(&b)];
        let out = Flex::join(a, b);
        match step.compute_bound().stateful() {
            OpsKind::Tracked(step) => step.finish(dims, out),
            OpsKind::UnTracked(step) => step.finish(out),
        }
    }
}

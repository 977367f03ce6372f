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
    extension::{packed, shape, tensor},
    gate,
    grouped::{self, Groups},
};

/// Operations of blocks, with gradients.
#[backend_extension(Flex, Autodiff)]
pub trait BlockOps: Backend {
    /// Convolution in groups, without a bias.
    fn grouped_conv2d(x: FloatTensor<Self>, weight: FloatTensor<Self>, slide: Slide) -> FloatTensor<Self>;
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

impl BlockOps for Flex {
    fn grouped_conv2d(x: FlexTensor, weight: FlexTensor, slide: Slide) -> FlexTensor {
        let (x, weight) = (packed(x), packed(weight));
        let groups = Groups::new(shape(&x), shape(&weight), slide);
        tensor(
            grouped::forward(x.storage(), weight.storage(), &groups),
            groups.output(),
        )
    }

    fn silu(x: FlexTensor) -> FlexTensor {
        let x = packed(x);
        tensor::<4>(gate::silu(x.storage()), shape(&x))
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
struct SiluBackward;

impl Backward<Flex, 1> for SiluBackward {
    type State = FlexTensor;
    fn backward(self, ops: Ops<FlexTensor, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let ([node], x) = (ops.parents, ops.state);
        let grad = packed(grads.consume::<Flex>(&ops.node));
        if let Some(node) = node {
            let values = gate::silu_gradient(grad.storage(), x.storage());
            grads.register::<Flex>(node.id, tensor::<4>(values, shape(&x)));
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

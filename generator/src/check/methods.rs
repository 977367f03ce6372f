//! Rules that look at how clients train together with the network, the rule, privacy, the datasets and the device.
//!
//! Start at [`methods`].

use contract::{
    aggregation::NamePattern,
    networks::{Layer, Parameter},
    recipe::{ClassWeights, Method, Recipe},
    training::{Arch, Optimizer},
};

use super::{
    dataset::Proven,
    learning::ProvenPrivacy,
    local::no_effect,
    training::{ProvenEvaluation, ProvenFederation, ProvenModel},
};
use crate::{
    diag::{Code, Diagnostic, Span},
    spec::{At, Found, listed},
};

/// The trained tensors of a network that a specification leaves to training.
pub struct Trained {
    arch: Arch,
    /// Each tensor, and whether it is trained.
    tensors: Vec<(Parameter, bool)>,
}

impl Trained {
    /// Applies `freeze`; reports patterns that name nothing, and patterns that together leave nothing.
    pub fn of(arch: Arch, freeze: &[At<NamePattern>], found: &mut Found) -> Self {
        let parameters = arch.parameters();
        for At { value, span } in freeze {
            if parameters.iter().any(|parameter| value.matches(&parameter.name)) {
                continue;
            }
            let examples: Vec<&str> = parameters
                .iter()
                .step_by((parameters.len() / 3).max(1))
                .map(|parameter| parameter.name.as_str())
                .collect();
            found.push(
                Diagnostic::error(
                    Code::Unfreezable,
                    *span,
                    format!("`{arch}` has no trained tensor named `{}`", value.as_str()),
                )
                .label("names nothing")
                .help(format!(
                    "its tensors are named like {}; `*` stands for any characters",
                    listed(&examples)
                )),
            );
        }
        let trained = |parameter: &Parameter| !freeze.iter().any(|at| at.value.matches(&parameter.name));
        let tensors: Vec<(Parameter, bool)> = parameters
            .into_iter()
            .map(|parameter| {
                let trained = trained(&parameter);
                (parameter, trained)
            })
            .collect();
        if let Some(last) = freeze.last()
            && tensors.iter().all(|(_, trained)| !trained)
        {
            found.push(
                Diagnostic::error(
                    Code::Unfreezable,
                    last.span,
                    format!("every tensor of `{arch}` stays as it is: nothing would be learned"),
                )
                .label("leaves nothing to train")
                .help("leave a pattern out, so that the last layer at least is trained"),
            );
        }
        Self { arch, tensors }
    }

    /// Whether a tensor of such a layer is trained.
    fn any(&self, layer: Layer) -> bool {
        self.tensors
            .iter()
            .any(|(parameter, trained)| parameter.layer == layer && *trained)
    }

    /// Whether the network has such a layer.
    fn has(&self, layer: Layer) -> bool {
        self.tensors.iter().any(|(parameter, _)| parameter.layer == layer)
    }
}

/// Applies every rule of this file that the parts read so far allow.
pub fn methods(
    model: &ProvenModel,
    federation: &ProvenFederation,
    privacy: Option<&ProvenPrivacy>,
    evaluation: Option<&ProvenEvaluation>,
    found: &mut Found,
) {
    let trained = Trained::of(model.checked.arch, &model.freeze, found);
    own_layers(federation, &trained, found);
    scaffold(federation, found);
    if let Some(privacy) = privacy
        && let Some(place) = privacy.local
    {
        private_samples(federation, place, &trained, found);
    }
    if let Some(evaluation) = evaluation {
        personal(federation, evaluation, found);
    }
}

/// Where some classes count more, there must be a weight for each class of every dataset.
pub fn class_weights(federation: &ProvenFederation, datasets: &[Proven], found: &mut Found) {
    let (ClassWeights::Given(weights), Some(place)) = (
        &federation.checked.recipe.loss.class_weights,
        federation.places.class_weights,
    ) else {
        return;
    };
    for dataset in datasets {
        let classes = dataset.task.value.classes();
        if classes.len() == weights.len() {
            continue;
        }
        let names: Vec<&str> = classes.iter().map(String::as_str).collect();
        found.push(
            Diagnostic::error(
                Code::ClassWeights,
                place,
                format!(
                    "there are {} class weights, and `{}` has {}",
                    weights.len(),
                    dataset.name,
                    names.len()
                ),
            )
            .label(format!("must be {}", names.len()))
            .help(format!("one for each of {}, in this order", listed(&names))),
        );
    }
}

/// A method unfit for a network or an optimiser.
fn unfit(federation: &ProvenFederation, words: String, label: &str, help: &str) -> Diagnostic {
    Diagnostic::error(Code::MethodUnfit, federation.algorithm, words)
        .label(label)
        .help(help)
}

/// Methods that leave layers to the clients need such layers, and clients that train them.
fn own_layers(federation: &ProvenFederation, trained: &Trained, found: &mut Found) {
    let arch = trained.arch;
    match federation.checked.recipe.method {
        Method::Fedbn if !trained.has(Layer::Norm) => found.push(unfit(
            federation,
            format!("`fedbn` leaves normalisation to the clients, and `{arch}` has no such layer"),
            "nothing to leave to them",
            "use a network with batch normalisation, such as `small_cnn_bn` or `resnet18`",
        )),
        Method::Fedbn if !trained.any(Layer::Norm) => found.push(unfit(
            federation,
            "`fedbn` leaves normalisation to the clients, and `freeze` keeps all of it as it is".to_owned(),
            "nothing to leave to them",
            "leave normalisation layers out of `freeze`, or use another algorithm",
        )),
        Method::Fedper if !trained.any(Layer::Head) => found.push(unfit(
            federation,
            "`fedper` leaves the last layer to the clients, and `freeze` keeps it as it is".to_owned(),
            "nothing to leave to them",
            "leave the last layer out of `freeze`, or use another algorithm",
        )),
        Method::Plain
        | Method::Fedprox { .. }
        | Method::Scaffold
        | Method::Qfedavg
        | Method::Fedbn
        | Method::Fedper
        | Method::Ditto { .. } => {}
    }
}

/// SCAFFOLD's control variates are the mean gradient of plain steps of one size.
fn scaffold(federation: &ProvenFederation, found: &mut Found) {
    let recipe = &federation.checked.recipe;
    if recipe.method != Method::Scaffold {
        return;
    }
    let plain = match recipe.optimizer {
        Optimizer::Sgd { momentum, .. } => momentum == 0.0,
        Optimizer::Adam(_) | Optimizer::Adamw(_) => false,
    };
    if !plain {
        found.push(
            Diagnostic::error(
                Code::MethodUnfit,
                federation.places.optimizer,
                "`scaffold` takes a client's mean gradient from how far its steps went, which only plain steps tell",
            )
            .label("must be `sgd` without momentum")
            .help("write `optimizer: {sgd: {learning_rate: 0.01}}`"),
        );
    }
    if recipe.clip_norm.is_some() {
        found.push(unfit(
            federation,
            "`scaffold` takes a client's mean gradient from how far its steps went, and `clip_norm` shortens them"
                .to_owned(),
            "not with `clip_norm`",
            "leave `clip_norm` out, or use another algorithm",
        ));
    }
}

/// What noise on gradients cannot cover.
fn private_samples(federation: &ProvenFederation, place: Span, trained: &Trained, found: &mut Found) {
    let recipe = &federation.checked.recipe;
    let mut refuse = |place: Span, words: String, label: &str, help: &str| {
        found.push(
            Diagnostic::error(Code::NotPrivate, place, words)
                .label(label)
                .help(help),
        );
    };
    if trained.any(Layer::Norm) {
        let words = format!(
            "`local` privacy bounds each sample's gradient, and the batch normalisation of `{}` mixes samples",
            trained.arch
        );
        let help = "freeze every normalisation layer (`model: {freeze: [...]}`) and start from weights, or use `small_cnn`";
        refuse(place, words, "not with trained batch normalisation", help);
    }
    if let Some(early_stop) = federation.places.early_stop {
        let words = "when training stops tells of validation samples what no noise hides".to_owned();
        refuse(
            early_stop,
            words,
            "not with `privacy: {local: ...}`",
            "leave one of the two out",
        );
    }
    if let (ClassWeights::Balanced, Some(weights)) =
        (&recipe.loss.class_weights, federation.places.class_weights)
    {
        let words =
            "`balanced` weights are counted from the client's samples, which no noise hides".to_owned();
        refuse(
            weights,
            words,
            "not with `privacy: {local: ...}`",
            "write the weights down: `class_weights: {given: [...]}`",
        );
    }
    if recipe.method == Method::Qfedavg {
        let words = "`qfedavg` sends the loss on the client's samples, which no noise hides".to_owned();
        refuse(
            federation.algorithm,
            words,
            "not with `privacy: {local: ...}`",
            "use another algorithm, or leave `local` out",
        );
    }
}

/// Clients' own models can be tested where there are any.
fn personal(federation: &ProvenFederation, evaluation: &ProvenEvaluation, found: &mut Found) {
    let Some(At { value: true, span }) = evaluation.personal else {
        return;
    };
    let recipe: &Recipe = &federation.checked.recipe;
    if !recipe.has_personal_models() {
        found.push(no_effect(
            span,
            "`personal` tests each client's own model, and under this algorithm clients have none".to_owned(),
            "has no effect",
            "use `fedbn`, `fedper` or `ditto`, or leave `personal` out",
        ));
    }
}

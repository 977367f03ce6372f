//! Which tensors a client keeps as its own, instead of the global model's.
//!
//! In: a model and a [`Method`]. Out: one flag for each tensor of the model. Start at [`own`].

use contract::{exit::JobExit, job::JobError, recipe::Method};

use crate::model::Model;

/// The tensors that are the client's own, by place: normalisation with its running statistics under FedBN, the head under
/// FedPer, the whole second model under Ditto, none otherwise.
///
/// # Errors
/// `Usage` if the model has none of those.
pub fn own(method: Method, model: &Model) -> Result<Vec<bool>, JobError> {
    let own = match method {
        Method::Plain | Method::Fedprox { .. } | Method::Scaffold | Method::Qfedavg => {
            return Ok(vec![false; model.tensors().len()]);
        }
        Method::Ditto { .. } => return Ok(vec![true; model.tensors().len()]),
        Method::Fedbn => norms(model),
        Method::Fedper => head(model),
    };
    if own.iter().any(|own| *own) {
        return Ok(own);
    }
    let text = format!(
        "`fedbn` leaves normalisation to the clients, and {} has no layer with running statistics",
        model.arch()
    );
    Err(JobError::new(JobExit::Usage, text)
        .help("choose a network with batch normalisation, such as small_cnn_bn or resnet18"))
}

/// Every tensor of the layers that have running statistics: those that the rule `fedbn` leaves alone.
pub fn norms(model: &Model) -> Vec<bool> {
    flags(model, model.norms())
}

/// Weight and bias of the last layer, which gives the class scores.
pub fn head(model: &Model) -> Vec<bool> {
    flags(model, model.head())
}

fn flags(model: &Model, places: impl IntoIterator<Item = usize>) -> Vec<bool> {
    let mut flags = vec![false; model.tensors().len()];
    places.into_iter().for_each(|place| flags[place] = true);
    flags
}

#[cfg(test)]
mod tests {
    use contract::training::Arch;

    use super::*;
    use crate::model::Input;

    fn names(arch: Arch, method: Method) -> Result<Vec<String>, JobError> {
        let input = Input {
            channels: 1,
            image_size: 8,
            classes: 2,
        };
        let model = Model::new(arch, input).unwrap();
        let own = own(method, &model)?;
        let specs = model.tensors().iter().zip(own);
        Ok(specs
            .filter(|(_, own)| *own)
            .map(|(spec, _)| spec.name.clone())
            .collect())
    }

    #[test]
    fn a_client_owns_the_layers_its_method_says() {
        let found = names(Arch::Resnet18, Method::Fedbn).unwrap();
        assert_eq!(found.len(), 20 * 5);
        assert_eq!(found[0], "bn1.weight");
        assert!(
            found
                .iter()
                .any(|name| name == "layer2.0.downsample.1.running_var")
        );
        assert!(
            !found
                .iter()
                .any(|name| name.contains("conv") || name.starts_with("fc"))
        );
        assert_eq!(
            names(Arch::Resnet18, Method::Fedper).unwrap(),
            ["fc.weight", "fc.bias"]
        );
        assert_eq!(
            names(Arch::SmallCnn, Method::Fedper).unwrap(),
            ["fc2.weight", "fc2.bias"]
        );
        assert_eq!(
            names(Arch::SmallCnn, Method::Ditto { lambda: 1.0 })
                .unwrap()
                .len(),
            8
        );
        assert!(names(Arch::Resnet18, Method::Scaffold).unwrap().is_empty());
        let error = names(Arch::SmallCnn, Method::Fedbn).unwrap_err();
        assert_eq!(error.exit, JobExit::Usage);
        assert!(
            error.message.contains("small_cnn has no layer"),
            "{}",
            error.message
        );
    }
}

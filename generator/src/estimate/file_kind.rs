//! What a file is, by its name: the inverse of [`contract::names::Names`].

use contract::ids::ClientId;

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FileKind {
    /// A dataset's settings.
    Settings,
    /// How models are trained.
    Recipe,
    /// Which image went where.
    Manifest,
    /// Counts of each client's samples.
    Stats,
    /// A client's samples.
    Shard(ClientId),
    /// The samples thresholds are chosen on.
    ValidationShard,
    /// The test samples.
    TestShard,
    /// Weights the initial model starts from.
    Weights,
    /// The global model that nobody has trained yet.
    InitialModel,
    /// A global model.
    Global,
    /// What the rule made of a round's updates, where the global model is more.
    Aggregated,
    /// What clients start from, where that is not the global model itself.
    Start,
    /// The same as it is sent to them.
    Broadcast,
    /// A client's trained model, or what of it is sent.
    Update,
    /// The exact sum of some updates.
    Partial,
    /// What the rule remembers.
    State,
    /// What an encoding left out.
    Residual,
    /// What a client keeps.
    Personal,
    /// What an interrupted training goes on from.
    Checkpoint,
    /// A baseline's model.
    BaselineModel,
    /// A model's outputs for each test sample.
    Predictions,
    /// A client's secret or public key.
    Key,
    /// What a client reveals of masks.
    Reveal,
    /// Metrics of training, aggregation, evaluation or a baseline.
    Metrics,
    /// A program that a site keeps.
    Program,
}

impl FileKind {
    /// The word for people and machines.
    pub const fn as_str(self) -> &'static str {
        match self {
            FileKind::Settings => "settings",
            FileKind::Recipe => "recipe",
            FileKind::Manifest => "manifest",
            FileKind::Stats => "stats",
            FileKind::Shard(_) => "shard",
            FileKind::ValidationShard => "validation_shard",
            FileKind::TestShard => "test_shard",
            FileKind::Weights => "weights",
            FileKind::InitialModel => "initial_model",
            FileKind::Global => "global",
            FileKind::Aggregated => "aggregated",
            FileKind::Start => "start",
            FileKind::Broadcast => "broadcast",
            FileKind::Update => "update",
            FileKind::Partial => "partial",
            FileKind::State => "state",
            FileKind::Residual => "residual",
            FileKind::Personal => "personal",
            FileKind::Checkpoint => "checkpoint",
            FileKind::BaselineModel => "baseline_model",
            FileKind::Predictions => "predictions",
            FileKind::Key => "key",
            FileKind::Reveal => "reveal",
            FileKind::Metrics => "metrics",
            FileKind::Program => "program",
        }
    }

    /// What `rest`, a file's name without experiment and dataset, says it is; none where `Names` makes no such name.
    pub(super) fn of(rest: &str) -> Option<Self> {
        let (front, end) = rest.rsplit_once('.').unwrap_or(("", rest));
        let (about, word) = front.rsplit_once('.').unwrap_or(("", front));
        Some(match (word, end) {
            ("dataset", "json") => FileKind::Settings,
            ("recipe", "json") => FileKind::Recipe,
            ("manifest", "json") => FileKind::Manifest,
            ("stats", "json") => FileKind::Stats,
            ("train" | "aggregate" | "evaluate" | "baseline", "json") => FileKind::Metrics,
            ("secret-key" | "public-key", "json") => FileKind::Key,
            ("reveal", "json") => FileKind::Reveal,
            ("shard", "safetensors") => match about {
                "test" => FileKind::TestShard,
                "validation" => FileKind::ValidationShard,
                client => FileKind::Shard(ClientId(client.strip_prefix('c')?.parse().ok()?)),
            },
            ("global", "safetensors") if about == "r0000" => FileKind::InitialModel,
            ("global", "safetensors") => FileKind::Global,
            ("aggregated", "safetensors") => FileKind::Aggregated,
            ("start", "safetensors") => FileKind::Start,
            ("broadcast", "safetensors") => FileKind::Broadcast,
            ("update", "safetensors") => FileKind::Update,
            ("partial", "safetensors") => FileKind::Partial,
            ("state", "safetensors") => FileKind::State,
            ("residual", "safetensors") => FileKind::Residual,
            ("personal", "safetensors") => FileKind::Personal,
            ("checkpoint", "safetensors") => FileKind::Checkpoint,
            ("model", "safetensors") => FileKind::BaselineModel,
            ("predictions", "safetensors") => FileKind::Predictions,
            (_, "program") => FileKind::Program,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use contract::{
        ids::{DatasetName, ExperimentName, Round, SiteName},
        names::Names,
        training::BaselineKind,
    };

    use super::*;

    #[test]
    fn every_name_says_what_the_file_is() {
        let (experiment, dataset) = (
            ExperimentName::new("e1").unwrap(),
            DatasetName::new("nih").unwrap(),
        );
        let names = Names {
            experiment: &experiment,
            dataset: &dataset,
        };
        let (round, client) = (Round(3), ClientId(12));
        let site = SiteName::new("hospital").unwrap();
        let kind = BaselineKind::LocalOnly;
        let table = [
            (names.dataset_config(), FileKind::Settings),
            (names.site_config(&site), FileKind::Settings),
            (names.site_manifest(&site), FileKind::Manifest),
            (names.site_program(&site), FileKind::Program),
            (names.recipe(), FileKind::Recipe),
            (names.manifest(), FileKind::Manifest),
            (names.stats(), FileKind::Stats),
            (names.shard(client), FileKind::Shard(client)),
            (names.test_shard(), FileKind::TestShard),
            (names.validation_shard(), FileKind::ValidationShard),
            (names.global(Round(0)), FileKind::InitialModel),
            (names.global(round), FileKind::Global),
            (names.aggregated(round), FileKind::Aggregated),
            (names.start(round), FileKind::Start),
            (names.broadcast(round), FileKind::Broadcast),
            (names.update(round, client), FileKind::Update),
            (names.train_metrics(round, client), FileKind::Metrics),
            (names.aggregate_metrics(round), FileKind::Metrics),
            (names.state(round), FileKind::State),
            (names.partial(round, 0, 1), FileKind::Partial),
            (names.residual(round, client), FileKind::Residual),
            (names.personal(round, client), FileKind::Personal),
            (names.checkpoint(round, client), FileKind::Checkpoint),
            (names.personal_metrics(round, client), FileKind::Metrics),
            (names.predictions(round), FileKind::Predictions),
            (names.secret_key(client), FileKind::Key),
            (names.public_key(client), FileKind::Key),
            (names.reveal(round, client), FileKind::Reveal),
            (names.evaluate_metrics(round), FileKind::Metrics),
            (names.baseline_model(kind, Some(client)), FileKind::BaselineModel),
            (
                names.baseline_model(BaselineKind::Centralized, None),
                FileKind::BaselineModel,
            ),
            (
                names.baseline_checkpoint(kind, Some(client)),
                FileKind::Checkpoint,
            ),
            (names.baseline_metrics(kind, None), FileKind::Metrics),
            (names.cross_metrics(&dataset), FileKind::Metrics),
        ];
        for (name, kind) in table {
            let rest = name.as_str().strip_prefix("e1.nih.").unwrap();
            assert_eq!(FileKind::of(rest), Some(kind), "{name}");
        }
        for stranger in [
            "",
            "shard.safetensors",
            "cx.shard.safetensors",
            "notes.txt",
            "x.json",
        ] {
            assert_eq!(FileKind::of(stranger), None, "{stranger}");
        }
    }
}

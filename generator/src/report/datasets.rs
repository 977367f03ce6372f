//! Sorts the documents of a run into one account per dataset. Pure.

use std::collections::BTreeMap;

use contract::{
    dataset::{ClientStats, DatasetStats, GroupStats},
    metrics::{Metrics, PrivacySpent, Scores, Subject, Transfer},
    units::Bytes,
};

use super::{
    documents::Documents,
    model::{
        AbsentClient, BaselineReport, ClientShare, CrossReport, DatasetReport, DatasetSummary, FinalReport,
        Group, PrivacyReport, RoundReport, TransferReport,
    },
};

/// One account per dataset, by name.
pub(super) fn datasets(documents: Documents) -> Vec<DatasetReport> {
    let mut drafts = BTreeMap::<String, Draft>::new();
    for stats in documents.stats {
        drafts
            .entry(stats.dataset.to_string())
            .or_default()
            .add_stats(stats);
    }
    for (dataset, metrics) in documents.metrics {
        drafts
            .entry(dataset.clone())
            .or_default()
            .add_metrics(&dataset, metrics);
    }
    drafts
        .into_iter()
        .map(|(name, draft)| draft.finish(name))
        .collect()
}

/// What is known of a dataset so far.
#[derive(Default)]
struct Draft {
    synthetic: bool,
    classes: Vec<String>,
    stats: Option<DatasetSummary>,
    rounds: BTreeMap<u32, RoundDraft>,
    baselines: Vec<BaselineReport>,
    cross: Vec<CrossReport>,
}

/// What is known of a round so far.
#[derive(Default)]
struct RoundDraft {
    metrics: Option<Scores>,
    updates: Option<usize>,
    /// Samples and loss of the last epoch, by client.
    trained: BTreeMap<u32, (u64, Option<f64>)>,
    /// Why a client is absent, where its training job says it.
    absent: BTreeMap<u32, Option<String>>,
    privacy: Option<PrivacySpent>,
    transfer: Option<Transfer>,
}

impl Draft {
    fn add_stats(&mut self, stats: DatasetStats) {
        let DatasetStats {
            fedwing_stats: _,
            experiment: _,
            dataset: _,
            synthetic,
            classes,
            train,
            test,
            clients,
            left_out,
            effective_clients,
            skipped,
            leaks,
        } = stats;
        self.synthetic |= synthetic;
        self.classes = classes;
        self.stats = Some(DatasetSummary {
            clients: clients.into_iter().map(share).collect(),
            train: group(train),
            test: group(test),
            left_out,
            effective_clients,
            skipped,
            leaks,
        });
    }

    fn add_metrics(&mut self, dataset: &str, metrics: Metrics) {
        let synthetic = metrics.synthetic;
        let own = |subject: &Subject| match subject {
            Subject::Evaluate { test_dataset, .. } => test_dataset.as_str() == dataset,
            _ => true,
        };
        self.synthetic |= synthetic && own(&metrics.subject);
        let scores = metrics.scores;
        match metrics.subject {
            Subject::Train {
                round,
                client,
                epoch_loss,
                absent: Some(reason),
            } => {
                // An absent client has no loss to tell.
                drop(epoch_loss);
                let round = self.rounds.entry(round.0).or_default();
                round.absent.insert(client.0, Some(reason));
            }
            Subject::Train {
                round,
                client,
                epoch_loss,
                absent: None,
            } => {
                let trained = (metrics.num_samples.0, epoch_loss.last().copied());
                self.rounds
                    .entry(round.0)
                    .or_default()
                    .trained
                    .insert(client.0, trained);
            }
            Subject::Aggregate {
                round,
                updates,
                absent,
                strategy: _,
                privacy,
                transfer,
            } => {
                // A planned aggregation states its round; one that does not has no place among rounds.
                let Some(round) = round else { return };
                let round = self.rounds.entry(round.0).or_default();
                round.updates = Some(updates.len());
                round.privacy = privacy;
                round.transfer = Some(transfer);
                for client in absent {
                    round.absent.entry(client.0).or_default();
                }
            }
            Subject::Evaluate { round, test_dataset } if test_dataset.as_str() == dataset => {
                self.rounds.entry(round.0).or_default().metrics = scores;
            }
            Subject::Evaluate { round, test_dataset } => {
                let test_dataset = test_dataset.to_string();
                let cross = scores.map(|metrics| CrossReport {
                    test_dataset,
                    round: round.0,
                    synthetic,
                    metrics,
                });
                self.cross.extend(cross);
            }
            Subject::Baseline {
                kind,
                client,
                epochs: _,
                epoch_loss: _,
            } => {
                let client = client.map(|client| client.0);
                self.baselines.extend(scores.map(|metrics| BaselineReport {
                    kind,
                    client,
                    metrics,
                }));
            }
        }
    }

    fn finish(mut self, name: String) -> DatasetReport {
        self.baselines
            .sort_by_key(|baseline| (baseline.kind, baseline.client));
        self.cross
            .sort_by(|a, b| (&a.test_dataset, a.round).cmp(&(&b.test_dataset, b.round)));
        let privacy = self.rounds.iter().rev().find_map(|(&round, draft)| {
            let PrivacySpent {
                epsilon,
                delta,
                noise_multiplier,
                norm,
                rounds,
            } = draft.privacy.clone()?;
            Some(PrivacyReport {
                round,
                epsilon,
                delta,
                noise_multiplier,
                norm,
                rounds,
            })
        });
        let rounds: Vec<_> = self
            .rounds
            .into_iter()
            .map(|(round, draft)| draft.finish(round))
            .collect();
        let last = rounds.iter().rev().find_map(|round| {
            let metrics = round.metrics.clone()?;
            Some(FinalReport {
                round: round.round,
                metrics,
            })
        });
        let transfer = rounds.iter().filter_map(|round| round.transfer).reduce(together);
        if self.classes.is_empty() {
            let scores = last.as_ref().map(|last| &last.metrics);
            let scores = scores.or(self.baselines.first().map(|baseline| &baseline.metrics));
            let labels = scores.into_iter().flat_map(|scores| &scores.per_class);
            self.classes = labels.map(|class| class.label.clone()).collect();
        }
        DatasetReport {
            name,
            synthetic: self.synthetic,
            classes: self.classes,
            stats: self.stats,
            rounds,
            baselines: self.baselines,
            cross: self.cross,
            privacy,
            transfer,
            last,
        }
    }
}

impl RoundDraft {
    fn finish(self, round: u32) -> RoundReport {
        let num_clients = self.updates.unwrap_or(self.trained.len());
        RoundReport {
            round,
            metrics: self.metrics,
            num_clients: u32::try_from(num_clients).unwrap_or(u32::MAX),
            train_loss: weighted_mean(self.trained.into_values()),
            absent: self
                .absent
                .into_iter()
                .map(|(client, reason)| AbsentClient { client, reason })
                .collect(),
            transfer: self.transfer.map(|transfer| TransferReport {
                received_bytes: Bytes(transfer.received_bytes),
                plain_bytes: Bytes(transfer.plain_bytes),
            }),
        }
    }
}

fn together(a: TransferReport, b: TransferReport) -> TransferReport {
    let sum = |a: Bytes, b: Bytes| Bytes(a.0.saturating_add(b.0));
    TransferReport {
        received_bytes: sum(a.received_bytes, b.received_bytes),
        plain_bytes: sum(a.plain_bytes, b.plain_bytes),
    }
}

/// Mean loss weighted by samples; `None` when no client states one.
fn weighted_mean(clients: impl Iterator<Item = (u64, Option<f64>)>) -> Option<f64> {
    let (mut samples, mut sum) = (0.0, 0.0);
    for (n, loss) in clients {
        if let Some(loss) = loss {
            samples += n as f64;
            sum += n as f64 * loss;
        }
    }
    (samples > 0.0).then(|| sum / samples)
}

fn group(group: GroupStats) -> Group {
    let GroupStats {
        samples,
        patients,
        class_counts,
    } = group;
    Group {
        samples,
        patients,
        class_counts,
    }
}

fn share(stats: ClientStats) -> ClientShare {
    let ClientStats {
        client,
        group,
        kl,
        js,
        hellinger,
        emd,
    } = stats;
    let GroupStats {
        samples,
        patients,
        class_counts,
    } = group;
    ClientShare {
        client: client.0,
        samples,
        patients,
        class_counts,
        kl,
        js,
        hellinger,
        emd,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_larger_client_weighs_more_and_one_without_loss_nothing() {
        let mean = weighted_mean([(30, Some(1.0)), (10, Some(2.0)), (99, None)].into_iter());
        assert_eq!(mean, Some(1.25));
        assert_eq!(weighted_mean([(5, None)].into_iter()), None);
    }
}

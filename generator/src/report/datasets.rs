//! Sorts the documents of a run into one account per dataset. Pure.

use std::collections::{BTreeMap, BTreeSet};

use contract::{
    dataset::{ClientStats, DatasetStats, GroupStats},
    metrics::{Metrics, PrivacySpent, SamplePrivacySpent, Scores, Subject, Transfer},
    training::Backend,
    units::Bytes,
};

use super::{
    documents::Documents,
    model::{
        AbsentClient, BaselineReport, ClientShare, CrossReport, DatasetReport, DatasetSummary, FinalReport,
        Group, PersonalReport, PrivacyReport, RoundReport, SamplePrivacyReport, TransferReport,
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
    personal: Vec<PersonalReport>,
    cross: Vec<CrossReport>,
    /// Each client's last account of its samples' privacy, and the round it is of.
    spent: BTreeMap<u32, (u32, SamplePrivacySpent)>,
    backends: BTreeSet<Backend>,
}

/// What is known of a round so far.
#[derive(Default)]
struct RoundDraft {
    metrics: Option<Scores>,
    updates: Option<usize>,
    /// Samples and losses, by client.
    trained: BTreeMap<u32, Trained>,
    /// Why a client is absent, where its training job says it.
    absent: BTreeMap<u32, Option<String>>,
    privacy: Option<PrivacySpent>,
    transfer: Option<Transfer>,
}

/// What a client's training in a round says.
#[derive(Clone, Copy)]
struct Trained {
    samples: u64,
    /// Of the last epoch.
    loss: Option<f64>,
    /// On validation samples, after the epoch whose weights were sent.
    validation: Option<f64>,
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
            // The report names classes and labels alike.
            target: _,
            validation,
        } = stats;
        self.synthetic |= synthetic;
        self.classes = classes;
        self.stats = Some(DatasetSummary {
            clients: clients.into_iter().map(share).collect(),
            train: group(train),
            validation: validation.map(group),
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
        self.backends.extend(metrics.backend);
        let scores = metrics.scores;
        match metrics.subject {
            Subject::Train {
                round,
                client,
                epoch_loss,
                validation_loss: _,
                best_epoch: _,
                privacy: _,
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
                validation_loss,
                best_epoch,
                privacy,
                absent: None,
            } => {
                let best = best_epoch.map_or(validation_loss.len(), |epoch| epoch as usize);
                let trained = Trained {
                    samples: metrics.num_samples.0,
                    loss: epoch_loss.last().copied(),
                    validation: best
                        .checked_sub(1)
                        .and_then(|place| validation_loss.get(place).copied()),
                };
                if let Some(spent) = privacy {
                    let last = self.spent.entry(client.0).or_insert((round.0, spent.clone()));
                    if last.0 <= round.0 {
                        *last = (round.0, spent);
                    }
                }
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
            Subject::Evaluate {
                round,
                test_dataset,
                client: Some(client),
            } => {
                // Clients' own models are tested on their own dataset alone.
                if test_dataset.as_str() == dataset {
                    self.personal.extend(scores.map(|metrics| PersonalReport {
                        client: client.0,
                        round: round.0,
                        metrics,
                    }));
                }
            }
            Subject::Evaluate {
                round,
                test_dataset,
                client: None,
            } if test_dataset.as_str() == dataset => {
                self.rounds.entry(round.0).or_default().metrics = scores;
            }
            Subject::Evaluate {
                round,
                test_dataset,
                client: None,
            } => {
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
        self.personal
            .sort_by_key(|personal| (personal.client, personal.round));
        let largest = self
            .spent
            .iter()
            .max_by(|a, b| a.1.1.epsilon.total_cmp(&b.1.1.epsilon).then(b.0.cmp(a.0)));
        let sample_privacy = largest.map(|(&client, (round, spent))| {
            let &SamplePrivacySpent {
                epsilon,
                delta,
                noise_multiplier,
                norm,
                steps,
            } = spent;
            SamplePrivacyReport {
                round: *round,
                client,
                epsilon,
                delta,
                noise_multiplier,
                norm,
                steps,
            }
        });
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
            personal: self.personal,
            cross: self.cross,
            privacy,
            sample_privacy,
            backends: self.backends.into_iter().collect(),
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
            train_loss: weighted_mean(self.trained.values().map(|client| (client.samples, client.loss))),
            validation_loss: weighted_mean(
                self.trained
                    .values()
                    .map(|client| (client.samples, client.validation)),
            ),
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
        unlabelled,
    } = group;
    Group {
        samples,
        patients,
        class_counts,
        unlabelled,
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
        unlabelled,
    } = group;
    ClientShare {
        client: client.0,
        samples,
        patients,
        class_counts,
        unlabelled,
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

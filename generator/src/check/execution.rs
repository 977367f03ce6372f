//! Rules of layout, resources and the Pegasus target.

use std::num::NonZeroU32;

use contract::{
    recipe::DeviceChoice,
    units::{Bytes, Seconds},
};

use super::{
    checked::{Execution, Layout, PegasusSettings, Request, Resources, SubmitHost},
    rules::not_built,
};
use crate::{
    diag::{Code, Diagnostic, Span},
    spec::{At, Found, types},
};

const fn request(mebibytes: u64, minutes: u64) -> Request {
    Request {
        cpus: 1,
        memory: Bytes(mebibytes << 20),
        gpus: 0,
        walltime: Seconds(minutes * 60),
    }
}

/// What jobs ask for where the specification does not say: one core and little memory, so that a laptop can run them.
pub const DEFAULT_RESOURCES: Resources = Resources {
    prepare: request(2048, 240),
    stats: request(512, 30),
    init: request(1024, 30),
    train: request(2048, 60),
    aggregate: request(1024, 30),
    evaluate: request(1024, 60),
    baseline: request(2048, 720),
};

/// What runs on the submit host where the specification does not say: steps of a second, which read and write the most.
const DEFAULT_SUBMIT_HOST: SubmitHost = SubmitHost {
    init: true,
    aggregate: true,
    evaluate: false,
};

/// Attempts after the first where there is no `execution`.
const DEFAULT_RETRIES: u32 = 2;
/// The site jobs run on where there is no `pegasus`.
const DEFAULT_SITE: &str = "condorpool";

/// An execution, and the place where training's memory was asked for.
pub struct ProvenExecution {
    /// The execution.
    pub checked: Execution,
    /// Where `resources.train.memory` stands, if it does.
    pub train_memory: Option<Span>,
    /// Where `aggregation.fan_in` stands, if it does.
    pub fan_in: Option<Span>,
}

/// Proves how jobs are laid out; defaults when absent.
pub fn execution(execution: Option<types::Execution>, found: &mut Found) -> Option<ProvenExecution> {
    let Some(types::Execution {
        layout,
        device,
        resources,
        retries,
        aggregation,
        clients_per_job,
        submit_host,
        pegasus,
    }) = execution
    else {
        let checked = Execution {
            layout: Layout::Flat,
            device: DeviceChoice::Cpu,
            resources: DEFAULT_RESOURCES,
            retries: DEFAULT_RETRIES,
            fan_in: None,
            clients_per_job: 1,
            submit_host: DEFAULT_SUBMIT_HOST,
            pegasus: default_pegasus(),
        };
        return Some(ProvenExecution {
            checked,
            train_memory: None,
            fan_in: None,
        });
    };
    let layout = match layout.map(|layout| layout.value) {
        None | Some(types::Layout::Flat) => Some(Layout::Flat),
        Some(types::Layout::Rounds) => Some(Layout::Rounds),
        Some(types::Layout::Chunks(rounds)) => {
            NonZeroU32::new(rounds.value.get32()).map(|rounds| Layout::Chunks { rounds })
        }
    };
    let device = device.map_or(DeviceChoice::Cpu, |device| device.value.0);
    let (resources, train_memory) = match resources {
        Some(resources) => self::resources(resources.value, device, found),
        None => (usual(device), None),
    };
    let submit_host = submit_host.map_or(DEFAULT_SUBMIT_HOST, |steps| {
        self::submit_host(&steps.value, &resources, found)
    });
    let pegasus = match pegasus {
        Some(pegasus) => self::pegasus(pegasus.value, found),
        None => Some(default_pegasus()),
    };
    let fan_in = match aggregation {
        Some(At {
            value: types::Aggregation { fan_in },
            span: _,
        }) => Some(fan_in?),
        None => None,
    };
    Some(ProvenExecution {
        fan_in: fan_in.as_ref().map(|fan_in| fan_in.span),
        checked: Execution {
            layout: layout?,
            device,
            resources,
            retries: retries?.value.get32(),
            fan_in: fan_in.map(|fan_in| fan_in.value.get32()),
            clients_per_job: clients_per_job?.value.get32(),
            submit_host,
            pegasus: pegasus?,
        },
        train_memory,
    })
}

/// The steps that are to run on the submit host; nothing there is asked for a GPU.
fn submit_host(steps: &[At<types::SubmitHostStep>], resources: &Resources, found: &mut Found) -> SubmitHost {
    let mut here = SubmitHost {
        init: false,
        aggregate: false,
        evaluate: false,
    };
    for step in steps {
        let step_here = match step.value {
            types::SubmitHostStep::Init => &mut here.init,
            types::SubmitHostStep::Aggregate => &mut here.aggregate,
            types::SubmitHostStep::Evaluate if resources.evaluate.gpus > 0 => {
                let words = "the jobs that test models ask for a GPU, and jobs on the submit host get none";
                found.push(
                    Diagnostic::error(Code::DeviceUnfit, step.span, words)
                        .label("must run on machines of the pool")
                        .help("take `evaluate` out of the list, or ask for no GPU there"),
                );
                continue;
            }
            types::SubmitHostStep::Evaluate => &mut here.evaluate,
        };
        *step_here = true;
    }
    here
}

/// GPUs that a job needs to see for `device`: place N is the one after N others.
fn gpus(device: DeviceChoice) -> u32 {
    match device {
        DeviceChoice::Auto | DeviceChoice::Cpu => 0,
        DeviceChoice::Cuda(place) | DeviceChoice::Webgpu(place) => place.saturating_add(1),
    }
}

/// The defaults, with GPUs where models are trained and tested on one.
fn usual(device: DeviceChoice) -> Resources {
    let gpus = gpus(device);
    let Resources {
        prepare,
        stats,
        init,
        train,
        aggregate,
        evaluate,
        baseline,
    } = DEFAULT_RESOURCES;
    let with = |request: Request| {
        let Request {
            cpus,
            memory,
            gpus: _,
            walltime,
        } = request;
        Request {
            cpus,
            memory,
            gpus,
            walltime,
        }
    };
    Resources {
        prepare,
        stats,
        init,
        train: with(train),
        aggregate,
        evaluate: with(evaluate),
        baseline: with(baseline),
    }
}

/// What a kind of job may use.
#[derive(Clone, Copy)]
enum Uses {
    /// The CPU alone.
    Cpu,
    /// The device models are trained and tested on.
    Device(DeviceChoice),
}

fn resources(
    resources: types::Resources,
    device: DeviceChoice,
    found: &mut Found,
) -> (Resources, Option<Span>) {
    let types::Resources {
        prepare,
        stats,
        init,
        train,
        aggregate,
        evaluate,
        baseline,
    } = resources;
    let usual = self::usual(device);
    let train_memory = train
        .as_ref()
        .and_then(|train| train.value.memory.as_ref())
        .map(|memory| memory.span);
    let mut merged = |written: Option<At<types::Request>>, usual: Request, uses: Uses| match written {
        Some(written) => self::merged(written.value, usual, uses, found),
        None => usual,
    };
    let device = Uses::Device(device);
    let resources = Resources {
        prepare: merged(prepare, usual.prepare, Uses::Cpu),
        stats: merged(stats, usual.stats, Uses::Cpu),
        init: merged(init, usual.init, Uses::Cpu),
        train: merged(train, usual.train, device),
        aggregate: merged(aggregate, usual.aggregate, Uses::Cpu),
        evaluate: merged(evaluate, usual.evaluate, device),
        baseline: merged(baseline, usual.baseline, device),
    };
    (resources, train_memory)
}

fn merged(written: types::Request, usual: Request, uses: Uses, found: &mut Found) -> Request {
    let types::Request {
        cpus,
        memory,
        gpus,
        walltime,
    } = written;
    if let Some(gpus) = &gpus {
        fit_device(gpus.value.get32(), gpus.span, uses, found);
    }
    Request {
        cpus: cpus.map_or(usual.cpus, |cpus| cpus.value.get32()),
        memory: memory.map_or(usual.memory, |memory| memory.value.0),
        gpus: gpus.map_or(usual.gpus, |gpus| gpus.value.get32()),
        walltime: walltime.map_or(usual.walltime, |walltime| walltime.value.0),
    }
}

/// A job that computes on a GPU asks for it, and one that does not leaves it to others.
fn fit_device(asked: u32, place: Span, uses: Uses, found: &mut Found) {
    let mut refuse = |words: String, label: String, help: &str| {
        found.push(
            Diagnostic::error(Code::DeviceUnfit, place, words)
                .label(label)
                .help(help),
        );
    };
    match uses {
        Uses::Cpu if asked > 0 => refuse(
            "jobs of this kind compute on the CPU alone".to_owned(),
            "must be 0".to_owned(),
            "ask for GPUs under `train`, `evaluate` and `baseline`",
        ),
        Uses::Device(DeviceChoice::Cpu) if asked > 0 => refuse(
            format!("the job asks for {asked} GPUs and would compute on the CPU"),
            "must be 0 with `device: cpu`".to_owned(),
            "write `device: cuda:0` in `execution`, or leave `gpus` out",
        ),
        Uses::Device(device) if asked < gpus(device) => refuse(
            format!(
                "`device: {device}` needs {} of a job's GPUs, and it asks for {asked}",
                gpus(device)
            ),
            format!("must be at least {}", gpus(device)),
            "leave `gpus` out for as many as `device` needs, or write `device: cpu`",
        ),
        Uses::Cpu | Uses::Device(_) => {}
    }
}

fn default_pegasus() -> PegasusSettings {
    PegasusSettings {
        data_configuration: data_configuration(&types::DataConfiguration::Condorio).to_owned(),
        compute_site: DEFAULT_SITE.to_owned(),
    }
}

fn data_configuration(written: &types::DataConfiguration) -> &'static str {
    match written {
        types::DataConfiguration::Condorio => "condorio",
        types::DataConfiguration::Nonsharedfs => "nonsharedfs",
        types::DataConfiguration::Sharedfs => "sharedfs",
    }
}

fn pegasus(pegasus: types::Pegasus, found: &mut Found) -> Option<PegasusSettings> {
    let types::Pegasus {
        data_configuration: written,
        compute_site,
        container,
    } = pegasus;
    if let Some(container) = container {
        let span = match &container.value {
            types::Container::Apptainer(image) => image.span,
            types::Container::Docker(image) => image.span,
        };
        not_built(
            "`container`",
            span,
            "the job binaries run without one: remove `container`",
            found,
        );
    }
    let written = written.map_or(types::DataConfiguration::Condorio, |written| written.value);
    Some(PegasusSettings {
        data_configuration: data_configuration(&written).to_owned(),
        compute_site: compute_site?.value.0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_absent_execution_is_an_empty_one() {
        let empty = types::Execution {
            layout: None,
            device: None,
            resources: None,
            retries: None,
            aggregation: None,
            clients_per_job: None,
            submit_host: None,
            pegasus: None,
        };
        // `retries: None` in a mapping that was read means a mistake, so the value is put in as the reader does.
        assert!(execution(Some(empty), &mut Found::new()).is_none());
        let text = "execution: {pegasus: {}}";
        let mut found = Found::new();
        let read = crate::spec::read(text, &mut found)
            .unwrap()
            .execution
            .unwrap()
            .value;
        let (read, absent) = (
            execution(Some(read), &mut found).unwrap(),
            execution(None, &mut found).unwrap(),
        );
        assert_eq!(read.checked, absent.checked);
    }
}

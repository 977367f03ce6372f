//! Where data lives, how jobs are laid out and what they ask for.

use crate::spec::{
    At,
    leaf::{Device, FilePath, Memory, Several, Text, Time, Whole},
    written::{choice, mapping},
};

mapping! {
    /// A place where clients' data lives; their jobs go there.
    pub struct Site {
        /// The clients, counted from 0, of every dataset that has so many.
        clients: required Several<Whole<0, 99_999>>,
        /// The folder of the data at that place, absolute; all machines of the place see it, and jobs write into it.
        data: required FilePath,
        /// How the program of its clients' jobs gets there; `kept` when absent.
        program: optional SiteProgram,
        /// What HTCondor needs to know to send jobs there.
        condor: required Condor,
    }
}

choice! {
    /// How the program of its clients' jobs gets to a site.
    pub enum SiteProgram {
        /// The job that prepares a dataset there leaves a copy in the site's folder, which the other jobs run.
        Kept = "kept",
        /// Every job brings it.
        Sent = "sent",
    }
}

mapping! {
    /// What HTCondor needs to know to send jobs to a site.
    pub struct Condor {
        /// A ClassAd expression that holds on the site's machines.
        requirements: required Text,
    }
}

mapping! {
    /// How jobs are laid out and what they ask for.
    pub struct Execution {
        /// How the plan becomes workflows; `flat` when absent.
        layout: optional Layout,
        /// Where models are trained and tested: `auto`, `cpu`, `cuda:N` or `webgpu:N`, counted among the GPUs that a job
        /// asks for; `cpu` when absent.
        device: optional Device,
        /// What each kind of job asks for.
        resources: optional Resources,
        /// Attempts after the first.
        retries: default Whole<0, 100> = 2u64,
        /// How a round's updates are combined; by one job when absent.
        aggregation: optional Aggregation,
        /// Most clients whose training is one job: clients of one site are trained there one after the other, from one copy
        /// of the global model. A job's walltime is that of `resources` times its clients.
        clients_per_job: default Whole<1, 100_000> = 1u64,
        /// Steps of the server that run on the submit host, where their files are; `[init, aggregate]` when absent.
        submit_host: optional Vec<At<SubmitHostStep>>,
        /// Settings of the Pegasus target.
        pegasus: optional Pegasus,
    }
}

mapping! {
    /// A tree of jobs that add updates up; the result does not depend on it.
    pub struct Aggregation {
        /// Most updates one job reads.
        fan_in: required Whole<2, 100_000>,
    }
}

choice! {
    /// A step of the server that may run on the submit host; `prepare` and `stats` do anyway where there are no `sites`.
    pub enum SubmitHostStep {
        /// Writing initial models.
        Init = "init",
        /// Making new global models.
        Aggregate = "aggregate",
        /// Testing global models.
        Evaluate = "evaluate",
    }
}

choice! {
    /// How the plan becomes workflows.
    pub enum Layout {
        /// One workflow holds every job.
        Flat = "flat",
        /// A sub-workflow per dataset and round.
        Rounds = "rounds",
        /// A sub-workflow per dataset and this many rounds.
        Chunks(Whole<1, 100_000>) = "chunks",
    }
}

mapping! {
    /// What each kind of job asks for; kinds and fields that are absent keep their defaults.
    pub struct Resources {
        /// Jobs that read a dataset and write shards.
        prepare: optional Request,
        /// Jobs that count what each client has, and those that make and reveal keys.
        stats: optional Request,
        /// Jobs that write the initial model.
        init: optional Request,
        /// Jobs that train one client in one round.
        train: optional Request,
        /// Jobs that make a new global model, or add updates up for one.
        aggregate: optional Request,
        /// Jobs that test a model.
        evaluate: optional Request,
        /// Jobs that train a baseline.
        baseline: optional Request,
    }
}

mapping! {
    /// What a job asks its machine for.
    pub struct Request {
        /// CPU cores.
        cpus: optional Whole<1, 4096>,
        /// Memory, such as `8 GiB`.
        memory: optional Memory,
        /// GPUs; where jobs train or test on one and this is absent, as many as `device` needs.
        gpus: optional Whole<0, 64>,
        /// Longest run time, such as `1h`.
        walltime: optional Time,
    }
}

mapping! {
    /// Settings of the Pegasus target.
    pub struct Pegasus {
        /// How files reach jobs; `condorio` when absent.
        data_configuration: optional DataConfiguration,
        /// The site jobs run on.
        compute_site: default Text = "condorpool",
        /// A container jobs run in; none when absent.
        container: optional Container,
    }
}

choice! {
    /// `pegasus.data.configuration`.
    pub enum DataConfiguration {
        /// HTCondor transfers files.
        Condorio = "condorio",
        /// Jobs fetch files from a staging site.
        Nonsharedfs = "nonsharedfs",
        /// A file system all machines share.
        Sharedfs = "sharedfs",
    }
}

choice! {
    /// A container jobs run in.
    pub enum Container {
        /// An Apptainer image file.
        Apptainer(FilePath) = "apptainer",
        /// A Docker image name.
        Docker(Text) = "docker",
    }
}

//! Every key of a specification, as people write it.
//!
//! Each declaration makes the type, its reader and its JSON Schema; documentation here is what editors show. A key may
//! be described here before it is built: [`crate::check`] refuses its use with a message that says so.

use super::{
    decode::At,
    leaf::{
        Channels, ClassOf, Decay, FilePath, Finite, FormatVersion, Memory, Name, Named, NonNegative, Part,
        Positive, Several, Share, Text, Time, Trim, Whole,
    },
    written::{choice, mapping},
};

mapping! {
    /// A federated-learning experiment.
    pub struct Spec {
        /// Specification format: 1.
        fedwing: required FormatVersion,
        /// The experiment's name; it stands in every file name.
        name: required Name,
        /// What the experiment is for, in your words.
        intent: optional Text,
        /// The seed everything random descends from.
        seed: required Whole<0, 9_007_199_254_740_992>,
        /// The datasets by name; each is a federation of its own.
        datasets: required Named<Dataset>,
        /// The network.
        model: required Model,
        /// How clients learn together.
        federation: required Federation,
        /// What the result is compared with; nothing when absent.
        evaluation: optional Evaluation,
        /// Where clients' data lives, by site; absent when all of it is in one place.
        sites: optional Named<Site>,
        /// How jobs are laid out and what they ask for.
        execution: optional Execution,
        /// What must not happen to the data.
        privacy: optional Privacy,
    }
}

mapping! {
    /// A dataset: where its images come from, what they are turned into and how they are shared out.
    pub struct Dataset {
        /// Where images and labels come from.
        source: required Source,
        /// What the model is asked to tell.
        task: required Task,
        /// The tensors made of images.
        image: required Image,
        /// Which samples are held out for testing, always whole patients; `{fraction: 0.2}` when absent.
        test: optional Test,
        /// Who trains on the other samples; a patient is never split between clients.
        clients: required Clients,
    }
}

choice! {
    /// Where images and labels come from. Paths are relative to the specification's folder.
    pub enum Source {
        /// The NIH ChestX-ray14 layout.
        Cxr14(Cxr14) = "cxr14",
        /// A folder of DICOM files.
        Dicom(Dicom) = "dicom",
        /// Any CSV with image paths.
        Table(Table) = "table",
        /// `<label>/<image>`: the folder's name is the label, each image a patient of its own.
        Folder(Folder) = "folder",
        /// Drawn radiographs, the only synthetic source. Its labels are `No Finding` and `Opacity`.
        Phantom(Phantom) = "phantom",
    }
}

mapping! {
    /// The NIH ChestX-ray14 layout.
    pub struct Cxr14 {
        /// Folder of the images, sub-folders included.
        images: required FilePath,
        /// The metadata table: CSV with `Image Index`, `Finding Labels` and `Patient ID`.
        labels: required FilePath,
    }
}

mapping! {
    /// A folder of DICOM files; each collection (sub-folder) is an institution.
    pub struct Dicom {
        /// The folder of collections.
        root: required FilePath,
        /// The class of each collection.
        labels: required ClassOf,
    }
}

mapping! {
    /// Any CSV with image paths.
    pub struct Table {
        /// The table; image paths in it are relative to its folder.
        csv: required FilePath,
        /// Column of image paths.
        image: required Text,
        /// Column of patient identifiers; the image column itself where each image is a patient of its own.
        patient: required Text,
        /// Column of the institution, for the `natural` partition.
        site: optional Text,
        /// One column of label text (several labels separated by `|`), or several columns of 0 and 1.
        labels: required Several<Text>,
    }
}

mapping! {
    /// `<label>/<image>`.
    pub struct Folder {
        /// The folder of label folders.
        root: required FilePath,
    }
}

mapping! {
    /// Drawn radiographs.
    pub struct Phantom {
        /// Number of patients, one image each.
        patients: required Whole<2, 10_000_000>,
        /// Number of institutions the patients come from.
        sites: required Whole<1, 100_000>,
    }
}

choice! {
    /// What the model is asked to tell.
    pub enum Task {
        /// Finding or no finding: two classes.
        Binary(Binary) = "binary",
        /// One of several classes.
        Multiclass(Multiclass) = "multiclass",
        /// Any of several findings.
        Multilabel(Multilabel) = "multilabel",
    }
}

mapping! {
    /// Class 0 when all labels of an image are among `negative`, else class 1.
    pub struct Binary {
        /// Labels that make an image negative.
        negative: required Several<Text>,
    }
}

mapping! {
    /// One class an image; images with none or several of the classes are left out and counted.
    pub struct Multiclass {
        /// The classes, in the order of the model's outputs.
        classes: required Several<Text>,
    }
}

mapping! {
    /// One yes or no per label.
    pub struct Multilabel {
        /// The labels, in the order of the model's outputs.
        labels: required Several<Text>,
    }
}

mapping! {
    /// The tensors made of images.
    pub struct Image {
        /// Width and height in pixels.
        size: required Whole<1, 4096>,
        /// 1 (grey) or 3 (the grey value three times, for networks made for RGB).
        channels: default Channels = 1u64,
        /// How pixel values scaled to 0..1 are normalised.
        normalize: optional Normalize,
    }
}

mapping! {
    /// `(value - mean) / std`, of pixel values scaled to 0..1.
    pub struct Normalize {
        /// Subtracted.
        mean: default Finite = 0.5,
        /// Divides what is left.
        std: default Positive = 0.5,
    }
}

choice! {
    /// Which samples are held out for testing.
    pub enum Test {
        /// A share of the patients, drawn from the seed.
        Fraction(Part) = "fraction",
        /// The split a column of a `table` gives; rows with other values are left out and counted.
        Column(SplitColumn) = "column",
    }
}

mapping! {
    /// A column that says which side a row is on.
    pub struct SplitColumn {
        /// The column.
        name: required Text,
        /// Values that mean training.
        train: required Several<Text>,
        /// Values that mean testing.
        test: required Several<Text>,
    }
}

mapping! {
    /// Who trains.
    pub struct Clients {
        /// Number of clients.
        count: required Whole<1, 100_000>,
        /// How training samples come to clients.
        by: required Partition,
    }
}

choice! {
    /// How training samples come to clients.
    pub enum Partition {
        /// By the source's own institutions.
        Natural = "natural",
        /// Evenly at random.
        Iid = "iid",
        /// By a hash of the patient identifier: stable when images are added.
        PatientHash = "patient_hash",
        /// Class proportions drawn from a Dirichlet distribution (Hsu et al. 2019, arXiv:1909.06335).
        Dirichlet(Skew) = "dirichlet",
        /// Numbers of samples drawn from a Dirichlet distribution.
        QuantitySkew(Skew) = "quantity_skew",
    }
}

mapping! {
    /// Settings of a Dirichlet distribution.
    pub struct Skew {
        /// Concentration: small is skewed, large is even.
        alpha: required Positive,
        /// Fewest samples a client may have.
        min_size: default Whole<1, 1_000_000> = 10u64,
    }
}

mapping! {
    /// The network.
    pub struct Model {
        /// Which network.
        arch: required Arch,
        /// Weights to start from: safetensors with torchvision's tensor names; random ones when absent.
        weights: optional FilePath,
    }
}

choice! {
    /// A network.
    pub enum Arch {
        /// Two 3x3 convolutions (16, 32) with ReLU and 2x2 max pooling, a hidden layer of 64, a linear head.
        SmallCnn = "small_cnn",
        /// ResNet-18 (He et al. 2015, arXiv:1512.03385).
        Resnet18 = "resnet18",
        /// ResNet-50 (He et al. 2015, arXiv:1512.03385).
        Resnet50 = "resnet50",
        /// DenseNet-121 (Huang et al. 2016, arXiv:1608.06993).
        Densenet121 = "densenet121",
        /// EfficientNet-B0 (Tan and Le 2019, arXiv:1905.11946).
        EfficientnetB0 = "efficientnet_b0",
    }
}

mapping! {
    /// How clients learn together.
    pub struct Federation {
        /// The rule that makes a new global model from updates.
        algorithm: required Algorithm,
        /// Number of rounds.
        rounds: required Whole<1, 100_000>,
        /// Share of clients trained in each round, drawn from the seed.
        fraction: default Share = 1.0,
        /// Clients may be absent from a round as long as this many remain; every selected one must be there when absent.
        min_clients: optional Whole<1, 100_000>,
        /// How updates are written to be smaller; as plain values when absent.
        compression: optional Compression,
        /// What a client does in a round.
        local: required Local,
    }
}

choice! {
    /// An aggregation rule.
    pub enum Algorithm {
        /// Sample-weighted mean (McMahan et al. 2017, arXiv:1602.05629).
        Fedavg = "fedavg",
        /// FedAvg with server momentum (Hsu et al. 2019, arXiv:1909.06335).
        Fedavgm(ServerMomentum) = "fedavgm",
        /// Adam on the server (Reddi et al. 2020, arXiv:2003.00295).
        Fedadam(ServerMoments) = "fedadam",
        /// Yogi on the server (Reddi et al. 2020, arXiv:2003.00295).
        Fedyogi(YogiMoments) = "fedyogi",
        /// Adagrad on the server (Reddi et al. 2020, arXiv:2003.00295).
        Fedadagrad(ServerRate) = "fedadagrad",
        /// FedAvg with a proximal term at the clients (Li et al. 2018, arXiv:1812.06127).
        Fedprox(Proximal) = "fedprox",
        /// Control variates (Karimireddy et al. 2019, arXiv:1910.06378).
        Scaffold = "scaffold",
        /// Normalised averaging (Wang et al. 2020, arXiv:2007.07481).
        Fednova = "fednova",
        /// FedAvg that keeps batch normalisation at the clients (Li et al. 2021, arXiv:2102.07623).
        Fedbn = "fedbn",
        /// Coordinate-wise median (Yin et al. 2018, arXiv:1803.01498).
        Median = "median",
        /// Coordinate-wise trimmed mean (Yin et al. 2018, arXiv:1803.01498).
        TrimmedMean(TrimmedShare) = "trimmed_mean",
        /// The update closest to the others (Blanchard et al. 2017, arXiv:1703.02757).
        Krum(Byzantine) = "krum",
        /// The mean of the updates closest to the others (Blanchard et al. 2017, arXiv:1703.02757).
        MultiKrum(KeptByzantine) = "multi_krum",
        /// Krum, then a trimmed mean (El Mhamdi et al. 2018, arXiv:1802.07927).
        Bulyan(Byzantine) = "bulyan",
        /// Sample-weighted geometric median (Pillutla et al. 2019, arXiv:1912.13445).
        GeometricMedian(Weiszfeld) = "geometric_median",
        /// FedAvg of updates scaled down to a norm (Sun et al. 2019, arXiv:1911.07963).
        NormBound(Bound) = "norm_bound",
        /// q-FedAvg: clients with a large loss count more (Li et al. 2019, arXiv:1905.10497).
        Qfedavg(Fairness) = "qfedavg",
    }
}

choice! {
    /// How updates are written: as differences from the global model, in full or in part.
    pub enum Compression {
        /// Differences in full precision.
        Delta = "delta",
        /// Differences as half floats.
        Fp16 = "fp16",
        /// Differences as brain floats.
        Bf16 = "bf16",
        /// Differences as 8-bit integers times a scale per tensor.
        Int8(Quantised) = "int8",
        /// Only the largest differences, in full precision, with their places.
        TopK(Largest) = "top_k",
    }
}

mapping! {
    /// Differences as 8-bit integers.
    pub struct Quantised {
        /// Whether a client adds what rounding left out to its next update.
        error_feedback: default bool = true,
    }
}

mapping! {
    /// Only the largest differences.
    pub struct Largest {
        /// Share of each tensor's values that is sent.
        share: default Share = 0.01,
        /// Whether a client adds what was left out to its next update.
        error_feedback: default bool = true,
    }
}

mapping! {
    /// Momentum on the server.
    pub struct ServerMomentum {
        /// Step size of the server.
        server_learning_rate: default Positive = 1.0,
        /// Share of the last step kept.
        server_momentum: default Decay = 0.9,
    }
}

mapping! {
    /// Adaptive steps on the server, with two moments.
    pub struct ServerMoments {
        /// Step size of the server.
        server_learning_rate: default Positive = 0.1,
        /// Decay of the first moment.
        beta1: default Decay = 0.9,
        /// Decay of the second moment.
        beta2: default Decay = 0.99,
        /// Added to the root of the second moment.
        tau: default Positive = 0.001,
    }
}

mapping! {
    /// Yogi's steps on the server, with two moments.
    pub struct YogiMoments {
        /// Step size of the server.
        server_learning_rate: default Positive = 0.01,
        /// Decay of the first moment.
        beta1: default Decay = 0.9,
        /// Decay of the second moment.
        beta2: default Decay = 0.99,
        /// Added to the root of the second moment.
        tau: default Positive = 0.001,
    }
}

mapping! {
    /// Adaptive steps on the server.
    pub struct ServerRate {
        /// Step size of the server.
        server_learning_rate: default Positive = 0.1,
        /// Added to the root of the summed squares.
        tau: default Positive = 0.001,
    }
}

mapping! {
    /// A proximal term at the clients.
    pub struct Proximal {
        /// Weight of the term.
        mu: required NonNegative,
    }
}

mapping! {
    /// How much to trim.
    pub struct TrimmedShare {
        /// Share of the clients cut on each side.
        beta: default Trim = 0.2,
    }
}

mapping! {
    /// How many clients may lie.
    pub struct Byzantine {
        /// Number of clients that may send anything.
        byzantine: required Whole<0, 100_000>,
    }
}

mapping! {
    /// How many clients may lie, and how many updates are kept.
    pub struct KeptByzantine {
        /// Number of clients that may send anything.
        byzantine: required Whole<0, 100_000>,
        /// Number of updates averaged.
        keep: required Whole<1, 100_000>,
    }
}

mapping! {
    /// How the geometric median is looked for.
    pub struct Weiszfeld {
        /// Most steps.
        iterations: default Whole<1, 1_000_000> = 100u64,
        /// Distances below this count as this.
        smoothing: default Positive = 1e-6,
    }
}

mapping! {
    /// How far an update may be from the global model.
    pub struct Bound {
        /// Largest L2 norm of a difference, over all floating-point tensors together.
        norm: required Positive,
    }
}

mapping! {
    /// How much more clients with a large loss count.
    pub struct Fairness {
        /// Power of the loss; 0 is FedAvg without sample counts.
        q: required NonNegative,
        /// The clients' step size: the inverse of the Lipschitz constant.
        learning_rate: required Positive,
    }
}

mapping! {
    /// What a client does in a round.
    pub struct Local {
        /// Passes over the client's samples.
        epochs: required Whole<1, 10_000>,
        /// Samples per step.
        batch_size: required Whole<1, 65_536>,
        /// How weights follow gradients.
        optimizer: required Optimizer,
    }
}

choice! {
    /// How weights follow gradients.
    pub enum Optimizer {
        /// Stochastic gradient descent, as PyTorch's.
        Sgd(Sgd) = "sgd",
        /// Adam with L2 penalty in the gradient, as PyTorch's (Kingma and Ba 2015, arXiv:1412.6980).
        Adam(Adam) = "adam",
        /// Adam with decoupled weight decay (Loshchilov and Hutter 2017, arXiv:1711.05101).
        Adamw(Adam) = "adamw",
    }
}

mapping! {
    /// Settings of stochastic gradient descent.
    pub struct Sgd {
        /// Step size.
        learning_rate: required Positive,
        /// Share of the last step kept.
        momentum: default Decay = 0.0,
        /// L2 penalty.
        weight_decay: default NonNegative = 0.0,
    }
}

mapping! {
    /// Settings of Adam.
    pub struct Adam {
        /// Step size.
        learning_rate: required Positive,
        /// Decay of the first moment.
        beta1: default Decay = 0.9,
        /// Decay of the second moment.
        beta2: default Decay = 0.999,
        /// Added to the root of the second moment.
        epsilon: default Positive = 1e-8,
        /// Penalty on the weights.
        weight_decay: default NonNegative = 0.0,
    }
}

mapping! {
    /// What the result is compared with.
    pub struct Evaluation {
        /// Models trained for comparison; none when absent.
        baselines: optional Vec<At<Baseline>>,
        /// Whether each dataset's final model is also tested on the other datasets.
        cross_dataset: default bool = false,
    }
}

choice! {
    /// A model trained for comparison.
    pub enum Baseline {
        /// One model trained on the union of all clients' samples.
        Centralized = "centralized",
        /// One model per client, trained on its samples alone.
        LocalOnly = "local_only",
    }
}

mapping! {
    /// A place where clients' data lives; their jobs go there.
    pub struct Site {
        /// The clients, counted from 0.
        clients: required Several<Whole<0, 99_999>>,
        /// The folder of the data at that place.
        data: required FilePath,
        /// What HTCondor needs to know to send jobs there.
        condor: optional Condor,
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
        /// What each kind of job asks for.
        resources: optional Resources,
        /// Attempts after the first.
        retries: default Whole<0, 100> = 2u64,
        /// How a round's updates are combined; by one job when absent.
        aggregation: optional Aggregation,
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
        /// GPUs.
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

mapping! {
    /// What must not happen to the data.
    pub struct Privacy {
        /// Images never leave their client's site; only models and counts move.
        data_stays_at_site: default bool = false,
        /// What the global models may tell of any one client's part; unbounded when absent.
        central: optional Central,
        /// Whether updates are masked so that only their sum can be read; keys are drawn anew in every run.
        secure_aggregation: default bool = false,
    }
}

choice! {
    /// Differential privacy of a client's part, given by the aggregator (McMahan et al. 2018, arXiv:1710.06963).
    pub enum Central {
        /// Updates are scaled down to a norm that stays.
        Fixed(FixedNorm) = "fixed",
        /// Updates are scaled down to a norm that follows a quantile of theirs (Andrew et al. 2021, arXiv:1905.03871).
        Adaptive(AdaptiveNorm) = "adaptive",
    }
}

mapping! {
    /// Updates are scaled down to a norm that stays.
    pub struct FixedNorm {
        /// Largest L2 norm of an update's difference from the global model.
        norm: required Positive,
        /// Standard deviation of the noise over the norm; 0 adds none and promises nothing.
        noise_multiplier: required NonNegative,
        /// Probability with which the promise may fail.
        delta: required Part,
    }
}

mapping! {
    /// Updates are scaled down to a norm that follows a quantile of theirs.
    pub struct AdaptiveNorm {
        /// The norm of the first round.
        initial_norm: required Positive,
        /// The quantile.
        quantile: default Part = 0.5,
        /// Step size of the norm's logarithm.
        learning_rate: default Positive = 0.2,
        /// Standard deviation of the noise on the number of updates below the norm; more than half of
        /// `noise_multiplier`.
        count_noise: required NonNegative,
        /// Standard deviation of all noise together over the norm; 0 adds none and promises nothing.
        noise_multiplier: required NonNegative,
        /// Probability with which the promise may fail.
        delta: required Part,
    }
}

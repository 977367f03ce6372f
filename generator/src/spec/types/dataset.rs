//! A dataset: its tensors, its test samples and its clients.

use super::{Source, Task};
use crate::spec::{
    leaf::{Bits, Channels, Finite, Part, Positive, Several, Text, Tolerated, Whole},
    written::{choice, mapping},
};

mapping! {
    /// A dataset: where its images come from, what they are turned into and how they are shared out.
    pub struct Dataset {
        /// Where images and labels come from.
        source: required Source,
        /// What the model is asked to tell.
        task: required Task,
        /// The tensors made of images.
        image: required Image,
        /// Which samples are held out, always whole patients; a fifth of the patients for testing when absent.
        test: optional Test,
        /// Who trains on the other samples; a patient is never split between clients.
        clients: required Clients,
        /// What is done about images that cannot be used or are there twice.
        quality: optional Quality,
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
        /// Bits a pixel of a shard has: 8, or 16 for images with more than 256 greys, at twice the size.
        depth: default Bits = 8u64,
        /// How an image that is not square becomes so; `stretch` when absent.
        fit: optional Fit,
    }
}

choice! {
    /// How an image that is not square becomes so.
    pub enum Fit {
        /// Width and height are scaled independently, as most published pipelines do.
        Stretch = "stretch",
        /// Proportions are kept; what is left at two sides is black.
        Pad = "pad",
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

mapping! {
    /// Which samples are held out.
    pub struct Test {
        /// Share of the patients held out for testing, drawn from the seed; 0.2 when absent.
        fraction: optional Part,
        /// Instead, the split a column of a `table` gives; rows with other values are left out and counted.
        column: optional SplitColumn,
        /// Share of the other patients from whose samples each class's threshold is chosen; no threshold is when absent.
        validation: optional Part,
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
        /// Numbers of samples drawn from a Dirichlet distribution (Li et al. 2022, arXiv:2102.02079).
        QuantitySkew(Skew) = "quantity_skew",
        /// Each client has patients of a few classes only (McMahan et al. 2017, arXiv:1602.05629).
        Pathological(FewClasses) = "pathological",
        /// One client for each value of an attribute; a patient with several goes to the most frequent.
        Attribute(Attribute) = "attribute",
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
    /// How few classes a client has.
    pub struct FewClasses {
        /// Most classes a client has.
        classes: required Whole<1, 1000>,
    }
}

choice! {
    /// What a source says about an image beside its labels.
    pub enum Attribute {
        /// The projection: `PA`, `AP`, `LL`, …
        View = "view",
        /// The patient's sex: `F`, `M` or `O`.
        Sex = "sex",
        /// The patient's age in years by tens: `0-9`, `10-19`, …
        AgeBand = "age_band",
        /// Who made the detector.
        Manufacturer = "manufacturer",
    }
}

mapping! {
    /// What is done about images that cannot be used or are there twice.
    pub struct Quality {
        /// The largest share of images that may be unusable; they are skipped, named in the manifest and counted.
        unusable: default Tolerated = 0.0,
        /// What is done when an image is there twice, of two patients or on both sides of the test split; `report` when
        /// absent.
        duplicates: optional Duplicates,
    }
}

choice! {
    /// What is done when an image is there twice, of two patients or on both sides of the test split.
    pub enum Duplicates {
        /// They are named in the manifest and counted.
        Report = "report",
        /// They end the job.
        Refuse = "refuse",
    }
}

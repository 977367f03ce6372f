//! Where images and labels come from, and what is asked about them.

use crate::spec::{
    labels::{DicomLabels, Keyword, Label},
    leaf::{FilePath, Several, Text, Whole},
    written::{choice, mapping},
};

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
    /// A folder of DICOM files, sub-folders included; each folder directly below the root is a collection.
    pub struct Dicom {
        /// The folder of collections.
        root: required FilePath,
        /// Which institution an image is from, for the `natural` partition; `collection` when absent.
        institution: optional Institution,
        /// What an image shows: the class number of each collection, `{LIDC-IDRI: 0, TCGA-LUAD: 1}`, or an attribute,
        /// `{attribute: BodyPartExamined}`. Images of other collections are left out and counted.
        labels: required DicomLabels,
        /// Which slices of a series of CT or MR images are taken; `middle` when absent.
        slices: optional Slices,
        /// What is done with images that say they show burned-in annotation; `refuse` when absent.
        burned_in: optional BurnedIn,
    }
}

choice! {
    /// Which institution a DICOM image is from.
    pub enum Institution {
        /// The collection it lies in.
        Collection = "collection",
        /// The text of an attribute, by its keyword, such as `InstitutionName`.
        Attribute(Keyword) = "attribute",
    }
}

choice! {
    /// Which slices of a series of CT or MR images are taken; of other modalities every image is.
    pub enum Slices {
        /// The one in the middle, by position.
        Middle = "middle",
        /// The first, and then every n-th.
        Every(Whole<1, 100_000>) = "every",
    }
}

choice! {
    /// What is done with images that say they show burned-in annotation, which may name the patient.
    pub enum BurnedIn {
        /// They count as unusable.
        Refuse = "refuse",
        /// They are taken.
        Allow = "allow",
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
        /// Labels that make an image negative; class numbers where `dicom` numbers collections.
        negative: required Several<Label>,
    }
}

mapping! {
    /// One class an image; images with none or several of the classes are left out and counted.
    pub struct Multiclass {
        /// The classes, in the order of the model's outputs; class numbers where `dicom` numbers collections.
        classes: required Several<Label>,
    }
}

mapping! {
    /// One yes or no per label.
    pub struct Multilabel {
        /// The labels, in the order of the model's outputs.
        labels: required Several<Label>,
    }
}

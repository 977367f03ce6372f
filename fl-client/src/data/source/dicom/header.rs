//! What a DICOM file says of its image, from its header alone.
//!
//! In: a file. Out: an [`Instance`], or what else the file is. Start at [`read`].

use std::collections::BTreeMap;

use contract::{exit::JobExit, job::JobError};
use kernels::cxr::dicom::{self, DicomError};

use crate::data::{
    decode::{self, Pages, in_full, is_dicom, is_named_dicom},
    source::tree::Found,
};

/// What a file is.
#[derive(Debug)]
pub enum Read<'a> {
    /// An image.
    Image(Box<Instance<'a>>),
    /// No DICOM file.
    Other,
    /// A DICOM object without pixels, of this modality.
    NoImage(String),
    /// A DICOM file that cannot be used, and why.
    Unusable(String),
}

/// An image as its header describes it; texts are empty where it says nothing.
#[derive(Debug, Clone, PartialEq)]
pub struct Instance<'a> {
    /// The file.
    pub file: &'a Found,
    /// SOP instance UID.
    pub uid: String,
    /// Patient identifier.
    pub patient: String,
    /// Series instance UID.
    pub series: String,
    /// Modality, such as `DX` or `CT`.
    pub modality: String,
    /// Instance number.
    pub number: Option<i64>,
    /// Where the image's first pixel is, in mm.
    pub position: Option<[f64; 3]>,
    /// Directions of rows and columns.
    pub orientation: Option<[f64; 6]>,
    /// Frames of the file; at least 1.
    pub frames: u32,
    /// Projection.
    pub view: String,
    /// Sex.
    pub sex: String,
    /// Age in years.
    pub age_years: Option<f64>,
    /// Manufacturer.
    pub manufacturer: String,
    /// Institution.
    pub institution: String,
    /// Whether it says that it shows burned-in annotation.
    pub burned_in: bool,
    /// Columns and rows.
    pub size: (u32, u32),
    /// Bits stored a sample.
    pub bits: u32,
    /// Photometric interpretation.
    pub photometric: String,
    /// Name of the transfer syntax.
    pub transfer_syntax: String,
    /// Texts of the attributes asked for, by keyword.
    pub asked: BTreeMap<String, String>,
}

impl<'a> Instance<'a> {
    /// An image that says nothing of itself.
    #[cfg(test)]
    pub fn of(file: &'a Found) -> Self {
        Self {
            file,
            uid: String::new(),
            patient: "p".to_owned(),
            series: String::new(),
            modality: String::new(),
            number: None,
            position: None,
            orientation: None,
            frames: 1,
            view: String::new(),
            sex: String::new(),
            age_years: None,
            manufacturer: String::new(),
            institution: String::new(),
            burned_in: false,
            size: (1, 1),
            bits: 8,
            photometric: String::new(),
            transfer_syntax: String::new(),
            asked: BTreeMap::new(),
        }
    }

    /// The text of an attribute that was asked for; empty where there is none.
    pub fn asked(&self, keyword: &str) -> &str {
        self.asked.get(keyword).map_or("", String::as_str)
    }
}

/// Storage SOP classes of images, by what comes after the part that all have (PS3.4 B.5): radiography, CT, ultrasound,
/// MR, secondary capture, angiography, nuclear medicine, PET.
const IMAGES: [&str; 26] = [
    "1", "1.1", "1.1.1", "1.2", "1.2.1", "1.3", "1.3.1", "2", "2.1", "2.2", "3.1", "4", "4.1", "4.3", "4.4",
    "6.1", "7", "7.1", "7.2", "7.3", "7.4", "12.1", "12.2", "20", "128", "130",
];

fn is_image(sop_class: &str) -> bool {
    let class = sop_class.strip_prefix("1.2.840.10008.5.1.4.1.1.");
    class.is_some_and(|class| IMAGES.contains(&class))
}

/// Reads a file's header; of a large file not more than that.
///
/// # Errors
/// `Io` if reading fails below us; `InputInvalid` for a keyword asked for that is none. What is wrong with the file itself
/// is not an error here but part of what it is.
pub fn read<'a>(file: &'a Found, also: &[&str]) -> Result<Read<'a>, JobError> {
    let bytes = match decode::map(&file.path, Pages::AsLookedAt) {
        Ok(bytes) => bytes,
        Err(refusal) if refusal.exit == JobExit::Io => return Err(refusal.at(&file.path)),
        Err(refusal) => return Ok(Read::Unusable(refusal.reason)),
    };
    if !is_dicom(&bytes) && !is_named_dicom(&file.path) {
        return Ok(Read::Other);
    }
    parse(file, &bytes, also)
}

fn parse<'a>(file: &'a Found, bytes: &[u8], also: &[&str]) -> Result<Read<'a>, JobError> {
    let said = match dicom::attributes(bytes, also) {
        Ok(said) => said,
        // The fault of who asks, not of the file.
        Err(error @ (DicomError::Keyword { .. } | DicomError::NotText { .. })) => {
            return Err(JobError::new(JobExit::InputInvalid, error.to_string())
                .help("name an attribute by its keyword in the specification, such as `InstitutionName`"));
        }
        Err(error) => return Ok(Read::Unusable(in_full(&error))),
    };
    let text = |text: Option<String>| text.unwrap_or_default();
    let modality = text(said.modality);
    let (Some(columns), Some(rows)) = (said.columns, said.rows) else {
        if said.sop_class.is_some_and(|uid| is_image(&uid)) {
            let reason = "an image without `Rows` or `Columns`; the file may be cut short";
            return Ok(Read::Unusable(reason.to_owned()));
        }
        return Ok(Read::NoImage(if modality.is_empty() {
            "of no modality".to_owned()
        } else {
            modality
        }));
    };
    Ok(Read::Image(Box::new(Instance {
        file,
        uid: text(said.sop_instance),
        patient: text(said.patient_id),
        series: text(said.series),
        modality,
        number: said.instance_number,
        position: said.position,
        orientation: said.orientation,
        frames: said.frames.unwrap_or(1).max(1),
        view: text(said.view_position),
        sex: text(said.sex),
        age_years: said.age_years.map(f64::from),
        manufacturer: text(said.manufacturer),
        institution: text(said.institution_name),
        burned_in: said.burned_in == Some(true),
        size: (columns, rows),
        bits: said.bits.unwrap_or_default(),
        photometric: text(said.photometric),
        transfer_syntax: said.transfer_syntax.name,
        asked: said.asked,
    })))
}

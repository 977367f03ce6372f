//! What is kept of a file's attributes: a fixed list, and what was asked for by keyword.

use std::collections::BTreeMap;

use dicom_core::{
    VR,
    dictionary::{DataDictionary, DataDictionaryEntry, TagRange, UidDictionary, VirtualVr},
};
use dicom_dictionary_std::{StandardDataDictionary, StandardSopClassDictionary};

use super::{
    DicomError,
    file::Read,
    syntax,
    tags::{self, *},
    text::Charset,
    values::{Set, trimmed},
};

/// Attributes of a file. One that is absent, empty or not of its form is `None`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Attributes {
    /// SOPClassUID.
    pub sop_class: Option<String>,
    /// SOPInstanceUID.
    pub sop_instance: Option<String>,
    /// StudyInstanceUID.
    pub study: Option<String>,
    /// SeriesInstanceUID.
    pub series: Option<String>,
    /// InstanceNumber.
    pub instance_number: Option<i64>,
    /// ImagePositionPatient, in mm.
    pub position: Option<[f64; 3]>,
    /// ImageOrientationPatient: the directions of a row and of a column.
    pub orientation: Option<[f64; 6]>,
    /// SliceLocation, in mm.
    pub slice_location: Option<f64>,
    /// Modality.
    pub modality: Option<String>,
    /// PatientID.
    pub patient_id: Option<String>,
    /// PatientSex.
    pub sex: Option<String>,
    /// Whole years from PatientAge, else from PatientBirthDate to StudyDate.
    pub age_years: Option<u32>,
    /// ViewPosition.
    pub view_position: Option<String>,
    /// ImageLaterality, else Laterality.
    pub laterality: Option<String>,
    /// BodyPartExamined.
    pub body_part: Option<String>,
    /// Manufacturer.
    pub manufacturer: Option<String>,
    /// InstitutionName.
    pub institution_name: Option<String>,
    /// BurnedInAnnotation: YES or NO.
    pub burned_in: Option<bool>,
    /// Rows.
    pub rows: Option<u32>,
    /// Columns.
    pub columns: Option<u32>,
    /// BitsStored.
    pub bits: Option<u32>,
    /// PhotometricInterpretation.
    pub photometric: Option<String>,
    /// NumberOfFrames; 1 where it is not said.
    pub frames: Option<u32>,
    /// How the file is encoded.
    pub transfer_syntax: TransferSyntax,
    /// The attributes asked for that are there, by keyword; several values are separated by `\`.
    pub asked: BTreeMap<String, String>,
}

/// How a file is encoded.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TransferSyntax {
    /// The UID; a guess where the file says none.
    pub uid: String,
    /// Its name in PS3.6; the UID where it has none.
    pub name: String,
}

impl Attributes {
    /// Every attribute that is ever read, by tag and keyword, beside those asked for. Nothing else is kept, so nothing else
    /// can leak; what serves decoding alone, such as tables, is not kept either.
    pub const READ: &'static [(Tag, &'static str)] = tags::READ;
}

/// An attribute asked for.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    keyword: String,
    pub tag: Tag,
    vr: VirtualVr,
}

/// Looks keywords up in the dictionary.
pub(super) fn asked(keywords: &[&str]) -> Result<Vec<Asked>, DicomError> {
    let one = |keyword: &&str| {
        let entry = StandardDataDictionary.by_name(keyword);
        let entry = entry.filter(|entry| matches!(entry.tag_range(), TagRange::Single(_)));
        let Some(entry) = entry else {
            let keyword = (*keyword).to_owned();
            return Err(DicomError::Keyword { keyword });
        };
        let tag = entry.tag();
        Ok(Asked {
            keyword: (*keyword).to_owned(),
            tag: Tag(u32::from(tag.0) << 16 | u32::from(tag.1)),
            vr: entry.vr(),
        })
    };
    keywords.iter().map(one).collect()
}

/// Takes what is kept out of what was read.
pub(super) fn attributes(read: &Read<'_>, asked: &[Asked]) -> Result<Attributes, DicomError> {
    let set = Set {
        bytes: &read.data,
        elements: &read.elements,
    };
    let charset = set
        .value(SPECIFIC_CHARACTER_SET)
        .map_or(Charset::Latin1, Charset::new);
    let text = |tag| set.text(tag, charset);
    let code = |tag| set.code(tag);
    // A malformed value of these is as good as none.
    let word = |tag| set.word(tag).ok().flatten().map(u32::from);
    let decimals = |tag| set.decimals(tag).unwrap_or_default();
    let name = syntax::of(&read.syntax).map_or(read.syntax.as_str(), |syntax| syntax.name);
    let mut texts = BTreeMap::new();
    for asked in asked {
        if let Some(text) = as_text(&set, asked, charset)? {
            texts.insert(asked.keyword.clone(), text);
        }
    }
    Ok(Attributes {
        sop_class: code(SOP_CLASS_UID),
        sop_instance: code(SOP_INSTANCE_UID),
        study: code(STUDY_INSTANCE_UID),
        series: code(SERIES_INSTANCE_UID),
        instance_number: set.integer(INSTANCE_NUMBER).ok().flatten(),
        position: decimals(IMAGE_POSITION_PATIENT).try_into().ok(),
        orientation: decimals(IMAGE_ORIENTATION_PATIENT).try_into().ok(),
        slice_location: decimals(SLICE_LOCATION).first().copied(),
        modality: code(MODALITY),
        patient_id: text(PATIENT_ID),
        sex: code(PATIENT_SEX),
        age_years: code(PATIENT_AGE)
            .and_then(|age| years(&age))
            .or_else(|| years_between(&code(PATIENT_BIRTH_DATE)?, &code(STUDY_DATE)?)),
        view_position: code(VIEW_POSITION),
        laterality: code(IMAGE_LATERALITY).or_else(|| code(LATERALITY)),
        body_part: code(BODY_PART_EXAMINED),
        manufacturer: text(MANUFACTURER),
        institution_name: text(INSTITUTION_NAME),
        burned_in: match code(BURNED_IN_ANNOTATION).as_deref() {
            Some("YES") => Some(true),
            Some("NO") => Some(false),
            _ => None,
        },
        rows: word(ROWS),
        columns: word(COLUMNS),
        bits: word(BITS_STORED),
        photometric: code(PHOTOMETRIC_INTERPRETATION),
        frames: match set.integer(NUMBER_OF_FRAMES) {
            Ok(frames) => u32::try_from(frames.unwrap_or(1)).ok(),
            Err(_) => None,
        },
        transfer_syntax: TransferSyntax {
            uid: read.syntax.clone(),
            name: name.to_owned(),
        },
        asked: texts,
    })
}

/// Whole years of an age such as `042Y`, `018M`, `003W` or `010D` (PS3.5 6.2, AS).
fn years(age: &str) -> Option<u32> {
    let unit = age.chars().next_back()?;
    let number: u32 = age
        .strip_suffix(unit)?
        .parse()
        .ok()
        .filter(|number| *number <= 999)?;
    match unit {
        'Y' => Some(number),
        'M' => Some(number / 12),
        // A year of 365.25 days.
        'W' => Some(number * 28 / 1461),
        'D' => Some(number * 4 / 1461),
        _ => None,
    }
}

/// Whole years from one date to another.
fn years_between(birth: &str, study: &str) -> Option<u32> {
    let date = |text: &str| {
        // The form before DICOM had dots.
        let digits = text.replace('.', "");
        let whole = digits.len() == 8 && digits.bytes().all(|digit| digit.is_ascii_digit());
        let number: u32 = whole.then(|| digits.parse().ok()).flatten()?;
        let (month, day) = (number / 100 % 100, number % 100);
        ((1..=12).contains(&month) && (1..=31).contains(&day)).then_some(number)
    };
    // As numbers such as 20240229, dates differ by 10000 a year.
    date(study)?.checked_sub(date(birth)?).map(|apart| apart / 10_000)
}

/// The text of an attribute asked for; numbers in decimal.
fn as_text(set: &Set<'_>, asked: &Asked, charset: Charset) -> Result<Option<String>, DicomError> {
    let (Some(element), Some(value)) = (set.element(asked.tag), set.value(asked.tag)) else {
        return Ok(None);
    };
    let written = element.vr.filter(|vr| vr != b"UN");
    let known = match asked.vr {
        VirtualVr::Exact(vr) => vr.to_string().to_owned(),
        VirtualVr::Xs => match set.word(PIXEL_REPRESENTATION) {
            Ok(Some(1)) => "SS".to_owned(),
            _ => "US".to_owned(),
        },
        _ => VR::OW.to_string().to_owned(),
    };
    let vr = written.map_or(known, |vr| String::from_utf8_lossy(&vr).into_owned());
    let encoding = element.encoding;
    let text = match vr.as_str() {
        "AE" | "AS" | "CS" | "DA" | "DS" | "DT" | "IS" | "TM" | "UI" | "UR" => charset_free(value),
        "LO" | "LT" | "PN" | "SH" | "ST" | "UC" | "UT" => charset.decode(trimmed(value)),
        "US" => numbers(value, |word| encoding.u16(word)),
        "SS" => numbers(value, |word| encoding.u16(word).cast_signed()),
        "UL" => numbers(value, |word| encoding.u32(word)),
        "SL" => numbers(value, |word| encoding.u32(word).cast_signed()),
        "FL" => numbers(value, |word| f32::from_bits(encoding.u32(word))),
        "FD" => numbers(value, |word: [u8; 8]| {
            let [a, b, c, d, e, f, g, h] = word;
            let (first, second) = (encoding.u32([a, b, c, d]), encoding.u32([e, f, g, h]));
            let (high, low) = if encoding.big {
                (first, second)
            } else {
                (second, first)
            };
            f64::from_bits(u64::from(high) << 32 | u64::from(low))
        }),
        "AT" => numbers(value, |[a, b, c, d]| {
            Tag(u32::from(encoding.u16([a, b])) << 16 | u32::from(encoding.u16([c, d])))
        }),
        _ => {
            let keyword = asked.keyword.clone();
            return Err(DicomError::NotText { keyword });
        }
    };
    Ok((!text.is_empty()).then_some(text))
}

fn charset_free(value: &[u8]) -> String {
    Charset::Latin1.decode(trimmed(value))
}

fn numbers<const N: usize, T: ToString>(value: &[u8], number: impl Fn([u8; N]) -> T) -> String {
    let numbers: Vec<String> = value
        .as_chunks()
        .0
        .iter()
        .map(|word| number(*word).to_string())
        .collect();
    numbers.join("\\")
}

/// Name of a SOP class, without the word for its being stored.
pub(super) fn sop_class_name(uid: &str) -> String {
    match StandardSopClassDictionary.by_uid(uid) {
        Some(entry) => entry
            .name
            .strip_suffix(" Storage")
            .unwrap_or(entry.name)
            .to_owned(),
        None => uid.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_attributes_has_each_once_in_order_and_names_them_as_the_dictionary_does() {
        assert!(Attributes::READ.is_sorted_by(|(a, _), (b, _)| a < b));
        for (tag, keyword) in Attributes::READ {
            let entry = StandardDataDictionary.by_name(keyword);
            // The dictionary leaves the file's meta information to others.
            if tag.group() != 2 {
                let known = entry.map(|entry| entry.tag()).expect(keyword);
                assert_eq!(u32::from(known.0) << 16 | u32::from(known.1), tag.0, "{keyword}");
            }
        }
    }

    #[test]
    fn ages_are_whole_years() {
        let cases = [
            ("042Y", Some(42)),
            ("7Y", Some(7)),
            ("018M", Some(1)),
            ("052W", Some(0)),
            ("053W", Some(1)),
            ("365D", Some(0)),
            ("366D", Some(1)),
            ("042", None),
            ("Y", None),
            ("-01Y", None),
            ("ü", None),
            ("9999Y", None),
        ];
        for (age, expected) in cases {
            assert_eq!(years(age), expected, "{age}");
        }
    }

    #[test]
    fn an_age_from_dates_grows_on_the_birthday() {
        assert_eq!(years_between("20000229", "20240228"), Some(23));
        assert_eq!(years_between("20000229", "20240229"), Some(24));
        assert_eq!(years_between("1999.12.31", "20240101"), Some(24));
        assert_eq!(years_between("20240101", "20231231"), None);
        assert_eq!(years_between("20001301", "20240101"), None);
        assert_eq!(years_between("2000", "20240101"), None);
    }
}

//! The grey-scale pipeline that a file's attributes describe, as a [`Meaning`] (PS3.3 C.11, PS3.4 N.2).
//!
//! Start at [`meaning`]. Attributes of a frame's functional groups (C.7.6.16) come before those of the shared groups, and
//! these before those of the data set.

use super::{
    DicomError,
    element::Element,
    error::{bad_value, unsupported},
    image::{Image, Photometric},
    lut::{lut, palette},
    tags::*,
    values::{Set, shown},
};
use crate::cxr::{Colour, Meaning, Modality, Stored, Voi, VoiFunction};

/// Shown black and white where a file says nothing, in percent.
const PERCENTILES: (f64, f64) = (0.5, 99.5);

/// Aspects beyond this, or below one by it, are taken for errors.
const MOST_ASPECT: f64 = 100.0;

/// The attributes of a frame, nearest first.
pub(super) struct Sources<'s> {
    pub set: Set<'s>,
    /// The frame's item of the functional groups, and the shared one.
    pub groups: Vec<Vec<Element>>,
}

/// What the values of a frame mean. `ybr`: what the frame's stream says of three channels, where it says anything.
pub(super) fn meaning(
    sources: &Sources<'_>,
    image: &Image,
    ybr: Option<bool>,
    window: usize,
) -> Result<Meaning, DicomError> {
    let set = &sources.set;
    let grey = image.photometric.is_grey();
    let (modality, voi) = if grey {
        let modality = modality(sources, image)?;
        let voi = voi(sources, image, &modality, window)?;
        (modality, voi)
    } else {
        // Neither applies to colour (PS3.3 C.11.1, C.11.2).
        (Modality::Identity, Voi::Full)
    };
    let inverse = set.code(PRESENTATION_LUT_SHAPE).as_deref() == Some("INVERSE");
    Ok(Meaning {
        colour: match image.photometric {
            Photometric::Palette => palette(set, image.signed)?,
            Photometric::Monochrome1 | Photometric::Monochrome2 => Colour::AsIs,
            Photometric::YbrIct | Photometric::YbrRct => Colour::AsIs,
            Photometric::Rgb if ybr == Some(true) => Colour::Ybr,
            Photometric::Rgb => Colour::AsIs,
            Photometric::YbrFull | Photometric::YbrFull422 if ybr == Some(false) => Colour::AsIs,
            Photometric::YbrFull | Photometric::YbrFull422 => Colour::Ybr,
        },
        stored: Stored {
            allocated: image.allocated,
            bits: image.stored,
            high_bit: image.high_bit,
            signed: image.signed,
        },
        modality,
        voi,
        inverted: image.photometric == Photometric::Monochrome1 || (grey && inverse),
        padding: if grey { padding(set, image)? } else { None },
        aspect: aspect(sources)?,
    })
}

impl Sources<'_> {
    /// Calls `read` with the first item of a functional group's sequence, then with the data set, until there is something.
    fn first<T>(
        &self,
        sequence: Tag,
        read: impl Fn(&Set<'_>) -> Result<Option<T>, DicomError>,
    ) -> Result<Option<T>, DicomError> {
        for group in &self.groups {
            let group = Set {
                bytes: self.set.bytes,
                elements: group,
            };
            for item in group.items(sequence, 1)? {
                let item = Set {
                    bytes: self.set.bytes,
                    elements: &item,
                };
                if let Some(found) = read(&item)? {
                    return Ok(Some(found));
                }
            }
        }
        read(&self.set)
    }
}

/// PS3.3 C.11.1: a table before a slope and an intercept, as there is never both.
fn modality(sources: &Sources<'_>, image: &Image) -> Result<Modality, DicomError> {
    let found = sources.first(PIXEL_VALUE_TRANSFORMATION_SEQUENCE, |set| {
        if let Some(item) = set.items(MODALITY_LUT_SEQUENCE, 1)?.into_iter().next() {
            let item = Set {
                bytes: set.bytes,
                elements: &item,
            };
            let signed = image.signed
                || item
                    .element(LUT_DESCRIPTOR)
                    .is_some_and(|it| it.vr == Some(*b"SS"));
            return Ok(Some(Modality::Lut(lut(&item, signed)?)));
        }
        let (slope, intercept) = (set.decimal(RESCALE_SLOPE)?, set.decimal(RESCALE_INTERCEPT)?);
        if slope.is_none() && intercept.is_none() {
            return Ok(None);
        }
        let (slope, intercept) = (slope.unwrap_or(1.0), intercept.unwrap_or(0.0));
        if slope == 0.0 {
            return Err(bad_value(RESCALE_SLOPE, slope, "other than 0"));
        }
        Ok(Some(Modality::Linear { slope, intercept }))
    })?;
    Ok(match found {
        Some(Modality::Linear { slope, intercept }) if slope == 1.0 && intercept == 0.0 => Modality::Identity,
        Some(modality) => modality,
        None => Modality::Identity,
    })
}

/// PS3.3 C.11.2 leaves the choice where there are tables and windows: tables come first, as with pydicom.
fn voi(sources: &Sources<'_>, image: &Image, modality: &Modality, window: usize) -> Result<Voi, DicomError> {
    let below_zero = match modality {
        Modality::Identity => image.signed,
        Modality::Linear { slope, intercept } => image.signed || *slope < 0.0 || *intercept < 0.0,
        Modality::Lut(_) => false,
    };
    let found = sources.first(FRAME_VOI_LUT_SEQUENCE, |set| {
        if let Some(table) = voi_table(set, below_zero, window)? {
            return Ok(Some(table));
        }
        voi_window(set, window)
    })?;
    match found {
        Some(voi) => Ok(voi),
        None if window > 0 => Err(DicomError::NoSuchWindow { window, windows: 0 }),
        None => Ok(Voi::Percentiles {
            low: PERCENTILES.0,
            high: PERCENTILES.1,
        }),
    }
}

/// PS3.3 C.11.2.1.1.
fn voi_table(set: &Set<'_>, below_zero: bool, window: usize) -> Result<Option<Voi>, DicomError> {
    let items = set.items(VOI_LUT_SEQUENCE, window.saturating_add(1))?;
    if items.is_empty() {
        return Ok(None);
    }
    let Some(item) = items.get(window) else {
        let windows = items.len();
        return Err(DicomError::NoSuchWindow { window, windows });
    };
    let item = Set {
        bytes: set.bytes,
        elements: item,
    };
    let signed = match item.element(LUT_DESCRIPTOR).and_then(|it| it.vr) {
        Some([b'S', b'S']) => true,
        Some([b'U', b'S']) => false,
        _ => below_zero,
    };
    Ok(Some(Voi::Lut(lut(&item, signed)?)))
}

/// PS3.3 C.11.2.1.2 and C.11.2.1.3.
fn voi_window(set: &Set<'_>, window: usize) -> Result<Option<Voi>, DicomError> {
    let (centres, widths) = (set.decimals(WINDOW_CENTER)?, set.decimals(WINDOW_WIDTH)?);
    if centres.is_empty() && widths.is_empty() {
        return Ok(None);
    }
    let windows = centres.len().min(widths.len());
    if window >= windows {
        return Err(DicomError::NoSuchWindow { window, windows });
    }
    let function = match set.code(VOI_LUT_FUNCTION).as_deref() {
        None | Some("LINEAR") => VoiFunction::Linear,
        Some("LINEAR_EXACT") => VoiFunction::LinearExact,
        Some("SIGMOID") => VoiFunction::Sigmoid,
        Some(other) => return unsupported(format!("VOI LUT function {}", shown(other))),
    };
    let width = widths[window];
    match function {
        VoiFunction::Linear if width < 1.0 => Err(bad_value(WINDOW_WIDTH, width, "at least 1")),
        _ if width <= 0.0 => Err(bad_value(WINDOW_WIDTH, width, "above 0")),
        _ => Ok(Some(Voi::Window {
            centre: centres[window],
            width,
            function,
        })),
    }
}

/// PS3.3 C.7.5.1.1.2: a value, or all from it to the limit, whichever is lower.
fn padding(set: &Set<'_>, image: &Image) -> Result<Option<(i32, i32)>, DicomError> {
    let value = |word: u16| match image.signed {
        true => i32::from(word.cast_signed()),
        false => i32::from(word),
    };
    let Some(first) = set.word(PIXEL_PADDING_VALUE)?.map(value) else {
        return Ok(None);
    };
    let last = set.word(PIXEL_PADDING_RANGE_LIMIT)?.map_or(first, value);
    Ok(Some((first.min(last), first.max(last))))
}

/// Height of a pixel in widths: both are written height first (PS3.3 10.7.1.3, C.7.6.3.1.7).
fn aspect(sources: &Sources<'_>) -> Result<f64, DicomError> {
    let tags = [
        PIXEL_SPACING,
        IMAGER_PIXEL_SPACING,
        NOMINAL_SCANNED_PIXEL_SPACING,
        PIXEL_ASPECT_RATIO,
    ];
    let found = sources.first(PIXEL_MEASURES_SEQUENCE, |set| {
        for tag in tags {
            let pair = set.decimals(tag)?;
            match pair.as_slice() {
                [] => {}
                [height, width, ..] => {
                    let aspect = height / width;
                    let sound = *height > 0.0 && *width > 0.0;
                    if sound && (1.0 / MOST_ASPECT..=MOST_ASPECT).contains(&aspect) {
                        return Ok(Some(aspect));
                    }
                    let found = format!("{height}\\{width}");
                    return Err(bad_value(
                        tag,
                        found,
                        "two numbers above 0, neither 100 times the other",
                    ));
                }
                [one] => return Err(bad_value(tag, one, "two numbers")),
            }
        }
        Ok(None)
    })?;
    Ok(found.unwrap_or(1.0))
}

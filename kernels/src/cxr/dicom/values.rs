//! Values of attributes, as text and as numbers (PS3.5 6.2).

use super::{
    DicomError,
    element::{Element, items},
    error::{bad_value, malformed},
    file,
    tags::{READ, Tag},
    text::Charset,
};

/// The elements of a data set or of an item, with the bytes their values lie in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Set<'s> {
    pub bytes: &'s [u8],
    pub elements: &'s [Element],
}

/// A value without the blanks and zeros that pad it.
pub(super) fn trimmed(value: &[u8]) -> &[u8] {
    let pads = |byte: &u8| matches!(byte, b' ' | 0);
    let first = value.iter().position(|byte| !pads(byte)).unwrap_or(value.len());
    let last = value
        .iter()
        .rposition(|byte| !pads(byte))
        .map_or(first, |last| last + 1);
    &value[first..last]
}

impl<'s> Set<'s> {
    pub fn element(&self, tag: Tag) -> Option<&'s Element> {
        let at = self.elements.binary_search_by_key(&tag, |element| element.tag);
        at.ok().map(|at| &self.elements[at])
    }

    /// The value of an attribute that is there and not empty.
    pub fn value(&self, tag: Tag) -> Option<&'s [u8]> {
        let element = self.element(tag)?;
        let value = self.bytes.get(element.value.clone())?;
        (!value.is_empty()).then_some(value)
    }

    /// The text of an attribute that is not blank.
    pub fn text(&self, tag: Tag, charset: Charset) -> Option<String> {
        let value = trimmed(self.value(tag)?);
        (!value.is_empty()).then(|| charset.decode(value))
    }

    /// Text of the default character set: codes, UIDs, numbers.
    pub fn code(&self, tag: Tag) -> Option<String> {
        self.text(tag, Charset::Latin1)
    }

    /// Decimal numbers; none where the attribute is absent or empty.
    pub fn decimals(&self, tag: Tag) -> Result<Vec<f64>, DicomError> {
        let Some(text) = self.code(tag) else {
            return Ok(Vec::new());
        };
        let number = |text: &str| text.trim().parse().ok().filter(|number: &f64| number.is_finite());
        text.split('\\')
            .map(|one| number(one).ok_or_else(|| bad_value(tag, shown(&text), "decimal numbers")))
            .collect()
    }

    /// The first decimal number.
    pub fn decimal(&self, tag: Tag) -> Result<Option<f64>, DicomError> {
        Ok(self.decimals(tag)?.first().copied())
    }

    /// The first integer written in digits.
    pub fn integer(&self, tag: Tag) -> Result<Option<i64>, DicomError> {
        let Some(text) = self.code(tag) else {
            return Ok(None);
        };
        match text.split('\\').next().unwrap_or_default().trim().parse() {
            Ok(number) => Ok(Some(number)),
            Err(_) => Err(bad_value(tag, shown(&text), "an integer")),
        }
    }

    /// Words of 16 bits; none where the attribute is absent.
    pub fn words(&self, tag: Tag) -> Result<Vec<u16>, DicomError> {
        let Some(element) = self.element(tag) else {
            return Ok(Vec::new());
        };
        let (words, rest) = self.value(tag).unwrap_or_default().as_chunks();
        if !rest.is_empty() {
            let found = format!("{} bytes long", 2 * words.len() + 1);
            return Err(bad_value(tag, found, "words of 2 bytes"));
        }
        Ok(words.iter().map(|word| element.encoding.u16(*word)).collect())
    }

    /// The first word.
    pub fn word(&self, tag: Tag) -> Result<Option<u16>, DicomError> {
        let Some(element) = self.element(tag) else {
            return Ok(None);
        };
        match self.value(tag) {
            None => Ok(None),
            Some(value) => match value.first_chunk() {
                Some(word) => Ok(Some(element.encoding.u16(*word))),
                None => Err(bad_value(tag, "1 byte long", "a word of 2 bytes")),
            },
        }
    }

    /// The elements of each item of a sequence, at most `most` of them.
    pub fn items(&self, tag: Tag, most: usize) -> Result<Vec<Vec<Element>>, DicomError> {
        let Some(sequence) = self.element(tag) else {
            return Ok(Vec::new());
        };
        let mut places = Vec::new();
        items(self.bytes, sequence, |place| {
            if places.len() < most {
                places.push(place);
            }
        })?;
        places
            .into_iter()
            .map(|place| self.item(sequence, place))
            .collect()
    }

    /// The elements of one item.
    pub fn item(
        &self,
        sequence: &Element,
        place: std::ops::Range<usize>,
    ) -> Result<Vec<Element>, DicomError> {
        let keep = |tag: &Tag| READ.binary_search_by_key(tag, |(tag, _)| *tag).is_ok();
        let (elements, pixels) = file::elements(self.bytes, place, sequence.encoding, keep)?;
        match pixels {
            None => Ok(elements),
            Some(_) => malformed(format!("pixel data within {}", sequence.tag)),
        }
    }
}

/// The beginning of a text, for messages.
pub(super) fn shown(text: &str) -> String {
    let mut shown: String = text.chars().take(40).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    format!("`{shown}`")
}

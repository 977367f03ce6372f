//! Character sets of text (PS3.3 C.12.1.1.2).

use encoding_rs::{Encoding, *};

/// The character set of a data set.
#[derive(Debug, Clone, Copy)]
pub(super) enum Charset {
    /// One byte, one character: ISO 8859-1, and the default, whose other half is not used.
    Latin1,
    /// Another one.
    Of(&'static Encoding),
}

impl Charset {
    /// Of the value of SpecificCharacterSet: of several sets, the one that has most of the others.
    pub fn new(value: &[u8]) -> Self {
        let value = String::from_utf8_lossy(value);
        let terms: Vec<&str> = value
            .split('\\')
            .map(|term| term.trim_matches([' ', '\0']))
            .collect();
        for term in terms.iter().rev() {
            let encoding = match term
                .strip_prefix("ISO 2022 ")
                .unwrap_or(term)
                .replace('_', " ")
                .as_str()
            {
                "ISO IR 192" => UTF_8,
                "GB18030" | "GBK" => GB18030,
                "IR 87" | "IR 159" => ISO_2022_JP,
                "IR 149" => EUC_KR,
                "IR 58" => GBK,
                "ISO IR 13" | "IR 13" => SHIFT_JIS,
                "ISO IR 101" | "IR 101" => ISO_8859_2,
                "ISO IR 109" | "IR 109" => ISO_8859_3,
                "ISO IR 110" | "IR 110" => ISO_8859_4,
                "ISO IR 144" | "IR 144" => ISO_8859_5,
                "ISO IR 127" | "IR 127" => ISO_8859_6,
                "ISO IR 126" | "IR 126" => ISO_8859_7,
                "ISO IR 138" | "IR 138" => ISO_8859_8,
                "ISO IR 148" | "IR 148" => WINDOWS_1254,
                "ISO IR 203" | "IR 203" => ISO_8859_15,
                "ISO IR 166" | "IR 166" => WINDOWS_874,
                _ => continue,
            };
            return Self::Of(encoding);
        }
        Self::Latin1
    }

    /// Bytes as text; what is not of the set becomes U+FFFD.
    pub fn decode(self, bytes: &[u8]) -> String {
        let text = match self {
            Self::Latin1 => mem::decode_latin1(bytes),
            Self::Of(encoding) => {
                // These are said once by an escape, and otherwise as in the extended Unix code.
                let escape: &[u8] = match encoding.name() {
                    "EUC-KR" => b"\x1b$)C",
                    "GBK" => b"\x1b$)A",
                    _ => b"",
                };
                let plain = without(bytes, escape);
                return encoding.decode_without_bom_handling(&plain).0.into_owned();
            }
        };
        text.into_owned()
    }
}

/// The bytes without a sequence of them.
fn without(bytes: &[u8], sequence: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((first, after)) = rest.split_first() {
        if !sequence.is_empty() && rest.starts_with(sequence) {
            rest = &rest[sequence.len()..];
        } else {
            out.push(*first);
            rest = after;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_read_in_the_character_set_the_data_set_names() {
        // The names of PS3.5 annexes H to K.
        let cases: [(&[u8], &[u8], &str); 7] = [
            (b"", b"Buc^J\xe9r\xf4me", "Buc^Jérôme"),
            (b"ISO_IR 100", b"\xc4neas", "Äneas"),
            (b"ISO_IR 144", b"\xbb\xee\xda\x63\x65", "Люкce"),
            (b"ISO_IR 192", "王^小東".as_bytes(), "王^小東"),
            (
                b"\\ISO 2022 IR 87",
                b"\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B",
                "山田^太郎",
            ),
            (
                b"\\ISO 2022 IR 149",
                b"\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7",
                "洪^吉洞",
            ),
            (b"GB18030 ", b"\xcd\xf5^\xd0\xa1\xb6\xab", "王^小东"),
        ];
        for (set, bytes, expected) in cases {
            assert_eq!(Charset::new(set).decode(bytes), expected);
        }
    }
}

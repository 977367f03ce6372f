//! Files that `torch.save` writes: the tensors of a state dictionary, and nothing that would have to be run.
//!
//! In: the bytes of a file, as a zip archive (PyTorch 1.6 and later) or in the older layout of pickles and storages. Out:
//! [`Found`] tensors by name. Start at [`tensors`]. A pickle is a program; of its instructions only those that build
//! numbers, texts, tuples, lists and dictionaries are known here, and of the functions it may call only three, each
//! understood rather than called. Everything else is refused by name. Sizes are checked against the file's before use.

mod pickle;

use std::collections::BTreeMap;

use pickle::{Item, Pickle, Storage, Value};

/// What the values of a tensor in a file are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// 32-bit floating point.
    F32,
    /// 64-bit integers.
    I64,
    /// Another, which no network here has.
    Other(String),
}

/// A tensor in a file, row-major and little-endian.
#[derive(Debug)]
pub struct Found<'a> {
    /// Of its values.
    pub kind: Kind,
    /// Its dimensions, outermost first.
    pub shape: Vec<usize>,
    /// Its values.
    pub data: &'a [u8],
}

/// The largest pickle read, in bytes; that of a network with a thousand tensors has less than one.
const MAX_PICKLE: usize = 4 << 20;

/// The most entries of an archive.
const MAX_ENTRIES: usize = 1 << 16;

/// First bytes of an archive.
const ZIP: &[u8] = b"PK\x03\x04";

/// The number a file of the older layout starts with, as a pickle.
const MAGIC: &[u8] = &[
    0x80, 0x02, 0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19, b'.',
];

/// Whether the bytes are a file of PyTorch's.
pub fn is_pytorch(bytes: &[u8]) -> bool {
    bytes.starts_with(ZIP) || bytes.starts_with(MAGIC)
}

/// The tensors of the state dictionary in a file.
///
/// # Errors
/// What is wrong with the file, in words.
pub fn tensors(bytes: &[u8]) -> Result<BTreeMap<String, Found<'_>>, String> {
    if bytes.starts_with(ZIP) {
        let entries = entries(bytes)?;
        let (pickle, root) = entries
            .iter()
            .find_map(|(name, data)| Some((*data, name.strip_suffix("data.pkl")?)))
            .ok_or("the archive has no `data.pkl`: not a file of `torch.save`")?;
        if let Some(order) = entries.get(format!("{root}byteorder").as_str())
            && *order != b"little"
        {
            return Err("its numbers are not little-endian".to_owned());
        }
        let (pickle, _) = Pickle::read(limited(pickle)?)?;
        state(&pickle, |key| {
            entries.get(format!("{root}data/{key}").as_str()).copied()
        })
    } else {
        let mut rest = &bytes[MAGIC.len()..];
        // The protocol's number and a description of the machine.
        for _ in 0..2 {
            let (_, length) = Pickle::read(window(rest))?;
            rest = &rest[length..];
        }
        let (pickle, length) = Pickle::read(window(rest))?;
        rest = &rest[length..];
        let (keys, length) = Pickle::read(window(rest))?;
        rest = &rest[length..];
        let sizes = pickle.storages();
        let mut storages = BTreeMap::new();
        for key in keys.texts() {
            let Storage { bytes, count, .. } = sizes
                .get(key)
                .ok_or_else(|| format!("storage `{key}` belongs to no tensor"))?;
            let (stated, data) = rest.split_first_chunk().ok_or("it is cut short")?;
            if u64::from_le_bytes(*stated) != *count as u64 {
                return Err(format!("storage `{key}` does not have the size its tensors say"));
            }
            let length = count
                .checked_mul(*bytes)
                .filter(|length| *length <= data.len())
                .ok_or("it is cut short")?;
            storages.insert(key.to_owned(), &data[..length]);
            rest = &data[length..];
        }
        state(&pickle, |key| storages.get(key).copied())
    }
}

fn limited(pickle: &[u8]) -> Result<&[u8], String> {
    if pickle.len() > MAX_PICKLE {
        return Err(format!(
            "its pickle has {} bytes, more than the {MAX_PICKLE} accepted",
            pickle.len()
        ));
    }
    Ok(pickle)
}

fn window(bytes: &[u8]) -> &[u8] {
    &bytes[..bytes.len().min(MAX_PICKLE)]
}

/// The dictionary of tensors: the file's whole content, or what stands under `state_dict` or `model` in it.
fn state<'a>(
    pickle: &Pickle,
    storage: impl Fn(&str) -> Option<&'a [u8]>,
) -> Result<BTreeMap<String, Found<'a>>, String> {
    let dictionary = |value: Value| match pickle.item(value) {
        Some(Item::Dict(pairs)) => Some(pairs),
        _ => None,
    };
    let whole = dictionary(pickle.root()).ok_or("it holds no dictionary of tensors")?;
    let inner = whole.iter().find_map(|(key, value)| {
        let key = pickle.text(*key)?;
        matches!(key, "state_dict" | "model")
            .then(|| dictionary(*value))
            .flatten()
    });
    let mut found = BTreeMap::new();
    for (key, value) in inner.unwrap_or(whole) {
        let name = pickle.text(*key).ok_or("a key of its dictionary is no text")?;
        let Some(Item::Tensor {
            storage: place,
            offset,
            shape,
        }) = pickle.item(*value)
        else {
            return Err(format!("`{name}` is not a tensor"));
        };
        let Some(Item::Storage(Storage { key, kind, bytes, .. })) = pickle.item(*place) else {
            return Err(format!("tensor `{name}` has no storage"));
        };
        let data = storage(key).ok_or_else(|| format!("the values of tensor `{name}` are missing"))?;
        let range = || {
            let count = shape
                .iter()
                .try_fold(1usize, |count, size| count.checked_mul(*size))?;
            let start = offset.checked_mul(*bytes)?;
            data.get(start..start.checked_add(count.checked_mul(*bytes)?)?)
        };
        let data = range().ok_or_else(|| format!("tensor `{name}` reaches beyond its values"))?;
        let tensor = Found {
            kind: kind.clone(),
            shape: shape.clone(),
            data,
        };
        found.insert(name.to_owned(), tensor);
    }
    Ok(found)
}

/// A number of two bytes.
fn short(bytes: &[u8], at: usize) -> Option<usize> {
    Some(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?).into())
}

/// A number of four bytes.
fn long(bytes: &[u8], at: usize) -> Option<usize> {
    usize::try_from(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?)).ok()
}

/// The entries of an archive by name (PKWARE APPNOTE 6.3, 4.3): stored, as PyTorch writes them.
fn entries(bytes: &[u8]) -> Result<BTreeMap<&str, &[u8]>, String> {
    const END: &[u8] = b"PK\x05\x06";
    const END_LENGTH: usize = 22;
    const CENTRAL: &[u8] = b"PK\x01\x02";
    let broken = || "not a whole archive".to_owned();
    let first = bytes.len().saturating_sub(END_LENGTH + 0xffff);
    let end = (first..=bytes.len().saturating_sub(END_LENGTH))
        .rev()
        .find(|at| bytes[*at..].starts_with(END))
        .ok_or_else(broken)?;
    let count = short(bytes, end + 10).ok_or_else(broken)?;
    let mut at = long(bytes, end + 16).ok_or_else(broken)?;
    if count >= MAX_ENTRIES - 1 || at == u32::MAX as usize {
        return Err("archives beyond 4 GiB or 65534 entries are not read".to_owned());
    }
    let mut entries = BTreeMap::new();
    for _ in 0..count {
        let entry = bytes
            .get(at..)
            .filter(|rest| rest.starts_with(CENTRAL))
            .ok_or_else(broken)?;
        let field = |at| short(entry, at).ok_or_else(broken);
        let (method, name_length) = (field(10)?, field(28)?);
        let size = long(entry, 24).ok_or_else(broken)?;
        let start = long(entry, 42).ok_or_else(broken)?;
        let name = entry.get(46..46 + name_length).ok_or_else(broken)?;
        let name = std::str::from_utf8(name).map_err(|_| "the name of an entry is no text")?;
        if method != 0 {
            return Err(format!(
                "entry `{name}` is compressed; `torch.save` never does that"
            ));
        }
        let skip = |at| short(bytes, start + at).ok_or_else(broken);
        let data = start + 30 + skip(26)? + skip(28)?;
        let data = bytes.get(data..data + size).ok_or_else(broken)?;
        entries.insert(name, data);
        at += 46 + name_length + field(30)? + field(32)?;
    }
    Ok(entries)
}

/// What a storage class holds, and bytes of one value.
fn storage_kind(class: &str) -> Option<(Kind, usize)> {
    Some(match class.strip_prefix("torch ")? {
        "FloatStorage" => (Kind::F32, 4),
        "LongStorage" => (Kind::I64, 8),
        other => {
            let bytes = match other {
                "DoubleStorage" => 8,
                "HalfStorage" | "BFloat16Storage" | "ShortStorage" => 2,
                "IntStorage" => 4,
                "CharStorage" | "ByteStorage" | "BoolStorage" => 1,
                _ => return None,
            };
            (Kind::Other(other.trim_end_matches("Storage").to_owned()), bytes)
        }
    })
}

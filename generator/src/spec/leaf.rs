//! The single values of a specification: texts, names, paths, numbers with their range, sizes and times.
//!
//! Each carries its own range, so a value that has been read is in range, and the JSON Schema says the same range.

use std::borrow::Cow;

use contract::{
    ids::{DatasetName, ExperimentName, InvalidName, MAX_NAME},
    recipe::DeviceChoice,
    units::{Bytes, Fraction, Seconds},
};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::{
    decode::{At, Found, Place, Written, at, entries, shorten, wrong_type},
    tree::{Node, Value},
};
use crate::diag::{Code, Diagnostic, Span};

/// A value that a literal in a `mapping!` declaration stands for; a test reads every default back.
pub(super) trait Literal<L> {
    /// The value, taken as it is.
    fn of(literal: L) -> Self;
}

/// The value a literal stands for.
pub(super) fn literal<L, T: Literal<L>>(literal: L) -> T {
    T::of(literal)
}

/// Implements `JsonSchema` in place, without a definition of its own.
macro_rules! inline_schema {
    ($type:ty, $($schema:tt)*) => {
        impl JsonSchema for $type {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($($schema)*)
            }
        }
    };
}

pub(super) use inline_schema;

pub(super) fn text<'n>(node: &'n Node, place: Place<'_>, found: &mut Found) -> Option<&'n str> {
    match &node.value {
        Value::Text(text) => Some(text),
        _ => {
            wrong_type(node, place, "a text", found);
            None
        }
    }
}

fn out_of_range(
    node: &Node,
    place: Place<'_>,
    given: impl std::fmt::Display,
    range: &str,
    found: &mut Found,
) {
    let words = format!("{place} cannot be {given}");
    found.push(Diagnostic::error(Code::OutOfRange, node.span, words).label(format!("must be {range}")));
}

impl Written for bool {
    fn read(node: &Node, place: Place<'_>, found: &mut Found) -> Option<Self> {
        match node.value {
            Value::Bool(value) => Some(value),
            _ => {
                wrong_type(node, place, "`true` or `false`", found);
                None
            }
        }
    }
}

impl Literal<bool> for bool {
    fn of(literal: bool) -> Self {
        literal
    }
}

/// A text that is not empty.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Text(pub String);

inline_schema!(Text, { "type": "string", "minLength": 1, "pattern": "\\S" });

impl Written for Text {
    fn read(node: &Node, place: Place<'_>, found: &mut Found) -> Option<Self> {
        let text = text(node, place, found)?;
        if text.trim().is_empty() {
            let words = format!("{place} is empty");
            found.push(Diagnostic::error(Code::Empty, node.span, words).label("needs a text"));
            return None;
        }
        Some(Self(text.to_owned()))
    }
}

impl Literal<&'static str> for Text {
    fn of(literal: &'static str) -> Self {
        Self(literal.to_owned())
    }
}

/// A path as written: relative ones start in the specification's folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilePath(pub String);

inline_schema!(FilePath, { "type": "string", "minLength": 1, "pattern": "^[^~\\s]|^~[^/]" });

impl Written for FilePath {
    fn read(node: &Node, place: Place<'_>, found: &mut Found) -> Option<Self> {
        let Text(text) = Text::read(node, place, found)?;
        let home = text == "~" || text.starts_with("~/");
        if !home && !text.contains(char::is_control) && !text.starts_with(char::is_whitespace) {
            return Some(Self(text));
        }
        let words = format!("{place} is not a usable path: `{}`", shorten(&text));
        let error = Diagnostic::error(Code::UnusablePath, node.span, words);
        found.push(if home {
            error
                .label("`~` is not expanded")
                .help("write the path in full, or relative to this file's folder")
        } else {
            error.label("must not have line breaks, control characters or a leading blank")
        });
        None
    }
}

fn name<N>(
    given: &str,
    span: Span,
    what: &str,
    name: fn(&str) -> Result<N, InvalidName>,
    found: &mut Found,
) -> Option<N> {
    name(given)
        .map_err(|_| {
            let words = format!("`{}` is not a name for {what}", shorten(given));
            found.push(
                Diagnostic::error(Code::InvalidName, span, words).label("must be a name").help(format!(
                    "use 1 to {MAX_NAME} of a-z, 0-9, `-` and `_`, starting with a letter: it stands in file names"
                )),
            );
        })
        .ok()
}

const NAME_PATTERN: &str = "^[a-z][a-z0-9_-]{0,63}$";

/// The experiment's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name(pub ExperimentName);

inline_schema!(Name, { "type": "string", "pattern": NAME_PATTERN });

impl Written for Name {
    fn read(node: &Node, place: Place<'_>, found: &mut Found) -> Option<Self> {
        let text = text(node, place, found)?;
        name(text, node.span, "an experiment", ExperimentName::new, found).map(Self)
    }
}

/// Values by names that follow the rules of [`DatasetName`]; never empty, no name twice.
#[derive(Debug, Clone, PartialEq)]
pub struct Named<T>(pub Vec<(At<DatasetName>, At<T>)>);

impl<T: JsonSchema> JsonSchema for Named<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("Named_{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object",
            "minProperties": 1,
            "propertyNames": { "pattern": NAME_PATTERN },
            "additionalProperties": generator.subschema_for::<T>(),
        })
    }
}

impl<T: Written> Written for Named<T> {
    fn read(node: &Node, place: Place<'_>, found: &mut Found) -> Option<Self> {
        let entries = entries(node, place, found)?;
        if entries.is_empty() {
            empty(place, found);
            return None;
        }
        let mut named = Vec::new();
        for entry in entries {
            let span = entry.key_span;
            let name = name(
                &entry.key,
                span,
                &format!("an entry of {place}"),
                DatasetName::new,
                found,
            );
            let value = at(
                &entry.node,
                Place {
                    name: &entry.key,
                    span,
                },
                found,
            );
            if let (Some(value), Some(name)) = (value, name) {
                named.push((At { value: name, span }, value));
            }
        }
        Some(Self(named))
    }
}

pub(super) fn empty(place: Place<'_>, found: &mut Found) {
    let words = format!("{place} is empty");
    found.push(Diagnostic::error(Code::Empty, place.span, words).label("needs at least one entry"));
}

/// A list; entries that cannot be read are reported and left out.
impl<T: Written> Written for Vec<At<T>> {
    fn read(node: &Node, place: Place<'_>, found: &mut Found) -> Option<Self> {
        let Value::List(items) = &node.value else {
            wrong_type(node, place, "a list", found);
            return None;
        };
        let read: Vec<At<T>> = items
            .iter()
            .filter_map(|item| {
                at(
                    item,
                    Place {
                        name: place.name,
                        span: item.span,
                    },
                    found,
                )
            })
            .collect();
        // A list of which nothing could be read is not an empty list.
        (items.is_empty() || !read.is_empty()).then_some(read)
    }
}

/// A list that is not empty.
#[derive(Debug, Clone, PartialEq)]
pub struct Several<T>(pub Vec<At<T>>);

impl<T: JsonSchema> JsonSchema for Several<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("Several_{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "array", "items": generator.subschema_for::<T>(), "minItems": 1 })
    }
}

impl<T: Written> Written for Several<T> {
    fn read(node: &Node, place: Place<'_>, found: &mut Found) -> Option<Self> {
        let list = Vec::read(node, place, found)?;
        if list.is_empty() {
            empty(place, found);
            return None;
        }
        Some(Self(list))
    }
}

/// A whole number from `MIN` to `MAX`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Whole<const MIN: u64, const MAX: u64>(u64);

impl<const MIN: u64, const MAX: u64> Whole<MIN, MAX> {
    /// The number.
    pub fn get(self) -> u64 {
        self.0
    }

    /// The number as 32 bits; `MAX` must fit, or this does not compile.
    pub fn get32(self) -> u32 {
        const { assert!(MAX <= u32::MAX as u64) };
        self.0 as u32
    }
}

impl<const MIN: u64, const MAX: u64> JsonSchema for Whole<MIN, MAX> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("Whole_{MIN}_{MAX}").into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "minimum": MIN, "maximum": MAX })
    }
}

impl<const MIN: u64, const MAX: u64> Written for Whole<MIN, MAX> {
    fn read(node: &Node, place: Place<'_>, found: &mut Found) -> Option<Self> {
        let given = match node.value {
            Value::Whole(given) => given,
            // YAML hands over as real what exceeds 64 bits.
            Value::Real(given) if given.fract() == 0.0 && given.abs() >= 2f64.powi(63) => given as i128,
            _ => {
                wrong_type(node, place, "a whole number", found);
                return None;
            }
        };
        match u64::try_from(given) {
            Ok(value) if (MIN..=MAX).contains(&value) => Some(Self(value)),
            _ => {
                out_of_range(node, place, given, &format!("from {MIN} to {MAX}"), found);
                None
            }
        }
    }
}

impl<const MIN: u64, const MAX: u64> Literal<u64> for Whole<MIN, MAX> {
    fn of(literal: u64) -> Self {
        Self(literal)
    }
}

macro_rules! real {
    ($( #[doc = $doc:literal] $name:ident: $range:literal, $holds:expr, { $($schema:tt)* }; )*) => { $(
        #[doc = $doc]
        #[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
        pub struct $name(f64);

        impl $name {
            /// The number.
            pub fn get(self) -> f64 {
                self.0
            }
        }

        inline_schema!($name, { "type": "number", $($schema)* });

        impl Written for $name {
            fn read(node: &Node, place: Place<'_>, found: &mut Found) -> Option<Self> {
                let holds: fn(f64) -> bool = $holds;
                let given = match node.value {
                    Value::Real(value) => value,
                    Value::Whole(value) => value as f64,
                    _ => {
                        wrong_type(node, place, "a number", found);
                        return None;
                    }
                };
                if given.is_finite() && holds(given) {
                    return Some(Self(given));
                }
                out_of_range(node, place, given, $range, found);
                None
            }
        }

        impl Literal<f64> for $name {
            fn of(literal: f64) -> Self {
                Self(literal)
            }
        }
    )* };
}

real! {
    /// Any finite number.
    Finite: "a finite number", |_| true, {};
    /// More than 0.
    Positive: "more than 0", |value| value > 0.0, { "exclusiveMinimum": 0 };
    /// 0 or more.
    NonNegative: "0 or more", |value| value >= 0.0, { "minimum": 0 };
    /// 1 or more.
    AtLeastOne: "1 or more", |value| value >= 1.0, { "minimum": 1 };
    /// From 0 to below 1.
    Decay: "from 0 to below 1", |value| (0.0..1.0).contains(&value), { "minimum": 0, "exclusiveMaximum": 1 };
    /// A share that may be missing: from 0 to below 1.
    Tolerated: "from 0 to below 1", |value| (0.0..1.0).contains(&value), { "minimum": 0, "exclusiveMaximum": 1 };
    /// From 0 to below one half.
    Trim: "from 0 to below 0.5", |value| (0.0..0.5).contains(&value), { "minimum": 0, "exclusiveMaximum": 0.5 };
    /// From 0 to 1.
    Probability: "from 0 to 1", |value| (0.0..=1.0).contains(&value), { "minimum": 0, "maximum": 1 };
    /// An angle in degrees.
    Angle: "from 0 to 180", |value| (0.0..=180.0).contains(&value), { "minimum": 0, "maximum": 180 };
    /// Between 0 and 1, both excluded.
    Part: "more than 0 and less than 1", |value| value > 0.0 && value < 1.0,
        { "exclusiveMinimum": 0, "exclusiveMaximum": 1 };
}

/// A share: more than 0, at most 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Share(pub Fraction);

inline_schema!(Share, { "type": "number", "exclusiveMinimum": 0, "maximum": 1 });

impl Written for Share {
    fn read(node: &Node, place: Place<'_>, found: &mut Found) -> Option<Self> {
        let Finite(given) = Finite::read(node, place, found)?;
        match Fraction::new(given) {
            Ok(fraction) => Some(Self(fraction)),
            Err(_) => {
                out_of_range(node, place, given, "more than 0 and at most 1", found);
                None
            }
        }
    }
}

/// Where models are trained and tested.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Device(pub DeviceChoice);

inline_schema!(Device, { "type": "string", "pattern": "^(auto|cpu|(cuda|webgpu):(0|[1-9][0-9]?))$" });

impl Written for Device {
    fn read(node: &Node, place: Place<'_>, found: &mut Found) -> Option<Self> {
        let given = text(node, place, found)?;
        match given.parse::<DeviceChoice>() {
            // Only as it is written by us: `cuda:+1` and `cuda:01` are no places.
            Ok(choice) if choice.to_string() == given && given.len() <= "webgpu:99".len() => {
                Some(Self(choice))
            }
            _ => {
                let words = format!("{place} cannot be `{}`", shorten(given));
                found.push(
                    Diagnostic::error(Code::UnknownWord, node.span, words)
                        .label("not a device")
                        .help("it can be `auto`, `cpu`, `cuda:0` or `webgpu:0`; the number counts up to 99"),
                );
                None
            }
        }
    }
}

/// The format version of a specification: 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FormatVersion;

impl FormatVersion {
    /// The version this code reads.
    pub const NUMBER: u64 = 1;
}

inline_schema!(FormatVersion, { "const": FormatVersion::NUMBER });

impl Written for FormatVersion {
    fn read(node: &Node, place: Place<'_>, found: &mut Found) -> Option<Self> {
        let Value::Whole(given) = node.value else {
            wrong_type(node, place, "a whole number", found);
            return None;
        };
        if given == i128::from(Self::NUMBER) {
            return Some(Self);
        }
        let words = format!("this is specification format {given}, and this fedwing reads format 1");
        let error = Diagnostic::error(Code::SpecVersion, node.span, words).label("must be 1");
        found.push(if given > 1 {
            error.help("use a newer fedwing to read it")
        } else {
            error
        });
        None
    }
}

macro_rules! quantity {
    ($( #[doc = $doc:literal] $name:ident($inner:ident): $min:literal..=$max:literal, $wanted:literal, $range:literal, $pattern:literal; )*) => { $(
        #[doc = $doc]
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub struct $name(pub $inner);

        inline_schema!($name, {
            "anyOf": [
                { "type": "string", "pattern": $pattern },
                { "type": "integer", "minimum": $min, "maximum": $max },
            ]
        });

        impl Written for $name {
            fn read(node: &Node, place: Place<'_>, found: &mut Found) -> Option<Self> {
                let given = match &node.value {
                    Value::Text(text) => text.parse().ok(),
                    Value::Whole(number) => Some($inner(u64::try_from(*number).unwrap_or(0))),
                    _ => {
                        wrong_type(node, place, $wanted, found);
                        return None;
                    }
                };
                match given {
                    Some(given) if ($min..=$max).contains(&given.0) => return Some(Self(given)),
                    Some(given) => out_of_range(node, place, given, $range, found),
                    None => {
                        let words = format!("{place} is not {}", $wanted);
                        found.push(Diagnostic::error(Code::InvalidQuantity, node.span, words).label(concat!("must be ", $wanted)));
                    }
                }
                None
            }
        }
    )* };
}

quantity! {
    /// An amount of memory: `8 GiB`, or bytes.
    Memory(Bytes): 1_048_576..=1_125_899_906_842_624_u64, "a size such as `8 GiB` or `512 MiB`",
        "from 1 MiB to 1024 TiB", "^\\s*[0-9]+(\\.[0-9]+)?\\s*([KMGT]i?B|B)?\\s*$";
    /// A time: `1h`, `90m`, `30s`, or seconds.
    Time(Seconds): 1..=31_536_000, "a time such as `1h`, `90m` or `30s`",
        "from 1 second to 365 days", "^\\s*[0-9]+\\s*[dhms]?\\s*$";
}

macro_rules! one_of_two {
    ($( #[doc = $doc:literal] $name:ident: $first:literal | $second:literal, $wanted:literal, $range:literal; )*) => { $(
        #[doc = $doc]
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub struct $name(u32);

        impl $name {
            /// The number.
            pub fn get(self) -> u32 {
                self.0
            }
        }

        inline_schema!($name, { "enum": [$first, $second] });

        impl Written for $name {
            fn read(node: &Node, place: Place<'_>, found: &mut Found) -> Option<Self> {
                match node.value {
                    Value::Whole($first) => Some(Self($first)),
                    Value::Whole($second) => Some(Self($second)),
                    Value::Whole(given) => {
                        out_of_range(node, place, given, $range, found);
                        None
                    }
                    _ => {
                        wrong_type(node, place, $wanted, found);
                        None
                    }
                }
            }
        }

        impl Literal<u64> for $name {
            fn of(literal: u64) -> Self {
                Self(literal as u32)
            }
        }
    )* };
}

one_of_two! {
    /// 1 (grey) or 3 channels.
    Channels: 1 | 3, "the number 1 or 3", "1 (grey) or 3";
    /// 8 or 16 bits.
    Bits: 8 | 16, "the number 8 or 16", "8 or 16";
}

impl Literal<f64> for Share {
    fn of(literal: f64) -> Self {
        Self(Fraction::new(literal).expect("a default is in range"))
    }
}

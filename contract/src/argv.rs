//! Typed job arguments to and from command lines.
//!
//! [`job_args!`](crate::job_args) turns a struct into a job's arguments: each field is one flag, its type says whether
//! the flag is required, optional or repeated, and whether its value is a file the job reads or writes. Declared
//! inputs and outputs of a job therefore come from its arguments and cannot be forgotten.
//!
//! Values keep to letters, digits and `._:=,/@-` plus `%XX` escapes, so no shell, submit file or YAML document on the
//! way to the job has anything to quote.

use std::{collections::BTreeMap, fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};

/// Why a command line is not a job's arguments.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ArgError {
    /// A required flag is missing.
    #[error("`--{flag}` is missing")]
    Missing {
        /// The flag without its dashes.
        flag: &'static str,
    },
    /// A flag that takes one value was given more.
    #[error("`--{flag}` is given {count} times, it takes one value")]
    Repeated {
        /// The flag without its dashes.
        flag: &'static str,
        /// How often it was given.
        count: usize,
    },
    /// A flag that stands once a client was given more or less often.
    #[error("`--{flag}` is given {count} times, there are {clients} clients")]
    Count {
        /// The flag without its dashes.
        flag: &'static str,
        /// How often it was given.
        count: usize,
        /// Number of clients.
        clients: usize,
    },
    /// A value does not parse.
    #[error("`--{flag} {value}`: {reason}")]
    Invalid {
        /// The flag without its dashes.
        flag: &'static str,
        /// The value as given.
        value: String,
        /// Why it was refused.
        reason: String,
    },
    /// A word that is not a flag of this job.
    #[error("`{word}` is not an argument of this job")]
    Unknown {
        /// The word as given.
        word: String,
    },
    /// A flag at the end of the line without its value.
    #[error("`{flag}` has no value")]
    NoValue {
        /// The flag as given.
        flag: String,
    },
    /// The first word names no job.
    #[error("`{word}` is not a job; jobs are {known}")]
    UnknownJob {
        /// The word as given.
        word: String,
        /// The jobs there are.
        known: String,
    },
}

/// What a value means for data flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role<'a> {
    /// A setting.
    Setting,
    /// A file the job reads.
    Input(&'a str),
    /// A file the job must write.
    Output(&'a str),
    /// A file the job reads where it is kept: an absolute path, which nobody moves.
    ReadInPlace(&'a str),
    /// A file the job must write where it is kept: an absolute path, from which nobody moves it.
    WrittenInPlace(&'a str),
    /// A file an interrupted job leaves for its next attempt: read if it is there, gone when the job is done. One with an
    /// absolute path is the job's own affair.
    Checkpoint(&'a str),
}

/// One value of a flag.
pub trait ArgValue: Sized {
    /// What values look like, a line each, where a sentence does not say it.
    const FORMS: &'static str = "";
    /// The value as one word.
    fn write(&self) -> String;
    /// The inverse of [`ArgValue::write`].
    ///
    /// # Errors
    /// Why the word is not such a value.
    fn read(word: &str) -> Result<Self, String>;
    /// What the value means for data flow.
    fn role(&self) -> Role<'_> {
        Role::Setting
    }
}

/// How often a flag stands on a command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arity {
    /// Exactly once.
    Required,
    /// At most once.
    Optional,
    /// Any number of times, in order.
    Repeated,
}

/// A field of a job's arguments: none, one or many values of one flag.
pub trait Field: Sized {
    /// How often the flag stands on a command line.
    const ARITY: Arity;
    /// What a value looks like: [`ArgValue::FORMS`].
    const FORMS: &'static str;
    /// Appends `--flag value` for each value.
    fn to_flags(&self, flag: &'static str, argv: &mut Vec<String>);
    /// Takes the flag's values from a parsed line.
    ///
    /// # Errors
    /// [`ArgError`] naming the flag.
    fn from_flags(flag: &'static str, line: &mut Flags) -> Result<Self, ArgError>;
    /// Calls `see` with the role of each value.
    fn each_role<'a>(&'a self, see: &mut dyn FnMut(Role<'a>));
}

fn push_value(flag: &str, value: &impl ArgValue, argv: &mut Vec<String>) {
    argv.push(format!("--{flag}"));
    argv.push(value.write());
}

fn read_value<T: ArgValue>(flag: &'static str, word: &str) -> Result<T, ArgError> {
    T::read(word).map_err(|reason| ArgError::Invalid {
        flag,
        value: word.to_owned(),
        reason,
    })
}

impl<T: ArgValue> Field for T {
    const ARITY: Arity = Arity::Required;
    const FORMS: &'static str = T::FORMS;
    fn to_flags(&self, flag: &'static str, argv: &mut Vec<String>) {
        push_value(flag, self, argv);
    }
    fn from_flags(flag: &'static str, line: &mut Flags) -> Result<Self, ArgError> {
        Option::<T>::from_flags(flag, line)?.ok_or(ArgError::Missing { flag })
    }
    fn each_role<'a>(&'a self, see: &mut dyn FnMut(Role<'a>)) {
        see(self.role());
    }
}

impl<T: ArgValue> Field for Option<T> {
    const ARITY: Arity = Arity::Optional;
    const FORMS: &'static str = T::FORMS;
    fn to_flags(&self, flag: &'static str, argv: &mut Vec<String>) {
        if let Some(value) = self {
            push_value(flag, value, argv);
        }
    }
    fn from_flags(flag: &'static str, line: &mut Flags) -> Result<Self, ArgError> {
        match line.take(flag).as_slice() {
            [] => Ok(None),
            [word] => read_value(flag, word).map(Some),
            many => Err(ArgError::Repeated {
                flag,
                count: many.len(),
            }),
        }
    }
    fn each_role<'a>(&'a self, see: &mut dyn FnMut(Role<'a>)) {
        if let Some(value) = self {
            see(value.role());
        }
    }
}

impl<T: ArgValue> Field for Vec<T> {
    const ARITY: Arity = Arity::Repeated;
    const FORMS: &'static str = T::FORMS;
    fn to_flags(&self, flag: &'static str, argv: &mut Vec<String>) {
        for value in self {
            push_value(flag, value, argv);
        }
    }
    fn from_flags(flag: &'static str, line: &mut Flags) -> Result<Self, ArgError> {
        line.take(flag)
            .iter()
            .map(|word| read_value(flag, word))
            .collect()
    }
    fn each_role<'a>(&'a self, see: &mut dyn FnMut(Role<'a>)) {
        for value in self {
            see(value.role());
        }
    }
}

/// A command line split into flags and their values.
#[derive(Debug, Default)]
pub struct Flags(BTreeMap<String, Vec<String>>);

impl Flags {
    /// Splits `--flag value` pairs; `--flag=value` is the same.
    ///
    /// # Errors
    /// [`ArgError`] at the first word that is neither.
    pub fn split<S: AsRef<str>>(argv: &[S]) -> Result<Self, ArgError> {
        let mut flags = BTreeMap::<String, Vec<String>>::new();
        let mut words = argv.iter().map(AsRef::as_ref);
        while let Some(word) = words.next() {
            let Some(flag) = word.strip_prefix("--").filter(|flag| !flag.is_empty()) else {
                return Err(ArgError::Unknown {
                    word: word.to_owned(),
                });
            };
            let (flag, value) = match flag.split_once('=') {
                Some((flag, value)) => (flag, value),
                None => (
                    flag,
                    words.next().ok_or_else(|| ArgError::NoValue {
                        flag: word.to_owned(),
                    })?,
                ),
            };
            flags.entry(flag.to_owned()).or_default().push(value.to_owned());
        }
        Ok(Self(flags))
    }

    fn take(&mut self, flag: &str) -> Vec<String> {
        self.0.remove(flag).unwrap_or_default()
    }

    /// Refuses flags nobody took.
    ///
    /// # Errors
    /// [`ArgError::Unknown`] with the first of them.
    pub fn finish(self) -> Result<(), ArgError> {
        match self.0.into_keys().next() {
            Some(flag) => Err(ArgError::Unknown {
                word: format!("--{flag}"),
            }),
            None => Ok(()),
        }
    }
}

/// A flag of a job, for building help.
#[derive(Debug, Clone, Copy)]
pub struct FlagInfo {
    /// The flag without its dashes.
    pub flag: &'static str,
    /// What it sets, in a sentence.
    pub help: &'static str,
    /// How often it stands on a command line.
    pub arity: Arity,
    /// What a value looks like, a line each; empty where `help` says it.
    pub forms: &'static str,
}

/// The arguments of one kind of job.
pub trait JobArgs: Sized {
    /// The subcommand.
    const NAME: &'static str;
    /// What the job does, in a sentence.
    const ABOUT: &'static str;
    /// Its flags, in the order they are written.
    const FLAGS: &'static [FlagInfo];
    /// The command line, starting with the subcommand.
    fn to_argv(&self) -> Vec<String>;
    /// The inverse of [`JobArgs::to_argv`], without the subcommand.
    ///
    /// # Errors
    /// [`ArgError`] naming the flag and the value.
    fn from_argv<S: AsRef<str>>(argv: &[S]) -> Result<Self, ArgError>;
    /// Calls `see` with the role of each value, in the order of the flags.
    fn roles<'a>(&'a self, see: &mut dyn FnMut(Role<'a>));

    /// The files the job reads, wherever they are.
    fn inputs(&self) -> Vec<&str> {
        let mut files = Vec::new();
        self.roles(&mut |role| {
            if let Role::Input(file) | Role::ReadInPlace(file) = role {
                files.push(file)
            }
        });
        files
    }

    /// The file an interrupted job leaves for its next attempt.
    fn checkpoint(&self) -> Option<&str> {
        let mut found = None;
        self.roles(&mut |role| {
            if let Role::Checkpoint(file) = role {
                found = Some(file)
            }
        });
        found
    }

    /// The files the job must write, wherever they are kept.
    fn outputs(&self) -> Vec<&str> {
        let mut files = Vec::new();
        self.roles(&mut |role| {
            if let Role::Output(file) | Role::WrittenInPlace(file) = role {
                files.push(file)
            }
        });
        files
    }
}

/// Declares a job's arguments: a struct whose fields are flags.
#[macro_export]
macro_rules! job_args {
    (
        #[doc = $about:literal]
        $(#[$meta:meta])*
        pub struct $name:ident($job:literal) {
            $( #[doc = $help:literal] $(#[doc = $more:literal])* $field:ident: $kind:ty => $flag:literal, )*
        }
    ) => {
        #[doc = $about]
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq)]
        pub struct $name {
            $( #[doc = $help] $(#[doc = $more])* pub $field: $kind, )*
        }

        impl $crate::argv::JobArgs for $name {
            const NAME: &'static str = $job;
            const ABOUT: &'static str = $about;
            const FLAGS: &'static [$crate::argv::FlagInfo] = &[
                $( $crate::argv::FlagInfo {
                    flag: $flag,
                    help: $help,
                    arity: <$kind as $crate::argv::Field>::ARITY,
                    forms: <$kind as $crate::argv::Field>::FORMS,
                }, )*
            ];

            fn to_argv(&self) -> Vec<String> {
                let mut argv = vec![$job.to_owned()];
                $( $crate::argv::Field::to_flags(&self.$field, $flag, &mut argv); )*
                argv
            }

            fn from_argv<S: AsRef<str>>(argv: &[S]) -> Result<Self, $crate::argv::ArgError> {
                let mut line = $crate::argv::Flags::split(argv)?;
                let args = Self { $( $field: $crate::argv::Field::from_flags($flag, &mut line)?, )* };
                line.finish()?;
                Ok(args)
            }

            fn roles<'a>(&'a self, see: &mut dyn FnMut($crate::argv::Role<'a>)) {
                $( $crate::argv::Field::each_role(&self.$field, see); )*
            }
        }
    };
}

macro_rules! from_str_values {
    ($($kind:ty),* $(,)?) => { $(
        impl ArgValue for $kind {
            fn write(&self) -> String {
                self.to_string()
            }
            fn read(word: &str) -> Result<Self, String> {
                <$kind as FromStr>::from_str(word).map_err(|error| error.to_string())
            }
        }
    )* };
}

from_str_values!(
    crate::dataset::Part,
    u32,
    u64,
    crate::ids::ExperimentName,
    crate::ids::DatasetName,
    crate::ids::ClientId,
    crate::ids::Round,
    crate::ids::Seed,
    crate::ids::SpecDigest,
);

impl ArgValue for f64 {
    fn write(&self) -> String {
        // `{:?}` is the shortest text that reads back to the same bits.
        format!("{self:?}")
    }
    fn read(word: &str) -> Result<Self, String> {
        let value: f64 = word.parse().map_err(|_| "not a number".to_owned())?;
        if value.is_finite() {
            Ok(value)
        } else {
            Err("not a finite number".to_owned())
        }
    }
}

macro_rules! file_value {
    ($(#[$doc:meta])* $name:ident, $role:ident, $in_place:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The path as the job sees it: when planned, a plain name inside its directory, or the absolute path of a file
            /// that is kept where it is; any path by hand.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The path as the job sees it.
            pub fn path(&self) -> &std::path::Path {
                std::path::Path::new(&*self.0)
            }
        }

        impl From<&str> for $name {
            fn from(path: &str) -> Self {
                Self(path.into())
            }
        }

        impl From<&crate::names::FileName> for $name {
            fn from(name: &crate::names::FileName) -> Self {
                Self(name.shared())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl ArgValue for $name {
            fn write(&self) -> String {
                escape(&self.0)
            }
            fn read(word: &str) -> Result<Self, String> {
                let path = unescape(word)?;
                if path.is_empty() { Err("an empty path".to_owned()) } else { Ok(Self(path.into())) }
            }
            fn role(&self) -> Role<'_> {
                if self.0.starts_with('/') { Role::$in_place(&self.0) } else { Role::$role(&self.0) }
            }
        }
    };
}

file_value! {
    /// A file a job reads.
    InputFile, Input, ReadInPlace
}
file_value! {
    /// A file a job must write.
    OutputFile, Output, WrittenInPlace
}
file_value! {
    /// A file an interrupted job leaves for its next attempt.
    CheckpointFile, Checkpoint, Checkpoint
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b':' | b'=' | b',' | b'/' | b'@' | b'-')
}

/// Replaces every byte outside the plain alphabet by `%XX`.
pub fn escape(text: &str) -> String {
    let mut word = String::with_capacity(text.len());
    for byte in text.bytes() {
        if is_plain(byte) {
            word.push(char::from(byte));
        } else {
            word.push_str(&format!("%{byte:02X}"));
        }
    }
    word
}

/// The inverse of [`escape`]; bytes that need no escape may stand as they are.
///
/// # Errors
/// A `%` without two hexadecimal digits, or bytes that are not UTF-8.
pub fn unescape(word: &str) -> Result<String, String> {
    let mut bytes = Vec::with_capacity(word.len());
    let mut rest = word.as_bytes();
    while let [first, tail @ ..] = rest {
        if *first == b'%' {
            let digits = tail.get(..2).and_then(|d| std::str::from_utf8(d).ok());
            let digits = digits.filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()));
            let byte = digits.and_then(|d| u8::from_str_radix(d, 16).ok());
            bytes.push(byte.ok_or_else(|| "`%` needs two hexadecimal digits".to_owned())?);
            rest = &tail[2..];
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    String::from_utf8(bytes).map_err(|_| "not UTF-8".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn unescape_inverts_escape(text in "\\PC*") {
            let word = escape(&text);
            prop_assert!(word.bytes().all(|b| is_plain(b) || b == b'%'));
            prop_assert_eq!(unescape(&word), Ok(text));
        }

        #[test]
        fn unescape_never_panics(word in "\\PC*") {
            let _ = unescape(&word);
        }
    }
}

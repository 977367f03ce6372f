//! Two macros that make a type, its reader and its JSON Schema from one declaration.
//!
//! `mapping!` declares a mapping: each field is `required`, `optional` or `default` with `= value`. `choice!` declares a word
//! with or without settings. Because field names, defaults and documentation are written once, the reader and the
//! schema cannot disagree.

/// Declares a mapping of the specification.
///
/// Every field becomes an `Option<At<T>>`. `None` means absent for `optional` fields and otherwise that a mistake has
/// been reported.
macro_rules! mapping {
    (
        $(#[doc = $doc:literal])*
        pub struct $name:ident {
            $( $(#[doc = $field_doc:literal])* $field:ident: $presence:ident $type:ty $(= $default:expr)?, )*
        }
    ) => {
        $(#[doc = $doc])*
        #[derive(Debug, Clone, PartialEq)]
        pub struct $name {
            $( $(#[doc = $field_doc])* pub $field: Option<$crate::spec::decode::At<$type>>, )*
        }

        impl $crate::spec::decode::Written for $name {
            fn read(
                node: &$crate::spec::tree::Node,
                place: $crate::spec::decode::Place<'_>,
                found: &mut $crate::spec::decode::Found,
            ) -> Option<Self> {
                const KNOWN: &[&str] = &[$( stringify!($field), )*];
                let mut fields = $crate::spec::decode::Fields::open(node, place, KNOWN, found)?;
                $( let $field = $crate::spec::written::mapping!(@read fields $presence $(($default))? $field); )*
                fields.close();
                Some(Self { $( $field, )* })
            }

            fn bare(_place: $crate::spec::decode::Place<'_>) -> Option<Self> {
                Some(Self {
                    $( $field: $crate::spec::written::mapping!(@bare _place $presence $(($default))?), )*
                })
            }
        }

        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
                let fields = [$(
                    $crate::spec::schema::Property {
                        name: stringify!($field),
                        description: concat!($( $field_doc, "\n", )*),
                        presence: $crate::spec::written::mapping!(@presence $presence $(($default))?),
                        schema: generator.subschema_for::<$type>(),
                    },
                )*];
                $crate::spec::schema::object(concat!($( $doc, "\n", )*), fields)
            }
        }
    };

    (@read $fields:ident required $field:ident) => { $fields.required(stringify!($field)) };
    (@read $fields:ident optional $field:ident) => { $fields.optional(stringify!($field)) };
    (@read $fields:ident default($default:expr) $field:ident) => {
        $fields.default(stringify!($field), $crate::spec::leaf::literal($default))
    };

    (@bare $place:ident required) => { None? };
    (@bare $place:ident optional) => { None };
    (@bare $place:ident default($default:expr)) => {
        Some($crate::spec::decode::At { value: $crate::spec::leaf::literal($default), span: $place.span })
    };

    (@presence required) => { $crate::spec::schema::Presence::Required };
    (@presence optional) => { $crate::spec::schema::Presence::Optional };
    (@presence default($default:expr)) => {
        $crate::spec::schema::Presence::Default(serde_json::json!($default))
    };
}

/// Declares a word that may have settings: `word` or `{word: settings}`.
macro_rules! choice {
    (
        $(#[doc = $doc:literal])*
        pub enum $name:ident {
            $( $(#[doc = $variant_doc:literal])* $variant:ident $(($type:ty))? = $word:literal, )*
        }
    ) => {
        $(#[doc = $doc])*
        #[derive(Debug, Clone, PartialEq)]
        pub enum $name {
            $( $(#[doc = $variant_doc])* $variant $(($crate::spec::decode::At<$type>))?, )*
        }

        impl $name {
            /// The words, in the order declared.
            pub const WORDS: &'static [&'static str] = &[$( $word, )*];
        }

        impl $crate::spec::decode::Written for $name {
            fn read(
                node: &$crate::spec::tree::Node,
                place: $crate::spec::decode::Place<'_>,
                found: &mut $crate::spec::decode::Found,
            ) -> Option<Self> {
                let choice = $crate::spec::decode::choice(node, place, Self::WORDS, found)?;
                match choice.word {
                    $( $word => $crate::spec::written::choice!(@read choice place found $variant $(($type))?), )*
                    _ => None,
                }
            }
        }

        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
                let alternatives = [$( $crate::spec::written::choice!(
                    @schema _generator $word concat!($( $variant_doc, "\n", )*) ; $(($type))?
                ), )*];
                $crate::spec::schema::one_of(concat!($( $doc, "\n", )*), alternatives.concat())
            }
        }
    };

    (@read $choice:ident $place:ident $found:ident $variant:ident) => {
        match $choice.settings {
            None => Some(Self::$variant),
            Some(node) => {
                $crate::spec::decode::no_settings($choice.word, node, $place, $found);
                None
            }
        }
    };
    (@read $choice:ident $place:ident $found:ident $variant:ident ($type:ty)) => {{
        let place = $crate::spec::decode::Place { name: $choice.word, span: $choice.span };
        match $choice.settings {
            Some(node) => $crate::spec::decode::at::<$type>(node, place, $found).map(Self::$variant),
            None => match <$type as $crate::spec::decode::Written>::bare(place) {
                Some(value) => Some(Self::$variant($crate::spec::decode::At { value, span: place.span })),
                None => {
                    $crate::spec::decode::needs_settings($choice.word, place.span, $found);
                    None
                }
            },
        }
    }};

    (@schema $generator:ident $word:literal $doc:expr ;) => {
        vec![$crate::spec::schema::word($word, $doc)]
    };
    (@schema $generator:ident $word:literal $doc:expr ; ($type:ty)) => {{
        let settings = $generator.subschema_for::<$type>();
        let place = $crate::spec::decode::Place { name: $word, span: $crate::diag::Span::default() };
        let bare = <$type as $crate::spec::decode::Written>::bare(place);
        let bare = bare.map(|_| $crate::spec::schema::word($word, $doc));
        bare.into_iter().chain([$crate::spec::schema::word_with($word, $doc, settings)]).collect::<Vec<_>>()
    }};
}

pub(crate) use choice;
pub(crate) use mapping;

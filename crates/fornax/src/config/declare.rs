//! What a configuration key is, and the macro that turns one declaration into the typed tree, the table of keys, and the
//! function that fills the tree.

/// One layer's value of a key, before it has a type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Raw {
    /// Text, or a number or boolean written as text.
    Text(String),
    /// A list, which only a TOML array can give; text lists are comma-separated.
    List(Vec<String>),
}

/// A type that a key can have.
pub trait Value: Sized {
    /// What to write, for the reference: `true or false`.
    const KIND: &'static str;
    /// Never printed.
    const SECRET: bool = false;
    /// Written without quotes in TOML.
    const BARE: bool = false;
    /// Written as an array in TOML.
    const LIST: bool = false;

    /// Reads a layer's value.
    ///
    /// # Errors
    /// What is wrong, to be read after the key's name: `is not a number`.
    fn read(raw: &Raw) -> Result<Self, String>;

    /// The value as one would write it.
    fn show(&self) -> String;
}

/// What is known about a key without its value.
pub struct KeyFact {
    /// Whole name: `server.bind`.
    pub name: &'static str,
    /// Last part of the name.
    pub key: &'static str,
    /// What to write.
    pub kind: &'static str,
    /// The value when no layer gives one.
    pub default: &'static str,
    /// Help, line by line.
    pub help: &'static [&'static str],
    /// Never printed.
    pub secret: bool,
    /// Written without quotes in TOML.
    pub bare: bool,
    /// Written as an array in TOML.
    pub list: bool,
    /// Reads a value only to see whether it is valid, and shows it in its usual spelling.
    pub check: fn(&Raw) -> Result<String, String>,
}

/// A table of the file.
pub struct SectionFact {
    /// Its name.
    pub name: &'static str,
    /// Help, line by line.
    pub help: &'static [&'static str],
    /// Its keys, in the order of the reference.
    pub keys: &'static [KeyFact],
}

/// Declares all sections and keys; see [`super::keys`].
macro_rules! settings {
    ($($(#[doc = $section_help:literal])+ $section:ident: $section_type:ident {
        $($(#[doc = $help:literal])+ $key:ident: $type:ty = $default:literal,)+
    })+) => {
        $($(#[doc = $section_help])+
        #[derive(Debug, Clone)]
        pub struct $section_type {
            $($(#[doc = $help])+ pub $key: $type,)+
        })+

        /// The whole configuration, typed.
        #[derive(Debug, Clone)]
        pub struct Settings {
            $($(#[doc = $section_help])+ pub $section: $section_type,)+
        }

        /// Every section and key.
        pub const SECTIONS: &[SectionFact] = &[$(SectionFact {
            name: stringify!($section),
            help: &[$($section_help),+],
            keys: &[$(KeyFact {
                name: concat!(stringify!($section), ".", stringify!($key)),
                key: stringify!($key),
                kind: <$type as Value>::KIND,
                default: $default,
                help: &[$($help),+],
                secret: <$type as Value>::SECRET,
                bare: <$type as Value>::BARE,
                list: <$type as Value>::LIST,
                check: |raw| <$type as Value>::read(raw).map(|value| value.show()),
            }),+],
        }),+];

        /// Fills the tree from one value per key.
        ///
        /// # Errors
        /// The first value that its type does not take.
        pub fn build(raw: &dyn Fn(&'static str) -> Raw) -> Result<Settings, String> {
            Ok(Settings {
                $($section: $section_type {
                    $($key: <$type as Value>::read(&raw(concat!(stringify!($section), ".", stringify!($key))))?,)+
                },)+
            })
        }
    };
}

pub(super) use settings;

//! The types that keys have, each read from text and shown as text.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use platform::Secret;

use super::declare::{Raw, Value};

fn text(raw: &Raw) -> Result<&str, String> {
    match raw {
        Raw::Text(text) => Ok(text.trim()),
        Raw::List(_) => Err("takes one value, not a list".to_owned()),
    }
}

/// Types whose text `FromStr` reads.
macro_rules! parsed {
    ($($type:ty, $kind:literal, $bare:literal;)+) => {$(
        impl Value for $type {
            const KIND: &'static str = $kind;
            const BARE: bool = $bare;

            fn read(raw: &Raw) -> Result<Self, String> {
                let text = text(raw)?;
                text.parse().map_err(|_| format!("must be {}, not \"{text}\"", $kind))
            }

            fn show(&self) -> String {
                self.to_string()
            }
        }
    )+};
}

parsed! {
    bool, "true or false", true;
    u32, "a whole number", true;
    f64, "a number", true;
    SocketAddr, "an address and port such as 127.0.0.1:8080", false;
}

impl Value for String {
    const KIND: &'static str = "text";

    fn read(raw: &Raw) -> Result<Self, String> {
        text(raw).map(str::to_owned)
    }

    fn show(&self) -> String {
        self.clone()
    }
}

impl Value for PathBuf {
    const KIND: &'static str = "a path";

    fn read(raw: &Raw) -> Result<Self, String> {
        text(raw).map(PathBuf::from)
    }

    fn show(&self) -> String {
        self.display().to_string()
    }
}

impl Value for Secret {
    const KIND: &'static str = "secret text";
    const SECRET: bool = true;

    fn read(raw: &Raw) -> Result<Self, String> {
        text(raw).map(Secret::from)
    }

    fn show(&self) -> String {
        if self.is_empty() {
            String::new()
        } else {
            self.to_string()
        }
    }
}

impl Value for Vec<String> {
    const KIND: &'static str = "a list of texts (comma-separated outside of the file)";
    const LIST: bool = true;

    fn read(raw: &Raw) -> Result<Self, String> {
        Ok(match raw {
            Raw::List(items) => items.clone(),
            Raw::Text(text) => text
                .split(',')
                .map(str::trim)
                .filter(|item| !item.is_empty())
                .map(str::to_owned)
                .collect(),
        })
    }

    fn show(&self) -> String {
        self.join(", ")
    }
}

impl<T: Value> Value for Option<T> {
    const KIND: &'static str = T::KIND;

    fn read(raw: &Raw) -> Result<Self, String> {
        if text(raw)?.is_empty() {
            Ok(None)
        } else {
            T::read(raw).map(Some)
        }
    }

    fn show(&self) -> String {
        self.as_ref().map(Value::show).unwrap_or_default()
    }
}

/// A value, or the product's own choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Auto<T> {
    /// Chosen when it is needed.
    Auto,
    /// Exactly this.
    Exactly(T),
}

impl<T: Copy> Auto<T> {
    /// The given value, if there is one.
    pub fn given(self) -> Option<T> {
        match self {
            Auto::Auto => None,
            Auto::Exactly(value) => Some(value),
        }
    }
}

impl<T: Value> Value for Auto<T> {
    const KIND: &'static str = T::KIND;

    fn read(raw: &Raw) -> Result<Self, String> {
        if text(raw)? == "auto" {
            return Ok(Auto::Auto);
        }
        T::read(raw)
            .map(Auto::Exactly)
            .map_err(|reason| format!("{reason}; or \"auto\""))
    }

    fn show(&self) -> String {
        match self {
            Auto::Auto => "auto".to_owned(),
            Auto::Exactly(value) => value.show(),
        }
    }
}

/// A number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ByteCount(pub u64);

const BYTE_UNITS: [(&str, u64); 9] = [
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("B", 1),
];

impl Value for ByteCount {
    const KIND: &'static str = "a size such as 512MiB or 8GiB";

    fn read(raw: &Raw) -> Result<Self, String> {
        let text = text(raw)?;
        let refuse = || format!("must be {}, not \"{text}\"", Self::KIND);
        let digits = text
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(text.len());
        let (number, unit) = (&text[..digits], text[digits..].trim());
        let factor = if unit.is_empty() {
            1
        } else {
            BYTE_UNITS
                .iter()
                .find(|(name, _)| name.eq_ignore_ascii_case(unit))
                .ok_or_else(refuse)?
                .1
        };
        if let Ok(whole) = number.parse::<u64>() {
            return whole.checked_mul(factor).map(ByteCount).ok_or_else(refuse);
        }
        let fraction: f64 = number.parse().map_err(|_| refuse())?;
        // Fractions such as 1.5GiB are far below 2^53 bytes, where a double counts exactly.
        Ok(ByteCount((fraction * factor as f64) as u64))
    }

    fn show(&self) -> String {
        for (name, factor) in BYTE_UNITS[..4].iter().rev() {
            if self.0 > 0 && self.0.is_multiple_of(*factor) {
                return format!("{}{name}", self.0 / factor);
            }
        }
        self.0.to_string()
    }
}

/// A length of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span(pub Duration);

const TIME_UNITS: [(&str, u64); 5] = [
    ("ms", 1),
    ("s", 1000),
    ("m", 60_000),
    ("h", 3_600_000),
    ("d", 86_400_000),
];

/// Reads `90s`, `5m`, `1h`, `250ms`, `2d`.
pub fn read_duration(text: &str) -> Option<Duration> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (_, factor) = TIME_UNITS
        .iter()
        .find(|(unit, _)| *unit == text[digits..].trim())?;
    text[..digits]
        .parse::<u64>()
        .ok()?
        .checked_mul(*factor)
        .map(Duration::from_millis)
}

/// The shortest spelling that [`read_duration`] reads.
pub fn show_duration(duration: Duration) -> String {
    let milliseconds = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let (unit, factor) = TIME_UNITS
        .iter()
        .rev()
        .find(|(_, factor)| milliseconds > 0 && milliseconds.is_multiple_of(*factor))
        .unwrap_or(&("s", 1000));
    format!("{}{unit}", milliseconds / factor)
}

impl Value for Span {
    const KIND: &'static str = "a time such as 250ms, 30s, 5m, 2h";

    fn read(raw: &Raw) -> Result<Self, String> {
        let text = text(raw)?;
        read_duration(text)
            .map(Span)
            .ok_or_else(|| format!("must be {}, not \"{text}\"", Self::KIND))
    }

    fn show(&self) -> String {
        show_duration(self.0)
    }
}

/// How long something is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// This long after its last use.
    For(Duration),
    /// Until its room is needed.
    Forever,
}

impl Value for Keep {
    const KIND: &'static str = "a time such as 30s, 5m, 2h, or forever";

    fn read(raw: &Raw) -> Result<Self, String> {
        let text = text(raw)?;
        if text == "forever" {
            return Ok(Keep::Forever);
        }
        read_duration(text)
            .map(Keep::For)
            .ok_or_else(|| format!("must be {}, not \"{text}\"", Self::KIND))
    }

    fn show(&self) -> String {
        match self {
            Keep::For(duration) => show_duration(*duration),
            Keep::Forever => "forever".to_owned(),
        }
    }
}

/// A closed set of words.
macro_rules! words {
    ($($(#[doc = $help:literal])+ $type:ident, $kind:literal { $($(#[doc = $word_help:literal])+ $variant:ident = $word:literal,)+ })+) => {$(
        $(#[doc = $help])+
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $type {
            $($(#[doc = $word_help])+ $variant,)+
        }

        impl $type {
            /// The word itself.
            pub fn word(self) -> &'static str {
                match self {
                    $($type::$variant => $word,)+
                }
            }
        }

        impl Value for $type {
            const KIND: &'static str = $kind;

            fn read(raw: &Raw) -> Result<Self, String> {
                match text(raw)? {
                    $($word => Ok($type::$variant),)+
                    other => Err(format!("must be {}, not \"{other}\"", $kind)),
                }
            }

            fn show(&self) -> String {
                self.word().to_owned()
            }
        }
    )+};
}

words! {
    /// How log lines look.
    LogFormat, "pretty or json" {
        /// For people.
        Pretty = "pretty",
        /// For machines.
        Json = "json",
    }
    /// How idle engine threads wait.
    WaitPolicy, "auto, passive or active" {
        /// Passive when cores are shared.
        Auto = "auto",
        /// Sleep.
        Passive = "passive",
        /// Spin.
        Active = "active",
    }
    /// How the token cache is stored.
    CacheType, "f16 or q8_0" {
        /// Two bytes per number.
        Half = "f16",
        /// About one byte per number.
        Byte = "q8_0",
    }
    /// When a write to a collection is answered.
    Durability, "on-request or always" {
        /// When its caller asked to wait: on disk; otherwise when it is visible.
        OnRequest = "on-request",
        /// When it is on disk, whoever asks.
        Always = "always",
    }
    /// Where science models compute.
    ScienceDevice, "auto, cpu, cuda or metal" {
        /// The best there is.
        Auto = "auto",
        /// The processor.
        Cpu = "cpu",
        /// An NVIDIA graphics processor.
        Cuda = "cuda",
        /// An Apple graphics processor.
        Metal = "metal",
    }
    /// Whether attention is computed without its whole matrix.
    FlashAttention, "auto, on or off" {
        /// Where the engine says it helps.
        Auto = "auto",
        /// Always.
        On = "on",
        /// Never.
        Off = "off",
    }
}

//! The numbers of the GGUF format: value types, tensor types with their block layouts, keys and file types.
//! Readers and the writer share them.

/// First four bytes of every file.
pub const MAGIC: [u8; 4] = *b"GGUF";
/// The version that we write; 2 and 3 are read (they differ only in that 3 allows big-endian files).
pub const VERSION: u32 = 3;
/// Alignment of tensor data when `general.alignment` is absent, in bytes.
pub const ALIGNMENT_DEFAULT: u64 = 32;
/// Most dimensions of a tensor in ggml.
pub const DIMENSIONS_MAX: usize = 4;
/// Longest tensor name in bytes: ggml keeps 64 with the closing zero.
pub const TENSOR_NAME_BYTES_MAX: usize = 63;

/// Metadata keys that more than one place names.
pub mod keys {
    #![expect(missing_docs, reason = "each constant is the key that its name spells")]
    pub const ALIGNMENT: &str = "general.alignment";
    pub const ARCHITECTURE: &str = "general.architecture";
    pub const FILE_TYPE: &str = "general.file_type";
    pub const QUANTIZATION_VERSION: &str = "general.quantization_version";
    pub const NAME: &str = "general.name";
    pub const BASENAME: &str = "general.basename";
    pub const LICENSE: &str = "general.license";
    pub const LANGUAGES: &str = "general.languages";
    pub const TYPE: &str = "general.type";
    pub const SPLIT_COUNT: &str = "split.count";
    pub const CHAT_TEMPLATE: &str = "tokenizer.chat_template";
    pub const CHAT_TEMPLATES: &str = "tokenizer.chat_templates";
    pub const TOKENIZER_MODEL: &str = "tokenizer.ggml.model";
    pub const TOKENIZER_PRE: &str = "tokenizer.ggml.pre";
    pub const TOKENS: &str = "tokenizer.ggml.tokens";
    pub const TOKEN_SCORES: &str = "tokenizer.ggml.scores";
    pub const TOKEN_TYPES: &str = "tokenizer.ggml.token_type";
    pub const MERGES: &str = "tokenizer.ggml.merges";
    pub const BOS_TOKEN_ID: &str = "tokenizer.ggml.bos_token_id";
    pub const EOS_TOKEN_ID: &str = "tokenizer.ggml.eos_token_id";
    pub const ADD_BOS_TOKEN: &str = "tokenizer.ggml.add_bos_token";
    pub const ADD_EOS_TOKEN: &str = "tokenizer.ggml.add_eos_token";
    /// Ours: whether embeddings are to be scaled to length one. Others ignore it.
    pub const NORMALIZE: &str = "fornax.embedding.normalize";
}

/// Type of a metadata value, with its number in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are the format's own")]
#[repr(u32)]
pub enum ValueType {
    Uint8 = 0,
    Int8 = 1,
    Uint16 = 2,
    Int16 = 3,
    Uint32 = 4,
    Int32 = 5,
    Float32 = 6,
    Bool = 7,
    String = 8,
    Array = 9,
    Uint64 = 10,
    Int64 = 11,
    Float64 = 12,
}

impl ValueType {
    /// The type with this number.
    #[must_use]
    pub fn from_number(number: u32) -> Option<Self> {
        Some(match number {
            0 => Self::Uint8,
            1 => Self::Int8,
            2 => Self::Uint16,
            3 => Self::Int16,
            4 => Self::Uint32,
            5 => Self::Int32,
            6 => Self::Float32,
            7 => Self::Bool,
            8 => Self::String,
            9 => Self::Array,
            10 => Self::Uint64,
            11 => Self::Int64,
            12 => Self::Float64,
            _ => return None,
        })
    }

    /// Bytes of one value; `None` for strings and arrays, which carry their length.
    #[must_use]
    pub fn fixed_bytes(self) -> Option<u64> {
        Some(match self {
            Self::Uint8 | Self::Int8 | Self::Bool => 1,
            Self::Uint16 | Self::Int16 => 2,
            Self::Uint32 | Self::Int32 | Self::Float32 => 4,
            Self::Uint64 | Self::Int64 | Self::Float64 => 8,
            Self::String | Self::Array => return None,
        })
    }
}

/// One row of the table of tensor types.
struct TensorTypeFacts {
    kind: TensorType,
    name: &'static str,
    block_elements: u64,
    block_bytes: u64,
}

macro_rules! tensor_types {
    ($($name:ident = $number:literal, $label:literal, $elements:literal, $bytes:literal;)*) => {
        /// How the elements of a tensor are stored, with ggml's number for it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[expect(missing_docs, reason = "the names are ggml's own")]
        #[expect(non_camel_case_types, reason = "the names are ggml's own")]
        #[repr(u32)]
        pub enum TensorType { $($name = $number,)* }

        /// Elements and bytes of one block, as ggml lays it out.
        const TENSOR_TYPES: &[TensorTypeFacts] = &[
            $(TensorTypeFacts { kind: TensorType::$name, name: $label, block_elements: $elements, block_bytes: $bytes },)*
        ];
    };
}

tensor_types! {
    F32 = 0, "F32", 1, 4;
    F16 = 1, "F16", 1, 2;
    Q4_0 = 2, "Q4_0", 32, 18;
    Q4_1 = 3, "Q4_1", 32, 20;
    Q5_0 = 6, "Q5_0", 32, 22;
    Q5_1 = 7, "Q5_1", 32, 24;
    Q8_0 = 8, "Q8_0", 32, 34;
    Q8_1 = 9, "Q8_1", 32, 36;
    Q2_K = 10, "Q2_K", 256, 84;
    Q3_K = 11, "Q3_K", 256, 110;
    Q4_K = 12, "Q4_K", 256, 144;
    Q5_K = 13, "Q5_K", 256, 176;
    Q6_K = 14, "Q6_K", 256, 210;
    Q8_K = 15, "Q8_K", 256, 292;
    IQ2_XXS = 16, "IQ2_XXS", 256, 66;
    IQ2_XS = 17, "IQ2_XS", 256, 74;
    IQ3_XXS = 18, "IQ3_XXS", 256, 98;
    IQ1_S = 19, "IQ1_S", 256, 50;
    IQ4_NL = 20, "IQ4_NL", 32, 18;
    IQ3_S = 21, "IQ3_S", 256, 110;
    IQ2_S = 22, "IQ2_S", 256, 82;
    IQ4_XS = 23, "IQ4_XS", 256, 136;
    I8 = 24, "I8", 1, 1;
    I16 = 25, "I16", 1, 2;
    I32 = 26, "I32", 1, 4;
    I64 = 27, "I64", 1, 8;
    F64 = 28, "F64", 1, 8;
    IQ1_M = 29, "IQ1_M", 256, 56;
    BF16 = 30, "BF16", 1, 2;
    TQ1_0 = 34, "TQ1_0", 256, 54;
    TQ2_0 = 35, "TQ2_0", 256, 66;
    MXFP4 = 39, "MXFP4", 32, 17;
    NVFP4 = 40, "NVFP4", 64, 36;
    Q1_0 = 41, "Q1_0", 128, 18;
    Q2_0 = 42, "Q2_0", 64, 18;
}

impl TensorType {
    /// The type with ggml's `number`.
    #[must_use]
    pub fn from_number(number: u32) -> Option<Self> {
        TENSOR_TYPES
            .iter()
            .map(|facts| facts.kind)
            .find(|kind| kind.number() == number)
    }

    /// ggml's number for this type.
    #[must_use]
    pub fn number(self) -> u32 {
        self as u32
    }

    fn facts(self) -> &'static TensorTypeFacts {
        TENSOR_TYPES
            .iter()
            .find(|facts| facts.kind == self)
            .expect("the enum and its table come from one list")
    }

    /// ggml's name: `Q4_0`.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.facts().name
    }

    /// Elements in one block; 1 for plain types.
    #[must_use]
    pub fn block_elements(self) -> u64 {
        self.facts().block_elements
    }

    /// Bytes of one block.
    #[must_use]
    pub fn block_bytes(self) -> u64 {
        self.facts().block_bytes
    }

    /// Bytes of `elements` elements; `None` when they are no whole number of blocks or the size overflows.
    #[must_use]
    pub fn bytes_of(self, elements: u64) -> Option<u64> {
        let facts = self.facts();
        if !elements.is_multiple_of(facts.block_elements) {
            return None;
        }
        (elements / facts.block_elements).checked_mul(facts.block_bytes)
    }
}

/// The label of a `general.file_type` number (llama.cpp's numbering): `15` is `Q4_K_M`.
#[must_use]
pub fn file_type_label(number: u64) -> Option<&'static str> {
    Some(match number {
        0 => "F32",
        1 => "F16",
        2 => "Q4_0",
        3 => "Q4_1",
        7 => "Q8_0",
        8 => "Q5_0",
        9 => "Q5_1",
        10 => "Q2_K",
        11 => "Q3_K_S",
        12 => "Q3_K_M",
        13 => "Q3_K_L",
        14 => "Q4_K_S",
        15 => "Q4_K_M",
        16 => "Q5_K_S",
        17 => "Q5_K_M",
        18 => "Q6_K",
        19 => "IQ2_XXS",
        20 => "IQ2_XS",
        21 => "Q2_K_S",
        22 => "IQ3_XS",
        23 => "IQ3_XXS",
        24 => "IQ1_S",
        25 => "IQ4_NL",
        26 => "IQ3_S",
        27 => "IQ3_M",
        28 => "IQ2_S",
        29 => "IQ2_M",
        30 => "IQ4_XS",
        31 => "IQ1_M",
        32 => "BF16",
        36 => "TQ1_0",
        37 => "TQ2_0",
        38 => "MXFP4",
        39 => "NVFP4",
        40 => "Q1_0",
        41 => "Q2_0",
        _ => return None,
    })
}

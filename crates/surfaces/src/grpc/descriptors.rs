//! The proto files as the build left them: what reflection shows, and what [`super::census`] walks messages by.

use std::collections::{BTreeMap, HashMap};
use std::sync::LazyLock;

use prost::Message;
use prost_types::{DescriptorProto, EnumDescriptorProto, FileDescriptorProto, FileDescriptorSet};

/// Encoded `google.protobuf.FileDescriptorSet`; imports stand before the files that need them.
const ENCODED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// Every file, message and symbol.
pub static DESCRIPTORS: LazyLock<Descriptors> = LazyLock::new(|| {
    // The build wrote these bytes into this very program; a set without files serves no symbol and walks no message.
    Descriptors::of(FileDescriptorSet::decode(ENCODED).unwrap_or_default())
});

/// What a field of a message holds, as far as walking the message needs to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holds {
    /// A message of this number.
    Message(usize),
    /// A string or bytes.
    Text,
}

/// Indexed by name.
#[derive(Default)]
pub struct Descriptors {
    files: Vec<FileDescriptorProto>,
    by_name: HashMap<String, usize>,
    by_symbol: HashMap<String, usize>,
    services: Vec<String>,
    messages: Vec<BTreeMap<u32, Holds>>,
    message_numbers: HashMap<String, usize>,
}

impl Descriptors {
    fn of(set: FileDescriptorSet) -> Self {
        let mut descriptors = Descriptors::default();
        for (number, file) in set.file.iter().enumerate() {
            descriptors.by_name.insert(file.name().to_owned(), number);
            let package = file.package().to_owned();
            for service in &file.service {
                let name = format!("{package}.{}", service.name());
                for method in &service.method {
                    descriptors.name(format!("{name}.{}", method.name()), number);
                }
                descriptors.services.push(name.clone());
                descriptors.name(name, number);
            }
            for message in &file.message_type {
                descriptors.name_message(&package, message, number);
            }
            for one in &file.enum_type {
                descriptors.name_enum(&package, one, number);
            }
        }
        for file in &set.file {
            for message in &file.message_type {
                descriptors.shape(file.package(), message);
            }
        }
        descriptors.services.sort();
        descriptors.files = set.file;
        descriptors
    }

    fn name(&mut self, symbol: String, file: usize) {
        self.by_symbol.insert(symbol, file);
    }

    fn name_enum(&mut self, scope: &str, one: &EnumDescriptorProto, file: usize) {
        for value in &one.value {
            // Values belong to the scope that their enum stands in.
            self.name(format!("{scope}.{}", value.name()), file);
        }
        self.name(format!("{scope}.{}", one.name()), file);
    }

    fn name_message(&mut self, scope: &str, message: &DescriptorProto, file: usize) {
        let name = format!("{scope}.{}", message.name());
        for field in &message.field {
            self.name(format!("{name}.{}", field.name()), file);
        }
        for nested in &message.nested_type {
            self.name_message(&name, nested, file);
        }
        for one in &message.enum_type {
            self.name_enum(&name, one, file);
        }
        let number = self.messages.len();
        self.messages.push(BTreeMap::new());
        self.message_numbers.insert(name.clone(), number);
        self.name(name, file);
    }

    fn shape(&mut self, scope: &str, message: &DescriptorProto) {
        let name = format!("{scope}.{}", message.name());
        for nested in &message.nested_type {
            self.shape(&name, nested);
        }
        let mut fields = BTreeMap::new();
        for field in &message.field {
            use prost_types::field_descriptor_proto::Type;
            let holds = match field.r#type() {
                Type::Message => self
                    .message(field.type_name().trim_start_matches('.'))
                    .map(Holds::Message),
                Type::String | Type::Bytes => Some(Holds::Text),
                _ => None,
            };
            if let (Some(holds), Ok(number)) = (holds, u32::try_from(field.number())) {
                fields.insert(number, holds);
            }
        }
        if let Some(number) = self.message(&name) {
            self.messages[number] = fields;
        }
    }

    /// The number of the message of this full name.
    pub fn message(&self, name: &str) -> Option<usize> {
        self.message_numbers.get(name).copied()
    }

    /// What the field `tag` of the message number `message` holds, if it is a message or text.
    pub fn holds(&self, message: usize, tag: u32) -> Option<Holds> {
        self.messages.get(message)?.get(&tag).copied()
    }

    /// Full names of all services, sorted.
    pub fn services(&self) -> &[String] {
        &self.services
    }

    /// The file of this name with all that it imports, each encoded, the asked one first.
    pub fn files_of_name(&self, name: &str) -> Option<Vec<Vec<u8>>> {
        self.by_name
            .get(name)
            .map(|number| self.with_imports(*number))
    }

    /// The same for the file that declares a symbol.
    pub fn files_of_symbol(&self, symbol: &str) -> Option<Vec<Vec<u8>>> {
        self.by_symbol
            .get(symbol)
            .map(|number| self.with_imports(*number))
    }

    fn with_imports(&self, number: usize) -> Vec<Vec<u8>> {
        let mut wanted = vec![number];
        let mut next = 0;
        while let Some(number) = wanted.get(next).copied() {
            next += 1;
            for import in &self.files[number].dependency {
                if let Some(import) = self.by_name.get(import)
                    && !wanted.contains(import)
                {
                    wanted.push(*import);
                }
            }
        }
        wanted
            .into_iter()
            .map(|number| self.files[number].encode_to_vec())
            .collect()
    }
}

//! Any message of the published `.proto`: made from bytes, so that proptest can find a small one. The wire format is
//! written here once more, by hand and with all the freedom that protobuf leaves to a writer, so that the decoders are
//! not held against their own encoders.

use std::sync::LazyLock;

use prost::encoding::encode_varint;
use prost_reflect::{
    Cardinality, DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, ReflectMessage,
    Value,
};

static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| {
    let proto = concat!(env!("CARGO_MANIFEST_DIR"), "/proto");
    let files = protox::compile(["sereno.v2.proto"], [proto]).unwrap();
    DescriptorPool::from_file_descriptor_set(files).unwrap()
});

/// The published description of a message.
pub fn descriptor(name: &str) -> MessageDescriptor {
    POOL.get_message_by_name(&format!("sereno.v2.{name}")).unwrap()
}

/// Decisions, made beforehand; all are 0 when there are no more.
pub struct Decisions<'a>(pub std::slice::Iter<'a, u8>);

impl Decisions<'_> {
    fn below(&mut self, end: usize) -> usize {
        usize::from(self.0.next().copied().unwrap_or(0)) % end
    }

    fn number(&mut self) -> u64 {
        let bytes: [u8; 8] = std::array::from_fn(|_| self.0.next().copied().unwrap_or(0));
        u64::from_le_bytes(bytes) >> (8 * self.below(8))
    }

    fn text(&mut self) -> String {
        (0..self.below(5)).map(|_| ['a', 'é', '€', '\0', '𝄞'][self.below(5)]).collect()
    }

    fn finite(&mut self) -> f64 {
        let number = f64::from_bits(self.number());
        // Neither equal to itself nor, if it is less than nothing, to what is left out.
        if number.is_nan() || number == 0.0 { 0.0 } else { number }
    }
}

/// A message, and a way to write it: `noise` adds what later versions may add, and what protobuf allows.
pub fn message(
    descriptor: &MessageDescriptor,
    noise: bool,
    decisions: &mut Decisions<'_>,
) -> (DynamicMessage, Vec<u8>) {
    let mut message = DynamicMessage::new(descriptor.clone());
    // A field at a time; writers may use any order.
    let mut written: Vec<Vec<u8>> = Vec::new();
    // Bodies and values are of one kind each, all equally likely.
    let kind = decisions.below(256);
    for field in descriptor.fields() {
        let mut kinds =
            field.containing_oneof().into_iter().flat_map(|oneof| oneof.fields().collect::<Vec<_>>());
        let index = kinds.position(|other| other == field);
        let one_of = field.containing_oneof().map_or(1, |oneof| oneof.fields().count());
        if index.is_some_and(|index| kind % one_of != index) || decisions.below(3) == 0 {
            continue;
        }
        if field.is_list() {
            let items: Vec<_> = (0..decisions.below(4)).map(|_| value(&field, noise, decisions)).collect();
            written.extend(list(&field, &items, noise, decisions));
            set(&mut message, &field, Value::List(items.into_iter().map(|item| item.0).collect()));
        } else {
            let (value, bytes) = value(&field, noise, decisions);
            written.push([key(&field, false), bytes].concat());
            set(&mut message, &field, value);
        }
    }
    if noise {
        for _ in 0..decisions.below(3) {
            written.push(unknown(decisions));
        }
        shuffle(&mut written, descriptor, decisions);
    }
    (message, written.concat())
}

/// Sets a field, unless that is no difference.
fn set(message: &mut DynamicMessage, field: &FieldDescriptor, value: Value) {
    if field.supports_presence() || value != field.default_value() {
        message.set_field(field, value);
    }
}

/// A value of a field's type, and its bytes without the key.
fn value(field: &FieldDescriptor, noise: bool, decisions: &mut Decisions<'_>) -> (Value, Vec<u8>) {
    let varint = |value: u64| {
        let mut bytes = Vec::new();
        encode_varint(value, &mut bytes);
        bytes
    };
    match field.kind() {
        Kind::Bool => {
            let flag = decisions.below(2) == 1;
            (Value::Bool(flag), varint(flag.into()))
        }
        Kind::Uint32 => {
            let number = decisions.number() as u32;
            (Value::U32(number), varint(number.into()))
        }
        Kind::Uint64 => {
            let number = decisions.number();
            (Value::U64(number), varint(number))
        }
        Kind::Sint64 => {
            let number = decisions.number() as i64;
            (Value::I64(number), varint(((number << 1) ^ (number >> 63)) as u64))
        }
        Kind::Fixed64 => {
            let number = decisions.number();
            (Value::U64(number), number.to_le_bytes().to_vec())
        }
        Kind::Double => {
            let number = decisions.finite();
            (Value::F64(number), number.to_le_bytes().to_vec())
        }
        Kind::String => {
            let text = decisions.text();
            let bytes = [varint(text.len() as u64), text.clone().into_bytes()].concat();
            (Value::String(text), bytes)
        }
        Kind::Bytes => {
            let data: Vec<u8> = (0..decisions.below(5)).map(|_| decisions.below(256) as u8).collect();
            let bytes = [varint(data.len() as u64), data.clone()].concat();
            (Value::Bytes(data.into()), bytes)
        }
        Kind::Enum(kind) => {
            let known = kind.values().nth(decisions.below(kind.values().count())).unwrap().number();
            let number = if noise && decisions.below(4) == 0 { 1_000 + known } else { known };
            (Value::EnumNumber(number), varint(number as u64))
        }
        Kind::Message(kind) => {
            let (message, bytes) = message(&kind, noise, decisions);
            (Value::Message(message), [varint(bytes.len() as u64), bytes].concat())
        }
        other => panic!("a type that no version has: {other:?}"),
    }
}

fn key(field: &FieldDescriptor, packed: bool) -> Vec<u8> {
    let wire = match field.kind() {
        _ if packed => 2,
        Kind::Message(_) | Kind::String | Kind::Bytes => 2,
        Kind::Double | Kind::Fixed64 => 1,
        _ => 0,
    };
    let mut bytes = Vec::new();
    encode_varint(u64::from(field.number() << 3 | wire), &mut bytes);
    bytes
}

/// A list: packed if it may be; with noise in pieces, or one by one.
fn list(
    field: &FieldDescriptor,
    items: &[(Value, Vec<u8>)],
    noise: bool,
    decisions: &mut Decisions<'_>,
) -> Vec<Vec<u8>> {
    assert_eq!(field.cardinality(), Cardinality::Repeated);
    let form = if noise { decisions.below(3) } else { 0 };
    let pieces: Vec<&[(Value, Vec<u8>)]> = match form {
        _ if !field.is_packed() => items.chunks(1).collect(),
        0 => vec![items],
        1 => items.chunks(2).collect(),
        _ => items.chunks(1).collect(),
    };
    let write = |piece: &&[(Value, Vec<u8>)]| {
        let content: Vec<u8> = piece.iter().flat_map(|item| item.1.clone()).collect();
        let packed = field.is_packed() && form != 2;
        let mut bytes = key(field, packed);
        if packed {
            encode_varint(content.len() as u64, &mut bytes);
        }
        [bytes, content].concat()
    };
    pieces.iter().map(write).collect()
}

/// A field of a later version.
fn unknown(decisions: &mut Decisions<'_>) -> Vec<u8> {
    let number = 100 + decisions.below(1_000) as u64;
    let (wire, content) = match decisions.below(4) {
        0 => (0, vec![0xFF, 0x01]),
        1 => (1, vec![1; 8]),
        2 => (2, b"\x05later".to_vec()),
        _ => (5, vec![2; 4]),
    };
    let mut bytes = Vec::new();
    encode_varint(number << 3 | wire, &mut bytes);
    bytes.extend(content);
    bytes
}

/// Moves fields among others, but keeps the order of those that belong to one list.
fn shuffle(written: &mut [Vec<u8>], descriptor: &MessageDescriptor, decisions: &mut Decisions<'_>) {
    let list = |bytes: &[u8]| {
        let number = prost::encoding::decode_varint(&mut &*bytes).unwrap() as u32 >> 3;
        descriptor.get_field(number).filter(FieldDescriptor::is_list).map(|field| field.number())
    };
    for i in 1..written.len() {
        let other = decisions.below(i + 1);
        // Swapping neighbours, down to `other`, stops where two of one list would pass each other.
        for j in (other..i).rev() {
            let (before, after) = (list(&written[j]), list(&written[j + 1]));
            if before.is_some() && before == after {
                break;
            }
            written.swap(j, j + 1);
        }
    }
}

/// What the published description reads in these bytes.
pub fn reread(descriptor: MessageDescriptor, bytes: &[u8]) -> DynamicMessage {
    DynamicMessage::decode(descriptor, bytes).unwrap()
}

/// The names of the messages in this one, and its own.
pub fn collect(message: &DynamicMessage, names: &mut std::collections::BTreeSet<String>) {
    names.insert(message.descriptor().name().to_owned());
    for (_, value) in message.fields() {
        match value {
            Value::Message(inner) => collect(inner, names),
            Value::List(items) => {
                items.iter().filter_map(Value::as_message).for_each(|inner| collect(inner, names))
            }
            _ => {}
        }
    }
}

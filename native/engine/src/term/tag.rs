//! First bytes of the flat form. `0x00..=0x7f` is the small integer itself.

/// Integers in their shortest form: one, two, four or eight bytes, little endian, signed.
pub const INT1: u8 = 0x80;
pub const INT2: u8 = 0x81;
pub const INT4: u8 = 0x82;
pub const INT8: u8 = 0x83;
/// Larger integers: u32 length, magnitude in little endian without leading zeros.
pub const BIG_POS: u8 = 0x84;
pub const BIG_NEG: u8 = 0x85;
/// IEEE double, eight bytes, big endian.
pub const FLOAT: u8 = 0x86;
/// The VM's own word for an atom, big endian so that byte order is word order: three bytes when it fits, else eight.
pub const ATOM3: u8 = 0x88;
pub const ATOM8: u8 = 0x89;
/// The VM's own word for a local pid or port.
pub const PID: u8 = 0x8a;
pub const PORT: u8 = 0x8b;
/// Pids, ports and references of other nodes: u8 length, u32 creation, u8 count, u32 numbers, node atom.
pub const EXT_PID: u8 = 0x8c;
pub const EXT_PORT: u8 = 0x8d;
pub const EXT_REF: u8 = 0x8e;
/// A local reference: u8 count, u32 numbers. The living term is an attachment.
pub const REF: u8 = 0x8f;
/// A closure: u32 length, module atom, u32 index, 16 bytes uniq, u8 arity, tuple of free variables. Attachment.
pub const FUN: u8 = 0x90;
/// `fun M:F/A`: u8 length, module atom, function atom, arity.
pub const EXPORT: u8 = 0x91;
pub const NIL: u8 = 0x92;
/// Containers come small (u8 length, u8 count) or large (u32 length, u32 count).
pub const LIST: u8 = 0x93;
pub const LIST_L: u8 = 0x94;
/// Like a list, but the last element is the tail; count is the number of cells.
pub const IMPROPER: u8 = 0x95;
pub const IMPROPER_L: u8 = 0x96;
pub const TUPLE: u8 = 0x97;
pub const TUPLE_L: u8 = 0x98;
/// Pairs `key value`, sorted by the bytes of the key; count is the number of pairs.
pub const MAP: u8 = 0x99;
pub const MAP_L: u8 = 0x9a;
/// Bytes: u8 or u32 length.
pub const BINARY: u8 = 0x9b;
pub const BINARY_L: u8 = 0x9c;
/// Bits: u8 bits used in the last byte (1..=7), u32 length in bytes; unused bits are zero.
pub const BITS: u8 = 0x9d;
/// A large binary: u64 length, 32 bytes BLAKE3 of the content, which is an attachment.
pub const BLOB: u8 = 0x9e;

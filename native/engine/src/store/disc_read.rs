//! Records from their disc form, which may be anything: every length is checked before it is used, nothing that is not canonical
//! is let in, and atoms are made within the dictionary's limit only.

use super::disc::blobs;
use super::disc_atoms::Dictionary;
use super::disc_walk::rewrite;
use super::StoreError;
use crate::term::atom::{home, host, Revival};
use crate::term::tag::*;
use crate::term::{form_size, map_is_sorted, read, sort_map, Record, Term, Writer, BLOB_MIN};
use smallvec::SmallVec;
use std::cell::RefCell;

/// What reading needs, kept from record to record.
#[derive(Default)]
struct Reader {
    body: Vec<u8>,
    starts: Vec<u32>,
    /// Containers around the present term: where each ends, and how many terms it still wants.
    around: Vec<(usize, usize)>,
    /// Where maps begin.
    maps: Vec<usize>,
    found: Found,
}

/// What the fields hold beside terms that stay as they are.
#[derive(Default, Clone, Copy)]
struct Found {
    negative_zero: bool,
    blobs: bool,
    /// Something has another length in this VM.
    other: bool,
}

thread_local! {
    static READER: RefCell<Reader> = RefCell::default();
}

const KEEP: usize = 1 << 20;

/// The record of a disc form. The whole of `bytes` is one record.
pub fn from_disc(bytes: &[u8], dictionary: &Dictionary) -> Result<Record, StoreError> {
    READER.with(|reader| {
        let reader = &mut *reader.borrow_mut();
        let record = reader.record(bytes, dictionary);
        if reader.body.capacity() > KEEP || reader.around.capacity() > KEEP || reader.maps.capacity() > KEEP {
            *reader = Reader::default();
        }
        record
    })
}

/// The rows of one key, see [`super::disc::rows_to_disc`]; `f` gets each.
pub fn rows_from_disc(bytes: &[u8], dictionary: &Dictionary, f: &mut dyn FnMut(Record)) -> Result<(), StoreError> {
    match bytes.split_first() {
        Some((1, row)) => f(from_disc(row, dictionary)?),
        Some((0, rest)) => {
            let (count, mut rest) = length(rest, 1)?;
            for _ in 0..count {
                let (len, after) = length(rest, bytes.len() - rest.len())?;
                let (row, next) =
                    after.split_at_checked(len).ok_or_else(|| bad(bytes.len() - after.len(), "a row is cut off"))?;
                f(from_disc(row, dictionary)?);
                rest = next;
            }
            if !rest.is_empty() {
                return Err(bad(bytes.len() - rest.len(), "something after the last row"));
            }
        }
        _ => return Err(bad(0, "no rows")),
    }
    Ok(())
}

fn length(bytes: &[u8], at: usize) -> Result<(usize, &[u8]), StoreError> {
    let (len, rest) = bytes.split_first_chunk::<4>().ok_or_else(|| bad(at, "a length is cut off"))?;
    Ok((u32::from_le_bytes(*len) as usize, rest))
}

#[cold]
fn bad(at: usize, what: &'static str) -> StoreError {
    StoreError::BadTerm { at, what }
}

#[inline]
fn number(bytes: &[u8], at: usize) -> usize {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]) as usize
}

fn is_home(creation: u32, node: &[u8]) -> bool {
    let (name, now) = home();
    creation == *now && node == name
}

impl Reader {
    #[inline]
    fn record(&mut self, bytes: &[u8], dictionary: &Dictionary) -> Result<Record, StoreError> {
        let (fields, rest) = bytes.split_first_chunk::<2>().ok_or_else(|| bad(0, "no record"))?;
        let fields = usize::from(u16::from_le_bytes(*fields));
        if fields == 0 || fields > rest.len() || rest.len() > u32::MAX as usize / 2 {
            return Err(bad(0, "a wrong number of fields"));
        }
        self.body.clear();
        self.body.extend_from_slice(rest);
        let end = self.fields(fields, dictionary)?;
        if !self.found.other && !self.found.blobs {
            if end != rest.len() {
                return Err(bad(2 + end, "something after the last field"));
            }
            self.sort_maps()?;
            return Ok(Record::build(&self.starts, &self.body[..end], self.found.negative_zero, None));
        }
        let mut revival = host().revival();
        self.contents(&rest[..end], &rest[end..], &mut *revival)?;
        if self.found.other {
            return self.rewritten(&rest[..end], dictionary, revival);
        }
        self.body.truncate(end);
        self.sort_maps()?;
        Ok(Record::build(&self.starts, &self.body, self.found.negative_zero, Some(revival.finish())))
    }

    /// Checks the fields and puts words of the VM in the place of numbers. Answers where the fields end.
    #[inline]
    fn fields(&mut self, fields: usize, dictionary: &Dictionary) -> Result<usize, StoreError> {
        self.starts.clear();
        self.around.clear();
        self.maps.clear();
        self.found = Found::default();
        let mut at = 0;
        // The innermost container: its end, and the terms it still wants. The outermost is the record.
        let (mut end, mut left) = (self.body.len(), fields);
        loop {
            while left == 0 {
                match self.around.pop() {
                    None => return Ok(at),
                    Some(_) if at != end => return Err(bad(at, "a container ends before its end")),
                    Some(outer) => (end, left) = outer,
                }
            }
            left -= 1;
            if self.around.is_empty() {
                self.starts.push(at as u32);
            }
            let one = self.body.get_mut(at..end).filter(|one| !one.is_empty()).ok_or_else(|| bad(at, "a term is missing"))?;
            let step = match one[0] {
                0..=0x7f | NIL => 1,
                LIST | IMPROPER | TUPLE | MAP | LIST_L | IMPROPER_L | TUPLE_L | MAP_L => {
                    let (head, len, wants) = container(one).ok_or_else(|| bad(at, "a container with a wrong head"))?;
                    if matches!(one[0], MAP | MAP_L) {
                        self.maps.push(at);
                    }
                    self.around.push((end, left));
                    (end, left) = (at + head + len, wants);
                    at += head;
                    continue;
                }
                _ => leaf(one, dictionary, &mut self.found)?.ok_or_else(|| bad(at, "no term"))?,
            };
            at += step;
        }
    }

    /// Inner maps first, as they may be keys themselves.
    #[inline]
    fn sort_maps(&mut self) -> Result<(), StoreError> {
        while let Some(at) = self.maps.pop() {
            let (Term::Map(e), rest) = read(&self.body[at..]) else { continue };
            let (count, end) = (e.count as usize, self.body.len() - rest.len());
            let body = end - e.body.len();
            sort_map(&mut self.body[body..end], count);
            if !map_is_sorted(&self.body[body..end], count) {
                return Err(bad(at, "a map with a key twice"));
            }
        }
        Ok(())
    }

    /// Takes the contents of the large binaries that the (sound) fields name.
    fn contents(&self, fields: &[u8], mut contents: &[u8], revival: &mut dyn Revival) -> Result<(), StoreError> {
        if self.found.blobs {
            for identity in blobs(fields) {
                let Term::Blob { len, hash } = read(identity).0 else { continue };
                let taken = usize::try_from(len).ok().and_then(|len| contents.split_at_checked(len));
                let (content, rest) = taken.ok_or_else(|| bad(fields.len(), "a large binary is cut off"))?;
                if blake3::hash(content).as_bytes() != hash {
                    return Err(bad(fields.len(), "a large binary is not what its record says"));
                }
                revival.content(identity, content);
                contents = rest;
            }
        }
        if contents.is_empty() {
            Ok(())
        } else {
            Err(bad(fields.len(), "something after the last field"))
        }
    }

    /// The record of sound fields with terms that have another length here.
    fn rewritten(&mut self, fields: &[u8], dictionary: &Dictionary, mut revival: Box<dyn Revival>) -> Result<Record, StoreError> {
        let mut writer = Writer::new();
        let mut starts = SmallVec::<[u32; 16]>::new();
        let mut rest = fields;
        while !rest.is_empty() {
            let (one, after) = rest.split_at(form_size(rest));
            starts.push(writer.len() as u32);
            rewrite(one, &mut writer, None, &mut |one, writer| revive(one, dictionary, &mut *revival, writer))?;
            rest = after;
        }
        let attached = writer.attached.then(|| revival.finish());
        let record = Record::build(&starts, &writer.buf, writer.negative_zero || self.found.negative_zero, attached);
        sound_maps(record.body())?;
        Ok(record)
    }
}

fn sound_maps(body: &[u8]) -> Result<(), StoreError> {
    let mut at = 0;
    while at < body.len() {
        at += match body[at] {
            LIST | IMPROPER | TUPLE => 3,
            LIST_L | IMPROPER_L | TUPLE_L => 9,
            MAP | MAP_L => {
                let (Term::Map(e), rest) = read(&body[at..]) else { break };
                if !map_is_sorted(e.body, e.count as usize) {
                    return Err(bad(at, "a map with a key twice"));
                }
                body.len() - at - rest.len() - e.body.len()
            }
            _ => form_size(&body[at..]),
        };
    }
    Ok(())
}

/// Length of the head, of the body, and the number of terms in it.
#[inline]
fn container(one: &[u8]) -> Option<(usize, usize, usize)> {
    let small = one[0] & 1 == 1;
    let (head, len, count) = match small {
        true => (3, usize::from(*one.get(1)?), usize::from(*one.get(2)?)),
        false if one.len() >= 9 => (9, number(one, 1), number(one, 5)),
        false => return None,
    };
    let (wants, least) = match one[0] {
        IMPROPER | IMPROPER_L => (count + 1, 1),
        MAP | MAP_L => (2 * count, 0),
        LIST | LIST_L => (count, 1),
        _ => (count, 0),
    };
    let canonical = small != (len >= 256 || count >= 256) && count >= least;
    // Every term takes a byte: what wants more than there is, is wrong before anything is done for it.
    (canonical && one.len() - head >= len && wants <= len).then_some((head, len, wants))
}

/// Checks a term that is no container, puts words in the place of numbers, and answers its length.
#[inline]
fn leaf(one: &mut [u8], dictionary: &Dictionary, found: &mut Found) -> Result<Option<usize>, StoreError> {
    Ok(match one[0] {
        ATOM3 => return atom(one, dictionary, found),
        INT1 => one.get(1).filter(|&&i| i >= 0x80).map(|_| 2),
        INT2 => one.get(1..3).and_then(|b| i8::try_from(i16::from_le_bytes([b[0], b[1]])).is_err().then_some(3)),
        INT4 => chunk::<4>(one).and_then(|b| i16::try_from(i32::from_le_bytes(b)).is_err().then_some(5)),
        INT8 => chunk::<8>(one).and_then(|b| i32::try_from(i64::from_le_bytes(b)).is_err().then_some(9)),
        FLOAT => chunk::<8>(one).map(f64::from_be_bytes).filter(|f| f.is_finite()).map(|f| {
            found.negative_zero |= f == 0.0 && f.is_sign_negative();
            9
        }),
        BINARY => one.get(1).map(|&len| 2 + usize::from(len)).filter(|&size| size <= one.len()),
        BINARY_L => prefixed(one).filter(|&size| (256 + 5..BLOB_MIN + 5).contains(&size)),
        BITS => bits(one),
        BIG_POS | BIG_NEG => prefixed(one).filter(|&size| canonical_big(one[0] == BIG_NEG, &one[5..size])),
        BLOB => {
            found.blobs = true;
            chunk::<8>(one).filter(|&len| one.len() >= 41 && u64::from_le_bytes(len) >= BLOB_MIN as u64).map(|_| 41)
        }
        FUN => {
            found.other = true;
            prefixed(one)
        }
        EXT_PID | EXT_PORT | EXT_REF => return external(one, dictionary, found),
        EXPORT => return export(one, dictionary, found),
        _ => None,
    })
}

#[inline]
fn atom(one: &mut [u8], dictionary: &Dictionary, found: &mut Found) -> Result<Option<usize>, StoreError> {
    let Some(&[a, b, c]) = one.get(1..4).and_then(|b| b.first_chunk::<3>()) else { return Ok(None) };
    let Some(word) = dictionary.word(u32::from_be_bytes([0, a, b, c]))? else { return Ok(None) };
    if word < 1 << 24 {
        one[1..4].copy_from_slice(&word.to_be_bytes()[5..]);
    } else {
        found.other = true;
    }
    Ok(Some(4))
}

fn external(one: &mut [u8], dictionary: &Dictionary, found: &mut Found) -> Result<Option<usize>, StoreError> {
    if one.len() < 7 {
        return Ok(None);
    }
    let count = usize::from(one[6]);
    let fits = match one[0] {
        EXT_PID => count == 2,
        EXT_PORT => count == 1 || count == 2,
        _ => (3..=5).contains(&count),
    };
    let node = 7 + 4 * count;
    if !fits || usize::from(one[1]) != node + 4 - 2 || one.len() < node + 4 || one[node] != ATOM3 {
        return Ok(None);
    }
    let id = u32::from_be_bytes([0, one[node + 1], one[node + 2], one[node + 3]]);
    found.other |= is_home(number(one, 2) as u32, dictionary.text(id));
    let atom = atom(&mut one[node..], dictionary, found)?;
    Ok(atom.map(|_| node + 4))
}

fn export(one: &mut [u8], dictionary: &Dictionary, found: &mut Found) -> Result<Option<usize>, StoreError> {
    // Module and function take four bytes each, an arity of up to 127 one, above it three.
    let arity = match one.get(10..) {
        Some([0..=0x7f, ..]) => 1,
        Some([INT2, low, 0, ..]) if *low >= 0x80 => 3,
        _ => return Ok(None),
    };
    if usize::from(one[1]) != 8 + arity || one[2] != ATOM3 || one[6] != ATOM3 {
        return Ok(None);
    }
    let module = atom(&mut one[2..6], dictionary, found)?;
    let function = atom(&mut one[6..10], dictionary, found)?;
    Ok(module.and(function).map(|_| 10 + arity))
}

#[inline]
fn chunk<const N: usize>(one: &[u8]) -> Option<[u8; N]> {
    one.get(1..)?.first_chunk::<N>().copied()
}

/// Size of a term with u32 length after its tag.
fn prefixed(one: &[u8]) -> Option<usize> {
    let len = u32::from_le_bytes(chunk::<4>(one)?) as usize;
    Some(5 + len).filter(|&size| size <= one.len())
}

fn bits(one: &[u8]) -> Option<usize> {
    let last_bits = *one.get(1)?;
    let len = u32::from_le_bytes(*one.get(2..)?.first_chunk::<4>()?) as usize;
    let last = *one.get(6..)?.get(len.checked_sub(1)?)?;
    ((1..=7).contains(&last_bits) && last & (0xff >> last_bits) == 0).then_some(6 + len)
}

/// Is this an integer that no shorter form can have?
fn canonical_big(negative: bool, magnitude: &[u8]) -> bool {
    match magnitude {
        [.., 0] | [] => false,
        [low @ .., _] if low.len() >= 8 => true,
        [_, _, _, _, _, _, _, high] => {
            let least = *high == 0x80 && magnitude[..7].iter().all(|&b| b == 0);
            *high >= 0x80 && !(negative && least)
        }
        _ => false,
    }
}

/// Writes a sound leaf as it is in this VM.
fn revive(one: &[u8], dictionary: &Dictionary, revival: &mut dyn Revival, writer: &mut Writer) -> Result<(), StoreError> {
    let word = |id: u64| dictionary.word(id as u32)?.ok_or_else(|| bad(0, "an atom that is not in the dictionary"));
    if one[0] == FUN {
        // They are made with the closure, so they are counted before.
        let mut counted = Ok(());
        let sound = revival.atoms(&one[5..], &mut |text| {
            counted = dictionary.admit(text);
            counted.is_ok()
        });
        counted?;
        return if sound && revival.closure(&one[5..], writer) { Ok(()) } else { Err(StoreError::NotPortable) };
    }
    match read(one).0 {
        Term::Atom(id) => writer.atom(word(id)?),
        Term::Export { module, function, arity } => writer.export(word(module)?, word(function)?, arity as u8),
        Term::ExtPid(id) | Term::ExtPort(id) | Term::ExtRef(id) => {
            let numbers: SmallVec<[u32; 5]> = id.numbers.as_chunks::<4>().0.iter().map(|n| u32::from_le_bytes(*n)).collect();
            if is_home(id.creation, dictionary.text(id.node as u32)) && local(one[0], &numbers, revival, writer) {
                return Ok(());
            }
            writer.external(one[0], id.creation, &numbers, word(id.node)?);
        }
        Term::Blob { len, hash } => {
            let hash = <&[u8; 32]>::try_from(hash).map_err(|_| bad(0, "no hash"))?;
            writer.blob(len, hash);
        }
        _ => writer.buf.extend_from_slice(one),
    }
    Ok(())
}

/// Writes a pid, port or reference of this node; false if this VM has no such term.
fn local(tag: u8, numbers: &[u32], revival: &mut dyn Revival, writer: &mut Writer) -> bool {
    if tag == EXT_REF {
        let at = writer.len();
        let attached = writer.attached;
        writer.local_ref(numbers);
        let made = revival.reference(&writer.buf[at..], numbers);
        if !made {
            writer.buf.truncate(at);
            writer.attached = attached;
        }
        return made;
    }
    match host().local_word(tag == EXT_PORT, numbers) {
        Some(word) if tag == EXT_PORT => writer.local_port(word),
        Some(word) => writer.local_pid(word),
        None => return false,
    }
    true
}

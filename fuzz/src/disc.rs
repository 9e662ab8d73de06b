//! Readers of what lies on disc: the rows of a value, frames of the log, and the file of LMDB.

use super::choose::Choices;
use remnesia_engine::store::base::{Base, Batch, Op};
use remnesia_engine::store::disc::{rows_to_disc, Atoms};
use remnesia_engine::store::disc_atoms::Dictionary;
use remnesia_engine::store::disc_read::rows_from_disc;
use remnesia_engine::store::lmdb::{check, Lmdb, Options, FILE};
use remnesia_engine::store::log::frame;
use remnesia_engine::store::StoreError;
use remnesia_engine::term::{Record, Writer};
use std::collections::BTreeMap;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// Atoms that a disc form may name.
const KNOWN: &[&str] = &["a", "b", "true", "nil", "é"];

fn dictionary() -> Dictionary {
    let dictionary = Dictionary::new(100);
    for (id, text) in KNOWN.iter().enumerate() {
        assert!(dictionary.learn(id as u32, text.as_bytes()));
    }
    dictionary
}

/// A value of any bytes is refused or is rows, which are written and read again as they are. The first byte says whether the bytes stand for
/// themselves or are choices of a good value with some of its bytes changed.
pub fn value(data: &[u8]) {
    let Some((first, rest)) = data.split_first() else { return };
    if first & 1 == 0 {
        return rows(rest, &dictionary());
    }
    let dictionary = dictionary();
    let mut choices = Choices::new(rest);
    let all: Vec<Record> = (0..1 + choices.below(3)).map(|_| record(&mut choices)).collect();
    let mut bytes = Vec::new();
    rows_to_disc(&all, &dictionary, &mut Atoms::default(), &mut bytes).expect("every term here has a disc form");
    let mut read = Vec::new();
    rows_from_disc(&bytes, &dictionary, &mut |row| read.push(row)).expect("what was written");
    assert!(read.len() == all.len() && read.iter().zip(&all).all(|(a, b)| a.bytes() == b.bytes()));
    for _ in 0..choices.below(4) {
        let at = usize::from(u16::from_le_bytes(choices.bytes())) % bytes.len();
        match choices.below(3) {
            0 => bytes.truncate(at.max(1)),
            1 => bytes[at] = choices.byte(),
            _ => bytes[at] ^= 1 << choices.below(8),
        }
    }
    rows(&bytes, &dictionary);
}

fn rows(bytes: &[u8], dictionary: &Dictionary) {
    let (mut read, mut again) = (Vec::new(), Vec::new());
    if rows_from_disc(bytes, dictionary, &mut |row| read.push(row)).is_err() || read.is_empty() {
        return;
    }
    let mut written = Vec::new();
    rows_to_disc(&read, dictionary, &mut Atoms::default(), &mut written).expect("what was read is a record");
    rows_from_disc(&written, dictionary, &mut |row| again.push(row)).expect("what was written");
    assert!(read.len() == again.len() && read.iter().zip(&again).all(|(a, b)| a.bytes() == b.bytes()));
}

fn record(choices: &mut Choices) -> Record {
    let (mut starts, mut body, mut zero) = (Vec::new(), Vec::new(), false);
    for _ in 0..1 + choices.below(4) {
        starts.push(body.len() as u32);
        let mut writer = Writer::new();
        choices.write_term(&mut writer, 3);
        zero |= writer.negative_zero;
        body.extend_from_slice(&writer.buf);
    }
    Record::build(&starts, &body, zero, None)
}

/// Bytes of a log are frames or end there. A good frame with its bytes changed is no frame, or the change was not in it.
pub fn log(data: &[u8]) {
    const SALT: u64 = 0x5eed;
    let mut at = 0;
    while let Some(found) = frame::read(&data[at..], SALT, at as u64) {
        assert!(found.payload.len() <= found.size && found.size <= data.len() - at);
        at += found.size;
    }
    frame::highest_mark(data, SALT, 0);
    frame::SegmentHead::read(data);
    let (Some((change, rest)), mut bytes) = (data.split_first_chunk::<3>(), Vec::new()) else { return };
    frame::put(&mut bytes, frame::Kind::Whole, SALT, 0, 7, [&[], rest], frame::hash([&[], rest]));
    assert!(frame::read(&bytes, SALT, 0).is_some_and(|read| read.payload == rest && read.synced == 7));
    let place = usize::from(u16::from_le_bytes([change[0], change[1]])) % bytes.len();
    let meant = place < frame::HEAD + rest.len();
    bytes[place] ^= change[2];
    let same = frame::read(&bytes, SALT, 0).is_some_and(|read| read.payload == rest);
    assert_eq!(same, !meant || change[2] == 0, "byte {place} of {}", bytes.len());
}

type Model = BTreeMap<(u32, Vec<u8>), Vec<u8>>;

/// A file with a bit of everything, and what it holds.
struct Sample {
    file: Vec<u8>,
    model: Model,
    before: Model,
}

const TABLES: u32 = 20;
const PAGE: usize = 4096;

fn directory() -> PathBuf {
    let memory = Path::new("/dev/shm");
    let parent = if memory.is_dir() { memory.into() } else { std::env::temp_dir() };
    parent.join(format!("remnesia-fuzz-{}-{:?}", std::process::id(), std::thread::current().id()))
}

fn options() -> Options {
    Options { map: 1 << 26, ..Options::default() }
}

fn rows_of(round: u64) -> Model {
    let row = |i: u64| {
        let (table, key) = match i % 9 {
            0 => (2, vec![i as u8; 9]),
            1 => (3, [vec![b'x'; 500], i.to_be_bytes().to_vec()].concat()),
            2 => ((i % u64::from(TABLES)) as u32, vec![i as u8; 3]),
            _ => (1, format!("key {i:06}").into_bytes()),
        };
        let len = if i % 50 == 0 { 9000 } else { (i * 7 % 60) as usize };
        ((table, key), vec![(i * round) as u8; len])
    };
    (0..400).map(row).collect()
}

fn sample() -> &'static Sample {
    static SAMPLE: OnceLock<Sample> = OnceLock::new();
    SAMPLE.get_or_init(|| {
        let directory = directory();
        let _ = std::fs::remove_dir_all(&directory);
        let store = Lmdb::open(&directory, &options()).expect("a new file");
        let (mut before, mut model) = (Model::new(), Model::new());
        for round in 1..=6u64 {
            before = model.clone();
            let mut rows = rows_of(round);
            rows.retain(|key, _| round < 2 || (key.1.len() + usize::from(key.1[0])) % 3 == (round % 3) as usize);
            let ops: Vec<_> =
                rows.iter().map(|((table, key), value)| Op { table: *table, key, value: Some(&value[..]) }).collect();
            store.apply(&Batch { ops: &ops, position: Some(round), ..Batch::default() }).expect("room for it");
            model.extend(rows);
        }
        drop(store);
        let file = std::fs::read(directory.join(FILE)).expect("the file");
        let _ = std::fs::remove_dir_all(&directory);
        Sample { file, model, before }
    })
}

fn held(store: &Lmdb) -> Model {
    let mut found = Model::new();
    for table in 0..TABLES {
        let keep = &mut |key: &[u8], value: &[u8]| found.insert((table, key.to_vec()), value.to_vec()).is_none();
        store.scan(table, Bound::Unbounded, keep).expect("a file that was let in");
    }
    found
}

/// A file of LMDB with some bytes changed, or cut off, is refused with a reason or holds what it held.
pub fn pages(data: &[u8]) {
    let sample = sample();
    let mut file = sample.file.clone();
    let mut choices = Choices::new(data);
    for _ in 0..1 + choices.below(6) {
        let page = usize::from(choices.byte()) % (file.len() / PAGE);
        // Mostly the heads of pages and the places of their nodes, which are what LMDB goes by.
        let within =
            if choices.byte() & 3 == 0 { usize::from(u16::from_le_bytes(choices.bytes())) % PAGE } else { choices.below(64) };
        match choices.below(8) {
            0 => file.truncate((page * PAGE + within).max(1)),
            1 => {
                let other = usize::from(choices.byte()) % (file.len() / PAGE);
                file.copy_within(other * PAGE..(other + 1) * PAGE, page * PAGE);
            }
            2 | 3 => file[page * PAGE + within] = choices.byte(),
            _ => file[page * PAGE + within] ^= 1 << choices.below(8),
        }
        if file.len() < PAGE {
            break;
        }
    }
    let directory = directory();
    let _ = std::fs::remove_dir_all(&directory);
    std::fs::create_dir(&directory).expect("a directory for the file");
    std::fs::write(directory.join(FILE), &file).expect("a file");
    match Lmdb::open(&directory, &Options { create: false, ..options() }) {
        Ok(store) => {
            let held = held(&store);
            assert!(held == sample.model || held == sample.before, "a file that was let in holds what it held");
            let ops = [Op { table: 1, key: b"another", value: Some(b"value") }];
            store.apply(&Batch { ops: &ops, position: Some(9), ..Batch::default() }).expect("it can be written to");
            drop(store);
            assert!(check::walk(&directory.join(FILE)).is_ok(), "and is sound after it");
        }
        Err(StoreError::Corrupt { .. } | StoreError::Foreign { .. } | StoreError::NewerFormat { .. }) => {
            assert!(std::fs::read(directory.join(FILE)).expect("the file") == file, "a refused file is not changed");
        }
        Err(other) => panic!("{other}"),
    }
    let _ = std::fs::remove_dir_all(&directory);
}

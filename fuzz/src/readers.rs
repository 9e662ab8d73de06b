//! What reads bytes that somebody else may have written: rows on disc, frames of the log, pages of the tables' file. It answers, whatever they
//! are, and never panics or reads past them; what was written soundly is read again.

use super::choose::Choices;
use remnesia_engine::store::disc::{rows_to_disc, Atoms};
use remnesia_engine::store::disc_atoms::Dictionary;
use remnesia_engine::store::disc_read::{from_disc, rows_from_disc};
use remnesia_engine::store::lmdb::check;
use remnesia_engine::store::log::frame::{self, Kind, SegmentHead};
use remnesia_engine::term::Record;
use std::cell::RefCell;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

/// Changes bytes as the data say: place and new byte, three bytes each.
fn damage(bytes: &mut [u8], data: &[u8]) {
    for change in data.chunks_exact(3) {
        let at = usize::from(u16::from_le_bytes([change[0], change[1]]));
        if let Some(byte) = bytes.get_mut(at) {
            *byte = change[2];
        }
    }
}

/// Rows as they are on disc: those of a term, those bytes damaged, and bytes of all kinds.
pub fn disc(data: &[u8]) {
    let (term, changes) = data.split_at(data.len().min(40));
    let mut choices = Choices::new(term);
    let record = |flat: &[u8]| Record::build(&[0], flat, flat.windows(8).any(|w| w == (-0.0f64).to_bits().to_le_bytes()), None);
    let rows = [record(&choices.term()), record(&choices.term())];
    let dictionary = Dictionary::new(100);
    let (mut atoms, mut bytes) = (Atoms::default(), Vec::new());
    atoms.begin();
    if rows_to_disc(&rows, &dictionary, &mut atoms, &mut bytes).is_ok() {
        let mut read = Vec::new();
        rows_from_disc(&bytes, &dictionary, &mut |row| read.push(row)).expect("what was written is read");
        assert_eq!(read.len(), 2);
        damage(&mut bytes, changes);
        let _ = rows_from_disc(&bytes, &dictionary, &mut |_| ());
    }
    let _ = from_disc(data, &dictionary);
    let _ = rows_from_disc(data, &dictionary, &mut |_| ());
}

/// A segment of the log: frames of the data, then damaged: what stands before the first changed byte is read, and nothing that was not written.
pub fn log(data: &[u8]) {
    let _ = SegmentHead::read(data);
    let _ = frame::read(data, 7, 100);
    let _ = frame::highest_mark(data, 7, 0);
    let kinds = [Kind::Whole, Kind::Part, Kind::Last, Kind::Atoms, Kind::Restart, Kind::Mark, Kind::Begin];
    let (mut bytes, mut ends) = (Vec::new(), Vec::new());
    for (i, payload) in data.chunks(29).enumerate() {
        let kind = kinds[usize::from(payload[0]) % kinds.len()];
        let cut = if matches!(kind, Kind::Part | Kind::Last) { payload.len().min(8) } else { 0 };
        let parts: [&[u8]; 2] = payload.split_at(cut).into();
        let at = bytes.len() as u64;
        frame::put(&mut bytes, kind, 7, at, i as u64, parts, frame::hash(parts));
        ends.push((bytes.len(), payload));
    }
    let sound = bytes.clone();
    damage(&mut bytes, data);
    let same = bytes.iter().zip(&sound).take_while(|(a, b)| a == b).count();
    let mut at = 0;
    for (end, payload) in ends {
        match frame::read(&bytes[at..], 7, at as u64) {
            Some(frame) => assert_eq!(frame.payload, payload, "a frame that was not written"),
            None => assert!(end > same, "a sound frame is not read"),
        }
        at = end;
    }
}

thread_local! {
    static PAGES: RefCell<Option<(PathBuf, File)>> = const { RefCell::new(None) };
}

/// The tables' file: these bytes as a file, and a file that begins as a sound one, with pages of these bytes.
pub fn pages(data: &[u8]) {
    PAGES.with(|place| {
        let mut place = place.borrow_mut();
        let (path, file) = place.get_or_insert_with(|| {
            let path =
                std::env::temp_dir().join(format!("remnesia-fuzz-{}-{:?}", std::process::id(), std::thread::current().id()));
            let file = File::create(&path).expect("a file for the fuzzer");
            (path, file)
        });
        file.set_len(0).and_then(|()| file.write_all_at(data, 0)).expect("room for the fuzzer");
        let _ = check::quick(path);
        let _ = check::walk(path);
        let mut all = vec![0u8; 4096 * 4];
        for number in 0..2u64 {
            let at = 4096 * number as usize;
            all[at..at + 152].copy_from_slice(&meta(number));
        }
        for (page, chunk) in all[8192..].chunks_mut(4096).zip(data.chunks(1024)) {
            page[..chunk.len()].copy_from_slice(chunk);
        }
        // Anywhere, the meta pages too.
        damage(&mut all, data.get(..30).unwrap_or(data));
        file.set_len(0).and_then(|()| file.write_all_at(&all, 0)).expect("room for the fuzzer");
        let _ = check::quick(path);
        let _ = check::walk(path);
    });
}

/// A meta page of LMDB whose main tree has its root on page 2 and whose free list is on page 3.
fn meta(number: u64) -> [u8; 152] {
    let mut page = [0u8; 152];
    let mut put = |at: usize, bytes: &[u8]| page[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, &number.to_ne_bytes());
    put(10, &8u16.to_ne_bytes());
    put(16, &0xBEEF_C0DEu32.to_ne_bytes());
    put(20, &1u32.to_ne_bytes());
    put(32, &(1u64 << 40).to_ne_bytes());
    for (at, pad, root) in [(40, 4096u32, 3u64), (88, 0, 2)] {
        put(at, &pad.to_ne_bytes());
        put(at + 4, &(if pad > 0 { 8u16 } else { 0 }).to_ne_bytes());
        put(at + 6, &1u16.to_ne_bytes());
        put(at + 16, &1u64.to_ne_bytes());
        put(at + 32, &1u64.to_ne_bytes());
        put(at + 40, &root.to_ne_bytes());
    }
    put(136, &3u64.to_ne_bytes());
    put(144, &number.to_ne_bytes());
    page
}

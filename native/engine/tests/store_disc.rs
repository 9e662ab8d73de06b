//! The disc form: what is written is read again, whatever the dictionary; what is no disc form is refused.

use proptest::prelude::*;
use remnesia_engine::store::disc::{rows_to_disc, to_disc, Atoms};
use remnesia_engine::store::disc_atoms::Dictionary;
use remnesia_engine::store::disc_key::base_key;
use remnesia_engine::store::disc_read::{from_disc, rows_from_disc};
use remnesia_engine::store::StoreError;
use remnesia_engine::term::atom::plain::{intern, Contents};
use remnesia_engine::term::{key, order, tag, Attached, Record, Writer, BLOB_MIN};
use std::cmp::Ordering;
use std::sync::Arc;

#[derive(Clone, Debug)]
enum T {
    Int(i64),
    Big(bool, Vec<u8>),
    Float(f64),
    Atom(u8),
    Pid(u32),
    Port(u32),
    Ref(Vec<u32>),
    ExtPid(u8, u32),
    ExtRef(u8, Vec<u32>),
    Export(u8, u8, u8),
    Binary(Vec<u8>),
    Bits(Vec<u8>, u8),
    Blob(u8),
    Fun(u8, Vec<T>),
    List(Vec<T>),
    Improper(Vec<T>, Box<T>),
    Tuple(Vec<T>),
    Map(Vec<(T, T)>),
}

fn atom(n: u8) -> u64 {
    // The words rise with the number, the numbers in a dictionary will not.
    intern(&format!("atom_{n}"))
}

/// Writes a term and collects what lives beside it.
fn write(t: &T, w: &mut Writer, beside: &mut Contents) {
    let at = w.len();
    match t {
        T::Int(i) => w.int(*i),
        T::Big(negative, magnitude) => w.big(*negative, magnitude),
        T::Float(f) => w.float(*f),
        T::Atom(n) => w.atom(atom(*n)),
        T::Pid(n) => w.local_pid(u64::from(*n) << 8),
        T::Port(n) => w.local_port(u64::from(*n) << 8),
        T::Ref(numbers) => {
            w.local_ref(numbers);
            beside.0.push((w.buf[at..].to_vec(), Vec::new()));
        }
        T::ExtPid(node, n) => w.external(tag::EXT_PID, *n, &[*n, 3], atom(*node)),
        T::ExtRef(node, numbers) => w.external(tag::EXT_REF, 9, numbers, atom(*node)),
        T::Export(m, f, a) => w.export(atom(*m), atom(*f), *a),
        T::Binary(b) => w.binary(b),
        T::Bits(b, last) => w.bits(b, *last),
        T::Blob(n) => {
            let content = vec![*n; BLOB_MIN + usize::from(*n)];
            w.blob(content.len() as u64, blake3::hash(&content).as_bytes());
            beside.0.push((w.buf[at..].to_vec(), content));
        }
        T::Fun(m, free) => {
            let fun = w.open_fun(atom(*m), 4, &[*m; 16], 2);
            let open = w.open();
            free.iter().for_each(|t| write(t, w, beside));
            w.close_tuple(open, free.len());
            w.close_fun(fun);
            let identity = w.buf[at..].to_vec();
            beside.0.push((identity.clone(), identity));
        }
        T::List(all) if all.is_empty() => w.nil(),
        T::List(all) => {
            let open = w.open();
            all.iter().for_each(|t| write(t, w, beside));
            w.close_list(open, all.len());
        }
        T::Improper(heads, tail) => {
            let open = w.open();
            heads.iter().for_each(|t| write(t, w, beside));
            match &**tail {
                // A list as tail would be a longer list.
                T::List(_) | T::Improper(..) => w.int(1),
                tail => write(tail, w, beside),
            }
            w.close_improper(open, heads.len());
        }
        T::Tuple(all) => {
            let open = w.open();
            all.iter().for_each(|t| write(t, w, beside));
            w.close_tuple(open, all.len());
        }
        T::Map(pairs) => {
            let mut keys: Vec<Vec<u8>> = Vec::new();
            let open = w.open();
            let mut count = 0;
            for (k, v) in pairs {
                let at = w.len();
                write(k, w, beside);
                let key = w.buf[at..].to_vec();
                if keys.contains(&key) {
                    w.buf.truncate(at);
                    continue;
                }
                keys.push(key);
                write(v, w, beside);
                count += 1;
            }
            w.close_map(open, count);
        }
    }
}

fn record(fields: &[T]) -> Record {
    let (mut w, mut beside) = (Writer::new(), Contents::default());
    let mut starts = Vec::new();
    for t in fields {
        starts.push(w.len() as u32);
        write(t, &mut w, &mut beside);
    }
    let attached = w.attached.then(|| Arc::new(beside) as Arc<dyn Attached>);
    Record::build(&starts, &w.buf, w.negative_zero, attached)
}

/// Numbers of three to five words, none of the last two zero, as the VM's references have.
fn reference() -> impl Strategy<Value = Vec<u32>> {
    prop::collection::vec(1..u32::MAX, 3..=5)
}

fn scalar() -> impl Strategy<Value = T> {
    prop_oneof![
        3 => prop_oneof![any::<i64>(), -200..200i64, any::<i16>().prop_map(i64::from), Just(i64::MIN)].prop_map(T::Int),
        1 => (any::<bool>(), prop::collection::vec(any::<u8>(), 0..14)).prop_map(|(n, m)| T::Big(n, m)),
        2 => prop_oneof![Just(0.0), Just(-0.0), Just(1.0), any::<f64>().prop_filter("finite", |f| f.is_finite())].prop_map(T::Float),
        5 => (0..20u8).prop_map(T::Atom),
        1 => any::<u32>().prop_map(T::Pid),
        1 => any::<u32>().prop_map(T::Port),
        1 => reference().prop_map(T::Ref),
        1 => (0..20u8, any::<u32>()).prop_map(|(n, i)| T::ExtPid(n, i)),
        1 => (0..20u8, reference()).prop_map(|(n, i)| T::ExtRef(n, i)),
        1 => (0..20u8, 0..20u8, any::<u8>()).prop_map(|(m, f, a)| T::Export(m, f, a)),
        2 => prop::collection::vec(any::<u8>(), 0..300).prop_map(T::Binary),
        1 => (prop::collection::vec(any::<u8>(), 1..5), 1..8u8).prop_map(|(b, l)| T::Bits(b, l)),
        1 => (0..3u8).prop_map(T::Blob),
    ]
}

fn term() -> impl Strategy<Value = T> {
    terms(1)
}

/// `funs`: how frequent closures are. Without a VM a damaged one is not noticed.
fn terms(funs: u32) -> impl Strategy<Value = T> {
    scalar().prop_recursive(4, 40, 6, move |inner| {
        let many = || prop::collection::vec(inner.clone(), 0..6);
        prop_oneof![
            10 => many().prop_map(T::List),
            10 => many().prop_map(T::Tuple),
            10 => (prop::collection::vec(inner.clone(), 1..4), inner.clone()).prop_map(|(h, t)| T::Improper(h, Box::new(t))),
            10 => prop::collection::vec((inner.clone(), inner.clone()), 0..6).prop_map(T::Map),
            10 * funs + 1 => (0..20u8, many()).prop_map(move |(m, f)| if funs > 0 { T::Fun(m, f) } else { T::Tuple(f) }),
        ]
    })
}

fn fields() -> impl Strategy<Value = Vec<T>> {
    prop::collection::vec(term(), 1..5)
}

/// A dictionary in which the numbers of some atoms fall while their words rise.
fn backwards() -> Dictionary {
    let dictionary = Dictionary::new(100);
    (0..15u8).rev().for_each(|n| {
        dictionary.id(atom(n)).expect("room");
    });
    dictionary
}

/// A closure keeps its large binaries itself, which needs a VM.
fn blob_in_fun(t: &T, inside: bool) -> bool {
    match t {
        T::Blob(_) => inside,
        T::Fun(_, all) => all.iter().any(|t| blob_in_fun(t, true)),
        T::List(all) | T::Tuple(all) => all.iter().any(|t| blob_in_fun(t, inside)),
        T::Improper(all, tail) => blob_in_fun(tail, inside) || all.iter().any(|t| blob_in_fun(t, inside)),
        T::Map(all) => all.iter().any(|(k, v)| blob_in_fun(k, inside) || blob_in_fun(v, inside)),
        _ => false,
    }
}

fn disc(record: &Record, dictionary: &Dictionary) -> Vec<u8> {
    let mut bytes = Vec::new();
    to_disc(record, dictionary, &mut Atoms::default(), &mut bytes).expect("every term has a disc form");
    bytes
}

fn base(ordered: bool, record: &Record, dictionary: &Dictionary) -> Vec<u8> {
    let mut out = Vec::new();
    base_key(ordered, record, dictionary, &mut Atoms::default(), &mut out).expect("every key has a base key");
    out
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 250, ..ProptestConfig::default() })]

    #[test]
    fn round_trip(fields in fields()) {
        let record = record(&fields);
        for dictionary in [Dictionary::new(100), backwards()] {
            let bytes = disc(&record, &dictionary);
            let read = from_disc(&bytes, &dictionary).expect("what was written");
            prop_assert_eq!(read.bytes(), record.bytes());
            for (identity, content) in record.attached().iter().flat_map(|a| &a.as_any().downcast_ref::<Contents>().expect("ours").0) {
                // What is inside a closure lives in it.
                let closures = record.attached().and_then(|a| a.as_any().downcast_ref::<Contents>()).expect("ours");
                let inside = closures.0.iter().any(|(c, _)| c[0] == tag::FUN && c != identity && c.windows(identity.len()).any(|w| w == identity));
                let found = read.attached().and_then(|a| a.content(identity));
                prop_assert!(found == Some(&content[..]) || inside);
            }
        }
    }

    #[test]
    fn atoms_that_were_used(fields in fields()) {
        let (record, dictionary, mut atoms, mut bytes) = (record(&fields), backwards(), Atoms::default(), Vec::new());
        atoms.begin();
        to_disc(&record, &dictionary, &mut atoms, &mut bytes).expect("writes");
        // They are all that a reader needs, closures apart.
        let other = Dictionary::new(100);
        for id in &atoms.used {
            prop_assert!(other.learn(*id, dictionary.text(*id)));
        }
        let read = from_disc(&bytes, &other).expect("reads");
        prop_assert_eq!(read.bytes(), record.bytes());
    }

    #[test]
    fn rows(all in prop::collection::vec(fields(), 1..4)) {
        let (dictionary, mut bytes) = (backwards(), Vec::new());
        let rows: Vec<Record> = all.iter().map(|f| record(f)).collect();
        rows_to_disc(&rows, &dictionary, &mut Atoms::default(), &mut bytes).expect("writes");
        let mut read = Vec::new();
        rows_from_disc(&bytes, &dictionary, &mut |row| read.push(row)).expect("reads");
        prop_assert_eq!(read.len(), rows.len());
        prop_assert!(read.iter().zip(&rows).all(|(a, b)| a.bytes() == b.bytes()));
    }

    /// A key is found again under the same bytes after a restart, and two keys have two.
    #[test]
    fn base_keys(a in term(), b in term()) {
        prop_assume!(!blob_in_fun(&a, false) && !blob_in_fun(&b, false));
        let dictionary = backwards();
        let (a, b) = (record(&[a]), record(&[b]));
        for ordered in [false, true] {
            let (ka, kb) = (base(ordered, &a, &dictionary), base(ordered, &b, &dictionary));
            let again = from_disc(&disc(&a, &dictionary), &dictionary).expect("reads");
            prop_assert_eq!(&base(ordered, &again, &dictionary), &ka);
            if ordered {
                let (x, y) = (a.attached().map(|x| &**x), b.attached().map(|x| &**x));
                let mut forms = (Vec::new(), Vec::new());
                key::write(a.key(), x, &mut forms.0);
                key::write(b.key(), y, &mut forms.1);
                if order::compare(a.key(), b.key(), x, y) == Ordering::Equal {
                    prop_assert_eq!(ka, kb);
                } else {
                    prop_assert!(ka != kb);
                }
            } else {
                prop_assert_eq!(a.same(&b), ka == kb);
            }
        }
    }

    /// What was changed or cut is refused, or is a record; nothing panics, and no memory is taken for what is not there.
    #[test]
    fn damaged(fields in prop::collection::vec(terms(0), 1..5), at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>()) {
        let dictionary = backwards();
        let mut bytes = disc(&record(&fields), &dictionary);
        let at = at.index(bytes.len());
        if cut {
            bytes.truncate(at);
        } else {
            bytes[at] = byte;
        }
        if let Ok(read) = from_disc(&bytes, &dictionary) {
            // It is a record in every respect.
            let text = format!("{read:?}");
            prop_assert!(!text.is_empty());
            let again = disc(&read, &dictionary);
            prop_assert!(from_disc(&again, &dictionary).expect("reads").bytes() == read.bytes());
        }
    }

    #[test]
    fn garbage(bytes in prop::collection::vec(prop_oneof![any::<u8>(), 0x80..0xa0u8, 0..5u8], 0..80)) {
        let dictionary = backwards();
        if let Ok(read) = from_disc(&bytes, &dictionary) {
            let again = disc(&read, &dictionary);
            prop_assert!(from_disc(&again, &dictionary).expect("reads").bytes() == read.bytes());
        }
        let _ = rows_from_disc(&bytes, &dictionary, &mut |_| {});
    }
}

/// A list in a list in a list, a million deep, with an atom and a pid at the bottom, so that all of it is written anew.
#[test]
fn deep() {
    for pid in [false, true] {
        let mut w = Writer::new();
        let open: Vec<_> = (0..1_000_000).map(|_| w.open()).collect();
        w.atom(atom(1));
        let bottom = if pid {
            w.local_pid(77 << 8);
            2
        } else {
            1
        };
        let mut count = bottom;
        for open in open.into_iter().rev() {
            // Small heads would be moved a million times; the depth is what counts.
            w.close_list(open, count);
            count = 1;
        }
        let record = Record::build(&[0], &w.buf, false, None);
        let dictionary = backwards();
        let bytes = disc(&record, &dictionary);
        assert!(from_disc(&bytes, &dictionary).expect("reads").same(&record));
        base(true, &record, &dictionary);
    }
}

#[test]
fn atoms_are_limited() {
    let dictionary = Dictionary::new(100);
    let fields: Vec<T> = (0..15).map(T::Atom).collect();
    let bytes = disc(&record(&fields), &dictionary);
    let other = Dictionary::new(10);
    (0..15).for_each(|id| assert!(other.learn(id, dictionary.text(id))));
    assert_eq!(from_disc(&bytes, &other).err(), Some(StoreError::TooManyAtoms { limit: 10 }));
    assert!(matches!(from_disc(&bytes, &Dictionary::new(100)).err(), Some(StoreError::BadTerm { .. })), "no such numbers");
}

#[test]
fn a_length_that_lies() {
    let dictionary = Dictionary::new(1);
    let cases: [&[u8]; 6] = [
        &[1, 0, tag::BINARY_L, 0xff, 0xff, 0xff, 0xff],
        &[1, 0, tag::LIST_L, 1, 1, 0, 0, 0xff, 0xff, 0xff, 0x7f],
        &[1, 0, tag::BIG_POS, 0xff, 0xff, 0xff, 0xff, 1],
        &[0xff, 0xff, 1, 1],
        &[0, 0],
        &[1, 0, tag::TUPLE, 2, 2, 1],
    ];
    for bytes in cases {
        assert!(matches!(from_disc(bytes, &dictionary).err(), Some(StoreError::BadTerm { .. })), "{bytes:?}");
    }
    let mut blob = vec![1, 0, tag::BLOB];
    blob.extend_from_slice(&u64::MAX.to_le_bytes());
    blob.extend_from_slice(&[0; 32]);
    assert!(matches!(from_disc(&blob, &dictionary).err(), Some(StoreError::BadTerm { .. })));
}
